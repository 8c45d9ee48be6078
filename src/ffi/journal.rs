//! `opjournal_journal`: a replica, opened once.

use super::boundary::{self, call};
use super::buffer::Buffer;
use super::namespace::NamespaceHandle;
use super::process;
use super::queue::{self, Kind, QueueId};
use super::status::StatusCode;
use super::table::{Handle, Table};
use super::{input, timeout};
use crate::config::Config;
use crate::environment;
use crate::error::{Error, Status};
use crate::journal::{Closed, Journal};
use crate::time::Reading;
use serde_json::{Value, json};
use std::ffi::c_char;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

/// An open journal: a replica of its own, from opjournal_open().
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct JournalId(pub u64);

/// What an `opjournal_journal` stands for.
pub(super) struct JournalHandle {
    engine: Journal,
    /// Set when the first close begins: from then on nothing new is taken.
    closing: AtomicBool,
    /// True once a close has ended. Ends every wait that the engine has left.
    ended: watch::Sender<bool>,
}

static JOURNALS: Table<JournalHandle> = Table::new(Handle::Journal);

/// Opens a journal: checks the configuration, the credentials, and that the bucket or directory is there. Writes nothing. Each call opens a
/// replica of its own, with its own state, writer and connections, also on a store that is open already.
///
/// Blocks: at most 10 seconds.
///
/// config, config_len: the configuration, a JSON object; every member stands in docs/c-abi.md. `{"store":"s3://BUCKET/ROOT"}` is enough
/// for S3, `{"store":"file:///DIR"}` for a directory, `{"store":"memory:NAME"}` for the memory of this process.
/// out: where the handle is written on OPJOURNAL_OK. Close it with opjournal_close().
/// result: on OPJOURNAL_OK `{"warnings":[TEXT,...]}`; otherwise the error; the member "member" names what is wrong in the configuration.
///
/// Returns OPJOURNAL_OK; OPJOURNAL_INVALID: the configuration is wrong; OPJOURNAL_NO_SUCH_STORE; OPJOURNAL_DENIED; OPJOURNAL_UNAVAILABLE;
/// OPJOURNAL_TIMED_OUT; OPJOURNAL_TOO_LARGE: the configuration is longer than 1 MiB; OPJOURNAL_BUSY: too many
/// journals are open (65,536); OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn opjournal_open(
    config: *const c_char,
    config_len: usize,
    out: Option<&mut MaybeUninit<JournalId>>,
    result: Option<&mut Buffer>,
) -> StatusCode {
    call(result, |answer| {
        // SAFETY: the caller lends `config_len` bytes at `config` for the call.
        let text = unsafe { input::bytes("config", config, config_len) }?;
        let out = input::out("out", out)?;
        if text.len() > MAX_CONFIG_BYTES {
            return Err(Error::new(
                Status::TooLarge,
                format!("the configuration has {} bytes; the limit is {MAX_CONFIG_BYTES}", text.len()),
            ));
        }
        let (config, warnings) = Config::parse(text)?;
        let process = process::start()?;
        let deadline = timeout::deadline(timeout::OPJOURNAL_TIMEOUT_DEFAULT, timeout::OPEN)?;
        let engine = process::run(open(config, deadline))??;
        let handle = Arc::new(JournalHandle { engine, closing: AtomicBool::new(false), ended: watch::Sender::new(false) });
        match JOURNALS.insert(handle.clone()) {
            Ok(id) => {
                boundary::write_json(answer, &json!({ "warnings": warnings }));
                out.write(JournalId(id));
                Ok(())
            }
            Err(full) => {
                // Nothing was submitted, so there is nothing to wait for.
                let now = process.environment.now();
                process::run(async move { handle.close(Some(now)).await })?.ok();
                Err(full)
            }
        }
    })
}

