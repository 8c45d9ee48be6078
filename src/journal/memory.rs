//! What a replica holds of a namespace, and the pure decisions over it: how a LIST and a rollup become a state, when
//! the rollup need not be read, which of two rollups is the newer one. No I/O, no clock: time comes in as arguments.
//!
//! Invariants (`docs/engine.md` has them with their reasons):
//!
//! - The state is the rollup's state, then strays, then the tail, each in canonical order, then own segments that no
//!   LIST has settled yet, then the one that is on its way or open.
//! - A name in the held proof is never applied, whatever its stamp.
//! - The held mark never goes back, nor does the held count.
//! - `own` is in key order; from its first segment that is not settled by a LIST on, all that this replica wrote stay last.

use super::key::SegmentKey;
use super::listing::Listing;
use super::replay::{Replay, Step};
use super::rollup::{Count, Head, Mark, Proof};
use super::segment::{Content, Place, Segment};
use super::settle::{Open, Verdict, settle};
use super::timing::Timing;
use crate::mutant::{self, Mutant};
use crate::reached::reached;
use crate::state::State;
use crate::store::ETag;
use crate::time::{Reading, Stamp};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// The rollup that a replica's state stands on.
#[derive(Clone)]
pub struct HeldRollup {
    /// Absent where the store has none: then `state` is the legacy object's, or empty.
    pub etag: Option<ETag>,
    pub head: Head,
    pub state: State,
    /// When the answer that brought it had arrived. A LIST that began before may show segments that this rollup folded
    /// and whose names left its proof since.
    pub read_at: Reading,
}

impl HeldRollup {
    /// Where nothing was ever folded. `legacy` is the state of the legacy object, if there is one.
    pub fn none(legacy: Option<State>, read_at: Reading) -> HeldRollup {
        HeldRollup {
            etag: None,
            head: Head { proof: Some(Proof::empty()), mark: Mark::zero() },
            state: legacy.unwrap_or_else(State::empty),
            read_at,
        }
    }
}

/// A listed segment that counts: a stray or one of the tail.
#[derive(Clone)]
pub struct Listed {
    pub place: Place,
    pub segment: Arc<Segment>,
}

/// An own segment that was acknowledged and that no LIST has settled yet.
struct Own {
    segment: Arc<Segment>,
    /// When the answer to its PUT had been processed.
    ended: Reading,
}

/// Why a LIST and what is held cannot be joined as they are.
#[derive(Debug)]
pub enum Refusal {
    /// The bodies of these segments are due first.
    Fetch(Vec<Place>),
    /// The rollup is due: a segment says that more was folded than the held rollup knows.
    ReadRollup,
    /// A newer LIST is due.
    ListAgain,
    /// Segments say that more was folded than the rollup knows, and this replica holds no newer one.
    RollupLost { key: SegmentKey, folded: u64, count: u64 },
}

/// What a join brought.
pub struct Joined {
    /// The outcome of the open segment, where it is now told.
    pub settled: Option<(Open, Verdict)>,
    /// Own acknowledged segments that LIST shows with a stamp past their `expires`: every replica skips them. A store
    /// within the assumptions never does this.
    pub void_own: Vec<Place>,
    /// Own acknowledged segments that others folded and deleted before any LIST showed them here.
    pub unseen_own: Vec<SegmentKey>,
    /// Segments that were listed and are gone, although the rollup does not reach them: what had folded them is lost, or somebody
    /// deleted them.
    pub vanished: Vec<SegmentKey>,
    /// Unreadable segments that the join before did not have.
    pub newly_unreadable: Vec<SegmentKey>,
    /// Segments newly say that more was folded than the rollup knows.
    pub newly_behind: bool,
}

