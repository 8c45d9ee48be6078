//! A replica: one store, opened once, and the namespaces that are open on it.

use super::alarm;
use super::commit;
use super::core::Core;
use super::helped::Helped;
use super::histogram::Histogram;
use super::key::Places;
use super::requests::Requests;
use super::sync::{self, Sharing};
use super::timing::Timing;
use crate::config::Settings;
use crate::environment::Environment;
use crate::error::{Error, Status};
use crate::store::{Store, probe};
use crate::time::Reading;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// How long a closed namespace's tasks are given to end.
const UNTIL_STOPPED: std::time::Duration = std::time::Duration::from_secs(1);

pub struct Replica {
    pub settings: Settings,
    pub timing: Timing,
    pub requests: Requests,
    /// Good ticks, and folds that were done.
    pub ticks: Histogram,
    pub folds: Histogram,
    /// Held by the namespace whose tick takes a LIST for all.
    pub sharing: tokio::sync::Mutex<Sharing>,
    namespaces: Mutex<Namespaces>,
    /// A namespace ended.
    ended: Notify,
    /// Whether the store was proved to honour conditions, or why it is not to be written to.
    tested: tokio::sync::Mutex<Option<Result<(), Error>>>,
}

#[derive(Default)]
struct Namespaces {
    open: BTreeMap<String, Open>,
    is_closed: bool,
}

struct Open {
    core: Arc<Core>,
    handles: usize,
}

impl Replica {
    pub fn new(settings: Settings, store: Arc<dyn Store>, environment: Arc<dyn Environment>) -> Replica {
        Replica {
            timing: Timing::new(&settings),
            settings,
            requests: Requests::new(store, environment),
            ticks: Histogram::default(),
            folds: Histogram::default(),
            sharing: tokio::sync::Mutex::default(),
            namespaces: Mutex::default(),
            ended: Notify::new(),
            tested: tokio::sync::Mutex::new(None),
        }
    }

    fn namespaces(&self) -> MutexGuard<'_, Namespaces> {
        self.namespaces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn open_cores(&self) -> Vec<Arc<Core>> {
        self.namespaces().open.values().map(|open| open.core.clone()).collect()
    }

    /// Proves, before the first conditional write, that the store honours conditions. Only a lasting answer is
    /// remembered.
    pub async fn ensure_safe(&self) -> Result<(), Error> {
        if self.requests.store.is_trusted() {
            return Ok(());
        }
        let mut tested = self.tested.lock().await;
        if let Some(result) = &*tested {
            return result.clone();
        }
        let result = probe::probe(&*self.requests.store, &self.requests.environment).await;
        match &result {
            Ok(()) => *tested = Some(Ok(())),
            Err(error) if error.status == Status::UnsafeStore => {
                tracing::error!(store = self.requests.store.url(), error = %error, "nothing is written to this store");
                *tested = Some(Err(error.clone()));
            }
            Err(_) => {}
        }
        result
    }

    /// The namespace `name`, with one handle more. Its tasks are started where it was not open.
    pub fn open_namespace(self: &Arc<Self>, name: &str) -> Result<Arc<Core>, Error> {
        let places = Places::of(name)?;
        let mut namespaces = self.namespaces();
        if namespaces.is_closed {
            return Err(Error::new(Status::Closed, "the journal was closed"));
        }
        if let Some(open) = namespaces.open.get_mut(name) {
            open.handles += 1;
            // It may have been about to close: it goes on, so that what is in its line keeps its place before what
            // follows.
            open.core.set_closing(false);
            return Ok(open.core.clone());
        }
        let core = Arc::new(Core::new(name, places, self.clone()));
        namespaces.open.insert(name.to_owned(), Open { core: core.clone(), handles: 1 });
        let environment = &self.requests.environment;
        environment.spawn("sync", Box::pin(sync::run(core.clone())));
        environment.spawn("alarm", Box::pin(alarm::run(core.clone())));
        let committer = Helped::new(Box::pin(commit::run(core.clone())));
        core.committer.get_or_init(|| Arc::downgrade(&committer));
        environment.spawn("commit", Box::pin(committer.run()));
        Ok(core)
    }

