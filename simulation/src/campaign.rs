//! A campaign: many seeds, side by side, counted together. What was run is kept in a file, so that a campaign that was
//! interrupted goes on where it stood.

use super::coverage;
use super::faults::Counts;
use super::history::Violation;
use super::plan::Profile;
use super::shrink::{Case, Schedule};
use super::store::clock;
use super::world::SECOND;
use opjournal::mutant::{self, Mutant};
use serde_json::{Value, json};
use std::io::{IsTerminal, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

/// Every so manieth seed runs twice, once with a trace and in another thread: it must come out the same.
pub const TWICE: u64 = 64;

/// At most so long before what was run is written down.
const KEPT_EVERY: Duration = Duration::from_secs(3);

pub struct Options {
    pub seeds: Range<u64>,
    /// No seed is begun after so long.
    pub limit: Option<Duration>,
    pub threads: usize,
    pub profile: Option<Profile>,
    pub mutant: Option<Mutant>,
    /// Where what was run is kept. Nothing is kept where absent.
    pub state: Option<PathBuf>,
    /// What an earlier run left there is not taken over.
    pub afresh: bool,
    pub stop_at_first: bool,
    /// Say how it goes every few seconds also where nobody watches a terminal.
    pub progress: bool,
}

impl Options {
    pub fn case(&self, seed: u64) -> Case {
        Case { seed, profile: self.profile, mutant: self.mutant }
    }
}

/// A seed that broke a promise.
#[derive(Clone, Debug)]
pub struct Failed {
    pub seed: u64,
    pub promise: String,
    pub what: String,
}

/// All that was run so far, of one engine.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// The seeds that were run: ranges in order that do not touch.
    pub done: Vec<Range<u64>>,
    pub counts: Counts,
    pub failed: Vec<Failed>,
    /// How many seeds were run twice.
    pub twice: u64,
    /// Simulated time, in seconds.
    pub simulated: u64,
}

impl Progress {
    pub fn seeds(&self) -> u64 {
        self.done.iter().map(|range| range.end - range.start).sum()
    }

    fn is_done(&self, seed: u64) -> bool {
        let after = self.done.partition_point(|range| range.start <= seed);
        after > 0 && seed < self.done[after - 1].end
    }

    /// The first seed from `seed` on that was not run.
    fn next_from(&self, seed: u64) -> u64 {
        let after = self.done.partition_point(|range| range.start <= seed);
        if self.is_done(seed) { self.done[after - 1].end } else { seed }
    }

    fn add_seed(&mut self, seed: u64) {
        let place = self.done.partition_point(|range| range.start <= seed);
        self.done.insert(place, seed..seed + 1);
        if place + 1 < self.done.len() && self.done[place + 1].start == seed + 1 {
            self.done[place].end = self.done.remove(place + 1).end;
        }
        if place > 0 && self.done[place - 1].end == seed {
            self.done[place - 1].end = self.done.remove(place).end;
        }
    }

    pub fn to_json(&self) -> Value {
        json!({
            "done": self.done.iter().map(|range| json!([range.start, range.end])).collect::<Vec<_>>(),
            "counts": self.counts.0,
            "failed": self.failed.iter().map(|failed| json!({"seed": failed.seed, "promise": failed.promise, "what": failed.what})).collect::<Vec<_>>(),
            "twice": self.twice,
            "simulated_s": self.simulated,
        })
    }

    pub fn from_json(value: &Value) -> Option<Progress> {
        let mut progress = Progress { twice: value["twice"].as_u64()?, simulated: value["simulated_s"].as_u64()?, ..Progress::default() };
        for range in value["done"].as_array()? {
            progress.done.push(range[0].as_u64()?..range[1].as_u64()?);
        }
        for (name, count) in value["counts"].as_object()? {
            progress.counts.add_many(name, count.as_u64()?);
        }
        for failed in value["failed"].as_array()? {
            progress.failed.push(Failed {
                seed: failed["seed"].as_u64()?,
                promise: failed["promise"].as_str()?.to_owned(),
                what: failed["what"].as_str()?.to_owned(),
            });
        }
        Some(progress)
    }
}