pub struct Memory {
    writer: String,
    rollup: HeldRollup,
    /// Strays and tail in canonical order, as the last good tick's LIST showed them.
    listed: Vec<Listed>,
    own: VecDeque<Own>,
    bodies: HashMap<SegmentKey, Arc<Segment>>,
    replay: Replay,
    open: Option<Open>,
    /// When the LIST of the last good tick began; nothing before the first.
    last_list_began: Option<Reading>,
    /// When it ended. A LIST that began before then may show less, though it is joined later.
    last_list_ended: Reading,
    /// The greatest count of folded segments that any rollup or segment told.
    greatest: Count,
    /// A segment says that more was folded than the held rollup knows: an older rollup was restored. Nothing is folded
    /// on it.
    is_rollup_behind: bool,
    /// At how many ticks in a row a fold was due.
    fold_was_due: u32,
}

impl Memory {
    pub fn new(writer: String, now: Reading) -> Memory {
        Memory {
            writer,
            rollup: HeldRollup::none(None, now),
            listed: Vec::new(),
            own: VecDeque::new(),
            bodies: HashMap::new(),
            replay: Replay::new(State::empty()),
            open: None,
            last_list_began: None,
            last_list_ended: now,
            greatest: Count::ZERO,
            is_rollup_behind: false,
            fold_was_due: 0,
        }
    }

    pub fn state(&self) -> &State {
        self.replay.state()
    }

    pub fn rollup(&self) -> &HeldRollup {
        &self.rollup
    }

    pub fn mark(&self) -> &Mark {
        &self.rollup.head.mark
    }

    pub fn writer(&self) -> &str {
        &self.writer
    }

    /// Whether a first tick was good.
    pub fn is_ready(&self) -> bool {
        self.last_list_began.is_some()
    }

    pub fn last_list_began(&self) -> Option<Reading> {
        self.last_list_began
    }

    /// Strays and tail in canonical order.
    pub fn listed(&self) -> &[Listed] {
        &self.listed
    }

    pub fn is_rollup_behind(&self) -> bool {
        self.is_rollup_behind
    }

    /// The count that a segment written now names: of the held rollup, or the greatest ever seen where that has no
    /// proof.
    pub fn count(&self) -> Count {
        self.rollup.head.proof.as_ref().map_or(self.greatest, Proof::total)
    }

    /// The count that a chain over a rollup without proof goes on from.
    pub fn greatest_count(&self) -> u64 {
        self.greatest.folded
    }

    /// The first unreadable segment, in canonical order, and the reason.
    pub fn first_unreadable(&self) -> Option<(&SegmentKey, &str)> {
        self.listed.iter().find_map(|listed| match &listed.segment.content {
            Content::Unreadable { reason, .. } => Some((&listed.segment.key, reason.as_str())),
            Content::Readable(_) => None,
        })
    }

    pub fn unreadable(&self) -> impl Iterator<Item = &Arc<Segment>> {
        self.listed.iter().map(|listed| &listed.segment).filter(|segment| !segment.is_readable())
    }

    pub fn open_segment(&self) -> Option<&Open> {
        self.open.as_ref()
    }

    /// How many listed segments lie at or below the mark without being folded.
    pub fn stray_count(&self) -> usize {
        self.listed.partition_point(|listed| self.mark().covers(&listed.place))
    }

    pub fn own_count(&self) -> usize {
        self.own.len()
    }

    /// How many segments are held in memory, of those that are listed, own or open.
    pub fn body_count(&self) -> usize {
        self.bodies.len()
    }

    /// Keeps a fetched body.
    pub fn keep_body(&mut self, segment: Arc<Segment>) {
        self.bodies.insert(segment.key.clone(), segment);
    }

