//! What happens to replicas, and to the store as a whole.

use super::{Fleet, Tenant};
use crate::faults::{Fault, Weather};
use crate::history::{ReplicaId, What};
use crate::plan::Profile;
use crate::store::{Step, Traffic};
use crate::world::{ProcessId, SECOND, Time};
use opjournal::environment::Environment;

impl Fleet {
    /// Ends the replica in a place, and starts another one there later.
    pub(super) fn end_replica(&self, place: usize, replica: ReplicaId, pause: Time) {
        let gone = {
            let mut inner = self.inner();
            let stands = &mut inner.places[place];
            let runs_here = stands.tenants.iter().any(|tenant| tenant.replica == replica);
            if !runs_here || !self.0.world.is_alive(stands.process.id()) {
                return;
            }
            let gone = stands.clone();
            for tenant in &mut stands.tenants {
                tenant.handles.clear();
                tenant.journal = None;
            }
            gone
        };
        // Dropped after the crash: an engine that is gone runs no code any more, not even that of its handles.
        self.0.world.crash(gone.process.id());
        for Tenant { replica, .. } in &gone.tenants {
            self.inner().waiting.retain(|_, (other, _)| other != replica);
            self.record(What::ReplicaEnded(*replica));
        }
        drop(gone);
        let fleet = self.clone();
        self.0.world.at(self.now() + pause, move || fleet.start_replica(place));
    }

    pub(super) fn freeze(&self, process: ProcessId, duration: Time) {
        if !self.0.bucket.strikes(Fault::Frozen, || format!("{} for {} ms", self.0.world.name(process), duration / 1_000_000)) {
            return;
        }
        self.0.world.freeze(process);
        let world = self.0.world.clone();
        self.0.world.at(self.now() + duration, move || world.thaw(process));
    }

    /// A freeze matters around D, around F and past all of them.
    pub(super) fn freeze_duration(&self) -> Time {
        let fold_age = self.0.plan.fold_age;
        self.dice(|dice| {
            let most = *dice.pick(&[fold_age / 30, fold_age / 3, fold_age, 2 * fold_age, 4 * fold_age]);
            dice.within(most / 4..most)
        })
    }

    /// A freeze that the plan aims at this moment.
    fn take_aim(&self, process: ProcessId, traffic: Traffic, step: Step) {
        let Some(aimed) = self.0.plan.chaos.aimed.filter(|aimed| aimed.traffic == traffic && step == Step::Answered) else { return };
        let (hits, length) = self.dice(|dice| (dice.chance(aimed.chance), dice.within(aimed.length.0..aimed.length.1)));
        let victim = self.inner().places.iter().take(aimed.victims).position(|place| place.process.id() == process);
        if let Some(place) = victim.filter(|_| hits && self.is_active()) {
            self.freeze(process, length);
            let fleet = self.clone();
            self.outside("watcher", async move { fleet.watch_waking(place, length).await });
        }
    }

    /// What a replica shows wrongly as it wakes up, its next ticks may put right: somebody has to look in between.
    async fn watch_waking(&self, place: usize, length: Time) {
        self.0.outside.pause(length).await;
        for _ in 0..20 {
            for handle in self.place(place).tenants.iter().flat_map(|tenant| tenant.handles.values()) {
                self.look(handle, None);
            }
            self.0.outside.pause(SECOND / 4).await;
        }
    }

