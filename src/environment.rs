//! What the engine takes from outside, so that a whole fleet can run in one thread under a simulated clock: time,
//! randomness and the running of tasks. (The store comes in from outside as well: [`crate::store::Store`].)

use crate::time::Reading;
use futures_util::future::BoxFuture;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// Where the engine gets its time, its randomness and its tasks.
///
/// The engine uses no other clock, timer, thread or source of randomness. Two runs with the same answers from an
/// environment and a store take the same steps in the same order.
pub trait Environment: Send + Sync + 'static {
    /// A clock that never goes back and that goes on while the machine is suspended (`CLOCK_BOOTTIME`).
    fn now(&self) -> Reading;

    /// Ends at `when` or later. It may end much later (the timer of a suspended machine does): look at `now`
    /// afterwards.
    fn sleep_until(&self, when: Reading) -> BoxFuture<'static, ()>;

    /// 64 bits that nobody else in the fleet draws.
    fn random(&self) -> u64;

    /// Runs `task` until it ends, beside the caller. `name` is for people who look at a stuck process.
    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>);

    /// Runs a long computation where it holds up no other task. The future ends when the job has.
    fn compute(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()>;
}

/// The time for something was over before it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

/// Waits for `future`, at most until `deadline` (`None`: as long as it takes). The future is dropped when its time is
/// over.
pub async fn until<T>(
    environment: &Arc<dyn Environment>,
    deadline: Option<Reading>,
    future: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    let Some(deadline) = deadline else { return Ok(future.await) };
    let late = environment.sleep_until(deadline);
    tokio::select! {
        // Biased, so that a simulated fleet takes the same branch in every run, and what is done wins over what is
        // late.
        biased;
        value = future => Ok(value),
        () = late => Err(Elapsed),
    }
}

/// Waits for `future` at most for `limit` from now.
pub async fn within<T>(environment: &Arc<dyn Environment>, limit: Duration, future: impl Future<Output = T>) -> Result<T, Elapsed> {
    until(environment, Some(environment.now() + limit), future).await
}

/// A random number from 0 up to 1, which is not reached.
pub fn fraction(environment: &Arc<dyn Environment>) -> f64 {
    (environment.random() >> 40) as f64 / (1 << 24) as f64
}

/// Runs a long computation where it holds up no other task, and returns what it makes. Nothing where the environment
/// gave the job up.
pub async fn compute<T: Send + 'static>(environment: &Arc<dyn Environment>, job: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    environment
        .compute(Box::new(move || {
            // The receiver lives until the job's future has ended; should it not, nobody wants the value.
            let _ = sender.send(job());
        }))
        .await;
    receiver.await.ok()
}

/// The environment of a real process: a tokio runtime and the kernel's clock and randomness.
pub struct Process {
    runtime: tokio::runtime::Handle,
}

impl Process {
    pub fn new(runtime: tokio::runtime::Handle) -> Process {
        Process { runtime }
    }
}

impl Environment for Process {
    fn now(&self) -> Reading {
        boot_time()
    }

    fn sleep_until(&self, when: Reading) -> BoxFuture<'static, ()> {
        let duration = when.since(boot_time());
        let _guard = self.runtime.enter();
        Box::pin(tokio::time::sleep(duration))
    }

    fn random(&self) -> u64 {
        rand::random()
    }

    fn spawn(&self, _name: &'static str, task: BoxFuture<'static, ()>) {
        self.runtime.spawn(task);
    }

    fn compute(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let done = self.runtime.spawn_blocking(job);
        Box::pin(async move {
            if let Err(failure) = done.await {
                // A job that panics must not look like one that ended.
                if let Ok(panic) = failure.try_into_panic() {
                    std::panic::resume_unwind(panic);
                }
            }
        })
    }
}

/// The kernel's clock that counts suspend.
pub(crate) fn boot_time() -> Reading {
    use rustix::time::{ClockId, clock_gettime};
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: ClockId = ClockId::Boottime;
    // Apple's CLOCK_MONOTONIC goes on while the machine sleeps.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK: ClockId = ClockId::Monotonic;
    let time = clock_gettime(CLOCK);
    // Neither part of a reading since the machine started is negative.
    Reading(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}
