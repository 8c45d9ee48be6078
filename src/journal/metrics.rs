//! The figures of a journal as Prometheus reads them (text format 0.0.4). Names follow OpenTelemetry's conventions, as Prometheus spells them.
//!
//! Everything is taken from the figures that `stats` gives, so that the two cannot differ.

use super::histogram::BOUNDS_MS;
use serde_json::Value;
use std::fmt::Write;

/// What only grows.
const COUNTER: &str = "counter";
const GAUGE: &str = "gauge";

/// A figure of a namespace: where `stats` has it, its name behind `opjournal_namespace_`, its type, and what it is.
type Figure = (&'static str, &'static str, &'static str, &'static str);

const NAMESPACE: [Figure; 30] = [
    ("ready", "ready", GAUGE, "Whether there was a good tick."),
    ("rollup_behind", "rollup_behind", GAUGE, "Whether segments know of more folds than the rollup in the store."),
    ("state_bytes", "state_size_bytes", GAUGE, "The state as canonical JSON."),
    ("tail", "tail_segments", GAUGE, "Segments that are listed and not folded."),
    ("own", "own_segments", GAUGE, "Own acknowledged segments that no LIST has shown yet."),
    ("bodies", "held_segments", GAUGE, "Segments in memory."),
    ("strays", "stray_segments", GAUGE, "Segments that surfaced late and wait for the next fold."),
    ("waiting", "waiting_batches", GAUGE, "Batches that wait to be sent."),
    ("waiting_bytes", "waiting_size_bytes", GAUGE, "Bytes of the batches that wait to be sent."),
    ("base_entries", "base_entries", GAUGE, "Entries of the state's base."),
    ("overlay_entries", "overlay_entries", GAUGE, "Entries changed above the base."),
    ("folded", "folded_segments", GAUGE, "Segments that were ever folded, by anybody."),
    ("batches", "batches_total", COUNTER, "Batches acknowledged."),
    ("segments", "segments_total", COUNTER, "Segments acknowledged."),
    ("refused", "refused_total", COUNTER, "Batches refused before they were in line."),
    ("unknown", "unknown_total", COUNTER, "Batches whose callers were told that the outcome is unknown."),
    ("settled_applied", "settled_applied_total", COUNTER, "Open segments that were found to be applied."),
    ("settled_failed", "settled_failed_total", COUNTER, "Open segments that were found to have failed."),
    ("ticks", "ticks_total", COUNTER, "Ticks."),
    ("elided", "ticks_of_one_list_total", COUNTER, "Ticks that took a LIST and nothing else."),
    ("failed_ticks", "ticks_failed_total", COUNTER, "Ticks that failed."),
    ("folds", "folds_total", COUNTER, "Folds of this replica."),
    ("lost_folds", "folds_lost_total", COUNTER, "Folds that another replica was faster with."),
    ("advanced", "folds_followed_total", COUNTER, "Folds of others that were followed without a download."),
    ("downloaded", "rollups_downloaded_total", COUNTER, "Rollups read whole."),
    ("written_forward", "rollups_put_back_total", COUNTER, "Rollups that were lost and put back."),
    ("deleted", "segments_deleted_total", COUNTER, "Folded segments deleted."),
    ("void_own", "segments_void_total", COUNTER, "Acknowledged segments that the store stamped too late: they count nowhere."),
    ("vanished", "segments_vanished_total", COUNTER, "Listed segments that somebody deleted."),
    ("quarantined", "segments_quarantined_total", COUNTER, "Unreadable segments moved aside."),
];

const REQUESTS: [&str; 4] = ["list", "get", "put", "delete"];

