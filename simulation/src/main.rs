//! Runs campaigns of the simulation, replays single seeds, and shrinks what broke a promise. `docs/simulation.md` tells how.

use clap::{Args, Parser, Subcommand};
use opjournal::mutant::Mutant;
use opjournal_simulation::campaign::{self, Options, conclude, write_whole};
use opjournal_simulation::mutants;
use opjournal_simulation::plan::Profile;
use opjournal_simulation::run::Report;
use opjournal_simulation::shrink::{Case, RUNS, Schedule, describe, shrink};
use opjournal_simulation::store::clock;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Half of a seed's time goes into small allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Where state files and shrunk schedules go.
const DIRECTORY: &str = "build/simulation";

/// So many of a campaign's broken seeds are shrunk.
const MOST_SHRUNK: usize = 3;

/// A fleet of real engines under a simulated clock, network and store.
#[derive(Parser)]
struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Run many seeds. Goes on where an interrupted run of the same engine stood. Fails if any seed broke a promise.
    Run(Run),
    /// Run one seed, or a shrunk schedule, again, and tell what happened.
    Replay(Replay),
    /// Make a seed that breaks a promise small.
    Shrink(Which),
}

#[derive(Args)]
struct Run {
    /// The seeds: FROM..TO, or how many from 0 on. Without it: as many as there is time for (--for), or 1000.
    #[arg(long, value_parser = seeds)]
    seeds: Option<Range<u64>>,
    /// Begin no further seed after so many seconds.
    #[arg(long = "for", value_name = "SECONDS")]
    limit: Option<u64>,
    /// Seeds at once. Without it: one for each core.
    #[arg(long)]
    threads: Option<usize>,
    #[command(flatten)]
    meaning: Meaning,
    /// Say how it goes every 5 seconds, also where no terminal is.
    #[arg(long)]
    progress: bool,
    /// Where to keep what was run. Without it: a file under build/simulation that is named after this program's hash.
    #[arg(long)]
    state: Option<PathBuf>,
    /// Do not go on where an earlier run stood.
    #[arg(long)]
    afresh: bool,
    /// Write all counts to this file, as JSON.
    #[arg(long)]
    figures: Option<PathBuf>,
    /// Begin no further seed once one broke a promise.
    #[arg(long)]
    stop_at_first: bool,
}

#[derive(Args)]
struct Which {
    #[arg(long)]
    seed: u64,
    #[command(flatten)]
    meaning: Meaning,
}

#[derive(Args)]
struct Replay {
    #[arg(long, required_unless_present = "schedule")]
    seed: Option<u64>,
    #[command(flatten)]
    meaning: Meaning,
    /// Print everything that happened.
    #[arg(long)]
    trace: bool,
    /// What a shrink wrote.
    #[arg(long, conflicts_with_all = ["seed", "profile", "mutant"])]
    schedule: Option<PathBuf>,
}

/// What a seed means, beside its number.
#[derive(Args, Clone, Copy)]
struct Meaning {
    /// The profile, instead of the one that each seed decides for.
    #[arg(long, value_parser = profile)]
    profile: Option<Profile>,
    /// Take this defence of the engine away.
    #[arg(long, value_parser = mutants::named)]
    mutant: Option<Mutant>,
}

impl Meaning {
    fn case(self, seed: u64) -> Case {
        Case { seed, profile: self.profile, mutant: self.mutant }
    }
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str| text.replace('_', "").parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
    match text.split_once("..") {
        Some((from, to)) => Ok(number(from)?..number(to)?),
        None => Ok(0..number(text)?),
    }
}

fn profile(text: &str) -> Result<Profile, String> {
    let names: Vec<&str> = Profile::ALL.iter().map(|profile| profile.name()).collect();
    Profile::named(text).ok_or_else(|| format!("the profiles are {}", names.join(", ")))
}