/// Closes a journal with all its namespaces: takes no more work, waits for the writes that are on their way until the timeout, and always
/// closes: at the timeout it returns OPJOURNAL_TIMED_OUT and lists the segments whose outcome stays unknown; the journal is closed all the
/// same. Calls that wait on the journal end; every completion that is owed is delivered. Handles on its namespaces may be closed before or
/// after. Closing twice is OK.
///
/// Blocks, until the timeout: default 10 s.
///
/// result: on OPJOURNAL_OK `{"unknown":[]}`; on OPJOURNAL_TIMED_OUT the error, with outcome "unknown" and "unknown": the segments, as
/// "NAMESPACE/SEGMENT".
///
/// Returns OPJOURNAL_OK: closed, now or earlier; OPJOURNAL_TIMED_OUT: closed, with writes whose outcome is unknown; OPJOURNAL_INVALID: the
/// timeout; OPJOURNAL_BAD_HANDLE; OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
#[unsafe(no_mangle)]
pub extern "C" fn opjournal_close(journal: JournalId, timeout_ms: i64, result: Option<&mut Buffer>) -> StatusCode {
    call(result, |answer| {
        let handle = match JOURNALS.get(journal.0) {
            Ok(handle) => handle,
            Err(Status::Closed) => {
                boundary::write_json(answer, &closed_json(&Closed::default()));
                return Ok(());
            }
            Err(status) => return Err(Handle::Journal.error(status)),
        };
        let deadline = timeout::deadline(timeout_ms, timeout::CLOSE)?;
        handle.closing.store(true, Ordering::SeqCst);
        let closing = handle.clone();
        let closed = process::run(async move { closing.close(deadline).await })?;
        handle.forget(journal);
        boundary::write_json(answer, &closed_json(&closed?));
        Ok(())
    })
}

/// Figures of a journal and its namespaces, for people and monitors: what is open, how old each state is, what waits, what failed last. No
/// secrets.
///
/// Never blocks.
///
/// result: on OPJOURNAL_OK a JSON object; its members stand in docs/c-abi.md.
///
/// Returns OPJOURNAL_OK; OPJOURNAL_BAD_HANDLE; OPJOURNAL_CLOSED; OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
#[unsafe(no_mangle)]
pub extern "C" fn opjournal_stats(journal: JournalId, result: Option<&mut Buffer>) -> StatusCode {
    call(result, |answer| {
        boundary::write_json(answer, &open_journal(journal)?.engine.stats());
        Ok(())
    })
}

/// Closes a journal as opjournal_close() does, and delivers the answer to a queue as a completion of kind OPJOURNAL_KIND_CLOSE. From the
/// moment it is accepted the journal takes no more work. opjournal_cancel() ends the wait as its timeout would: the completion is then
/// OPJOURNAL_CANCELLED, with "unknown", where something stays unknown.
///
/// Never blocks. Accepted means exactly one completion; refused means none, and the journal stays open.
///
/// tag: comes back with the completion. timeout_ms: bounds the wait; default 10 s.
/// result: on OPJOURNAL_OK `{}`; otherwise the error. The completion's result is that of opjournal_close().
///
/// Returns OPJOURNAL_OK: accepted; OPJOURNAL_INVALID: the timeout; OPJOURNAL_BAD_HANDLE; OPJOURNAL_CLOSED: the queue, or the journal already;
/// OPJOURNAL_BUSY: no free slot in the queue; OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
/// The completion: OPJOURNAL_OK; OPJOURNAL_TIMED_OUT; OPJOURNAL_CANCELLED; OPJOURNAL_INTERNAL.
#[unsafe(no_mangle)]
pub extern "C" fn opjournal_close_async(
    journal: JournalId,
    queue: QueueId,
    tag: u64,
    timeout_ms: i64,
    result: Option<&mut Buffer>,
) -> StatusCode {
    call(result, |answer| {
        let handle = open_journal(journal)?;
        let deadline = timeout::deadline(timeout_ms, timeout::CLOSE)?;
        let slot = queue::reserve(queue, tag, Kind::Close)?.for_task();
        let process = process::start()?;
        handle.closing.store(true, Ordering::SeqCst);
        process.runtime.spawn(async move {
            let ended = tokio::select! {
                biased;
                ended = handle.close(deadline) => ended,
                () = slot.cancelled() => handle.close(Some(process.environment.now())).await.map_err(cancelled_close),
            };
            handle.forget(journal);
            slot.complete(ended.map(|closed| closed_json(&closed)));
        });
        boundary::write_json(answer, &json!({}));
        Ok(())
    })
}

/// The longest configuration that is read.
const MAX_CONFIG_BYTES: usize = 1 << 20;

