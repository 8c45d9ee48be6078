//! Texts and places that the caller hands in.

use crate::error::{Error, Status};
use std::ffi::c_char;
use std::mem::MaybeUninit;

/// The `len` bytes at `data`.
///
/// # Safety
/// Unless `data` is NULL, `len` bytes can be read there and do not change while the slice is used.
pub(super) unsafe fn bytes<'a>(argument: &str, data: *const c_char, len: usize) -> Result<&'a [u8], Error> {
    match (data.is_null(), len) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(Error::invalid(format!("{argument} is NULL, but its length is {len}")).with("field", argument)),
        // More than any object can have: a negative number, most likely.
        (false, _) if len > isize::MAX as usize => {
            Err(Error::invalid(format!("{argument} has a length of {len} bytes, more than there can be")).with("field", argument))
        }
        // SAFETY: not NULL, no longer than an object can be; the caller vouches for the rest.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts(data.cast::<u8>(), len) }),
    }
}

/// The UTF-8 text of `len` bytes at `data`.
///
/// # Safety
/// As for [`bytes()`].
pub(super) unsafe fn text<'a>(argument: &str, data: *const c_char, len: usize) -> Result<&'a str, Error> {
    // SAFETY: as the caller of this function vouches.
    let bytes = unsafe { bytes(argument, data, len) }?;
    std::str::from_utf8(bytes).map_err(|error| encoding(argument, error.valid_up_to()))
}

/// The name of a namespace.
///
/// # Safety
/// As for [`bytes()`].
pub(super) unsafe fn namespace_name<'a>(data: *const c_char, len: usize) -> Result<&'a str, Error> {
    // SAFETY: as the caller of this function vouches.
    let name = unsafe { text("name", data, len) }?;
    let fits = |place: usize, byte: u8| byte.is_ascii_alphanumeric() || (place > 0 && matches!(byte, b'_' | b'-'));
    match name.bytes().enumerate().find(|(place, byte)| !fits(*place, *byte)) {
        None => Ok(name),
        Some((place, _)) => Err(Error::invalid(format!(
            "the name of a namespace matches ^[A-Za-z0-9][A-Za-z0-9_-]*$ or is empty; this one does not at byte {place}"
        ))
        .with("field", "name")),
    }
}

/// Puts the blame for an error where it belongs: on bytes that are no UTF-8, if there are any. For texts that are checked while
/// they are read, so that a good one is not read twice.
pub(super) fn blame_encoding(argument: &str, bytes: &[u8], error: Error) -> Error {
    match std::str::from_utf8(bytes) {
        Err(wrong) if error.status == Status::Invalid => encoding(argument, wrong.valid_up_to()),
        _ => error,
    }
}

fn encoding(argument: &str, offset: usize) -> Error {
    Error::invalid(format!("{argument} is not UTF-8 at byte {offset}")).with("field", argument).with("offset", offset)
}

/// A place for an out-parameter, which must be there.
pub(super) fn out<'a, T>(argument: &str, place: Option<&'a mut MaybeUninit<T>>) -> Result<&'a mut MaybeUninit<T>, Error> {
    place.ok_or_else(|| Error::invalid(format!("{argument} is NULL")).with("field", argument))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr;

    fn read(text: &[u8]) -> Result<&str, Error> {
        // SAFETY: a slice of this test.
        unsafe { super::text("ops", text.as_ptr().cast(), text.len()) }
    }

    #[test]
    fn null_is_empty_only_with_length_zero() {
        // SAFETY: nothing is read through these pointers.
        unsafe {
            assert_eq!(bytes("ops", ptr::null(), 0).expect("empty"), b"");
            assert_eq!(bytes("ops", ptr::null(), 1).expect_err("no text").status, Status::Invalid);
            let place = ptr::NonNull::<c_char>::dangling().as_ptr();
            assert_eq!(bytes("ops", place, 0).expect("empty"), b"");
            assert_eq!(bytes("ops", place, usize::MAX).expect_err("too long").status, Status::Invalid);
            assert_eq!(bytes("ops", place, isize::MAX as usize + 1).expect_err("too long").status, Status::Invalid);
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_named() {
        assert_eq!(read("häß".as_bytes()).expect("UTF-8"), "häß");
        let error = read(b"abc\xffdef").expect_err("no UTF-8");
        assert_eq!((error.status, error.details["offset"].clone()), (Status::Invalid, 3.into()));
        let blamed = blame_encoding("query", b"{\"q\xc3\x28", Error::invalid("expected `}`"));
        assert_eq!(blamed.message, "query is not UTF-8 at byte 3");
        assert_eq!(blame_encoding("query", b"{", Error::invalid("the end")).message, "the end");
        assert_eq!(blame_encoding("query", b"\xff", Error::new(Status::NotReady, "later")).message, "later");
    }

    #[test]
    fn names_follow_their_rule() {
        let check = |name: &str| {
            // SAFETY: a text of this test.
            unsafe { namespace_name(name.as_ptr().cast(), name.len()) }.map(str::to_owned)
        };
        for good in ["", "a", "0", "A-b_c-", "orders2"] {
            assert_eq!(check(good).expect("a name"), good);
        }
        for wrong in ["-a", "_a", ".a", "a/b", "a.b", "ä", "a b", "a\n"] {
            assert!(check(wrong).expect_err("no name").message.contains("^[A-Za-z0-9][A-Za-z0-9_-]*$"), "{wrong:?}");
        }
    }
}
