//! What some seeds have and most have not: replicas that are configured in another way than the rest, callers with habits,
//! small limits, objects from before the journal, and objects that nobody can read.

use super::dice::Dice;
use super::world::{MILLISECOND, SECOND, Time};
use opjournal::config::{Limits, Settings};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Clone, Debug, Default)]
pub struct Variety {
    /// How the replica in each place differs from the fleet. Empty: in nothing.
    pub unlike: Vec<Unlike>,
    /// Two journals are open in each process.
    pub twins: bool,
    /// The bodies of legacy objects, by namespace.
    pub legacy: BTreeMap<String, String>,
    pub spoilers: Vec<Spoiler>,
    pub habits: Habits,
    /// Every replica is flushed 64 times at once, in the calm.
    pub storm: bool,
}

/// What a replica is given in another way than the rest of the fleet.
#[derive(Clone, Debug, Default)]
pub struct Unlike {
    pub sync_interval: Option<Duration>,
    pub commit_interval: Option<Duration>,
    pub segment_threshold: Option<usize>,
    /// Only ever above F.
    pub age_threshold: Option<Duration>,
    pub segment_bytes: Option<usize>,
    pub waiting_bytes: Option<usize>,
    pub read_only: bool,
    pub allow_degraded: bool,
}

impl Unlike {
    pub fn settings(&self, fleet: &Settings) -> Settings {
        let mut settings = fleet.clone();
        settings.sync_interval = self.sync_interval.unwrap_or(settings.sync_interval);
        settings.commit_interval = self.commit_interval.unwrap_or(settings.commit_interval);
        settings.compaction.segment_threshold = self.segment_threshold.unwrap_or(settings.compaction.segment_threshold);
        settings.compaction.age_threshold = self.age_threshold.unwrap_or(settings.compaction.age_threshold);
        settings.limits.segment_bytes = self.segment_bytes.unwrap_or(settings.limits.segment_bytes);
        settings.limits.waiting_bytes = self.waiting_bytes.unwrap_or(settings.limits.waiting_bytes);
        settings.read_only |= self.read_only;
        settings.allow_degraded |= self.allow_degraded;
        settings
    }
}

/// What callers do beside writing, waiting and looking.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// The share of writes that are cancelled.
    pub cancels: f64,
    /// The share of writes whose future is dropped; half of those are asked for again.
    pub drops: f64,
    /// The mean time that a write is given, where it is given one.
    pub patience: Time,
    /// How long a replica keeps a namespace open at a time. Zero: for as long as it lives.
    pub session: Time,
    /// One client of each replica does nothing but Flush, until the end of the run.
    pub endless_flush: bool,
}

impl Default for Habits {
    fn default() -> Habits {
        Habits { cancels: 0.05, drops: 0.0, patience: 8 * SECOND, session: 0, endless_flush: false }
    }
}

/// A segment that this version of the library cannot read, and what becomes of it.
#[derive(Clone, Debug)]
pub struct Spoiler {
    pub at: Time,
    pub namespace: String,
    pub defect: Defect,
    pub remedy: Remedy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    UnknownOp,
    BadJson,
    NewerFormat,
    /// Over `limits.object_bytes`.
    TooLarge,
    /// Nested deeper than `limits.depth`.
    TooDeep,
}

/// What a person does about it, so long after it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Quarantine, and where that refuses, a deletion by hand.
    Quarantine(Time),
    Nothing,
}

/// The most bytes of an object in seeds with spoilers.
pub const OBJECT_BYTES: usize = 1 << 20;

impl Defect {
    const ALL: [Defect; 5] = [Defect::UnknownOp, Defect::BadJson, Defect::NewerFormat, Defect::TooLarge, Defect::TooDeep];

