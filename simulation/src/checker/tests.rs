use super::*;
use crate::folds::Constants;
use crate::history::View;
use crate::model::Model;
use crate::quiet::{Quiet, Requests, Ticking};
use crate::world::SECOND;
use serde_json::json;

/// A history made by hand. Handle and replica have the same number.
struct Hand(History);

impl Hand {
    fn new() -> Hand {
        Hand(History::default())
    }

    fn add(&mut self, what: What) -> &mut Hand {
        let at = self.0.events.len() as Time;
        self.0.add(at, what);
        self
    }

    fn submit(&mut self, replica: ReplicaId) -> BatchId {
        let id = self.0.add_batch("n", replica, replica, |id| {
            vec![json!({"op": "IntAdd", "Key": "sum", "Delta": 1}), json!({"op": "ListAppend", "Key": "log", "Value": id})]
        });
        self.add(What::Submitted(id));
        id
    }

    fn applied(&mut self, id: BatchId) {
        self.add(What::Ended(id, Ending::Applied { segment: "segment-x.json".to_owned() }));
    }

    fn text(log: &[BatchId], sum: usize) -> String {
        if log.is_empty() { "{}".to_owned() } else { format!("{{\"log\":{},\"sum\":{sum}}}", json!(log)) }
    }

    fn view(&mut self, replica: ReplicaId, log: &[BatchId]) -> &mut View {
        let state = self.0.state(&Hand::text(log, log.len()));
        self.add(What::View(View { replica, namespace: "n".to_owned(), state, mark: (0, String::new()), after_flush: None }));
        match &mut self.0.events.last_mut().expect("just added").what {
            What::View(view) => view,
            _ => unreachable!(),
        }
    }

    fn last(&mut self, replica: ReplicaId, log: &[BatchId]) {
        let state = self.0.state(&Hand::text(log, log.len()));
        self.add(What::Final { replica, namespace: "n".to_owned(), state });
    }

    fn promises(&self) -> Vec<&'static str> {
        check(&self.0, Fairness { one_clock_stamps: true, ..Fairness::default() }).iter().map(|violation| violation.promise).collect()
    }
}

#[test]
fn a_good_history_passes() {
    let mut hand = Hand::new();
    let first = hand.submit(0);
    hand.applied(first);
    hand.view(0, &[first]);
    let second = hand.submit(1);
    let third = hand.submit(1);
    hand.add(What::Ended(second, Ending::Unknown { segment: "segment-y.json".to_owned() }));
    hand.add(What::Settled(second, Settlement::Unknown));
    hand.add(What::Settled(second, Settlement::Failed));
    hand.applied(third);
    hand.add(What::FlushBegan { flush: 1, namespace: "n".to_owned() });
    hand.view(0, &[first, third]).after_flush = Some(1);
    hand.last(0, &[first, third]);
    hand.last(1, &[first, third]);
    assert_eq!(hand.promises(), [""; 0]);
}

#[test]
fn p1_acknowledged_and_lost() {
    let mut hand = Hand::new();
    let id = hand.submit(0);
    hand.applied(id);
    hand.last(0, &[]);
    assert_eq!(hand.promises(), ["P1"]);
}

#[test]
fn what_is_gone_at_the_end_is_told_of_its_own_time() {
    let mut hand = Hand::new();
    let shown = hand.submit(0);
    hand.view(1, &[shown]);
    let acknowledged = hand.submit(0);
    hand.applied(acknowledged);
    hand.last(0, &[]);
    let times: Vec<_> = check(&hand.0, Fairness::default()).iter().map(|violation| (violation.at, violation.promise)).collect();
    assert_eq!(times, [(1, "P5"), (4, "P1")]);
}

#[test]
fn p1_twice() {
    let mut hand = Hand::new();
    let id = hand.submit(0);
    hand.view(1, &[id, id]);
    hand.last(1, &[id]);
    assert!(hand.promises().contains(&"P1"));
}

#[test]
fn p1_torn() {
    let mut hand = Hand::new();
    let id = hand.submit(0);
    let state = hand.0.state(&Hand::text(&[id], 0));
    hand.add(What::View(View { replica: 0, namespace: "n".to_owned(), state, mark: (0, String::new()), after_flush: None }));
    assert_eq!(hand.promises(), ["P1"]);
}

#[test]
fn p1_of_another_namespace() {
    let mut hand = Hand::new();
    let id = hand.0.add_batch("other", 0, 0, |_| Vec::new());
    hand.view(0, &[id]);
    assert!(hand.promises().contains(&"P1"));
}

#[test]
fn p2_failed_and_shown() {
    for ending in [What::Refused(0), What::Ended(0, Ending::Failed { status: "TIMED_OUT" }), What::Settled(0, Settlement::Failed)] {
        let mut hand = Hand::new();
        let id = hand.submit(0);
        hand.view(1, &[id]);
        hand.add(ending);
        hand.last(1, &[id]);
        assert_eq!(hand.promises(), ["P2"]);
    }
}

#[test]
fn p3_settled_twice_and_differently() {
    let mut hand = Hand::new();
    let id = hand.submit(0);
    hand.add(What::Settled(id, Settlement::Failed)).add(What::Settled(id, Settlement::Applied));
    assert_eq!(hand.promises(), ["P3"]);
}

#[test]
fn p4_replicas_that_differ() {
    let mut hand = Hand::new();
    let (first, second) = (hand.submit(0), hand.submit(1));
    hand.last(0, &[first, second]);
    hand.last(1, &[second, first]);
    assert_eq!(hand.promises(), ["P4"]);
}

