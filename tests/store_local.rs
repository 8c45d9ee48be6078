//! What only the local store must withstand: many processes that are killed at any moment, full disks, missing rights.
//!
//! The other processes are this test program itself.

mod reading;
mod roles;

use bytes::Bytes;
use opjournal::store::local::{Clock, LocalStore};
use opjournal::store::{Condition, Failure, Kind, Listed, Store};
use opjournal::time::{Reading, Stamp};
use reading::{kind, list_all};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};
use tokio::runtime::Runtime;

const COUNTER: &str = ".metadata/counter.json";

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime")
}

fn open(directory: &Path, runtime: &Runtime) -> LocalStore {
    LocalStore::open(directory, runtime.handle().clone())
}

fn put(runtime: &Runtime, store: &LocalStore, key: &str, body: impl Into<Bytes>, condition: Condition) -> Result<Stamp, Failure> {
    runtime.block_on(store.put(key, body.into(), condition)).map(|put| put.date.expect("a date"))
}

fn get(runtime: &Runtime, store: &LocalStore, key: &str) -> Result<Vec<u8>, Failure> {
    runtime.block_on(reading::get(store, key)).map(|(_, body)| body)
}

fn list(runtime: &Runtime, store: &LocalStore) -> Vec<Listed> {
    runtime.block_on(list_all(store, ".metadata/"))
}

fn process(role: &str, directory: &Path) -> Command {
    roles::process("the_role_of_another_process", role, directory)
}

/// Not a test of its own: what the other processes do.
#[test]
fn the_role_of_another_process() {
    let Some((role, directory)) = roles::asked() else { return };
    let runtime = runtime();
    let store = open(&directory, &runtime);
    match role.as_str() {
        "writes and counts" => write_and_count(&runtime, &store),
        "may only read" => {
            assert_eq!(get(&runtime, &store, ".metadata/a/1.json").expect("read"), b"one");
            assert_eq!(list(&runtime, &store).len(), 1);
            let refused = put(&runtime, &store, ".metadata/a/2.json", "two", Condition::Absent);
            assert_eq!(kind(refused), Kind::Denied);
            let refused = runtime.block_on(store.delete(&[".metadata/a/1.json".to_owned()]));
            assert_eq!(kind(refused), Kind::Denied);
        }
        "may do nothing" => {
            assert_eq!(kind(runtime.block_on(store.list("", None))), Kind::Denied);
            assert_eq!(kind(get(&runtime, &store, ".metadata/a/1.json")), Kind::Denied);
            assert_eq!(kind(put(&runtime, &store, ".metadata/a/2.json", "two", Condition::Absent)), Kind::Denied);
        }
        "has no space" => {
            let body = vec![b'x'; 4 << 20];
            let failure = put(&runtime, &store, ".metadata/a/large.json", body, Condition::Absent).expect_err("no space");
            assert_eq!(failure.kind, Kind::Refused, "{failure}");
            println!("said: {failure}");
            assert_eq!(list(&runtime, &store), []);
            put(&runtime, &store, ".metadata/a/small.json", "small", Condition::Absent).expect("what fits is written");
            assert_eq!(fs::read_dir(directory.join(".opjournal/tmp")).expect("a directory").count(), 0);
        }
        other => panic!("no such role: {other}"),
    }
    roles::played();
}

/// Writes objects and counts in one that all processes share, and says what was acknowledged, until it is killed.
fn write_and_count(runtime: &Runtime, store: &LocalStore) {
    let writer: u64 = rand::random();
    let mut output = std::io::stdout();
    let mut say = |line: String| output.write_all(line.as_bytes()).and_then(|()| output.flush()).expect("said");
    for number in 0.. {
        let key = format!(".metadata/ns/segment-{writer:016x}-{number:06}.json");
        // A body that tells whether it is whole, of some size.
        let size = rand::random_range(0..200_000u32);
        let body = format!("{size} {}", "x".repeat(size as usize));
        let stamp = put(runtime, store, &key, body, Condition::Absent).expect("a PUT");
        say(format!("put {key} {}\n", stamp.as_nanos()));
        loop {
            let (etag, body) = runtime.block_on(reading::get(store, COUNTER)).expect("a GET");
            let count: u64 = std::str::from_utf8(&body).expect("text").parse().expect("a number");
            match put(runtime, store, COUNTER, (count + 1).to_string(), Condition::Matches(etag)) {
                Ok(_) => break say(format!("count {}\n", count + 1)),
                Err(failure) => assert_eq!(failure.kind, Kind::ConditionFailed, "{failure}"),
            }
        }
    }
}