/// What one seed brought.
struct Ran {
    seed: u64,
    counts: Counts,
    violations: Vec<Violation>,
    simulated: u64,
    was_run_twice: bool,
}

/// Runs one seed, and some of them once more.
fn run_one(case: Case) -> Ran {
    let schedule = Schedule::whole(case);
    let run = |traced| {
        mutant::use_in_this_thread(case.mutant);
        let report = super::run::run(schedule.plan(), traced);
        mutant::use_in_this_thread(None);
        report
    };
    let report = run(false);
    let mut violations = report.violations;
    let was_run_twice = case.seed.is_multiple_of(TWICE);
    if was_run_twice {
        let again = std::thread::scope(|scope| scope.spawn(|| run(true)).join());
        let is_same = again.is_ok_and(|again| again.hash == report.hash && again.counts.0 == report.counts.0);
        if !is_same {
            let what = "two runs of this seed differ, of which one was traced and in another thread".to_owned();
            violations.push(Violation::new(report.lasted, "a seed decides everything", what));
        }
    }
    Ran { seed: case.seed, counts: report.counts, violations, simulated: report.lasted / SECOND, was_run_twice }
}

/// Runs a campaign to its end, and returns all that was run, with what earlier runs left in the state file.
pub fn run(options: &Options, out: &mut dyn Write) -> Result<Progress, String> {
    let mut progress = match &options.state {
        Some(path) if !options.afresh => load(path)?,
        _ => Progress::default(),
    };
    let failed = |error: std::io::Error| format!("the output is gone: {error}");
    let before = progress.seeds();
    if before > 0 {
        writeln!(out, "{before} seeds were run before, {} of them broke a promise; going on", progress.failed.len()).map_err(failed)?;
    }
    let begun = Instant::now();
    let next = Mutex::new((options.seeds.start, progress.clone()));
    let is_over = AtomicBool::new(false);
    let (sender, receiver) = mpsc::channel::<Ran>();
    std::thread::scope(|scope| {
        for _ in 0..options.threads.max(1) {
            let (sender, next, is_over) = (sender.clone(), &next, &is_over);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) && options.limit.is_none_or(|limit| begun.elapsed() < limit) {
                    let seed = {
                        let mut next = next.lock().expect("nobody panics while it holds this");
                        let seed = next.1.next_from(next.0);
                        next.0 = seed.saturating_add(1);
                        seed
                    };
                    if seed >= options.seeds.end || sender.send(run_one(options.case(seed))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut teller = Teller::new(options, begun, before);
        let mut kept = Instant::now();
        loop {
            match receiver.recv_timeout(Duration::from_millis(200)) {
                Ok(ran) => {
                    if !ran.violations.is_empty() {
                        teller.clear(out).map_err(failed)?;
                        tell_violations(options, &ran, out).map_err(failed)?;
                        is_over.fetch_or(options.stop_at_first, Ordering::Relaxed);
                    }
                    take_in(&mut progress, ran);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            teller.tell(&progress, out).map_err(failed)?;
            if kept.elapsed() >= KEPT_EVERY {
                keep(options, &progress)?;
                kept = Instant::now();
            }
        }
        teller.clear(out).map_err(failed)?;
        keep(options, &progress)?;
        let ran = progress.seeds() - before;
        let seconds = begun.elapsed().as_secs_f64();
        writeln!(out, "{ran} seeds in {seconds:.0} s, {:.0} seeds/s on {} threads", ran as f64 / seconds, options.threads).map_err(failed)
    })?;
    progress.failed.sort_by_key(|failed| failed.seed);
    Ok(progress)
}

fn take_in(progress: &mut Progress, ran: Ran) {
    progress.add_seed(ran.seed);
    progress.counts.add_all(&ran.counts);
    progress.simulated += ran.simulated;
    progress.twice += u64::from(ran.was_run_twice);
    if let Some(first) = ran.violations.into_iter().next() {
        progress.failed.push(Failed { seed: ran.seed, promise: first.promise.to_owned(), what: super::shrink::shortened(&first.what) });
    }
}

fn tell_violations(options: &Options, ran: &Ran, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "seed {} breaks a promise:", ran.seed)?;
    for violation in ran.violations.iter().take(3) {
        writeln!(out, "  at {} s, {}: {}", clock(violation.at), violation.promise, super::shrink::shortened(&violation.what))?;
    }
    writeln!(out, "  replay: opjournal-simulation replay {} --trace", options.case(ran.seed).options())
}

fn load(path: &Path) -> Result<Progress, String> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Progress::default()),
        Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
    };
    let value: Option<Value> = serde_json::from_slice(&text).ok();
    let progress = value.and_then(|value| Progress::from_json(&value));
    progress.ok_or_else(|| format!("{} is no state of a campaign; delete it, or start with --afresh", path.display()))
}