    pub fn body(self) -> String {
        match self {
            Defect::UnknownOp => {
                json!({"ops": [{"op": "IntAdd", "Key": "sum", "Delta": 1}, {"op": "SetTTL", "Key": "sum", "Seconds": 9}]}).to_string()
            }
            Defect::BadJson => r#"{"ops":[{"op":"IntAdd","Key":"sum","Delta":1"#.to_owned(),
            Defect::NewerFormat => {
                json!({"format": 2, "ops": [{"op": "IntAdd", "Key": "sum", "Delta": 1}], "expires": "2020-01-01T00:00:00Z"}).to_string()
            }
            Defect::TooLarge => format!("{{\"ops\":[]{}}}", " ".repeat(OBJECT_BYTES)),
            Defect::TooDeep => {
                let (open, close) = ("[".repeat(200), "]".repeat(200));
                format!(r#"{{"ops":[{{"op":"ScalarSet","Key":"deep","Value":{open}{close}}}]}}"#)
            }
        }
    }

    /// Whether `quarantine` moves it aside.
    pub fn is_movable(self) -> bool {
        !matches!(self, Defect::NewerFormat | Defect::TooLarge)
    }
}

impl Variety {
    /// Draws what a seed has of all this, and changes the settings of its whole fleet where that goes with it. Each seed has little of it.
    pub fn draw(seed: u64, settings: &mut Settings, places: usize, namespaces: &[String], active: Time) -> Variety {
        let mut dice = Dice::new(seed, "variety");
        let mut variety = Variety::default();
        if dice.chance(0.25) {
            variety.unlike = unlike(&mut dice, settings, places);
        }
        if dice.chance(0.1) {
            limit(&mut dice, settings, &mut variety.unlike, places);
        }
        if dice.chance(0.1) {
            // The first place writes, in every seed: somebody has to fold.
            variety.unlike.resize(places, Unlike::default());
            let place = dice.within(1..places as u64) as usize;
            variety.unlike[place].read_only = true;
        }
        variety.twins = dice.chance(0.06);
        if dice.chance(0.15) {
            for namespace in namespaces {
                variety.legacy.insert(namespace.clone(), legacy(&mut dice, namespace));
            }
        }
        if dice.chance(0.1) {
            settings.limits.object_bytes = OBJECT_BYTES;
            for _ in 0..dice.within(1..4) {
                variety.spoilers.push(Spoiler {
                    at: dice.within(0..active),
                    namespace: dice.pick(namespaces).clone(),
                    defect: *dice.pick(&Defect::ALL),
                    remedy: if dice.chance(0.2) { Remedy::Nothing } else { Remedy::Quarantine(dice.around(20 * SECOND)) },
                });
            }
            if dice.chance(0.4) {
                variety.unlike.resize(places, Unlike::default());
                let place = dice.within(0..places as u64) as usize;
                variety.unlike[place].allow_degraded = true;
            }
        }
        if dice.chance(0.3) {
            variety.habits = habits(&mut dice);
        }
        variety.storm = dice.chance(0.08);
        variety
    }
}

/// F must be the same for the whole bucket, and so must what one replica writes and all have to read.
fn unlike(dice: &mut Dice, settings: &Settings, places: usize) -> Vec<Unlike> {
    let age_threshold = settings.compaction.age_threshold;
    (0..places)
        .map(|_| Unlike {
            sync_interval: dice.chance(0.5).then(|| Duration::from_nanos(dice.within(SECOND..15 * SECOND))),
            commit_interval: dice.chance(0.3).then(|| Duration::from_millis(*dice.pick(&[0, 100, 2000]))),
            segment_threshold: dice.chance(0.5).then(|| dice.within(2..9) as usize),
            age_threshold: (age_threshold >= Duration::from_secs(30) && dice.chance(0.5))
                .then(|| age_threshold + Duration::from_secs(dice.within(0..30))),
            ..Unlike::default()
        })
        .collect()
}

fn limit(dice: &mut Dice, settings: &mut Settings, unlike: &mut Vec<Unlike>, places: usize) {
    unlike.resize(places, Unlike::default());
    for place in unlike {
        place.segment_bytes = dice.chance(0.7).then(|| *dice.pick(&[400, 600, 1500, 6000]));
        place.waiting_bytes = dice.chance(0.7).then(|| *dice.pick(&[1, 700, 1500, 6000]));
    }
    if dice.chance(0.3) {
        settings.limits.state_bytes = *dice.pick(&[1000, 4000, 20_000]);
    }
    if dice.chance(0.3) {
        settings.limits.batch_bytes = *dice.pick(&[200, 1000]);
    }
}

fn legacy(dice: &mut Dice, namespace: &str) -> String {
    match dice.within(0..8) {
        0 => "{}".to_owned(),
        // Not an object: it counts as absent.
        1 => (*dice.pick(&["", "42", "null", "[1]", r#"{"sum": 4"#])).to_owned(),
        2 => json!({"seen": {"\"old\"": "y".repeat(20_000)}, "log": []}).to_string(),
        _ => format!(
            "{{ \"sum\" : {}, \"other\":[\"before\"],\n \"log\" : [ \"of {namespace}\" ], \"members\":{{\"7\":true}}, \"owner\": {{}}, \"last\":null }}",
            dice.within(0..1000)
        ),
    }
}

fn habits(dice: &mut Dice) -> Habits {
    Habits {
        cancels: *dice.pick(&[0.0, 0.05, 0.4]),
        drops: *dice.pick(&[0.0, 0.1, 0.5]),
        patience: *dice.pick(&[20 * MILLISECOND, 300 * MILLISECOND, 3 * SECOND, 20 * SECOND]),
        session: *dice.pick(&[0, 0, 5 * SECOND, 20 * SECOND]),
        endless_flush: dice.chance(0.15),
    }
}

/// The limits that a batch meets on its way in.
pub fn is_too_large(text: &str, limits: &Limits) -> bool {
    // An array's brackets do not count, and 256 bytes are kept for what stands around the ops.
    let ops = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    text.len() > limits.batch_bytes || ops.len() + 256 > limits.segment_bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_differs_in_what_must_be_the_same() {
        for seed in 0..500 {
            let mut settings = Settings::default();
            settings.compaction.age_threshold = Duration::from_secs(if seed % 2 == 0 { 30 } else { 6 });
            let before = settings.clone();
            let variety = Variety::draw(seed, &mut settings, 3, &["a".to_owned()], 100 * SECOND);
            assert_eq!(settings.compaction.age_threshold, before.compaction.age_threshold);
            assert!(!variety.unlike.first().is_some_and(|first| first.read_only), "somebody folds");
            for place in &variety.unlike {
                let age_threshold = place.settings(&settings).compaction.age_threshold;
                let fold_age = |threshold: Duration| threshold.min(Duration::from_secs(30));
                assert_eq!(fold_age(age_threshold), fold_age(before.compaction.age_threshold));
            }
        }
    }

    #[test]
    fn a_batch_over_a_limit_is_told() {
        let limits = Limits { batch_bytes: 20, segment_bytes: 270, ..Limits::default() };
        assert!(!is_too_large(&"x".repeat(14), &limits));
        assert!(!is_too_large(&format!("[{}]", "x".repeat(14)), &limits));
        assert!(is_too_large(&"x".repeat(15), &limits));
        assert!(is_too_large(&format!("[{}]", "x".repeat(19)), &limits));
    }
}
