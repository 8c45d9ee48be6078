//! One run: a seed in, what was found out.

use super::aim::Aim;
use super::checker::{self, Fairness};
use super::columns::Findings;
use super::faults::{Counts, Happened, Injector};
use super::fleet::Fleet;
use super::folds::{self, Audit, Company};
use super::history::{Ending, History, ReplicaId, Violation, What};
use super::loud::{Ear, Said};
use super::plan::{Plan, Profile};
use super::settled::Times;
use super::store::Bucket;
use super::world::{SECOND, Time, World};
use opjournal::reached;
use std::collections::{BTreeMap, BTreeSet};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

pub struct Report {
    pub plan: Plan,
    pub violations: Vec<Violation>,
    pub counts: Counts,
    /// The same for two runs of a seed.
    pub hash: u64,
    /// Simulated time.
    pub lasted: Time,
    /// Empty unless it was asked for.
    pub trace: Vec<(Time, String)>,
    /// The faults that happened. Empty unless the injector was asked for a record.
    pub happened: Vec<Happened>,
}

/// No run takes longer than this; one that would is stuck.
const LONGEST: Time = 24 * 3600 * SECOND;

pub fn run(plan: Plan, traced: bool) -> Report {
    run_with(plan, traced, Injector::default())
}

/// The same, where `injector` decides which of the faults that are drawn happen.
pub fn run_with(plan: Plan, traced: bool, injector: Injector) -> Report {
    let world = World::new(plan.seed, plan.scheduling);
    let ear = Ear::new(&world);
    if !traced && plan.profile == Profile::Fleet {
        return run_in(&world, plan, injector, &ear);
    }
    if traced {
        world.keep_trace();
    }
    let subscriber = tracing_subscriber::registry().with(traced.then(|| TraceLayer(world.clone()))).with(ear.clone());
    let mut report = tracing::subscriber::with_default(subscriber, || run_in(&world, plan, injector, &ear));
    report.trace = world.take_trace();
    report
}

fn run_in(world: &World, plan: Plan, injector: Injector, ear: &Ear) -> Report {
    // What an earlier run in this thread left.
    reached::take();
    let holders = world.holders();
    let bucket = Bucket::new(world, plan.seed, plan.character);
    bucket.set_injector(injector.clone());
    let fleet = Fleet::new(plan.clone(), world, &bucket);
    fleet.start();
    while !fleet.is_done() && world.panics().is_empty() && world.now() < LONGEST {
        world.run_until(world.now() + SECOND);
    }
    let lasted = world.now();
    let mut history = fleet.take_history();
    if world.now() >= LONGEST {
        history.violate(lasted, "an end", "the run does not end");
    }
    for panicked in world.panics() {
        history.violate(panicked.at, "no panic", format!("{}, task {:?}: {}", panicked.process, panicked.task, panicked.message));
    }
    for breach in bucket.breaches() {
        history.violate(lasted, "the contract of Store", breach);
    }
    let mut counts = fleet.counts();
    counts.add_many("fleet: batch submitted", history.batches.len() as u64);
    counts.add_all(&bucket.counts());
    for (branch, count) in reached::take() {
        counts.add_many(&format!("reached: {branch}"), count);
    }
    // A body that a replica has is a body that it keeps. Only what is on its way when another one does not come may have to be fetched again.
    if plan.aim == Some(Aim::SlowReader) && counts.of("reached: a body that did not come ended the tick") == 0 {
        for (process, key) in bucket.fetched_again() {
            history.violate(lasted, "P9", format!("{} fetched {key} twice", world.name(process)));
        }
    }
    let said: Vec<Said> = ear.take().into_iter().chain(fleet.refusals()).collect();
    let mut violations = judge(&plan, &mut history, &bucket, &fleet, &said, &mut counts, lasted);
    let hash = world.hash();
    fleet.end();
    world.end();
    drop((fleet, bucket));
    if world.holders() > holders && violations.is_empty() {
        violations.push(Violation::new(lasted, "memory", "something of a replica is left, though all its tasks are gone"));
    }
    Report { plan, violations, counts, hash, lasted, trace: Vec::new(), happened: injector.take_record() }
}

