//! `opjournal_queue`: where the answers of asynchronous calls are fetched. The bookkeeping is in [`super::completions`].

use super::boundary::{self, call, status_only};
use super::buffer::Buffer;
use super::completions::{Completions, Slot};
use super::status::StatusCode;
use super::table::{Handle, Table};
use super::{input, log, process, timeout};
use crate::error::{Error, Status};
use serde_json::json;
use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::sync::Arc;

/// A queue of completions, from opjournal_queue_open(). Any number of journals may use one queue, and any number of threads may read it.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct QueueId(pub u64);

/// One asynchronous call that has ended, or one log record. Output only: what a completion held before it was filled is neither read nor
/// freed. The caller frees `result` with opjournal_buffer_free(). More kinds may come: free the result of one that you do not know, and
/// ignore it.
#[repr(C)]
pub struct Completion {
    /// The tag that was given with the call; 0 for a log record.
    pub tag: u64,
    /// How the call ended.
    pub status: StatusCode,
    /// Which call it was: one of the OPJOURNAL_KIND_ numbers.
    pub kind: u32,
    /// The answer, or the error, as the blocking form of the call would give it.
    pub result: Buffer,
    /// Zero.
    pub reserved: [u64; 2],
}

/// The completion of opjournal_namespace_open_async().
pub const OPJOURNAL_KIND_NAMESPACE_OPEN: u32 = 1;
/// The completion of opjournal_apply_async().
pub const OPJOURNAL_KIND_APPLY: u32 = 2;
/// The completion of opjournal_flush_async().
pub const OPJOURNAL_KIND_FLUSH: u32 = 3;
/// The completion of opjournal_close_async().
pub const OPJOURNAL_KIND_CLOSE: u32 = 4;
/// A log record; see opjournal_log_to_queue().
pub const OPJOURNAL_KIND_LOG: u32 = 5;

/// What a completion is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Kind {
    NamespaceOpen = OPJOURNAL_KIND_NAMESPACE_OPEN,
    Apply = OPJOURNAL_KIND_APPLY,
    Flush = OPJOURNAL_KIND_FLUSH,
    Close = OPJOURNAL_KIND_CLOSE,
    Log = OPJOURNAL_KIND_LOG,
}

static QUEUES: Table<Completions> = Table::new(Handle::Queue);

/// Opens a queue of completions.
///
/// Never blocks.
///
/// capacity: how many calls may be owed or unread at once, 1 to 1,048,576. A call takes its slot when it is accepted and gives it back when
/// its completion is read.
/// out: where the handle is written on OPJOURNAL_OK. Close it with opjournal_queue_close().
/// result: on OPJOURNAL_OK `{}`; otherwise the error.
///
/// Returns OPJOURNAL_OK; OPJOURNAL_INVALID: the capacity, or out is NULL; OPJOURNAL_BUSY: too many queues are open (65,536); OPJOURNAL_FORKED;
/// OPJOURNAL_INTERNAL.
#[unsafe(no_mangle)]
pub extern "C" fn opjournal_queue_open(capacity: u32, out: Option<&mut MaybeUninit<QueueId>>, result: Option<&mut Buffer>) -> StatusCode {
    call(result, |answer| {
        let out = input::out("out", out)?;
        if !(1..=MAX_CAPACITY).contains(&capacity) {
            return Err(Error::invalid(format!("capacity is {capacity}; it must be 1 to {MAX_CAPACITY}")));
        }
        process::watch_for_fork()?;
        let id = QUEUES.insert(Completions::new(capacity as usize))?;
        boundary::write_json(answer, &json!({}));
        out.write(QueueId(id));
        Ok(())
    })
}

/// Gives a descriptor that is readable while completions wait in the queue, for poll, epoll, kqueue and the like. It belongs to the library:
/// do not read, write or close it; dup() it for an event loop that wants to own it. It is close-on-exec, the same at every call, and is
/// closed with the queue. When it turns readable, call opjournal_queue_poll() until `count` is less than `max`; with that an edge-triggered
/// loop misses nothing either.
///
/// Never blocks.
///
/// out: where the descriptor is written, or -1 on every failure.
///
/// Returns OPJOURNAL_OK; OPJOURNAL_INVALID: out is NULL, or the system gives none (none supported, or none left: it may be asked again);
/// OPJOURNAL_BAD_HANDLE; OPJOURNAL_CLOSED; OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
#[unsafe(no_mangle)]
pub extern "C" fn opjournal_queue_fd(queue: QueueId, out: Option<&mut MaybeUninit<c_int>>) -> StatusCode {
    let Ok(out) = input::out("out", out) else { return Status::Invalid as StatusCode };
    out.write(-1);
    status_only(|| {
        out.write(QUEUES.get(queue.0)?.descriptor()?);
        Ok(())
    })
}

