//! `verify`: replays namespaces from their objects, and looks for what should not be there.

use crate::arguments::StoreArguments;
use crate::failure::Failure;
use crate::objects::{self, Object};
use crate::output::{Output, Tone, count};
use crate::site::{Site, name_of, shown};
use futures_util::{StreamExt, stream};
use indicatif::ProgressBar;
use opjournal::environment::compute;
use opjournal::journal::objects::{
    Chain, Content, Count, METADATA, Mark, Place, Places, Proof, QUARANTINE, Rollup, Segment, SegmentKey, read as read_rollup,
};
use opjournal::state::State;
use opjournal::store::probe::LEFTOVER;
use opjournal::time::Stamp;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// So many bodies are on their way at once.
const AT_ONCE: usize = 16;
/// How often a namespace is looked at anew because it was folded meanwhile.
const ATTEMPTS: usize = 5;
/// What should be gone after a minute may wait for a replica: so long it is nothing to speak of.
const LEFT: Duration = Duration::from_secs(24 * 3600);

/// How bad something is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// Worth knowing.
    Note,
    /// Something is lost, cannot be read, or will be.
    Bad,
}

/// What was found.
struct Finding {
    namespace: Option<String>,
    weight: Weight,
    /// A word for programs.
    kind: &'static str,
    object: Option<String>,
    message: String,
}

/// What a namespace turned out to be.
struct Report {
    findings: Vec<Finding>,
    segments: usize,
    folded: u64,
    sha256: Option<String>,
    /// The whole chain could be replayed from its first segment.
    is_whole: bool,
}

impl Report {
    fn find(&mut self, namespace: &str, weight: Weight, kind: &'static str, object: Option<String>, message: String) {
        self.findings.push(Finding { namespace: Some(namespace.to_owned()), weight, kind, object, message });
    }
}

