//! Everything that a seed decides before a run begins: the fleet, the store, the faults, the constants of the bucket.

use super::aim::Aim;
use super::dice::Dice;
use super::faults::Faults;
use super::folds::Constants;
use super::peer;
use super::store::{Character, Traffic};
use super::variety::Variety;
use super::world::{MILLISECOND, SECOND, Scheduling, Time};
use opjournal::config::{Compaction, Settings};
use std::time::Duration;

/// What a seed is about: each profile has misfortunes of its own, and its own column of promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// A fleet of this library alone, on a store that keeps the assumptions of the journal.
    Fleet,
    /// One or two replicas of the existing implementation work on the same bucket.
    Peer,
    /// A person deletes the rollup, or restores an old one.
    Operator,
    /// A store outside of the assumptions: clocks too far apart, objects that become visible too late.
    Beyond,
}

impl Profile {
    pub const ALL: &[Profile] = &[Profile::Fleet, Profile::Peer, Profile::Operator, Profile::Beyond];

    pub fn name(self) -> &'static str {
        match self {
            Profile::Fleet => "fleet",
            Profile::Peer => "peer",
            Profile::Operator => "operator",
            Profile::Beyond => "beyond",
        }
    }

    pub fn named(name: &str) -> Option<Profile> {
        Profile::ALL.iter().copied().find(|profile| profile.name() == name)
    }

    /// The profile that a seed decides for.
    pub fn draw(seed: u64) -> Profile {
        match Dice::new(seed, "profile").within(0..100) {
            0..12 => Profile::Peer,
            12..22 => Profile::Operator,
            22..27 => Profile::Beyond,
            _ => Profile::Fleet,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub profile: Profile,
    /// What was bent for.
    pub aim: Option<Aim>,
    /// What the whole fleet is given, but for `variety.unlike`.
    pub settings: Settings,
    pub variety: Variety,
    /// F, from which D and S follow.
    pub fold_age: Time,
    pub scheduling: Scheduling,
    pub character: Character,
    pub faults: Faults,
    pub chaos: Chaos,
    pub replicas: usize,
    pub namespaces: Vec<String>,
    /// Clients of each namespace in each replica.
    pub clients: u64,
    /// The mean time between two things that a client does.
    pub think: Time,
    /// The most batches that a client submits before it waits for any.
    pub burst: u64,
    /// No more batches than this are written in one run.
    pub batches: u64,
    /// The longest text in a batch, in bytes.
    pub payload: u64,
    /// How long clients write and faults happen.
    pub active: Time,
    pub peers: Option<Peers>,
    /// The mean time between two things that a person does to the bucket.
    pub tampering: Option<Time>,
}

/// Replicas of the existing implementation, on the same bucket.
#[derive(Clone, Copy, Debug)]
pub struct Peers {
    pub count: usize,
    pub settings: peer::Settings,
    /// The mean time between two of its writes.
    pub think: Time,
    pub lateness: Lateness,
}

/// What may be late where a peer is: it knows neither `expires` nor `proof`, so the more may be, the less is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lateness {
    /// No PUT is repeated or arrives late, no answer comes late, and no peer freezes: everything that is promised together with the
    /// peer must hold.
    None,
    /// PUTs are late and repeated.
    Puts,
    /// Besides, peers freeze and get their answers late: then a LIST of theirs may show less than was there when it ended.
    Peers,
}

/// What happens to processes, and to the store as a whole. Zero: never.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chaos {
    /// The mean time between two misfortunes of a replica.
    pub replica_mean: Time,
    /// The mean time between two changes of the store's weather.
    pub weather_mean: Time,
    /// The probability that a process freezes at a step of a request.
    pub freeze_at_step: f64,
    /// The probability that a process crashes at a step of a request.
    pub crash_at_step: f64,
    /// The mean time between two changes of the clocks of the store's nodes.
    pub clocks_mean: Time,
    /// Where and for how long processes freeze besides.
    pub aimed: Option<Aimed>,
    /// The process in the first place is suspended once, for at least and at most so long.
    pub suspended: Option<(Time, Time)>,
}

/// A freeze that waits for its moment.
#[derive(Clone, Copy, Debug)]
pub struct Aimed {
    /// As the answer to such a request arrives.
    pub traffic: Traffic,
    pub chance: f64,
    /// At least and at most.
    pub length: (Time, Time),
    /// Only the processes in so many places.
    pub victims: usize,
}

