//! Log records: from the library's events to JSON. Only what this library says of itself goes out: the libraries beneath it may log
//! what they send, secrets included.

use super::log;
use serde_json::{Map, Value};
use std::fmt::Debug;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span;
use tracing::subscriber::{Interest, SetGlobalDefaultError};
use tracing::{Event, Metadata, Subscriber};

/// Makes the library's events go to [`log::deliver`], once and for all. Fails where somebody else's subscriber is installed.
pub(super) fn install() -> Result<(), SetGlobalDefaultError> {
    static INSTALLED: once_cell::sync::OnceCell<()> = once_cell::sync::OnceCell::new();
    INSTALLED.get_or_try_init(|| tracing::subscriber::set_global_default(Records)).map(|_| ())
}

/// Turns events into records. Spans are not followed: an event says itself which namespace it is about.
struct Records;

impl Subscriber for Records {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Asked anew for every place in the code whenever the level changes, so what is not wanted costs nothing.
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && is_ours(metadata.target()) && *metadata.level() <= log::wanted()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(log::wanted())
    }

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        log::deliver(LevelFilter::from_level(*metadata.level()), || {
            let mut members = Members(Map::new());
            event.record(&mut members);
            let Members(mut record) = members;
            record.entry("message").or_insert_with(|| "".into());
            record.insert("time".to_owned(), jiff::Timestamp::now().to_string().into());
            record.insert("level".to_owned(), metadata.level().as_str().to_ascii_lowercase().into());
            record.insert("target".to_owned(), metadata.target().into());
            record
        });
    }

    fn new_span(&self, _span: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _span: &span::Id, _values: &span::Record<'_>) {}

    fn record_follows_from(&self, _span: &span::Id, _follows: &span::Id) {}

    fn enter(&self, _span: &span::Id) {}

    fn exit(&self, _span: &span::Id) {}
}

/// Whether an event is this library's own.
fn is_ours(target: &str) -> bool {
    const CRATE: &str = env!("CARGO_CRATE_NAME");
    target.strip_prefix(CRATE).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The fields of an event as members of an object. Numbers stay numbers, as far as JSON has them.
struct Members(Map<String, Value>);

impl Members {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Members {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, value.to_string());
    }
}
