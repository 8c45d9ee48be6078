//! What `make bench` compares the library with, as a user would use it: SQLite and Redis.
//!
//! ```text
//! opjournal-peers sqlite DIRECTORY ENTRIES   a table of that many entries, WAL, synchronous=FULL
//! opjournal-peers redis HOST:PORT ENTRIES    as many keys in a server that is empty
//! ```
//!
//! Each says `{}` when it is filled, and then answers each line of standard input with a line of JSON; times are nanoseconds.
//!
//! ```text
//! get COUNT STRIDE    COUNT reads of a key; STRIDE 1: at random, 0: always the same. {"wall"} of one
//! put COUNT           COUNT writes of a key, one after the other, each durable before the next: {"walls":[...]}
//! callers N MS        Redis only: N callers over one connection, each with one write at a time, for MS milliseconds: {"ops","wall"}
//! ```
//!
//! Keys and values are those of the library's own dataset: `object/00000000` and so on, and 46 bytes.

use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, Client, Commands, Connection};
use rusqlite::{OptionalExtension, params};
use std::error::Error;
use std::io::Write as _;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const USAGE: &str = "usage: opjournal-peers sqlite DIRECTORY ENTRIES | redis HOST:PORT ENTRIES";

/// Of a pipeline that fills the server.
const AT_ONCE: u64 = 10_000;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["sqlite", directory, entries] => serve(&mut Sqlite::fill(Path::new(directory), entries.parse()?)?),
        ["redis", address, entries] => serve(&mut Redis::fill(address, entries.parse()?)?),
        _ => Err(USAGE.into()),
    }
}

trait Peer {
    fn entries(&self) -> u64;
    /// The length of the value.
    fn get(&mut self, key: &str) -> Result<usize>;
    fn put(&mut self, key: &str, value: &str) -> Result<()>;
    fn callers(&mut self, count: u64, lasting: Duration) -> Result<(u64, Duration)>;
}

