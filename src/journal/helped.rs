//! A task that another thread may run a step of, where nobody else is running one: a caller that would only wait for the
//! task does its work itself, and spares the way to a thread that has to wake up first.
//!
//! Invariants:
//!
//! - At most one thread runs a step at any time.
//! - A wake-up that comes while a step runs is not lost: the task itself runs another step after it.
//! - A panic in a step that somebody else runs is the task's own: it goes on there, and the future is dropped first.
//! - The work ends with the task: where a runtime drops the task, the future is dropped as well, by a step that is running, at its end.
//!   What the future waits for holds wakers that hold it, so that it would live for ever otherwise.

use futures_util::future::BoxFuture;
use futures_util::task::AtomicWaker;
use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// A step is running.
const RUNNING: u8 = 1;
/// A step is due.
const WOKEN: u8 = 2;
/// The task is gone.
const DROPPED: u8 = 4;

pub struct Helped {
    phase: AtomicU8,
    work: Mutex<Work>,
    /// The task, as its runtime knows it.
    task: AtomicWaker,
}

enum Work {
    Going(BoxFuture<'static, ()>),
    Panicked(Box<dyn Any + Send>),
    Done,
}

impl Helped {
    pub fn new(work: BoxFuture<'static, ()>) -> Arc<Helped> {
        Arc::new(Helped { phase: AtomicU8::new(0), work: Mutex::new(Work::Going(work)), task: AtomicWaker::new() })
    }

    /// The task itself: runs whenever a step is due and nobody helps.
    pub async fn run(self: Arc<Self>) {
        let _task = Task(&self);
        poll_fn(|context| {
            self.task.register(context.waker());
            let before = self.phase.fetch_update(Ordering::AcqRel, Ordering::Acquire, |phase| {
                Some(if phase & RUNNING == 0 { RUNNING } else { phase | WOKEN })
            });
            match before {
                Ok(phase) if phase & RUNNING == 0 => Step(&self).run(),
                // Whoever runs a step wakes this task after it.
                _ => Poll::Pending,
            }
        })
        .await;
    }

    /// The right to run the next step here; nothing where another one is running.
    pub fn help(self: &Arc<Self>) -> Option<Step<'_>> {
        let begin = |phase| (phase & RUNNING == 0).then_some(phase | RUNNING);
        self.phase.fetch_update(Ordering::AcqRel, Ordering::Acquire, begin).ok().map(|_| Step(self))
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drop_work(&self) {
        let work = std::mem::replace(&mut *self.work(), Work::Done);
        drop(work);
    }
}

/// The task, as long as it lives.
struct Task<'a>(&'a Helped);

impl Drop for Task<'_> {
    fn drop(&mut self) {
        if self.0.phase.fetch_or(DROPPED, Ordering::AcqRel) & RUNNING == 0 {
            self.0.drop_work();
        }
    }
}

/// What the work is woken through.
impl Wake for Helped {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.phase.fetch_or(WOKEN, Ordering::AcqRel) == 0 {
            self.task.wake();
        }
    }
}

/// The right to run a step. Wake-ups wait until it is dropped.
pub struct Step<'a>(&'a Arc<Helped>);