/// Gives up every call of this queue that has this tag and has not ended (tags need not be unique). A batch that was not yet sent is
/// withdrawn: OPJOURNAL_CANCELLED, outcome "none"; one that is on its way completes at once as OPJOURNAL_CANCELLED, outcome "unknown", with
/// "segment". Other calls complete as OPJOURNAL_CANCELLED. The completion comes through the queue as always, exactly once; a call that ended
/// at the same moment completes as it ended.
///
/// Never blocks.
///
/// Returns OPJOURNAL_OK, also where no such call is left; OPJOURNAL_BAD_HANDLE; OPJOURNAL_CLOSED; OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
#[unsafe(no_mangle)]
pub extern "C" fn opjournal_cancel(queue: QueueId, tag: u64) -> StatusCode {
    status_only(|| {
        QUEUES.get(queue.0)?.cancel(tag);
        Ok(())
    })
}

/// Fetches completions that wait in the queue, oldest first, and gives their slots back.
///
/// Never blocks.
///
/// out, max: an array of max completions, at least 1. count: how many were filled, 0 where none waits. The caller frees the result of each.
/// Both are written on OPJOURNAL_OK only.
///
/// Returns OPJOURNAL_OK, also with none; OPJOURNAL_INVALID: out or count is NULL, or max is 0; OPJOURNAL_BAD_HANDLE; OPJOURNAL_CLOSED;
/// OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn opjournal_queue_poll(
    queue: QueueId,
    out: *mut Completion,
    max: usize,
    count: Option<&mut MaybeUninit<usize>>,
) -> StatusCode {
    status_only(|| {
        let places = Places::new(out, max, count)?;
        let queue = QUEUES.get(queue.0)?;
        // SAFETY: the caller gives room for `max` completions.
        unsafe { places.fill(|fetched| queue.poll(max, fetched)) }
    })
}

/// Fetches completions as opjournal_queue_poll() does, and waits for the first where none is there.
///
/// Blocks, until the timeout: default for ever.
///
/// out, max, count: as for opjournal_queue_poll().
///
/// Returns OPJOURNAL_OK: count is at least 1; OPJOURNAL_TIMED_OUT; OPJOURNAL_INVALID: out or count is NULL, max is 0, or the timeout;
/// OPJOURNAL_BAD_HANDLE; OPJOURNAL_CLOSED: the queue, also while this call waits; OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn opjournal_queue_wait(
    queue: QueueId,
    out: *mut Completion,
    max: usize,
    timeout_ms: i64,
    count: Option<&mut MaybeUninit<usize>>,
) -> StatusCode {
    status_only(|| {
        let places = Places::new(out, max, count)?;
        let limit = timeout::wait_limit(timeout_ms).map_err(|error| error.status)?;
        let queue = QUEUES.get(queue.0)?;
        // SAFETY: the caller gives room for `max` completions.
        unsafe { places.fill(|fetched| queue.wait(max, limit, fetched)) }
    })
}

/// Closes a queue that owes nothing: every accepted call has ended and every completion, log records among them, was read. Where log records
/// go to this queue, turn them off first. Threads that wait on it wake with OPJOURNAL_CLOSED. Closing twice is OK.
///
/// Never blocks.
///
/// Returns OPJOURNAL_OK: closed, now or earlier; OPJOURNAL_BUSY: completions are owed or unread, and the queue stays open;
/// OPJOURNAL_BAD_HANDLE; OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
#[unsafe(no_mangle)]
pub extern "C" fn opjournal_queue_close(queue: QueueId) -> StatusCode {
    status_only(|| {
        let completions = match QUEUES.get(queue.0) {
            Ok(completions) => completions,
            Err(Status::Closed) => return Ok(()),
            Err(status) => return Err(status),
        };
        completions.close()?;
        QUEUES.remove(queue.0);
        log::forget(&completions);
        Ok(())
    })
}

/// The most slots that a queue may have.
const MAX_CAPACITY: u32 = 1 << 20;

/// Takes a slot for a call, or refuses it.
pub(super) fn reserve(queue: QueueId, tag: u64, kind: Kind) -> Result<Slot, Error> {
    let completions = get(queue).map_err(|status| Handle::Queue.error(status))?;
    completions.reserve(tag, kind)
}

/// The queue behind a handle.
pub(super) fn get(queue: QueueId) -> Result<Arc<Completions>, Status> {
    QUEUES.get(queue.0)
}

/// Where the caller wants completions and their count.
struct Places<'a> {
    out: *mut Completion,
    count: &'a mut MaybeUninit<usize>,
}

impl<'a> Places<'a> {
    fn new(out: *mut Completion, max: usize, count: Option<&'a mut MaybeUninit<usize>>) -> Result<Places<'a>, Status> {
        match count {
            Some(count) if !out.is_null() && max > 0 => Ok(Places { out, count }),
            _ => Err(Status::Invalid),
        }
    }

    /// Writes what `fetch` hands over, one after the other, and then how many there were.
    ///
    /// # Safety
    /// `out` has room for as many completions as `fetch` hands over.
    unsafe fn fill(self, fetch: impl FnOnce(&mut dyn FnMut(Completion)) -> Result<(), Status>) -> Result<(), Status> {
        let mut filled = 0;
        fetch(&mut |completion| {
            // SAFETY: the caller of `fill` vouches for the room. `write` reads and drops nothing of what lies there.
            unsafe { self.out.add(filled).write(completion) };
            filled += 1;
        })?;
        self.count.write(filled);
        Ok(())
    }
}
