//! The store itself, for `make bench`: puts a whole rollup where a journal finds it, and sends bare PUTs with the client
//! that a journal uses.
//!
//! ```text
//! opjournal-bench rollup CONFIG NAMESPACE MAP ENTRIES   puts a rollup with one map
//! opjournal-bench puts CONFIG PREFIX BYTES              for each line N on standard input: N PUTs, one after the other,
//!                                                       and a line with what each took, in nanoseconds
//! opjournal-bench alone puts CONFIG PREFIX BYTES        the same with one thread that does everything
//! ```

use bytes::Bytes;
use opjournal::config::Config;
use opjournal::store::{self, Condition, Store};
use std::error::Error;
use std::fmt::Write as _;
use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::Instant;

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
            ["rollup", config, namespace, map, entries] => put_rollup(config, namespace, map, entries.parse()?).await,
            ["puts", config, prefix, bytes] => put_on_request(config, prefix, bytes.parse()?).await,
            _ => Err("usage: opjournal-bench [alone] rollup CONFIG NAMESPACE MAP ENTRIES | puts CONFIG PREFIX BYTES".into()),
        }
    })
}

async fn open(config: &str) -> Result<Arc<dyn Store>> {
    let (config, _) = Config::parse(config.as_bytes())?;
    store::open(&config).await.map_err(|error| error.message.into())
}

async fn put_rollup(config: &str, namespace: &str, map: &str, entries: u64) -> Result<()> {
    let store = open(config).await?;
    let body = rollup(map, entries)?;
    println!("{}", body.len());
    store.put(&format!(".metadata/{namespace}/rollup.json"), body.into(), Condition::Always).await?;
    Ok(())
}

/// A rollup into which nothing was folded yet: a map from `object/00000000` and so on to strings of 46 bytes.
fn rollup(map: &str, entries: u64) -> Result<String> {
    let mut text = String::with_capacity(entries as usize * 72 + 256);
    write!(text, r#"{{"proof":{{"count":0,"chain":"{:064}","folded":[],"writers":{{}}}}"#, 0)?;
    write!(text, r#","mark":{{"lm":"0001-01-01T00:00:00Z","key":""}},"state":{{"{map}":{{"#)?;
    for number in 0..entries {
        let comma = if number > 0 { "," } else { "" };
        // Nothing that repeats: a compressing or deduplicating disk should have no easier time than with real values.
        let (first, second) = (scatter(number), scatter(!number));
        write!(text, r#"{comma}"\"object/{number:08}\"":"{first:016x}{second:016x}{:014x}""#, scatter(first ^ second) >> 8)?;
    }
    text.push_str("}}}");
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
    for line in std::io::stdin().lock().lines() {
        let count: usize = line?.trim().parse()?;
        let mut took = Vec::with_capacity(count);
        for _ in 0..count {
            let key = format!("{prefix}/{sent:08}.json");
            // Spaces are JSON too, as good as any body.
            let body = Bytes::from(format!("{sent:bytes$}"));
            sent += 1;
            let begun = Instant::now();
            // As a journal's are.
            store.put(&key, body, Condition::Absent).await?;
            took.push(begun.elapsed().as_nanos().to_string());
        }
        println!("{}", took.join(" "));
        std::io::stdout().flush()?;
    }
    Ok(())
}
