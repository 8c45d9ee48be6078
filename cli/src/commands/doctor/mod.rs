//! `doctor`: is a store fit for a journal?
//!
//! This file asks what every store has to answer; [`bucket`] and [`directory`] what only one kind has; [`contents`] looks at what lies there.

mod bucket;
mod contents;
mod directory;

use crate::arguments::StoreArguments;
use crate::failure::Failure;
use crate::observed::Observed;
use crate::output::{Output, Tone};
use crate::site::Site;
use bytes::Bytes;
use opjournal::config::StoreUrl;
use opjournal::environment::within;
use opjournal::journal::objects::METADATA;
use opjournal::store::probe::{self, Proven};
use opjournal::store::{self, Condition, Get, GetOptions, Kind, Listed, Page};
use opjournal::time::Stamp;
use opjournal::{Error, Status};
use serde_json::json;
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// So often a small request is timed.
const TIMED: usize = 5;
/// So many objects are put for their stamps.
const STAMPED: usize = 4;
/// S: how far the clocks of a store's nodes may be apart.
const NODES: Duration = Duration::from_secs(2);
/// How far the local clock may be from the store's before S3 refuses what it signs, and from where on that is worth a word.
const SIGNED: Duration = Duration::from_secs(15 * 60);
const APART: Duration = Duration::from_secs(60);
/// Most requests that were given up are done by then, where they are done at all.
const LATE: Duration = Duration::from_millis(500);
/// What to do about a request that got no answer, or one that says "later".
const AGAIN: &str = "try again; where it stays so, look at the store's own log";
/// Codes of S3 that say that the keys are wrong, not the rights.
const WRONG_KEYS: [&str; 5] = ["SignatureDoesNotMatch", "InvalidAccessKeyId", "ExpiredToken", "InvalidToken", "TokenRefreshRequired"];
/// A request that is slower than this makes every write slow.
const SLOW: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Ok,
    Warning,
    Bad,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Bad => "bad",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Verdict::Ok => Tone::Good,
            Verdict::Warning => Tone::Doubtful,
            Verdict::Bad => Tone::Bad,
        }
    }
}

/// Tells each check as soon as it is done, and counts.
struct Report<'a> {
    output: &'a Output,
    /// By verdict.
    counts: [u64; 3],
}

