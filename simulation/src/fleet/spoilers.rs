//! Segments that this version of the library cannot read, and the person who does something about them.

use super::Fleet;
use crate::history::{ReplicaId, What};
use crate::variety::{Defect, Remedy, Spoiler};
use crate::world::SECOND;
use bytes::Bytes;
use opjournal::Status;
use opjournal::environment::Environment;
use uuid::Uuid;

/// A segment that lies in the bucket and cannot be read.
pub(super) struct Spoiled {
    pub(super) namespace: String,
    segment: String,
    object: String,
}

/// After so many tries a person stops asking replicas.
const TRIES: u32 = 40;

impl Fleet {
    pub(super) async fn spoil(&self, spoiler: Spoiler) {
        let (bucket, outside) = (&self.0.bucket, &self.0.outside);
        outside.pause(spoiler.at).await;
        let segment = self.new_segment();
        let object = format!("{}{segment}", crate::store::prefix_of(&spoiler.namespace));
        let body = Bytes::from(spoiler.defect.body());
        bucket.place(outside.id(), &object, body.clone());
        self.inner().counts.add(&format!("fleet: unreadable segment: {:?}", spoiler.defect));
        self.record(What::Spoiled { namespace: spoiler.namespace.clone(), segment: segment.clone() });
        let spoiled = Spoiled { namespace: spoiler.namespace.clone(), segment: segment.clone(), object: object.clone() };
        self.inner().spoiled.push(spoiled);
        let Remedy::Quarantine(after) = spoiler.remedy else { return };
        // Known to whoever waits for the end: what is moved aside later than that nobody folds in time.
        let wait = self.wait(ReplicaId::MAX, format!("moving {object} aside"));
        outside.pause(after).await;
        let mut tries = 0;
        while bucket.holds(&object).is_some() {
            tries += 1;
            if tries > TRIES || self.move_aside(&spoiler, &segment, &object, &body).await {
                bucket.take_away(outside.id(), &object);
                self.inner().counts.add("fleet: unreadable segment removed by hand");
            }
            outside.pause(SECOND).await;
        }
        self.note_healed();
        self.waited(wait);
    }

    /// A key as a writer that has the right time makes it.
    fn new_segment(&self) -> String {
        let millis = (crate::store::EPOCH / 1_000_000) as u64 + self.now() / 1_000_000;
        let random = self.dice(|dice| dice.next());
        let high = millis << 16 | 0x7000 | random >> 52;
        format!("segment-{}.json", Uuid::from_u64_pair(high, 0x8000_0000_0000_0000 | random >> 2))
    }

    /// Asks one replica to move it aside. `true`: it refuses, and a person has to remove the object.
    async fn move_aside(&self, spoiler: &Spoiler, segment: &str, object: &str, body: &Bytes) -> bool {
        let places = self.inner().places.len() as u64;
        let place = self.dice(|dice| dice.within(0..places)) as usize;
        let tenant = self.place(place).tenants.into_iter().next();
        let Some(handle) = tenant.and_then(|tenant| tenant.handles.get(&spoiler.namespace).cloned()) else { return false };
        let deadline = self.deadline(&handle.process, 10 * SECOND);
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let (namespace, name) = (handle.namespace.clone(), segment.to_owned());
        // In the replica's own process, and gone with it.
        handle.process.spawn(
            "quarantine",
            Box::pin(async move {
                let _ = sender.send(namespace.quarantine(&name, deadline).await);
            }),
        );
        let Ok(moved) = receiver.await else { return false };
        let error = match moved {
            Ok(to) => {
                self.inner().counts.add("answer: quarantine OK");
                if !spoiler.defect.is_movable() || self.0.bucket.holds(object).is_some() || self.0.bucket.holds(&to).as_ref() != Some(body)
                {
                    self.violate("quarantine", format!("{object} ({:?}) was moved to {to}", spoiler.defect));
                }
                return false;
            }
            Err(error) => error,
        };
        let is_gone = self.0.bucket.holds(object).is_none();
        match (error.status, spoiler.defect) {
            (Status::Invalid, Defect::NewerFormat) | (Status::TooLarge, Defect::TooLarge) => {
                self.inner().counts.add(&format!("answer: quarantine {} of {:?}", error.status.name(), spoiler.defect));
                return true;
            }
            // An earlier try did it, whose answer did not come.
            (Status::Invalid, _) if is_gone => {}
            (Status::ReadOnly, _) if handle.settings.read_only => self.inner().counts.add("answer: quarantine READ_ONLY"),
            _ => self.expect("quarantine", &error, &[Status::Unavailable, Status::TimedOut, Status::Closed]),
        }
        false
    }

    /// Writes down which of them are gone.
    pub(super) fn note_healed(&self) {
        let spoiled = std::mem::take(&mut self.inner().spoiled);
        let (gone, present): (Vec<_>, Vec<_>) = spoiled.into_iter().partition(|spoiled| self.0.bucket.holds(&spoiled.object).is_none());
        self.inner().spoiled = present;
        for Spoiled { namespace, segment, .. } in gone {
            self.record(What::Healed { namespace, segment });
        }
    }

    /// Whether a replica may be kept out of a namespace.
    pub(super) fn is_spoiled(&self, namespace: &str) -> bool {
        self.note_healed();
        self.inner().spoiled.iter().any(|spoiled| spoiled.namespace == namespace)
    }
}
