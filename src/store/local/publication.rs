//! The file `.opjournal/publication`: the lock under which objects appear and vanish, and the store's clock.
//!
//! The clock is the machine's boot clock plus an offset that is kept in the file. It agrees with the wall clock when the
//! first object of a boot is published, follows it when it steps forward, and goes on steadily when it steps back. As
//! everybody reads the same offset under the lock, no stamp is ever earlier than a `Date` that a LIST gave out before.

use crate::environment::boot_time;
use crate::time::{Reading, Stamp};
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How far the wall clock must be ahead before the store's clock follows it.
const SLACK: Duration = Duration::from_millis(1);

/// The clocks of this machine.
pub struct Clock {
    /// What the readings count from. Readings with equal origins can be compared, between processes too.
    origin: String,
    read: Box<dyn Fn() -> (Stamp, Reading) + Send + Sync>,
}

impl Clock {
    /// `read` gives the time of the wall clock and the reading of one that neither steps nor stops; `origin` names what its
    /// readings count from.
    pub fn new(origin: &str, read: impl Fn() -> (Stamp, Reading) + Send + Sync + 'static) -> Clock {
        // It becomes one word in a line of words.
        let origin = origin.chars().map(|character| if character.is_whitespace() { '-' } else { character }).collect();
        Clock { origin, read: Box::new(read) }
    }

    /// The wall clock and the boot clock of the kernel.
    pub fn of_this_machine() -> Clock {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        // Containers may count from an origin of their own.
        let namespace = fs::read_link("/proc/self/ns/time").unwrap_or_default();
        let mut origin = format!("{}/{}", boot.trim(), namespace.display());
        if boot.is_empty() {
            // A system that does not name its boots: every process has an origin of its own.
            origin = format!("process/{:016x}", rand::random::<u64>());
        }
        Clock::new(&origin, || {
            let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            (Stamp::from_nanos(since_epoch.as_nanos() as i128), boot_time())
        })
    }

    pub fn wall(&self) -> Stamp {
        (self.read)().0
    }
}

/// What the file says: one line, `opjournal 1 ORIGIN OFFSET LATEST CHECKSUM`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    /// The origin of the readings that `offset` is to be added to.
    origin: String,
    /// Store time at that origin, in nanoseconds since the Unix epoch.
    offset: i128,
    /// The stamp that was given out last.
    latest: Stamp,
}

impl Record {
    fn parse(text: &[u8]) -> Option<Record> {
        let line = std::str::from_utf8(text).ok()?.split('\n').next()?;
        let (content, checksum) = line.rsplit_once(' ')?;
        if checksum != check(content) {
            return None;
        }
        let mut words = content.split(' ');
        if (words.next()?, words.next()?) != ("opjournal", "1") {
            return None;
        }
        let origin = words.next()?.to_owned();
        let offset = words.next()?.parse().ok()?;
        let latest = Stamp::from_nanos(words.next()?.parse().ok()?);
        Some(Record { origin, offset, latest })
    }

    fn to_text(&self) -> String {
        let content = format!("opjournal 1 {} {} {}", self.origin, self.offset, self.latest.as_nanos());
        let checksum = check(&content);
        format!("{content} {checksum}\n")
    }

    fn time(&self, clock: &Clock) -> Stamp {
        let (wall, reading) = (clock.read)();
        // Before the first publication of a boot nothing can contradict the wall clock.
        let now = if self.origin == clock.origin { Stamp::from_nanos(self.offset + i128::from(reading.0)) } else { wall };
        now.max(self.latest)
    }
}

