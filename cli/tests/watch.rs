//! `watch`.

mod stage;

use serde_json::{Value, json};
use stage::{Directory, good, opjournal, refused, run, run_with, signal};
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};

const ADD: &str = r#"{"op":"IntAdd","Key":"total","Delta":5}"#;

fn watching(arguments: &[&str]) -> (Child, BufReader<ChildStdout>) {
    let mut child = opjournal();
    let child = child.args(["--json", "watch"]).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = child.expect("started");
    let out = BufReader::new(child.stdout.take().expect("a pipe"));
    (child, out)
}

/// What is shown next.
fn next(out: &mut BufReader<ChildStdout>) -> Value {
    let mut line = String::new();
    out.read_line(&mut line).expect("read");
    serde_json::from_str(&line).expect("JSON")
}

#[test]
fn each_time_there_is_a_line() {
    let store = Directory::new();
    good(&["apply", store.text(), "orders", ADD]);
    good(&["apply", store.text(), ".root", ADD, ADD]);
    assert_eq!(run_with(&["import", store.text(), "stock"], r#"{"total":7}"#).status, 0);
    let ran = run(&["--json", "watch", store.text(), "--count", "3", "--every", "0.01"]);
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    let shown = ran.json();
    assert_eq!(shown.len(), 3);
    for look in &shown {
        let (orders, root) = (&look["namespaces"]["orders"], &look["namespaces"][""]);
        assert_eq!((&orders["tail"], &root["tail"]), (&json!(1), &json!(2)));
        assert_eq!((&orders["unreadable"], &orders["last_error"], &orders["mark"]), (&json!([]), &Value::Null, &Value::Null));
        // The rollup that was there is none that was folded meanwhile.
        let stock = &look["namespaces"]["stock"];
        assert_eq!((&stock["folds"], &stock["tail"], &stock["state_bytes"]), (&json!(0), &json!(0), &json!(11)));
        assert!(orders["age_ms"].is_u64() && orders["state_bytes"].is_u64(), "{look}");
        assert!(look["requests"]["list"].as_u64() > Some(0) && look["usd_per_month"].is_f64(), "{look}");
    }
    assert!(shown.is_sorted_by_key(|look| look["at"].as_str().expect("a time").to_owned()));

    let told = good(&["watch", store.text(), "orders", "--count", "2", "--every", "0.01"]);
    assert_eq!(told.lines().count(), 2);
    for part in ["orders: age ", "tail 1", "0.00 USD a month"] {
        assert!(told.contains(part), "{part:?} is not in {told}");
    }
    assert!(!told.contains(".root") && !told.contains('\x1b'), "{told}");
    assert!(good(&["watch", store.text(), ".root", "--count", "1"]).contains(".root: age "));
}

#[test]
fn what_others_write_is_seen_until_it_is_ended() {
    for ended_by in ["-INT", "-TERM"] {
        watch_until(ended_by);
    }
}

fn watch_until(ended_by: &str) {
    let store = Directory::new();
    good(&["apply", store.text(), "orders", ADD]);
    let config = store.path().join("config.json");
    std::fs::write(&config, r#"{"sync_interval_ms":100}"#).expect("written");
    let config = config.to_str().expect("UTF-8");
    // The count ends it where the write is never seen.
    let (mut child, mut out) = watching(&[store.text(), "orders", "--every", "0.02", "--count", "5000", "--config", config]);
    assert_eq!(next(&mut out)["namespaces"]["orders"]["tail"], 1);
    good(&["apply", store.text(), "orders", ADD]);
    while next(&mut out)["namespaces"]["orders"]["tail"] != 2 {}
    signal(&child, ended_by);
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut out, &mut rest).expect("read");
    assert_eq!(child.wait().expect("ended").code(), Some(0));
}

#[test]
fn what_is_wrong_is_shown_and_ends_nothing() {
    let store = Directory::new();
    good(&["apply", store.text(), "orders", ADD]);
    good(&["apply", store.text(), "stock", ADD]);
    std::fs::write(store.path().join(".metadata/orders/segment-broken.json"), "{").expect("written");
    std::fs::write(store.path().join(".metadata/stock/rollup.json"), "{").expect("written");
    let ran = run(&["--json", "watch", store.text(), "--count", "1"]);
    assert_eq!(ran.status, 0);
    let namespaces = &ran.json()[0]["namespaces"];
    assert_eq!(namespaces["orders"]["unreadable"], json!(["segment-broken.json"]));
    assert_eq!(namespaces["stock"]["last_error"]["code"], "UNREADABLE", "{namespaces}");
    let told = run(&["watch", store.text(), "--count", "1"]).out;
    assert!(told.contains("unreadable: segment-broken.json") && told.contains("stock: age -"), "{told}");
}

#[test]
fn a_namespace_has_to_be_there() {
    let store = Directory::new();
    refused(&["watch", store.text()], 1, &["there are no namespaces"]);
    good(&["apply", store.text(), "orders", ADD]);
    refused(&["watch", store.text(), "orders", "ordesr"], 1, &["\"ordesr\"", "did you mean \"orders\"?"]);
    refused(&["watch", store.text(), "--every", "soon"], 2, &["--every", "a number of seconds"]);
    refused(&["watch", store.text(), "--count", "0"], 2, &["--count"]);
    refused(&["watch", "file:///no/such/directory"], 3, &["/no/such/directory"]);
}
