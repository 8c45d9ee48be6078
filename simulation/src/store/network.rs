//! What the network and a node in trouble do with a request.

use super::{Character, Inner, Request};
use crate::dice::Dice;
use crate::faults::Weather;
use crate::world::{MICROSECOND, ProcessId, SECOND, Time};
use opjournal::store::{Condition, Failure, Kind};

/// What becomes of one request.
pub(super) struct Passage {
    /// When it arrives, and again, and again.
    pub(super) arrivals: Vec<Time>,
    pub(super) fate: Fate,
    /// How long the answer travels.
    pub(super) back: Time,
}

pub(super) enum Fate {
    /// The first arrival is answered.
    Answered,
    /// Done or not, the sender sees this failure.
    Fails(Failure),
    /// Nothing ever comes.
    Hangs,
}

impl Inner {
    /// What the network does with a request.
    pub(super) fn passage(&mut self, character: &Character, now: Time, process: ProcessId, request: &Request) -> Passage {
        let dice = &mut self.dice;
        let there = dice.around(character.latency / 2).max(MICROSECOND);
        let mut back = dice.around(character.latency / 2).max(MICROSECOND);
        let changes = matches!(request, Request::Put { .. } | Request::Delete { .. });
        let hangs = dice.chance(0.5);
        let gives_up_after = dice.around(2 * SECOND);
        let lost = |message: &str| if hangs { Fate::Hangs } else { Fate::Fails(Failure::new(Kind::Unavailable, message)) };
        let faults = self.faults;
        if self.cut_off.contains(&process) {
            self.counts.add("fault: request without a network");
            return Passage { arrivals: Vec::new(), fate: lost("no route"), back: gives_up_after };
        }
        if dice.chance(faults.hung) {
            self.counts.add("fault: hung connection");
            return Passage { arrivals: Vec::new(), fate: Fate::Hangs, back };
        }
        if dice.chance(faults.lost_request) {
            self.counts.add("fault: request lost");
            return Passage { arrivals: Vec::new(), fate: lost("the connection broke"), back: gives_up_after };
        }
        // Evenly over orders of magnitude: what matters happens around a second, around F and past it.
        let late = |dice: &mut Dice| {
            let most = *dice.pick(&[character.lateness / 64, character.lateness / 16, character.lateness / 4, character.lateness]);
            dice.within(0..most.max(2))
        };
        if changes && dice.chance(faults.late_put) {
            self.counts.add("fault: request late");
            let arrival = now + there + late(dice);
            self.last_arrival = self.last_arrival.max(arrival);
            // An answer that comes after all finds somebody who has not given up only where that process was frozen.
            let is_answered = dice.chance(0.5);
            let (fate, back) = if is_answered { (Fate::Answered, back) } else { (lost("the connection broke"), gives_up_after) };
            return Passage { arrivals: vec![arrival], fate, back };
        }
        let mut arrivals = vec![now + there];
        if changes && dice.chance(faults.repeated) {
            self.counts.add("fault: request repeated");
            arrivals.push(now + there + late(dice));
        }
        if dice.chance(faults.slow_answer) {
            self.counts.add("fault: answer slow");
            back += late(dice).min(60 * SECOND);
        }
        self.last_arrival = arrivals.iter().copied().fold(self.last_arrival, Time::max);
        let fate = if dice.chance(faults.lost_answer) {
            self.counts.add("fault: answer lost");
            back = there + gives_up_after;
            lost("the connection broke before the answer")
        } else {
            Fate::Answered
        };
        Passage { arrivals, fate, back }
    }

    /// The answer of a node that does not do the request.
    pub(super) fn refusal(&mut self, now: Time, node: usize, request: &Request) -> Option<Failure> {
        let date = Some(self.date(node, now));
        let conditional = matches!(request, Request::Put { condition: Condition::Absent | Condition::Matches(_), .. });
        let busy = match self.weather {
            Weather::Fair => false,
            Weather::SlowDown => self.dice.chance(0.8),
            Weather::Outage => true,
        };
        if busy {
            self.counts.add("fault: request in a storm or outage");
            let date = date.filter(|_| self.weather == Weather::SlowDown);
            return Some(Failure { date, ..Failure::new(Kind::Unavailable, "503 Slow Down") });
        }
        if self.dice.chance(self.faults.server_error) {
            self.counts.add("fault: server error");
            let date = date.filter(|_| self.dice.chance(0.5));
            return Some(Failure { date, ..Failure::new(Kind::Unavailable, "500 Internal Error") });
        }
        if conditional && self.dice.chance(self.faults.conflict) {
            self.counts.add("fault: conflict");
            return Some(Failure { date, ..Failure::new(Kind::Conflict, "409 Conditional Request Conflict") });
        }
        None
    }
}
