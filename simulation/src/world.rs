//! A world in one thread: a simulated clock, a scheduler that a seed decides, and processes that freeze, thaw and crash.
//!
//! Nothing here knows the journal. A [`Process`] implements the engine's `Environment`; everything that a process spawns
//! belongs to it and goes when it crashes. What is outside of every process (the store, the network, whoever freezes and
//! kills) runs as events of the world.

use super::dice::Dice;
use futures_util::future::BoxFuture;
use opjournal::environment::Environment;
use opjournal::time::Reading;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

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

type Event = Box<dyn FnOnce() + Send>;
type TaskId = u64;

enum Timer {
    Wake(Waker),
    Event(Event),
}

struct Task {
    process: ProcessId,
    name: &'static str,
    /// Absent while it is polled.
    future: Option<BoxFuture<'static, ()>>,
    waker: Arc<TaskWaker>,
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

/// So many polls without the clock moving mean that something spins.
const SPIN_LIMIT: u64 = 200_000;

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

    /// Starts a process. Its clock has an origin of its own.
    pub fn process(&self, name: impl Into<String>) -> Arc<Process> {
        let mut inner = self.inner();
        let id = ProcessId(inner.processes.len() as u32);
        let name = name.into();
        inner.processes.push(Inhabitant { name: name.clone(), alive: true, frozen: false, parked: Vec::new() });
        let origin = inner.dice.within(SECOND..1_000_000 * SECOND);
        let drift = inner.scheduling.drift_ppm;
        let rate = 1_000_000 - drift + inner.dice.within(0..2 * drift + 1);
        let dice = Mutex::new(Dice::new(inner.dice.next(), "process"));
        Arc::new(Process { world: self.clone(), id, name, origin, started: inner.now, rate, dice })
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

    /// Ends at `when` exactly. For tasks that are not part of what is tested; those have `Environment::sleep_until`.
    pub fn sleep_until(&self, when: Time) -> Sleep {
        Sleep { world: self.clone(), when, timer: None }
    }

    fn set_timer(&self, when: Time, timer: Timer) -> (Time, u64) {
        let mut inner = self.inner();
        let key = (when.max(inner.now), inner.timers_set);
        inner.timers_set += 1;
        inner.timers.insert(key, timer);
        key
    }

    fn spawn(&self, process: ProcessId, name: &'static str, future: BoxFuture<'static, ()>) {
        let mut inner = self.inner();
        if !inner.processes[process.0 as usize].alive {
            drop(inner);
            drop(future);
            return;
        }
        let id = inner.tasks.len() as TaskId;
        let waker = Arc::new(TaskWaker { shared: Arc::downgrade(&self.0), id, woken: AtomicBool::new(true) });
        inner.tasks.push(Some(Task { process, name, future: Some(future), waker }));
        inner.ready.push_back(id);
    }

    /// Runs until `end`, or until something panicked or spins. The clock stands at `end` afterwards.
    pub fn run_until(&self, end: Time) {
        while self.inner().panics.is_empty() && self.step(end) {}
    }

    /// One step: a poll of one task, or one timer. False once nothing is left to do before `end`.
    fn step(&self, end: Time) -> bool {
        let mut inner = self.inner();
        {
            let mut woken = self.0.woken.lock().expect("wakers do not panic");
            // By task, not in the order of waking: `tokio::sync::watch` wakes its receivers in an order that it draws from a dice of its own.
            woken.sort_unstable();
            inner.ready.extend(woken.drain(..));
        }
        if inner.steps_at_this_moment > SPIN_LIMIT {
            let at = inner.now;
            inner.panics.push(Panicked {
                at,
                process: "world".to_owned(),
                task: "scheduler",
                message: format!("{SPIN_LIMIT} polls and the clock has not moved: a task spins"),
            });
            return false;
        }
        if inner.ready.is_empty() {
            let Some((&key, _)) = inner.timers.first_key_value() else {
                self.set_now(&mut inner, end);
                return false;
            };
            if key.0 > end {
                self.set_now(&mut inner, end);
                return false;
            }
            if key.0 > inner.now {
                self.set_now(&mut inner, key.0);
                inner.steps_at_this_moment = 0;
            }
            let timer = inner.timers.remove(&key);
            drop(inner);
            match timer {
                Some(Timer::Wake(waker)) => waker.wake(),
                Some(Timer::Event(event)) => event(),
                None => {}
            }
            return true;
        }
        let id = inner.take_ready();
        let Some(task) = &inner.tasks[id as usize] else { return true };
        let (process, name) = (task.process, task.name);
        let inhabitant = &mut inner.processes[process.0 as usize];
        if inhabitant.frozen {
            inhabitant.parked.push(id);
            return true;
        }
        let task = inner.tasks[id as usize].as_mut().expect("looked up above");
        let Some(mut future) = task.future.take() else { return true };
        task.waker.woken.store(false, Ordering::Relaxed);
        let waker = Waker::from(task.waker.clone());
        inner.steps_at_this_moment += 1;
        let now = inner.now;
        inner.mix(now);
        inner.mix(id);
        drop(inner);

        let polled = panics::caught(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(&waker))));
        let mut inner = self.inner();
        match polled {
            Ok(Poll::Pending) => match &mut inner.tasks[id as usize] {
                Some(task) => task.future = Some(future),
                // Its process was crashed by what it did.
                None => {
                    drop(inner);
                    drop(future);
                }
            },
            Ok(Poll::Ready(())) => {
                let ended = inner.tasks[id as usize].take();
                drop(inner);
                drop((ended, future));
            }
            Err(message) => {
                let process = inner.processes[process.0 as usize].name.clone();
                let at = inner.now;
                inner.panics.push(Panicked { at, process, task: name, message });
                drop(inner);
                // What a future holds after a panic may panic again as it is dropped.
                std::mem::forget(future);
            }
        }
        true
    }

    fn set_now(&self, inner: &mut Inner, now: Time) {
        inner.now = inner.now.max(now);
        self.0.now.store(inner.now, Ordering::Relaxed);
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
    fn take_ready(&mut self) -> TaskId {
        let place = if self.scheduling.shuffled { self.dice.within(0..self.ready.len() as u64) as usize } else { 0 };
        self.ready.remove(place).expect("not empty")
    }

    fn mix(&mut self, value: u64) {
        self.hash = (self.hash.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

struct TaskWaker {
    shared: std::sync::Weak<Shared>,
    id: TaskId,
    /// Whether it waits to be polled already.
    woken: AtomicBool,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if !self.woken.swap(true, Ordering::Relaxed)
            && let Some(shared) = self.shared.upgrade()
        {
            shared.woken.lock().expect("wakers do not panic").push(self.id);
        }
    }
}

/// A wait for a moment of the world.
pub struct Sleep {
    world: World,
    when: Time,
    timer: Option<(Time, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.world.now() >= self.when {
            return Poll::Ready(());
        }
        let waker = Timer::Wake(context.waker().clone());
        match self.timer {
            Some(key) => {
                let mut inner = self.world.inner();
                let old = inner.timers.insert(key, waker);
                drop(inner);
                drop(old);
            }
            None => self.timer = Some(self.world.set_timer(self.when, waker)),
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.timer {
            let timer = self.world.inner().timers.remove(&key);
            drop(timer);
        }
    }
}

/// One process: the `Environment` of the engine that runs in it.
pub struct Process {
    world: World,
    id: ProcessId,
    name: String,
    /// What its clock showed as it started.
    origin: Time,
    started: Time,
    /// Nanoseconds of its clock in a millisecond of the world.
    rate: u64,
    dice: Mutex<Dice>,
}

impl Process {
    pub fn id(&self) -> ProcessId {
        self.id
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn world(&self) -> &World {
        &self.world
    }

    /// The moment of the world at which this process' clock shows `reading`.
    fn moment_of(&self, reading: Reading) -> Time {
        let elapsed = u128::from(reading.0.saturating_sub(self.origin)) * 1_000_000;
        // Rounded up, so that the clock has reached the reading when the timer fires.
        self.started.saturating_add(u64::try_from(elapsed.div_ceil(u128::from(self.rate))).unwrap_or(u64::MAX))
    }

    /// Waits, as the code of a client does.
    pub async fn pause(&self, duration: Time) {
        self.world.sleep_until(self.world.now().saturating_add(duration)).await;
    }

    /// A deadline so far from now, on this process' clock.
    pub fn after(&self, duration: Time) -> Reading {
        self.now() + Duration::from_nanos(duration)
    }
}

impl Environment for Process {
    fn now(&self) -> Reading {
        let elapsed = u128::from(self.world.now() - self.started) * u128::from(self.rate) / 1_000_000;
        Reading(self.origin + elapsed as u64)
    }

    fn sleep_until(&self, when: Reading) -> BoxFuture<'static, ()> {
        let mut moment = self.moment_of(when);
        if moment > self.world.now() {
            let mut inner = self.world.inner();
            let slack = inner.scheduling.timer_slack;
            moment = moment.saturating_add(inner.dice.within(0..slack + 1));
        }
        Box::pin(self.world.sleep_until(moment))
    }

    fn random(&self) -> u64 {
        self.dice.lock().expect("dice do not panic").next()
    }

    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) {
        self.world.spawn(self.id, name, task);
    }

    fn compute(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let mut inner = self.world.inner();
        let longest = inner.scheduling.compute;
        let duration = inner.dice.within(0..longest + 1);
        let end = inner.now + duration;
        drop(inner);
        // A task of its own: a job that was begun goes on when nobody waits for it any more.
        let (ended, wait) = tokio::sync::oneshot::channel();
        let sleep = self.world.sleep_until(end);
        self.world.spawn(
            self.id,
            "compute",
            Box::pin(async move {
                sleep.await;
                job();
                let _ = ended.send(());
            }),
        );
        Box::pin(async move {
            let _ = wait.await;
        })
    }
}

/// Panics of tasks, caught with their message and place, and kept off the terminal.
mod panics {
    use std::cell::RefCell;
    use std::panic::{UnwindSafe, catch_unwind};
    use std::sync::Once;

    thread_local! {
        /// `Some` while a task of a world is polled in this thread.
        static CAUGHT: RefCell<Option<String>> = const { RefCell::new(None) };
    }

    pub fn caught<T>(run: impl FnOnce() -> T + UnwindSafe) -> Result<T, String> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                let kept = CAUGHT.with(|caught| caught.borrow_mut().as_mut().map(|text| *text = panic.to_string()).is_some());
                if !kept {
                    before(panic);
                }
            }));
        });
        CAUGHT.with(|caught| *caught.borrow_mut() = Some(String::new()));
        let result = catch_unwind(run);
        let message = CAUGHT.with(|caught| caught.borrow_mut().take()).unwrap_or_default();
        result.map_err(|_| message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Scheduling {
        Scheduling { shuffled: false, timer_slack: 0, compute: 0, drift_ppm: 0 }
    }

    fn log() -> (Arc<Mutex<Vec<String>>>, impl Fn(String) + Clone + Send + Sync) {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let writer = lines.clone();
        (lines, move |line| writer.lock().expect("lines").push(line))
    }

    #[test]
    fn the_clock_jumps_to_the_next_timer() {
        let world = World::new(1, plain());
        let process = world.process("one");
        let (lines, write) = log();
        for (name, seconds) in [("late", 7), ("early", 3)] {
            let (process, write) = (process.clone(), write.clone());
            let wait = process.sleep_until(process.after(seconds * SECOND));
            process.clone().spawn(
                name,
                Box::pin(async move {
                    wait.await;
                    write(format!("{name} {}", process.world().now() / SECOND));
                }),
            );
        }
        world.run_until(100 * SECOND);
        assert_eq!(*lines.lock().expect("lines"), ["early 4", "late 8"]);
        assert_eq!(world.now(), 100 * SECOND);
    }

    #[test]
    fn a_frozen_process_does_nothing_while_its_clock_goes_on() {
        let world = World::new(1, plain());
        let process = world.process("one");
        let (lines, write) = log();
        let (inside, began) = (process.clone(), process.now());
        process.spawn(
            "waits",
            Box::pin(async move {
                inside.sleep_until(began + Duration::from_secs(1)).await;
                write(format!("{:?}", inside.now().since(began)));
            }),
        );
        world.freeze(process.id());
        world.run_until(50 * SECOND);
        assert!(lines.lock().expect("lines").is_empty());
        world.thaw(process.id());
        world.run_until(60 * SECOND);
        assert_eq!(*lines.lock().expect("lines"), ["49s"]);
    }

    #[test]
    fn a_crash_drops_the_tasks_of_its_process_only() {
        struct Dropped(&'static str, Arc<Mutex<Vec<String>>>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                self.1.lock().expect("lines").push(self.0.to_owned());
            }
        }
        let world = World::new(1, plain());
        let (lines, _) = log();
        let processes = [("a", world.process("a")), ("b", world.process("b"))];
        for (name, process) in &processes {
            let guard = Dropped(name, lines.clone());
            let world = world.clone();
            process.spawn(
                "sleeper",
                Box::pin(async move {
                    let _guard = guard;
                    world.sleep_until(Time::MAX).await;
                }),
            );
        }
        world.run_until(2 * SECOND);
        world.crash(processes[0].1.id());
        assert_eq!(*lines.lock().expect("lines"), ["a"]);
        processes[0].1.spawn("of the dead", Box::pin(async { panic!("never polled") }));
        world.run_until(3 * SECOND);
        assert!(world.panics().is_empty());
        world.end();
        assert_eq!(*lines.lock().expect("lines"), ["a", "b"]);
    }

    #[test]
    fn a_panic_is_kept_with_its_place() {
        let world = World::new(1, plain());
        world.process("one").spawn("fails", Box::pin(async { panic!("boom") }));
        world.run_until(2 * SECOND);
        let panics = world.panics();
        assert_eq!((panics.len(), panics[0].process.as_str(), panics[0].task), (1, "one", "fails"));
        assert!(panics[0].message.contains("boom") && panics[0].message.contains("world.rs"), "{}", panics[0].message);
    }

    #[test]
    fn a_task_that_spins_is_noticed() {
        let world = World::new(1, plain());
        world.process("one").spawn(
            "spins",
            Box::pin(std::future::poll_fn(|context| {
                context.waker().wake_by_ref();
                Poll::Pending
            })),
        );
        world.run_until(2 * SECOND);
        assert!(world.panics()[0].message.contains("spins"));
    }

    #[test]
    fn a_job_runs_to_its_end_though_nobody_waits() {
        let world = World::new(1, Scheduling { compute: SECOND, ..plain() });
        let process = world.process("one");
        let (lines, write) = log();
        drop(process.compute(Box::new(move || write("done".to_owned()))));
        world.run_until(9 * SECOND);
        assert_eq!(*lines.lock().expect("lines"), ["done"]);
    }

    #[test]
    fn a_seed_decides_the_order_of_what_is_ready() {
        let order = |seed, shuffled| {
            let world = World::new(seed, Scheduling { shuffled, ..plain() });
            let process = world.process("one");
            let (lines, write) = log();
            for number in 0..20 {
                let write = write.clone();
                process.spawn("numbered", Box::pin(async move { write(number.to_string()) }));
            }
            world.run_until(2 * SECOND);
            (lines.lock().expect("lines").join(" "), world.hash())
        };
        assert_eq!(order(1, true), order(1, true));
        assert_ne!(order(1, true), order(2, true));
        assert_eq!(order(1, false).0, order(2, false).0);
    }
}
