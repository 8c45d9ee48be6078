//! What a handle stands for. Looking a handle up takes no lock and writes to no memory that other threads read, so that readers
//! on many cores do not slow each other down.
//!
//! A handle is three numbers in one: the kind of thing (4 bits), a place in the table of that kind (20 bits), and the generation of that
//! place (40 bits), which grows with every use. A place whose generations are spent is not used again, so no handle is ever
//! given out twice. Generations begin at a random number: a handle of another process, or of another copy of the library, is not
//! taken for one of this table.

use crate::error::{Error, Status};
use arc_swap::ArcSwapOption;
use once_cell::sync::OnceCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The kinds of handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handle {
    Journal = 1,
    Namespace = 2,
    Queue = 3,
}

impl Handle {
    /// Why a handle of this kind is of no use.
    pub(super) fn error(self, status: Status) -> Error {
        let name = match self {
            Handle::Journal => "journal",
            Handle::Namespace => "namespace",
            Handle::Queue => "queue",
        };
        let message = match status {
            Status::Closed => format!("the {name} was closed"),
            _ => format!("this is no handle of a {name}"),
        };
        Error::new(status, message)
    }
}

const PLACE_BITS: u32 = 20;
const GENERATION_BITS: u32 = 40;
const LAST_GENERATION: u64 = (1 << GENERATION_BITS) - 1;
const KIND_SHIFT: u32 = PLACE_BITS + GENERATION_BITS;

/// Places are allocated this many at a time; few under Miri, which takes its time for each.
const CHUNK: usize = if cfg!(miri) { 1 << 3 } else { 1 << 10 };
/// How many things of one kind can be open at once: 65,536.
const CHUNKS: usize = 1 << 6;

/// The handles of one kind.
pub(super) struct Table<T> {
    kind: Handle,
    /// Where generations begin; 0 until the first use.
    first: AtomicU64,
    chunks: [OnceCell<Box<[Place<T>]>>; CHUNKS],
    vacant: Mutex<Vacant>,
}

struct Place<T> {
    /// The generation that the next use gets. All from the table's first one up to here were given out.
    next: AtomicU64,
    tenant: ArcSwapOption<Tenant<T>>,
}

struct Tenant<T> {
    handle: u64,
    value: Arc<T>,
}

/// Which places are free.
struct Vacant {
    /// Places that were used and are free again.
    left: Vec<usize>,
    /// The first place that was never used.
    fresh: usize,
}

impl<T> Table<T> {
    pub(super) const fn new(kind: Handle) -> Table<T> {
        Table {
            kind,
            first: AtomicU64::new(0),
            chunks: [const { OnceCell::new() }; CHUNKS],
            vacant: Mutex::new(Vacant { left: Vec::new(), fresh: 0 }),
        }
    }

    /// Gives `value` a handle. BUSY where no place is free.
    pub(super) fn insert(&self, value: Arc<T>) -> Result<u64, Error> {
        let mut vacant = self.vacant.lock().unwrap_or_else(PoisonError::into_inner);
        if self.first.load(Ordering::Acquire) == 0 {
            // In the lower half, so that there is as much again for use.
            self.first.store(1 + rand::random::<u64>() % (LAST_GENERATION / 2), Ordering::Release);
        }
        let number = match vacant.left.pop() {
            Some(number) => number,
            None if vacant.fresh < CHUNK * CHUNKS => {
                vacant.fresh += 1;
                vacant.fresh - 1
            }
            None => return Err(Error::new(Status::Busy, format!("{} handles of this kind are open", CHUNK * CHUNKS))),
        };
        let first = self.first.load(Ordering::Acquire);
        let chunk = self.chunks[number / CHUNK].get_or_init(|| {
            std::iter::repeat_with(|| Place { next: AtomicU64::new(first), tenant: ArcSwapOption::empty() }).take(CHUNK).collect()
        });
        let place = &chunk[number % CHUNK];
        let generation = place.next.fetch_add(1, Ordering::AcqRel);
        let handle = (self.kind as u64) << KIND_SHIFT | generation << PLACE_BITS | number as u64;
        place.tenant.store(Some(Arc::new(Tenant { handle, value })));
        Ok(handle)
    }