    /// Takes in an own segment that the store acknowledged. It counts at once: behind everything else, or where a LIST
    /// has shown it already. `false` where a LIST has shown it as void: then the answer was wrong, and it counts nowhere.
    #[must_use]
    pub fn add_own(&mut self, segment: Arc<Segment>, ended: Reading) -> bool {
        debug_assert!(self.own.back().is_none_or(|own| own.segment.key < segment.key), "own keys strictly increase");
        debug_assert!(self.is_ready() && self.open.is_none(), "nothing is written before the first good tick, or behind an open segment");
        if is_named(&self.rollup.head, &segment.key) {
            return true;
        }
        let listed = self.listed.iter().find(|listed| listed.place.key == segment.key);
        if listed.is_some_and(|listed| segment.is_void(listed.place.stamp)) {
            return false;
        }
        let is_listed = listed.is_some();
        if is_listed && self.own.is_empty() {
            return true;
        }
        self.keep_body(segment.clone());
        self.own.push_back(Own { segment: segment.clone(), ended });
        if is_listed {
            self.follow();
        } else {
            self.replay.append(&Step { segment, stamp: None });
        }
        true
    }

    /// Takes in an own segment whose outcome is open.
    pub fn set_open(&mut self, open: Open, segment: Arc<Segment>) {
        debug_assert!(self.open.is_none(), "at most one segment is open");
        self.keep_body(segment);
        self.open = Some(open);
    }

    /// Whether a later LIST was joined already, than this one that another namespace's tick took along.
    pub fn has_overtaken(&self, listing: &Listing) -> bool {
        listing.began < self.last_list_ended && !mutant::is_on(Mutant::OvertakenListsAreJoined)
    }

    /// Whether the rollup GET may be left out: then nothing can have been folded since the last good tick that this
    /// LIST does not tell.
    ///
    /// The LIST is one page, and thus one moment. It shows the held ETag and every held segment, so no fold deleted any
    /// of them; and what was listed, folded and deleted since the last good tick cannot be, because that takes longer.
    /// Where the store has no rollup and none is held, the same holds: a first fold would show a rollup.
    pub fn may_leave_rollup_unread(&self, listing: &Listing, timing: &Timing) -> bool {
        let Some(last_list_began) = self.last_list_began else { return false };
        let shows = |key: &SegmentKey| listing.segments.contains_key(key);
        if mutant::is_on(Mutant::TheRollupIsLeftUnread) {
            return true;
        }
        listing.is_one_page
            && self.rollup.head.proof.is_some()
            && (listing.shows_rollup(self.rollup.etag.as_ref()) && listing.ended.since(last_list_began) < timing.list_is_young
                || mutant::is_on(Mutant::AFoldWithoutAnswerIsForgotten))
            && self.listed.iter().all(|listed| shows(&listed.place.key))
            // One whose PUT ended after the LIST began may be missing from it for that reason alone.
            && self.own.iter().all(|own| own.ended > listing.began || shows(&own.segment.key))
    }

    /// The segments whose fold leads from the held rollup to `head`, in the order of folding, where this replica knows
    /// all of them: the strays and the tail that it holds or sees listed, up to the new mark. Their count and chain
    /// tell whether these are the ones.
    pub fn folded_since(&self, listing: &Listing, head: &Head) -> Option<Vec<Place>> {
        let (held, new) = (self.rollup.head.proof.as_ref()?, head.proof.as_ref()?);
        if new.count < held.count || new.since != held.since {
            return None;
        }
        let mut known = listing.places();
        known.extend(self.listed.iter().map(|listed| listed.place.clone()));
        known.sort_unstable();
        known.dedup();
        known.retain(|place| head.mark.covers(place) && !held.folded.contains_key(&place.key));
        let chain = known.iter().fold(held.chain, |chain, place| chain.link(place));
        let is_chain_whole = chain == new.chain || mutant::is_on(Mutant::TheChainIsAChecksumOfKeys);
        (known.len() as u64 == new.count - held.count && is_chain_whole).then_some(known)
    }

    /// Those of `places` whose bodies are not held.
    pub fn without_body(&self, places: &[Place]) -> Vec<Place> {
        places.iter().filter(|place| !self.bodies.contains_key(&place.key)).cloned().collect()
    }

    /// The state after folding `places` into the held rollup's; nothing where a body is missing or unreadable.
    pub fn fold_state(&self, places: &[Place]) -> Option<State> {
        let mut state = self.rollup.state.clone();
        for place in places {
            let segment = self.bodies.get(&place.key).filter(|segment| segment.is_readable())?;
            state.apply(segment.effective_ops(place.stamp));
        }
        Some(state)
    }

