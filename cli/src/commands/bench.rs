//! `bench`: what a store gives to a journal, and for how much.

use crate::arguments::{BenchArguments, StoreArguments};
use crate::failure::Failure;
use crate::observed::{Observed, Requests};
use crate::output::{Output, count};
use crate::site::Site;
use indicatif::ProgressBar;
use opjournal::config::StoreUrl;
use opjournal::environment::within;
use opjournal::journal::objects::Places;
use opjournal::time::Reading;
use opjournal::{Journal, Namespace};
use serde_json::{Value, json};
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// What comes before the random part of a bench's namespace.
const BEGINNING: &str = "bench-";
/// Requests that are kept back for what is not counted beforehand: opening, ticks, folds, cleaning up.
const RESERVE: u64 = 100;
/// About so many a probe of the store takes.
const PROBE: u64 = 350;
/// Names that are written and read.
const NAMES: u64 = 100;
/// So many reads are timed at most.
const READS: usize = 1_000_000;
/// How often the namespace is looked through for what is left of it.
const CLEANINGS: usize = 5;

/// Whether a namespace is one of a bench.
pub fn is_bench(name: &str) -> bool {
    name.strip_prefix(BEGINNING).is_some_and(|random| random.len() == 16 && random.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

pub async fn bench(store: &StoreArguments, bench: &BenchArguments, output: &Output) -> Result<(), Failure> {
    let mut site = Site::open(store, output).await?;
    let name = format!("{BEGINNING}{:016x}", site.environment.random());
    let costs = matches!(site.place, StoreUrl::S3 { .. });
    announce(&site, &name, bench, costs, output)?;
    if costs && !bench.yes && !may_begin()? {
        return Err(Failure::Usage("nothing was done".to_owned()));
    }
    let observed = Arc::new(Observed::new(site.store.clone(), site.environment.clone()));
    site.store = observed.clone();
    let journal = site.writer().await?;
    let run = Run { site: &site, observed: &observed, bench, output, begun: site.environment.now() };
    let measured = tokio::select! {
        measured = run.all(&journal, &name) => measured,
        () = crate::ending::asked() => Err(Failure::Interrupted),
    };
    let closed = site.close(&journal).await;
    let cleaned = clean(&site, &name).await;
    // What the bench found comes first; that something is left has to be said in any case.
    if let Err(failure) = &cleaned {
        output.note(format!("what is below .metadata/{name}/ could not be deleted: {failure}"));
    }
    measured?;
    closed.and(cleaned)?;
    if costs { run.requests() } else { Ok(()) }
}

fn announce(site: &Site, name: &str, bench: &BenchArguments, costs: bool, output: &Output) -> Result<(), Failure> {
    let seconds = bench.seconds.as_secs_f64();
    let prices = &bench.prices;
    let dearest = [prices.put_price, prices.list_price, prices.get_price, prices.delete_price].into_iter().fold(0.0, f64::max);
    let cost = match costs {
        true => format!("at most about {} requests, {:.3} USD", count(bench.requests), bench.requests as f64 * dearest / 1000.0),
        false => format!("at most about {} operations of the store", count(bench.requests)),
    };
    output.note(format!("{}: about {seconds} s, {cost}, all in the new namespace {name}, which is deleted at the end", site.url()));
    Ok(())
}

/// Asks a person, where there is one.
fn may_begin() -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Ok(true);
    }
    eprint!("Go on? [y/N] ");
    std::io::stderr().flush().map_err(|error| Failure::file("standard error", error))?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(|error| Failure::file("standard input", error))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Deletes all objects of a namespace.
async fn clean(site: &Site, name: &str) -> Result<(), Failure> {
    let places = Places::of(name)?;
    for _ in 0..CLEANINGS {
        let page = crate::objects::page(site, &places.prefix, None).await?;
        let keys: Vec<String> = page.objects.into_iter().map(|listed| listed.key).collect();
        if keys.is_empty() {
            if let StoreUrl::File { directory } = &site.place {
                // It is not there where nothing was written.
                let _ = std::fs::remove_dir(directory.join(places.prefix.trim_end_matches('/')));
            }
            return Ok(());
        }
        let deleted = within(&site.environment, crate::objects::REQUEST, site.store.delete(&keys)).await;
        deleted.map_err(|_| Failure::Found(format!("{} gave no answer in time", site.url())))??;
    }
    Err(Failure::Found("something is still listed".to_owned()))
}

/// What was measured of one kind of work.
struct Phase {
    name: &'static str,
    took: Duration,
    /// How long each took, in nanoseconds, in ascending order.
    each: Vec<u64>,
}

impl Phase {
    fn new(name: &'static str, took: Duration, mut each: Vec<u64>) -> Phase {
        each.sort_unstable();
        Phase { name, took, each }
    }

    /// The least that so many of a hundred do not exceed, in microseconds.
    fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.each.len() * percent).div_ceil(100).max(1);
        self.each.get(rank - 1).map_or(0.0, |&nanos| nanos as f64 / 1000.0)
    }

    fn per_second(&self) -> f64 {
        self.each.len() as f64 / self.took.as_secs_f64().max(1e-9)
    }

    fn to_json(&self) -> Value {
        json!({
            "phase": self.name,
            "ops": self.each.len(),
            "seconds": self.took.as_secs_f64(),
            "ops_per_second": self.per_second(),
            "p50_us": self.percentile(50),
            "p99_us": self.percentile(99),
            "max_us": self.percentile(100),
        })
    }

    fn row(&self) -> Vec<String> {
        let per_second = self.per_second();
        let per_second = if per_second < 100.0 { format!("{per_second:.1}") } else { count(per_second as u64) };
        let mut row = vec![self.name.to_owned(), count(self.each.len() as u64), per_second];
        row.extend([50, 99, 100].map(|percent| duration(self.percentile(percent))));
        row
    }
}

