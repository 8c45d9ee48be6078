//! `opjournal_namespace`: where batches go in and queries are answered.

use super::boundary::{self, call, status_only};
use super::buffer::Buffer;
use super::journal::{JournalHandle, JournalId, open_journal};
use super::queue::{self, Kind, QueueId};
use super::status::StatusCode;
use super::table::{Handle, Table};
use super::{input, process, timeout};
use crate::error::{Error, Status};
use crate::journal::{Applied, Namespace};
use serde_json::json;
use std::ffi::c_char;
use std::mem::MaybeUninit;
use std::sync::Arc;

/// A handle on one namespace of a journal, from opjournal_namespace_open().
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct NamespaceId(pub u64);

/// What an `opjournal_namespace` stands for.
pub(super) struct NamespaceHandle {
    engine: Namespace,
    journal: Arc<JournalHandle>,
}

static NAMESPACES: Table<NamespaceHandle> = Table::new(Handle::Namespace);

/// Opens a namespace, and returns once its first tick is done, so that queries answer from then on. On failure nothing stays open; what was
/// downloaded may be kept for the next try. The same name again gives another handle on the same namespace.
///
/// Blocks, until the timeout: default 30 s.
///
/// name, name_len: matches `^[A-Za-z0-9][A-Za-z0-9_-]*$`, or is empty: the root namespace.
/// out: where the handle is written on OPJOURNAL_OK. Close it with opjournal_namespace_close(), before or after the journal.
/// result: on OPJOURNAL_OK `{}`; otherwise the error: that of the last tick, where there was one.
///
/// Returns OPJOURNAL_OK; OPJOURNAL_INVALID: the name or the timeout; OPJOURNAL_BAD_HANDLE; OPJOURNAL_CLOSED; OPJOURNAL_TIMED_OUT;
/// OPJOURNAL_NO_SUCH_STORE; OPJOURNAL_DENIED; OPJOURNAL_UNAVAILABLE; OPJOURNAL_UNSAFE_STORE; OPJOURNAL_UNREADABLE: an object of the namespace, which
/// "object" names; OPJOURNAL_ROLLUP_LOST; OPJOURNAL_TOO_LARGE: the state or an object is over its limit; OPJOURNAL_BUSY: too many namespaces
/// are open (65,536); OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn opjournal_namespace_open(
    journal: JournalId,
    name: *const c_char,
    name_len: usize,
    timeout_ms: i64,
    out: Option<&mut MaybeUninit<NamespaceId>>,
    result: Option<&mut Buffer>,
) -> StatusCode {
    call(result, |answer| {
        let handle = open_journal(journal)?;
        // SAFETY: the caller lends `name_len` bytes at `name` for the call.
        let name = unsafe { input::namespace_name(name, name_len) }?.to_owned();
        let out = input::out("out", out)?;
        let deadline = timeout::deadline(timeout_ms, timeout::WORK)?;
        let opened = process::run(async move { handle.open_namespace(&name, deadline).await })??;
        let id = opened.register()?;
        boundary::write_json(answer, &json!({}));
        out.write(NamespaceId(id));
        Ok(())
    })
}

/// Gives a handle on a namespace up. Writes that were accepted finish, and their completions are delivered. With its last handle the
/// namespace is no longer synced. Closing twice is OK.
///
/// Never blocks.
///
/// Returns OPJOURNAL_OK: closed, now or earlier; OPJOURNAL_BAD_HANDLE; OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
#[unsafe(no_mangle)]
pub extern "C" fn opjournal_namespace_close(ns: NamespaceId) -> StatusCode {
    status_only(|| match NAMESPACES.get(ns.0) {
        Ok(handle) => {
            NAMESPACES.remove(ns.0);
            handle.engine.close();
            Ok(())
        }
        Err(Status::Closed) => Ok(()),
        Err(status) => Err(status),
    })
}

