//! Results out: a buffer that the host keeps and hands in again and again.

use std::ffi::c_char;
use std::mem::ManuallyDrop;
use std::ptr;

/// A text that the library writes. Set all members to zero once, then hand the same buffer to call after call: it grows as needed and is
/// reused, so that a call in a loop allocates nothing. After a call `data` points to `len` bytes of JSON in UTF-8, followed by a NUL that
/// `len` does not count. What it held before is gone. It belongs to one thread at a time; free it with opjournal_buffer_free(). Never
/// change its members yourself and never copy the struct while both copies are in use.
#[repr(C)]
pub struct Buffer {
    /// The text; NULL before the first call.
    pub data: *mut c_char,
    /// How many bytes the text has, without the NUL at its end.
    pub len: usize,
    /// How many bytes are allocated. The library's own: never change it.
    pub capacity: usize,
}

/// Frees what a buffer holds and sets its members to zero, so that it may be used again or freed again. NULL is allowed.
///
/// Never blocks, never fails, works in a forked child.
#[unsafe(no_mangle)]
pub extern "C" fn opjournal_buffer_free(buffer: Option<&mut Buffer>) {
    if let Some(buffer) = buffer {
        drop(buffer.take());
    }
}

/// What a fresh buffer gets at once, so that most results need a single allocation.
const FIRST_CAPACITY: usize = 256;

impl Buffer {
    pub(super) const EMPTY: Buffer = Buffer { data: ptr::null_mut(), len: 0, capacity: 0 };

    /// Takes the allocation out, emptied, and leaves an empty buffer.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let Buffer { data, capacity, .. } = std::mem::replace(self, Buffer::EMPTY);
        if data.is_null() || capacity == 0 {
            return Vec::new();
        }
        // SAFETY: `data` and `capacity` only ever come from `put`, which took them from a `Vec<u8>` that it did not drop, and they are
        // gone from the buffer now, so nobody else frees them.
        unsafe { Vec::from_raw_parts(data.cast::<u8>(), 0, capacity) }
    }

    /// Puts a text in, with a NUL behind it. The buffer must be empty.
    pub(super) fn put(&mut self, mut text: Vec<u8>) {
        debug_assert!(self.data.is_null());
        text.reserve(if text.capacity() == 0 { FIRST_CAPACITY } else { 1 });
        let len = text.len();
        text.push(0);
        let mut text = ManuallyDrop::new(text);
        *self = Buffer { data: text.as_mut_ptr().cast::<c_char>(), len, capacity: text.capacity() };
    }

    /// A buffer that owns `text`.
    pub(super) fn of(text: Vec<u8>) -> Buffer {
        let mut buffer = Buffer::EMPTY;
        buffer.put(text);
        buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    fn text(buffer: &Buffer) -> &str {
        // SAFETY: `put` wrote a NUL behind the text.
        unsafe { CStr::from_ptr(buffer.data) }.to_str().expect("UTF-8")
    }

    #[test]
    fn a_buffer_is_reused_and_grows() {
        let mut buffer = Buffer::EMPTY;
        let mut taken = buffer.take();
        taken.extend_from_slice(b"first");
        buffer.put(taken);
        assert_eq!((text(&buffer), buffer.len), ("first", 5));
        let place = buffer.data;

        let mut taken = buffer.take();
        assert!(taken.is_empty() && buffer.data.is_null());
        taken.extend_from_slice(b"2");
        buffer.put(taken);
        assert_eq!((text(&buffer), buffer.len, buffer.data), ("2", 1, place));

        let long = "x".repeat(100_000);
        let mut taken = buffer.take();
        taken.extend_from_slice(long.as_bytes());
        buffer.put(taken);
        assert_eq!(text(&buffer), long);
        assert!(buffer.capacity > long.len());

        opjournal_buffer_free(Some(&mut buffer));
        opjournal_buffer_free(Some(&mut buffer));
        opjournal_buffer_free(None);
        assert!(buffer.data.is_null() && buffer.len == 0 && buffer.capacity == 0);
    }

    #[test]
    fn a_text_that_fills_its_allocation_still_gets_its_nul() {
        for len in 0..300 {
            let mut exact = Vec::with_capacity(len);
            exact.resize(len, b'x');
            let mut buffer = Buffer::of(exact);
            assert_eq!(text(&buffer).len(), len);
            drop(buffer.take());
        }
    }
}