    /// Lends what `handle` stands for to `work`. CLOSED where it was given out and removed, BAD_HANDLE where it never was given out.
    #[inline]
    pub(super) fn with<R>(&self, handle: u64, work: impl FnOnce(&Arc<T>) -> R) -> Result<R, Status> {
        let place = self.place(handle).ok_or(Status::BadHandle)?;
        match &*place.tenant.load() {
            Some(tenant) if tenant.handle == handle => Ok(work(&tenant.value)),
            _ => Err(self.missing(handle, place)),
        }
    }

    /// What `handle` stands for, to keep. As [`Table::with`].
    pub(super) fn get(&self, handle: u64) -> Result<Arc<T>, Status> {
        self.with(handle, Arc::clone)
    }

    /// Takes a handle out. From now on it is CLOSED; who works with what it stood for goes on. Does nothing the second time.
    pub(super) fn remove(&self, handle: u64) {
        let mut vacant = self.vacant.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(place) = self.place(handle) else { return };
        if place.tenant.load().as_ref().is_none_or(|tenant| tenant.handle != handle) {
            return;
        }
        let tenant = place.tenant.swap(None);
        if place.next.load(Ordering::Acquire) <= LAST_GENERATION {
            vacant.left.push(number(handle));
        }
        drop(vacant);
        // Dropping what the handle stood for may take long, and may come back here.
        drop(tenant);
    }

    /// Takes out all that `is_over` names.
    pub(super) fn remove_where(&self, is_over: impl Fn(&T) -> bool) {
        let used = self.vacant.lock().unwrap_or_else(PoisonError::into_inner).fresh;
        let places = self.chunks.iter().filter_map(OnceCell::get).flatten().take(used);
        let over = places.filter_map(|place| {
            let tenant = place.tenant.load();
            tenant.as_ref().filter(|tenant| is_over(&tenant.value)).map(|tenant| tenant.handle)
        });
        // Nothing is borrowed any more when it is dropped.
        let over: Vec<u64> = over.collect();
        over.into_iter().for_each(|handle| self.remove(handle));
    }

    #[inline]
    fn place(&self, handle: u64) -> Option<&Place<T>> {
        if handle >> KIND_SHIFT != self.kind as u64 {
            return None;
        }
        let number = number(handle);
        self.chunks.get(number / CHUNK)?.get()?.get(number % CHUNK)
    }

    #[cold]
    fn missing(&self, handle: u64, place: &Place<T>) -> Status {
        let generation = handle >> PLACE_BITS & LAST_GENERATION;
        let given_out = self.first.load(Ordering::Acquire)..place.next.load(Ordering::Acquire);
        if given_out.contains(&generation) { Status::Closed } else { Status::BadHandle }
    }
}