#[test]
fn p5_order_of_a_handle() {
    let mut hand = Hand::new();
    let (first, second) = (hand.submit(0), hand.submit(0));
    hand.view(1, &[second, first]);
    assert_eq!(hand.promises(), ["P5"]);
    assert!(check(&hand.0, Fairness::default()).is_empty());
}

#[test]
fn p5_own_write_not_read() {
    let mut hand = Hand::new();
    let id = hand.submit(0);
    hand.applied(id);
    hand.view(1, &[]);
    assert_eq!(hand.promises(), [""; 0]);
    hand.view(0, &[]);
    assert_eq!(hand.promises(), ["P5"]);
}

#[test]
fn p5_vanished() {
    let mut hand = Hand::new();
    let id = hand.submit(0);
    hand.view(1, &[id]);
    hand.view(1, &[]);
    assert_eq!(hand.promises(), ["P5"]);
}

#[test]
fn p5_written_after_what_was_listed() {
    let mut hand = Hand::new();
    let first = hand.submit(0);
    hand.view(1, &[first]);
    let second = hand.submit(1);
    hand.last(0, &[second, first]);
    assert_eq!(hand.promises(), ["P5"]);
}

#[test]
fn p6_flushed_and_not_seen() {
    let mut hand = Hand::new();
    let id = hand.submit(0);
    hand.applied(id);
    hand.add(What::FlushBegan { flush: 1, namespace: "n".to_owned() });
    hand.view(1, &[]).after_flush = Some(1);
    assert_eq!(hand.promises(), ["P6"]);
}

#[test]
fn p7_a_mark_that_goes_back() {
    let mut hand = Hand::new();
    hand.view(0, &[]).mark = (5, "segment-b.json".to_owned());
    hand.view(0, &[]).mark = (5, "segment-a.json".to_owned());
    assert_eq!(hand.promises(), ["P7"]);
}

#[test]
fn no_answer_or_two() {
    let mut hand = Hand::new();
    let id = hand.submit(0);
    hand.applied(id);
    hand.applied(id);
    hand.add(What::Waiting { replica: 0, what: "batch 0".to_owned() });
    hand.add(What::FlushEnded(1)).add(What::FlushEnded(1));
    let expected = ["exactly one answer", "an answer for every waiter", "exactly one answer"];
    assert_eq!(hand.promises(), expected);
}

#[test]
fn an_answer_of_a_replica_that_is_gone() {
    let mut hand = Hand::new();
    hand.add(What::ReplicaEnded(0));
    hand.view(0, &[]);
    assert_eq!(hand.promises(), ["an end is an end"]);
}

#[test]
fn p1_what_was_there_before_the_journal_and_is_lost() {
    let mut hand = Hand::new();
    hand.0.legacy.insert("n".to_owned(), Model::read(&json!({"old": 1})).expect("an object"));
    let id = hand.submit(0);
    let state = hand.0.state(&format!(r#"{{"log":[{id}],"old":1,"sum":1}}"#));
    hand.add(What::Final { replica: 0, namespace: "n".to_owned(), state });
    assert_eq!(hand.promises(), [""; 0]);
    hand.view(0, &[id]);
    assert_eq!(hand.promises(), ["P1"]);
}

#[test]
fn a_figure_over_its_bound() {
    let mut hand = Hand::new();
    hand.add(What::Figure { replica: 0, name: "waiting_bytes", is: 5, most: 5 });
    assert_eq!(hand.promises(), [""; 0]);
    hand.add(What::Figure { replica: 0, name: "waiting_bytes", is: 6, most: 5 });
    assert_eq!(hand.promises(), ["bounds"]);
}

#[test]
fn an_unreadable_segment_that_a_flush_passes_over() {
    let mut hand = Hand::new();
    hand.add(What::Spoiled { namespace: "n".to_owned(), segment: "segment-x.json".to_owned() });
    hand.add(What::FlushBegan { flush: 1, namespace: "n".to_owned() });
    hand.view(0, &[]).after_flush = Some(1);
    assert_eq!(hand.promises(), ["unreadable segments"]);
}

#[test]
fn p3_open_for_too_long() {
    let mut hand = Hand::new();
    let id = hand.submit(0);
    hand.add(What::Ended(id, Ending::Unknown { segment: "segment-y.json".to_owned() })).add(What::Reachable);
    for good_ticks in [4, 5, 6, 7] {
        hand.0.add(3600 * SECOND, What::StillOpen { batch: id, good_ticks });
    }
    assert_eq!(hand.promises(), [""; 0], "where something may keep it open");
    let times = Times::new(Constants { fold_age: 30 * SECOND, skew: 2 * SECOND });
    let fairness = Fairness { settles: Some(times), ..Fairness::default() };
    assert_eq!(check(&hand.0, fairness).iter().map(|violation| violation.promise).collect::<Vec<_>>(), ["P3"]);
}

#[test]
fn more_requests_than_are_due() {
    let mut hand = Hand::new();
    let ticking = Ticking { ticks: 4, interval: 15 * SECOND, pages: 1, spares_rollup: true };
    let mut quiet = Quiet {
        replica: 0,
        lasted: 60 * SECOND,
        requests: Requests { lists: 5, ..Requests::default() },
        namespaces: vec![ticking],
        sharing: 0,
        is_flushed: false,
    };
    hand.add(What::Quiet(quiet.clone()));
    assert_eq!(hand.promises(), [""; 0]);
    quiet.requests.gets = 1;
    hand.add(What::Quiet(quiet));
    assert_eq!(hand.promises(), ["requests are bounded"]);
}
