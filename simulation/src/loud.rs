//! What the engine said aloud: its log, from warnings on, kept in every run in which something may be lost if only it is said. And one line besides:
//! [`UNSEEN`] tells that there was nothing to be said.

use super::world::{Time, World};
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// A replica never saw in a LIST what it had written, so it cannot know that this was void.
pub const UNSEEN: &str = "before a LIST showed it here";

/// A record of the log that names a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub at: Time,
    pub namespace: String,
    pub message: String,
}

/// Keeps warnings and errors.
#[derive(Clone)]
pub struct Ear {
    world: World,
    heard: Arc<Mutex<Vec<Said>>>,
}

impl Ear {
    pub fn new(world: &World) -> Ear {
        Ear { world: world.clone(), heard: Arc::default() }
    }

    pub fn take(&self) -> Vec<Said> {
        std::mem::take(&mut *self.heard.lock().expect("nobody panics while it holds this"))
    }
}

impl<S: Subscriber> Layer<S> for Ear {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let level = *event.metadata().level();
        if level > Level::DEBUG {
            return;
        }
        #[derive(Default)]
        struct Fields {
            namespace: String,
            message: String,
        }
        impl Visit for Fields {
            fn record_str(&mut self, field: &Field, value: &str) {
                if field.name() == "namespace" {
                    self.namespace = value.to_owned();
                } else {
                    self.record_debug(field, &value);
                }
            }
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                match field.name() {
                    "message" => self.message.insert_str(0, &format!("{value:?}")),
                    "namespace" => self.namespace = format!("{value:?}").trim_matches('"').to_owned(),
                    name => self.message.push_str(&format!(" {name}={value:?}")),
                }
            }
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        if level > Level::WARN && !fields.message.contains(UNSEEN) {
            return;
        }
        let said = Said { at: self.world.now(), namespace: fields.namespace, message: fields.message };
        self.heard.lock().expect("nobody panics while it holds this").push(said);
    }
}