/// Writes a batch and waits until it is durable. The ops of a batch take effect together or not at all. Batches that are submitted through
/// one handle, one after the other, take effect in that order; this replica sees the batch in every query after the call.
///
/// Blocks, until the timeout: default 30 s. Not yet sent at the timeout, the batch is withdrawn (outcome "none"); already on its way, it may
/// still take effect (outcome "unknown"): "segment" names it for the query Outcome, and opjournal_flush() waits until it is settled.
///
/// ops, ops_len: one op or an array of ops, as JSON.
/// result: on OPJOURNAL_OK `{"segment":KEY}`; otherwise the error, with "op" (index) and "field" where the ops are wrong.
///
/// Returns OPJOURNAL_OK: durable; OPJOURNAL_INVALID: the ops or the timeout; OPJOURNAL_BAD_HANDLE; OPJOURNAL_CLOSED: look at the outcome where
/// that happened while this call waited; OPJOURNAL_BUSY: over the limit "waiting_bytes"; OPJOURNAL_TIMED_OUT; OPJOURNAL_NOT_READY;
/// OPJOURNAL_NO_SUCH_STORE; OPJOURNAL_DENIED; OPJOURNAL_UNAVAILABLE; OPJOURNAL_UNSAFE_STORE; OPJOURNAL_UNREADABLE; OPJOURNAL_ROLLUP_LOST;
/// OPJOURNAL_READ_ONLY; OPJOURNAL_TOO_LARGE: the batch or the state; OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn opjournal_apply(
    ns: NamespaceId,
    ops: *const c_char,
    ops_len: usize,
    timeout_ms: i64,
    result: Option<&mut Buffer>,
) -> StatusCode {
    call(result, |answer| {
        // SAFETY: the caller lends `ops_len` bytes at `ops` for the call.
        let ops = unsafe { input::text("ops", ops, ops_len) }?;
        // The handle is let go before the wait: its namespace may be closed meanwhile.
        let write = {
            let handle = open_namespace(ns)?;
            let deadline = timeout::deadline(timeout_ms, timeout::WORK)?;
            let _entered = process::start()?.runtime.enter();
            handle.engine.submit_here(ops.as_bytes(), deadline)?
        };
        let applied = process::wait(write.outcome())?;
        write_applied(answer, &applied);
        Ok(())
    })
}

/// Answers a query from the state that this replica holds, without asking the store. An array of queries is answered as an array, all from
/// one consistent state.
///
/// Never blocks; any number of threads may query at once.
///
/// query, query_len: one query or an array of queries, as JSON.
/// result: on OPJOURNAL_OK the answer, as canonical JSON; otherwise the error.
///
/// Returns OPJOURNAL_OK; OPJOURNAL_INVALID: the query; OPJOURNAL_BAD_HANDLE; OPJOURNAL_CLOSED; OPJOURNAL_NOT_READY; OPJOURNAL_FORKED;
/// OPJOURNAL_INTERNAL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn opjournal_query(
    ns: NamespaceId,
    query: *const c_char,
    query_len: usize,
    result: Option<&mut Buffer>,
) -> StatusCode {
    call(result, |answer| {
        // SAFETY: the caller lends `query_len` bytes at `query` for the call.
        let query = unsafe { input::bytes("query", query, query_len) }?;
        // Borrowed where it lies, so that readers on many cores write to no common cache line.
        let answered = NAMESPACES.with(ns.0, |handle| {
            handle.journal.check_open()?;
            handle.engine.query(query, answer)
        });
        let answered = answered.map_err(|status| Handle::Namespace.error(status))?;
        answered.map_err(|error| input::blame_encoding("query", query, error))
    })
}

/// Waits until everything that was acknowledged anywhere, by any replica, before this call is visible here, and until the outcome of every
/// write of this replica that was unknown is settled.
///
/// Blocks, until the timeout: default 30 s.
///
/// result: on OPJOURNAL_OK `{}`; otherwise the error.
///
/// Returns OPJOURNAL_OK; OPJOURNAL_INVALID: the timeout; OPJOURNAL_BAD_HANDLE; OPJOURNAL_CLOSED; OPJOURNAL_TIMED_OUT; OPJOURNAL_NO_SUCH_STORE;
/// OPJOURNAL_DENIED; OPJOURNAL_UNAVAILABLE; OPJOURNAL_UNSAFE_STORE; OPJOURNAL_UNREADABLE: a segment, which "object" names; OPJOURNAL_ROLLUP_LOST;
/// OPJOURNAL_TOO_LARGE; OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
#[unsafe(no_mangle)]
pub extern "C" fn opjournal_flush(ns: NamespaceId, timeout_ms: i64, result: Option<&mut Buffer>) -> StatusCode {
    call(result, |answer| {
        let handle = open_namespace(ns)?;
        let deadline = timeout::deadline(timeout_ms, timeout::WORK)?;
        process::run(async move { handle.flush(deadline).await })??;
        boundary::write_json(answer, &json!({}));
        Ok(())
    })
}