    /// Whether the held rollup is newer than one that was found, so that the found one is a person's doing: it lost
    /// something. Of two rollups the one that folded more is the newer, and of two that folded as much the one with the
    /// later mark. A restored rollup that was folded on may have the lesser count and the later mark: whoever holds it
    /// takes the other one over and keeps that mark, so that both only grow and all come to hold the same rollup.
    pub fn is_older_than_held(&self, found: Option<&Head>) -> bool {
        let held = &self.rollup;
        if held.etag.is_none() || mutant::is_on(Mutant::OlderRollupsAreAdopted) {
            return false;
        }
        let Some(found) = found else { return !mutant::is_on(Mutant::ALostRollupIsABeginning) };
        match (&found.proof, &held.head.proof) {
            (Some(proof), Some(held_proof)) => (proof.total(), &found.mark) < (held_proof.total(), &held.head.mark),
            // Where one of the two has no proof, the mark alone tells.
            (_, None) | (None, _) => found.mark < held.head.mark,
        }
    }

    /// Whether something is lost that the held rollup had folded, where this one, which is no older, is taken over.
    pub fn lost_with(&self, found: &Head, now: Stamp) -> bool {
        match (&self.rollup.etag, &self.rollup.head.proof, &found.proof) {
            (Some(_), Some(held), Some(found)) => !held.leads_to(found, now),
            _ => false,
        }
    }

    /// Takes over a rollup as the one that the state stands on, without a LIST: an own fold, a compacted or rewritten
    /// state. The caller joins again; until then the listed segments that it folded are dropped here, by the same rule.
    pub fn adopt(&mut self, rollup: HeldRollup) {
        debug_assert!(rollup.head.mark >= self.rollup.head.mark, "the mark never goes back");
        self.set_rollup(rollup);
        let head = &self.rollup.head;
        self.listed.retain(|listed| counts(head, &listed.place));
        self.own.retain(|own| !is_named(head, &own.segment.key));
        self.follow();
    }

    fn follow(&mut self) {
        let (order, settled) = self.order();
        self.replay.follow(&order, settled);
    }

    fn set_rollup(&mut self, rollup: HeldRollup) {
        self.greatest = self.greatest.max(rollup.head.proof.as_ref().map_or(Count::ZERO, Proof::total));
        self.replay = Replay::new(rollup.state.clone());
        self.rollup = rollup;
    }

    /// Notes whether this tick found a fold due; returns at how many in a row it was.
    pub fn fold_is_due(&mut self, is_due: bool) -> u32 {
        self.fold_was_due = if is_due { self.fold_was_due + 1 } else { 0 };
        self.fold_was_due
    }

    /// The same base in another form (see `State::compact`), where `etag` still names it.
    pub fn replace_base(&mut self, etag: Option<&ETag>, compacted: State) {
        if self.rollup.etag.as_ref() == etag {
            self.adopt(HeldRollup { state: compacted, ..self.rollup.clone() });
        }
    }

