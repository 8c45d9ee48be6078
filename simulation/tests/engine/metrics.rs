//! The figures as Prometheus reads them.

use super::stage::{NS, add_often, play};
use opjournal_simulation::store::Character;
use std::collections::{BTreeMap, BTreeSet};

#[test]
fn metrics_are_what_the_figures_say_in_the_format_of_prometheus() {
    play(Character::plain(), |stage| async move {
        let (a, on_a) = stage.replica_that_folded().await;
        add_often(&on_a, 2).await;
        on_a.submit(b"[]", None).err().expect("refused");
        let mut answer = Vec::new();
        on_a.query(br#"{"op":"Metrics"}"#, &mut answer).expect("answered");
        let text: String = serde_json::from_slice(&answer).expect("a string");

        let mut types = BTreeMap::new();
        let mut samples = BTreeMap::new();
        for line in text.lines() {
            match line.strip_prefix("# ") {
                Some(comment) => {
                    let words: Vec<&str> = comment.splitn(3, ' ').collect();
                    if words[0] == "TYPE" {
                        assert!(types.insert(words[1], words[2]).is_none(), "{line}: told twice");
                    }
                }
                None => {
                    let (series, value) = line.rsplit_once(' ').expect(line);
                    let name = series.split_once('{').expect(line).0;
                    let is_known = |suffix: &str| name.strip_suffix(suffix).is_some_and(|base| types.contains_key(base));
                    assert!(types.contains_key(name) || ["_bucket", "_sum", "_count"].into_iter().any(is_known), "{line}: no type");
                    let value: f64 = value.parse().expect(line);
                    assert!(samples.insert(series.to_owned(), value).is_none(), "{line}: told twice");
                }
            }
        }
        let namespace = |metric: &str| {
            let of = format!("opjournal_namespace_{metric}{{");
            let found: Vec<f64> = samples
                .iter()
                .filter(|(series, _)| series.starts_with(&of) && series.contains(&format!("namespace=\"{NS}\"")))
                .map(|(_, value)| *value)
                .collect();
            assert_eq!(found.len(), 1, "{metric}");
            found[0]
        };
        assert_eq!((namespace("batches_total"), namespace("refused_total"), namespace("folds_total")), (8.0, 1.0, 1.0));
        assert_eq!(
            (namespace("ready"), namespace("unreadable_segments"), namespace("tail_segments")),
            (1.0, 0.0, a.figure("namespaces.ns.tail") as f64)
        );
        assert!(namespace("staleness_seconds") < 5.0);

        // A class counts what is in those below it, and the last one counts all.
        for (metric, labels) in [("request", "kind=\"put\","), ("request", "kind=\"list\","), ("tick", ""), ("fold", "")] {
            let of = |part: &str| format!("opjournal_{metric}_duration_seconds_{part}{{store=\"");
            let is_of = |series: &str, part: &str| {
                series.starts_with(&of(part)) && (labels.is_empty() || series.contains(labels.trim_end_matches(',')))
            };
            let mut classes: Vec<(f64, f64)> = samples
                .iter()
                .filter(|(series, _)| is_of(series, "bucket"))
                .map(|(series, value)| {
                    let le = series.split("le=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a bound");
                    (le.parse().expect("a number"), *value)
                })
                .collect();
            classes.sort_by(|one, other| one.0.total_cmp(&other.0));
            assert!(classes.len() == 14 && classes.is_sorted_by_key(|class| class.1), "{classes:?}");
            let count = *samples.iter().find(|(series, _)| is_of(series, "count")).expect("a count").1;
            assert!(count > 0.0 && classes[13] == (f64::INFINITY, count), "{metric} {classes:?} {count}");
        }
        let page = include_str!("../../../docs/operating.md");
        assert!(types.keys().all(|name| page.contains(&format!("| `{name}"))), "docs/operating.md has every name");
        // Each figure of a namespace that is a number is told.
        let stats = a.journal.stats();
        let figures: BTreeSet<&String> = stats["namespaces"][NS]
            .as_object()
            .expect("figures")
            .iter()
            .filter(|(_, value)| value.is_u64())
            .map(|(name, _)| name)
            .collect();
        let told = types.keys().filter(|name| name.starts_with("opjournal_namespace_")).count();
        // Beside those: ready, rollup_behind, unreadable, open_segment, last_error. Staleness is age_ms.
        assert_eq!(told, figures.len() + 5, "{figures:?}");
    });
}