/// Moves an unreadable segment aside, so that the namespace can be folded and opened again. For people: what the segment holds takes no
/// effect from then on; its object is kept in the bucket. Refused for a segment that this library can read, and for one of a newer format.
///
/// Blocks, until the timeout: default 30 s.
///
/// key, key_len: the segment, as "segment" or "object" of the error names it.
/// result: on OPJOURNAL_OK `{"moved_to":KEY}`; otherwise the error.
///
/// Returns OPJOURNAL_OK; OPJOURNAL_INVALID: the timeout, or the key: no segment's, not listed, readable, or of a newer format;
/// OPJOURNAL_BAD_HANDLE; OPJOURNAL_CLOSED; OPJOURNAL_TIMED_OUT: doing it again is safe; OPJOURNAL_NO_SUCH_STORE; OPJOURNAL_DENIED;
/// OPJOURNAL_UNAVAILABLE; OPJOURNAL_UNSAFE_STORE; OPJOURNAL_UNREADABLE: the rollup; OPJOURNAL_ROLLUP_LOST; OPJOURNAL_READ_ONLY;
/// OPJOURNAL_TOO_LARGE; OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn opjournal_quarantine(
    ns: NamespaceId,
    key: *const c_char,
    key_len: usize,
    timeout_ms: i64,
    result: Option<&mut Buffer>,
) -> StatusCode {
    call(result, |answer| {
        let handle = open_namespace(ns)?;
        // SAFETY: the caller lends `key_len` bytes at `key` for the call.
        let key = unsafe { input::text("key", key, key_len) }?.to_owned();
        let deadline = timeout::deadline(timeout_ms, timeout::WORK)?;
        let moved = process::run(async move { handle.journal.until_ended(handle.engine.quarantine(&key, deadline)).await })??;
        boundary::write_json(answer, &json!({ "moved_to": moved }));
        Ok(())
    })
}

/// Opens a namespace as opjournal_namespace_open() does, and delivers the handle to a queue as a completion of kind
/// OPJOURNAL_KIND_NAMESPACE_OPEN.
///
/// Never blocks. Accepted means exactly one completion; refused means none.
///
/// name, name_len: as for opjournal_namespace_open(). tag: comes back with the completion. timeout_ms: bounds the wait; default 30 s.
/// result: on OPJOURNAL_OK `{}`; otherwise the error. The completion's result is `{"namespace":HANDLE}`, or the error.
///
/// Returns OPJOURNAL_OK: accepted; OPJOURNAL_INVALID: the name or the timeout; OPJOURNAL_BAD_HANDLE; OPJOURNAL_CLOSED; OPJOURNAL_BUSY: no free slot
/// in the queue; OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
/// The completion: what opjournal_namespace_open() returns, or OPJOURNAL_CANCELLED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn opjournal_namespace_open_async(
    journal: JournalId,
    queue: QueueId,
    tag: u64,
    name: *const c_char,
    name_len: usize,
    timeout_ms: i64,
    result: Option<&mut Buffer>,
) -> StatusCode {
    call(result, |answer| {
        let handle = open_journal(journal)?;
        // SAFETY: the caller lends `name_len` bytes at `name` for the call.
        let name = unsafe { input::namespace_name(name, name_len) }?.to_owned();
        let deadline = timeout::deadline(timeout_ms, timeout::WORK)?;
        let slot = queue::reserve(queue, tag, Kind::NamespaceOpen)?.for_task();
        process::start()?.runtime.spawn(async move {
            let opened = slot.unless_cancelled(handle.open_namespace(&name, deadline)).await;
            slot.complete(opened.and_then(NamespaceHandle::register).map(|id| json!({ "namespace": id })));
        });
        boundary::write_json(answer, &json!({}));
        Ok(())
    })
}

