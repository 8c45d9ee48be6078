//! The store itself, for `make bench`: puts whole rollups where a journal finds them, and sends bare requests with the client
//! that a journal uses.
//!
//! ```text
//! opjournal-bench rollup CONFIG NAMESPACE SHAPE NAME ENTRIES
//!                                                  puts a rollup with one map or list, as SHAPE says, and prints its size
//! opjournal-bench rollups CONFIG PREFIX COUNT      puts a rollup with an entry for each of the namespaces PREFIX0, PREFIX1, ...
//! opjournal-bench puts CONFIG PREFIX BYTES         for each line N on standard input: N PUTs, one after the other,
//!                                                  and a line with what each took, in nanoseconds, and a second one with the
//!                                                  CPU time of all together
//! opjournal-bench gets CONFIG KEY                  what GETs of one object took, to the last byte
//! opjournal-bench lists CONFIG PREFIX              what LISTs took, each followed by a rest, and a second line with the CPU
//!                                                  time of each and its rest
//! opjournal-bench alone ...                        the same with one thread that does everything
//! ```

use bytes::Bytes;
use futures_util::StreamExt;
use opjournal::config::Config;
use opjournal::store::{self, Condition, Get, GetOptions, Store};
use std::error::Error;
use std::fmt::Write as _;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

const USAGE: &str = "usage: opjournal-bench [alone] rollup CONFIG NAMESPACE map|list NAME ENTRIES | rollups CONFIG PREFIX COUNT \
                     | puts CONFIG PREFIX BYTES | gets CONFIG KEY | lists CONFIG PREFIX";

/// As benches/journal/replica.c rests after a call, so that what is still done afterwards counts as well.
const AFTERMATH: Duration = Duration::from_millis(20);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (runtime, arguments) = match &arguments[..] {
        // Nobody has to wake another thread.
        ["alone", rest @ ..] => (tokio::runtime::Builder::new_current_thread().enable_all().build()?, rest),
        // As the SDK's users have it, and the library: a runtime's threads serve the connections, and the caller waits on its own.
        rest => (tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?, rest),
    };
    runtime.block_on(async {
        match *arguments {
            ["rollup", config, namespace, shape, name, entries] => {
                put_rollup(config, namespace, Shape::parse(shape)?, name, entries.parse()?).await
            }
            ["rollups", config, prefix, count] => put_small_rollups(config, prefix, count.parse()?).await,
            ["puts", config, prefix, bytes] => put_on_request(config, prefix, bytes.parse()?).await,
            ["gets", config, key] => get_on_request(config, key).await,
            ["lists", config, prefix] => list_on_request(config, prefix).await,
            _ => Err(USAGE.into()),
        }
    })
}

async fn open(config: &str) -> Result<Arc<dyn Store>> {
    let (config, _) = Config::parse(config.as_bytes())?;
    store::open(&config).await.map_err(|error| error.message.into())
}

/// What a rollup holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Map,
    List,
}

impl Shape {
    fn parse(text: &str) -> Result<Shape> {
        match text {
            "map" => Ok(Shape::Map),
            "list" => Ok(Shape::List),
            _ => Err(USAGE.into()),
        }
    }
}

async fn put_rollup(config: &str, namespace: &str, shape: Shape, name: &str, entries: u64) -> Result<()> {
    let store = open(config).await?;
    let body = rollup(shape, name, entries)?;
    println!("{}", body.len());
    store.put(&format!(".metadata/{namespace}/rollup.json"), body.into(), Condition::Always).await?;
    Ok(())
}

async fn put_small_rollups(config: &str, prefix: &str, count: u64) -> Result<()> {
    let store = open(config).await?;
    for number in 0..count {
        store.put(&format!(".metadata/{prefix}{number}/rollup.json"), rollup(Shape::Map, "m", 1)?.into(), Condition::Always).await?;
    }
    Ok(())
}

/// A rollup into which nothing was folded yet: a map from `object/00000000` and so on to strings of 46 bytes, or a list of such strings.
fn rollup(shape: Shape, name: &str, entries: u64) -> Result<String> {
    let (begin, end) = if shape == Shape::Map { ('{', '}') } else { ('[', ']') };
    let mut text = String::with_capacity(entries as usize * 72 + 256);
    write!(text, r#"{{"proof":{{"count":0,"chain":"{:064}","folded":[],"writers":{{}}}}"#, 0)?;
    write!(text, r#","mark":{{"lm":"0001-01-01T00:00:00Z","key":""}},"state":{{"{name}":{begin}"#)?;
    for number in 0..entries {
        if number > 0 {
            text.push(',');
        }
        if shape == Shape::Map {
            write!(text, r#""\"object/{number:08}\"":"#)?;
        }
        // Nothing that repeats: a compressing or deduplicating disk should have no easier time than with real values.
        let (first, second) = (scatter(number), scatter(!number));
        write!(text, r#""{first:016x}{second:016x}{:014x}""#, scatter(first ^ second) >> 8)?;
    }
    write!(text, "{end}}}}}")?;
    Ok(text)
}

/// A number that looks drawn, and is always the same for the same argument (the finalizer of SplitMix64).
fn scatter(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

async fn put_on_request(config: &str, prefix: &str, bytes: usize) -> Result<()> {
    let store = open(config).await?;
    let mut sent: u64 = 0;
    for count in counts() {
        let (mut took, before) = (Vec::new(), cpu());
        for _ in 0..count? {
            let key = format!("{prefix}/{sent:08}.json");
            // JSON may end with spaces: as good as any body.
            let mut body = sent.to_string().into_bytes();
            body.resize(bytes.max(body.len()), b' ');
            sent += 1;
            let begun = Instant::now();
            // As a journal's are.
            store.put(&key, Bytes::from(body), Condition::Absent).await?;
            took.push(begun.elapsed().as_nanos());
        }
        let worked = cpu() - before;
        answer(&took)?;
        answer(&[worked.as_nanos()])?;
    }
    Ok(())
}

async fn get_on_request(config: &str, key: &str) -> Result<()> {
    let store = open(config).await?;
    for count in counts() {
        let mut took = Vec::new();
        for _ in 0..count? {
            let begun = Instant::now();
            let Get::Found(mut object) = store.get(key, GetOptions::default()).await? else {
                return Err("a GET without a condition was answered as if it had one".into());
            };
            while let Some(chunk) = object.body.next().await {
                chunk?;
            }
            took.push(begun.elapsed().as_nanos());
        }
        answer(&took)?;
    }
    Ok(())
}

async fn list_on_request(config: &str, prefix: &str) -> Result<()> {
    let store = open(config).await?;
    for count in counts() {
        let (mut took, mut worked) = (Vec::new(), Vec::new());
        for _ in 0..count? {
            let (begun, before) = (Instant::now(), cpu());
            store.list(prefix, None).await?;
            took.push(begun.elapsed().as_nanos());
            tokio::time::sleep(AFTERMATH).await;
            worked.push((cpu() - before).as_nanos());
        }
        answer(&took)?;
        answer(&worked)?;
    }
    Ok(())
}

/// How many requests each line of standard input asks for.
fn counts() -> impl Iterator<Item = Result<usize>> {
    std::io::stdin().lines().map(|line| Ok(line?.trim().parse()?))
}

fn answer(nanoseconds: &[u128]) -> Result<()> {
    println!("{}", nanoseconds.iter().map(u128::to_string).collect::<Vec<_>>().join(" "));
    Ok(std::io::stdout().flush()?)
}

/// The CPU time of this process.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
