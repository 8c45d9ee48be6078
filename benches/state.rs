//! What the state costs: `cargo bench --no-default-features --bench state`. The figures that count are in `docs/state.md`.
//!
//! The big map has 1,000,000 entries with keys `object/%08d` and values of 46 bytes, 71 MB of text.

mod sample;

use bytes::Bytes;
use divan::counter::{BytesCount, ItemsCount};
use divan::{AllocProfiler, Bencher};
use opjournal::config::Limits;
use opjournal::ops::{Op, read_segment, submit};
use opjournal::query::{QueryContext, answer};
use opjournal::state::State;
use sample::{list, map, map_set, names, ops, read, scattered, segment_body};
use std::hint::black_box;
use std::sync::LazyLock;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const MILLION: usize = 1_000_000;

fn main() {
    divan::main();
}

/// A state with one map of this many entries.
fn map_text(entries: usize) -> Bytes {
    Bytes::from(format!("{{\"m\":{}}}", map(entries)))
}

/// A state with this many names, each an integer.
fn names_text(count: usize) -> Bytes {
    Bytes::from(format!("{{{}}}", names(count)))
}

fn list_text(elements: usize) -> Bytes {
    Bytes::from(format!("{{\"l\":{}}}", list(elements)))
}

static MAP: LazyLock<State> = LazyLock::new(|| read(map_text(MILLION)));
static NAMES: LazyLock<State> = LazyLock::new(|| read(names_text(MILLION)));
static LIST: LazyLock<State> = LazyLock::new(|| read(list_text(MILLION)));

/// The big map with 10,000 of its entries changed.
static CHANGED: LazyLock<State> = LazyLock::new(|| {
    let mut state = MAP.clone();
    state.apply(&map_sets(10_000, MILLION));
    state
});

fn map_sets(count: usize, below: usize) -> Vec<Op> {
    ops(&scattered(below).take(count).map(map_set).collect::<Vec<_>>())
}

struct Context;

impl QueryContext for Context {
    fn write_mark(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{}");
    }

    fn age_ms(&self) -> u64 {
        0
    }

    fn metrics(&self) -> String {
        String::new()
    }

    fn outcome(&self, _segment: &str) -> &'static str {
        "unknown"
    }
}

/// Asks one query after the other, answered into the same buffer.
fn ask(bencher: Bencher, state: &State, queries: Vec<String>) {
    let mut next = queries.iter().cycle();
    let mut out = Vec::with_capacity(1 << 16);
    bencher.bench_local(|| {
        if let Some(query) = next.next() {
            answer(query.as_bytes(), state, &Context, &mut out).expect("an answer");
            black_box(&out);
        }
    });
}

