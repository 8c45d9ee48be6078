//! Everything that must have happened in a campaign: every fault, and every rare branch of the engine and of the checks. A
//! campaign of many seeds that never met one of them proves nothing about it, and fails.
//!
//! To add one: count it (`Counts::add` in the simulation, `crate::reached::reached("...")` in the engine, or a variant of
//! `Fault`, which is listed by itself), and name it in [`GROUPS`].

use super::faults::{Counts, Fault};

/// After so many seeds everything must have happened but what is rare.
pub const SEEDS: u64 = 2000;

/// After so many, that as well: a fault has to strike between two requests that follow each other at once.
pub const MANY_SEEDS: u64 = 200_000;

/// What belongs together. The name of a count is the prefix and the entry.
pub struct Group {
    pub title: &'static str,
    prefix: &'static str,
    /// After so many seeds all of it must have happened.
    pub seeds: u64,
    entries: &'static [&'static str],
}

pub const GROUPS: &[Group] = &[
    Group {
        title: "the store",
        prefix: "store: ",
        seeds: SEEDS,
        entries: &["slow to become visible", "condition refused", "LIST of several pages"],
    },
    Group {
        title: "the network",
        prefix: "network: ",
        seeds: SEEDS,
        entries: &["request without a network", "request in a storm or outage"],
    },
    Group {
        title: "replicas",
        prefix: "fleet: ",
        seeds: SEEDS,
        entries: &[
            "replica started",
            "replica closed",
            "closed at the end",
            "replica that only reads",
            "second journal in a process",
            "namespace closed in mid-traffic",
            "endless flushes",
            "storm of flushes",
            "quiet window",
            "legacy object",
            "legacy object that is none",
            "unreadable segment: UnknownOp",
            "unreadable segment: BadJson",
            "unreadable segment: NewerFormat",
            "unreadable segment: TooLarge",
            "unreadable segment: TooDeep",
            "unreadable segment removed by hand",
            "kept out by an unreadable segment",
        ],
    },
    Group {
        title: "writes",
        prefix: "write: ",
        seeds: SEEDS,
        entries: &["applied", "failed", "unknown", "settled as applied", "settled as failed", "cancelled by its caller", "future dropped"],
    },
    Group {
        title: "answers",
        prefix: "answer: ",
        seeds: SEEDS,
        entries: &[
            "open UNAVAILABLE",
            "open DENIED",
            "namespace DENIED",
            "flush DENIED",
            "namespace TIMED_OUT",
            "namespace UNAVAILABLE",
            "submit CLOSED",
            "submit BUSY",
            "submit TOO_LARGE",
            "submit READ_ONLY",
            "flush UNREADABLE",
            "namespace UNREADABLE",
            "quarantine OK",
            "write TIMED_OUT",
            "write CANCELLED",
            "write CLOSED",
            "write UNAVAILABLE",
            "flush OK",
            "flush TIMED_OUT",
            "flush UNAVAILABLE",
            "flush CLOSED",
            "query CLOSED",
            "query after close CLOSED",
            "close TIMED_OUT",
        ],
    },
    Group {
        title: "the peer",
        prefix: "peer: ",
        seeds: SEEDS,
        entries: &[
            "started",
            "first rollup",
            "fold",
            "fold lost",
            "empty segment",
            "segment deleted",
            "failed tick",
            "write applied",
            "write unknown",
            "a PUT was late",
            "LIST held up",
        ],
    },
    Group { title: "beside the peer", prefix: "seen: ", seeds: SEEDS, entries: &["rollup of a peer", "delete by a peer", "new chain"] },
    Group {
        title: "the engine: other companies",
        prefix: "reached: ",
        seeds: SEEDS,
        entries: &[
            "chain begins anew",
            "settled as untold",
            "ROLLUP_LOST",
            "written forward",
            "rollup behind its segments",
            "rollup read for a segment that counts more",
        ],
    },
    Group {
        title: "beyond the assumptions, rarely",
        prefix: "reached: ",
        seeds: MANY_SEEDS,
        entries: &["own acknowledged segment is void"],
    },
    Group {
        title: "a person",
        prefix: "operator: ",
        seeds: SEEDS,
        entries: &["rollup deleted", "rollup restored", "something folded was gone for a while"],
    },
    Group { title: "after a person", prefix: "seen: ", seeds: SEEDS, entries: &["rollup written forward"] },
    Group { title: "after a person, rarely", prefix: "seen: ", seeds: MANY_SEEDS, entries: &["rollup written forward under a later mark"] },
    Group {
        title: "the engine: after a person, rarely",
        prefix: "reached: ",
        seeds: MANY_SEEDS,
        entries: &["listed segment vanished unfolded", "newer rollup taken over under a later mark", "another chain taken over"],
    },
    Group {
        title: "the bucket's history",
        prefix: "seen: ",
        seeds: SEEDS,
        entries: &["segment", "void segment", "void folded", "fold", "delete", "legacy state taken over"],
    },
    Group {
        title: "the engine: writes",
        prefix: "reached: ",
        seeds: SEEDS,
        entries: &[
            "batch withdrawn",
            "caller told unknown",
            "409 to a segment",
            "answer came too late to count",
            "outcome unknown",
            "settled as applied: listed",
            "settled as applied: folded",
            "settled as failed",
            "own segment held back: the LIST began before its answer",
            "own segment gone: folded and deleted",
        ],
    },
    Group {
        title: "the engine: ticks",
        prefix: "reached: ",
        seeds: SEEDS,
        entries: &[
            "rollup left unread",
            "legacy object read",
            "legacy object is no JSON object",
            "legacy object taken over",
            "legacy object taken over by another",
            "unreadable segment",
            "rollup downloaded",
            "rollup downloaded after its head",
            "advanced without download",
            "LIST again: it is old",
            "LIST again: a peer may have folded an own segment",
            "LIST again: another overtook it",
            "LIST again: an own fold came between",
            "LIST shared by namespaces",
            "LIST too long to share",
            "flush waited for a segment in doubt",
        ],
    },
    Group {
        title: "the engine: folds",
        prefix: "reached: ",
        seeds: SEEDS,
        entries: &[
            "fold committed",
            "fold due by age",
            "fold lost: another was faster",
            "fold lost: its condition did not hold",
            "answer to a rollup's PUT lost",
            "names left the proof",
            "delete failed",
        ],
    },
    Group {
        title: "the engine: what is rare",
        prefix: "reached: ",
        seeds: MANY_SEEDS,
        entries: &[
            "no young sample of store time",
            "rollup replaced between two reads",
            "a body that did not come ended the tick",
            "segment vanished in a tick",
            "LIST again: strays need one after the rollup",
            "fold lost: a tick brought another rollup",
            "stray listed",
            "stray folded",
        ],
    },
];