impl Step<'_> {
    /// Runs a step for the task, which hears of its end and of its panic.
    pub fn run_for_task(self) {
        match catch_unwind(AssertUnwindSafe(|| self.run())) {
            Ok(Poll::Pending) => return,
            Ok(Poll::Ready(())) => {}
            Err(panic) => *self.0.work() = Work::Panicked(panic),
        }
        self.0.phase.fetch_or(WOKEN, Ordering::AcqRel);
    }

    fn run(&self) -> Poll<()> {
        // What woke the task so far is served by this step.
        self.0.phase.fetch_and(!WOKEN, Ordering::AcqRel);
        let mut work = self.0.work();
        match std::mem::replace(&mut *work, Work::Done) {
            Work::Going(mut future) => {
                let waker = Waker::from(self.0.clone());
                let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
                if polled.is_pending() {
                    *work = Work::Going(future);
                }
                polled
            }
            Work::Panicked(panic) => {
                drop(work);
                resume_unwind(panic)
            }
            Work::Done => Poll::Ready(()),
        }
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        let phase = self.0.phase.fetch_and(!RUNNING, Ordering::AcqRel);
        if phase & DROPPED != 0 {
            self.0.drop_work();
        } else if phase & WOKEN != 0 {
            self.0.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::sync::atomic::AtomicUsize;
    use tokio::sync::Notify;

    /// Counts how often a runtime would have been asked to run the task.
    #[derive(Default)]
    struct Asked(AtomicUsize);

    impl Wake for Asked {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A task that counts one for each notice, and ends after `most`.
    fn counting(most: usize) -> (Arc<Helped>, Arc<Notify>, Arc<AtomicUsize>) {
        let (notice, counted) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        let (noticed, count) = (notice.clone(), counted.clone());
        let work = async move {
            for _ in 0..most {
                noticed.notified().await;
                count.fetch_add(1, Ordering::SeqCst);
            }
        };
        (Helped::new(work.boxed()), notice, counted)
    }

    #[test]
    fn a_helper_runs_the_step_that_it_caused_and_the_task_sleeps_on() {
        let (helped, notice, counted) = counting(2);
        let asked = Arc::new(Asked::default());
        let waker = Waker::from(asked.clone());
        let mut task = Box::pin(helped.clone().run());
        assert!(task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let step = helped.help().expect("nobody runs");
        assert!(helped.help().is_none(), "one at a time");
        notice.notify_one();
        assert_eq!(asked.0.load(Ordering::SeqCst), 0, "the helper runs it");
        step.run_for_task();
        assert_eq!((counted.load(Ordering::SeqCst), asked.0.load(Ordering::SeqCst)), (1, 0));
        // The last step ends the work, and the task must hear of it.
        let step = helped.help().expect("nobody runs");
        notice.notify_one();
        step.run_for_task();
        assert_eq!((counted.load(Ordering::SeqCst), asked.0.load(Ordering::SeqCst)), (2, 1));
        assert!(task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
    }

    #[test]
    fn a_wake_up_during_a_step_that_was_not_run_reaches_the_task() {
        let (helped, notice, counted) = counting(1);
        let asked = Arc::new(Asked::default());
        let waker = Waker::from(asked.clone());
        let mut task = Box::pin(helped.clone().run());
        assert!(task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let step = helped.help().expect("nobody runs");
        notice.notify_one();
        drop(step);
        assert_eq!(asked.0.load(Ordering::SeqCst), 1);
        assert!(task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
        assert_eq!(counted.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_panic_is_the_task_s_own() {
        let helped = Helped::new(async { panic!("deep inside") }.boxed());
        helped.help().expect("nobody runs").run_for_task();
        let panic = catch_unwind(AssertUnwindSafe(|| helped.clone().run().now_or_never())).expect_err("it goes on in the task");
        assert_eq!(panic.downcast_ref(), Some(&"deep inside"));
        assert!(helped.run().now_or_never().is_some(), "and the task is over");
    }

    /// A task whose work waits for ever, through a waker that is a part of it, and what tells whether the work is still there.
    fn endless() -> (Arc<Helped>, std::sync::Weak<Notify>) {
        let notice = Arc::new(Notify::new());
        let is_there = Arc::downgrade(&notice);
        let work = async move {
            loop {
                notice.notified().await;
            }
        };
        (Helped::new(work.boxed()), is_there)
    }

    #[test]
    fn the_work_ends_with_its_task() {
        let (helped, is_there) = endless();
        let mut task = Box::pin(helped.clone().run());
        assert!(task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(task);
        assert!(is_there.upgrade().is_none());
        helped.help().expect("nobody runs").run_for_task();
    }

    #[test]
    fn the_work_of_a_task_that_ends_within_a_step_ends_after_it() {
        let (helped, is_there) = endless();
        let mut task = Box::pin(helped.clone().run());
        assert!(task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let step = helped.help().expect("nobody runs");
        drop(task);
        assert!(is_there.upgrade().is_some(), "the step may be at it");
        step.run_for_task();
        assert!(is_there.upgrade().is_none());
    }

    #[test]
    fn helpers_and_the_task_lose_no_notice_between_them() {
        const NOTICES: usize = if cfg!(miri) { 200 } else { 20_000 };
        let counted = Arc::new(AtomicUsize::new(0));
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel::<()>();
        let count = counted.clone();
        let work = async move {
            while receiver.recv().await.is_some() {
                count.fetch_add(1, Ordering::SeqCst);
            }
        };
        let helped = Helped::new(work.boxed());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
        let task = runtime.spawn(helped.clone().run());
        std::thread::scope(|scope| {
            for _ in 0..3 {
                let (helped, sender) = (&helped, sender.clone());
                scope.spawn(move || {
                    for number in 0..NOTICES {
                        let step = helped.help();
                        sender.send(()).expect("the task lives");
                        if let Some(step) = step
                            && number % 3 > 0
                        {
                            step.run_for_task();
                        }
                    }
                });
            }
        });
        drop(sender);
        runtime.block_on(task).expect("the task ends by itself");
        assert_eq!(counted.load(Ordering::SeqCst), 3 * NOTICES);
    }
}