/// A process that writes, and the lines that it said.
struct Writer {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Writer {
    fn start(directory: &Path) -> Writer {
        let mut child = process("writes and counts", directory).stdout(Stdio::piped()).spawn().expect("a child");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        Writer { child, lines }
    }

    /// Kills it after `count` more acknowledgements, whatever it is doing then; returns everything it still said.
    fn kill_after(mut self, count: usize) -> Vec<String> {
        let is_said = |line: &String| line.starts_with("put ") || line.starts_with("count ");
        let mut said: Vec<String> = Vec::new();
        while said.len() < count {
            let line = self.lines.next().expect("the writer goes on").expect("a line");
            said.extend(Some(line).filter(is_said));
        }
        self.child.kill().expect("killed");
        said.extend(self.lines.by_ref().map_while(Result::ok).filter(is_said));
        self.child.wait().expect("its end");
        said
    }
}

#[test]
fn killed_processes_leave_no_half_and_lose_nothing_acknowledged() {
    const WRITERS: usize = 4;
    const KILLS: usize = 8;
    let directory = tempfile::tempdir().expect("a directory");
    let runtime = runtime();
    let store = open(directory.path(), &runtime);
    put(&runtime, &store, COUNTER, "0", Condition::Absent).expect("a PUT");

    let said: Vec<Vec<String>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..WRITERS)
            .map(|place| {
                let path = directory.path();
                scope.spawn(move || {
                    (0..KILLS).map(move |kill| Writer::start(path).kill_after(1 + (place * 7 + kill * 3) % 11)).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a writer's thread")).collect()
    });

    let listed: BTreeMap<String, Stamp> = list(&runtime, &store).into_iter().map(|listed| (listed.key, listed.stamp)).collect();
    let stamps: BTreeSet<Stamp> = listed.values().copied().collect();
    assert_eq!(stamps.len(), listed.len(), "every object has a stamp of its own");
    let (mut counted, mut puts) = (BTreeSet::new(), 0);
    for said in &said {
        let mut last = Stamp::ZERO;
        for line in said {
            // The last line of a killed process may be cut.
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["put", key, nanos] if key.len() == ".metadata/ns/segment--.json".len() + 16 + 6 && listed.contains_key(key) => {
                    let stamp = listed[key];
                    if stamp.as_nanos().to_string() == nanos {
                        puts += 1;
                    } else {
                        assert!(stamp.as_nanos().to_string().starts_with(nanos), "{key} has the stamp that was acknowledged");
                    }
                    assert!(stamp > last, "stamps follow the order of one writer's PUTs");
                    last = stamp;
                }
                ["count", count] => {
                    let count: u64 = count.parse().expect("a number");
                    assert!(counted.insert(count) || line == said.last().expect("a line"), "two processes counted to {count}");
                }
                _ => panic!("an acknowledged object is lost: {line}"),
            }
        }
    }
    assert!(puts >= WRITERS * KILLS / 2, "{puts} PUTs");
    let count: u64 = String::from_utf8(get(&runtime, &store, COUNTER).expect("a GET")).expect("text").parse().expect("a number");
    assert!(count >= counted.len() as u64, "{count} counted of {} acknowledged", counted.len());
    assert!(count <= (counted.len() + WRITERS * KILLS) as u64, "more counted than acknowledged and killed in between");
    for key in listed.keys().filter(|key| *key != COUNTER) {
        let body = String::from_utf8(get(&runtime, &store, key).expect("a GET")).expect("text");
        let (size, content) = body.split_once(' ').expect("a size");
        assert_eq!(content.len().to_string(), size, "{key} is whole");
    }
}

#[test]
fn what_killed_processes_left_is_removed_once_it_is_old() {
    let directory = tempfile::tempdir().expect("a directory");
    let runtime = runtime();
    put(&runtime, &open(directory.path(), &runtime), ".metadata/a/1.json", "one", Condition::Absent).expect("a PUT");
    let temporaries = directory.path().join(".opjournal/tmp");
    let make = |name: &str, age: u64| {
        let file = File::create(temporaries.join(name)).expect("created");
        file.set_modified(SystemTime::now() - Duration::from_secs(age)).expect("dated");
        file
    };
    drop(make("dead and old", 120));
    drop(make("young", 5));
    let alive = make("alive and old", 120);
    alive.lock().expect("locked");
    put(&runtime, &open(directory.path(), &runtime), ".metadata/a/2.json", "two", Condition::Absent).expect("a PUT");
    let left: BTreeSet<_> = fs::read_dir(&temporaries).expect("a directory").map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(left, BTreeSet::from(["young".into(), "alive and old".into()]));
}

#[test]
fn time_goes_on_for_every_process_where_the_wall_clock_steps_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let runtime = runtime();
    let clock = |wall: i64, boot: u64| Clock::new("one boot", move || (Stamp::from_millis(wall), Reading(boot * 1_000_000)));
    let store = |wall, boot| LocalStore::with_clock(directory.path(), runtime.handle().clone(), clock(wall, boot));
    let first = put(&runtime, &store(2_000_000, 10), ".metadata/a/1.json", "1", Condition::Absent).expect("a PUT");
    let date = runtime.block_on(store(2_000_000, 40).list("", None)).expect("a LIST").date.expect("a date");
    let second = put(&runtime, &store(1_000_000, 50), ".metadata/a/2.json", "2", Condition::Absent).expect("a PUT");
    assert!(first < date && date < second, "{first:?} {date:?} {second:?}");
    assert_eq!(second, Stamp::from_millis(2_000_040));
    // After a restart the objects tell what was given out.
    let anew = LocalStore::with_clock(
        directory.path(),
        runtime.handle().clone(),
        Clock::new("another boot", || (Stamp::from_millis(1_500_000), Reading(1))),
    );
    assert!(put(&runtime, &anew, ".metadata/a/3.json", "3", Condition::Absent).expect("a PUT") > second);
}

