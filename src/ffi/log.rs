//! Where log records go: a function of the host, or a queue.

use super::boundary::status_only;
use super::completions::Completions;
use super::queue::{self, QueueId};
use super::status::StatusCode;
use super::{process, record};
use crate::error::Status;
use std::cell::Cell;
use std::ffi::{c_char, c_void};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tracing::level_filters::LevelFilter;

/// Log nothing.
pub const OPJOURNAL_LOG_OFF: i32 = 0;
/// Something failed that the library does not mend by itself.
pub const OPJOURNAL_LOG_ERROR: i32 = 1;
/// Something is wrong that the library works around, or that it will try again.
pub const OPJOURNAL_LOG_WARN: i32 = 2;
/// What a person wants to see of a healthy process: opened, closed, folded.
pub const OPJOURNAL_LOG_INFO: i32 = 3;
/// Each tick and each segment.
pub const OPJOURNAL_LOG_DEBUG: i32 = 4;
/// Each request and each decision.
pub const OPJOURNAL_LOG_TRACE: i32 = 5;

/// Sends the library's log records to a function of the host. There is one destination in the process, which every call of this function and
/// of opjournal_log_to_queue() replaces. Once the call has returned, the function that was there before is never called again.
///
/// Blocks only until a call of the old function that is under way returns.
///
/// level: the least severe level that is wanted, OPJOURNAL_LOG_ERROR (1) to OPJOURNAL_LOG_TRACE (5). With OPJOURNAL_LOG_OFF (0), or where sink
/// is NULL, nothing is logged, which also costs nothing; that is how a process starts.
/// sink: called with context, the level of the record, and the record: len bytes of JSON, one object, and a NUL, all gone when it returns. It
/// is called on any thread, threads of the library among them, one call at a time; it holds up whoever logs, so it must be quick, and must
/// not call any function of the library.
/// context: handed to sink as it is.
///
/// Returns OPJOURNAL_OK; OPJOURNAL_INVALID: the level, or Rust code in this process that shares the library's copy of `tracing` has installed a
/// subscriber of its own; OPJOURNAL_BUSY: called by a sink; OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn opjournal_log_to(
    level: i32,
    sink: Option<unsafe extern "C" fn(context: *mut c_void, level: i32, json: *const c_char, len: usize)>,
    context: *mut c_void,
) -> StatusCode {
    status_only(|| match (filter(level)?, sink) {
        (LevelFilter::OFF, _) | (_, None) => replace(LevelFilter::OFF, Destination::Nowhere),
        (level, Some(function)) => replace(level, Destination::Sink(Sink { function, context })),
    })
}

/// Sends the library's log records to a queue, as completions of kind OPJOURNAL_KIND_LOG whose result is the record, a JSON object. Replaces
/// the destination as opjournal_log_to() does. Records take a slot until they are read, and never more than half of the slots; one that
/// finds none is dropped, and the next that finds one counts those dropped before it in its member "dropped".
///
/// Blocks only until a call of an old sink that is under way returns.
///
/// level: as for opjournal_log_to(). With OPJOURNAL_LOG_OFF nothing is logged, and queue may be 0.
///
/// Returns OPJOURNAL_OK; OPJOURNAL_INVALID: as for opjournal_log_to(); OPJOURNAL_BAD_HANDLE; OPJOURNAL_CLOSED; OPJOURNAL_BUSY: called by a sink;
/// OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
#[unsafe(no_mangle)]
pub extern "C" fn opjournal_log_to_queue(level: i32, queue: QueueId) -> StatusCode {
    status_only(|| match filter(level)? {
        LevelFilter::OFF => replace(LevelFilter::OFF, Destination::Nowhere),
        level => replace(level, Destination::Queue(queue::get(queue)?)),
    })
}

/// Where records go.
enum Destination {
    Nowhere,
    Sink(Sink),
    Queue(Arc<Completions>),
}

/// A function of the host, with its context.
struct Sink {
    function: unsafe extern "C" fn(*mut c_void, i32, *const c_char, usize),
    context: *mut c_void,
}

