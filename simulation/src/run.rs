//! One run: a seed in, what was found out.

use super::aim::Aim;
use super::checker::{self, Fairness};
use super::faults::{Counts, Happened, Injector};
use super::fleet::Fleet;
use super::folds;
use super::history::{Ending, History, Violation, What};
use super::plan::Plan;
use super::store::Bucket;
use super::world::{SECOND, Time, World};
use opjournal::reached;
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
    if !traced {
        return run_in(&world, plan, injector);
    }
    world.keep_trace();
    let subscriber = tracing_subscriber::registry().with(TraceLayer(world.clone()));
    let mut report = tracing::subscriber::with_default(subscriber, || run_in(&world, plan, injector));
    report.trace = world.take_trace();
    report
}

fn run_in(world: &World, plan: Plan, injector: Injector) -> Report {
    // What an earlier run in this thread left.
    reached::take();
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
    // Where nothing breaks off, a body that a replica has is a body that it keeps.
    let again = if plan.aim == Some(Aim::SlowReader) { bucket.fetched_again() } else { Vec::new() };
    for (process, key) in again {
        history.violate(lasted, "P9", format!("{} fetched {key} twice", world.name(process)));
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
    let violations = judge(&plan, &history, &bucket, &mut counts, lasted);
    let hash = world.hash();
    fleet.end();
    world.end();
    Report { plan, violations, counts, hash, lasted, trace: Vec::new(), happened: injector.take_record() }
}

/// Everything that can be said once a run is over.
fn judge(plan: &Plan, history: &History, bucket: &Bucket, counts: &mut Counts, lasted: Time) -> Vec<Violation> {
    let one_clock_stamps =
        !plan.character.skewed_stamps || plan.character.skew == 0 || plan.character.nodes == 1 && plan.chaos.clocks_mean == 0;
    let mut violations = checker::check(history, Fairness { one_clock_stamps });
    let changes = bucket.history();
    let is_complete = history.events.iter().any(|event| matches!(event.what, What::Final { .. }));
    for name in &plan.namespaces {
        let audit = folds::audit(&changes, name, plan.constants());
        counts.add_all(&audit.counts);
        violations.extend(audit.violations);
        let text = audit.state.text();
        for event in &history.events {
            let promise = |promise, what| Violation { at: event.at, promise, what };
            match &event.what {
                What::Final { replica, namespace, state } if namespace == name && history.states[*state] != text => {
                    let what = format!("replica {replica} ends with {}, and the bucket holds {text}", history.states[*state]);
                    violations.push(promise("P4", what));
                }
                What::Ended(id, Ending::Applied { segment }) if history.batches[*id as usize].namespace == *name => {
                    let is_in_it = audit.batches.get(segment).is_some_and(|batches| batches.contains(id));
                    if !is_in_it {
                        violations.push(promise("P1", format!("batch {id} was acknowledged as part of {segment}, which does not hold it")));
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
            violations.push(Violation { at: lasted, promise: "the format", what });
        }
        if is_complete && !history.unattended.contains(name) {
            if audit.tail > plan.segment_threshold() {
                violations.push(Violation {
                    at: lasted,
                    promise: "P9",
                    what: format!("{} segments of {name:?} are not folded", audit.tail),
                });
            }
            if audit.leftovers > 0 {
                violations.push(Violation {
                    at: lasted,
                    promise: "P9",
                    what: format!("{} folded segments of {name:?} are not deleted", audit.leftovers),
                });
            }
        }
    }
    violations.sort_by_key(|violation| violation.at);
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
