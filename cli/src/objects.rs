//! What lies in a store, told from LIST alone.

use crate::failure::Failure;
use crate::site::Site;
use futures_util::StreamExt;
use indicatif::ProgressBar;
use opjournal::environment::within;
use opjournal::journal::objects::{METADATA, Place, Places, SegmentKey};
use opjournal::store::{self, Get, GetOptions, Kind, Listed, Page};
use opjournal::time::Stamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long one request may take, and how often it is sent.
pub const REQUEST: Duration = Duration::from_secs(30);
const ATTEMPTS: u32 = 3;

/// What an object is, by its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    Segment {
        namespace: String,
        key: SegmentKey,
    },
    Rollup {
        namespace: String,
    },
    Legacy {
        namespace: String,
    },
    /// Moved aside by a person.
    Quarantined,
    /// Of a test of the store.
    Probe,
    /// Nothing of a journal's.
    Foreign,
}

impl Object {
    pub fn of(key: &str) -> Object {
        let Some(name) = key.strip_prefix(METADATA) else { return Object::Foreign };
        let Some((directory, name)) = name.split_once('/') else {
            let namespace = name.strip_suffix(".json").filter(|namespace| Places::of(namespace).is_ok());
            return namespace.map_or(Object::Foreign, |namespace| Object::Legacy { namespace: namespace.to_owned() });
        };
        let namespace = match directory {
            ".quarantine" => return Object::Quarantined,
            ".probe" => return Object::Probe,
            ".root" => String::new(),
            _ if !directory.is_empty() && Places::of(directory).is_ok() => directory.to_owned(),
            _ => return Object::Foreign,
        };
        match SegmentKey::parse(name) {
            _ if name == "rollup.json" => Object::Rollup { namespace },
            Some(key) => Object::Segment { namespace, key },
            None => Object::Foreign,
        }
    }

    /// The namespace that it belongs to.
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Object::Segment { namespace, .. } | Object::Rollup { namespace } | Object::Legacy { namespace } => Some(namespace),
            Object::Quarantined | Object::Probe | Object::Foreign => None,
        }
    }
}

/// What a LIST shows of a namespace.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    pub name: String,
    pub segments: u64,
    pub segment_bytes: u64,
    /// Of the segments.
    pub oldest: Option<Stamp>,
    /// Of anything.
    pub newest: Option<Stamp>,
    pub rollup_bytes: Option<u64>,
    pub rollup_stamp: Option<Stamp>,
    pub legacy_bytes: Option<u64>,
}

/// A page of a LIST.
pub async fn page(site: &Site, prefix: &str, after: Option<&str>) -> Result<Page, Failure> {
    let mut attempt = 1;
    loop {
        let answer = within(&site.environment, REQUEST, site.store.list(prefix, after)).await;
        let failure = match answer {
            Ok(Ok(page)) => return Ok(page),
            Ok(Err(failure)) => failure,
            Err(_) => store::Failure::new(Kind::Unavailable, format!("LIST {prefix}: no answer within {} s", REQUEST.as_secs())),
        };
        if failure.kind != Kind::Unavailable || attempt == ATTEMPTS {
            return Err(Failure::from(failure.into_error().with("store", site.url())));
        }
        attempt += 1;
    }
}

/// Calls `take` with each object below `prefix`, in the order of their keys; returns the store's time when it began. Only a page is held at a
/// time.
pub async fn each(site: &Site, prefix: &str, progress: &ProgressBar, mut take: impl FnMut(Listed)) -> Result<Stamp, Failure> {
    let mut began = None;
    let mut after: Option<String> = None;
    loop {
        let page = page(site, prefix, after.as_deref()).await?;
        began = began.or(page.date);
        progress.inc(page.objects.len() as u64);
        page.objects.into_iter().for_each(&mut take);
        match page.next {
            Some(next) => after = Some(next),
            None => return began.ok_or_else(|| Failure::Found(format!("{} answers without Date", site.url()))),
        }
    }
}

/// Whether anything of a namespace is in the store.
pub async fn exists(site: &Site, name: &str) -> Result<bool, Failure> {
    let places = Places::of(name)?;
    if !page(site, &places.prefix, None).await?.objects.is_empty() {
        return Ok(true);
    }
    Ok(page(site, &places.legacy, None).await?.objects.iter().any(|object| object.key == places.legacy))
}

/// All namespaces, by name, and the store's time when they were listed.
pub async fn summaries(site: &Site, progress: &ProgressBar) -> Result<(Vec<Summary>, Stamp), Failure> {
    let mut all: BTreeMap<String, Summary> = BTreeMap::new();
    let now = each(site, METADATA, progress, |listed| take_in(&mut all, &listed)).await?;
    Ok((all.into_values().collect(), now))
}