    /// Joins a LIST with the rollup: with `news` where a newer one was read after the LIST began, else with the held
    /// one, which `read_under` named when the tick looked at it. `was_read`: the store confirmed the rollup after the
    /// LIST began.
    pub fn join(
        &mut self,
        listing: &Listing,
        read_under: Option<&ETag>,
        news: Option<&HeldRollup>,
        was_read: bool,
        now: Reading,
        timing: &Timing,
    ) -> Result<Joined, Refusal> {
        debug_assert!(!self.has_overtaken(listing), "ticks do not overlap, and begin without a LIST that was overtaken");
        // A process that froze between LIST and here would take what was folded and deleted meanwhile for a stray or an
        // unlisted write. And an own fold may have replaced the rollup that this tick decided on.
        let is_young = listing.is_young(now, timing);
        if !is_young || self.rollup.etag.as_ref() != read_under {
            reached(if is_young { "LIST again: an own fold came between" } else { "LIST again: it is old" });
            return Err(Refusal::ListAgain);
        }
        let rollup = news.unwrap_or(&self.rollup);
        let (places, has_strays) = counted_places(listing, &rollup.head);
        if has_strays {
            reached("stray listed");
        }
        if has_strays && listing.began < rollup.read_at && !strays_come_from_any_list() {
            reached("LIST again: strays need one after the rollup");
            return Err(Refusal::ListAgain);
        }
        // What this LIST began too early to show stays behind everything else, unless the rollup tells that it is folded.
        let may_count_twice = |own: &Own| {
            let is_told = |expires| rollup.head.tells_since(timing.earliest_stamp(expires));
            listing.began < own.ended && !listing.segments.contains_key(&own.segment.key) && !own.segment.expires().is_some_and(is_told)
        };
        if self.own.iter().any(may_count_twice) && !mutant::is_on(Mutant::UnlistedMeansUnfolded) {
            reached("LIST again: a peer may have folded an own segment");
            return Err(Refusal::ListAgain);
        }
        let missing = self.without_body(&places);
        if !missing.is_empty() {
            return Err(Refusal::Fetch(missing));
        }
        let listed: Vec<Listed> = places.into_iter().map(|place| Listed { segment: self.bodies[&place.key].clone(), place }).collect();
        let newest = listed.iter().max_by_key(|listed| listed.segment.folded());
        let told = newest.map_or(Count::ZERO, |listed| listed.segment.folded());
        let is_rollup_behind = match (&rollup.head.proof, newest) {
            (Some(proof), Some(newest)) if told > proof.total() && !losses_do_not_matter() => {
                if !was_read {
                    reached("rollup read for a segment that counts more");
                    return Err(Refusal::ReadRollup);
                }
                if !self.is_ready() {
                    reached("ROLLUP_LOST");
                    return Err(Refusal::RollupLost { key: newest.place.key.clone(), folded: told.folded, count: proof.count });
                }
                true
            }
            _ => false,
        };

        // Only what is folded is ever deleted, and the rollup was read after the LIST (or it shows every held segment). What cannot
        // be read a person may have moved aside; and a late copy, which is void, may meet a late DELETE of what was folded.
        let head = &rollup.head;
        let is_gone = |place: &Place| !listing.segments.contains_key(&place.key) && !is_named(head, &place.key) && !head.mark.covers(place);
        let counted = self.listed.iter().filter(|listed| listed.segment.is_readable() && !listed.segment.is_void(listed.place.stamp));
        let gone = counted.filter(|listed| is_gone(&listed.place));
        let vanished: Vec<SegmentKey> = gone.map(|listed| listed.place.key.clone()).collect();

        // From here on nothing can fail.
        let were_unreadable: BTreeSet<SegmentKey> = self.unreadable().map(|segment| segment.key.clone()).collect();
        if let Some(news) = news {
            debug_assert!(news.head.mark >= self.rollup.head.mark, "the mark never goes back");
            self.set_rollup(news.clone());
        }
        self.greatest = self.greatest.max(told);
        self.listed = listed;
        let newly_behind = is_rollup_behind && !self.is_rollup_behind;
        self.is_rollup_behind = is_rollup_behind;
        if let Some(open) = &mut self.open {
            open.is_in_doubt |= !vanished.is_empty();
        }
        let (void_own, unseen_own) = self.settle_own(listing);
        let settled = self.settle_open(listing, timing);
        self.follow();
        self.last_list_began = Some(listing.began);
        self.last_list_ended = listing.ended;
        self.forget_bodies(None);
        let newly_unreadable = self.unreadable().map(|segment| segment.key.clone()).filter(|key| !were_unreadable.contains(key)).collect();
        Ok(Joined { settled, void_own, unseen_own, vanished, newly_unreadable, newly_behind })
    }

