//! The requests themselves, as blocking calls.

use super::publication::{Clock, Publication, time_now};
use super::walk::{is_part, stamp, walk};
use super::{OWN, Wanted, etag};
use crate::store::{Condition, Deleted, ETag, Failure, GetOptions, Kind, PAGE, Page, Put};
use crate::time::Stamp;
use bytes::Bytes;
use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// How much of an object is read at a time.
const CHUNK: u64 = 1 << 20;
/// A body larger than this is flushed before the lock is taken, so that others do not wait for it.
const FLUSH_FIRST: usize = 1 << 20;
/// A temporary file that nobody holds is left alone for this long: its owner may be about to lock it.
const STALE: Duration = Duration::from_secs(60);

pub struct Directory {
    root: PathBuf,
    url: String,
    clock: Clock,
    /// The directories, relative to the root, whose own entries this process knows to be on the disk. `None` until the first
    /// write.
    durable: Mutex<Option<HashSet<String>>>,
}

/// An object that is being read.
pub struct Opened {
    pub etag: ETag,
    pub size: u64,
    pub date: Stamp,
    /// What was read at once.
    pub first: Option<Bytes>,
    file: File,
    key: String,
    position: u64,
    end: u64,
}

impl Opened {
    pub fn is_at_end(&self) -> bool {
        self.position >= self.end
    }

    pub fn read_chunk(&mut self) -> Result<Bytes, Failure> {
        let mut chunk = vec![0; (self.end - self.position).min(CHUNK) as usize];
        let read = self.file.read_exact_at(&mut chunk, self.position);
        read.map_err(|error| Failure::new(Kind::Unavailable, format!("GET {}: the body breaks off: {error}", self.key)))?;
        self.position += chunk.len() as u64;
        Ok(chunk.into())
    }
}

impl Directory {
    pub fn new(root: &Path, clock: Clock) -> Directory {
        Directory { root: root.to_owned(), url: format!("file://{}", root.display()), clock, durable: Mutex::new(None) }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn put(&self, key: &str, body: &[u8], condition: &Condition, wanted: &Wanted) -> Result<Put, Failure> {
        let what = format!("PUT {key}");
        let path = self.path_of(key, &what)?;
        let failed = |error: io::Error| self.failure(&what, &error);
        self.prepare(&what)?;
        let mut temporary = Temporary::create(&self.temporaries()).map_err(failed)?;
        temporary.file.write_all(body).map_err(failed)?;
        if body.len() > FLUSH_FIRST {
            temporary.file.sync_data().map_err(failed)?;
        }

        let mut publication = Publication::exclusive(&self.publication()).map_err(failed)?;
        wanted.check(&what)?;
        let held = match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => Some(etag(&metadata)),
            Ok(_) => return Err(self.dated(Failure::new(Kind::Refused, format!("{what}: {} is no file", path.display())))),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => None,
            Err(error) => return Err(failed(error)),
        };
        let allowed = match condition {
            Condition::Always => true,
            Condition::Absent => held.is_none(),
            Condition::Matches(wanted) => held.as_ref() == Some(wanted),
        };
        if !allowed {
            let message = format!("{what}: the condition does not hold");
            return Err(Failure { kind: Kind::ConditionFailed, message, date: Some(publication.time(&self.clock)) });
        }
        let parent = self.make_parent(key).map_err(failed)?;
        let stamp = publication.next_stamp(&self.clock, || self.greatest_stamp()).map_err(failed)?;
        temporary.stamp(stamp).map_err(failed)?;
        let metadata = temporary.file.metadata().map_err(failed)?;
        temporary.publish(&path).map_err(failed)?;
        // From here on the object is there: what fails now does not undo it.
        sync_directory(&parent).map_err(|error| {
            let message = format!("{what}: {} cannot be flushed to the disk: {error}", parent.display());
            Failure { kind: Kind::Unavailable, message, date: Some(stamp) }
        })?;
        Ok(Put { etag: Some(etag(&metadata)), date: Some(stamp) })
    }

