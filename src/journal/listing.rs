//! What a LIST shows of one namespace.

use super::key::{Places, SegmentKey};
use super::requests::Requests;
use super::segment::Place;
use super::timing::Timing;
use crate::mutant::{self, Mutant};
use crate::store::{ETag, Failure, Kind, Listed, Page};
use crate::time::{Reading, Stamp};
use std::collections::BTreeMap;

/// A LIST of one namespace. Its pages were taken at different moments: what it shows existed at one of them, and what
/// existed before it began and still does is in it.
#[derive(Clone, Debug)]
pub struct Listing {
    pub began: Reading,
    pub ended: Reading,
    /// The store's `Date` on the first page, less the time which that page took: a moment of store time before which
    /// everything that is old enough to be folded was already there.
    pub date: Stamp,
    /// Everything of this namespace was on one page, which is a moment of its own.
    pub is_one_page: bool,
    pub rollup: Option<ListedRollup>,
    pub segments: BTreeMap<SegmentKey, ListedSegment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedRollup {
    pub etag: ETag,
    pub size: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedSegment {
    pub stamp: Stamp,
    pub size: u64,
}

impl Listing {
    /// The listed segments in canonical order.
    pub fn places(&self) -> Vec<Place> {
        let mut places: Vec<Place> = self.segments.iter().map(|(key, listed)| Place { stamp: listed.stamp, key: key.clone() }).collect();
        places.sort_unstable();
        places
    }

    fn empty(began: Reading, ended: Reading, date: Stamp) -> Listing {
        Listing { began, ended, date, is_one_page: true, rollup: None, segments: BTreeMap::new() }
    }

    /// Whether it shows the rollup that `etag` names, or none where that is absent.
    pub fn shows_rollup(&self, etag: Option<&ETag>) -> bool {
        self.rollup.as_ref().map(|rollup| &rollup.etag) == etag
    }

    /// Whether it began so lately that nothing it shows can have been folded and deleted since.
    pub fn is_young(&self, now: Reading, timing: &Timing) -> bool {
        now.since(self.began) < timing.list_is_young || mutant::is_on(Mutant::OldListsAreJoined) || mutant::is_on(Mutant::ListsStayYoung)
    }

    fn take_in(&mut self, prefix: &str, objects: &[Listed]) {
        for object in objects {
            let Some(name) = object.key.strip_prefix(prefix) else { continue };
            if let Some(key) = SegmentKey::parse(name) {
                self.segments.insert(key, ListedSegment { stamp: object.stamp, size: object.size });
            } else if name == "rollup.json" {
                self.rollup = Some(ListedRollup { etag: object.etag.clone(), size: object.size });
            }
        }
    }
}

/// The `Date` of a first page, less the time that it took.
fn moment_of(requests: &Requests, page: &Page, began: Reading, prefix: &str) -> Result<Stamp, Failure> {
    let date = page.date.ok_or_else(|| {
        Failure::new(Kind::Refused, format!("LIST {prefix}: the answer carries no Date, and the age of segments cannot be told without"))
    })?;
    Ok(date - requests.now().since(began))
}

/// LISTs one namespace.
pub async fn list(requests: &Requests, places: &Places) -> Result<Listing, Failure> {
    let began = requests.now();
    let mut page = requests.list_page(&places.prefix, None).await?;
    let date = moment_of(requests, &page, began, &places.prefix)?;
    let mut listing = Listing::empty(began, began, date);
    loop {
        listing.take_in(&places.prefix, &page.objects);
        let Some(next) = page.next.take() else { break };
        listing.is_one_page = false;
        page = next_page(requests, &places.prefix, &page, &next).await?;
    }
    listing.ended = requests.now();
    Ok(listing)
}

/// The page after `page`. A server that shows the same again would never come to an end.
async fn next_page(requests: &Requests, prefix: &str, page: &Page, next: &str) -> Result<Page, Failure> {
    let following = requests.list_page(prefix, Some(next)).await?;
    match (page.objects.last(), following.objects.first()) {
        (Some(last), Some(first)) if first.key <= last.key => {
            let message = format!("LIST {prefix}: {} is shown after {}", first.key, last.key);
            Err(Failure::new(Kind::Unavailable, message))
        }
        _ => Ok(following),
    }
}

/// A LIST of everything under `.metadata/`, from which the listings of many namespaces can be taken.
pub struct SharedListing {
    began: Reading,
    ended: Reading,
    date: Stamp,
    pages: Vec<Page>,
}

impl SharedListing {
    /// What it shows of one namespace.
    pub fn of(&self, places: &Places) -> Listing {
        let mut listing = Listing::empty(self.began, self.ended, self.date);
        // Objects come in the order of their keys, so a page can be told from its first and last.
        let end = after_prefix(&places.prefix);
        let mut pages_with_objects = 0;
        for page in &self.pages {
            let from = page.objects.partition_point(|object| object.key.as_str() < places.prefix.as_str());
            let to = page.objects.partition_point(|object| object.key.as_str() < end.as_str());
            if from < to {
                pages_with_objects += 1;
                listing.take_in(&places.prefix, &page.objects[from..to]);
            }
        }
        listing.is_one_page = pages_with_objects <= 1;
        listing
    }
}

/// The first key after all that start with `prefix`, which ends with `/`: `0` is the character after `/`.
fn after_prefix(prefix: &str) -> String {
    format!("{}0", prefix.strip_suffix('/').unwrap_or(prefix))
}

/// LISTs everything under `prefix`; nothing where that takes more than `most` requests.
pub async fn list_shared(requests: &Requests, prefix: &str, most: usize) -> Result<Option<SharedListing>, Failure> {
    let began = requests.now();
    let mut page = requests.list_page(prefix, None).await?;
    let date = moment_of(requests, &page, began, prefix)?;
    let mut pages = Vec::new();
    loop {
        let next = page.next.take();
        pages.push(page);
        let Some(next) = next else { break };
        if pages.len() >= most {
            return Ok(None);
        }
        let Some(last) = pages.last() else { break };
        page = next_page(requests, prefix, last, &next).await?;
    }
    Ok(Some(SharedListing { began, ended: requests.now(), date, pages }))
}
