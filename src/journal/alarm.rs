//! What ends the wait for writes whose time is over: one alarm for all writes of a namespace ([`super::write::Line`] says for when it is set), so
//! that a write that is done in time, as nearly all are, needs none of its own.

use super::core::Core;
use crate::environment::until;
use std::sync::Arc;

/// Tells the callers of writes that are late, until the namespace ends.
pub async fn run(core: Arc<Core>) {
    let _ending = core.ends_with("the task that watches deadlines");
    core.until_end(watch(&core)).await;
}

async fn watch(core: &Core) {
    let requests = &core.replica.requests;
    loop {
        let set = core.alarm_set.notified();
        let alarm = core.line().alarm();
        if until(&requests.environment, alarm, set).await.is_err() {
            let late = core.line().take_late(requests.now());
            for ticket in late {
                ticket.time_out();
            }
            // The line may be empty now.
            core.line_changed.notify_one();
        }
    }
}