/// The text for the figures of one journal.
pub fn text(stats: &Value) -> String {
    let mut text = Text { out: String::new(), store: escaped(stats["store"].as_str().unwrap_or_default()) };
    let requests = &stats["requests"];
    text.head("opjournal_requests_total", COUNTER, "Requests sent to the store.");
    for kind in REQUESTS {
        text.line("opjournal_requests_total", &[("kind", kind)], &requests[kind]);
    }
    text.head("opjournal_requests_failed_total", COUNTER, "Requests that failed.");
    text.line("opjournal_requests_failed_total", &[], &requests["failed"]);
    text.head("opjournal_io_bytes_total", COUNTER, "Bytes of bodies.");
    text.line("opjournal_io_bytes_total", &[("direction", "read")], &requests["bytes_read"]);
    text.line("opjournal_io_bytes_total", &[("direction", "written")], &requests["bytes_written"]);

    let durations = &stats["durations"];
    text.head("opjournal_request_duration_seconds", "histogram", "From a request to the end of its answer.");
    for kind in REQUESTS {
        text.histogram("opjournal_request_duration_seconds", &[("kind", kind)], &durations[kind]);
    }
    text.head("opjournal_tick_duration_seconds", "histogram", "Good ticks.");
    text.histogram("opjournal_tick_duration_seconds", &[], &durations["tick"]);
    text.head("opjournal_fold_duration_seconds", "histogram", "Folds that were done.");
    text.histogram("opjournal_fold_duration_seconds", &[], &durations["fold"]);

    let empty = serde_json::Map::new();
    let namespaces = stats["namespaces"].as_object().unwrap_or(&empty);
    text.head("opjournal_namespace_staleness_seconds", GAUGE, "How old the state may be; absent before the first good tick.");
    for (name, figures) in namespaces {
        if let Some(age) = figures["age_ms"].as_u64() {
            text.line("opjournal_namespace_staleness_seconds", &[("namespace", name)], &Value::from(age as f64 / 1e3));
        }
    }
    for (member, suffix, of_type, help) in NAMESPACE {
        let metric = format!("opjournal_namespace_{suffix}");
        text.head(&metric, of_type, help);
        for (name, figures) in namespaces {
            text.line(&metric, &[("namespace", name)], &figures[member]);
        }
    }
    text.head("opjournal_namespace_unreadable_segments", GAUGE, "Segments that cannot be read: nothing is folded past them.");
    for (name, figures) in namespaces {
        let count = figures["unreadable"].as_array().map_or(0, Vec::len);
        text.line("opjournal_namespace_unreadable_segments", &[("namespace", name)], &count.into());
    }
    text.head("opjournal_namespace_open_segment", GAUGE, "Whether the outcome of a segment is being settled: later writes wait.");
    for (name, figures) in namespaces {
        text.line("opjournal_namespace_open_segment", &[("namespace", name)], &Value::from(!figures["open_segment"].is_null()));
    }
    text.head("opjournal_namespace_last_error", GAUGE, "1, where the last tick failed, with the status that it failed with.");
    for (name, figures) in namespaces {
        if let Some(code) = figures["last_error"]["code"].as_str() {
            text.line("opjournal_namespace_last_error", &[("namespace", name), ("code", code)], &1.into());
        }
    }
    text.out
}

struct Text {
    out: String,
    /// The value of the label that every line has.
    store: String,
}

impl Text {
    fn head(&mut self, name: &str, of_type: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {of_type}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: &Value) {
        let _ = write!(self.out, "{name}{{store=\"{}\"", self.store);
        for (label, text) in labels {
            let _ = write!(self.out, ",{label}=\"{}\"", escaped(text));
        }
        let _ = match value {
            Value::Bool(is_true) => writeln!(self.out, "}} {}", u8::from(*is_true)),
            value => writeln!(self.out, "}} {value}"),
        };
    }

    fn histogram(&mut self, name: &str, labels: &[(&str, &str)], value: &Value) {
        let bucket = format!("{name}_bucket");
        for bound in BOUNDS_MS {
            let le = (bound as f64 / 1e3).to_string();
            self.line(&bucket, &[labels, &[("le", le.as_str())]].concat(), &value["le_ms"][bound.to_string()]);
        }
        self.line(&bucket, &[labels, &[("le", "+Inf")]].concat(), &value["count"]);
        self.line(&format!("{name}_sum"), labels, &Value::from(value["sum_ms"].as_f64().unwrap_or_default() / 1e3));
        self.line(&format!("{name}_count"), labels, &value["count"]);
    }
}

/// A label's value.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
