//! What can go wrong, with the rate of each fault, the count of what did, and the choice of what may.

use super::dice::Dice;
use super::world::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

macro_rules! faults {
    ($($(#[doc = $text:literal])* $fault:ident = $name:literal,)*) => {
        /// A kind of fault. A run that shrinks takes single ones away; a campaign must have met every kind.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault {
            $($(#[doc = $text])* $fault,)*
        }

        impl Fault {
            pub const ALL: &[Fault] = &[$(Fault::$fault,)*];

            /// The name of its count: `fault: ...`.
            pub fn count_name(self) -> &'static str {
                match self {
                    $(Fault::$fault => concat!("fault: ", $name),)*
                }
            }
        }
    };
}

faults! {
    /// A request never arrives.
    RequestLost = "request lost",
    /// A request arrives seconds or minutes later.
    RequestLate = "request late",
    /// A request arrives once more.
    RequestRepeated = "request repeated",
    /// The connection stands, and nothing ever comes.
    Hung = "hung connection",
    /// A request is done, and its answer never comes.
    AnswerLost = "answer lost",
    /// The answer takes up to a minute.
    AnswerSlow = "answer slow",
    /// 500.
    ServerError = "server error",
    /// 409 to a conditional PUT that was not done.
    Conflict = "conflict",
    /// The body of a GET stops coming.
    BodyStalls = "body stalls",
    /// The body of a GET breaks off.
    BodyTruncated = "body truncated",
    /// A page of a LIST breaks off.
    ListTruncated = "LIST truncated",
    /// The answer that comes is that to the second arrival: a PUT that was done is answered with 412.
    SecondAnswered = "answer to the repetition",
    /// 403 to a LIST or GET.
    ReadDenied = "read denied",
    /// An answer carries no `Date`.
    NoDate = "answer without Date",
    /// A DELETE of several keys does some and fails.
    PartialDelete = "delete done in part",
    /// Most requests are answered with 503.
    SlowDown = "slow-down storm",
    /// The whole store is away.
    Outage = "outage",
    /// One process has no network.
    CutOff = "process cut off",
    /// A process freezes.
    Frozen = "process frozen",
    /// A process ends at any moment.
    Crash = "crash",
    /// A process ends as a request leaves or its answer has come.
    CrashAtRequest = "crash at a request",
    /// A replica of the existing implementation ends where it stands.
    PeerCrashed = "crash of a peer",
    /// A person deletes the rollup.
    RollupDeleted = "rollup deleted",
    /// A person puts an old rollup back.
    RollupRestored = "rollup restored",
    /// All replicas end, and the rollup is deleted with them.
    FleetLost = "fleet and rollup lost",
}

impl Fault {
    /// Without the `fault: ` of its count.
    pub fn name(self) -> &'static str {
        self.count_name().trim_start_matches("fault: ")
    }

    pub fn named(name: &str) -> Option<Fault> {
        Fault::ALL.iter().copied().find(|fault| fault.name() == name)
    }
}

/// One fault of a run: the `number`th of its kind, counted from zero in the order of drawing, whether or not it was let happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Strike {
    pub fault: Fault,
    pub number: u32,
}

/// A fault that happened, and to whom.
#[derive(Clone, Debug)]
pub struct Happened {
    pub strike: Strike,
    pub at: Time,
    pub hit: String,
}

/// Lets drawn faults happen, or not, and counts them. All faults of a run go through one of these; clones are the same one.
#[derive(Clone, Default)]
pub struct Injector(Arc<Mutex<Injected>>);

#[derive(Default)]
struct Injected {
    /// How many of each kind were drawn.
    drawn: [u32; Fault::ALL.len()],
    /// How many of each kind happened.
    happened: [u32; Fault::ALL.len()],
    /// Only these happen; all where absent.
    allowed: Option<BTreeSet<Strike>>,
    /// Kept where somebody asked for it.
    record: Option<Vec<Happened>>,
}

impl Injector {
    /// One that lets only `allowed` happen, or everything where that is absent, and keeps a record of what did.
    pub fn recording(allowed: Option<BTreeSet<Strike>>) -> Injector {
        Injector(Arc::new(Mutex::new(Injected { allowed, record: Some(Vec::new()), ..Injected::default() })))
    }

    fn injected(&self) -> MutexGuard<'_, Injected> {
        self.0.lock().expect("nothing in here panics")
    }

    /// A fault was drawn: whether it is to happen. Whoever asks has drawn all that belongs to the fault already, so that
    /// leaving it out shifts no stream.
    pub fn strikes(&self, fault: Fault, at: Time, hit: impl FnOnce() -> String) -> bool {
        let mut injected = self.injected();
        let injected = &mut *injected;
        let place = fault as usize;
        let strike = Strike { fault, number: injected.drawn[place] };
        injected.drawn[place] += 1;
        if injected.allowed.as_ref().is_some_and(|allowed| !allowed.contains(&strike)) {
            return false;
        }
        injected.happened[place] += 1;
        if let Some(record) = &mut injected.record {
            record.push(Happened { strike, at, hit: hit() });
        }
        true
    }

    /// Adds what happened to `counts`.
    pub fn count_in(&self, counts: &mut Counts) {
        let injected = self.injected();
        for (fault, count) in Fault::ALL.iter().zip(injected.happened) {
            counts.add_many(fault.count_name(), u64::from(count));
        }
    }

    pub fn take_record(&self) -> Vec<Happened> {
        self.injected().record.take().unwrap_or_default()
    }
}