pub async fn verify(store: &StoreArguments, namespace: Option<&str>, repair: bool, output: &Output) -> Result<ExitCode, Failure> {
    let site = Site::open(store, output).await?;
    let names = match namespace {
        Some(name) => {
            site.check_exists(name_of(name)).await?;
            BTreeSet::from([name_of(name).to_owned()])
        }
        None => {
            let progress = output.progress("objects", 0);
            let (names, findings) = survey(&site, &progress).await?;
            progress.finish_and_clear();
            tell(&findings, output)?;
            names
        }
    };
    let mut is_bad = false;
    let progress = output.progress("namespaces", names.len() as u64);
    for name in &names {
        let report = check(&site, name).await?;
        progress.suspend(|| tell_report(name, &report, output))?;
        let mut left = report.findings.iter().filter(|finding| finding.weight == Weight::Bad).count();
        if repair {
            let moved = move_aside(&site, name, &report, output).await?;
            left -= moved;
        }
        is_bad |= left > 0;
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(if is_bad { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// The namespaces of a store, and what lies between them: nothing that is bad.
async fn survey(site: &Site, progress: &ProgressBar) -> Result<(BTreeSet<String>, Vec<Finding>), Failure> {
    let mut names = BTreeSet::new();
    let mut foreign: Vec<String> = Vec::new();
    let (mut more_foreign, mut quarantined, mut probes) = (0_u64, 0_u64, Vec::new());
    let now = objects::each(site, METADATA, progress, |listed| match Object::of(&listed.key) {
        Object::Quarantined => quarantined += 1,
        Object::Probe => probes.push(listed.stamp),
        Object::Foreign if foreign.len() < 20 => foreign.push(listed.key),
        Object::Foreign => more_foreign += 1,
        object => names.extend(object.namespace().filter(|name| !names.contains(*name)).map(str::to_owned)),
    });
    let now = now.await?;
    let mut findings: Vec<Finding> = Vec::new();
    let mut note = |kind, object, message| findings.push(Finding { namespace: None, weight: Weight::Note, kind, object, message });
    for key in foreign {
        note("foreign", Some(key), "is no object of a journal, and nobody reads it".to_owned());
    }
    if more_foreign > 0 {
        note("foreign", None, format!("{} more objects are none of a journal", count(more_foreign)));
    }
    if quarantined > 0 {
        note("quarantined", None, format!("{} segments were moved aside, to {QUARANTINE}", count(quarantined)));
    }
    let old = probes.iter().filter(|stamp| now.since(**stamp) > LEFTOVER).count() as u64;
    if old > 0 {
        note("probe", None, format!("{} objects are left of a test of the store; the next one removes them", count(old)));
    }
    Ok((names, findings))
}

/// One look at everything of a namespace. What it shows belongs together: the LIST comes first, so that the rollup is none that is older than
/// what it is joined with.
struct Look {
    now: Stamp,
    places: Vec<Place>,
    rollup: Option<Result<Rollup, String>>,
    legacy: Option<Vec<u8>>,
    segments: BTreeMap<SegmentKey, Arc<Segment>>,
}

async fn look(site: &Site, name: &str) -> Result<Option<Look>, Failure> {
    let at = Places::of(name)?;
    let (places, now) = objects::places(site, &at).await?;
    let depth = site.settings.limits.depth;
    let rollup = match objects::get(site, &at.rollup, None).await? {
        Some(body) => compute(&site.environment, move || read_rollup(body.into(), depth)).await,
        None => None,
    };
    let legacy = objects::get(site, &at.legacy, None).await?;
    let bodies = stream::iter(places.clone()).map(|place| {
        let at = &at;
        async move {
            let body = objects::get(site, &at.segment(&place.key), None).await?;
            Ok::<_, Failure>(body.map(|body| Segment::read(place.key.clone(), &body, &site.settings.limits)))
        }
    });
    let mut bodies = bodies.buffer_unordered(AT_ONCE);
    let mut segments = BTreeMap::new();
    while let Some(segment) = bodies.next().await {
        let Some(segment) = segment? else { return Ok(None) };
        segments.insert(segment.key.clone(), segment);
    }
    Ok(Some(Look { now, places, rollup, legacy, segments }))
}

async fn check(site: &Site, name: &str) -> Result<Report, Failure> {
    for _ in 0..ATTEMPTS {
        if let Some(look) = look(site, name).await? {
            let depth = site.settings.limits.depth;
            let owned = name.to_owned();
            let judged = compute(&site.environment, move || judge(&owned, &look, depth)).await;
            return judged.ok_or_else(|| Failure::Found(format!("the check of namespace {:?} was given up", shown(name))));
        }
    }
    Err(Failure::Found(format!("namespace {:?} was folded again and again while it was looked at", shown(name))))
}

fn judge(name: &str, look: &Look, depth: usize) -> Report {
    let mut report = Report { findings: Vec::new(), segments: look.places.len(), folded: 0, sha256: None, is_whole: false };
    let Ok(at) = Places::of(name) else { return report };
    for segment in look.segments.values() {
        if let Content::Unreadable { reason, newer_format } = &segment.content {
            let (kind, then) = match newer_format {
                true => ("newer-format", "a newer version of the library reads it"),
                false => ("unreadable", "--repair moves it aside"),
            };
            report.find(name, Weight::Bad, kind, Some(at.segment(&segment.key)), format!("cannot be read: {reason}; {then}"));
        }
    }
    let (mut state, mark, proof) = match &look.rollup {
        Some(Ok(rollup)) => (rollup.state.clone(), rollup.head.mark.clone(), rollup.head.proof.clone()),
        Some(Err(reason)) => {
            let message = format!("cannot be read: {reason}; put an earlier version of it back (docs/operating.md)");
            report.find(name, Weight::Bad, "rollup", Some(at.rollup.clone()), message);
            return report;
        }
        None => {
            let legacy = look.legacy.as_ref().map(|text| State::read(text.clone().into(), depth));
            if let Some(Err(error)) = &legacy {
                report.find(
                    name,
                    Weight::Bad,
                    "legacy",
                    Some(at.legacy.clone()),
                    format!("is no JSON object ({error}), and counts as absent"),
                );
            }
            (legacy.and_then(Result::ok).unwrap_or_else(State::empty), Mark::zero(), Some(Proof::empty()))
        }
    };
    let held = proof.as_ref().map_or(Count::ZERO, Proof::total);
    report.folded = held.folded;
    if let Some(proof) = &proof {
        let listed: BTreeSet<&SegmentKey> = look.places.iter().map(|place| &place.key).collect();
        // Of a chain that can be seen whole, nothing has to be believed.
        let folded: Vec<&Place> = look.places.iter().filter(|place| proof.folded.contains_key(&place.key)).collect();
        if proof.since == Stamp::ZERO && folded.len() as u64 == proof.count && proof.folded.keys().all(|key| listed.contains(key)) {
            match replay_whole(look, &folded, proof, depth) {
                Ok(is_whole) => report.is_whole = is_whole,
                Err(message) => report.find(name, Weight::Bad, "chain", Some(at.rollup.clone()), message),
            }
        }
        let old = folded.iter().filter(|place| look.now.since(proof.folded[&place.key]) > LEFT).count() as u64;
        if old > 0 {
            report.find(
                name,
                Weight::Note,
                "left",
                None,
                format!("{} folded segments are not deleted since a day: does nobody have it open who may?", count(old)),
            );
        }
    }
    let counts = |place: &&Place| match &proof {
        Some(proof) => !proof.folded.contains_key(&place.key),
        None => !mark.covers(place),
    };
    let mut waiting = 0_u64;
    for place in look.places.iter().filter(counts) {
        let segment = &look.segments[&place.key];
        if segment.folded() > held && proof.is_some() {
            let known = segment.folded();
            let message = format!(
                "says that {} segments were folded, and the rollup knows of {}: a newer rollup was lost",
                known.folded, held.folded
            );
            report.find(name, Weight::Bad, "rollup-lost", Some(at.segment(&place.key)), message);
        }
        if mark.covers(place) {
            report.find(
                name,
                Weight::Note,
                "stray",
                Some(at.segment(&place.key)),
                "surfaced late; it counts, and the next fold takes it in".to_owned(),
            );
        }
        if segment.is_void(place.stamp) {
            report.find(
                name,
                Weight::Note,
                "void",
                Some(at.segment(&place.key)),
                "came after it had expired, and counts nowhere".to_owned(),
            );
        }
        if look.now.since(place.stamp) > LEFT {
            waiting += 1;
        }
        state.apply(segment.effective_ops(place.stamp));
    }
    if waiting > 0 {
        report.find(
            name,
            Weight::Note,
            "unfolded",
            None,
            format!("{} segments wait for a fold since a day: does nobody have it open who may write?", count(waiting)),
        );
    }
    report.sha256 = Some(state.sha256());
    report
}

/// Replays everything that was ever folded, in the order of folding, and holds the chain of the rollup against it. Whether its state is what that makes
/// of the legacy object, or of nothing; it need not be: one that was imported began with what was imported.
fn replay_whole(look: &Look, folded: &[&Place], proof: &Proof, depth: usize) -> Result<bool, String> {
    let mut order: Vec<&Place> = folded.to_vec();
    order.sort_by_key(|place| (proof.folded[&place.key], (*place).clone()));
    let chain = order.iter().fold(Chain::START, |chain, place| chain.link(place));
    if chain != proof.chain {
        return Err(format!("its chain is {}, and its segments make {chain}: stamps or order are not those that were folded", proof.chain));
    }
    let legacy = look.legacy.as_ref().and_then(|text| State::read(text.clone().into(), depth).ok());
    let mut state = legacy.unwrap_or_else(State::empty);
    for place in order {
        state.apply(look.segments[&place.key].effective_ops(place.stamp));
    }
    Ok(match &look.rollup {
        Some(Ok(rollup)) => rollup.state.sha256() == state.sha256(),
        _ => true,
    })
}

fn tell(findings: &[Finding], output: &Output) -> Result<(), Failure> {
    for finding in findings {
        let place = finding.object.as_deref().or(finding.namespace.as_deref().map(shown)).unwrap_or("the store");
        let value = json!({
            "namespace": finding.namespace, "object": finding.object, "kind": finding.kind,
            "bad": finding.weight == Weight::Bad, "message": finding.message,
        });
        output.answer(value, || {
            let line = format!("{}  {place}: {}", if finding.weight == Weight::Bad { "bad " } else { "note" }, finding.message);
            output.line(if finding.weight == Weight::Bad { output.toned(Tone::Bad, &line) } else { line })
        })?;
    }
    Ok(())
}

fn tell_report(name: &str, report: &Report, output: &Output) -> Result<(), Failure> {
    tell(&report.findings, output)?;
    let value = json!({
        "namespace": name, "segments": report.segments, "folded": report.folded, "sha256": report.sha256, "replayed_from_the_first": report.is_whole,
    });
    output.answer(value, || {
        let how = match (&report.sha256, report.is_whole) {
            (None, _) => "its state cannot be told".to_owned(),
            (Some(sha256), true) => format!("sha256 {sha256}, replayed from its first segment"),
            (Some(sha256), false) => format!("sha256 {sha256}"),
        };
        output.line(format!("{}: {} segments, {} folded; {how}", shown(name), count(report.segments as u64), count(report.folded)))
    })
}

/// Moves aside what cannot be read and can be spared; returns how many findings that settles.
async fn move_aside(site: &Site, name: &str, report: &Report, output: &Output) -> Result<usize, Failure> {
    let unreadable: Vec<&str> =
        report.findings.iter().filter(|finding| finding.kind == "unreadable").filter_map(|finding| finding.object.as_deref()).collect();
    if unreadable.is_empty() {
        return Ok(0);
    }
    let journal = site.mender().await?;
    let namespace = journal.namespace(name, site.deadline()).await?;
    let mut moved = 0;
    for object in unreadable {
        let key = object.rsplit('/').next().unwrap_or(object);
        let aside = namespace.quarantine(key, site.deadline()).await?;
        moved += 1;
        output.answer(json!({ "namespace": name, "object": object, "moved_to": aside }), || {
            output.line(format!("moved {object} to {aside}"))
        })?;
    }
    site.close(&journal).await?;
    Ok(moved)
}