    /// Gives up one handle. The last one closes the namespace once its accepted writes are finished.
    pub fn release(&self, core: &Arc<Core>) {
        let mut namespaces = self.namespaces();
        // An abandoned namespace may have been opened anew under the same name.
        let Some(open) = namespaces.open.get_mut(&core.name).filter(|open| Arc::ptr_eq(&open.core, core)) else { return };
        open.handles -= 1;
        if open.handles == 0 {
            core.set_closing(true);
        }
    }

    /// Ends a namespace that is closing and has nothing left to send. `false`: it was opened again, or has.
    pub fn retire(&self, core: &Arc<Core>) -> bool {
        let mut namespaces = self.namespaces();
        if !core.is_closing() || !core.line().is_empty() {
            return false;
        }
        namespaces.open.remove(&core.name);
        drop(namespaces);
        core.end();
        self.ended.notify_waiters();
        true
    }

    /// Ends a namespace of which a task has stopped that should not have. The next open begins anew.
    pub fn abandon(&self, core: &Core) {
        let mut namespaces = self.namespaces();
        if namespaces.open.get(&core.name).is_some_and(|open| std::ptr::eq(&*open.core, core)) {
            namespaces.open.remove(&core.name);
        }
        drop(namespaces);
        core.end();
        self.ended.notify_waiters();
    }

    /// Takes no more work, lets all namespaces finish until `deadline`, and ends them. Returns what is still open.
    pub async fn close(&self, deadline: Option<Reading>) -> Vec<String> {
        let cores: Vec<Arc<Core>> = {
            let mut namespaces = self.namespaces();
            namespaces.is_closed = true;
            namespaces.open.values().map(|open| open.core.clone()).collect()
        };
        for core in &cores {
            core.set_closing(true);
        }
        let all_ended = async {
            loop {
                let ended = self.ended.notified();
                if self.namespaces().open.is_empty() {
                    return;
                }
                ended.await;
            }
        };
        // What is not done by the deadline is told below.
        let _ = crate::environment::until(&self.requests.environment, deadline, all_ended).await;
        self.end_all();
        let mut unknown = Vec::new();
        for core in cores {
            // Its tasks end at their next step; one that does not is not waited for.
            let _ = crate::environment::within(&self.requests.environment, UNTIL_STOPPED, core.until_stopped()).await;
            unknown.extend(core.outcomes().unknown().into_iter().map(|key| format!("{}/{key}", core.name)));
        }
        unknown
    }

    /// Ends all namespaces now, and gives up the store.
    pub fn end_all(&self) {
        let open = {
            let mut namespaces = self.namespaces();
            namespaces.is_closed = true;
            std::mem::take(&mut namespaces.open)
        };
        for open in open.into_values() {
            open.core.end();
        }
        self.ended.notify_waiters();
        // The tasks hold the store until they have heard of it. Who is told of a close may open the store again before.
        self.requests.store.release();
    }

    pub fn stats(&self) -> Value {
        let (counters, durations) = (&self.requests.counters, &self.requests.durations);
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let namespaces: serde_json::Map<String, Value> = self.open_cores().iter().map(|core| (core.name.clone(), core.stats())).collect();
        json!({
            "store": self.requests.store.url(),
            "read_only": self.settings.read_only,
            "requests": {
                "list": read(&counters.list),
                "get": read(&counters.get),
                "put": read(&counters.put),
                "delete": read(&counters.delete),
                "failed": read(&counters.failed),
                "bytes_read": read(&counters.bytes_read),
                "bytes_written": read(&counters.bytes_written),
            },
            "durations": {
                "list": durations.list.to_json(),
                "get": durations.get.to_json(),
                "put": durations.put.to_json(),
                "delete": durations.delete.to_json(),
                "tick": self.ticks.to_json(),
                "fold": self.folds.to_json(),
            },
            "namespaces": namespaces,
        })
    }
}