async fn open(config: Config, deadline: Option<Reading>) -> Result<Journal, Error> {
    let environment = process::start()?.environment.clone();
    let opening = async { crate::store::open(&config).await };
    let store = match environment::until(&environment, deadline, opening).await {
        Ok(store) => store?,
        Err(environment::Elapsed) => {
            let message = format!("{} was not set up in time: its credentials did not come", config.store);
            return Err(Error::new(Status::TimedOut, message));
        }
    };
    let url = store.url().to_owned();
    let journal = Journal::open(config.settings, store, environment, deadline).await?;
    tracing::info!(store = url, "a journal was opened");
    Ok(journal)
}

/// The journal behind a handle, while it takes work.
pub(super) fn open_journal(journal: JournalId) -> Result<Arc<JournalHandle>, Error> {
    let handle = JOURNALS.get(journal.0).map_err(|status| Handle::Journal.error(status))?;
    handle.check_open()?;
    Ok(handle)
}

fn closed_json(closed: &Closed) -> Value {
    json!({ "unknown": closed.unknown })
}

/// A close whose caller would not wait: what its deadline left open, by its right name.
fn cancelled_close(error: Error) -> Error {
    match error.status {
        Status::TimedOut => Error { status: Status::Cancelled, retryable: false, ..error },
        _ => error,
    }
}

impl JournalHandle {
    /// Fails with CLOSED once a close has begun. Two loads of memory that is almost never written: fit for the hot path.
    pub(super) fn check_open(&self) -> Result<(), Error> {
        if self.closing.load(Ordering::Acquire) { Err(Handle::Journal.error(Status::Closed)) } else { Ok(()) }
    }

    async fn close(&self, deadline: Option<Reading>) -> Result<Closed, Error> {
        let closed = self.engine.close(deadline).await;
        if !self.ended.send_replace(true) {
            match &closed {
                Ok(_) => tracing::info!("a journal was closed"),
                Err(error) => tracing::warn!(error = %error, "a journal was closed with writes whose outcome is unknown"),
            }
        }
        closed
    }

    /// Gives back what the journal, now closed, still held, all its namespaces too: not every host closes their handles as well.
    fn forget(self: &Arc<Self>, journal: JournalId) {
        JOURNALS.remove(journal.0);
        super::namespace::forget_all(self);
    }

    /// Whether a close of the journal has ended.
    pub(super) fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Ends when a close of the journal has ended.
    pub(super) async fn ended(&self) {
        // The sender lives as long as `self`, so this cannot fail.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// Waits for `work`, but not past the end of the journal.
    pub(super) async fn until_ended<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::select! {
            biased;
            done = work => done,
            () = self.ended() => Err(Handle::Journal.error(Status::Closed)),
        }
    }

    /// Opens a namespace of this journal.
    pub(super) async fn open_namespace(self: &Arc<Self>, name: &str, deadline: Option<Reading>) -> Result<NamespaceHandle, Error> {
        let engine = self.until_ended(self.engine.namespace(name, deadline)).await?;
        tracing::info!(namespace = name, "a namespace was opened");
        Ok(NamespaceHandle::new(engine, self.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffi::namespace::opjournal_namespace_open;

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no clock that counts suspend")]
    fn a_journal_is_given_back_when_it_is_closed_though_its_namespaces_are_not() {
        let (config, name) = (r#"{"store":"memory:given-back"}"#, "a");
        let (mut journal, mut ns) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        // SAFETY: the texts are as long as is said.
        let opened = unsafe { opjournal_open(config.as_ptr().cast(), config.len(), Some(&mut journal), None) };
        assert_eq!(opened, Status::Ok as StatusCode);
        // SAFETY: it was opened.
        let journal = unsafe { journal.assume_init() };
        // SAFETY: as above.
        let opened = unsafe { opjournal_namespace_open(journal, name.as_ptr().cast(), name.len(), -1, Some(&mut ns), None) };
        assert_eq!(opened, Status::Ok as StatusCode);
        let held = JOURNALS.get(journal.0).map(|handle| Arc::downgrade(&handle)).expect("open");
        assert_eq!(opjournal_close(journal, -1, None), Status::Ok as StatusCode);
        assert!(held.upgrade().is_none());
    }
}