    /// Lets go of the own segments that this LIST and the rollup settle: those that are folded, those that are shown,
    /// and those that are not shown although the LIST began after their PUT ended (they were folded and deleted). From
    /// the first that is not settled on, all stay, for a LIST of several pages can show a second write and not the
    /// first; only what is folded goes in any case. Gives those that are void, and those that no LIST ever showed here.
    fn settle_own(&mut self, listing: &Listing) -> (Vec<Place>, Vec<SegmentKey>) {
        let head = &self.rollup.head;
        let shown = |key: &SegmentKey| listing.segments.get(key).map(|shown| Place { stamp: shown.stamp, key: key.clone() });
        // A copy that came late to a segment that was folded and deleted is void and means nothing.
        let folded = head.proof.as_ref().and_then(|proof| proof.writers.get(&self.writer)).map(|last| last.key.clone());
        let is_void =
            |segment: &Segment, place: &Place| segment.is_void(place.stamp) && folded.as_ref().is_none_or(|last| *last < segment.key);
        // What another chain folded before this one began, the proof does not tell: the peer may have folded it in time.
        let is_of_this_chain =
            |segment: &Segment| head.proof.as_ref().zip(segment.expires()).is_some_and(|(proof, expires)| proof.since <= expires);
        self.own.retain(|own| {
            let key = &own.segment.key;
            match shown(key) {
                // A fold names it as well; but it counts nowhere, and that has to be said below.
                Some(place) if is_void(&own.segment, &place) && is_of_this_chain(&own.segment) => true,
                place => !is_named(head, key) && place.is_none_or(|place| counts(head, &place)),
            }
        });
        if mutant::is_on(Mutant::OwnSegmentsSettleOneByOne) {
            self.own.retain(|own| shown(&own.segment.key).is_none() && listing.began < own.ended);
        }
        let (mut void, mut unseen) = (Vec::new(), Vec::new());
        while let Some(own) = self.own.front() {
            match shown(&own.segment.key) {
                Some(place) if is_void(&own.segment, &place) => void.push(place),
                Some(_) => {}
                None if mutant::is_on(Mutant::UnlistedMeansFolded) => {}
                None if listing.began < own.ended => {
                    reached("own segment held back: the LIST began before its answer");
                    break;
                }
                None => {
                    reached("own segment gone: folded and deleted");
                    unseen.push(own.segment.key.clone());
                }
            }
            self.own.pop_front();
        }
        (void, unseen)
    }

    fn settle_open(&mut self, listing: &Listing, timing: &Timing) -> Option<(Open, Verdict)> {
        let open = self.open.as_ref()?;
        let verdict = settle(open, &self.writer, listing, &self.rollup.head, timing);
        // A rollup that is behind does not tell of everything that was folded: what it does not name may come back with the newer one.
        if verdict == Verdict::Open || verdict != Verdict::Applied && self.is_rollup_behind {
            return None;
        }
        self.open.take().map(|open| (open, verdict))
    }

    /// The order of replay: strays and tail without what stays last, then that: the own segments, and behind them the one that
    /// is on its way or open, where a LIST shows it already. Also says how many do not stay last.
    fn order(&self) -> (Vec<Step>, usize) {
        let first_own = self.own.front().map(|own| &own.segment.key);
        let stays_last = |listed: &&Listed| {
            let segment = &listed.segment;
            first_own.is_some_and(|first| segment.key >= *first) && segment.writer() == Some(&self.writer)
        };
        let is_own = |key: &SegmentKey| self.own.iter().any(|own| own.segment.key == *key);
        let step = |listed: &Listed| Step { segment: listed.segment.clone(), stamp: Some(listed.place.stamp) };
        let mut order: Vec<Step> = self.listed.iter().filter(|listed| !stays_last(listed)).map(step).collect();
        let settled = order.len();
        order.extend(self.own.iter().map(|own| Step { segment: own.segment.clone(), stamp: None }));
        order.extend(self.listed.iter().filter(|listed| stays_last(listed) && !is_own(&listed.place.key)).map(step));
        (order, settled)
    }

