//! A world in one thread: a simulated clock, a scheduler that a seed decides, and processes that freeze, thaw and crash.
//!
//! Nothing here knows the journal. A [`Process`] implements the engine's `Environment`; everything that a process spawns
//! belongs to it and goes when it crashes. What is outside of every process (the store, the network, whoever freezes and
//! kills) runs as events of the world.

mod panics;
mod process;
mod scheduler;
mod sleep;
#[cfg(test)]
mod tests;

pub use process::Process;
pub use sleep::Sleep;

use super::dice::Dice;
use scheduler::{Task, TaskId, Timer};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// Nanoseconds since the world began.
pub type Time = u64;

pub const MICROSECOND: Time = 1_000;
pub const MILLISECOND: Time = 1_000_000;
pub const SECOND: Time = 1_000_000_000;

/// Names a process for the whole run: one that is started anew is another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId(pub u32);

/// How the scheduler behaves; a seed draws it.
#[derive(Clone, Copy, Debug)]
pub struct Scheduling {
    /// Ready tasks run in a random order instead of first come, first served.
    pub shuffled: bool,
    /// A timer fires up to this much late.
    pub timer_slack: Time,
    /// A long computation takes up to this much.
    pub compute: Time,
    /// The clocks of processes run up to this many parts in a million fast or slow.
    pub drift_ppm: u64,
}

/// A task that panicked.
#[derive(Clone, Debug)]
pub struct Panicked {
    pub at: Time,
    pub process: String,
    pub task: &'static str,
    pub message: String,
}

struct Inhabitant {
    name: String,
    alive: bool,
    frozen: bool,
    /// Tasks that were woken while the process was frozen.
    parked: Vec<TaskId>,
}

struct Inner {
    now: Time,
    /// Breaks ties between timers of one moment: first set, first fired.
    timers_set: u64,
    timers: BTreeMap<(Time, u64), Timer>,
    /// By number; those that ended are gone.
    tasks: Vec<Option<Task>>,
    ready: VecDeque<TaskId>,
    processes: Vec<Inhabitant>,
    scheduling: Scheduling,
    dice: Dice,
    hash: u64,
    /// Polls since the clock last moved.
    steps_at_this_moment: u64,
    panics: Vec<Panicked>,
    trace: Option<Vec<(Time, String)>>,
}

struct Shared {
    /// The same as in `inner`, for those who only look.
    now: AtomicU64,
    is_traced: AtomicBool,
    inner: Mutex<Inner>,
    /// Apart from `inner`: a waker may be used at any time, also by code that runs while the world decides.
    woken: Mutex<Vec<TaskId>>,
}

/// The world. Cheap to clone; all clones are the same world.
#[derive(Clone)]
pub struct World(Arc<Shared>);

impl World {
    pub fn new(seed: u64, scheduling: Scheduling) -> World {
        World(Arc::new(Shared {
            now: AtomicU64::new(SECOND),
            is_traced: AtomicBool::new(false),
            inner: Mutex::new(Inner {
                // Not zero, so that a clock that starts at zero is not mistaken for the world's.
                now: SECOND,
                timers_set: 0,
                timers: BTreeMap::new(),
                tasks: Vec::new(),
                ready: VecDeque::new(),
                processes: Vec::new(),
                scheduling,
                dice: Dice::new(seed, "world"),
                hash: 0xcbf2_9ce4_8422_2325,
                steps_at_this_moment: 0,
                panics: Vec::new(),
                trace: None,
            }),
            woken: Mutex::new(Vec::new()),
        }))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A panic inside a task is caught outside of the lock, so that the lock is never poisoned.
        self.0.inner.lock().expect("the world's own code does not panic")
    }

    pub fn now(&self) -> Time {
        self.0.now.load(Ordering::Relaxed)
    }

    /// Stops polling the tasks of a process until it is thawed. Its clock goes on.
    pub fn freeze(&self, process: ProcessId) {
        self.inner().processes[process.0 as usize].frozen = true;
        self.note(|| format!("{} freezes", self.name(process)));
    }

    pub fn thaw(&self, process: ProcessId) {
        let mut inner = self.inner();
        let inhabitant = &mut inner.processes[process.0 as usize];
        inhabitant.frozen = false;
        let parked = std::mem::take(&mut inhabitant.parked);
        inner.ready.extend(parked);
        drop(inner);
        self.note(|| format!("{} thaws", self.name(process)));
    }

    /// Ends a process: its tasks are dropped where they stand, its memory is gone. What it had sent stays sent.
    pub fn crash(&self, process: ProcessId) {
        self.note(|| format!("{} ends", self.name(process)));
        let mut inner = self.inner();
        inner.processes[process.0 as usize].alive = false;
        // Dropped outside of the lock: what a future holds may set timers and wake tasks as it goes.
        let dropped: Vec<Task> = inner.tasks.iter_mut().filter_map(|place| place.take_if(|task| task.process == process)).collect();
        drop(inner);
        drop(dropped);
    }

    pub fn is_alive(&self, process: ProcessId) -> bool {
        self.inner().processes[process.0 as usize].alive
    }

    pub fn name(&self, process: ProcessId) -> String {
        self.inner().processes[process.0 as usize].name.clone()
    }

    /// Runs `event` at a moment of the world, outside of every process.
    pub fn at(&self, when: Time, event: impl FnOnce() + Send + 'static) {
        self.set_timer(when, Timer::Event(Box::new(event)));
    }

    /// The panics so far. A world in which something panicked runs no further.
    pub fn panics(&self) -> Vec<Panicked> {
        self.inner().panics.clone()
    }

    /// Ends every process and forgets every event. Futures, timers and the store hold the world and it holds them: without
    /// this a finished run would stay in memory.
    pub fn end(&self) {
        let mut inner = self.inner();
        for inhabitant in &mut inner.processes {
            inhabitant.alive = false;
        }
        let tasks = std::mem::take(&mut inner.tasks);
        let timers = std::mem::take(&mut inner.timers);
        drop(inner);
        drop(tasks);
        drop(timers);
        // Dropping those may have set further timers.
        let late = std::mem::take(&mut self.inner().timers);
        drop(late);
    }

    /// How many hold the world. Whatever is left of a replica does.
    pub fn holders(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    /// Adds to the hash that tells two runs apart.
    pub fn mix(&self, value: u64) {
        self.inner().mix(value);
    }

    /// A number that two runs of the same seed have in common, and hardly any others.
    pub fn hash(&self) -> u64 {
        self.inner().hash
    }

    /// Keeps what [`World::note`] is told from now on.
    pub fn keep_trace(&self) {
        self.inner().trace = Some(Vec::new());
        self.0.is_traced.store(true, Ordering::Relaxed);
    }

    pub fn is_traced(&self) -> bool {
        self.0.is_traced.load(Ordering::Relaxed)
    }

    /// Adds a line to the trace, where one is kept.
    pub fn note(&self, line: impl FnOnce() -> String) {
        if self.is_traced() {
            let line = line();
            let mut inner = self.inner();
            let now = inner.now;
            if let Some(trace) = &mut inner.trace {
                trace.push((now, line));
            }
        }
    }

    pub fn take_trace(&self) -> Vec<(Time, String)> {
        self.0.is_traced.store(false, Ordering::Relaxed);
        self.inner().trace.take().unwrap_or_default()
    }
}

impl Inner {
    fn mix(&mut self, value: u64) {
        self.hash = (self.hash.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
