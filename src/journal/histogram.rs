//! How long things took, counted in classes, for monitors.

use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the classes, in milliseconds. What took longer is counted in one more.
pub const BOUNDS_MS: [u64; 13] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];

/// Durations by class. Grows only.
#[derive(Default)]
pub struct Histogram {
    classes: [AtomicU64; BOUNDS_MS.len() + 1],
    micros: AtomicU64,
}

impl Histogram {
    pub fn record(&self, took: Duration) {
        let class = BOUNDS_MS.partition_point(|bound| took > Duration::from_millis(*bound));
        self.classes[class].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// `{"count","sum_ms","le_ms":{"1":n,...}}`: how many, how long in all, and how many took at most so many milliseconds.
    pub fn to_json(&self) -> Value {
        let classes: Vec<u64> = self.classes.iter().map(|class| class.load(Ordering::Relaxed)).collect();
        let mut so_far = 0;
        let le: serde_json::Map<String, Value> = BOUNDS_MS
            .iter()
            .zip(&classes)
            .map(|(bound, class)| {
                so_far += class;
                (bound.to_string(), so_far.into())
            })
            .collect();
        let sum = self.micros.load(Ordering::Relaxed) as f64 / 1e3;
        json!({ "count": classes.iter().sum::<u64>(), "sum_ms": sum, "le_ms": le })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_is_in_its_class_and_in_all_above() {
        let histogram = Histogram::default();
        for millis in [0, 1, 2, 3, 10_000, 10_001] {
            histogram.record(Duration::from_millis(millis));
        }
        histogram.record(Duration::from_micros(1_001));
        let json = histogram.to_json();
        let at_most = |bound: &str| json["le_ms"][bound].as_u64().expect("a bound");
        assert_eq!((at_most("1"), at_most("2"), at_most("5"), at_most("5000"), at_most("10000")), (2, 4, 5, 5, 6));
        assert_eq!((json["count"].as_u64(), json["sum_ms"].as_f64()), (Some(7), Some(20_008.001)));
    }
}