    /// Lets go of bodies that neither `listing` shows nor what is held needs. (A good join looks at what is held
    /// alone.)
    pub fn forget_bodies(&mut self, listing: Option<&Listing>) {
        let mut needed: BTreeSet<&SegmentKey> = self.listed.iter().map(|listed| &listed.place.key).collect();
        needed.extend(listing.into_iter().flat_map(|listing| listing.segments.keys()));
        needed.extend(self.own.iter().map(|own| &own.segment.key));
        needed.extend(self.open.as_ref().map(|open| &open.key));
        self.bodies.retain(|key, _| needed.contains(key));
    }

    /// The listed objects that may be deleted: named in the held proof for at least F, by a LIST that shows the ETag of
    /// the held rollup.
    pub fn deletable(&self, listing: &Listing, timing: &Timing) -> Vec<SegmentKey> {
        if mutant::is_on(Mutant::PagesCountAsOneMoment) {
            return listing.places().into_iter().filter(|place| self.mark().covers(place)).map(|place| place.key).collect();
        }
        let is_held = listing.rollup.is_some() && (listing.shows_rollup(self.rollup.etag.as_ref()) || losses_do_not_matter());
        let Some(proof) = self.rollup.head.proof.as_ref().filter(|_| is_held) else {
            return Vec::new();
        };
        let is_old = |at: &Stamp| *at + timing.fold_age <= listing.date || deletes_come_at_once();
        let old = proof.folded.iter().filter(|(_, at)| is_old(at)).map(|(key, _)| key);
        old.filter(|key| listing.segments.contains_key(*key)).cloned().collect()
    }
}

fn strays_come_from_any_list() -> bool {
    mutant::is_on(Mutant::OldListsAreJoined) || mutant::is_on(Mutant::StraysFromAnyList)
}

fn losses_do_not_matter() -> bool {
    mutant::is_on(Mutant::ALostRollupIsABeginning) || mutant::is_on(Mutant::OlderRollupsAreAdopted)
}

fn deletes_come_at_once() -> bool {
    mutant::is_on(Mutant::DeletesComeAtOnce) || mutant::is_on(Mutant::LatePutsCount)
}

/// Whether a listed segment counts on top of a rollup. Without proof the mark alone tells what is folded.
fn counts(rollup: &Head, place: &Place) -> bool {
    if mutant::is_on(Mutant::ListedMeansLive) {
        return true;
    }
    match &rollup.proof {
        Some(_) if mutant::is_on(Mutant::PagesCountAsOneMoment) || mutant::is_on(Mutant::StampsAheadAge) => !rollup.mark.covers(place),
        Some(_) => !is_named(rollup, &place.key),
        None => !rollup.mark.covers(place),
    }
}

/// Whether the proof names a segment as folded.
fn is_named(rollup: &Head, key: &SegmentKey) -> bool {
    rollup.proof.as_ref().is_some_and(|proof| proof.folded.contains_key(key))
}