/// Writes down what was run: a reader sees the old file or the new one, never a part.
fn keep(options: &Options, progress: &Progress) -> Result<(), String> {
    let Some(path) = &options.state else { return Ok(()) };
    write_whole(path, &progress.to_json().to_string())
}

/// Writes a file that is there whole or not at all.
pub fn write_whole(path: &Path, text: &str) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{} cannot be written: {error}", path.display());
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(failed)?;
    }
    let part = path.with_extension("part");
    std::fs::write(&part, text).map_err(failed)?;
    std::fs::rename(&part, path).map_err(failed)
}

/// Says how it goes: on a terminal in one line that is written again and again, elsewhere now and then.
struct Teller<'a> {
    options: &'a Options,
    begun: Instant,
    before: u64,
    is_terminal: bool,
    told: Instant,
    every: Duration,
}

impl<'a> Teller<'a> {
    fn new(options: &'a Options, begun: Instant, before: u64) -> Teller<'a> {
        let is_terminal = std::io::stdout().is_terminal();
        let every = match (is_terminal, options.progress) {
            (true, _) => Duration::from_millis(500),
            (false, true) => Duration::from_secs(5),
            (false, false) => Duration::from_secs(30),
        };
        Teller { options, begun, before, is_terminal, told: begun, every }
    }

    fn clear(&self, out: &mut dyn Write) -> std::io::Result<()> {
        if self.is_terminal { write!(out, "\r\x1b[K") } else { Ok(()) }
    }

    fn tell(&mut self, progress: &Progress, out: &mut dyn Write) -> std::io::Result<()> {
        if self.told.elapsed() < self.every {
            return Ok(());
        }
        self.told = Instant::now();
        let elapsed = self.begun.elapsed().as_secs_f64();
        let ran = progress.seeds() - self.before;
        let rate = ran as f64 / elapsed;
        let seeds = &self.options.seeds;
        let done_here: u64 = progress.done.iter().map(|done| done.end.min(seeds.end).saturating_sub(done.start.max(seeds.start))).sum();
        let by_seeds = (seeds.end - seeds.start).saturating_sub(done_here) as f64 / rate.max(0.001);
        let left = self.options.limit.map_or(by_seeds, |limit| by_seeds.min(limit.as_secs_f64() - elapsed)).max(0.0) as u64;
        let of = if seeds.end == u64::MAX { String::new() } else { format!(" of {}", seeds.end - seeds.start) };
        self.clear(out)?;
        write!(
            out,
            "{done_here}{of} seeds, {rate:.0}/s, {} broke a promise, {} h {:02} min {:02} s left",
            progress.failed.len(),
            left / 3600,
            left / 60 % 60,
            left % 60
        )?;
        if !self.is_terminal {
            writeln!(out)?;
        }
        out.flush()
    }
}

/// Prints everything that was counted, and what never happened. The last lines are one `ok` or `not ok` for each of the things that
/// a campaign proves; returns whether all are `ok`. A campaign of one profile alone is not asked for what the others have.
pub fn conclude(progress: &Progress, profile: Option<Profile>, out: &mut dyn Write) -> std::io::Result<bool> {
    let declared: Vec<(&str, u64, String)> = coverage::all().collect();
    let mut title = "";
    for (group, _, name) in &declared {
        if *group != title {
            writeln!(out, "{group}")?;
            title = group;
        }
        writeln!(out, "{:>12}  {name}", progress.counts.of(name))?;
    }
    writeln!(out, "other counts")?;
    for (name, count) in progress.counts.0.iter().filter(|(name, _)| !declared.iter().any(|(_, _, other)| other == *name)) {
        writeln!(out, "{count:>12}  {name}")?;
    }
    let seeds = progress.seeds();
    writeln!(out, "{seeds} seeds in all, {} s of simulated time, {} of them run twice", progress.simulated, progress.twice)?;

    let is_unbroken = progress.failed.iter().all(|failed| failed.promise == "a seed decides everything");
    let is_deterministic = progress.failed.iter().all(|failed| failed.promise != "a seed decides everything");
    let missing = if profile.is_none() { coverage::missing(&progress.counts, seeds) } else { Vec::new() };
    let undeclared = coverage::undeclared(&progress.counts);
    for failed in &progress.failed {
        writeln!(out, "seed {} breaks {}: {}", failed.seed, failed.promise, failed.what)?;
    }
    for name in &missing {
        writeln!(out, "never happened: {name}")?;
    }
    for name in &undeclared {
        writeln!(out, "happened, and is in no list of coverage.rs: {name}")?;
    }
    let is_covered = missing.is_empty() && undeclared.is_empty();
    for (is_ok, what) in
        [(is_unbroken, "every-promise-holds"), (is_deterministic, "a-seed-decides-everything"), (is_covered, "everything-happened")]
    {
        writeln!(out, "{} {what}", if is_ok { "ok" } else { "not ok" })?;
    }
    let unjudged = declared.iter().filter(|(_, least, name)| seeds < *least && progress.counts.of(name) == 0).count();
    if unjudged > 0 {
        writeln!(out, "({unjudged} things never happened that are asked for only after more seeds)")?;
    }
    Ok(is_unbroken && is_deterministic && is_covered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(state: Option<PathBuf>) -> Options {
        Options {
            seeds: 0..6,
            limit: None,
            threads: 2,
            profile: None,
            mutant: None,
            state,
            afresh: false,
            stop_at_first: false,
            progress: false,
        }
    }

    #[test]
    fn seeds_that_were_run_are_known_as_ranges() {
        let mut progress = Progress::default();
        for seed in [5, 3, 4, 9, 0, 1] {
            progress.add_seed(seed);
        }
        assert_eq!(progress.done, [0..2, 3..6, 9..10]);
        assert_eq!(progress.seeds(), 6);
        assert_eq!([0, 2, 3, 6, 9].map(|seed| progress.next_from(seed)), [2, 2, 6, 6, 10]);
        let again = Progress::from_json(&progress.to_json()).expect("it was written so");
        assert_eq!(again.done, progress.done);
    }

    #[test]
    fn a_campaign_that_was_interrupted_ends_with_the_counts_of_one_that_was_not() {
        let path = std::env::temp_dir().join(format!("opjournal-simulation-{}.json", std::process::id()));
        let whole = run(&options(None), &mut std::io::sink()).expect("a campaign");
        let first = Options { seeds: 1..4, ..options(Some(path.clone())) };
        run(&first, &mut std::io::sink()).expect("a part of it");
        let rest = run(&options(Some(path.clone())), &mut std::io::sink()).expect("the rest");
        std::fs::remove_file(&path).expect("it was kept");
        assert_eq!((rest.done.len(), rest.seeds()), (1, 6));
        assert_eq!(rest.counts.0, whole.counts.0);
        assert_eq!((rest.twice, rest.simulated), (whole.twice, whole.simulated));
    }

    #[test]
    fn a_campaign_that_never_met_something_fails_once_it_had_enough_seeds() {
        let mut progress = Progress::default();
        coverage::all().for_each(|(_, _, name)| progress.counts.add(&name));
        progress.done = std::iter::once(0..coverage::SEEDS).collect();
        assert!(conclude(&progress, None, &mut std::io::sink()).expect("written"));
        progress.counts.0.remove("seen: void segment");
        let mut text = Vec::new();
        assert!(!conclude(&progress, None, &mut text).expect("written"));
        assert!(conclude(&progress, Some(Profile::Peer), &mut std::io::sink()).expect("written"));
        assert!(String::from_utf8_lossy(&text).contains("never happened: seen: void segment"));
        progress.done = std::iter::once(0..coverage::SEEDS - 1).collect();
        assert!(conclude(&progress, None, &mut std::io::sink()).expect("written"));
    }
}
