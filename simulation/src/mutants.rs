//! Runs every mutant of the engine until enough seeds have caught it, each in the plans in which what it takes away is needed.

use super::aim::Aim;
use super::history::Violation;
use super::plan::{Plan, Profile};
use super::run::run;
use opjournal::mutant::{self, Mutant};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Where a mutant is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    Aimed(Aim),
    Drawn(Profile),
}

impl Ground {
    pub fn plan(self, seed: u64) -> Plan {
        match self {
            Ground::Drawn(profile) => Plan::of(seed, profile),
            Ground::Aimed(aim) => {
                let mut plan = Plan::of(seed, aim.profile());
                aim.bend(&mut plan);
                plan
            }
        }
    }

    pub fn name(self) -> String {
        match self {
            Ground::Aimed(aim) => aim.name(),
            Ground::Drawn(profile) => profile.name().to_owned(),
        }
    }

    pub fn named(name: &str) -> Option<Ground> {
        let drawn = Profile::named(name).map(Ground::Drawn);
        drawn.or_else(|| Aim::ALL.iter().copied().find(|aim| aim.name() == name).map(Ground::Aimed))
    }
}

/// The mutant of this name, however it is capitalised.
pub fn named(name: &str) -> Result<Mutant, String> {
    let is_it = |mutant: &&Mutant| format!("{mutant:?}").eq_ignore_ascii_case(name);
    Mutant::ALL.iter().find(is_it).copied().ok_or_else(|| format!("no mutant is called {name:?}; there are {:?}", Mutant::ALL))
}

/// The ground on which what a mutant takes away is needed most often.
pub fn ground(mutant: Mutant) -> Ground {
    use Ground::{Aimed, Drawn};
    match mutant {
        Mutant::RollupPutsDropTheirCondition | Mutant::AFoldWithoutAnswerIsForgotten => Aimed(Aim::FoldRace),
        Mutant::LatePutsCount
        | Mutant::RetriesOverwrite
        | Mutant::OpenMeansFailed
        | Mutant::SettledAtTheFirstLook
        | Mutant::NothingIsVoid
        | Mutant::ConflictsAreRefusals => Aimed(Aim::LateCopies),
        Mutant::PagesCountAsOneMoment | Mutant::OwnSegmentsSettleOneByOne => Aimed(Aim::ManyPages),
        Mutant::StampsAheadAge => Aimed(Aim::AheadOfDate),
        Mutant::ALostRollupIsABeginning | Mutant::OlderRollupsAreAdopted => Drawn(Profile::Operator),
        Mutant::TheChainHasNoOrder => Drawn(Profile::Beyond),
        Mutant::A404EndsTheTick => Aimed(Aim::SlowReader),
        Mutant::KeysIgnoreListedOnes | Mutant::KeysFollowTheLocalClock => Aimed(Aim::Ties),
        Mutant::TheLatestDateCounts | Mutant::AnswersCountWithoutDate => Aimed(Aim::SlowClock),
        Mutant::OldListsAreJoined => Aimed(Aim::LongSleepAfterList),
        Mutant::ListsStayYoung => Aimed(Aim::SleepOverAnOwnWrite),
        Mutant::UnlistedMeansUnfolded => Aimed(Aim::SleepBesideThePeer),
        Mutant::StraysFromAnyList | Mutant::NamesLeaveTheProof => Aimed(Aim::ShortSleepAfterList),
        Mutant::VoidCopiesDecide | Mutant::LateAnswersCount => Aimed(Aim::LongSleepAfterWrite),
        Mutant::TheChainIsAChecksumOfKeys => Aimed(Aim::CopiesUnderASleeper),
        Mutant::OvertakenListsAreJoined | Mutant::FlushSharesARunningTick | Mutant::UnlistedMeansFolded => Aimed(Aim::SharedLists),
        Mutant::ValuesAreShared
        | Mutant::WritersApplyTheirOwnForm
        | Mutant::EmptyBeforeTheFirstTick
        | Mutant::OpsAreNotChecked
        | Mutant::UnreadableEndsTheTick
        | Mutant::NoDeadlines
        | Mutant::ListedMeansLive
        | Mutant::BatchesAreTorn
        | Mutant::FIsEachReplicasOwn
        | Mutant::TheRollupIsLeftUnread
        | Mutant::DeletesComeAtOnce => Drawn(Profile::Fleet),
    }
}

/// What was found out about a mutant, or about the engine as it is (`mutant` absent).
#[derive(Clone, Debug)]
pub struct Finding {
    pub mutant: Option<Mutant>,
    pub ground: Ground,
    /// How many seeds were run, from zero on.
    pub seeds: u64,
    pub caught: u64,
    pub first: Option<u64>,
    /// Everything that was seen broken, by seeds that caught it.
    pub broken: BTreeSet<&'static str>,
}

/// Runs seeds from zero on until `enough` have caught the mutant, `most` at the most.
pub fn find(mutant: Option<Mutant>, ground: Ground, most: u64, enough: u64) -> Finding {
    let mut finding = Finding { mutant, ground, seeds: 0, caught: 0, first: None, broken: BTreeSet::new() };
    mutant::use_in_this_thread(mutant);
    while finding.seeds < most && finding.caught < enough {
        let seed = finding.seeds;
        finding.seeds += 1;
        let violations = run(ground.plan(seed), false).violations;
        if violations.iter().any(|violation| catches(mutant, violation)) {
            finding.caught += 1;
            finding.first.get_or_insert(seed);
            finding.broken.extend(violations.iter().map(|violation| promise(violation)));
        }
    }
    mutant::use_in_this_thread(None);
    finding
}

/// Whether a violation is what the mutant is there to bring about. That a PUT has no condition, or a proof another chain, is what some
/// mutants *are*: it proves nothing about what follows from it.
fn catches(mutant: Option<Mutant>, violation: &Violation) -> bool {
    let Some(mutant) = mutant else { return true };
    let is_cause = ["was written without", "the chain is ", "the proof counts "].iter().any(|cause| violation.what.contains(cause));
    !is_cause && mutant.promises().contains(&promise(violation))
}

fn promise(violation: &Violation) -> &'static str {
    violation.promise.split(':').next().unwrap_or(violation.promise)
}

/// Looks into several at once, as many as the machine has cores, and tells each as it is done.
pub fn find_all(cases: &[(Option<Mutant>, Ground)], most: u64, enough: u64, tell: impl Fn(&Finding) + Sync) -> Vec<Finding> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((mutant, ground)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let finding = find(*mutant, *ground, most, enough);
                    tell(&finding);
                    found.lock().unwrap_or_else(PoisonError::into_inner).push(finding);
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|finding| finding.mutant);
    found
}