fn map_gets(first: usize, count: usize) -> Vec<String> {
    scattered(MILLION)
        .map(|number| number + first)
        .take(count)
        .map(|number| format!(r#"{{"op":"MapGet","Key":"m","MapKey":"object/{number:08}"}}"#))
        .collect()
}

mod load {
    use super::*;

    #[divan::bench(sample_count = 10)]
    fn map_1m(bencher: Bencher) {
        let text = map_text(MILLION);
        bencher.counter(BytesCount::new(text.len())).bench_local(|| read(text.clone()));
    }

    #[divan::bench(sample_count = 10)]
    fn names_1m(bencher: Bencher) {
        let text = names_text(MILLION);
        bencher.counter(BytesCount::new(text.len())).bench_local(|| read(text.clone()));
    }

    #[divan::bench(sample_count = 10)]
    fn members_of_a_rollup(bencher: Bencher) {
        let text = map_text(MILLION);
        bencher.counter(BytesCount::new(text.len())).bench_local(|| opjournal::json::members(&text, 128));
    }

    #[divan::bench(sample_count = 5)]
    fn map_1m_that_is_not_canonical(bencher: Bencher) {
        let text = Bytes::from([b" ".as_slice(), &map_text(MILLION)].concat());
        bencher.counter(BytesCount::new(text.len())).bench_local(|| read(text.clone()));
    }
}

mod get {
    use super::*;

    #[divan::bench(sample_count = 50, sample_size = 2_000)]
    fn map_get_random(bencher: Bencher) {
        ask(bencher, &MAP, map_gets(0, 400_000));
    }

    #[divan::bench(sample_count = 50, sample_size = 2_000)]
    fn map_get_hot(bencher: Bencher) {
        ask(bencher, &MAP, map_gets(0, 1));
    }

    #[divan::bench(sample_count = 50, sample_size = 2_000)]
    fn map_get_absent(bencher: Bencher) {
        ask(bencher, &MAP, map_gets(MILLION, 400_000));
    }

    #[divan::bench(sample_count = 50, sample_size = 2_000)]
    fn map_get_random_with_10000_changes(bencher: Bencher) {
        ask(bencher, &CHANGED, map_gets(0, 400_000));
    }

    /// The entries that were changed, and no other.
    #[divan::bench(sample_count = 50, sample_size = 2_000)]
    fn map_get_changed(bencher: Bencher) {
        ask(
            bencher,
            &CHANGED,
            scattered(MILLION).take(10_000).map(|number| format!(r#"{{"op":"MapGet","Key":"m","MapKey":"object/{number:08}"}}"#)).collect(),
        );
    }

    #[divan::bench(sample_count = 50, sample_size = 2_000)]
    fn int_get_random_name(bencher: Bencher) {
        ask(
            bencher,
            &NAMES,
            scattered(MILLION).take(400_000).map(|number| format!(r#"{{"op":"IntGet","Key":"name/{number:08}"}}"#)).collect(),
        );
    }

    #[divan::bench(sample_count = 50, sample_size = 2_000)]
    fn list_len(bencher: Bencher) {
        ask(bencher, &LIST, vec![r#"{"op":"ListLen","Key":"l"}"#.to_owned()]);
    }
}

mod page {
    use super::*;

    #[divan::bench(sample_count = 50, sample_size = 50)]
    fn map_entries_100_anywhere(bencher: Bencher) {
        let page = |number| format!(r#"{{"op":"MapEntries","Key":"m","Limit":100,"After":"object/{number:08}"}}"#);
        ask(bencher, &CHANGED, scattered(MILLION).take(10_000).map(page).collect());
    }

    #[divan::bench(sample_count = 50, sample_size = 50)]
    fn list_entries_100_anywhere(bencher: Bencher) {
        let page = |number| format!(r#"{{"op":"ListEntries","Key":"l","Limit":100,"After":{number}}}"#);
        ask(bencher, &LIST, scattered(MILLION).take(10_000).map(page).collect());
    }

    #[divan::bench(sample_count = 50, sample_size = 50)]
    fn names_100_with_prefix(bencher: Bencher) {
        let page = |number: usize| format!(r#"{{"op":"Names","Limit":100,"Prefix":"name/{:06}"}}"#, number / 100);
        ask(bencher, &NAMES, scattered(MILLION).take(10_000).map(page).collect());
    }
}

mod change {
    use super::*;

    #[divan::bench(sample_size = 1_000)]
    fn clone_and_drop(bencher: Bencher) {
        bencher.bench_local(|| CHANGED.clone());
    }

    /// Other entries each time, as a replica meets them, above the changes of all times before; a fold lets go of them.
    fn apply_other_1000(bencher: Bencher, entries: usize, op: impl Fn(usize) -> String) {
        const BATCHES: usize = 40;
        let base = read(map_text(entries));
        let mut numbers = scattered(entries);
        let batches: Vec<Vec<Op>> = (0..BATCHES).map(|_| ops(&numbers.by_ref().take(1000).map(&op).collect::<Vec<_>>())).collect();
        let (mut state, mut next) = (base.clone(), 0);
        // What a reader may still hold.
        let mut before = base.clone();
        bencher.counter(ItemsCount::new(1000usize)).bench_local(|| {
            before = state.clone();
            state.apply(&batches[next % BATCHES]);
            next += 1;
            if next % BATCHES == 0 {
                state = base.clone();
            }
        });
    }

    #[divan::bench(args = [1_000, 100_000, MILLION])]
    fn apply_1000_map_sets(bencher: Bencher, entries: usize) {
        apply_other_1000(bencher, entries, map_set);
    }

    #[divan::bench(args = [1_000, MILLION])]
    fn apply_1000_new_entries(bencher: Bencher, entries: usize) {
        let state = read(map_text(entries));
        let ops = ops(&(0..1000).map(|number| map_set(entries + number)).collect::<Vec<_>>());
        bencher.counter(ItemsCount::new(1000usize)).with_inputs(|| state.clone()).bench_local_refs(|state| state.apply(&ops));
    }

    #[divan::bench]
    fn drop_a_version_1000_ops_old(bencher: Bencher) {
        let ops = map_sets(1000, MILLION);
        let changed = || {
            let mut state = CHANGED.clone();
            state.apply(&ops);
            state
        };
        bencher.with_inputs(changed).bench_local_values(drop);
    }

    #[divan::bench]
    fn append_1000(bencher: Bencher) {
        let ops = ops(&(0..1000).map(|number| format!(r#"{{"op":"ListAppend","Key":"l","Value":"{number:046}"}}"#)).collect::<Vec<_>>());
        bencher.counter(ItemsCount::new(1000usize)).with_inputs(|| LIST.clone()).bench_local_refs(|state| state.apply(&ops));
    }

    #[divan::bench]
    fn increment_1000_names(bencher: Bencher) {
        let ops = ops(&scattered(MILLION)
            .take(1000)
            .map(|number| format!(r#"{{"op":"IntAdd","Key":"name/{number:08}","Delta":1}}"#))
            .collect::<Vec<_>>());
        bencher.counter(ItemsCount::new(1000usize)).with_inputs(|| NAMES.clone()).bench_local_refs(|state| state.apply(&ops));
    }
}

mod whole {
    use super::*;

    #[divan::bench(sample_count = 10)]
    fn write(bencher: Bencher) {
        bencher.counter(BytesCount::new(CHANGED.canonical_len())).bench_local(|| {
            let mut out = Vec::new();
            CHANGED.write_canonical(&mut out);
            out
        });
    }

    #[divan::bench(sample_count = 10)]
    fn digest(bencher: Bencher) {
        ask(bencher.counter(BytesCount::new(CHANGED.canonical_len())), &CHANGED, vec![r#"{"op":"Digest"}"#.to_owned()]);
    }

    #[divan::bench(sample_count = 10)]
    fn compact(bencher: Bencher) {
        bencher.bench_local(|| CHANGED.compact());
    }
}

mod segment {
    use super::*;

    #[divan::bench]
    fn submit_1000(bencher: Bencher) {
        let text = format!("[{}]", (0..1000).map(map_set).collect::<Vec<_>>().join(","));
        bencher.counter(ItemsCount::new(1000usize)).bench_local(|| submit(text.as_bytes(), &Limits::default()));
    }

    #[divan::bench]
    fn read_1000(bencher: Bencher) {
        let body = segment_body(&(0..1000).map(map_set).collect::<Vec<_>>());
        bencher.counter(ItemsCount::new(1000usize)).bench_local(|| read_segment(body.as_bytes(), &Limits::default()));
    }
}
