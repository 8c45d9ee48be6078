//! Replay: from a base and the segments above it to the state, applying what is new and as little else as possible.
//!
//! Invariant: `state` is `base` with the ops of `steps` applied in their order, and so is each checkpoint for a prefix
//! of them.

use super::key::SegmentKey;
use super::segment::Segment;
use crate::mutant::{self, Mutant};
use crate::ops::Op;
use crate::state::State;
use crate::time::Stamp;
use std::sync::Arc;

/// More checkpoints than this are thinned out: each keeps its own version of the overlay alive.
const MOST_CHECKPOINTS: usize = 8;

/// One segment in the order of replay.
#[derive(Clone)]
pub struct Step {
    pub segment: Arc<Segment>,
    /// As LIST showed it; absent for an own segment that no LIST has shown yet.
    pub stamp: Option<Stamp>,
}

impl Step {
    fn ops(&self) -> &[Op] {
        match self.stamp {
            Some(stamp) => self.segment.effective_ops(stamp),
            None if mutant::is_on(Mutant::BatchesAreTorn) => &self.segment.ops()[..self.segment.ops().len() / 2],
            None => self.segment.ops(),
        }
    }

    fn applied(&self) -> Applied {
        Applied { key: self.segment.key.clone(), is_void: self.stamp.is_some_and(|stamp| self.segment.is_void(stamp)) }
    }
}

/// What tells two steps apart: a segment's body never changes, so its key and whether it counts are all that matters.
#[derive(Clone, PartialEq, Eq)]
struct Applied {
    key: SegmentKey,
    is_void: bool,
}

pub struct Replay {
    base: State,
    steps: Vec<Applied>,
    state: State,
    /// States after so many steps, ascending.
    checkpoints: Vec<(usize, State)>,
}

impl Replay {
    pub fn new(base: State) -> Replay {
        Replay { state: base.clone(), base, steps: Vec::new(), checkpoints: Vec::new() }
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    /// Makes the state that of `order`. The first `settled` steps are expected to stay where they are: the state after
    /// them is kept as a checkpoint. Steps that sort last cost their own ops only; a reordering costs what follows the
    /// nearest checkpoint before it.
    pub fn follow(&mut self, order: &[Step], settled: usize) {
        let same = self.steps.iter().zip(order).take_while(|(applied, step)| **applied == step.applied()).count();
        if same < self.steps.len() {
            self.checkpoints.retain(|&(length, _)| length <= same);
            let (length, state) = self.checkpoints.last().cloned().unwrap_or_else(|| (0, self.base.clone()));
            self.steps.truncate(length);
            if !mutant::is_on(Mutant::ValuesAreShared) {
                self.state = state;
            }
        }
        for step in &order[self.steps.len()..] {
            if self.steps.len() == settled {
                self.keep_checkpoint();
            }
            self.append(step);
        }
        if self.steps.len() == settled {
            self.keep_checkpoint();
        }
        debug_assert!(self.steps.len() == order.len());
    }

    /// Applies one more step behind all others.
    pub fn append(&mut self, step: &Step) {
        self.state.apply(step.ops());
        self.steps.push(step.applied());
    }

    fn keep_checkpoint(&mut self) {
        let length = self.steps.len();
        if length == 0 || self.checkpoints.last().is_some_and(|&(last, _)| last >= length) {
            return;
        }
        if self.checkpoints.len() == MOST_CHECKPOINTS {
            // Every other one goes, but the latest stays: reorderings happen near the end.
            let mut index = 0;
            self.checkpoints.retain(|_| {
                index += 1;
                index % 2 == 0
            });
        }
        self.checkpoints.push((length, self.state.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;
    use crate::journal::key::KeyMaker;
    use crate::journal::rollup::Count;
    use crate::journal::segment;
    use std::time::Duration;

    fn steps(count: i64) -> Vec<Step> {
        let mut maker = KeyMaker::default();
        let now = Stamp::from_millis(1_800_000_000_000);
        (0..count)
            .map(|index| {
                let ops = format!(r#"{{"op":"ListAppend","Key":"l","Value":{index}}}"#).into_bytes();
                let body = segment::encode([ops.as_slice()].into_iter(), "w", now, Count::ZERO);
                Step { segment: Segment::read(maker.next(now, 0), &body, &Limits::default()), stamp: Some(now) }
            })
            .collect()
    }

    fn text(state: &State) -> String {
        let mut out = Vec::new();
        state.write_canonical(&mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn any_order_gives_the_state_of_that_order() {
        let steps = steps(40);
        let mut replay = Replay::new(State::empty());
        let mut random = 12345_usize;
        for round in 0..if cfg!(miri) { 20 } else { 200 } {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let length = (random >> 33) % (steps.len() + 1);
            let mut order = steps[..length].to_vec();
            if length > 1 && round % 3 == 0 {
                order.swap(length - 1, (random >> 20) % length);
            }
            if length > 0 && round % 5 == 0 {
                order[length - 1].stamp = Some(Stamp::from_millis(1_800_000_000_000) + Duration::from_secs(60));
            }
            replay.follow(&order, length.saturating_sub(round % 4));
            let mut fresh = Replay::new(State::empty());
            fresh.follow(&order, 0);
            assert_eq!(text(replay.state()), text(fresh.state()));
            assert!(replay.checkpoints.len() <= MOST_CHECKPOINTS);
        }
    }
}
