//! What the network and a node in trouble do with a request.

use super::requests::Request;
use super::{Character, Inner};
use crate::dice::Dice;
use crate::faults::{Fault, Weather};
use crate::world::{MICROSECOND, Process, SECOND, Time};
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
    pub(super) fn passage(&mut self, character: &Character, now: Time, process: &Process, request: &Request) -> Passage {
        let (faults, dice) = (self.faults, &mut self.dice);
        // Everything is drawn for every request, whatever comes of it: a fault that is left out shifts no stream.
        let there = dice.around(character.latency / 2).max(MICROSECOND);
        let back = dice.around(character.latency / 2).max(MICROSECOND);
        let changes = request.changes();
        let hangs = dice.chance(0.5);
        let gives_up_after = dice.around(2 * SECOND);
        let (is_hung, is_lost) = (dice.chance(faults.hung), dice.chance(faults.lost_request));
        // Evenly over orders of magnitude: what matters happens around a second, around F and past it.
        let late = |dice: &mut Dice| {
            let most = *dice.pick(&[character.lateness / 64, character.lateness / 16, character.lateness / 4, character.lateness]);
            character.late_from + dice.within(0..most.max(2))
        };
        let (is_late, late_by, late_is_answered) = (dice.chance(faults.late_put), late(dice), dice.chance(0.5));
        let (is_repeated, repeated_after) = (dice.chance(faults.repeated), late(dice));
        let (is_slow, slow_by) = (dice.chance(faults.slow_answer), late(dice).min(60 * SECOND));
        let is_answer_lost = dice.chance(faults.lost_answer);
        let is_second_answered = dice.chance(0.5);
        let is_broken_off = dice.chance(faults.broken_body);
        let reads_take = dice.within(faults.slow_reads.0..faults.slow_reads.1);
        let is_denied = dice.chance(faults.denied);

        let lost = |message: &str| if hangs { Fate::Hangs } else { Fate::Fails(Failure::new(Kind::Unavailable, message)) };
        let hit = || format!("{}: {}", process.name(), request.describe());
        if self.cut_off.contains(&process.id()) {
            self.counts.add("network: request without a network");
            return Passage { arrivals: Vec::new(), fate: lost("no route"), back: gives_up_after };
        }
        if is_hung && self.injector.strikes(Fault::Hung, now, hit) {
            return Passage { arrivals: Vec::new(), fate: Fate::Hangs, back };
        }
        if is_lost && self.injector.strikes(Fault::RequestLost, now, hit) {
            return Passage { arrivals: Vec::new(), fate: lost("the connection broke"), back: gives_up_after };
        }
        if changes && is_late && self.injector.strikes(Fault::RequestLate, now, hit) {
            let arrival = now + there + late_by;
            self.last_arrival = self.last_arrival.max(arrival);
            // An answer that comes after all finds somebody who has not given up only where that process was frozen.
            let (fate, back) = if late_is_answered { (Fate::Answered, back) } else { (lost("the connection broke"), gives_up_after) };
            return Passage { arrivals: vec![arrival], fate, back };
        }
        let mut arrivals = vec![now + there];
        if changes && is_repeated && self.injector.strikes(Fault::RequestRepeated, now, hit) {
            arrivals.push(now + there + repeated_after);
            if is_second_answered && self.injector.strikes(Fault::SecondAnswered, now, hit) {
                // The first of these is the one that is answered.
                arrivals.reverse();
            }
        }
        let mut back = back;
        let reads = matches!(request, Request::List { .. } | Request::Get { .. });
        if reads {
            back += reads_take;
        }
        if is_slow && self.injector.strikes(Fault::AnswerSlow, now, hit) {
            back += slow_by;
        }
        self.last_arrival = arrivals.iter().copied().fold(self.last_arrival, Time::max);
        let is_list = matches!(request, Request::List { .. });
        let fate = if reads && is_denied && self.injector.strikes(Fault::ReadDenied, now, hit) {
            back += there;
            Fate::Fails(Failure::new(Kind::Denied, "403 Access Denied"))
        } else if is_list && is_broken_off && self.injector.strikes(Fault::ListTruncated, now, hit) {
            Fate::Fails(Failure::new(Kind::Unavailable, "the connection broke inside the body"))
        } else if is_answer_lost && self.injector.strikes(Fault::AnswerLost, now, hit) {
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
        let dice = &mut self.dice;
        let (is_turned_away, is_broken, has_date) = (dice.chance(0.8), dice.chance(self.faults.server_error), dice.chance(0.5));
        let is_conflict = dice.chance(self.faults.conflict);
        let busy = match self.weather {
            Weather::Fair => false,
            Weather::SlowDown => is_turned_away,
            Weather::Outage => true,
        };
        if busy {
            self.counts.add("network: request in a storm or outage");
            let date = date.filter(|_| self.weather == Weather::SlowDown);
            return Some(Failure { date, ..Failure::new(Kind::Unavailable, "503 Slow Down") });
        }
        let hit = || request.describe();
        if is_broken && self.injector.strikes(Fault::ServerError, now, hit) {
            let date = date.filter(|_| has_date);
            return Some(Failure { date, ..Failure::new(Kind::Unavailable, "500 Internal Error") });
        }
        if conditional && is_conflict && self.injector.strikes(Fault::Conflict, now, hit) {
            return Some(Failure { date, ..Failure::new(Kind::Conflict, "409 Conditional Request Conflict") });
        }
        None
    }
}