    pub(super) fn interfere(&self, process: ProcessId, traffic: Traffic, step: Step) {
        self.take_aim(process, traffic, step);
        let chaos = self.0.plan.chaos;
        let (is_active, freezes, crashes, sleeps_through) = {
            let mut inner = self.inner();
            let dice = &mut inner.dice;
            let (freezes, crashes) = (dice.chance(chaos.freeze_at_step), dice.chance(chaos.crash_at_step));
            let sleeps_through = dice.chance(0.3) && chaos.freeze_at_step > 0.0;
            (inner.is_active, freezes, crashes, sleeps_through)
        };
        if !is_active || self.is_spared(process) {
            return;
        }
        if let Step::Delayed { until } = step {
            // The answer lies there when the process wakes up, together with the timer that would have ended the wait.
            if sleeps_through {
                let longer = self.dice(|dice| dice.within(SECOND / 2..3 * SECOND));
                self.freeze(process, until - self.now() + longer);
            }
            return;
        }
        if freezes {
            self.freeze(process, self.freeze_duration());
        } else if crashes {
            let stands = self
                .inner()
                .places
                .iter()
                .enumerate()
                .find(|(_, place)| place.process.id() == process)
                .and_then(|(index, place)| Some((index, place.tenants.first()?.replica)));
            if let Some((place, replica)) = stands {
                let pause = self.dice(|dice| dice.around(2 * SECOND));
                if !self.0.bucket.strikes(Fault::CrashAtRequest, || format!("replica {replica} at {step:?}")) {
                    return;
                }
                // Not from inside of a poll of the process that ends.
                let fleet = self.clone();
                self.0.world.freeze(process);
                self.0.world.at(self.now(), move || fleet.end_replica(place, replica, pause));
            }
        }
    }

    /// A machine is suspended at any time, whatever its process is at.
    pub(super) async fn suspend(&self, place: usize, length: (Time, Time)) {
        let (pause, length) = self.dice(|dice| (dice.within(SECOND..30 * SECOND), dice.within(length.0..length.1)));
        self.0.outside.pause(pause).await;
        self.freeze(self.place(place).process.id(), length);
        self.watch_waking(place, length).await;
    }

    /// Waits about `mean` for the next misfortune. `false`: there are none, or no more.
    pub(super) async fn is_struck_after(&self, mean: Time) -> bool {
        if mean == 0 {
            return false;
        }
        let pause = self.dice(|dice| dice.around(mean));
        self.0.outside.pause(pause).await;
        self.is_active()
    }

    pub(super) async fn misfortunes(&self, place: usize) {
        while self.is_struck_after(self.0.plan.chaos.replica_mean).await {
            let stands = self.place(place);
            if !self.0.world.is_alive(stands.process.id()) {
                continue;
            }
            let Some(tenant) = stands.tenants.first().cloned() else { continue };
            let (kind, pause) = self.dice(|dice| (dice.within(0..10), dice.around(4 * SECOND)));
            match kind {
                0..4 => {
                    let duration = self.freeze_duration();
                    self.freeze(stands.process.id(), duration);
                }
                4..7 => {
                    if self.0.bucket.strikes(Fault::Crash, || format!("replica {}", tenant.replica)) {
                        self.end_replica(place, tenant.replica, pause);
                    }
                }
                7 => {
                    let (fleet, process) = (self.clone(), stands.process.clone());
                    if let Some(journal) = tenant.journal {
                        self.of_tenant(place, tenant.replica, |tenant| tenant.is_leaving = true);
                        process
                            .clone()
                            .spawn("closes", Box::pin(async move { fleet.close(place, tenant.replica, &process, journal, pause).await }));
                    }
                }
                _ => {
                    let (bucket, process) = (self.0.bucket.clone(), stands.process.id());
                    bucket.cut_off(process, true);
                    let duration = self.dice(|dice| dice.around(2 * self.0.plan.fold_age));
                    self.0.world.at(self.now() + duration, move || bucket.cut_off(process, false));
                }
            }
        }
    }

    pub(super) async fn weather(&self) {
        while self.is_struck_after(self.0.plan.chaos.weather_mean).await {
            let weather = self.dice(|dice| *dice.pick(&[Weather::SlowDown, Weather::Outage]));
            self.0.bucket.set_weather(weather);
            let duration = self.dice(|dice| dice.around(self.0.plan.fold_age));
            self.0.outside.pause(duration).await;
            self.0.bucket.set_weather(Weather::Fair);
        }
    }

    pub(super) async fn clocks(&self) {
        let mean = self.0.plan.chaos.clocks_mean;
        if mean == 0 {
            return;
        }
        while self.is_active() {
            let pause = self.dice(|dice| dice.around(mean));
            self.0.outside.pause(pause).await;
            if self.is_active() || self.0.plan.profile != Profile::Beyond {
                self.0.bucket.set_clocks();
            }
        }
    }
}