/// Microseconds for people.
fn duration(micros: f64) -> String {
    match micros {
        ..10.0 => format!("{micros:.1} µs"),
        ..1_000.0 => format!("{micros:.0} µs"),
        ..10_000.0 => format!("{:.1} ms", micros / 1e3),
        ..1_000_000.0 => format!("{:.0} ms", micros / 1e3),
        _ => format!("{:.2} s", micros / 1e6),
    }
}

struct Run<'a> {
    site: &'a Site,
    observed: &'a Arc<Observed>,
    bench: &'a BenchArguments,
    output: &'a Output,
    begun: Reading,
}

impl Run<'_> {
    /// Each phase has its share of the time and of the requests. Half of these are for the starts, which read every segment that was written.
    async fn all(&self, journal: &Journal, name: &str) -> Result<(), Failure> {
        let progress = self.output.progress("bench, in % of its time", 100);
        let namespace = journal.namespace(name, self.site.deadline()).await?;
        // The first write is preceded by the test of the store, which is no write's time.
        write(&namespace, 0, self.site).await?;
        let tested = self.observed.requests().total();
        let budget = self.bench.requests.saturating_sub(tested.max(PROBE) + RESERVE);
        let mut phases = Vec::new();
        phases.push(self.writes(&namespace, "write", 1, self.share(35, budget / 5), &progress).await?);
        phases.push(self.writes(&namespace, "write at once", self.bench.callers, self.share(35, budget / 5), &progress).await?);
        phases.push(self.flushes(&namespace, self.share(15, budget / 10), &progress).await?);
        phases.push(self.starts(name, self.share(10, budget / 2), &progress).await?);
        phases.push(self.reads(&namespace, self.share(5, u64::MAX), &progress).await?);
        progress.finish_and_clear();
        if self.output.is_json() {
            return phases.iter().try_for_each(|phase| self.output.json(&phase.to_json()));
        }
        let header = ["", "TIMES", "A SECOND", "P50", "P99", "MAX"];
        self.output.table(&header, &[1, 2, 3, 4, 5], phases.iter().map(Phase::row))
    }

    /// How far a phase goes from now: for so many percent of the time, and so many requests.
    fn share(&self, percent: u32, requests: u64) -> Bounds {
        Bounds {
            end: self.site.environment.now() + self.bench.seconds * percent / 100,
            requests: self.observed.requests().total().saturating_add(requests),
            observed: self.observed.clone(),
            environment: self.site.environment.clone(),
        }
    }

    fn show(&self, progress: &ProgressBar) {
        let passed = self.site.environment.now().since(self.begun).as_secs_f64() / self.bench.seconds.as_secs_f64();
        progress.set_position((passed * 100.0).min(100.0) as u64);
    }

    /// `callers` write, each one batch after the other.
    async fn writes(
        &self,
        namespace: &Namespace,
        name: &'static str,
        callers: u64,
        bounds: Bounds,
        progress: &ProgressBar,
    ) -> Result<Phase, Failure> {
        let begun = self.site.environment.now();
        let mut tasks = JoinSet::new();
        for caller in 0..callers {
            let (namespace, bounds, deadline) = (namespace.clone(), bounds.clone(), self.site.deadline());
            tasks.spawn(async move {
                let mut each = Vec::new();
                // Once at least, so that there is something to tell.
                while each.is_empty() || bounds.is_within() {
                    let begun = bounds.environment.now();
                    let batch = batch(caller);
                    namespace.submit_here(batch.as_bytes(), deadline)?.outcome().await?;
                    each.push(elapsed(&bounds, begun));
                }
                Ok::<_, opjournal::Error>(each)
            });
        }
        let mut each = Vec::new();
        while let Some(done) = tasks.join_next().await {
            let done = done.map_err(|panic| Failure::Found(format!("a caller ended by itself: {panic}")))?;
            each.append(&mut done?);
            self.show(progress);
        }
        Ok(Phase::new(name, self.site.environment.now().since(begun), each))
    }

    /// A barrier each, which is a tick.
    async fn flushes(&self, namespace: &Namespace, bounds: Bounds, progress: &ProgressBar) -> Result<Phase, Failure> {
        self.each("flush", bounds, progress, async || Ok(namespace.flush(self.site.deadline()).await?)).await
    }

    /// Other replicas, each of which begins with nothing.
    async fn starts(&self, name: &str, bounds: Bounds, progress: &ProgressBar) -> Result<Phase, Failure> {
        self.each("start", bounds, progress, async || {
            let journal = self.site.reader().await?;
            let namespace = journal.namespace(name, self.site.deadline()).await?;
            namespace.close();
            self.site.close(&journal).await
        })
        .await
    }

    async fn each(
        &self,
        name: &'static str,
        bounds: Bounds,
        progress: &ProgressBar,
        mut work: impl AsyncFnMut() -> Result<(), Failure>,
    ) -> Result<Phase, Failure> {
        let begun = self.site.environment.now();
        let (mut each, mut most) = (Vec::new(), 0);
        // Nothing is begun that would go past the requests, as far as the one before tells.
        while each.is_empty() || bounds.has_room(most) {
            let (before, begun) = (self.observed.requests().total(), bounds.environment.now());
            work().await?;
            each.push(elapsed(&bounds, begun));
            most = most.max(self.observed.requests().total() - before);
            self.show(progress);
        }
        Ok(Phase::new(name, self.site.environment.now().since(begun), each))
    }

    /// Answered from memory, whatever the store.
    async fn reads(&self, namespace: &Namespace, bounds: Bounds, progress: &ProgressBar) -> Result<Phase, Failure> {
        let begun = self.site.environment.now();
        let queries: Vec<String> = (0..NAMES).map(|number| json!({ "op": "IntGet", "Key": key(number) }).to_string()).collect();
        let (mut each, mut answer) = (Vec::new(), Vec::new());
        while each.is_empty() || (bounds.is_within() && each.len() < READS) {
            for query in &queries {
                let begun = bounds.environment.now();
                namespace.query(query.as_bytes(), &mut answer)?;
                each.push(elapsed(&bounds, begun));
            }
            self.show(progress);
            // Ctrl-C is seen between two rounds.
            tokio::task::yield_now().await;
        }
        Ok(Phase::new("read", self.site.environment.now().since(begun), each))
    }

    fn requests(&self) -> Result<(), Failure> {
        let requests: Requests = self.observed.requests();
        let prices = &self.bench.prices;
        let answer = json!({ "requests": requests.to_json(), "usd": requests.usd(prices) });
        self.output.answer(answer, || {
            self.output.line("")?;
            let all = requests.priced(prices).into_iter().chain([("all", requests.total(), requests.usd(prices))]);
            let rows = all.map(|(kind, number, usd)| vec![kind.to_owned(), count(number), format!("{usd:.6}")]);
            self.output.table(&["REQUESTS", "NUMBER", "USD"], &[1, 2], rows)
        })
    }
}

