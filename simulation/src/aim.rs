//! Plans that are bent towards one kind of trouble. What takes two or three rare events at once is met once in thousands of plans that are
//! drawn freely, and in most seeds of a plan that is bent towards it. A seed still decides everything else.

use super::faults::Faults;
use super::peer;
use super::plan::{Aimed, Chaos, Lateness, Peers, Plan, Profile};
use super::store::{Character, Traffic};
use super::variety::Variety;
use super::world::{MILLISECOND, SECOND, Time};
use opjournal::config::{Compaction, Settings};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aim {
    /// Processes freeze as a LIST is answered, for longer than anything listed is safe, while others fold fast.
    LongSleepAfterList,
    /// The same, for as long as a LIST is young.
    ShortSleepAfterList,
    /// Processes freeze as the answer to a segment's PUT arrives, until it was folded and deleted.
    LongSleepAfterWrite,
    /// LISTs have many pages, while the same replica writes.
    ManyPages,
    /// PUTs are late, and repeated when what they wrote is gone.
    LateCopies,
    /// Segments are rare and LISTs slow: an own write ends while one is on its way, and its process freezes until the write was folded and
    /// deleted.
    SleepOverAnOwnWrite,
    /// Copies of what was folded are listed again, under a replica that slept meanwhile.
    CopiesUnderASleeper,
    /// The first answers that tell the store's time are slow.
    SlowClock,
    /// Stamps are whole seconds, and replicas write what answers each other within one.
    Ties,
    /// Nodes stamp with clocks that differ by S, and segments are rare.
    AheadOfDate,
    /// All replicas fold at once, over a slow line on which answers get lost.
    FoldRace,
    /// A replica reads segments so slowly that others fold and delete them meanwhile.
    SlowReader,
    /// Namespaces share their LISTs, which are slow, with Flushes in between.
    SharedLists,
    /// The same as `SleepOverAnOwnWrite`, where a peer folds, whose rollup does not name the write.
    SleepBesideThePeer,
    /// A machine is suspended between two requests, until no answer is young enough to tell store time. It writes as it wakes up.
    SuspendedMachine,
}

impl Aim {
    pub const ALL: &[Aim] = &[
        Aim::LongSleepAfterList,
        Aim::ShortSleepAfterList,
        Aim::LongSleepAfterWrite,
        Aim::ManyPages,
        Aim::LateCopies,
        Aim::SleepOverAnOwnWrite,
        Aim::CopiesUnderASleeper,
        Aim::SlowClock,
        Aim::Ties,
        Aim::AheadOfDate,
        Aim::FoldRace,
        Aim::SlowReader,
        Aim::SharedLists,
        Aim::SleepBesideThePeer,
        Aim::SuspendedMachine,
    ];

    /// The profile whose plans it bends.
    pub fn profile(self) -> Profile {
        if self == Aim::SleepBesideThePeer { Profile::Peer } else { Profile::Fleet }
    }

    /// Whether little happens in most of the long time that its seeds simulate, so that a campaign has few of them.
    pub fn is_dear(self) -> bool {
        self == Aim::SuspendedMachine
    }

    pub fn name(self) -> String {
        format!("{self:?}")
    }