/// The names of all counts that must not be zero, with the title of their group and the seeds after which it is judged.
pub fn all() -> impl Iterator<Item = (&'static str, u64, String)> {
    let faults = Fault::ALL.iter().map(|fault| ("faults", SEEDS, fault.count_name().to_owned()));
    let declared =
        |group: &'static Group| group.entries.iter().map(move |entry| (group.title, group.seeds, format!("{}{entry}", group.prefix)));
    faults.chain(GROUPS.iter().flat_map(declared))
}

/// What never happened in a campaign of so many seeds and should have.
pub fn missing(counts: &Counts, seeds: u64) -> Vec<String> {
    let judged = all().filter(|(_, least, _)| seeds >= *least);
    judged.map(|(_, _, name)| name).filter(|name| counts.of(name) == 0).collect()
}

/// Branches of the engine that were reached and that nobody declared.
pub fn undeclared(counts: &Counts) -> Vec<String> {
    let declared: std::collections::BTreeSet<String> = all().map(|(_, _, name)| name).collect();
    counts.0.keys().filter(|name| name.starts_with("reached: ") && !declared.contains(*name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_happened_is_named() {
        let mut counts = Counts::default();
        all().for_each(|(_, _, name)| counts.add(&name));
        assert!(missing(&counts, MANY_SEEDS).is_empty() && undeclared(&counts).is_empty());
        counts.0.remove("fault: crash");
        counts.add("reached: a branch that nobody declared");
        counts.0.remove("reached: stray folded");
        assert!(missing(&counts, SEEDS - 1).is_empty());
        assert_eq!(missing(&counts, SEEDS), ["fault: crash"]);
        assert_eq!(missing(&counts, MANY_SEEDS), ["fault: crash", "reached: stray folded"]);
        assert_eq!(undeclared(&counts), ["reached: a branch that nobody declared"]);
    }

    #[test]
    fn nothing_is_declared_twice() {
        let names: Vec<String> = all().map(|(_, _, name)| name).collect();
        let unique: std::collections::BTreeSet<&String> = names.iter().collect();
        assert_eq!(unique.len(), names.len());
    }
}
