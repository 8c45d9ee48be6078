//! The two sides of every call: no panic leaves, nothing runs in a forked child, and every failure becomes a status with its JSON.

use super::buffer::Buffer;
use super::process;
use super::status::StatusCode;
use crate::error::{Error, Status};
use serde_json::Value;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs a call that answers into a buffer: `body` writes the answer into what it is given, which is empty.
pub(super) fn call(mut result: Option<&mut Buffer>, body: impl FnOnce(&mut Vec<u8>) -> Result<(), Error>) -> StatusCode {
    let mut text = result.as_deref_mut().map(Buffer::take).unwrap_or_default();
    let status = match guarded(|| body(&mut text)) {
        Ok(()) => Status::Ok,
        Err(error) => {
            text.clear();
            write_json(&mut text, &error.to_json());
            error.status
        }
    };
    if let Some(buffer) = result {
        buffer.put(text);
    }
    status as StatusCode
}

/// Runs a call that answers with its status alone.
pub(super) fn status_only(body: impl FnOnce() -> Result<(), Status>) -> StatusCode {
    let done = guarded(|| body().map_err(|status| Error::new(status, status.name())));
    done.map_or_else(|error| error.status, |()| Status::Ok) as StatusCode
}

fn guarded(body: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
    if process::is_forked_child() {
        return Err(Error::new(
            Status::Forked,
            "this process was forked after opjournal was used; call exec, or use opjournal in one process only",
        ));
    }
    // What a panic leaves half done is behind locks that heal (`PoisonError::into_inner`) or belongs to this call alone.
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| Err(panicked(panic)))
}

/// A panic as the error that it is.
pub(super) fn panicked(panic: Box<dyn Any + Send>) -> Error {
    let message = match panic.downcast::<String>().map(|text| *text) {
        Ok(text) => text,
        Err(panic) => match panic.downcast::<&'static str>() {
            Ok(text) => (*text).to_owned(),
            Err(thrown) => {
                // Dropping what was thrown may panic once more.
                std::mem::forget(thrown);
                "no message".to_owned()
            }
        },
    };
    tracing::error!(panic = message, "a bug in opjournal: a call panicked");
    Error::new(Status::Internal, format!("a bug in opjournal: {message}"))
}

/// Appends JSON.
pub(super) fn write_json(out: &mut Vec<u8>, value: &Value) {
    // `Value` always has a text, and a vector takes every byte.
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(buffer: &mut Buffer) -> Value {
        // SAFETY: `call` leaves `len` bytes at `data`.
        let text = unsafe { std::slice::from_raw_parts(buffer.data.cast::<u8>(), buffer.len) };
        serde_json::from_slice(text).expect("JSON")
    }

    #[test]
    fn a_panic_becomes_internal_and_drops_a_half_written_answer() {
        let mut buffer = Buffer::EMPTY;
        let status = call(Some(&mut buffer), |out| {
            out.extend_from_slice(b"{\"half");
            panic!("the message {}", 7)
        });
        assert_eq!(status, Status::Internal as StatusCode);
        let json = answer(&mut buffer);
        assert_eq!(json["code"], "INTERNAL");
        assert_eq!(json["message"], "a bug in opjournal: the message 7");
        // Miri sees that neither message is leaked.
        assert_eq!(status_only(|| panic!("alone")), Status::Internal as StatusCode);
        assert_eq!(status_only(|| std::panic::panic_any(String::from("a text"))), Status::Internal as StatusCode);
        drop(buffer.take());
    }

    #[test]
    #[cfg_attr(miri, ignore = "what is thrown is leaked, as it must be")]
    fn what_was_thrown_is_not_dropped() {
        struct Trap;
        impl Drop for Trap {
            fn drop(&mut self) {
                panic!("once more");
            }
        }
        assert_eq!(status_only(|| std::panic::panic_any(Trap)), Status::Internal as StatusCode);
    }

    #[test]
    fn an_error_is_written_whole_and_a_null_result_is_fine() {
        let fail = || Error::invalid("wrong").with("field", "Key");
        let mut buffer = Buffer::EMPTY;
        assert_eq!(call(Some(&mut buffer), |_| Err(fail())), Status::Invalid as StatusCode);
        assert_eq!(answer(&mut buffer), fail().to_json());
        assert_eq!(call(None, |_| Err(fail())), Status::Invalid as StatusCode);
        assert_eq!(call(None, |_| Ok(())), Status::Ok as StatusCode);
        drop(buffer.take());
    }
}