/// Writes a batch as opjournal_apply() does, and delivers the outcome to a queue as a completion of kind OPJOURNAL_KIND_APPLY. The ops are
/// checked before the call returns. Batches take effect in the order in which they were submitted through one handle; their completions
/// may come in another order.
///
/// Never blocks. Accepted means exactly one completion; refused means none, and that nothing is written.
///
/// ops, ops_len: as for opjournal_apply(). tag: comes back with the completion. timeout_ms: bounds the wait; default 30 s.
/// result: on OPJOURNAL_OK `{}`; otherwise the error. The completion's result is that of opjournal_apply().
///
/// Returns OPJOURNAL_OK: accepted; OPJOURNAL_INVALID: the ops or the timeout; OPJOURNAL_BAD_HANDLE; OPJOURNAL_CLOSED; OPJOURNAL_BUSY: no free slot in
/// the queue, or over the limit "waiting_bytes"; OPJOURNAL_NOT_READY; OPJOURNAL_UNSAFE_STORE; OPJOURNAL_READ_ONLY; OPJOURNAL_TOO_LARGE;
/// OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
/// The completion: what opjournal_apply() returns, or OPJOURNAL_CANCELLED: with outcome "none" where the batch was withdrawn before it was
/// sent, "unknown" where it was already on its way.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn opjournal_apply_async(
    ns: NamespaceId,
    queue: QueueId,
    tag: u64,
    ops: *const c_char,
    ops_len: usize,
    timeout_ms: i64,
    result: Option<&mut Buffer>,
) -> StatusCode {
    call(result, |answer| {
        // SAFETY: the caller lends `ops_len` bytes at `ops` for the call.
        let ops = unsafe { input::text("ops", ops, ops_len) }?;
        let handle = open_namespace(ns)?;
        let deadline = timeout::deadline(timeout_ms, timeout::WORK)?;
        let slot = queue::reserve(queue, tag, Kind::Apply)?;
        let write = match handle.engine.submit(ops.as_bytes(), deadline) {
            Ok(write) => write,
            Err(refused) => {
                slot.release();
                return Err(refused);
            }
        };
        // No task of its own: whoever learns what became of the batch delivers its completion.
        slot.is_of(&write);
        write.listen(move |ended| {
            slot.complete(ended.map(|applied| {
                let mut text = Vec::new();
                write_applied(&mut text, &applied);
                text
            }));
        });
        boundary::write_json(answer, &json!({}));
        Ok(())
    })
}

/// Flushes as opjournal_flush() does, and delivers the answer to a queue as a completion of kind OPJOURNAL_KIND_FLUSH.
///
/// Never blocks. Accepted means exactly one completion; refused means none.
///
/// tag: comes back with the completion. timeout_ms: bounds the wait; default 30 s.
/// result: on OPJOURNAL_OK `{}`; otherwise the error. The completion's result is that of opjournal_flush().
///
/// Returns OPJOURNAL_OK: accepted; OPJOURNAL_INVALID: the timeout; OPJOURNAL_BAD_HANDLE; OPJOURNAL_CLOSED; OPJOURNAL_BUSY: no free slot in the
/// queue; OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
/// The completion: what opjournal_flush() returns, or OPJOURNAL_CANCELLED.
#[unsafe(no_mangle)]
pub extern "C" fn opjournal_flush_async(
    ns: NamespaceId,
    queue: QueueId,
    tag: u64,
    timeout_ms: i64,
    result: Option<&mut Buffer>,
) -> StatusCode {
    call(result, |answer| {
        let handle = open_namespace(ns)?;
        let deadline = timeout::deadline(timeout_ms, timeout::WORK)?;
        let slot = queue::reserve(queue, tag, Kind::Flush)?.for_task();
        process::start()?.runtime.spawn(async move {
            let flushed = slot.unless_cancelled(handle.flush(deadline)).await;
            slot.complete(flushed.map(|()| json!({})));
        });
        boundary::write_json(answer, &json!({}));
        Ok(())
    })
}

/// Takes out every handle on a namespace of `journal`.
pub(super) fn forget_all(journal: &Arc<JournalHandle>) {
    NAMESPACES.remove_where(|handle| Arc::ptr_eq(&handle.journal, journal));
}

/// The namespace behind a handle, while its journal takes work.
fn open_namespace(ns: NamespaceId) -> Result<Arc<NamespaceHandle>, Error> {
    let handle = NAMESPACES.get(ns.0).map_err(|status| Handle::Namespace.error(status))?;
    handle.journal.check_open()?;
    Ok(handle)
}

/// Writes `{"segment":KEY}`. A key has no character that JSON spells in another way.
fn write_applied(out: &mut Vec<u8>, applied: &Applied) {
    let parts = [r#"{"segment":""#, &applied.segment, r#""}"#];
    out.reserve_exact(parts.iter().map(|part| part.len()).sum());
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

impl NamespaceHandle {
    pub(super) fn new(engine: Namespace, journal: Arc<JournalHandle>) -> NamespaceHandle {
        NamespaceHandle { engine, journal }
    }

    /// Gives the handle its number; closes it where there is none left.
    fn register(self) -> Result<u64, Error> {
        let handle = Arc::new(self);
        let id = NAMESPACES.insert(handle.clone()).inspect_err(|_| handle.engine.close())?;
        // A journal that ended since has forgotten its namespaces already, and not this one.
        if handle.journal.has_ended() {
            NAMESPACES.remove(id);
            return Err(Handle::Journal.error(Status::Closed));
        }
        Ok(id)
    }

    async fn flush(&self, deadline: Option<crate::time::Reading>) -> Result<(), Error> {
        self.journal.until_ended(self.engine.flush(deadline)).await
    }
}