impl Plan {
    pub fn draw(seed: u64) -> Plan {
        let mut plan = Plan::of(seed, Profile::draw(seed));
        // What bites mutants finds other faults as well.
        let share = if plan.profile == Profile::Fleet { 1.0 / 3.0 } else { 1.0 / 8.0 };
        for (stream, is_dear, share) in [("dear aim", true, 1.0 / 500.0), ("aim", false, share)] {
            let aims: Vec<Aim> = Aim::ALL.iter().copied().filter(|aim| aim.profile() == plan.profile && aim.is_dear() == is_dear).collect();
            let mut dice = Dice::new(seed, stream);
            if !aims.is_empty() && dice.chance(share) {
                dice.pick(&aims).bend(&mut plan);
                break;
            }
        }
        plan
    }

    /// The plan of a seed in a profile, whichever the seed itself would have.
    pub fn of(seed: u64, profile: Profile) -> Plan {
        let mut dice = Dice::new(seed, "plan");
        let age_threshold = *dice.pick(&[6, 6, 6, 9, 15, 30]) * SECOND;
        let fold_age = age_threshold.min(30 * SECOND);
        let (visibility, skew) = (fold_age / 3, fold_age / 15);
        let sync_interval = match dice.within(0..3) {
            0 => SECOND,
            1 => dice.within(SECOND..4 * SECOND),
            _ => dice.within(SECOND..15 * SECOND),
        };
        let mut settings = Settings {
            sync_interval: Duration::from_nanos(sync_interval),
            commit_interval: Duration::from_millis(*dice.pick(&[0, 0, 0, 200, 1500])),
            compaction: Compaction {
                segment_threshold: dice.within(2..9) as usize,
                age_threshold: Duration::from_nanos(age_threshold),
                max_age: None,
            },
            ..Settings::default()
        };
        let scheduling = Scheduling {
            shuffled: dice.chance(0.7),
            timer_slack: *dice.pick(&[0, MILLISECOND, 50 * MILLISECOND]),
            compute: *dice.pick(&[0, MILLISECOND, 100 * MILLISECOND]),
            drift_ppm: *dice.pick(&[0, 20, 100]),
        };
        let character = Character::draw(&mut dice, visibility, skew);
        let mut faults = if dice.chance(0.1) { Faults::default() } else { Faults::draw(&mut dice) };
        if profile == Profile::Fleet {
            faults.draw_rare(seed);
        }
        let aged = fold_age.max(2 * sync_interval);
        let mut folds = Dice::new(seed, "max age");
        settings.compaction.max_age = folds.chance(0.3).then(|| Duration::from_nanos(folds.within(aged..4 * aged)));
        let chaos = Chaos {
            replica_mean: *dice.pick(&[0, 10 * SECOND, 30 * SECOND, 90 * SECOND]),
            weather_mean: *dice.pick(&[0, 0, 20 * SECOND, 60 * SECOND]),
            freeze_at_step: *dice.pick(&[0.0, 0.0, 0.002, 0.01]),
            crash_at_step: *dice.pick(&[0.0, 0.0, 0.001, 0.005]),
            clocks_mean: *dice.pick(&[0, 20 * SECOND, 100 * SECOND]),
            aimed: None,
            suspended: None,
        };
        let names: &[&[&str]] = &[&["alpha"], &["alpha"], &[""], &["alpha", "b-2"], &["", "alpha"]];
        let replicas = dice.within(2..5) as usize;
        let namespaces: Vec<String> = dice.pick(names).iter().map(|name| (*name).to_owned()).collect();
        let clients = dice.within(1..3);
        let think = *dice.pick(&[100 * MILLISECOND, 500 * MILLISECOND, 2 * SECOND]);
        let (burst, batches, payload) = (*dice.pick(&[1, 1, 3, 6]), *dice.pick(&[60, 150, 300]), *dice.pick(&[4, 4, 800, 4000]));
        let active = aged * dice.within(4..10);
        let variety = match profile {
            Profile::Fleet => Variety::draw(seed, &mut settings, replicas, &namespaces, active),
            _ => Variety::default(),
        };
        let mut plan = Plan {
            seed,
            profile,
            aim: None,
            settings,
            variety,
            fold_age,
            scheduling,
            character,
            faults,
            chaos,
            replicas,
            namespaces,
            clients,
            think,
            burst,
            batches,
            payload,
            active,
            peers: None,
            tampering: None,
        };
        match profile {
            Profile::Peer => plan.add_peers(),
            Profile::Operator => {
                let mut dice = Dice::new(seed, "operator");
                plan.tampering = Some(*dice.pick(&[plan.fold_age, 3 * plan.fold_age, 60 * SECOND]));
            }
            Profile::Beyond => plan.leave_assumptions(),
            Profile::Fleet => {}
        }
        plan
    }

