//! One process of the world: the `Environment` of the engine that runs in it.

use super::{Inhabitant, ProcessId, SECOND, Time, World};
use crate::dice::Dice;
use futures_util::future::BoxFuture;
use opjournal::environment::Environment;
use opjournal::time::Reading;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub struct Process {
    world: World,
    id: ProcessId,
    name: String,
    /// What its clock showed as it started.
    origin: Time,
    started: Time,
    /// Nanoseconds of its clock in a millisecond of the world.
    rate: u64,
    dice: Mutex<Dice>,
}

impl World {
    /// Starts a process. Its clock has an origin of its own.
    pub fn process(&self, name: impl Into<String>) -> Arc<Process> {
        let mut inner = self.inner();
        let id = ProcessId(inner.processes.len() as u32);
        let name = name.into();
        inner.processes.push(Inhabitant { name: name.clone(), alive: true, frozen: false, parked: Vec::new() });
        let origin = inner.dice.within(SECOND..1_000_000 * SECOND);
        let drift = inner.scheduling.drift_ppm;
        let rate = 1_000_000 - drift + inner.dice.within(0..2 * drift + 1);
        let dice = Mutex::new(Dice::new(inner.dice.next(), "process"));
        Arc::new(Process { world: self.clone(), id, name, origin, started: inner.now, rate, dice })
    }
}

impl Process {
    pub fn id(&self) -> ProcessId {
        self.id
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn world(&self) -> &World {
        &self.world
    }

    /// The moment of the world at which this process' clock shows `reading`.
    fn moment_of(&self, reading: Reading) -> Time {
        let elapsed = u128::from(reading.0.saturating_sub(self.origin)) * 1_000_000;
        // Rounded up, so that the clock has reached the reading when the timer fires.
        self.started.saturating_add(u64::try_from(elapsed.div_ceil(u128::from(self.rate))).unwrap_or(u64::MAX))
    }

    /// Waits, as the code of a client does.
    pub async fn pause(&self, duration: Time) {
        self.world.sleep_until(self.world.now().saturating_add(duration)).await;
    }

    /// A deadline so far from now, on this process' clock.
    pub fn after(&self, duration: Time) -> Reading {
        self.now() + Duration::from_nanos(duration)
    }
}

impl Environment for Process {
    fn now(&self) -> Reading {
        let elapsed = u128::from(self.world.now() - self.started) * u128::from(self.rate) / 1_000_000;
        Reading(self.origin + elapsed as u64)
    }

    fn sleep_until(&self, when: Reading) -> BoxFuture<'static, ()> {
        let mut moment = self.moment_of(when);
        if moment > self.world.now() {
            let mut inner = self.world.inner();
            let slack = inner.scheduling.timer_slack;
            moment = moment.saturating_add(inner.dice.within(0..slack + 1));
        }
        Box::pin(self.world.sleep_until(moment))
    }

    fn random(&self) -> u64 {
        self.dice.lock().expect("dice do not panic").next()
    }

    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) {
        self.world.spawn(self.id, name, task);
    }

    fn compute(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let mut inner = self.world.inner();
        let longest = inner.scheduling.compute;
        let duration = inner.dice.within(0..longest + 1);
        let end = inner.now + duration;
        drop(inner);
        // A task of its own: a job that was begun goes on when nobody waits for it any more.
        let (ended, wait) = tokio::sync::oneshot::channel();
        let sleep = self.world.sleep_until(end);
        self.world.spawn(
            self.id,
            "compute",
            Box::pin(async move {
                sleep.await;
                job();
                let _ = ended.send(());
            }),
        );
        Box::pin(async move {
            let _ = wait.await;
        })
    }
}