fn main() -> ExitCode {
    let result = match Command::parse().action {
        Action::Run(options) => run(options),
        Action::Replay(options) => replay(&options),
        Action::Shrink(which) => shrink_and_tell(which.meaning.case(which.seed), &mut std::io::stdout()).map(|()| true),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}

fn run(given: Run) -> Result<bool, String> {
    let unasked = if given.limit.is_some() { 0..u64::MAX } else { 0..1000 };
    let state = match given.state {
        Some(path) => path,
        None => default_state(given.meaning)?,
    };
    let options = Options {
        seeds: given.seeds.unwrap_or(unasked),
        limit: given.limit.map(Duration::from_secs),
        threads: given.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
        profile: given.meaning.profile,
        mutant: given.meaning.mutant,
        state: Some(state),
        afresh: given.afresh,
        stop_at_first: given.stop_at_first,
        progress: given.progress,
    };
    let mut out = std::io::stdout();
    let progress = campaign::run(&options, &mut out)?;
    for failed in progress.failed.iter().take(MOST_SHRUNK) {
        shrink_and_tell(options.case(failed.seed), &mut out)?;
    }
    if let Some(path) = given.figures {
        write_whole(&path, &json!({"seeds": progress.seeds(), "campaign": progress.to_json()}).to_string())?;
    }
    conclude(&progress, options.profile, &mut out).map_err(|error| error.to_string())
}

/// Named after this very program, so that what different engines did is never mixed.
fn default_state(meaning: Meaning) -> Result<PathBuf, String> {
    let program = std::env::current_exe().and_then(std::fs::read).map_err(|error| format!("this program cannot be read: {error}"))?;
    let hash: String = Sha256::digest(program).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let profile = meaning.profile.map_or(String::new(), |profile| format!("-{}", profile.name()));
    let mutant = meaning.mutant.map_or(String::new(), |mutant| format!("-{mutant:?}"));
    Ok(Path::new(DIRECTORY).join(format!("campaign-{hash}{profile}{mutant}.json")))
}

fn shrink_and_tell(case: Case, out: &mut dyn Write) -> Result<(), String> {
    let told = |result: std::io::Result<()>| result.map_err(|error| error.to_string());
    let Some(shrunk) = shrink(case) else {
        return told(writeln!(out, "seed {} breaks no promise when it runs again", case.seed));
    };
    let mutant = case.mutant.map_or(String::new(), |mutant| format!("-{mutant:?}"));
    let path = Path::new(DIRECTORY).join(format!("seed-{}{mutant}.schedule.json", case.seed));
    let json = serde_json::to_string_pretty(&shrunk.schedule.to_json(&shrunk.report)).map_err(|error| error.to_string())?;
    write_whole(&path, &format!("{json}\n"))?;
    let bound = if shrunk.runs >= RUNS { ", the most there are" } else { "" };
    told(writeln!(out, "seed {}, made small in {} runs{bound}:", case.seed, shrunk.runs))?;
    told(write!(out, "{}", describe(&shrunk.schedule, &shrunk.report)))?;
    told(writeln!(out, "  replay: opjournal-simulation replay --schedule {} --trace", path.display()))
}

fn replay(given: &Replay) -> Result<bool, String> {
    let schedule = match (&given.schedule, given.seed) {
        (Some(path), _) => {
            let text = std::fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
            let value = serde_json::from_slice(&text).map_err(|error| format!("{} is no JSON: {error}", path.display()))?;
            Schedule::from_json(&value).map_err(|error| format!("{} is no schedule: {error}", path.display()))?
        }
        (None, Some(seed)) => Schedule::whole(given.meaning.case(seed)),
        (None, None) => return Err("neither --seed nor --schedule".to_owned()),
    };
    let report = schedule.run(given.trace);
    if given.trace {
        for (at, line) in &report.trace {
            println!("{:>14} {line}", clock(*at));
        }
    }
    tell(&schedule, &report);
    Ok(report.violations.is_empty())
}

fn tell(schedule: &Schedule, report: &Report) {
    println!("{:#?}", report.plan);
    print!("{}", describe(schedule, report));
    for violation in report.violations.iter().skip(3) {
        println!("  {:>14} {} is broken: {}", clock(violation.at), violation.promise, violation.what);
    }
    println!("{} violations in {} s of simulated time, hash {:016x}", report.violations.len(), clock(report.lasted), report.hash);
}
