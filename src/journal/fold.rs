//! Folding: when segments are taken into the rollup, and what the new rollup says. Pure; `maintenance` carries it out.
//!
//! Any replica folds, and the `If-Match` of one PUT decides which: there is no leader. What is folded is a prefix of
//! the canonical order (strays first), so the mark can stand for it, and every segment in it is aged, so that nothing
//! that sorts before it can still appear within the store's assumptions; what does appear nevertheless is a stray,
//! which the proof tells from what was folded.

use super::key::SegmentKey;
use super::listing::Listing;
use super::memory::{Listed, Memory};
use super::rollup::{Head, Mark, Proof};
use super::segment::Place;
use super::timing::Timing;
use crate::config::Compaction;
use crate::mutant::{self, Mutant};
use crate::reached::reached;
use crate::store::ETag;
use crate::time::Stamp;
use std::time::Duration;

/// When a fold is due: where so many segments are aged, or where the first of them is so old.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    segments: usize,
    age: Option<Duration>,
}

impl Due {
    /// `spread`, from 0 to 1, is each namespace's own: those that were written at the same moment are not folded at the
    /// same moment.
    pub fn new(compaction: &Compaction, spread: f64) -> Due {
        Due { segments: compaction.segment_threshold.max(1), age: compaction.max_age.map(|age| age.mul_f64(1.0 + spread / 8.0)) }
    }

    /// Whether it is due for `aged` segments, in canonical order.
    fn is_due(&self, aged: &[Listed], listing: &Listing) -> bool {
        let Some(first) = aged.first() else { return false };
        if aged.len() >= self.segments {
            return true;
        }
        // A fold uploads the whole rollup. What few segments make due uploads at most a MiB in that time.
        let size = listing.rollup.as_ref().map_or(0, |rollup| rollup.size);
        let mebibytes = u32::try_from(size.div_ceil(1 << 20).max(1)).unwrap_or(u32::MAX);
        let is_due = self.age.is_some_and(|age| listing.date.since(first.place.stamp) >= age * mebibytes);
        if is_due {
            reached("fold due by age");
        }
        is_due
    }
}

/// A fold that may be done.
pub struct Plan {
    /// The rollup that it is folded into; absent where the store has none.
    pub onto: Option<ETag>,
    pub folded: Vec<Listed>,
    /// Names in the held proof that need not be kept: the LIST does not show them, and it began after the rollup that
    /// names them was read.
    pub gone: Vec<SegmentKey>,
    /// Where the held rollup has no proof: what is listed at or below its mark. The peer folded it, and the new proof
    /// must name it.
    pub folded_by_peer: Vec<SegmentKey>,
}

/// Whether a segment is old enough to be folded: by the store's own `Date` when the LIST began. A stamp after that
/// `Date` is from a node whose clock is ahead, or from after the LIST began, and is not aged.
fn is_aged(place: &Place, listing: &Listing, timing: &Timing) -> bool {
    let mut date = listing.date;
    if mutant::is_on(Mutant::PagesCountAsOneMoment) {
        date = date + listing.ended.since(listing.began);
    }
    if place.stamp > date {
        return mutant::is_on(Mutant::StampsAheadAge);
    }
    date.since(place.stamp) >= timing.aged_after
}

/// The fold that a good tick's LIST allows, if one is due. `memory` has just joined `listing`.
pub fn plan(memory: &Memory, listing: &Listing, timing: &Timing, due: &Due) -> Option<Plan> {
    let rollup = memory.rollup();
    // On a rollup that is older than one which existed nothing is folded: the newer one may be held by somebody, and
    // come back.
    if memory.is_rollup_behind() || !listing.shows_rollup(rollup.etag.as_ref()) {
        return None;
    }
    let is_foldable = |listed: &&Listed| listed.segment.is_readable() && is_aged(&listed.place, listing, timing);
    let foldable = memory.listed().iter().take_while(is_foldable).count();
    if !due.is_due(&memory.listed()[..foldable], listing) {
        return None;
    }
    let folded = memory.listed()[..foldable].to_vec();
    let shows = |key: &SegmentKey| listing.segments.contains_key(key);
    let (gone, folded_by_peer) = match &rollup.head.proof {
        Some(proof) if mutant::is_on(Mutant::NamesLeaveTheProof) => (proof.folded.keys().cloned().collect(), Vec::new()),
        Some(proof) if listing.began >= rollup.read_at => (proof.folded.keys().filter(|key| !shows(key)).cloned().collect(), Vec::new()),
        Some(_) => (Vec::new(), Vec::new()),
        None => {
            let below = listing.places().into_iter().filter(|place| rollup.head.mark.covers(place));
            (Vec::new(), below.map(|place| place.key).collect())
        }
    };
    Some(Plan { onto: rollup.etag.clone(), folded, gone, folded_by_peer })
}

/// The head of the rollup that a fold writes at the store time `at`. `greatest_count` goes on where the held rollup has
/// no proof.
pub fn head_after(plan: &Plan, held: &Head, greatest_count: u64, at: Stamp) -> Head {
    let anew = || Proof::anew(greatest_count, plan.folded_by_peer.iter().cloned(), at);
    let mut proof = held.proof.clone().unwrap_or_else(anew);
    if !plan.gone.is_empty() {
        reached("names left the proof");
    }
    if plan.folded.first().is_some_and(|first| held.mark.covers(&first.place)) {
        reached("stray folded");
    }
    for key in &plan.gone {
        proof.folded.remove(key);
    }
    for listed in &plan.folded {
        proof.add(&listed.place, &listed.segment, at);
    }
    proof.forget_old_writers(at);
    let last = plan.folded.last().map(|listed| Mark::at(&listed.place));
    // Where only strays were folded the mark stays.
    let mark = last.map_or_else(|| held.mark.clone(), |last| last.max(held.mark.clone()));
    debug_assert!(mark >= held.mark, "the mark never goes back");
    Head { proof: Some(proof), mark }
}