/// The probability of each fault, for one request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// The request never arrives.
    pub lost_request: f64,
    /// The request is done, its answer never comes.
    pub lost_answer: f64,
    /// A PUT arrives seconds or minutes later; its sender sees a broken connection or nothing.
    pub late_put: f64,
    /// A PUT or DELETE is done, and arrives once more at any later time.
    pub repeated: f64,
    /// The connection stands, and nothing ever comes: also the outcome of half of the losses above.
    pub hung: f64,
    /// 500 or 503, done or not.
    pub server_error: f64,
    /// 409 to a conditional PUT that was not done.
    pub conflict: f64,
    /// The body of a GET breaks off or stalls.
    pub broken_body: f64,
    /// The answer takes up to a minute.
    pub slow_answer: f64,
    /// A DELETE of several keys does some and fails.
    pub partial_delete: f64,
    /// 403 to a LIST or GET.
    pub denied: f64,
    /// An answer carries no `Date`. Those to the test of the store always do: a store that never gives one is refused there.
    pub no_date: f64,
    /// So much longer, at least and at most, takes every answer to a LIST or GET. A slow line, and not counted as a fault.
    pub slow_reads: (Time, Time),
}

impl Faults {
    /// Draws what only few seeds have.
    pub fn draw_rare(&mut self, seed: u64) {
        let mut dice = Dice::new(seed, "rare faults");
        let (is_denied, is_dateless, rate) = (dice.chance(0.06), dice.chance(0.06), *dice.pick(&[0.005, 0.02, 0.08]));
        self.denied = if is_denied { rate } else { 0.0 };
        self.no_date = if is_dateless { rate } else { 0.0 };
    }

    /// Rates for one run: every kind of fault is absent, rare or common, independent of the others.
    pub fn draw(dice: &mut Dice) -> Faults {
        let scale = *dice.pick(&[0.0, 0.3, 1.0, 1.0, 2.0]);
        let mut rate = |most: f64| -> f64 {
            let share = *dice.pick(&[0.0, 0.0, 0.1, 0.3, 1.0]);
            most * share * scale
        };
        Faults {
            lost_request: rate(0.08),
            lost_answer: rate(0.10),
            late_put: rate(0.10),
            repeated: rate(0.15),
            hung: rate(0.03),
            server_error: rate(0.10),
            conflict: rate(0.15),
            broken_body: rate(0.15),
            slow_answer: rate(0.04),
            partial_delete: rate(0.3),
            denied: 0.0,
            no_date: 0.0,
            slow_reads: (0, 0),
        }
    }
}

/// How the store as a whole is, for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    Fair,
    /// Most requests are answered with 503 at once.
    SlowDown,
    /// Nothing is done. Connections are refused, or hang.
    Outage,
}

/// Counts by name: what was injected, what was seen.
#[derive(Clone, Debug, Default)]
pub struct Counts(pub BTreeMap<String, u64>);

impl Counts {
    pub fn add(&mut self, name: &str) {
        self.add_many(name, 1);
    }

    pub fn add_many(&mut self, name: &str, count: u64) {
        match self.0.get_mut(name) {
            Some(present) => *present += count,
            None => {
                self.0.insert(name.to_owned(), count);
            }
        }
    }

    pub fn add_all(&mut self, other: &Counts) {
        for (name, count) in &other.0 {
            self.add_many(name, *count);
        }
    }

    pub fn of(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_allowed_happens_and_the_others_keep_their_numbers() {
        let first = Strike { fault: Fault::Crash, number: 1 };
        let injector = Injector::recording(Some(BTreeSet::from([first])));
        let happened: Vec<bool> = (0..3).map(|_| injector.strikes(Fault::Crash, 7, || "replica 1".to_owned())).collect();
        assert_eq!(happened, [false, true, false]);
        assert!(!injector.strikes(Fault::Outage, 8, String::new));
        let record = injector.take_record();
        assert_eq!((record.len(), record[0].strike, record[0].at, record[0].hit.as_str()), (1, first, 7, "replica 1"));
        let mut counts = Counts::default();
        injector.count_in(&mut counts);
        assert_eq!((counts.of("fault: crash"), counts.of("fault: outage")), (1, 0));
    }

    #[test]
    fn every_fault_has_a_name_of_its_own() {
        for fault in Fault::ALL {
            assert_eq!(Fault::named(fault.name()), Some(*fault));
        }
    }
}
