//! `ls`: the namespaces of a store, and what is in one.

use super::get::ask_value;
use crate::arguments::StoreArguments;
use crate::failure::Failure;
use crate::objects::{self, Summary};
use crate::output::{Output, Tone, age, count, size};
use crate::site::{Site, name_of, shown};
use opjournal::journal::objects::{Head, Places, read_head};
use opjournal::time::Stamp;
use serde_json::{Value, json};

/// So many names are asked for at a time.
const NAMES: usize = 1000;
/// What of a rollup is read for its proof and mark.
const HEAD: u64 = 1 << 20;
/// How many unreadable segments are shown to people.
const MOST_UNREADABLE: usize = 20;

pub async fn namespaces(store: &StoreArguments, output: &Output) -> Result<(), Failure> {
    let site = Site::open(store, output).await?;
    let progress = output.progress("objects", 0);
    let (all, now) = objects::summaries(&site, &progress).await?;
    progress.finish_and_clear();
    if output.is_json() {
        return all.iter().try_for_each(|summary| output.json(&of_summary(summary)));
    }
    if all.is_empty() {
        output.note(format!("there are no namespaces in {}", site.url()));
        return Ok(());
    }
    let rows = all.iter().map(|summary| {
        vec![
            shown(&summary.name).to_owned(),
            summary.rollup_bytes.or(summary.legacy_bytes).map_or_else(|| "-".to_owned(), size),
            count(summary.segments),
            size(summary.segment_bytes),
            since(now, summary.rollup_stamp),
            since(now, summary.newest),
        ]
    });
    output.table(&["NAMESPACE", "ROLLUP", "SEGMENTS", "BYTES", "LAST FOLD", "LAST CHANGE"], &[1, 2, 3], rows)
}

fn of_summary(summary: &Summary) -> Value {
    let text = |stamp: Option<Stamp>| stamp.map(|stamp| stamp.to_string());
    json!({
        "namespace": summary.name,
        "segments": summary.segments,
        "segment_bytes": summary.segment_bytes,
        "oldest_segment": text(summary.oldest),
        "newest": text(summary.newest),
        "rollup_bytes": summary.rollup_bytes,
        "rollup_stamp": text(summary.rollup_stamp),
        "legacy_bytes": summary.legacy_bytes,
    })
}

fn since(now: Stamp, then: Option<Stamp>) -> String {
    then.map_or_else(|| "-".to_owned(), |then| age(now.since(then)))
}

pub async fn namespace(store: &StoreArguments, name: &str, output: &Output) -> Result<(), Failure> {
    let site = Site::open(store, output).await?;
    let journal = site.reader().await?;
    let namespace = site.existing(&journal, name).await?;
    let stats = journal.stats();
    let figures = &stats["namespaces"][namespace.name()];
    let mut names: Vec<Value> = Vec::new();
    let mut query = json!({ "op": "Names", "Limit": NAMES });
    loop {
        let mut page = ask_value(&namespace, &query)?;
        if let Value::Array(items) = page["items"].take() {
            names.extend(items);
        }
        match page.get("next") {
            Some(next) => query["After"] = next.clone(),
            None => break,
        }
    }
    let listed = Listed::of(&site, name_of(name)).await?;
    if output.is_json() {
        return output.json(&json!({
            "namespace": namespace.name(),
            "state_bytes": figures["state_bytes"],
            "mark": figures["mark"],
            "folded": figures["folded"],
            "tail": figures["tail"],
            "strays": figures["strays"],
            "unreadable": figures["unreadable"],
            "rollup_bytes": listed.summary.rollup_bytes,
            "last_fold": listed.last_fold.map(|at| at.to_string()),
            "oldest_segment": listed.summary.oldest.map(|stamp| stamp.to_string()),
            "names": names,
        }));
    }
    let number = |member: &str| figures[member].as_u64().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    output.line(format!("state       {} in {} names", size(number("state_bytes")), count(names.len() as u64)))?;
    output.line(match listed.summary.rollup_bytes {
        Some(bytes) => format!(
            "rollup      {}, {} segments folded, the last {}",
            size(bytes),
            count(number("folded")),
            since(listed.now, listed.last_fold)
        ),
        None => "rollup      none: nothing was ever folded".to_owned(),
    })?;
    if listed.summary.rollup_bytes.is_some() {
        output.line(format!("mark        {} {}", text(&figures["mark"]["lm"]), text(&figures["mark"]["key"])))?;
    }
    output.line(match number("tail") {
        0 => "tail        none".to_owned(),
        tail => format!(
            "tail        {} segments, {}; the oldest {}",
            count(tail),
            size(listed.summary.segment_bytes),
            since(listed.now, listed.summary.oldest)
        ),
    })?;
    let unreadable = figures["unreadable"].as_array().map_or(&[][..], Vec::as_slice);
    for segment in unreadable.iter().take(MOST_UNREADABLE) {
        output.line(output.toned(Tone::Bad, &format!("unreadable  {}", text(segment))))?;
    }
    if unreadable.len() > MOST_UNREADABLE {
        let more = count((unreadable.len() - MOST_UNREADABLE) as u64);
        output.line(output.toned(Tone::Bad, &format!("unreadable  {more} more; --json names them all")))?;
    }
    output.line("")?;
    let rows = names.iter().map(|item| vec![text(&item["name"]), text(&item["shape"]), length(item)]);
    output.table(&["NAME", "SHAPE", "LENGTH"], &[2], rows)
}

/// Of a map or a list.
fn length(item: &Value) -> String {
    let is_one = matches!(item["shape"].as_str(), Some("int" | "scalar"));
    item["len"].as_u64().filter(|_| !is_one).map_or_else(|| "-".to_owned(), count)
}

/// What the store shows of one namespace.
struct Listed {
    summary: Summary,
    last_fold: Option<Stamp>,
    now: Stamp,
}

impl Listed {
    async fn of(site: &Site, name: &str) -> Result<Listed, Failure> {
        let (summary, now) = objects::summary(site, name).await?;
        let last_fold = head(site, name).await?.and_then(|head| head.proof).and_then(|proof| proof.folded.values().max().copied());
        // What was folded last may be deleted by now, and its name gone.
        Ok(Listed { last_fold: last_fold.or(summary.rollup_stamp), summary, now })
    }
}

/// The head of a namespace's rollup, where there is one.
async fn head(site: &Site, name: &str) -> Result<Option<Head>, Failure> {
    let places = Places::of(name)?;
    let Some(start) = objects::get(site, &places.rollup, Some(HEAD)).await? else { return Ok(None) };
    read_head(&start, site.settings.limits.depth).map_err(|reason| Failure::Found(format!("{} cannot be read: {reason}", places.rollup)))
}
