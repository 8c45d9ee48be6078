//! A wait for a moment of the world.

use super::scheduler::Timer;
use super::{Time, World};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Made by [`World::sleep_until`].
pub struct Sleep {
    world: World,
    when: Time,
    timer: Option<(Time, u64)>,
}

impl World {
    /// Ends at `when` exactly. For tasks that are not part of what is tested; those have `Environment::sleep_until`.
    pub fn sleep_until(&self, when: Time) -> Sleep {
        Sleep { world: self.clone(), when, timer: None }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.world.now() >= self.when {
            return Poll::Ready(());
        }
        let waker = Timer::Wake(context.waker().clone());
        match self.timer {
            Some(key) => {
                let mut inner = self.world.inner();
                let old = inner.timers.insert(key, waker);
                drop(inner);
                drop(old);
            }
            None => self.timer = Some(self.world.set_timer(self.when, waker)),
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.timer {
            let timer = self.world.inner().timers.remove(&key);
            drop(timer);
        }
    }
}
