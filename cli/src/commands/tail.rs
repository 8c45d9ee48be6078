//! `tail`: segments as they land.

use crate::arguments::StoreArguments;
use crate::failure::Failure;
use crate::objects;
use crate::output::{Output, Tone, age};
use crate::site::{Site, name_of, shown};
use futures_util::{StreamExt, stream};
use opjournal::journal::objects::{Content, Place, Places, Segment, SegmentKey};
use opjournal::time::Stamp;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// So many bodies are on their way at once.
const AT_ONCE: usize = 8;

pub struct Wanted {
    /// Go on, and look so often.
    pub follow: Option<Duration>,
    /// Nothing that was stamped before.
    pub since: Option<Since>,
    /// The last so many of what is there when it begins.
    pub last: Option<usize>,
}

/// From when on.
#[derive(Clone, Copy, Debug)]
pub enum Since {
    Ago(Duration),
    At(Stamp),
}

/// `10s`, `5m`, `2h`, `3d`, or a time as RFC 3339.
impl std::str::FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Since, String> {
        if let Some(stamp) = Stamp::parse(text) {
            return Ok(Since::At(stamp));
        }
        let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
        let length = units.iter().find_map(|(unit, seconds)| Some(text.strip_suffix(unit)?.parse::<u32>().ok()? as u64 * seconds));
        length
            .map(|seconds| Since::Ago(Duration::from_secs(seconds)))
            .ok_or_else(|| "a length of time such as 30s, 5m, 2h or 3d, or a time such as 2026-03-07T06:35:06Z, is expected".to_owned())
    }
}

pub async fn tail(store: &StoreArguments, name: &str, wanted: &Wanted, output: &Output) -> Result<(), Failure> {
    let site = Site::open(store, output).await?;
    let name = name_of(name);
    let places = Places::of(name)?;
    if wanted.follow.is_none() {
        site.check_exists(name).await?;
    }
    let mut seen: BTreeSet<SegmentKey> = BTreeSet::new();
    let mut is_first = true;
    loop {
        let (listed, now) = objects::places(&site, &places).await?;
        let from = match wanted.since {
            Some(Since::At(stamp)) => Some(stamp),
            Some(Since::Ago(length)) => Some(now - length),
            None => None,
        };
        // What is shown late may be stamped earlier than what was shown before it.
        let mut new: Vec<Place> = listed.iter().filter(|place| !seen.contains(&place.key)).cloned().collect();
        new.retain(|place| !is_first || from.is_none_or(|from| place.stamp >= from));
        if let Some(last) = wanted.last.filter(|_| is_first) {
            new.drain(..new.len().saturating_sub(last));
        }
        // Only what is listed can come again.
        seen = listed.into_iter().map(|place| place.key).collect();
        show(&site, &places, new, now, output).await?;
        let Some(every) = wanted.follow else { break };
        is_first = false;
        tokio::time::sleep(every).await;
    }
    if !output.is_json() && seen.is_empty() {
        output.note(format!("no segment of {:?} is in {}: all are folded", shown(name), site.url()));
    }
    Ok(())
}

async fn show(site: &Site, places: &Places, new: Vec<Place>, now: Stamp, output: &Output) -> Result<(), Failure> {
    let bodies = stream::iter(new).map(|place| async {
        let body = objects::get(site, &places.segment(&place.key), None).await;
        (place, body)
    });
    let mut bodies = bodies.buffered(AT_ONCE);
    while let Some((place, body)) = bodies.next().await {
        // One that was folded and deleted since.
        let Some(body) = body? else { continue };
        let segment = Segment::read(place.key.clone(), &body, &site.settings.limits);
        show_one(&place, &segment, &body, now, output)?;
    }
    Ok(())
}

fn show_one(place: &Place, segment: &Arc<Segment>, body: &[u8], now: Stamp, output: &Output) -> Result<(), Failure> {
    let ops = ops_of(body);
    let reason = match &segment.content {
        Content::Unreadable { reason, .. } => Some(reason.as_str()),
        Content::Readable(_) => None,
    };
    let is_void = segment.is_void(place.stamp);
    if output.is_json() {
        let about = json!({
            "key": place.key.as_str(), "stamp": place.stamp.to_string(), "writer": segment.writer(), "void": is_void, "unreadable": reason,
        })
        .to_string();
        let ops: Vec<&str> = ops.iter().map(|op| op.get()).collect();
        return output.line(format!("{},\"ops\":[{}]}}", &about[..about.len() - 1], ops.join(",")));
    }
    let writer = segment.writer().map_or("", |writer| writer.get(..8).unwrap_or(writer));
    let mut line = format!("{}  {:>10}  {:8}  {}", place.stamp, age(now.since(place.stamp)), writer, place.key);
    if is_void {
        line.push_str("  void: it came too late and counts nowhere");
    }
    match reason {
        Some(reason) => output.line(output.toned(Tone::Bad, &format!("{line}  unreadable: {reason}"))),
        None => {
            output.line(line)?;
            ops.iter().try_for_each(|op| output.line(format!("    {}", op.get())))
        }
    }
}

/// The ops of a segment as they stand in it; none where it is damaged.
fn ops_of(body: &[u8]) -> Vec<&RawValue> {
    #[derive(Deserialize)]
    struct Body<'b> {
        #[serde(borrow, default)]
        ops: Option<Vec<&'b RawValue>>,
    }
    serde_json::from_slice::<Body>(body).ok().and_then(|body| body.ops).unwrap_or_default()
}
