//! Makes a seed that breaks a promise small: takes away replicas, clients, batches, peculiarities of the store and single faults
//! as long as the same promise is still broken.
//!
//! A [`Schedule`] says exactly what runs: the seed, what its plan is reduced by, and which of its faults are let happen. It decides
//! everything, so the same schedule always runs the same way, and shrinking the same seed twice ends with the same schedule.

use super::dice::Dice;
use super::faults::{Fault, Happened, Injector, Strike};
use super::mutants;
use super::plan::{Plan, Profile};
use super::run::{Report, run_with};
use super::store::{Character, clock};
use super::world::SECOND;
use opjournal::mutant::{self, Mutant};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

/// So many runs a shrink takes at most. A bound in time would make its result one of the machine.
pub const RUNS: usize = 600;

/// What runs, before anything is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    pub seed: u64,
    /// Absent: the one that the seed decides for.
    pub profile: Option<Profile>,
    pub mutant: Option<Mutant>,
}

impl Case {
    pub fn plan(&self) -> Plan {
        match self.profile {
            Some(profile) => Plan::of(self.seed, profile),
            None => Plan::draw(self.seed),
        }
    }

    /// The options of a command line that name it.
    pub fn options(&self) -> String {
        let mut text = format!("--seed {}", self.seed);
        if let Some(profile) = self.profile {
            let _ = write!(text, " --profile {}", profile.name());
        }
        if let Some(mutant) = self.mutant {
            let _ = write!(text, " --mutant {mutant:?}");
        }
        text
    }
}

/// A way to make a plan simpler. `false`: it is as simple already.
struct Reduction {
    name: &'static str,
    apply: fn(&mut Plan) -> bool,
}

/// Sets a value to a simpler one.
fn set<T: PartialEq>(value: &mut T, simpler: T) -> bool {
    let differs = *value != simpler;
    *value = simpler;
    differs
}

fn change<T: Copy + PartialEq>(value: &mut T, simpler: impl Fn(T) -> T) -> bool {
    let simpler = simpler(*value);
    set(value, simpler)
}

const REDUCTIONS: &[Reduction] = &[
    Reduction { name: "one namespace", apply: |plan| plan.namespaces.len() > 1 && plan.namespaces.pop().is_some() },
    Reduction {
        name: "the other namespace",
        apply: |plan| {
            plan.namespaces.len() > 1 && {
                plan.namespaces.remove(0);
                true
            }
        },
    },
    Reduction { name: "one replica fewer", apply: |plan| plan.replicas > 1 && change(&mut plan.replicas, |replicas| replicas - 1) },
    Reduction { name: "one client", apply: |plan| set(&mut plan.clients, 1) },
    Reduction { name: "half the batches", apply: |plan| plan.batches > 1 && change(&mut plan.batches, |batches| batches / 2) },
    Reduction { name: "half the time", apply: |plan| plan.active > 2 * SECOND && change(&mut plan.active, |active| active / 2) },
    Reduction { name: "a tenth less time", apply: |plan| plan.active > 2 * SECOND && change(&mut plan.active, |active| active / 10 * 9) },
    Reduction { name: "one batch at a time", apply: |plan| set(&mut plan.burst, 1) },
    Reduction { name: "small batches", apply: |plan| set(&mut plan.payload, 4) },
    Reduction { name: "no commit interval", apply: |plan| set(&mut plan.settings.commit_interval, Duration::ZERO) },
    Reduction { name: "no misfortunes at random times", apply: |plan| set(&mut plan.chaos.replica_mean, 0) },
    Reduction { name: "clocks of nodes stay", apply: |plan| set(&mut plan.chaos.clocks_mean, 0) },
    Reduction { name: "tasks in order", apply: |plan| set(&mut plan.scheduling.shuffled, false) },
    Reduction { name: "timers on time", apply: |plan| set(&mut plan.scheduling.timer_slack, 0) },
    Reduction { name: "computing takes no time", apply: |plan| set(&mut plan.scheduling.compute, 0) },
    Reduction { name: "clocks of processes run right", apply: |plan| set(&mut plan.scheduling.drift_ppm, 0) },
    Reduction { name: "one node", apply: |plan| set(&mut plan.character.nodes, 1) },
    Reduction { name: "clocks of nodes agree", apply: |plan| set(&mut plan.character.skew, 0) },
    Reduction { name: "PUTs are visible soon", apply: |plan| set(&mut plan.character.slow_commits, 0.0) },
    Reduction { name: "stamped at completion", apply: |plan| set(&mut plan.character.stamped_at_arrival, 0.0) },
    Reduction { name: "fine stamps", apply: |plan| set(&mut plan.character.granularity, Character::plain().granularity) },
    Reduction { name: "one page", apply: |plan| set(&mut plan.character.page, Character::plain().page) },
    Reduction { name: "no empty last page", apply: |plan| set(&mut plan.character.trailing_page, false) },
    Reduction { name: "a trusted store", apply: |plan| set(&mut plan.character.trusted, true) },
];

/// What runs: a case, less what was taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub case: Case,
    /// Names of reductions, in the order of their application.
    reductions: Vec<&'static str>,
    /// Only these faults happen; all that are drawn where absent.
    faults: Option<BTreeSet<Strike>>,
}