impl Report<'_> {
    fn ok(&mut self, check: &str, seen: impl AsRef<str>) -> Result<(), Failure> {
        self.tell(Verdict::Ok, check, seen.as_ref(), None)
    }

    fn warning(&mut self, check: &str, seen: impl AsRef<str>, change: &str) -> Result<(), Failure> {
        self.tell(Verdict::Warning, check, seen.as_ref(), Some(change))
    }

    fn bad(&mut self, check: &str, seen: impl AsRef<str>, change: &str) -> Result<(), Failure> {
        self.tell(Verdict::Bad, check, seen.as_ref(), Some(change))
    }

    fn tell(&mut self, verdict: Verdict, check: &str, seen: &str, change: Option<&str>) -> Result<(), Failure> {
        self.counts[verdict as usize] += 1;
        let value = json!({ "check": check, "verdict": verdict.name(), "seen": seen, "do": change });
        self.output.answer(value, || {
            let word = self.output.toned(verdict.tone(), &format!("{:<8}", verdict.name()));
            self.output.line(format!("{word}  {check:<18}  {seen}"))?;
            match change {
                Some(change) => self.output.line(format!("{:30}-> {change}", "")),
                None => Ok(()),
            }
        })
    }

    fn end(&self, url: &str) -> Result<ExitCode, Failure> {
        let [_, warnings, bad] = self.counts;
        let is_fit = bad == 0;
        if !self.output.is_json() {
            let (tone, verdict) = if is_fit { (Tone::Good, "is fit for a journal") } else { (Tone::Bad, "is not fit for a journal") };
            let plural = if warnings == 1 { "" } else { "s" };
            self.output.line(format!("\n{url} {}: {bad} bad, {warnings} warning{plural}", self.output.toned(tone, verdict)))?;
        }
        Ok(if is_fit { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

pub async fn doctor(arguments: &StoreArguments, is_read_only: bool, output: &Output) -> Result<ExitCode, Failure> {
    let mut report = Report { output, counts: [0; 3] };
    let mut site = match Site::open(arguments, output).await {
        Ok(site) => site,
        Err(Failure::Library(error)) => return unopened(&mut report, &arguments.store, *error),
        Err(failure) => return Err(failure),
    };
    let observed = Arc::new(Observed::new(site.store.clone(), site.environment.clone()));
    site.store = observed.clone();
    let prefix = probe::throw_away(&site.environment);
    let mut examination = Examination { site: &site, observed: &observed, report: &mut report, prefix: &prefix, is_read_only };
    let examined = tokio::select! {
        examined = examination.run() => examined,
        () = crate::ending::asked() => Err(Failure::Interrupted),
    };
    if !is_read_only {
        // What could not be deleted was told; the next probe deletes it when it is an hour old.
        let _ = clean(&site, &prefix).await;
        if examined.is_err() {
            // A PUT that was given up may have been done all the same, a moment later.
            tokio::time::sleep(LATE).await;
            let _ = clean(&site, &prefix).await;
        }
    }
    examined?;
    report.end(site.url())
}

/// Nothing could be asked.
fn unopened(report: &mut Report<'_>, url: &str, error: Error) -> Result<ExitCode, Failure> {
    let is_region = error.details.get("member").is_some_and(|member| member == "region");
    match error.status {
        Status::Denied | Status::Unavailable => report.bad(
            "credentials",
            &error.message,
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a --profile, or give the machine a role",
        )?,
        Status::Invalid if is_region => report.bad("region", &error.message, "name the region of the bucket with --region")?,
        _ => return Err(error.into()),
    }
    report.end(url)
}

/// Deletes what is below a prefix of throw-away objects.
async fn clean(site: &Site, prefix: &str) -> Result<(), Failure> {
    let page = crate::objects::page(site, prefix, None).await?;
    let keys: Vec<String> = page.objects.into_iter().map(|listed| listed.key).collect();
    if !keys.is_empty() {
        within(&site.environment, crate::objects::REQUEST, site.store.delete(&keys)).await.ok();
    }
    if let StoreUrl::File { directory } = &site.place {
        // Fails where something is left in it, and that is right.
        let _ = std::fs::remove_dir(directory.join(prefix.trim_end_matches('/')));
    }
    Ok(())
}

struct Examination<'a, 'o> {
    site: &'a Site,
    observed: &'a Observed,
    report: &'a mut Report<'o>,
    /// Of the throw-away objects.
    prefix: &'a str,
    is_read_only: bool,
}

/// Which rights there are.
#[derive(Clone, Copy, Debug, Default)]
struct Rights {
    list: bool,
    get: bool,
    put: bool,
    delete: bool,
}

impl Examination<'_, '_> {
    async fn run(&mut self) -> Result<(), Failure> {
        let s3 = bucket::open(self.site).await?;
        let Some(first) = self.reach().await? else { return Ok(()) };
        let denied = first.as_ref().err();
        if let Some(s3) = &s3 {
            let seen = format!("found in {}", s3.credentials());
            let wrong = denied.filter(|failure| WRONG_KEYS.iter().any(|code| failure.message.contains(code)));
            if let Some(failure) = wrong {
                let change = "correct them, or let them be found elsewhere (--profile); see that --endpoint is the server they are for";
                return self.report.bad("credentials", format!("{seen}; {}", failure.message), change);
            }
            self.report.ok("credentials", seen)?;
        }
        match denied {
            None => self.report.ok("right to list", "granted")?,
            Some(failure) => {
                let change = self.either(failure, "grant s3:ListBucket on the bucket", "grant reading and searching it and all below");
                self.report.bad("right to list", &failure.message, change)?;
            }
        }
        let mut rights = Rights { list: first.is_ok(), ..Rights::default() };
        let first = first.ok().map(|page| page.objects).unwrap_or_default();
        let stamps = if self.is_read_only {
            self.reading(&mut rights, &first).await?;
            first.iter().map(|listed| listed.stamp).collect()
        } else {
            self.writing(&mut rights).await?
        };
        self.precision(&stamps)?;
        self.clocks()?;
        match (&s3, &self.site.place) {
            (Some(s3), _) => bucket::settings(s3, self.is_read_only, self.report).await?,
            (None, StoreUrl::File { directory }) => directory::examine(directory, self.is_read_only, self.report)?,
            (None, _) => {}
        }
        if rights.list { contents::examine(self.site, self.report).await } else { Ok(()) }
    }

    /// One LIST as a journal opens with. Nothing where nothing more can be asked.
    async fn reach(&mut self) -> Result<Option<Result<Page, store::Failure>>, Failure> {
        let mut took = Vec::new();
        let mut first = None;
        for number in 0..TIMED {
            let begun = self.site.environment.now();
            let prefix = if number == 0 { METADATA } else { self.prefix };
            let mut answer = self.bounded(self.site.store.list(prefix, None)).await;
            if answer.as_ref().is_err_and(|failure| failure.kind == Kind::Unavailable) {
                // An answer may get lost; and after one that complains about the time, requests are signed with the store's.
                answer = self.bounded(self.site.store.list(prefix, None)).await;
            }
            took.push(self.site.environment.now().since(begun));
            if let Some(failure) = answer.as_ref().err().filter(|failure| failure.kind != Kind::Denied) {
                let change = match failure.kind {
                    Kind::NoSuchStore => "make the bucket or directory, or correct its name",
                    Kind::Refused => "correct what the store refuses: often --region, --endpoint or --path-style",
                    _ => "see that the store runs and the network and proxies lead there; for servers other than AWS set --endpoint",
                };
                self.report.bad("reachable", &failure.message, change)?;
                return Ok(None);
            }
            first = first.or(Some(answer));
        }
        took.sort_unstable();
        let seen = format!("{TIMED} LISTs took {:.1} to {:.1} ms", milliseconds(took[0]), milliseconds(took[TIMED - 1]));
        match took[TIMED / 2] > SLOW {
            true => self.report.warning("reachable", seen, "use a bucket that is nearer: a write takes one request, a start several")?,
            false => self.report.ok("reachable", seen)?,
        }
        Ok(first)
    }

    /// What a replica that never writes needs.
    async fn reading(&mut self, rights: &mut Rights, listed: &[Listed]) -> Result<(), Failure> {
        let is_absent_seen = self.absent(rights.list).await?;
        let Some(object) = listed.iter().find(|listed| listed.size > 0) else {
            rights.get = is_absent_seen;
            return match is_absent_seen {
                true => self.report.warning("right to get", "there is no object to try it with", "look again when something was written"),
                false => Ok(()),
            };
        };
        let options = GetOptions { range: Some((0, 1)), ..GetOptions::default() };
        rights.get = self.get(&object.key, options).await?;
        Ok(())
    }

    /// What a writer needs. Returns the stamps of some objects that were put.
    async fn writing(&mut self, rights: &mut Rights) -> Result<Vec<Stamp>, Failure> {
        self.absent(rights.list).await?;
        let keys: Vec<String> = (0..STAMPED).map(|number| format!("{}stamp-{number}", self.prefix)).collect();
        let mut took = Vec::new();
        for key in &keys {
            let begun = self.site.environment.now();
            // With the condition that all of a journal's have: a policy may ask for one.
            let put = self.bounded(self.site.store.put(key, Bytes::from_static(b"{}"), Condition::Absent)).await;
            took.push(self.site.environment.now().since(begun));
            if let Err(failure) = put {
                let change = match failure.kind {
                    Kind::Denied => self.either(
                        &failure,
                        "grant s3:PutObject below .metadata/ (with KMS also kms:GenerateDataKey and kms:Decrypt)",
                        "grant writing to it and all below, or mount it for writing",
                    ),
                    Kind::Refused => self.either(
                        &failure,
                        "use a store that takes PUTs with If-None-Match: *",
                        "make room, or use a file system that keeps times to the nanosecond and tells a from A",
                    ),
                    _ => AGAIN,
                };
                self.report.bad("right to put", &failure.message, change)?;
                return Ok(Vec::new());
            }
        }
        took.sort_unstable();
        rights.put = true;
        let seen = format!("granted; {STAMPED} PUTs took {:.1} to {:.1} ms", milliseconds(took[0]), milliseconds(took[STAMPED - 1]));
        self.report.ok("right to put", seen)?;
        rights.get = self.get(&keys[0], GetOptions::default()).await?;
        let mut stamps = Vec::new();
        if rights.list {
            let page = crate::objects::page(self.site, self.prefix, None).await?;
            stamps.extend(page.objects.iter().map(|listed| listed.stamp));
        }
        match self.bounded(self.site.store.delete(&keys)).await {
            Ok(_) => {
                rights.delete = true;
                self.report.ok("right to delete", "granted")?;
            }
            Err(failure) => {
                let change = self.either(
                    &failure,
                    "grant s3:DeleteObject below .metadata/: without it nothing that was folded ever goes, and LIST grows without end",
                    "grant writing to it and all below: what was folded has to go",
                );
                self.report.bad("right to delete", format!("{}; {} is left", failure.message, self.prefix), change)?;
            }
        }
        if rights.list && rights.get {
            self.conditions(rights).await?;
        }
        Ok(stamps)
    }

    /// What an object that is not there looks like: without the right to list the bucket, S3 makes a secret of it.
    async fn absent(&mut self, may_list: bool) -> Result<bool, Failure> {
        let key = format!("{}absent", self.prefix);
        match self.bounded(self.site.store.get(&key, GetOptions::default())).await {
            Err(failure) if failure.kind == Kind::NotFound => {
                self.report.ok("a missing object", "is answered with 404")?;
                Ok(true)
            }
            Err(failure) => {
                let change = match may_list {
                    _ if failure.kind == Kind::Unavailable => AGAIN,
                    true => "grant s3:GetObject below .metadata/, and s3:ListBucket without a condition that shuts .metadata/ out",
                    false => "grant s3:ListBucket: without it a missing object looks forbidden, and a new namespace cannot be opened",
                };
                self.report.bad("a missing object", &failure.message, change)?;
                Ok(false)
            }
            Ok(_) => {
                self.report.bad(
                    "a missing object",
                    format!("{key} is answered though nobody put it"),
                    "leave out what stands before the store",
                )?;
                Ok(false)
            }
        }
    }

    async fn get(&mut self, key: &str, options: GetOptions) -> Result<bool, Failure> {
        let read = async {
            match self.site.store.get(key, options).await? {
                Get::Found(object) => crate::objects::body(object).await.map(drop),
                Get::NotModified { .. } => {
                    Err(store::Failure::new(Kind::Refused, format!("GET {key}: 304 to a request without condition")))
                }
            }
        };
        match self.bounded(read).await {
            Ok(()) => {
                self.report.ok("right to get", "granted")?;
                Ok(true)
            }
            Err(failure) => {
                let change = self.either(
                    &failure,
                    "grant s3:GetObject below .metadata/ (with KMS also kms:Decrypt): PUTs with If-Match need it too",
                    "grant reading it and all below",
                );
                self.report.bad("right to get", &failure.message, change)?;
                Ok(false)
            }
        }
    }

    /// The probe that a journal makes before it first writes.
    async fn conditions(&mut self, rights: &Rights) -> Result<(), Failure> {
        let progress = self.report.output.progress("testing that conditions are kept", 0);
        let mut proven = BTreeSet::new();
        let result = probe::probe_below(self.prefix, &*self.site.store, &self.site.environment, &mut |step| {
            proven.insert(step);
        })
        .await;
        progress.finish_and_clear();
        for step in &proven {
            let (check, seen) = told(*step);
            self.report.ok(check, seen)?;
        }
        let steps = [Proven::ListAfterPut, Proven::Stamps, Proven::ETags, Proven::CreateOnce, Proven::CompareAndSwap, Proven::Races];
        let failed = steps.into_iter().find(|step| !proven.contains(step));
        match (result, failed) {
            // All is proven; that its objects cannot be deleted was told before.
            (Ok(()), _) => Ok(()),
            (Err(_), None) if !rights.delete => Ok(()),
            (Err(error), Some(step)) if error.status == Status::UnsafeStore => {
                let change = "use another store, or a newer version of this one: here acknowledged writes would be lost";
                // The races are about the same as what goes before them.
                let named = error.details.get("ignored").and_then(|ignored| ignored.as_str()).filter(|_| step != Proven::Races);
                self.report.bad(named.unwrap_or(told(step).0), &error.message, change)
            }
            (Err(error), _) => {
                self.report.bad("conditions", &error.message, "try again: as long as this is not proven, a journal does not write")
            }
        }
    }

    fn precision(&mut self, stamps: &[Stamp]) -> Result<(), Failure> {
        if stamps.is_empty() {
            return Ok(());
        }
        let divides = |unit: i128| stamps.iter().all(|stamp| stamp.as_nanos() % unit == 0);
        let (unit, what) = match () {
            () if divides(1_000_000_000) => ("whole seconds", "; what is written within one is ordered by name"),
            () if divides(1_000_000) => ("milliseconds", ""),
            () if divides(1_000) => ("microseconds", ""),
            () => ("nanoseconds", ""),
        };
        self.report.ok("stamps", format!("LastModified is in {unit}{what}"))
    }

    /// The store's clocks among each other, and against the local one.
    fn clocks(&mut self) -> Result<(), Failure> {
        let Some(origin) = self.observed.origin() else {
            return self.report.bad("Date", "no answer carries Date", "leave out what stands before the store, or use another one");
        };
        let apart = origin.contradiction();
        let requests = self.observed.requests().total();
        let seen = format!("Date differs by at least {:.1} s among {requests} answers", apart.as_secs_f64());
        match apart {
            apart if apart > NODES => {
                self.report.bad("clocks of nodes", seen, "set the clocks of the store's nodes by NTP: 2 s are allowed")?
            }
            Duration::ZERO => self.report.ok("clocks of nodes", format!("{requests} answers agree"))?,
            _ => self.report.warning("clocks of nodes", seen, "set the clocks of the store's nodes by NTP: 2 s are allowed")?,
        }
        let now = self.site.environment.now();
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let distance = origin.distance(wall.as_nanos() as i128 - i128::from(now.0));
        let seen = format!("{} s from the store's", distance.as_secs());
        let change = "set this machine's clock: S3 refuses signatures that are 15 minutes off, and TLS needs the date";
        match distance {
            distance if distance > SIGNED => self.report.bad("local clock", seen, change),
            distance if distance > APART => self.report.warning("local clock", seen, change),
            _ => self.report.ok("local clock", format!("within {} s of the store's", distance.as_secs() + 1)),
        }
    }

    /// What to do about a bucket, or about a directory, that refuses something.
    fn either(&self, failure: &store::Failure, bucket: &'static str, directory: &'static str) -> &'static str {
        match &self.site.place {
            _ if failure.kind == Kind::Unavailable => AGAIN,
            StoreUrl::S3 { .. } => bucket,
            StoreUrl::File { .. } | StoreUrl::Memory { .. } => directory,
        }
    }

    /// Waits for one request as long as a request is given.
    async fn bounded<T>(&self, request: impl Future<Output = Result<T, store::Failure>>) -> Result<T, store::Failure> {
        let limit = crate::objects::REQUEST;
        match within(&self.site.environment, limit, request).await {
            Ok(answer) => answer,
            Err(_) => Err(store::Failure::new(Kind::Unavailable, format!("{}: no answer within {} s", self.site.url(), limit.as_secs()))),
        }
    }
}

/// How a step of the probe is called, and what it proves.
fn told(step: Proven) -> (&'static str, &'static str) {
    match step {
        Proven::ListAfterPut => ("LIST after PUT", "shows what was just put"),
        Proven::Stamps => ("LastModified", "is of the same clock as Date"),
        Proven::ETags => ("ETag", "is the same in PUT and LIST"),
        Proven::CreateOnce => ("If-None-Match", "an object that is there is not created again"),
        Proven::CompareAndSwap => ("If-Match", "an object is replaced only where it did not change"),
        Proven::Races => ("racing writers", "of 8 PUTs at once one wins, 40 times over"),
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