/// Everything that can be said once a run is over.
fn judge(
    plan: &Plan,
    history: &mut History,
    bucket: &Bucket,
    fleet: &Fleet,
    said: &[Said],
    counts: &mut Counts,
    lasted: Time,
) -> Vec<Violation> {
    let changes = bucket.history();
    let peers = fleet.peers();
    let company = Company {
        peers: peers.iter().map(|(process, _)| *process).collect(),
        operators: fleet.operator().into_iter().collect(),
        held_up: fleet.held_up(),
    };
    let peers: BTreeSet<ReplicaId> = peers.into_iter().map(|(_, replica)| replica).collect();
    let mut violations = Vec::new();
    let mut audits = BTreeMap::new();
    for name in &plan.namespaces {
        let audit = folds::audit(&changes, name, plan.constants(), &company);
        counts.add_all(&audit.counts);
        violations.extend_from_slice(&audit.violations);
        audits.insert(name.clone(), audit);
    }
    if audits.values().any(|audit| audit.late.is_some()) {
        // A peer applies what is void, so it may end with another state.
        history.events.retain(|event| !matches!(&event.what, What::Final { replica, .. } if peers.contains(replica)));
        if !peers.is_empty() {
            counts.add("peer: a PUT was late");
        }
    }
    let one_clock_stamps =
        !plan.character.skewed_stamps || plan.character.skew == 0 || plan.character.nodes == 1 && plan.chaos.clocks_mean == 0;
    let settles = (plan.profile == Profile::Fleet).then(|| Times::new(plan.constants()));
    violations.extend(checker::check(history, Fairness { one_clock_stamps, settles }));
    for (name, audit) in &audits {
        violations.extend(check_against_bucket(plan, history, name, audit, lasted));
    }
    let margin = 2 * plan.constants().skew + 2 * SECOND;
    let findings = Findings { history, audits: &audits, peers: &peers, said, margin };
    if plan.peers.is_some() {
        let before = violations.len();
        violations.retain(|violation| !findings.excused_beside_peers(violation));
        counts.add_many("peer: excused", (before - violations.len()) as u64);
    }
    match plan.profile {
        Profile::Fleet | Profile::Peer => {}
        Profile::Operator => {
            let before = violations.len();
            violations.retain(|violation| !findings.excused_after_tampering(violation));
            counts.add_many("operator: excused", (before - violations.len()) as u64);
            violations.extend(findings.lost_silently());
            for audit in audits.values() {
                if !audit.lacking.is_empty() {
                    counts.add("operator: something folded was gone for a while");
                }
                if !audit.lost.is_empty() {
                    counts.add("operator: something is lost, and it was said");
                }
            }
        }
        Profile::Beyond => {
            violations.retain(|violation| !Findings::excused_beyond(violation));
            violations.extend(findings.gone_silently());
        }
    }
    violations.sort_by_key(|violation| violation.at);
    violations
}

/// Holds what clients were told, and what replicas ended with, to what is in the bucket.
fn check_against_bucket(plan: &Plan, history: &History, name: &str, audit: &Audit, lasted: Time) -> Vec<Violation> {
    let mut violations = Vec::new();
    let text = audit.state.text();
    for event in &history.events {
        match &event.what {
            What::Final { replica, namespace, state } if namespace == name && history.states[*state] != text => {
                let what = format!("replica {replica} ends with {}, and the bucket holds {text}", history.states[*state]);
                violations.push(Violation::new(event.at, "P4", what));
            }
            What::Ended(id, Ending::Applied { segment }) if history.batches[*id as usize].namespace == *name => {
                let is_in_it = audit.batches.get(segment).is_some_and(|batches| batches.contains(id));
                if !is_in_it {
                    let what = format!("batch {id} was acknowledged as part of {segment}, which does not hold it");
                    violations.push(Violation::new(event.at, "P1", what));
                }
            }
            _ => {}
        }
    }
    let spoiled = history.events.iter().filter_map(|event| match &event.what {
        What::Spoiled { namespace, segment } if namespace == name => Some(segment.clone()),
        _ => None,
    });
    if let Some(segment) = audit.unreadable.difference(&spoiled.collect()).next() {
        let what = format!("{segment} of {name:?} was written by a replica and cannot be read");
        violations.push(Violation::new(lasted, "the format", what));
    }
    let is_complete = history.events.iter().any(|event| matches!(event.what, What::Final { .. }));
    if is_complete && !history.unattended.contains(name) {
        if audit.tail > plan.tail() {
            violations.push(Violation::new(lasted, "P9", format!("{} segments of {name:?} are not folded", audit.tail)));
        }
        if audit.leftovers > 0 {
            violations.push(Violation::new(lasted, "P9", format!("{} folded segments of {name:?} are not deleted", audit.leftovers)));
        }
    }
    violations
}

/// Writes what the engine logs into the trace.
struct TraceLayer(World);

impl<S: tracing::Subscriber> Layer<S> for TraceLayer {
    fn on_event(&self, event: &tracing::Event<'_>, _context: Context<'_, S>) {
        struct Text(String);
        impl Visit for Text {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                if !self.0.is_empty() {
                    self.0.push(' ');
                }
                if field.name() == "message" {
                    self.0.push_str(&format!("{value:?}"));
                } else {
                    self.0.push_str(&format!("{}={value:?}", field.name()));
                }
            }
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.note(|| format!("log: {} {}", event.metadata().level(), text.0));
    }
}
