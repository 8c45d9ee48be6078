//! Mutants: each takes away all that stands in the engine against one way of losing, doubling or reordering data, so that the simulation
//! can prove that it would notice. `docs/simulation.md` has the table, and how to add one. Only builds with the feature `mutants` can
//! switch one on; in all others [`is_on`] is the constant `false` and nothing of this is compiled.
//!
//! A site reads `mutant::is_on(Mutant::Name)`; what it does there is one short condition, and why is told here.

/// Declares the mutants: name, number in the table of hazards (0: a single rule that another one helps out, or a rule without a row there),
/// the promises of which one at least has to break, and what is taken away.
macro_rules! mutants {
    ($($(#[doc = $what:literal])+ $name:ident: $hazard:literal [$($promise:literal),+];)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Mutant {
            $($(#[doc = $what])+ $name,)+
        }

        #[cfg(feature = "mutants")]
        impl Mutant {
            pub const ALL: &[Mutant] = &[$(Mutant::$name),+];

            /// The row of the table of hazards; 0 where it is none of them.
            pub fn hazard(self) -> u8 {
                match self {
                    $(Mutant::$name => $hazard,)+
                }
            }

            /// The promises that it breaks: a seed catches it where one of them was seen broken.
            pub fn promises(self) -> &'static [&'static str] {
                match self {
                    $(Mutant::$name => &[$($promise),+],)+
                }
            }

            /// What is taken away.
            pub fn what(self) -> String {
                match self {
                    $(Mutant::$name => concat!($($what),+).trim().to_owned(),)+
                }
            }
        }
    };
}

mutants! {
    /// A rollup is written without its condition, as a multipart upload would write it.
    RollupPutsDropTheirCondition: 1 ["P1", "P4", "P5", "P7"];
    /// What was stamped past its `expires` counts, and what was folded is deleted at once, so that a late copy finds its key free.
    LatePutsCount: 2 ["P1", "P2"];
    /// A segment's PUT has no condition: a repetition writes it, and stamps it, anew.
    RetriesOverwrite: 3 ["P1", "P4", "P5"];
    /// Segments age by the end of a LIST; what lies at or below the mark is folded, whatever the proof says, and is deleted.
    PagesCountAsOneMoment: 4 ["P1", "P7"];
    /// A stamp after the store's own `Date` is aged, and what lies at or below the mark is folded.
    StampsAheadAge: 5 ["P1", "P5"];
    /// A rollup that is gone is not put back, and no segment's word that there was one is believed.
    ALostRollupIsABeginning: 6 ["P1", "P4", "P5", "P7", "P8"];
    /// Replay goes on from the result of the last one instead of from the base.
    ValuesAreShared: 7 ["P1", "P4"];
    /// A writer applies its own batch as a language would have it that knows only texts as keys of maps.
    WritersApplyTheirOwnForm: 8 ["P1", "P4"];
    /// A write whose outcome is open is reported as failed.
    OpenMeansFailed: 9 ["P2"];
    /// A segment that cannot be read ends the tick.
    UnreadableEndsTheTick: 10 ["P1", "P5", "P6", "P8", "P9"];
    /// A namespace is given out before its first tick, and queries answer.
    EmptyBeforeTheFirstTick: 11 ["P8"];
    /// Ops go into a segment as they were submitted, unchecked.
    OpsAreNotChecked: 12 ["statuses that fit"];
    /// No request has a deadline.
    NoDeadlines: 13 ["P8", "P9", "an answer for every waiter"];
    /// A segment that vanished ends the tick, and every body that was fetched is thrown away.
    A404EndsTheTick: 14 ["P9"];
    /// Keys do not follow those that were listed.
    KeysIgnoreListedOnes: 15 ["P5"];
    /// Keys carry the time of the process' own clock, and do not follow those that were listed.
    KeysFollowTheLocalClock: 16 ["P5"];
    /// An own segment that a LIST does not show was folded, whenever the LIST began.
    UnlistedMeansFolded: 17 ["P5"];
    /// Whatever is listed counts, folded or not.
    ListedMeansLive: 18 ["P1"];
    /// Whether the rollup is another than the held one is not looked at: a fold whose answer was lost is somebody else's business.
    AFoldWithoutAnswerIsForgotten: 19 ["P5", "P9"];
    /// A fold takes the first half of its last segment, and a query may see the first half of a batch.
    BatchesAreTorn: 20 ["P1"];
    /// An answer to a PUT counts however late it comes and whatever its `Date` says, and after D the PUT is repeated all the same.
    LateAnswersCount: 21 ["P1", "P5"];
    /// F is what a replica's own sync interval suggests.
    FIsEachReplicasOwn: 22 ["P1", "P2", "P4", "P5", "P7"];
    /// A rollup that is older than the held one is taken for a newer one, and deletes do not ask for the ETag.
    OlderRollupsAreAdopted: 23 ["P1", "P4", "P5", "P7", "P8", "no panic"];
    /// A write without an answer is settled by the first look, shown or not.
    SettledAtTheFirstLook: 24 ["P2"];
    /// The rollup is read once, and after that only where a segment vanishes under a tick.
    TheRollupIsLeftUnread: 25 ["P1", "P5", "P6"];
    /// Store time follows the latest answer, and the `Date` of an answer to a PUT is not looked at.
    TheLatestDateCounts: 26 ["P1", "P5"];
    /// A LIST is joined however old it is, and strays are taken from any.
    OldListsAreJoined: 27 ["P1", "P5"];
    /// A write is not settled by its writer's last folded key.
    VoidCopiesDecide: 28 ["P2"];
    /// The chain covers the keys only, in any order, so that a replica advances over segments whose stamps it has wrong.
    TheChainIsAChecksumOfKeys: 29 ["P1", "P4", "P5"];
    /// The chain is a checksum of what was folded, in any order.
    TheChainHasNoOrder: 30 ["P4"];
    /// Each own segment is settled for itself, also behind one that a LIST did not show.
    OwnSegmentsSettleOneByOne: 31 ["P5"];

    /// The `Date` of an answer to a PUT is not looked at.
    AnswersCountWithoutDate: 0 ["P1", "P5"];
    /// A LIST is joined however old it is.
    ListsStayYoung: 0 ["P1", "P5"];
    /// An own segment that a LIST began too early to show counts, whatever a rollup of the peer may hold.
    UnlistedMeansUnfolded: 0 ["P1"];
    /// Strays are taken from any LIST.
    StraysFromAnyList: 0 ["P1"];
    /// A LIST that another namespace took along is joined although one that began later was joined before.
    OvertakenListsAreJoined: 0 ["P5", "P6"];
    /// Names leave the proof as soon as a fold comes by.
    NamesLeaveTheProof: 0 ["P1", "P7"];
    /// What was folded is deleted at once.
    DeletesComeAtOnce: 0 ["P1", "P2", "P5", "P7"];
    /// A stamp past `expires` makes no segment void.
    NothingIsVoid: 0 ["P1", "P2"];
    /// A conflict counts as a refusal.
    ConflictsAreRefusals: 0 ["P2"];
    /// A Flush is content with a tick that has begun already.
    FlushSharesARunningTick: 0 ["P6"];
}

#[cfg(feature = "mutants")]
mod switch {
    use super::Mutant;
    use std::cell::Cell;

    thread_local! {
        static ON: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Makes the engines that run in this thread from now on use this mutant, or none.
    pub fn use_in_this_thread(mutant: Option<Mutant>) {
        ON.set(mutant);
    }

    #[inline]
    pub(crate) fn is_on(mutant: Mutant) -> bool {
        // The text is how the tests of the installed library find out that it has no switches. No engine runs in a thread that is ending.
        ON.try_with(Cell::get).expect("a mutant is looked up in a thread that lives") == Some(mutant)
    }
}

#[cfg(not(feature = "mutants"))]
mod switch {
    #[inline(always)]
    pub(crate) const fn is_on(_: super::Mutant) -> bool {
        false
    }
}

pub(crate) use switch::is_on;
#[cfg(feature = "mutants")]
pub use switch::use_in_this_thread;

/// A segment's body as its writer would have it that did not read what it sent: [`Mutant::WritersApplyTheirOwnForm`].
#[cfg(feature = "mutants")]
pub(crate) fn own_form(body: &bytes::Bytes) -> bytes::Bytes {
    let text = String::from_utf8_lossy(body);
    let mut parts = text.split("\"MapKey\":");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let quote = if digits > 0 { "\"" } else { "" };
        out.push_str(&format!("\"MapKey\":{quote}{}{quote}{}", &part[..digits], &part[digits..]));
    }
    out.into()
}

#[cfg(not(feature = "mutants"))]
#[inline(always)]
pub(crate) fn own_form(body: &bytes::Bytes) -> bytes::Bytes {
    body.clone()
}