    /// The opened object; `Err` with the store's time where it still is the one that `options.unless` names.
    pub fn get(&self, key: &str, options: &GetOptions) -> Result<Result<Opened, Stamp>, Failure> {
        let what = format!("GET {key}");
        let path = self.path_of(key, &what)?;
        let found = File::open(&path).and_then(|file| file.metadata().map(|metadata| (file, metadata)));
        let (file, metadata) = match found {
            Ok((_, metadata)) if !metadata.is_file() => return Err(self.absent(&what)),
            Ok(found) => found,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Err(self.absent(&what)),
            Err(error) => return Err(self.failure(&what, &error)),
        };
        let (etag, size) = (etag(&metadata), metadata.len());
        let date = self.time().max(stamp(&metadata));
        let refused = |kind, message| Err(Failure { kind, message, date: Some(date) });
        if options.matches.as_ref().is_some_and(|wanted| *wanted != etag) {
            return refused(Kind::ConditionFailed, format!("{what}: the object was replaced"));
        }
        if options.unless.as_ref() == Some(&etag) {
            return Ok(Err(date));
        }
        let (position, end) = match options.range {
            None => (0, size),
            Some((first, count)) if first < size && count > 0 => (first, first.saturating_add(count).min(size)),
            Some((first, count)) => return refused(Kind::Refused, format!("{what}: {count} bytes from {first} of {size} are no range")),
        };
        let mut opened = Opened { etag, size, date, first: None, file, key: key.to_owned(), position, end };
        // Most objects are small: they are read here, and cost no second trip to another thread.
        if !opened.is_at_end() {
            opened.first = Some(opened.read_chunk()?);
        }
        Ok(Ok(opened))
    }

    pub fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, Failure> {
        let what = format!("LIST {prefix}");
        let failed = |error: io::Error| self.failure(&what, &error);
        if !prefix.split('/').all(|part| part.is_empty() || is_part(part)) || prefix.starts_with('/') || prefix.contains("//") {
            return Err(self.dated(Failure::new(Kind::Refused, format!("{what}: this is no beginning of a key"))));
        }
        // Under the lock the page is one moment, everything on it is on the disk, and nothing published later can have a
        // stamp before its `Date`.
        let publication = Publication::shared(&self.publication()).map_err(failed)?;
        let date = publication.as_ref().map_or_else(|| self.clock.wall(), |publication| publication.time(&self.clock));
        let (mut objects, mut is_more) = (Vec::new(), false);
        walk(&self.root, prefix, after, &mut |listed| {
            if objects.len() == PAGE {
                is_more = true;
                return ControlFlow::Break(());
            }
            objects.push(listed);
            ControlFlow::Continue(())
        })
        .map_err(failed)?;
        if objects.is_empty() {
            // Nothing below a directory that is not there looks like nothing below an empty one.
            fs::read_dir(&self.root).map_err(failed)?;
        }
        let next = if is_more { objects.last().map(|last| last.key.clone()) } else { None };
        Ok(Page { objects, next, date: Some(date) })
    }

    pub fn delete(&self, keys: &[String], wanted: &Wanted) -> Result<Deleted, Failure> {
        let what = format!("DELETE of {} objects", keys.len());
        let failed = |error: io::Error| self.failure(&what, &error);
        if keys.len() > PAGE {
            return Err(self.dated(Failure::new(Kind::Refused, format!("{what}: at most {PAGE} at once"))));
        }
        let paths = keys.iter().map(|key| self.path_of(key, &what)).collect::<Result<Vec<_>, _>>()?;
        self.prepare(&what)?;
        let publication = Publication::exclusive(&self.publication()).map_err(failed)?;
        wanted.check(&what)?;
        let mut changed = BTreeSet::new();
        let mut first_failure = None;
        for path in &paths {
            match fs::remove_file(path) {
                Ok(()) => changed.extend(path.parent()),
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
                Err(error) => first_failure = first_failure.or(Some(error)),
            }
        }
        for directory in changed {
            sync_directory(directory).map_err(failed)?;
        }
        match first_failure {
            Some(error) => Err(failed(error)),
            None => Ok(Deleted { date: Some(publication.time(&self.clock)) }),
        }
    }

    fn publication(&self) -> PathBuf {
        self.root.join(OWN).join("publication")
    }

    fn temporaries(&self) -> PathBuf {
        self.root.join(OWN).join("tmp")
    }

    fn time(&self) -> Stamp {
        time_now(&self.publication(), &self.clock)
    }

    fn path_of(&self, key: &str, what: &str) -> Result<PathBuf, Failure> {
        if key.split('/').all(is_part) {
            Ok(self.root.join(key))
        } else {
            Err(self.dated(Failure::new(Kind::Refused, format!("{what}: this is no key"))))
        }
    }