/// How far a phase goes.
#[derive(Clone)]
struct Bounds {
    end: Reading,
    /// Of all that were sent since the bench began.
    requests: u64,
    observed: Arc<Observed>,
    environment: Arc<dyn opjournal::environment::Environment>,
}

impl Bounds {
    fn is_within(&self) -> bool {
        self.has_room(1)
    }

    fn has_room(&self, requests: u64) -> bool {
        self.environment.now() < self.end && self.observed.requests().total().saturating_add(requests) <= self.requests
    }
}

fn elapsed(bounds: &Bounds, begun: Reading) -> u64 {
    bounds.environment.now().since(begun).as_nanos() as u64
}

fn key(number: u64) -> String {
    format!("counter-{}", number % NAMES)
}

fn batch(number: u64) -> String {
    json!({ "op": "IntAdd", "Key": key(number), "Delta": 1 }).to_string()
}

async fn write(namespace: &Namespace, number: u64, site: &Site) -> Result<(), Failure> {
    namespace.submit_here(batch(number).as_bytes(), site.deadline())?.outcome().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_seen() {
        let phase = |each: Vec<u64>| Phase::new("write", Duration::from_secs(2), each);
        let hundred = phase((1..=100).rev().map(|number| number * 1000).collect());
        assert_eq!([50, 99, 100].map(|percent| hundred.percentile(percent)), [50.0, 99.0, 100.0]);
        assert_eq!(hundred.per_second(), 50.0);
        let one = phase(vec![7000]);
        assert_eq!([50, 99, 100].map(|percent| one.percentile(percent)), [7.0, 7.0, 7.0]);
    }

    #[test]
    fn only_the_names_of_a_bench_are_taken_for_one() {
        assert!(is_bench("bench-0123456789abcdef"));
        for other in ["bench", "bench-", "bench-1", "bench-0123456789abcdeg", "workbench-0123456789abcdef"] {
            assert!(!is_bench(other), "{other}");
        }
    }
}