    /// Clocks further apart than S, that jump; objects that become visible later than D.
    fn leave_assumptions(&mut self) {
        let mut dice = Dice::new(self.seed, "beyond");
        self.character.nodes = dice.within(2..4) as usize;
        self.character.skewed_stamps = true;
        self.character.skew = *dice.pick(&[self.fold_age / 5, self.fold_age, 60 * SECOND, 300 * SECOND]);
        self.character.visibility = self.fold_age * *dice.pick(&[1, 2, 4]) / *dice.pick(&[1, 3]);
        self.character.slow_commits = *dice.pick(&[0.0, 0.1, 0.3]);
        self.chaos.clocks_mean = *dice.pick(&[10 * SECOND, 60 * SECOND]);
    }

    fn add_peers(&mut self) {
        let mut dice = Dice::new(self.seed, "peers");
        let lateness = *dice.pick(&[Lateness::None, Lateness::None, Lateness::None, Lateness::Puts, Lateness::Peers]);
        if lateness == Lateness::None {
            self.faults.late_put = 0.0;
            self.faults.repeated = 0.0;
        }
        if lateness != Lateness::Peers {
            self.faults.slow_answer = 0.0;
        }
        let interval = dice.within(SECOND..self.fold_age / 2);
        let settings = peer::Settings {
            interval,
            threshold: self.settings.compaction.segment_threshold,
            aged_after: self.fold_age.max(2 * interval),
            patience: self.fold_age / 2,
            clock_ahead: *dice.pick(&[0, SECOND, 300 * SECOND]),
        };
        self.replicas = dice.within(2..4) as usize;
        self.peers =
            Some(Peers { count: dice.within(1..3) as usize, settings, think: *dice.pick(&[SECOND / 2, 2 * SECOND, 5 * SECOND]), lateness });
    }

    pub fn constants(&self) -> Constants {
        Constants { fold_age: self.fold_age, skew: self.fold_age / 15 }
    }

    /// What the replica in a place is given.
    pub fn settings_of(&self, place: usize) -> Settings {
        self.variety.unlike.get(place).map_or_else(|| self.settings.clone(), |unlike| unlike.settings(&self.settings))
    }

    /// The greatest of the fleet, as bounds have to use.
    fn greatest<T: Ord>(&self, of: impl Fn(&Settings) -> T) -> Option<T> {
        (0..self.replicas).map(|place| of(&self.settings_of(place))).max()
    }

    pub fn sync_interval(&self) -> Time {
        self.greatest(|settings| settings.sync_interval.as_nanos() as Time).unwrap_or(0)
    }

    /// How many segments may stay unfolded once everything is old enough.
    pub fn tail(&self) -> usize {
        if self.settings.compaction.max_age.is_some() {
            return 0;
        }
        // A peer puts an empty segment where a full tail stands still, so that what is there gets older: each of them, and at any time.
        let pushed = self.peers.map_or(0, |peers| peers.count);
        pushed + self.greatest(|settings| settings.compaction.segment_threshold).unwrap_or(0)
    }

    /// How old segments are when any replica of this fleet has folded as many of them as it ever will.
    pub fn aged_after(&self) -> Time {
        let age_threshold = self.greatest(|settings| settings.compaction.age_threshold.as_nanos() as Time).unwrap_or(0);
        // Each namespace adds up to an eighth.
        let max_age = self.settings.compaction.max_age.map_or(0, |age| age.as_nanos() as Time * 9 / 8);
        self.fold_age.max(2 * self.sync_interval()).max(age_threshold).max(max_age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_campaign_has_every_aim_and_few_that_are_dear() {
        const SEEDS: u64 = 10_000;
        let drawn: Vec<Aim> = (0..SEEDS).filter_map(|seed| Plan::draw(seed).aim).collect();
        for aim in Aim::ALL {
            let times = drawn.iter().filter(|other| *other == aim).count() as u64;
            let expected = if aim.is_dear() { 5..30 } else { 50..SEEDS / 20 };
            assert!(expected.contains(&times), "{} was drawn {times} times", aim.name());
        }
    }
}