/// The listed segments that count, in canonical order, and whether strays are among them.
fn counted_places(listing: &Listing, rollup: &Head) -> (Vec<Place>, bool) {
    let places: Vec<Place> = listing.places().into_iter().filter(|place| counts(rollup, place)).collect();
    let has_strays = places.first().is_some_and(|first| rollup.mark.covers(first));
    (places, has_strays)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Limits, Settings};
    use crate::journal::key::KeyMaker;
    use crate::journal::listing::ListedSegment;
    use crate::journal::rollup::Proof;
    use crate::journal::segment;
    use std::time::Duration;

    const WRITER: &str = "w";

    /// Milliseconds.
    const EXPIRES_AFTER: i64 = 16_000;

    /// Milliseconds after the own segment was sent.
    fn at(after: i64) -> Stamp {
        Stamp::from_millis(1_800_000_000_000 + after)
    }

    fn listing(began: u64, shown: &[&Place]) -> Listing {
        Listing {
            began: Reading(began),
            ended: Reading(began),
            date: at(EXPIRES_AFTER),
            is_one_page: true,
            rollup: None,
            segments: shown.iter().map(|place| (place.key.clone(), ListedSegment { stamp: place.stamp, size: 1 })).collect(),
        }
    }

    fn found(head: Head) -> HeldRollup {
        HeldRollup { etag: Some(ETag("1".to_owned())), head, state: State::empty(), read_at: Reading(2) }
    }

    /// A replica that had a good tick, and wrote a segment whose PUT ended at 1.
    fn with_own() -> (Memory, Arc<Segment>, Timing) {
        let timing = Timing::new(&Settings::default());
        let op = br#"{"op":"IntAdd","Key":"a","Delta":1}"#;
        let body = segment::encode(std::iter::once(op.as_slice()), WRITER, at(EXPIRES_AFTER), Count::ZERO);
        let own = Segment::read(KeyMaker::default().next(at(0), 1), &body, &Limits::default());
        let mut memory = Memory::new(WRITER.to_owned(), Reading(0));
        memory.join(&listing(0, &[]), None, None, true, Reading(0), &timing).expect("nothing is in the way");
        assert!(memory.add_own(own.clone(), Reading(1)));
        (memory, own, timing)
    }

    /// What a writer is told of its acknowledged segment, which it sees first in a LIST beside a rollup that names it.
    fn joined(stamp_after_expiry: Duration, since: Stamp) -> Joined {
        let (mut memory, own, timing) = with_own();
        let place = Place { stamp: at(EXPIRES_AFTER) + stamp_after_expiry, key: own.key.clone() };
        let mut proof = Proof { since, ..Proof::empty() };
        proof.add(&place, &own, place.stamp + Duration::from_secs(60));
        let news = found(Head { proof: Some(proof), mark: Mark::at(&place) });
        let joined = memory.join(&listing(2, &[&place]), None, Some(&news), true, Reading(2), &timing).expect("all is there");
        assert_eq!(memory.own_count(), 0, "it is settled");
        joined
    }

    #[test]
    fn an_acknowledged_segment_that_was_folded_is_settled_without_a_word() {
        assert!(joined(Duration::ZERO, Stamp::ZERO).void_own.is_empty());
    }

    #[test]
    fn one_that_was_folded_as_void_is_told() {
        assert_eq!(joined(Duration::from_secs(1), Stamp::ZERO).void_own.len(), 1);
    }

    /// How many own segments are left where a LIST that began before the PUT ended does not show it, beside a rollup that nobody proved or
    /// whose chain began `after` the sending; nothing where a newer LIST is due.
    fn left_beside(has_proof: bool, after: i64) -> Option<usize> {
        let (mut memory, own, timing) = with_own();
        let mark = Mark::at(&Place { stamp: at(after), key: own.key.clone() });
        let news = found(Head { proof: has_proof.then(|| Proof { since: at(after), ..Proof::empty() }), mark });
        match memory.join(&listing(0, &[]), None, Some(&news), true, Reading(2), &timing) {
            Ok(_) => Some(memory.own_count()),
            Err(Refusal::ListAgain) => None,
            Err(refusal) => panic!("{refusal:?}"),
        }
    }

    #[test]
    fn what_the_peer_may_have_folded_waits_for_a_list_that_began_later() {
        for has_proof in [false, true] {
            assert_eq!(left_beside(has_proof, 1_000), None);
            // S and a second for whole ones: nothing is stamped earlier.
            assert_eq!(left_beside(has_proof, -3_000), None);
            assert_eq!(left_beside(has_proof, -3_001), Some(1));
        }
    }

    #[test]
    fn a_late_copy_of_what_an_earlier_chain_may_have_folded_means_nothing() {
        assert!(joined(Duration::from_secs(1), at(EXPIRES_AFTER + 1)).void_own.is_empty());
    }
}
