//! Numbers, names and versions: the part of the ABI that never changes.

use crate::error::Status;
use std::ffi::{CStr, c_char};

/// The result of a call: one of the OPJOURNAL_ status numbers. The numbers are never changed or reused; new ones may be added, so treat
/// one that you do not know as a failure.
pub type StatusCode = i32;

/// The call did what it says.
pub const OPJOURNAL_OK: StatusCode = 0;
/// A text or an argument is wrong; the message names the place.
pub const OPJOURNAL_INVALID: StatusCode = 1;
/// The handle is zero, of another kind, or was never given out by this copy of the library in this process.
pub const OPJOURNAL_BAD_HANDLE: StatusCode = 2;
/// The journal, namespace or queue was closed.
pub const OPJOURNAL_CLOSED: StatusCode = 3;
/// A limit on what may wait or be open is reached; try again later.
pub const OPJOURNAL_BUSY: StatusCode = 4;
/// The caller's time is over.
pub const OPJOURNAL_TIMED_OUT: StatusCode = 5;
/// The caller withdrew the call.
pub const OPJOURNAL_CANCELLED: StatusCode = 6;
/// The namespace has had no good tick yet.
pub const OPJOURNAL_NOT_READY: StatusCode = 7;
/// The bucket or directory does not exist.
pub const OPJOURNAL_NO_SUCH_STORE: StatusCode = 8;
/// The store refuses the credentials, or the right to do this.
pub const OPJOURNAL_DENIED: StatusCode = 9;
/// The store cannot be reached, or answers with errors.
pub const OPJOURNAL_UNAVAILABLE: StatusCode = 10;
/// The store ignores conditions that the journal stands on; nothing is written to it.
pub const OPJOURNAL_UNSAFE_STORE: StatusCode = 11;
/// An object in the bucket cannot be read by this version of the library.
pub const OPJOURNAL_UNREADABLE: StatusCode = 12;
/// The bucket's segments say that a rollup existed which is gone.
pub const OPJOURNAL_ROLLUP_LOST: StatusCode = 13;
/// The journal was opened with "read_only".
pub const OPJOURNAL_READ_ONLY: StatusCode = 14;
/// A text or an object is over its limit.
pub const OPJOURNAL_TOO_LARGE: StatusCode = 15;
/// This process was forked from one that was using the library.
pub const OPJOURNAL_FORKED: StatusCode = 16;
/// A bug in the library. What was called may have been done in part.
pub const OPJOURNAL_INTERNAL: StatusCode = 17;

/// The version of this ABI that the header describes. See opjournal_abi_version().
pub const OPJOURNAL_ABI_VERSION: u32 = 1;

/// Returns the version of the ABI that the loaded library has. It grows by one whenever something is added; nothing is ever taken away
/// under the same SONAME. A host that was built against this header works with every library whose version is at least
/// OPJOURNAL_ABI_VERSION.
///
/// Never blocks, never fails, works in a forked child.
#[unsafe(no_mangle)]
pub extern "C" fn opjournal_abi_version() -> u32 {
    OPJOURNAL_ABI_VERSION
}

/// Returns the version of the library, such as "0.1.0". The text is static: never free it.
///
/// Never blocks, never fails, works in a forked child.
#[unsafe(no_mangle)]
pub extern "C" fn opjournal_version() -> *const c_char {
    const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => panic!("a version holds no NUL"),
    };
    VERSION.as_ptr()
}

/// Returns the name of a status without its prefix, as the member "code" of a result spells it: "INVALID" for OPJOURNAL_INVALID; "UNKNOWN"
/// for a number that this library does not know. The text is static: never free it.
///
/// Never blocks, never fails, works in a forked child.
#[unsafe(no_mangle)]
pub extern "C" fn opjournal_status_name(status: StatusCode) -> *const c_char {
    let name = match Status::ALL.into_iter().find(|known| *known as StatusCode == status) {
        Some(Status::Ok) => c"OK",
        Some(Status::Invalid) => c"INVALID",
        Some(Status::BadHandle) => c"BAD_HANDLE",
        Some(Status::Closed) => c"CLOSED",
        Some(Status::Busy) => c"BUSY",
        Some(Status::TimedOut) => c"TIMED_OUT",
        Some(Status::Cancelled) => c"CANCELLED",
        Some(Status::NotReady) => c"NOT_READY",
        Some(Status::NoSuchStore) => c"NO_SUCH_STORE",
        Some(Status::Denied) => c"DENIED",
        Some(Status::Unavailable) => c"UNAVAILABLE",
        Some(Status::UnsafeStore) => c"UNSAFE_STORE",
        Some(Status::Unreadable) => c"UNREADABLE",
        Some(Status::RollupLost) => c"ROLLUP_LOST",
        Some(Status::ReadOnly) => c"READ_ONLY",
        Some(Status::TooLarge) => c"TOO_LARGE",
        Some(Status::Forked) => c"FORKED",
        Some(Status::Internal) => c"INTERNAL",
        None => c"UNKNOWN",
    };
    name.as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constants_of_the_header_are_the_statuses_of_the_library() {
        let constants = [
            OPJOURNAL_OK,
            OPJOURNAL_INVALID,
            OPJOURNAL_BAD_HANDLE,
            OPJOURNAL_CLOSED,
            OPJOURNAL_BUSY,
            OPJOURNAL_TIMED_OUT,
            OPJOURNAL_CANCELLED,
            OPJOURNAL_NOT_READY,
            OPJOURNAL_NO_SUCH_STORE,
            OPJOURNAL_DENIED,
            OPJOURNAL_UNAVAILABLE,
            OPJOURNAL_UNSAFE_STORE,
            OPJOURNAL_UNREADABLE,
            OPJOURNAL_ROLLUP_LOST,
            OPJOURNAL_READ_ONLY,
            OPJOURNAL_TOO_LARGE,
            OPJOURNAL_FORKED,
            OPJOURNAL_INTERNAL,
        ];
        assert_eq!(constants, Status::ALL.map(|status| status as StatusCode));
        assert_eq!(constants, std::array::from_fn(|number| number as StatusCode));
    }

    #[test]
    fn every_status_has_its_name() {
        // SAFETY: the function returns a static text that ends with NUL.
        let name = |status| unsafe { CStr::from_ptr(opjournal_status_name(status)) }.to_str().expect("UTF-8");
        for status in Status::ALL {
            assert_eq!(name(status as StatusCode), status.name());
        }
        assert_eq!(name(-1), "UNKNOWN");
        assert_eq!(name(18), "UNKNOWN");
    }
}
