//! What lies in a store that should not, or too much of it.

use super::Report;
use crate::failure::Failure;
use crate::objects::{self, Object};
use crate::output::count;
use crate::site::{Site, shown};
use opjournal::journal::objects::METADATA;
use opjournal::store::Listed;
use opjournal::store::probe::LEFTOVER;
use opjournal::time::Stamp;
use std::collections::BTreeSet;
use std::time::Duration;

/// So many segments, the first of them so old, are listed of a namespace only where nobody folds it.
const LONG_TAIL: u64 = 1_000;
const OLD: Duration = Duration::from_secs(3600);
/// So many are named.
const NAMED: usize = 3;
/// So many objects of probes are looked at.
const PROBES: usize = 1_000;

/// Some keys, and how many there are in all.
#[derive(Default)]
struct Examples {
    number: u64,
    first: Vec<String>,
}

impl Examples {
    fn take(&mut self, key: &str) {
        self.number += 1;
        if self.first.len() < NAMED {
            self.first.push(key.to_owned());
        }
    }

    fn told(&self) -> String {
        let more = if self.number > self.first.len() as u64 { ", ..." } else { "" };
        format!("{}: {}{more}", count(self.number), self.first.join(", "))
    }
}

#[derive(Default)]
struct Contents {
    objects: u64,
    namespaces: BTreeSet<String>,
    foreign: Examples,
    quarantined: Examples,
    /// With their stamps: how old they are shows when the store's time is known.
    probes: Vec<(String, Stamp)>,
    /// With their numbers of segments, and the stamps of their first ones.
    long_tails: Vec<(String, u64, Stamp)>,
    /// Of the namespace that the LIST is at.
    current: String,
    segments: u64,
    oldest: Option<Stamp>,
}

impl Contents {
    fn take(&mut self, listed: &Listed) {
        self.objects += 1;
        let object = Object::of(&listed.key);
        if let Some(name) = object.namespace() {
            if !self.namespaces.contains(name) {
                self.namespaces.insert(name.to_owned());
            }
            if matches!(object, Object::Segment { .. }) {
                if name != self.current {
                    self.end_namespace();
                    name.clone_into(&mut self.current);
                }
                self.segments += 1;
                self.oldest = Some(self.oldest.map_or(listed.stamp, |oldest| oldest.min(listed.stamp)));
            }
        }
        match object {
            Object::Foreign => self.foreign.take(&listed.key),
            Object::Quarantined => self.quarantined.take(&listed.key),
            Object::Probe => {
                // In the order of their keys, which is none of age: a few stand for all.
                if self.probes.len() < PROBES {
                    self.probes.push((listed.key.clone(), listed.stamp));
                }
            }
            Object::Segment { .. } | Object::Rollup { .. } | Object::Legacy { .. } => {}
        }
    }

    fn end_namespace(&mut self) {
        if let Some(oldest) = self.oldest.take().filter(|_| self.segments > LONG_TAIL) {
            self.long_tails.push((self.current.clone(), self.segments, oldest));
        }
        self.segments = 0;
    }
}

pub async fn examine(site: &Site, report: &mut Report<'_>) -> Result<(), Failure> {
    let mut contents = Contents::default();
    let progress = report.output.progress("objects", 0);
    let now = objects::each(site, METADATA, &progress, |listed| contents.take(&listed)).await?;
    progress.finish_and_clear();
    contents.end_namespace();
    let (objects, namespaces) = (contents.objects, contents.namespaces.len() as u64);
    report.ok("objects", format!("{}, {}", many(objects, "object"), many(namespaces, "namespace")))?;
    if contents.foreign.number > 0 {
        let change = "find out who put them there and delete them: each is listed at every tick of every replica";
        report.warning("foreign objects", contents.foreign.told(), change)?;
    }
    if contents.quarantined.number > 0 {
        let change = "see what is in them, write it again where that is due, and delete them";
        report.warning("quarantined", contents.quarantined.told(), change)?;
    }
    let old: Vec<&str> = contents.probes.iter().filter(|(_, stamp)| now.since(*stamp) > LEFTOVER).map(|(key, _)| key.as_str()).collect();
    if let Some(first) = old.first() {
        let change = "nothing: doctor without --read-only deletes them, and so does the next journal that writes to a bucket";
        report.warning("left by a probe", format!("{}: {first}, ...", count(old.len() as u64)), change)?;
    }
    let benches: Vec<&str> = contents.namespaces.iter().map(String::as_str).filter(|name| crate::commands::bench::is_bench(name)).collect();
    if let Some(first) = benches.first() {
        let change = format!("delete what is below .metadata/{first}/ where that bench no longer runs");
        report.warning("left by a bench", benches.join(", "), &change)?;
    }
    let mut long_tails = Examples::default();
    for (name, segments, oldest) in &contents.long_tails {
        if now.since(*oldest) > OLD {
            long_tails.take(&format!("{} with {} segments", shown(name), count(*segments)));
        }
    }
    if long_tails.number > 0 {
        let change = "see that a process that may write has them open, and that nothing in them is unreadable: nobody folds them";
        report.warning("long tails", long_tails.told(), change)?;
    }
    Ok(())
}

fn many(number: u64, what: &str) -> String {
    format!("{} {what}{}", count(number), if number == 1 { "" } else { "s" })
}