/// One namespace, and the store's time when it was listed.
pub async fn summary(site: &Site, name: &str) -> Result<(Summary, Stamp), Failure> {
    let places = Places::of(name)?;
    let mut all = BTreeMap::new();
    let hidden = ProgressBar::hidden();
    let now = each(site, &places.prefix, &hidden, |listed| take_in(&mut all, &listed)).await?;
    each(site, &places.legacy, &hidden, |listed| take_in(&mut all, &listed)).await?;
    Ok((all.remove(name).unwrap_or_default(), now))
}

/// The segments of a namespace in canonical order, and the store's time when they were listed.
pub async fn places(site: &Site, at: &Places) -> Result<(Vec<Place>, Stamp), Failure> {
    let mut places = Vec::new();
    let hidden = ProgressBar::hidden();
    let listing = each(site, &at.prefix, &hidden, |listed| {
        if let Object::Segment { key, .. } = Object::of(&listed.key) {
            places.push(Place { stamp: listed.stamp, key });
        }
    });
    let now = listing.await?;
    places.sort_unstable();
    Ok((places, now))
}

/// A whole object, or its first bytes up to `most`; nothing where it is not there.
pub async fn get(site: &Site, key: &str, most: Option<u64>) -> Result<Option<Vec<u8>>, Failure> {
    let mut attempt = 1;
    loop {
        let failure = match read(site, key, most).await {
            Ok(body) => return Ok(Some(body)),
            Err(failure) if failure.kind == Kind::NotFound => return Ok(None),
            Err(failure) => failure,
        };
        if failure.kind != Kind::Unavailable || attempt == ATTEMPTS {
            return Err(failure.into());
        }
        attempt += 1;
    }
}

/// A body may take as long as it likes, but not stand still.
async fn read(site: &Site, key: &str, most: Option<u64>) -> Result<Vec<u8>, store::Failure> {
    let options = GetOptions { range: most.map(|most| (0, most)), ..GetOptions::default() };
    let late = |_| store::Failure::new(Kind::Unavailable, format!("GET {key}: nothing came for {} s", REQUEST.as_secs()));
    let answer = within(&site.environment, REQUEST, site.store.get(key, options)).await.map_err(late)?;
    let Get::Found(mut object) = answer? else {
        return Err(store::Failure::new(Kind::Refused, format!("GET {key}: the answer makes no sense")));
    };
    let mut bytes = Vec::new();
    while let Some(chunk) = within(&site.environment, REQUEST, object.body.next()).await.map_err(late)? {
        bytes.extend_from_slice(&chunk?);
    }
    Ok(bytes)
}

/// The bytes of an object that is being read, whose own deadline the caller keeps.
pub async fn body(mut object: store::Object) -> Result<Vec<u8>, store::Failure> {
    let mut bytes = Vec::new();
    while let Some(chunk) = object.body.next().await {
        bytes.extend_from_slice(&chunk?);
    }
    Ok(bytes)
}

fn take_in(all: &mut BTreeMap<String, Summary>, listed: &Listed) {
    let object = Object::of(&listed.key);
    let Some(name) = object.namespace() else { return };
    let summary = all.entry(name.to_owned()).or_insert_with(|| Summary { name: name.to_owned(), ..Summary::default() });
    summary.newest = summary.newest.max(Some(listed.stamp));
    match object {
        Object::Segment { .. } => {
            summary.segments += 1;
            summary.segment_bytes += listed.size;
            summary.oldest = Some(summary.oldest.map_or(listed.stamp, |oldest| oldest.min(listed.stamp)));
        }
        Object::Rollup { .. } => {
            summary.rollup_bytes = Some(listed.size);
            summary.rollup_stamp = Some(listed.stamp);
        }
        Object::Legacy { .. } => summary.legacy_bytes = Some(listed.size),
        Object::Quarantined | Object::Probe | Object::Foreign => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_told_by_their_keys() {
        let segment = "segment-01a203f7-e26c-7000-bac2-c23852fd1b96.json";
        let key = || SegmentKey::parse(segment).expect("a segment");
        for (path, object) in [
            (format!(".metadata/orders/{segment}"), Object::Segment { namespace: "orders".into(), key: key() }),
            (format!(".metadata/.root/{segment}"), Object::Segment { namespace: String::new(), key: key() }),
            (".metadata/orders/rollup.json".into(), Object::Rollup { namespace: "orders".into() }),
            (".metadata/orders.json".into(), Object::Legacy { namespace: "orders".into() }),
            (".metadata/.json".into(), Object::Legacy { namespace: String::new() }),
            (format!(".metadata/.quarantine/orders/{segment}"), Object::Quarantined),
            (".metadata/.probe/00/1".into(), Object::Probe),
            (".metadata/orders/notes.txt".into(), Object::Foreign),
            (format!(".metadata/orders/x/{segment}"), Object::Foreign),
            (format!(".metadata/a.b/{segment}"), Object::Foreign),
            (".metadata/a.b.json".into(), Object::Foreign),
            ("orders/rollup.json".into(), Object::Foreign),
        ] {
            assert_eq!(Object::of(&path), object, "{path}");
        }
    }
}
