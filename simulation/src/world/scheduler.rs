//! What runs next: a task that is ready, or the next timer where none is.

use super::{Inner, Panicked, ProcessId, Shared, Time, World, panics};
use futures_util::future::BoxFuture;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, Weak};
use std::task::{Context, Poll, Wake, Waker};

/// So many polls without the clock moving mean that something spins.
const SPIN_LIMIT: u64 = 200_000;

type Event = Box<dyn FnOnce() + Send>;
pub(super) type TaskId = u64;

pub(super) enum Timer {
    Wake(Waker),
    Event(Event),
}

pub(super) struct Task {
    pub(super) process: ProcessId,
    name: &'static str,
    /// Absent while it is polled.
    future: Option<BoxFuture<'static, ()>>,
    waker: Arc<TaskWaker>,
}

struct TaskWaker {
    shared: Weak<Shared>,
    id: TaskId,
    /// Whether it waits to be polled already.
    woken: AtomicBool,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if !self.woken.swap(true, Ordering::Relaxed)
            && let Some(shared) = self.shared.upgrade()
        {
            shared.woken.lock().expect("wakers do not panic").push(self.id);
        }
    }
}

impl World {
    /// Runs until `end`, or until something panicked or spins. The clock stands at `end` afterwards.
    pub fn run_until(&self, end: Time) {
        while self.inner().panics.is_empty() && self.step(end) {}
    }

    /// One step: a poll of one task, or one timer. False once nothing is left to do before `end`.
    fn step(&self, end: Time) -> bool {
        let mut inner = self.inner();
        {
            let mut woken = self.0.woken.lock().expect("wakers do not panic");
            // By task, not in the order of waking: `tokio::sync::watch` wakes its receivers in an order that it draws from a dice of its own.
            woken.sort_unstable();
            inner.ready.extend(woken.drain(..));
        }
        if inner.steps_at_this_moment > SPIN_LIMIT {
            let message = format!("{SPIN_LIMIT} polls and the clock has not moved: a task spins");
            inner.panicked("world".to_owned(), "scheduler", message);
            return false;
        }
        match inner.take_ready() {
            Some(id) => {
                self.poll(inner, id);
                true
            }
            None => self.fire(inner, end),
        }
    }

    /// Fires the next timer, if there is one before `end`.
    fn fire(&self, mut inner: MutexGuard<'_, Inner>, end: Time) -> bool {
        let Some((when, timer)) = inner.take_timer(end) else {
            self.set_now(&mut inner, end);
            return false;
        };
        if when > inner.now {
            self.set_now(&mut inner, when);
            inner.steps_at_this_moment = 0;
        }
        drop(inner);
        match timer {
            Timer::Wake(waker) => waker.wake(),
            Timer::Event(event) => event(),
        }
        true
    }

    /// Polls a task, unless it has ended or its process is frozen.
    fn poll(&self, mut inner: MutexGuard<'_, Inner>, id: TaskId) {
        let Inner { tasks, processes, .. } = &mut *inner;
        let Some(task) = &mut tasks[id as usize] else { return };
        let (process, name) = (task.process, task.name);
        let inhabitant = &mut processes[process.0 as usize];
        if inhabitant.frozen {
            inhabitant.parked.push(id);
            return;
        }
        let Some(mut future) = task.future.take() else { return };
        task.waker.woken.store(false, Ordering::Relaxed);
        let waker = Waker::from(task.waker.clone());
        inner.steps_at_this_moment += 1;
        let now = inner.now;
        inner.mix(now);
        inner.mix(id);
        drop(inner);

        let polled = panics::caught(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(&waker))));
        let mut inner = self.inner();
        match polled {
            Ok(Poll::Pending) => match &mut inner.tasks[id as usize] {
                Some(task) => task.future = Some(future),
                // Its process was crashed by what it did.
                None => {
                    drop(inner);
                    drop(future);
                }
            },
            Ok(Poll::Ready(())) => {
                let ended = inner.tasks[id as usize].take();
                drop(inner);
                drop((ended, future));
            }
            Err(message) => {
                let process = inner.processes[process.0 as usize].name.clone();
                inner.panicked(process, name, message);
                drop(inner);
                // What a future holds after a panic may panic again as it is dropped.
                std::mem::forget(future);
            }
        }
    }

    pub(super) fn spawn(&self, process: ProcessId, name: &'static str, future: BoxFuture<'static, ()>) {
        let mut inner = self.inner();
        if !inner.processes[process.0 as usize].alive {
            drop(inner);
            drop(future);
            return;
        }
        let id = inner.tasks.len() as TaskId;
        let waker = Arc::new(TaskWaker { shared: Arc::downgrade(&self.0), id, woken: AtomicBool::new(true) });
        inner.tasks.push(Some(Task { process, name, future: Some(future), waker }));
        inner.ready.push_back(id);
    }

    pub(super) fn set_timer(&self, when: Time, timer: Timer) -> (Time, u64) {
        let mut inner = self.inner();
        let key = (when.max(inner.now), inner.timers_set);
        inner.timers_set += 1;
        inner.timers.insert(key, timer);
        key
    }

    fn set_now(&self, inner: &mut Inner, now: Time) {
        inner.now = inner.now.max(now);
        self.0.now.store(inner.now, Ordering::Relaxed);
    }
}

impl Inner {
    fn take_ready(&mut self) -> Option<TaskId> {
        let place =
            if self.scheduling.shuffled && !self.ready.is_empty() { self.dice.within(0..self.ready.len() as u64) as usize } else { 0 };
        self.ready.remove(place)
    }

    /// The next timer that is due by `end`.
    fn take_timer(&mut self, end: Time) -> Option<(Time, Timer)> {
        let next = self.timers.first_entry().filter(|next| next.key().0 <= end)?;
        let ((when, _), timer) = next.remove_entry();
        Some((when, timer))
    }

    fn panicked(&mut self, process: String, task: &'static str, message: String) {
        self.panics.push(Panicked { at: self.now, process, task, message });
    }
}
