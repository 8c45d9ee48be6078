//! A fleet of real engines in one thread, under a clock, a network and a store that a seed decides, with every promise of the
//! journal that a client can see checked by code that shares nothing with the engine. `docs/simulation.md` tells how it works.
//!
//! `OPJOURNAL_SIM_SEEDS=FROM..TO` runs other seeds than the usual ones, `OPJOURNAL_SIM_TRACE=1` prints what happened in each.

use opjournal_simulation::faults::Counts;
use opjournal_simulation::plan::Plan;
use opjournal_simulation::run::{Report, run};
use opjournal_simulation::store::clock;
use opjournal_simulation::world::SECOND;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// The seeds of a usual run.
const SEEDS: Range<u64> = 0..100;

/// Of a seed that failed, this many lines of the trace before the violation are printed.
const LINES: usize = 120;

#[test]
fn every_promise_holds() {
    let seeds = asked_for().unwrap_or(SEEDS);
    let traced = std::env::var_os("OPJOURNAL_SIM_TRACE").is_some_and(|value| value != "0");
    let next = AtomicU64::new(seeds.start);
    let total = Mutex::new((Counts::default(), 0_u64, Vec::new()));
    // Each seed is a world of its own in one thread; several seeds run side by side.
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let report = run(Plan::draw(seed), traced);
                    let mut total = total.lock().expect("no thread panics while it adds its report");
                    total.0.add_all(&report.counts);
                    total.1 += report.lasted;
                    if traced {
                        print_trace(&report, None);
                    }
                    if !report.violations.is_empty() {
                        total.2.push(seed);
                        print_violations(&report, traced);
                    }
                }
            });
        }
    });
    let (counts, lasted, failed) = total.into_inner().expect("no thread panicked");
    println!("{} seeds, {} s of simulated time", seeds.end - seeds.start, lasted / SECOND);
    for (name, count) in &counts.0 {
        println!("{count:>10}  {name}");
    }
    assert!(failed.is_empty(), "seeds that break a promise: {failed:?}");
}

#[test]
fn a_seed_decides_everything() {
    for seed in asked_for().unwrap_or(0..6).take(6) {
        let (first, second) = (run(Plan::draw(seed), false), run(Plan::draw(seed), false));
        if first.hash != second.hash {
            let traces = (run(Plan::draw(seed), true).trace, run(Plan::draw(seed), true).trace);
            let difference = traces.0.iter().zip(&traces.1).position(|(first, second)| first != second);
            if let Some(line) = difference {
                println!("the first difference is in line {line}: {:?} and {:?}", traces.0[line], traces.1[line]);
            }
        }
        assert_eq!(first.hash, second.hash, "two runs of seed {seed} differ");
        assert_eq!(first.counts.0, second.counts.0, "two runs of seed {seed} differ");
    }
}

fn asked_for() -> Option<Range<u64>> {
    let text = std::env::var("OPJOURNAL_SIM_SEEDS").ok()?;
    let (from, to) = text.split_once("..").expect("OPJOURNAL_SIM_SEEDS is FROM..TO");
    Some(from.parse().expect("a number")..to.parse().expect("a number"))
}

fn print_violations(report: &Report, traced: bool) {
    let seed = report.plan.seed;
    println!("\nseed {seed} breaks a promise. Its plan: {:#?}", report.plan);
    for violation in report.violations.iter().take(10) {
        println!("  at {} s, {}: {}", clock(violation.at), violation.promise, shortened(&violation.what));
    }
    if report.violations.len() > 10 {
        println!("  and {} more", report.violations.len() - 10);
    }
    if !traced {
        // The same again, to see what led to it: a seed decides everything.
        let again = run(report.plan.clone(), true);
        print_trace(&again, report.violations.first().map(|violation| violation.at));
    }
    let end = seed + 1;
    println!(
        "replay: OPJOURNAL_SIM_SEEDS={seed}..{end} OPJOURNAL_SIM_TRACE=1 cargo test -p opjournal-simulation --profile simulation --test fleet every_promise -- --nocapture"
    );
}

fn print_trace(report: &Report, until: Option<u64>) {
    let end = until.map_or(report.trace.len(), |until| report.trace.partition_point(|(at, _)| *at <= until));
    let start = if until.is_some() { end.saturating_sub(LINES) } else { 0 };
    for (at, line) in &report.trace[start..end] {
        println!("{:>14} {}", clock(*at), if until.is_some() { shortened(line) } else { line.clone() });
    }
}

fn shortened(text: &str) -> String {
    const MOST: usize = 400;
    if text.chars().count() <= MOST { text.to_owned() } else { text.chars().take(MOST).chain("...".chars()).collect() }
}
