//! Settling: what became of a segment whose PUT got no answer that counts, decided by looking.
//!
//! A segment that is listed with a stamp in time is applied, and stays so: nothing writes its key again (create-once),
//! and it leaves the store only by a fold. One that is not listed may still be on its way, until the store's `Date` is
//! so far past `expires` that it would be void. Then it is applied if it was folded, which shows as its writer's last
//! folded key (a writer sends nothing while one is open), and failed otherwise.
//!
//! The protocol would be sound if the first case waited as well; settling it at once spares the callers of a lost
//! answer most of half a minute (docs/guarantees.md, "Two choices").

use super::key::SegmentKey;
use super::listing::Listing;
use super::rollup::{Head, WRITERS_ARE_KEPT_FOR};
use super::timing::Timing;
use crate::mutant::{self, Mutant};
use crate::reached::reached;
use crate::time::Stamp;
use std::time::Duration;

/// A segment that was sent and whose outcome is open.
#[derive(Clone, Debug)]
pub struct Open {
    pub key: SegmentKey,
    /// T0, the store time at which its body was encoded.
    pub encoded_at: Stamp,
    pub expires: Stamp,
    /// Since it was sent, something that was listed vanished: a rollup was lost, which may have held this one as well.
    pub is_in_doubt: bool,
}

/// What looking says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is too early to tell.
    Open,
    Applied,
    Failed,
    /// What would have told is gone: a fold by the peer dropped the proof, a rollup was lost, or the writer was cut off for
    /// a day. It stays unknown.
    Untold,
}

/// Decides from a LIST and a rollup that was read after it (or that was held throughout: see
/// `Memory::may_leave_rollup_unread`).
pub fn settle(open: &Open, writer: &str, listing: &Listing, rollup: &Head, timing: &Timing) -> Verdict {
    if listing.segments.get(&open.key).is_some_and(|listed| listed.stamp <= open.expires) {
        reached("settled as applied: listed");
        return Verdict::Applied;
    }
    let last_folded = rollup.proof.as_ref().and_then(|proof| proof.writers.get(writer));
    if let Some(last) = last_folded.filter(|_| !mutant::is_on(Mutant::VoidCopiesDecide)) {
        debug_assert!(last.key <= open.key, "a writer sends nothing behind an open segment");
        if last.key == open.key {
            reached("settled as applied: folded");
            return Verdict::Applied;
        }
    }
    if listing.date <= open.expires + timing.settles_after_expiry() && !mutant::is_on(Mutant::SettledAtTheFirstLook) {
        return Verdict::Open;
    }
    let verdict = match &rollup.proof {
        _ if open.is_in_doubt || !rollup.tells_since(timing.earliest_stamp(open.expires)) => Verdict::Untold,
        Some(proof) => {
            let is_writer_known = proof.writers.contains_key(writer);
            let may_be_forgotten = listing.date > open.encoded_at + (WRITERS_ARE_KEPT_FOR - Duration::from_secs(3600));
            // An older key of this writer: had the open one been folded since, it would be the last one.
            if is_writer_known || !may_be_forgotten { Verdict::Failed } else { Verdict::Untold }
        }
        None => Verdict::Failed,
    };
    reached(if verdict == Verdict::Failed { "settled as failed" } else { "settled as untold" });
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;
    use crate::journal::key::KeyMaker;
    use crate::journal::listing::ListedSegment;
    use crate::journal::rollup::{LastFolded, Mark, Proof};
    use crate::time::Reading;
    use std::collections::BTreeMap;

    const WRITER: &str = "w";

    fn timing() -> Timing {
        Timing::new(&Settings::default())
    }

    fn open() -> Open {
        let encoded_at = Stamp::from_millis(1_800_000_000_000);
        let key = KeyMaker::default().next(encoded_at, 1);
        Open { key, encoded_at, expires: encoded_at + timing().expires_after(), is_in_doubt: false }
    }

    fn listing(date: Stamp, listed: &[(SegmentKey, Stamp)]) -> Listing {
        let segments: BTreeMap<_, _> = listed.iter().map(|(key, stamp)| (key.clone(), ListedSegment { stamp: *stamp, size: 1 })).collect();
        Listing { began: Reading(0), ended: Reading(0), date, is_one_page: true, rollup: None, segments }
    }

    fn head(last: Option<SegmentKey>) -> Head {
        let mut proof = Proof::empty();
        if let Some(key) = last {
            proof.writers.insert(WRITER.into(), LastFolded { key, at: open().encoded_at });
        }
        Head { proof: Some(proof), mark: Mark::zero() }
    }

    fn past_everything() -> Stamp {
        open().expires + timing().settles_after_expiry() + Duration::from_secs(1)
    }

    fn verdict(listing: &Listing, head: &Head) -> Verdict {
        settle(&open(), WRITER, listing, head, &timing())
    }

    #[test]
    fn listed_in_time_is_applied_at_once() {
        let early = listing(open().encoded_at, &[(open().key, open().expires)]);
        assert_eq!(verdict(&early, &head(None)), Verdict::Applied);
    }

    #[test]
    fn not_listed_is_open_until_it_would_be_void() {
        let end = open().expires + timing().settles_after_expiry();
        assert_eq!(verdict(&listing(end, &[]), &head(None)), Verdict::Open);
        assert_eq!(verdict(&listing(past_everything(), &[]), &head(None)), Verdict::Failed);
    }

    #[test]
    fn a_void_copy_does_not_hide_that_it_was_folded() {
        let late = listing(past_everything(), &[(open().key, open().expires + Duration::from_secs(1))]);
        assert_eq!(verdict(&late, &head(None)), Verdict::Failed);
        assert_eq!(verdict(&late, &head(Some(open().key))), Verdict::Applied);
    }

    #[test]
    fn after_a_day_only_a_known_writer_can_be_told() {
        let day_later = listing(open().encoded_at + Duration::from_secs(25 * 3600), &[]);
        assert_eq!(verdict(&day_later, &head(None)), Verdict::Untold);
        let older = KeyMaker::default().next(open().encoded_at - Duration::from_secs(1), 1);
        assert_eq!(verdict(&day_later, &head(Some(older))), Verdict::Failed);
    }

    #[test]
    fn a_fold_by_the_peer_leaves_it_untold() {
        let mut by_peer = head(None);
        by_peer.proof = None;
        by_peer.mark.stamp = open().encoded_at;
        assert_eq!(verdict(&listing(past_everything(), &[]), &by_peer), Verdict::Untold);
        by_peer.mark.stamp = open().encoded_at - Duration::from_secs(60);
        assert_eq!(verdict(&listing(past_everything(), &[]), &by_peer), Verdict::Failed);
        let mut anew = head(None);
        anew.proof.as_mut().expect("a proof").since = open().encoded_at + Duration::from_secs(5);
        assert_eq!(verdict(&listing(past_everything(), &[]), &anew), Verdict::Untold);
    }
}