impl Schedule {
    /// Everything of a case.
    pub fn whole(case: Case) -> Schedule {
        Schedule { case, reductions: Vec::new(), faults: None }
    }

    pub fn plan(&self) -> Plan {
        let mut plan = self.case.plan();
        for name in &self.reductions {
            for reduction in REDUCTIONS.iter().filter(|reduction| reduction.name == *name) {
                (reduction.apply)(&mut plan);
            }
        }
        plan
    }

    /// Runs it in this thread, with the mutant that it names.
    pub fn run(&self, traced: bool) -> Report {
        mutant::use_in_this_thread(self.case.mutant);
        let report = run_with(self.plan(), traced, Injector::recording(self.faults.clone()));
        mutant::use_in_this_thread(None);
        report
    }

    /// As JSON. `report` is that of a run of this schedule: it tells readers when the faults struck, and what they hit.
    pub fn to_json(&self, report: &Report) -> Value {
        let faults: Vec<Value> = report.happened.iter().map(fault_to_json).collect();
        json!({
            "seed": self.case.seed,
            "profile": self.case.profile.map(Profile::name),
            "mutant": self.case.mutant.map(|mutant| format!("{mutant:?}")),
            "breaks": report.violations.first().map(|violation| violation.promise),
            "reductions": self.reductions,
            "all_faults": self.faults.is_none(),
            "faults": faults,
        })
    }

    pub fn from_json(value: &Value) -> Result<Schedule, String> {
        let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(|| format!("{value} is no text"));
        let optional = |name: &str| if value[name].is_null() { Ok(None) } else { text(&value[name]).map(Some) };
        let named = |name: String| Profile::named(&name).ok_or(format!("no profile is called {name:?}"));
        let case = Case {
            seed: value["seed"].as_u64().ok_or("it names no seed")?,
            profile: optional("profile")?.map(named).transpose()?,
            mutant: optional("mutant")?.map(|name| mutants::named(&name)).transpose()?,
        };
        let mut reductions = Vec::new();
        for name in value["reductions"].as_array().ok_or("it has no reductions")? {
            let name = text(name)?;
            let known = REDUCTIONS.iter().find(|reduction| reduction.name == name);
            reductions.push(known.ok_or(format!("no reduction is called {name:?}"))?.name);
        }
        let mut faults = BTreeSet::new();
        for fault in value["faults"].as_array().ok_or("it has no faults")? {
            let name = text(&fault["fault"])?;
            let number = fault["number"].as_u64().and_then(|number| u32::try_from(number).ok()).ok_or("a fault has no number")?;
            faults.insert(Strike { fault: Fault::named(&name).ok_or(format!("no fault is called {name:?}"))?, number });
        }
        let faults = (value["all_faults"] != Value::Bool(true)).then_some(faults);
        Ok(Schedule { case, reductions, faults })
    }
}

fn fault_to_json(happened: &Happened) -> Value {
    json!({
        "fault": happened.strike.fault.name(),
        "number": happened.strike.number,
        "at_s": clock(happened.at),
        "hit": happened.hit,
    })
}

/// What is left, for people.
pub fn describe(schedule: &Schedule, report: &Report) -> String {
    let mut text = String::new();
    let plan = &report.plan;
    let _ = writeln!(
        text,
        "  {} replicas, {} clients each, namespaces {:?}, at most {} batches in {} s",
        plan.replicas,
        plan.clients,
        plan.namespaces,
        plan.batches,
        plan.active / SECOND
    );
    if !schedule.reductions.is_empty() {
        let _ = writeln!(text, "  taken away: {}", schedule.reductions.join(", "));
    }
    let _ = writeln!(text, "  {} faults:", report.happened.len());
    for happened in &report.happened {
        let _ = writeln!(
            text,
            "  {:>14} {} (number {} of its kind): {}",
            clock(happened.at),
            happened.strike.fault.name(),
            happened.strike.number,
            happened.hit
        );
    }
    for violation in report.violations.iter().take(3) {
        let _ = writeln!(text, "  {:>14} {} is broken: {}", clock(violation.at), violation.promise, shortened(&violation.what));
    }
    text
}

/// A long text's beginning.
pub fn shortened(text: &str) -> String {
    const MOST: usize = 400;
    if text.chars().count() <= MOST { text.to_owned() } else { text.chars().take(MOST).chain("...".chars()).collect() }
}

/// A smaller schedule that breaks the same promise.
pub struct Shrunk {
    pub schedule: Schedule,
    pub report: Report,
    pub runs: usize,
}

/// Shrinks a case. Nothing where it breaks no promise.
pub fn shrink(case: Case) -> Option<Shrunk> {
    let schedule = Schedule::whole(case);
    let report = schedule.run(false);
    let promise = report.violations.first()?.promise;
    let mut shrinker = Shrinker { promise, best: Shrunk { schedule, report, runs: 1 } };
    // First the large parts, under whatever faults the smaller plan draws; then its faults; then both in turns.
    shrinker.reduce_plan();
    let happened = shrinker.strikes();
    shrinker.attempt(Schedule { faults: Some(happened), ..shrinker.best.schedule.clone() });
    loop {
        let before = shrinker.best.schedule.clone();
        shrinker.drop_kinds();
        shrinker.drop_faults();
        shrinker.reduce_plan();
        if shrinker.best.schedule == before || shrinker.best.runs >= RUNS {
            return Some(shrinker.best);
        }
    }
}