fn serve(peer: &mut impl Peer) -> Result<()> {
    answer("{}")?;
    let mut random = Random(7);
    for line in std::io::stdin().lines() {
        let line = line?;
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["get", count, stride] => {
                let (count, stride): (u64, u64) = (count.parse()?, stride.parse()?);
                let begun = Instant::now();
                for _ in 0..count {
                    let number = if stride == 0 { peer.entries() / 2 } else { random.next() % peer.entries() };
                    if peer.get(&key(number))? != VALUE_BYTES {
                        return Err("an entry is not there".into());
                    }
                }
                answer(&format!(r#"{{"wall":{}}}"#, begun.elapsed().as_nanos() as f64 / count as f64))?;
            }
            ["put", count] => {
                let entries: Vec<_> = (0..count.parse()?).map(|_| (key(random.next() % peer.entries()), value(random.next()))).collect();
                let mut walls = Vec::new();
                for (key, value) in entries {
                    let begun = Instant::now();
                    peer.put(&key, &value)?;
                    walls.push(begun.elapsed().as_nanos().to_string());
                }
                answer(&format!(r#"{{"walls":[{}]}}"#, walls.join(",")))?;
            }
            ["callers", count, ms] => {
                let (ops, wall) = peer.callers(count.parse()?, Duration::from_millis(ms.parse()?))?;
                answer(&format!(r#"{{"ops":{ops},"wall":{}}}"#, wall.as_nanos()))?;
            }
            _ => return Err(format!("{line:?} is no command").into()),
        }
    }
    Ok(())
}

fn answer(line: &str) -> Result<()> {
    println!("{line}");
    Ok(std::io::stdout().flush()?)
}

const VALUE_BYTES: usize = 46;

fn key(number: u64) -> String {
    format!("object/{number:08}")
}

/// Nothing that repeats.
fn value(number: u64) -> String {
    let mut random = Random(number);
    format!("{:016x}{:016x}{:014x}", random.next(), random.next(), random.next() >> 8)
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

struct Sqlite {
    connection: rusqlite::Connection,
    entries: u64,
}

impl Sqlite {
    fn fill(directory: &Path, entries: u64) -> Result<Sqlite> {
        let mut connection = rusqlite::Connection::open(directory.join("peer.db"))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        // All of it in memory, as the library has it.
        connection.pragma_update(None, "cache_size", -1_000_000)?;
        connection.execute_batch("CREATE TABLE objects (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")?;
        let transaction = connection.transaction()?;
        for number in 0..entries {
            transaction.prepare_cached("INSERT INTO objects VALUES (?1, ?2)")?.execute(params![key(number), value(number)])?;
        }
        transaction.commit()?;
        connection.pragma_update(None, "wal_checkpoint", "TRUNCATE")?;
        Ok(Sqlite { connection, entries })
    }
}

impl Peer for Sqlite {
    fn entries(&self) -> u64 {
        self.entries
    }

    fn get(&mut self, key: &str) -> Result<usize> {
        let mut statement = self.connection.prepare_cached("SELECT value FROM objects WHERE key = ?1")?;
        let found: Option<String> = statement.query_row([key], |row| row.get(0)).optional()?;
        Ok(found.map_or(0, |value| value.len()))
    }

    fn put(&mut self, key: &str, value: &str) -> Result<()> {
        self.connection.prepare_cached("INSERT OR REPLACE INTO objects VALUES (?1, ?2)")?.execute([key, value])?;
        Ok(())
    }

    fn callers(&mut self, _: u64, _: Duration) -> Result<(u64, Duration)> {
        Err("SQLite has one writer at a time".into())
    }
}

struct Redis {
    client: Client,
    connection: Connection,
    entries: u64,
}

impl Redis {
    fn fill(address: &str, entries: u64) -> Result<Redis> {
        let client = Client::open(format!("redis://{address}/"))?;
        let mut connection = client.get_connection()?;
        for first in (0..entries).step_by(AT_ONCE as usize) {
            let mut pipeline = redis::pipe();
            for number in first..entries.min(first + AT_ONCE) {
                pipeline.set(key(number), value(number)).ignore();
            }
            pipeline.query::<()>(&mut connection)?;
        }
        Ok(Redis { client, connection, entries })
    }
}

impl Peer for Redis {
    fn entries(&self) -> u64 {
        self.entries
    }

    fn get(&mut self, key: &str) -> Result<usize> {
        let found: Option<Vec<u8>> = self.connection.get(key)?;
        Ok(found.map_or(0, |value| value.len()))
    }

    fn put(&mut self, key: &str, value: &str) -> Result<()> {
        Ok(self.connection.set(key, value)?)
    }

    /// All over one connection, which the client fills with what comes at once: the least work for the server.
    fn callers(&mut self, count: u64, lasting: Duration) -> Result<(u64, Duration)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let entries = self.entries;
        runtime.block_on(async {
            let connection = self.client.get_multiplexed_async_connection().await?;
            let begun = Instant::now();
            let local = tokio::task::LocalSet::new();
            let done = Rc::new(std::cell::Cell::new(0));
            let callers: Vec<_> = (0..count)
                .map(|caller| local.spawn_local(call(connection.clone(), Random(caller), entries, begun + lasting, done.clone())))
                .collect();
            local
                .run_until(async {
                    for caller in callers {
                        caller.await??;
                    }
                    Ok::<_, Box<dyn Error>>(())
                })
                .await?;
            Ok((done.get(), begun.elapsed()))
        })
    }
}

async fn call(
    mut connection: MultiplexedConnection,
    mut random: Random,
    entries: u64,
    end: Instant,
    done: Rc<std::cell::Cell<u64>>,
) -> redis::RedisResult<()> {
    while Instant::now() < end {
        let number = random.next();
        let _: () = connection.set(key(number % entries), value(number)).await?;
        done.set(done.get() + 1);
    }
    Ok(())
}
