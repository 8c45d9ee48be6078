//! The descriptor of a queue: readable while completions wait.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Something that an event loop can watch, and that this side makes readable or not. Close-on-exec, never blocks.
pub(super) struct Descriptor {
    reader: OwnedFd,
    /// The other end of a pipe; an eventfd has none.
    writer: Option<OwnedFd>,
}

impl Descriptor {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn new() -> io::Result<Descriptor> {
        // SAFETY: makes a new descriptor, or fails.
        let number = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: the descriptor is new, and nobody else's.
        Ok(Descriptor { reader: unsafe { OwnedFd::from_raw_fd(number) }, writer: None })
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(super) fn new() -> io::Result<Descriptor> {
        let mut ends = [0; 2];
        // SAFETY: fills `ends` with two new descriptors, or fails.
        check(unsafe { libc::pipe(ends.as_mut_ptr()) })?;
        // SAFETY: both are new, and nobody else's.
        let [reader, writer] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
        for end in [&reader, &writer] {
            // SAFETY: changes the flags of our own descriptors.
            unsafe {
                check(libc::fcntl(end.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC))?;
                check(libc::fcntl(end.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK))?;
            }
        }
        Ok(Descriptor { reader, writer: Some(writer) })
    }

    pub(super) fn number(&self) -> c_int {
        self.reader.as_raw_fd()
    }

    /// Makes it readable. It must not be already.
    pub(super) fn raise(&self) {
        let one = 1u64.to_ne_bytes();
        let to = self.writer.as_ref().unwrap_or(&self.reader);
        // An eventfd at zero or an empty pipe takes the bytes at once.
        // SAFETY: writes eight bytes of a local.
        while unsafe { libc::write(to.as_raw_fd(), one.as_ptr().cast(), one.len()) } < 0 && interrupted() {}
    }

    /// Makes it not readable. It must have been.
    pub(super) fn lower(&self) {
        let mut taken = [0u8; 8];
        // SAFETY: reads at most eight bytes into a local.
        while unsafe { libc::read(self.reader.as_raw_fd(), taken.as_mut_ptr().cast(), taken.len()) } < 0 && interrupted() {}
    }
}

fn interrupted() -> bool {
    io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
}

fn check(answer: c_int) -> io::Result<c_int> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}
