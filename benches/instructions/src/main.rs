//! The inner paths whose instructions `make instructions` counts. Run by `scripts/instructions.py`, under callgrind:
//!
//! ```text
//! instructions                 the names of the paths
//! instructions PATH            takes a path some times, and prints how many times
//! instructions rollup          prints the rollup that the paths of ../abi.c are taken on
//! ```
//!
//! Everything happens in one thread, in an environment whose clock stands still and whose random numbers count up: so the count of a path
//! is the same in every run, but for the seeds of hash tables. What is counted is what happens in [`counted`].

#[path = "../../sample/mod.rs"]
mod sample;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, pending, ready};
use opjournal::config::{Compaction, Limits, Settings};
use opjournal::environment::Environment;
use opjournal::json::canonical;
use opjournal::ops::{read_segment, submit};
use opjournal::state::State;
use opjournal::store::memory::MemoryStore;
use opjournal::store::{Condition, Store};
use opjournal::time::{Reading, Stamp};
use opjournal::{Journal, Namespace};
use sample::{list, map, map_set, names, ops, read, scattered, segment_body};
use std::future::Future;
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Small enough for valgrind, and large enough for tables with more than one entry in a line of the cache.
const ENTRIES: usize = 20_000;
const SMALL: usize = 1_000;

/// A name, how often the path is taken, and taking it so often.
type Path = (&'static str, usize, fn(usize));

const PATHS: [Path; 12] = [
    ("batch/submit_1", 1_000, |times| submit_batch(times, 1)),
    ("batch/submit_1000", 5, |times| submit_batch(times, SMALL)),
    ("segment/read_1000", 5, read_segments),
    ("segment/apply_1000", 5, apply_segments),
    ("json/canonical", 5, rewrite_document),
    ("rollup/read_state", 2, read_state),
    ("rollup/write_state", 2, write_state),
    ("engine/cold_start", 2, start_cold),
    ("engine/write_1", 50, write_alone),
    ("engine/quiet_tick", 50, tick_quietly),
    ("engine/tick_1000", 5, tick_with_news),
    ("engine/fold", 1, fold),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => PATHS.iter().for_each(|(name, ..)| println!("{name}")),
        ["rollup"] => println!("{}", rollup()),
        [wanted] if let Some((_, times, take)) = PATHS.iter().find(|(name, ..)| *name == wanted) => {
            take(*times);
            println!("{times}");
        }
        _ => {
            eprintln!("usage: instructions [PATH | rollup]");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Callgrind counts from the call of this function to its return (`--toggle-collect`). What the work leaves is dropped outside.
#[inline(never)]
fn counted<T>(work: impl FnOnce() -> T) -> T {
    black_box(work())
}

/// The members of a state: a list, a map, and some integers.
fn state() -> String {
    format!("{{\"l\":{},\"m\":{},{}}}", list(SMALL), map(ENTRIES), names(SMALL))
}

/// As a fold writes it, with nothing folded yet.
fn rollup() -> String {
    let chain = "0".repeat(64);
    format!(
        r#"{{"proof":{{"count":0,"chain":"{chain}","folded":[],"writers":{{}}}},"mark":{{"lm":"0001-01-01T00:00:00Z","key":""}},"state":{}}}"#,
        state()
    )
}

/// Batches of so many ops each, on other entries each time.
fn batches(count: usize) -> impl Iterator<Item = Vec<String>> {
    let mut numbers = scattered(ENTRIES);
    std::iter::repeat_with(move || numbers.by_ref().take(count).map(map_set).collect())
}

fn submitted(ops: &[String]) -> String {
    format!("[{}]", ops.join(","))
}

fn submit_batch(times: usize, count: usize) {
    for batch in batches(count).take(times) {
        let text = submitted(&batch);
        counted(|| submit(text.as_bytes(), &Limits::default()).expect("accepted"));
    }
}

fn read_segments(times: usize) {
    for batch in batches(SMALL).take(times) {
        let body = segment_body(&batch);
        counted(|| read_segment(body.as_bytes(), &Limits::default()).expect("readable"));
    }
}

fn apply_segments(times: usize) {
    let mut state = read(Bytes::from(state()));
    for batch in batches(SMALL).take(times) {
        let ops = ops(&batch);
        // What a reader may still hold.
        let before = state.clone();
        counted(|| state.apply(&ops));
        drop(before);
    }
}

/// White space, names in no order, escapes, nesting: nothing that is canonical already.
fn rewrite_document(times: usize) {
    let item = |number: usize| {
        format!(
            r#" {{ "name" : "item {number} <\u0041>" , "at" : [ {number}, 1.50, null, true ] , "inner" : {{ "b" : {{}}, "a" : "x" }} }} "#
        )
    };
    let document = format!("[{}]", (0..SMALL).map(item).collect::<Vec<_>>().join(","));
    for _ in 0..times {
        counted(|| canonical(document.as_bytes(), 128).expect("JSON"));
    }
}

fn read_state(times: usize) {
    let text = Bytes::from(state());
    for _ in 0..times {
        counted(|| read(text.clone()));
    }
}

/// As a fold does it, with some changes above the base.
fn write_state(times: usize) {
    let mut state: State = read(Bytes::from(state()));
    batches(SMALL).take(1).for_each(|batch| state.apply(&ops(&batch)));
    for _ in 0..times {
        counted(|| {
            let mut text = Vec::new();
            state.write_canonical(&mut text);
            text
        });
    }
}

fn start_cold(times: usize) {
    let stage = Stage::new();
    let journal = stage.journal();
    for _ in 0..times {
        let namespace = counted(|| stage.run(journal.namespace(NAMESPACE, None))).expect("opened");
        // With the last handle what is held goes as well.
        drop(namespace);
        stage.settle();
    }
}

fn write_alone(times: usize) {
    let stage = Stage::new();
    let namespace = stage.open();
    for batch in batches(1).take(times) {
        let text = submitted(&batch);
        counted(|| stage.write(&namespace, &text));
        stage.settle();
    }
}

fn tick_quietly(times: usize) {
    let stage = Stage::new();
    let namespace = stage.open();
    for _ in 0..times {
        counted(|| stage.flush(&namespace));
    }
}

fn tick_with_news(times: usize) {
    let stage = Stage::new();
    let (namespace, other) = (stage.open(), stage.open());
    for batch in batches(SMALL).take(times) {
        stage.write(&other, &submitted(&batch));
        stage.settle();
        counted(|| stage.flush(&namespace));
    }
}

fn fold(times: usize) {
    let stage = Stage::new();
    let namespace = stage.open();
    for _ in 0..times {
        for batch in batches(SMALL).take(FOLDED) {
            stage.write(&namespace, &submitted(&batch));
        }
        // A fold is due when its segments are old enough, and done when it was due at two ticks.
        stage.pass(Duration::from_secs(60));
        stage.flush(&namespace);
        counted(|| {
            stage.flush(&namespace);
            stage.settle();
        });
    }
}

const NAMESPACE: &str = "ns";
/// How many segments make a fold due.
const FOLDED: usize = 4;

/// One thread with a clock that it moves itself, and a store in memory that holds the rollup.
struct Stage {
    runtime: tokio::runtime::Runtime,
    world: Arc<World>,
    store: Arc<dyn Store>,
}

struct World {
    tasks: tokio::runtime::Handle,
    clock: AtomicU64,
    drawn: AtomicU64,
}

impl Environment for World {
    fn now(&self) -> Reading {
        Reading(self.clock.load(Ordering::Relaxed))
    }

    /// What is not due at once never comes: no path waits for the clock.
    fn sleep_until(&self, when: Reading) -> BoxFuture<'static, ()> {
        if when <= self.now() { ready(()).boxed() } else { pending().boxed() }
    }

    fn random(&self) -> u64 {
        self.drawn.fetch_add(1, Ordering::Relaxed)
    }

    fn spawn(&self, _name: &'static str, task: BoxFuture<'static, ()>) {
        self.tasks.spawn(task);
    }

    fn compute(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        job();
        ready(()).boxed()
    }
}

impl Stage {
    fn new() -> Stage {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let world = Arc::new(World { tasks: runtime.handle().clone(), clock: AtomicU64::new(1 << 40), drawn: AtomicU64::new(0) });
        let clock = world.clone();
        let store = MemoryStore::with_clock(move || Stamp::from_millis(1_800_000_000_000) + Duration::from_nanos(clock.now().0));
        let stage = Stage { runtime, world, store: Arc::new(store) };
        let key = format!(".metadata/{NAMESPACE}/rollup.json");
        stage.run(stage.store.put(&key, rollup().into(), Condition::Always)).expect("stored");
        stage
    }

    fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Lets every task go on until it waits for something.
    fn settle(&self) {
        const ENOUGH: usize = 64;
        self.run(async {
            for _ in 0..ENOUGH {
                tokio::task::yield_now().await;
            }
        });
    }

    fn pass(&self, time: Duration) {
        self.world.clock.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }

    /// A replica of its own.
    fn journal(&self) -> Journal {
        let compaction = Compaction { segment_threshold: FOLDED, ..Compaction::default() };
        let settings = Settings { compaction, ..Settings::default() };
        self.run(Journal::open(settings, self.store.clone(), self.world.clone(), None)).expect("the store is there")
    }

    fn open(&self) -> Namespace {
        let namespace = self.run(self.journal().namespace(NAMESPACE, None)).expect("opened");
        self.settle();
        namespace
    }

    fn write(&self, namespace: &Namespace, ops: &str) {
        self.run(async { namespace.submit_here(ops.as_bytes(), None)?.outcome().await }).expect("applied");
    }

    fn flush(&self, namespace: &Namespace) {
        self.run(namespace.flush(None)).expect("flushed");
    }
}