// SAFETY: the header asks of the host that `function` may be called with `context` on any thread.
unsafe impl Send for Sink {}

/// Held while a record is delivered: that is what makes "never called again" true.
static DESTINATION: Mutex<Destination> = Mutex::new(Destination::Nowhere);

/// The least severe level that is wanted, by its number. Read for every event that could be logged.
static LEVEL: AtomicU8 = AtomicU8::new(OPJOURNAL_LOG_OFF as u8);

thread_local! {
    /// Whether this thread is delivering a record: what it logs meanwhile is left out, or it would wait for itself.
    static DELIVERING: Cell<bool> = const { Cell::new(false) };
}

/// The levels that are wanted now.
pub(super) fn wanted() -> LevelFilter {
    LEVELS[usize::from(LEVEL.load(Ordering::Relaxed))]
}

/// All levels, in the order of their numbers.
const LEVELS: [LevelFilter; 6] =
    [LevelFilter::OFF, LevelFilter::ERROR, LevelFilter::WARN, LevelFilter::INFO, LevelFilter::DEBUG, LevelFilter::TRACE];

/// The number of a level in the ABI.
pub(super) fn number(level: LevelFilter) -> u8 {
    LEVELS.iter().position(|known| *known == level).unwrap_or_default() as u8
}

fn filter(level: i32) -> Result<LevelFilter, Status> {
    usize::try_from(level).ok().and_then(|level| LEVELS.get(level).copied()).ok_or(Status::Invalid)
}

fn replace(level: LevelFilter, destination: Destination) -> Result<(), Status> {
    if DELIVERING.get() {
        return Err(Status::Busy);
    }
    if level != LevelFilter::OFF {
        process::watch_for_fork().map_err(|error| error.status)?;
        record::install().map_err(|_| Status::Invalid)?;
    }
    let mut place = DESTINATION.lock().unwrap_or_else(PoisonError::into_inner);
    let old = std::mem::replace(&mut *place, destination);
    LEVEL.store(number(level), Ordering::Relaxed);
    drop(place);
    // A queue that goes away with its last reference must not do so under the lock.
    drop(old);
    tracing::callsite::rebuild_interest_cache();
    Ok(())
}

/// Stops logging to a queue that was closed.
pub(super) fn forget(closed: &Arc<Completions>) {
    let mut place = DESTINATION.lock().unwrap_or_else(PoisonError::into_inner);
    if matches!(&*place, Destination::Queue(queue) if Arc::ptr_eq(queue, closed)) {
        *place = Destination::Nowhere;
        LEVEL.store(OPJOURNAL_LOG_OFF as u8, Ordering::Relaxed);
        drop(place);
        tracing::callsite::rebuild_interest_cache();
    }
}

/// Delivers a record, which `write` makes, at a level.
pub(super) fn deliver(level: LevelFilter, write: impl FnOnce() -> serde_json::Map<String, serde_json::Value>) {
    if DELIVERING.replace(true) {
        return;
    }
    let _reset = Reset;
    let record = write();
    let place = DESTINATION.lock().unwrap_or_else(PoisonError::into_inner);
    // The level may have been raised, or the logs turned off, since the event was let through.
    if level > wanted() {
        return;
    }
    match &*place {
        Destination::Nowhere => {}
        Destination::Queue(queue) => queue.push_log(record),
        Destination::Sink(sink) => {
            let mut text = serde_json::Value::Object(record).to_string().into_bytes();
            let len = text.len();
            text.push(0);
            // SAFETY: the host gave the function for this, and the header tells it what it may do. The text lives until it returns.
            unsafe { (sink.function)(sink.context, i32::from(number(level)), text.as_ptr().cast::<c_char>(), len) };
        }
    }
}

/// Ends `DELIVERING`, also when a record cannot be made.
struct Reset;

impl Drop for Reset {
    fn drop(&mut self) {
        DELIVERING.set(false);
    }
}