    /// Before the first write of this process: makes the store's own directory, sees that the file system can be used, and
    /// removes what killed processes left.
    fn prepare(&self, what: &str) -> Result<(), Failure> {
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        if durable.is_some() && self.temporaries().is_dir() {
            return Ok(());
        }
        let failed = |error: io::Error| self.failure(what, &error);
        for directory in [self.root.join(OWN), self.temporaries()] {
            match fs::create_dir(&directory) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed(error)),
                _ => {}
            }
        }
        OpenOptions::new().write(true).create(true).truncate(false).open(self.publication()).map_err(failed)?;
        if self.root.join(OWN).join("PUBLICATION").exists() {
            // The namespaces `a` and `A` would be one.
            let message = format!("{what}: the file system of {} does not tell small letters from capitals", self.root.display());
            return Err(self.dated(Failure::new(Kind::Refused, message)));
        }
        remove_stale(&self.temporaries());
        *durable = Some(HashSet::new());
        Ok(())
    }

    /// Makes the directory of `key`, and sees to it that it is on the disk. Under the lock.
    fn make_parent(&self, key: &str) -> io::Result<PathBuf> {
        let above = key.rfind('/').map_or("", |slash| &key[..slash]);
        let parent = self.root.join(above);
        let is_known = |durable: &Option<HashSet<String>>| durable.as_ref().is_some_and(|known| known.contains(above));
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        if above.is_empty() || (is_known(&durable) && parent.is_dir()) {
            return Ok(parent);
        }
        let mut directory = self.root.clone();
        for part in above.split('/') {
            let holder = directory.clone();
            directory.push(part);
            match fs::create_dir(&directory) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                // Also where it was there: whoever made it may have been killed before this.
                _ => sync_directory(&holder)?,
            }
        }
        durable.get_or_insert_default().insert(above.to_owned());
        Ok(parent)
    }

    fn greatest_stamp(&self) -> io::Result<Stamp> {
        let mut greatest = Stamp::ZERO;
        walk(&self.root, "", None, &mut |listed| {
            greatest = greatest.max(listed.stamp);
            ControlFlow::Continue(())
        })?;
        Ok(greatest)
    }

    fn absent(&self, what: &str) -> Failure {
        match fs::metadata(&self.root) {
            Ok(root) if root.is_dir() => self.dated(Failure::new(Kind::NotFound, format!("{what}: no such object"))),
            Ok(_) => Failure::new(Kind::NoSuchStore, format!("{what}: {} is no directory", self.root.display())),
            Err(error) => self.failure(what, &error),
        }
    }

    fn failure(&self, what: &str, error: &io::Error) -> Failure {
        let root = self.root.display();
        let is_missing = || !self.root.is_dir();
        let (kind, message) = match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory if is_missing() => (Kind::NoSuchStore, format!("there is no directory {root}")),
            ErrorKind::PermissionDenied => (Kind::Denied, format!("no right to do this in {root} ({error})")),
            ErrorKind::ReadOnlyFilesystem => (Kind::Denied, format!("{root} is mounted read-only ({error})")),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (Kind::Refused, format!("no space is left for {root} ({error})")),
            ErrorKind::FileTooLarge
            | ErrorKind::IsADirectory
            | ErrorKind::NotADirectory
            | ErrorKind::CrossesDevices
            | ErrorKind::InvalidFilename
            | ErrorKind::InvalidInput
            | ErrorKind::Unsupported => (Kind::Refused, format!("the file system of {root} refuses it ({error})")),
            _ => (Kind::Unavailable, format!("{root}: {error}")),
        };
        self.dated(Failure::new(kind, format!("{what}: {message}")))
    }

    fn dated(&self, failure: Failure) -> Failure {
        Failure { date: Some(self.time()), ..failure }
    }
}

/// A file that holds an object before it is published. It is locked as long as its owner lives, and removed unless it was
/// published.
struct Temporary {
    file: File,
    path: PathBuf,
    is_published: bool,
}

impl Temporary {
    fn create(directory: &Path) -> io::Result<Temporary> {
        let path = directory.join(format!("{:032x}", rand::random::<u128>()));
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        let temporary = Temporary { file, path, is_published: false };
        temporary.file.try_lock()?;
        Ok(temporary)
    }

    /// Gives the file its stamp, and flushes it to the disk.
    fn stamp(&self, stamp: Stamp) -> io::Result<()> {
        let nanos = u64::try_from(stamp.as_nanos()).map_err(|_| io::Error::new(ErrorKind::InvalidInput, "the clock stands before 1970"))?;
        self.file.set_times(FileTimes::new().set_modified(SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos)))?;
        if self::stamp(&self.file.metadata()?) != stamp {
            return Err(io::Error::new(ErrorKind::Unsupported, "it does not keep times to the nanosecond"));
        }
        self.file.sync_all()
    }

    fn publish(&mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)?;
        self.is_published = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_published {
            // Whoever starts next removes it otherwise.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes the temporary files whose owners are dead. What cannot be removed does no harm.
fn remove_stale(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let Ok(file) = File::open(&path) else { continue };
        let is_old = file.metadata().and_then(|metadata| metadata.modified()).is_ok_and(|modified| {
            // A time in the future is of no use, and this file is as old as it gets.
            SystemTime::now().duration_since(modified).is_ok_and(|age| age > STALE)
        });
        if is_old && file.try_lock().is_ok() {
            let _ = fs::remove_file(&path);
        }
    }
}

/// Sees to it that what was created, renamed or removed in `directory` is on the disk.
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