/// The place that a handle names.
fn number(handle: u64) -> usize {
    (handle & ((1 << PLACE_BITS) - 1)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn closed_stale_foreign_and_zero_are_told_apart() {
        let table = Table::new(Handle::Namespace);
        assert_eq!(table.get(0), Err(Status::BadHandle));
        let first = table.insert(Arc::new("first")).expect("room");
        assert_eq!(table.get(first).as_deref(), Ok(&"first"));
        table.remove(first);
        table.remove(first);
        assert_eq!(table.get(first), Err(Status::Closed));

        let second = table.insert(Arc::new("second")).expect("room");
        assert_eq!(number(first), number(second), "the place is used again");
        assert_eq!(table.get(first), Err(Status::Closed), "and the old handle does not reach the new tenant");
        table.remove(first);
        assert_eq!(table.get(second).as_deref(), Ok(&"second"));

        let next_generation = second + (1 << PLACE_BITS);
        let (another_place, another_kind) = (second + 1, second ^ 3 << KIND_SHIFT);
        let far_place = second | ((1 << PLACE_BITS) - 1);
        for foreign in [next_generation, another_place, another_kind, far_place, 1, u64::MAX, second - (2 << PLACE_BITS)] {
            assert_eq!(table.get(foreign), Err(Status::BadHandle), "{foreign:x}");
        }
        let other: Table<&str> = Table::new(Handle::Namespace);
        assert_eq!(other.get(second), Err(Status::BadHandle), "another table has other handles");
    }

    #[test]
    fn no_handle_is_given_out_twice_and_the_number_open_is_bounded() {
        let table = Table::new(Handle::Queue);
        let value = Arc::new(());
        let mut seen = HashSet::new();
        for _ in 0..3 {
            let open: Vec<u64> = (0..2 * CHUNK).map(|_| table.insert(value.clone()).expect("room")).collect();
            assert!(open.iter().all(|handle| *handle != 0 && seen.insert(*handle)));
            open.into_iter().for_each(|handle| table.remove(handle));
        }
        let all: Vec<u64> = (0..CHUNK * CHUNKS).map(|_| table.insert(value.clone()).expect("room")).collect();
        assert_eq!(table.insert(value.clone()).expect_err("full").status, Status::Busy);
        table.remove(all[7]);
        assert!(table.insert(value).is_ok_and(|handle| !seen.contains(&handle) && handle != all[7]));
    }

    #[test]
    fn what_is_over_is_taken_out_and_dropped_once_nothing_is_borrowed() {
        /// Comes back to the table when it is dropped.
        struct Back<'t>(u64, &'t Mutex<Vec<u64>>);
        impl Drop for Back<'_> {
            fn drop(&mut self) {
                self.1.lock().expect("no panic").push(self.0);
            }
        }
        let dropped = Mutex::new(Vec::new());
        let table = Table::new(Handle::Namespace);
        let handles: Vec<u64> = (0..CHUNK as u64 + 5).map(|number| table.insert(Arc::new(Back(number, &dropped))).expect("room")).collect();
        table.remove(handles[2]);
        table.remove_where(|back| back.0 % 2 == 0);
        for (number, handle) in handles.iter().enumerate() {
            assert_eq!(table.get(*handle).map(|back| back.0).ok(), (number % 2 == 1).then_some(number as u64));
        }
        let mut gone = std::mem::take(&mut *dropped.lock().expect("no panic"));
        gone.sort_unstable();
        assert_eq!(gone, (0..CHUNK as u64 + 5).step_by(2).collect::<Vec<_>>());
    }

    #[test]
    fn a_place_whose_generations_are_spent_is_left_alone() {
        let table = Table::new(Handle::Journal);
        let handle = table.insert(Arc::new(())).expect("room");
        table.place(handle).expect("there").next.store(LAST_GENERATION, Ordering::Release);
        table.remove(handle);
        let last = table.insert(Arc::new(())).expect("room");
        assert_eq!((number(last), last >> PLACE_BITS & LAST_GENERATION), (number(handle), LAST_GENERATION));
        table.remove(last);
        assert_ne!(number(table.insert(Arc::new(())).expect("room")), number(handle));
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri runs one thread at a time, and these spin")]
    fn readers_see_a_value_or_that_it_is_gone_while_handles_come_and_go() {
        let table: Table<u64> = Table::new(Handle::Namespace);
        let current = AtomicU64::new(0);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        match table.with(current.load(Ordering::Acquire), |value| **value) {
                            Ok(value) => assert_eq!(value, 42),
                            Err(status) => assert!(matches!(status, Status::Closed | Status::BadHandle)),
                        }
                    }
                });
            }
            for _ in 0..20_000 {
                let handle = table.insert(Arc::new(42)).expect("room");
                current.store(handle, Ordering::Release);
                table.remove(handle);
            }
            done.store(true, Ordering::Relaxed);
        });
    }
}