struct Shrinker {
    promise: &'static str,
    best: Shrunk,
}

impl Shrinker {
    fn strikes(&self) -> BTreeSet<Strike> {
        self.best.report.happened.iter().map(|happened| happened.strike).collect()
    }

    /// Keeps a schedule if it breaks the same promise.
    fn attempt(&mut self, mut schedule: Schedule) -> bool {
        if self.best.runs >= RUNS {
            return false;
        }
        self.best.runs += 1;
        let report = schedule.run(false);
        if !report.violations.iter().any(|violation| violation.promise == self.promise) {
            return false;
        }
        if schedule.faults.is_some() {
            // What was allowed and did not happen is not part of it.
            schedule.faults = Some(report.happened.iter().map(|happened| happened.strike).collect());
        }
        self.best = Shrunk { schedule, report, runs: self.best.runs };
        true
    }

    fn reduce_plan(&mut self) {
        for reduction in REDUCTIONS {
            // Again and again, where it makes a little less each time.
            loop {
                if !(reduction.apply)(&mut self.best.schedule.plan()) {
                    break;
                }
                let mut schedule = self.best.schedule.clone();
                schedule.reductions.push(reduction.name);
                if !self.attempt(schedule) {
                    break;
                }
            }
        }
    }

    /// Leaves out all faults of one kind.
    fn drop_kinds(&mut self) {
        for fault in Fault::ALL {
            let rest: BTreeSet<Strike> = self.strikes().into_iter().filter(|strike| strike.fault != *fault).collect();
            if rest.len() < self.best.report.happened.len() {
                self.attempt(Schedule { faults: Some(rest), ..self.best.schedule.clone() });
            }
        }
    }

    /// Delta debugging: leaves out ever smaller parts of the faults.
    fn drop_faults(&mut self) {
        let mut parts = 2;
        loop {
            // In an order of their own, so that a part is not all of one time or kind.
            let mut strikes: Vec<Strike> = self.strikes().into_iter().collect();
            let mut dice = Dice::new(self.best.schedule.case.seed, "shrink");
            for place in (1..strikes.len()).rev() {
                strikes.swap(place, dice.within(0..place as u64 + 1) as usize);
            }
            if strikes.is_empty() || self.best.runs >= RUNS {
                return;
            }
            parts = parts.min(strikes.len());
            let size = strikes.len().div_ceil(parts);
            let shrank = strikes.chunks(size).any(|part| {
                let rest: BTreeSet<Strike> = strikes.iter().filter(|strike| !part.contains(strike)).copied().collect();
                self.attempt(Schedule { faults: Some(rest), ..self.best.schedule.clone() })
            });
            if shrank {
                parts = (parts - 1).max(2);
            } else if size == 1 {
                return;
            } else {
                parts *= 2;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing_case() -> (Case, usize) {
        (0..3000)
            .find_map(|seed| {
                let case = Case { seed, profile: Some(Profile::Fleet), mutant: Some(Mutant::LateAnswersCount) };
                let report = Schedule::whole(case).run(false);
                (!report.violations.is_empty()).then_some((case, report.happened.len()))
            })
            .expect("a seed that catches the mutant")
    }

    #[test]
    fn a_broken_promise_shrinks_to_few_faults_and_its_schedule_breaks_it_again() {
        let (case, faults) = failing_case();
        let shrunk = shrink(case).expect("it breaks a promise");
        assert!(shrunk.report.happened.len() < faults.min(20), "{} of {faults} faults are left", shrunk.report.happened.len());
        let promise = shrunk.report.violations[0].promise;

        let json = shrunk.schedule.to_json(&shrunk.report);
        let again = Schedule::from_json(&json).expect("it was written so");
        assert_eq!(again, shrunk.schedule);
        let traced = again.run(true);
        assert_eq!(traced.hash, shrunk.report.hash, "a schedule decides everything");
        assert_eq!(traced.violations[0].promise, promise);
        assert!(!traced.trace.is_empty() && shrunk.report.trace.is_empty());

        let twice = shrink(case).expect("it breaks a promise");
        assert_eq!(twice.schedule, shrunk.schedule, "shrinking is deterministic");
    }

    #[test]
    fn a_schedule_that_names_what_does_not_exist_is_refused() {
        for text in [
            r#"{"reductions": [], "faults": []}"#,
            r#"{"seed": 1, "reductions": ["magic"], "faults": []}"#,
            r#"{"seed": 1, "reductions": [], "faults": [{"fault": "magic", "number": 1}]}"#,
            r#"{"seed": 1, "mutant": "Magic", "reductions": [], "faults": []}"#,
        ] {
            assert!(Schedule::from_json(&serde_json::from_str(text).expect("JSON")).is_err(), "{text}");
        }
    }
}