    /// Bends a plan. What it does not mention stays as it was drawn.
    pub fn bend(self, plan: &mut Plan) {
        calm_down(plan);
        plan.aim = Some(self);
        match self {
            Aim::LongSleepAfterList => {
                plan.character.latency = 200 * MILLISECOND;
                plan.chaos.aimed = sleep(Traffic::List, 0.06, (12 * SECOND, 30 * SECOND));
                write_much(plan, 200 * MILLISECOND, 300);
            }
            Aim::ShortSleepAfterList => {
                plan.chaos.aimed = sleep(Traffic::List, 0.3, (SECOND, 9 * SECOND));
                write_much(plan, 200 * MILLISECOND, 300);
            }
            Aim::LongSleepAfterWrite => {
                plan.chaos.aimed = sleep(Traffic::WriteSegment, 0.2, (SECOND, 40 * SECOND));
                plan.faults =
                    Faults { late_put: 0.2, lost_answer: 0.1, repeated: 0.2, conflict: 0.1, server_error: 0.1, ..Faults::default() };
                plan.character.lateness = 40 * SECOND;
                write_much(plan, 500 * MILLISECOND, 200);
            }
            Aim::ManyPages => {
                plan.character = Character { page: 2, slow_commits: 0.3, latency: 60 * MILLISECOND, ..plan.character };
                plan.faults = Faults { late_put: 0.05, ..Faults::default() };
                plan.character.lateness = 8 * SECOND;
                write_much(plan, 30 * MILLISECOND, 300);
                plan.active = 30 * SECOND;
            }
            Aim::LateCopies => {
                plan.faults = Faults { late_put: 0.3, lost_answer: 0.15, repeated: 0.4, conflict: 0.1, ..Faults::default() };
                plan.character.lateness = 40 * SECOND;
                write_much(plan, 500 * MILLISECOND, 200);
            }
            Aim::SleepOverAnOwnWrite => {
                plan.settings.compaction.segment_threshold = 1;
                plan.faults.slow_reads = (SECOND, 2 * SECOND);
                plan.chaos.aimed = sleep(Traffic::List, 0.15, (25 * SECOND, 45 * SECOND));
                plan.think = 6 * SECOND;
                plan.active = 300 * SECOND;
            }
            Aim::CopiesUnderASleeper => {
                plan.settings.compaction.segment_threshold = 1;
                plan.faults = Faults { repeated: 0.8, ..Faults::default() };
                plan.character.late_from = 16 * SECOND;
                plan.character.lateness = 16 * SECOND;
                plan.chaos.aimed = sleep(Traffic::List, 0.1, (25 * SECOND, 45 * SECOND));
                plan.think = 10 * SECOND;
                // Past eight kilobytes a replica advances without a download where it can.
                plan.payload = 30_000;
                plan.active = 400 * SECOND;
            }
            Aim::SlowClock => {
                set_fold_age(plan, 15 * SECOND);
                plan.faults = Faults { late_put: 0.7, slow_reads: (5 * SECOND, 7400 * MILLISECOND), ..Faults::default() };
                plan.character.late_from = SECOND;
                plan.character.lateness = 4 * SECOND;
                plan.chaos.replica_mean = 40 * SECOND;
                plan.think = SECOND;
                plan.active = 150 * SECOND;
            }
            Aim::Ties => {
                plan.character.granularity = SECOND;
                plan.character.latency = 2 * MILLISECOND;
                plan.chaos.replica_mean = 10 * SECOND;
                plan.replicas = 4;
                write_much(plan, 50 * MILLISECOND, 300);
                plan.active = 30 * SECOND;
            }
            Aim::AheadOfDate => {
                plan.character = Character { nodes: 3, skew: plan.fold_age / 15, skewed_stamps: true, ..plan.character };
                plan.character.slow_commits = 0.5;
                plan.character.stamped_at_arrival = 1.0;
                plan.chaos.clocks_mean = 20 * SECOND;
                plan.think = 5 * SECOND;
                plan.active = 200 * SECOND;
            }
            Aim::FoldRace => {
                plan.faults = Faults { lost_answer: 0.2, slow_answer: 0.05, partial_delete: 0.3, ..Faults::default() };
                plan.character.latency = 400 * MILLISECOND;
                plan.replicas = 4;
                write_much(plan, 500 * MILLISECOND, 200);
            }
            Aim::SlowReader => {
                // Folds come in bulk: much is folded and deleted under the reader, and much that it fetched is still there.
                plan.settings.compaction.segment_threshold = 60;
                plan.chaos.aimed = sleep(Traffic::ReadSegment, 0.03, (6 * SECOND, 16 * SECOND));
                write_much(plan, 100 * MILLISECOND, 800);
            }
            Aim::SharedLists => {
                plan.namespaces = vec!["alpha".to_owned(), "b-2".to_owned()];
                plan.character.latency = 500 * MILLISECOND;
                plan.faults = Faults { slow_answer: 0.1, ..Faults::default() };
                plan.character.lateness = 16 * SECOND;
                write_much(plan, 300 * MILLISECOND, 300);
            }
            Aim::SleepBesideThePeer => {
                set_fold_age(plan, 30 * SECOND);
                // The peer folds, and nobody here.
                plan.settings.compaction.segment_threshold = 1000;
                let settings = peer::Settings {
                    interval: SECOND,
                    threshold: 1,
                    aged_after: plan.fold_age,
                    patience: plan.fold_age / 2,
                    clock_ahead: 0,
                };
                plan.peers = Some(Peers { count: 1, settings, think: SECOND, lateness: Lateness::None });
                plan.replicas = 2;
                plan.faults.slow_reads = (400 * MILLISECOND, 900 * MILLISECOND);
                plan.chaos.aimed = sleep(Traffic::List, 0.1, (36 * SECOND, 43 * SECOND));
                write_much(plan, SECOND, 600);
                plan.active = 300 * SECOND;
            }
            Aim::SuspendedMachine => {
                plan.chaos.suspended = Some((600 * SECOND, 660 * SECOND));
                plan.faults = Faults { lost_request: 0.02, lost_answer: 0.02, server_error: 0.05, ..Faults::default() };
                plan.character.latency = 200 * MILLISECOND;
                plan.clients = 2;
                write_much(plan, 10 * SECOND, 400);
                plan.active = 720 * SECOND;
            }
        }
    }
}

/// A fleet of three that folds as fast as it may, on a store without a peculiarity, in a world without a fault.
fn calm_down(plan: &mut Plan) {
    plan.variety = Variety::default();
    plan.settings = Settings { sync_interval: Duration::from_secs(1), ..Settings::default() };
    set_fold_age(plan, 6 * SECOND);
    plan.settings.compaction.segment_threshold = 2;
    // The calm would have to last until the last segment is so old.
    plan.settings.compaction.max_age = None;
    let tags_of_content = plan.character.tags_of_content;
    plan.character = Character { visibility: plan.fold_age / 3, tags_of_content, ..Character::plain() };
    plan.faults = Faults::default();
    plan.chaos = Chaos::default();
    plan.replicas = 3;
    plan.namespaces = vec!["alpha".to_owned()];
    plan.clients = 1;
    plan.burst = 1;
    plan.payload = 4;
    plan.batches = 200;
    plan.active = 60 * SECOND;
}

fn set_fold_age(plan: &mut Plan, fold_age: Time) {
    plan.fold_age = fold_age;
    plan.settings.compaction = Compaction { age_threshold: Duration::from_nanos(fold_age), ..plan.settings.compaction };
    plan.character.visibility = fold_age / 3;
}

fn write_much(plan: &mut Plan, think: Time, batches: u64) {
    plan.think = think;
    plan.batches = batches;
}

/// One replica always stays awake.
fn sleep(traffic: Traffic, chance: f64, length: (Time, Time)) -> Option<Aimed> {
    Some(Aimed { traffic, chance, length, victims: 2 })
}