#[test]
fn a_directory_that_is_not_there_is_no_store() {
    let directory = tempfile::tempdir().expect("a directory");
    let runtime = runtime();
    let file = directory.path().join("file");
    fs::write(&file, "").expect("written");
    for path in [directory.path().join("missing"), file] {
        let store = open(&path, &runtime);
        assert_eq!(kind(runtime.block_on(store.list("", None))), Kind::NoSuchStore);
        assert_eq!(kind(get(&runtime, &store, ".metadata/a/1.json")), Kind::NoSuchStore);
        assert_eq!(kind(put(&runtime, &store, ".metadata/a/1.json", "x", Condition::Absent)), Kind::NoSuchStore);
        assert_eq!(kind(runtime.block_on(store.delete(&[".metadata/a/1.json".to_owned()]))), Kind::NoSuchStore);
    }
}

#[test]
fn reading_writes_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let runtime = runtime();
    let store = open(directory.path(), &runtime);
    assert_eq!(list(&runtime, &store), []);
    assert_eq!(kind(get(&runtime, &store, ".metadata/a/1.json")), Kind::NotFound);
    assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 0);
}

#[test]
fn what_is_no_key_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let runtime = runtime();
    let store = open(directory.path(), &runtime);
    for key in ["", "/a", "a/", "a//b", "../a", "a/../b", "./a", "a b", "ä", ".opjournal/publication"] {
        assert_eq!(kind(put(&runtime, &store, key, "x", Condition::Always)), Kind::Refused, "{key:?}");
        assert_eq!(kind(get(&runtime, &store, key)), Kind::Refused, "{key:?}");
        assert_eq!(kind(runtime.block_on(store.delete(&[key.to_owned()]))), Kind::Refused, "{key:?}");
    }
    assert_eq!(kind(runtime.block_on(store.list("../", None))), Kind::Refused);
}

#[test]
fn a_read_only_directory_can_be_read_and_a_closed_one_cannot() {
    let directory = tempfile::tempdir().expect("a directory");
    let runtime = runtime();
    put(&runtime, &open(directory.path(), &runtime), ".metadata/a/1.json", "one", Condition::Absent).expect("a PUT");
    let allow = |rights: u32| {
        let own = directory.path().join(".opjournal");
        for path in
            [own.join("tmp"), own, directory.path().join(".metadata/a"), directory.path().join(".metadata"), directory.path().into()]
        {
            fs::set_permissions(path, fs::Permissions::from_mode(rights)).expect("set");
        }
        fs::set_permissions(directory.path().join(".opjournal/publication"), fs::Permissions::from_mode(rights & 0o444)).ok();
    };
    allow(0o555);
    let play = |role: &str| roles::play(roles::without_rights(process(role, directory.path())));
    play("may only read");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o000)).expect("set");
    play("may do nothing");
    allow(0o755);
}

#[test]
fn a_body_over_the_size_limit_of_the_process_is_refused_whole() {
    let directory = tempfile::tempdir().expect("a directory");
    let limited = roles::after("trap '' XFSZ; ulimit -f 2048", &process("has no space", directory.path()));
    let said = roles::play(limited);
    assert!(said.contains("refuses it"), "{said}");
}

#[test]
fn a_full_disk_refuses_a_body_whole() {
    let directory = tempfile::tempdir().expect("a directory");
    if let Some(said) = roles::play_on_small_disk(2, directory.path(), &process("has no space", directory.path())) {
        assert!(said.contains("no space is left"), "{said}");
    }
}