fn check(content: &str) -> String {
    Sha256::digest(content.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The lock, held until it is dropped.
pub struct Publication {
    file: File,
    record: Option<Record>,
}

impl Publication {
    /// Waits until nobody else publishes, deletes or lists. Creates the file where it is absent (not its directory).
    pub fn exclusive(path: &Path) -> io::Result<Publication> {
        loop {
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
            uninterrupted(|| file.lock())?;
            if let Some(publication) = Publication::of(file, path)? {
                return Ok(publication);
            }
        }
    }

    /// Waits until nobody publishes or deletes. Needs no right to write. `None`: nothing was ever published here.
    pub fn shared(path: &Path) -> io::Result<Option<Publication>> {
        loop {
            let file = match File::open(path) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                other => other?,
            };
            uninterrupted(|| file.lock_shared())?;
            if let Some(publication) = Publication::of(file, path)? {
                return Ok(Some(publication));
            }
        }
    }

    /// `None` where the file was removed before the lock was ours: a lock on it keeps nobody out.
    fn of(mut file: File, path: &Path) -> io::Result<Option<Publication>> {
        let ours = file.metadata()?;
        match fs::metadata(path) {
            Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => {}
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => return Ok(None),
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        Ok(Some(Publication { file, record: Record::parse(&text) }))
    }

    /// The store's time now.
    pub fn time(&self, clock: &Clock) -> Stamp {
        self.record.as_ref().map_or_else(|| clock.wall(), |record| record.time(clock))
    }

    /// A stamp later than every other, and than every time that was told. Only under the exclusive lock. `greatest` finds the
    /// greatest stamp in the store: it is asked when the machine was started anew, as the file is not flushed to the disk.
    pub fn next_stamp(&mut self, clock: &Clock, greatest: impl FnOnce() -> io::Result<Stamp>) -> io::Result<Stamp> {
        let (wall, reading) = (clock.read)();
        let reading = i128::from(reading.0);
        let mut record = match self.record.take() {
            Some(record) if record.origin == clock.origin => record,
            older => {
                let latest = older.map_or(Stamp::ZERO, |record| record.latest).max(greatest()?);
                Record { origin: clock.origin.clone(), offset: wall.max(latest).as_nanos() - reading, latest }
            }
        };
        if wall > Stamp::from_nanos(record.offset + reading) + SLACK {
            record.offset = wall.as_nanos() - reading;
        }
        record.latest = Stamp::from_nanos((record.offset + reading).max(record.latest.as_nanos() + 1));
        // One short write to one page: a process that is killed has done all of it or nothing. It comes before the object, so
        // that the object's stamp can never be given out again.
        self.file.write_all_at(record.to_text().as_bytes(), 0)?;
        let stamp = record.latest;
        self.record = Some(record);
        Ok(stamp)
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        // Closing alone would leave the lock to a child that was forked meanwhile. If unlocking fails, closing does it.
        let _ = self.file.unlock();
    }
}

/// The store's time, read without the lock (which the caller may hold).
pub fn time_now(path: &Path, clock: &Clock) -> Stamp {
    // A record that is just being written may be read torn: its checksum tells. A second read finds it whole.
    let read = || fs::read(path).ok().and_then(|text| Record::parse(&text));
    read().or_else(read).map_or_else(|| clock.wall(), |record| record.time(clock))
}

fn uninterrupted(mut lock: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match lock() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::sync::{Arc, Mutex};

    fn clock(origin: &str, times: &Arc<Mutex<(i64, u64)>>) -> Clock {
        let times = times.clone();
        Clock::new(origin, move || {
            let (wall, reading) = *times.lock().expect("times");
            (Stamp::from_millis(wall), Reading(reading * 1_000_000))
        })
    }

    #[test]
    fn stamps_follow_the_wall_clock_forward_and_never_back() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("publication");
        let times = Arc::new(Mutex::new((1_000_000, 50)));
        let clock = clock("boot-1", &times);
        let stamp = || {
            let none = || Ok(Stamp::ZERO);
            Publication::exclusive(&path).expect("the lock").next_stamp(&clock, none).expect("a stamp")
        };
        assert_eq!(stamp(), Stamp::from_millis(1_000_000));
        assert_eq!(stamp(), Stamp::from_millis(1_000_000) + Duration::from_nanos(1));
        *times.lock().expect("times") = (400_000, 150);
        assert_eq!(stamp(), Stamp::from_millis(1_000_100), "the wall clock stepped back, the boot clock did not");
        *times.lock().expect("times") = (2_000_000, 250);
        assert_eq!(stamp(), Stamp::from_millis(2_000_000));
        *times.lock().expect("times") = (1_000_000, 350);
        assert_eq!(time_now(&path, &clock), Stamp::from_millis(2_000_100));
        assert_eq!(stamp(), Stamp::from_millis(2_000_100));
    }

    #[test]
    fn after_a_restart_the_objects_tell_the_latest_stamp() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("publication");
        let times = Arc::new(Mutex::new((1_000_000, 50)));
        let asked = AtomicI64::new(0);
        let greatest = || {
            asked.fetch_add(1, Ordering::Relaxed);
            Ok(Stamp::from_millis(1_000_500))
        };
        let first = clock("boot-1", &times);
        Publication::exclusive(&path).expect("the lock").next_stamp(&first, || Ok(Stamp::ZERO)).expect("a stamp");
        // The machine comes up with a clock that stands an hour back, and what was in the file is an old version of it.
        *times.lock().expect("times") = (900_000, 1);
        let second = clock("boot-2", &times);
        let stamp = Publication::exclusive(&path).expect("the lock").next_stamp(&second, greatest).expect("a stamp");
        assert!(stamp > Stamp::from_millis(1_000_500) && stamp < Stamp::from_millis(1_000_501));
        let again = Publication::exclusive(&path).expect("the lock").next_stamp(&second, greatest).expect("a stamp");
        assert!(again > stamp);
        assert_eq!(asked.load(Ordering::Relaxed), 1, "one look through the store for each boot");
    }

    #[test]
    fn a_damaged_record_is_not_believed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("publication");
        let record = Record { origin: "boot/time:[1]".into(), offset: 77, latest: Stamp::from_millis(9) };
        assert_eq!(Record::parse(record.to_text().as_bytes()), Some(record.clone()));
        fs::write(&path, record.to_text().replace("77", "78")).expect("written");
        let times = Arc::new(Mutex::new((5, 1)));
        let clock = clock("boot/time:[1]", &times);
        assert_eq!(time_now(&path, &clock), Stamp::from_millis(5));
        let mut publication = Publication::exclusive(&path).expect("the lock");
        let stamp = publication.next_stamp(&clock, || Ok(Stamp::from_millis(8))).expect("a stamp");
        assert_eq!(stamp, Stamp::from_millis(8) + Duration::from_nanos(1));
    }

    #[test]
    fn a_lock_on_a_removed_file_is_no_lock() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("publication");
        let held = Publication::exclusive(&path).expect("the lock");
        fs::remove_file(&path).expect("removed");
        drop(Publication::exclusive(&path).expect("the lock of the new file"));
        let file = held.file.try_clone().expect("the old file");
        assert!(Publication::of(file, &path).expect("a look").is_none());
    }
}
