//! `tail`, `diff` and `verify`.

mod stage;

use opjournal::environment::Process;
use opjournal::{Config, Journal};
use serde_json::{Value, json};
use stage::{Directory, good, opjournal, refused, run, run_with};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

const ADD: &str = r#"{"op":"IntAdd","Key":"total","Delta":5}"#;
const APPEND: &str = r#"{"op":"ListAppend","Key":"log","Value":1.50}"#;

fn written() -> Directory {
    let store = Directory::new();
    good(&["apply", store.text(), "orders", ADD, &format!("[{ADD},{APPEND}]")]);
    store
}

fn segments(store: &Directory) -> Vec<PathBuf> {
    let entries = fs::read_dir(store.path().join(".metadata/orders")).expect("a directory");
    let mut all: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    all.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("segment-")));
    all.sort();
    all
}

/// The findings of `verify`, and its exit status.
fn verified(arguments: &[&str]) -> (i32, Vec<Value>) {
    let ran = run(&[&["--json", "verify"], arguments].concat());
    let findings = ran.json().into_iter().filter(|line| line.get("kind").is_some()).collect();
    (ran.status, findings)
}

#[test]
fn tail_shows_segments_in_order_with_their_ops_as_they_stand() {
    let store = written();
    let lines = run(&["--json", "tail", store.text(), "orders"]).json();
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0]["ops"][0]["op"], &lines[0]["void"], &lines[0]["unreadable"]), (&json!("IntAdd"), &json!(false), &Value::Null));
    assert!(run(&["--json", "tail", store.text(), "orders"]).out.contains(r#""Value":1.50"#), "a number keeps its text");
    assert_eq!(run(&["--json", "tail", "-n", "1", store.text(), "orders"]).json().len(), 1);
    assert_eq!(run(&["--json", "tail", "--since", "2000-01-01T00:00:00Z", store.text(), "orders"]).json().len(), 2);
    assert_eq!(run(&["--json", "tail", "--since", "2200-01-01T00:00:00Z", store.text(), "orders"]).json().len(), 0);
    assert_eq!(run(&["--json", "tail", "--since", "3d", store.text(), "orders"]).json().len(), 2);
    let people = good(&["tail", store.text(), "orders"]);
    assert!(people.contains("\n    {\"op\":\"IntAdd\"") && people.contains("ago") | people.contains("just now"), "{people}");
    refused(&["tail", "--since", "5x", store.text(), "orders"], 2, &["5x", "30s, 5m, 2h or 3d"]);
    refused(&["tail", store.text(), "order"], 1, &["did you mean \"orders\"?"]);
}

#[test]
fn tail_follows_what_lands_and_reports_damage() {
    let store = written();
    let mut child = opjournal()
        .args(["--json", "tail", "-f", "--every", "0.1", store.text(), "orders"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().expect("a line").expect("read")).expect("JSON") };
    let (first, second) = (next(), next());
    assert!(first["stamp"].as_str() < second["stamp"].as_str());
    let segment = good(&["apply", store.text(), "orders", ADD]);
    assert_eq!(next()["key"], segment.trim());
    fs::write(store.path().join(".metadata/orders/segment-damaged.json"), r#"{"ops":[{"op":"NotYetInvented"}]}"#).expect("written");
    let damaged = next();
    assert!(damaged["unreadable"].as_str().is_some_and(|reason| reason.contains("NotYetInvented")), "{damaged}");
    child.kill().expect("killed");
    child.wait().expect("ended");
}

#[test]
fn diff_tells_names_entries_and_elements_apart() {
    let (left, right) = (written(), written());
    assert_eq!(run(&["diff", left.text(), right.text()]).status, 0);
    good(&[
        "apply",
        right.text(),
        "orders",
        APPEND,
        r#"{"op":"MapSet","Key":"m","MapKey":"k","Value":"v"}"#,
        r#"{"op":"IntSet","Key":"total","Value":7}"#,
    ]);
    good(&["apply", left.text(), "orders", r#"{"op":"ScalarSet","Key":"old","Value":"x"}"#]);
    let ran = run(&["--json", "diff", left.text(), right.text(), "orders"]);
    let places: Vec<_> =
        ran.json().iter().map(|line| (line["name"].clone(), line["within"].clone(), line["left"].clone(), line["right"].clone())).collect();
    assert_eq!(ran.status, 1);
    assert_eq!(
        places,
        [
            (json!("log"), json!("1"), Value::Null, json!(1.5)),
            (json!("m"), Value::Null, Value::Null, json!({"\"k\"": "v"})),
            (json!("old"), Value::Null, json!("x"), Value::Null),
            (json!("total"), Value::Null, json!(10), json!(7)),
        ]
    );
    let people = run(&["diff", left.text(), right.text()]);
    assert_eq!(people.out, "+ log[1]  1.50\n+ m  {\"\\\"k\\\"\":\"v\"}\n- old  \"x\"\n~ total  10  ->  7\n");

    // An export in a file or on standard input is one side as well.
    let state = good(&["export", left.text(), "orders"]);
    assert_eq!(run_with(&["diff", "-", left.text(), "orders"], &state).status, 0);
    let file = left.path().join("state.json");
    fs::write(&file, state.replace("10", "11")).expect("written");
    let file = file.to_str().expect("UTF-8");
    assert_eq!(run(&["diff", left.text(), file, "orders"]).out, "~ total  10  ->  11\n");
    refused(&["diff", left.text(), file], 2, &["name the one"]);
    refused(&["diff", "-", "-"], 2, &["standard input"]);
    refused(&["diff", left.text(), right.text(), "other"], 1, &["\"other\""]);

    good(&["apply", right.text(), "second", ADD]);
    let ran = run(&["--json", "diff", left.text(), right.text()]);
    assert!(
        ran.json()
            .iter()
            .any(|line| line["namespace"] == "second" && line["only_in"].as_str().is_some_and(|url| url.ends_with(right.text()))),
        "{}",
        ran.out
    );
}

#[test]
fn verify_replays_what_is_there() {
    let store = written();
    assert_eq!(verified(&[store.text()]), (0, vec![]));
    let told = &run(&["--json", "verify", store.text(), "orders"]).json()[0];
    let digest = &run(&["--json", "flush", store.text(), "orders"]).json()[0];
    assert_eq!((&told["sha256"], &told["replayed_from_the_first"]), (&digest["sha256"], &json!(true)));

    let other = Directory::new();
    let state = good(&["export", store.text(), "orders"]);
    assert_eq!(run_with(&["import", other.text(), "orders"], &state).status, 0);
    good(&["apply", other.text(), "orders", ADD]);
    assert_eq!(verified(&[other.text()]), (0, vec![]));
    refused(&["verify", store.text(), "order"], 1, &["did you mean \"orders\"?"]);
}

#[test]
fn verify_finds_what_is_damaged_and_moves_it_aside() {
    let store = written();
    let damaged = store.path().join(".metadata/orders/segment-damaged.json");
    fs::write(&damaged, "{\"ops\":").expect("written");
    fs::write(store.path().join(".metadata/orders/segment-newer.json"), r#"{"format":2}"#).expect("written");
    fs::write(store.path().join(".metadata/notes.txt"), "hello").expect("written");
    let (status, findings) = verified(&[store.text()]);
    let kinds: Vec<_> = findings.iter().map(|finding| (finding["kind"].as_str().expect("a word"), finding["bad"] == true)).collect();
    assert_eq!((status, kinds), (1, vec![("foreign", false), ("unreadable", true), ("newer-format", true)]));

    let ran = run(&["--json", "verify", "--repair", store.text(), "orders"]);
    assert_eq!(ran.status, 1, "what a newer version wrote stays, and is bad still");
    assert!(ran.json().iter().any(|line| line["moved_to"] == ".metadata/.quarantine/orders/segment-damaged.json"), "{}", ran.out);
    assert!(!damaged.exists() && store.path().join(".metadata/.quarantine/orders/segment-damaged.json").exists());
    fs::remove_file(store.path().join(".metadata/orders/segment-newer.json")).expect("removed");
    let (status, findings) = verified(&[store.text()]);
    assert_eq!((status, findings.len()), (0, 2), "{findings:?}");
    assert_eq!(good(&["get", store.text(), "orders", "total"]), "10\n");
}

/// Has the library fold all segments of a namespace: a journal that is open for as long as that takes.
fn folded(store: &Directory) {
    let config = format!(
        r#"{{"store":"file://{}","sync_interval_ms":100,"compaction":{{"segment_threshold":1,"age_threshold_ms":6000}}}}"#,
        store.text()
    );
    let (config, _) = Config::parse(config.as_bytes()).expect("valid");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let environment = Arc::new(Process::new(tokio::runtime::Handle::current()));
        let held = opjournal::store::open(&config).await.expect("a store");
        let journal = Journal::open(config.settings, held, environment, None).await.expect("opened");
        let namespace = journal.namespace("orders", None).await.expect("opened");
        while journal.stats()["namespaces"]["orders"]["tail"] != 0 {
            namespace.flush(None).await.expect("flushed");
            tokio::task::yield_now().await;
        }
        // What was folded is deleted as much later: then nothing but the rollup is left, and that is no chain to replay.
        journal.close(None).await.expect("closed");
    });
}

#[test]
fn verify_holds_a_rollup_against_its_chain_and_notices_that_one_was_lost() {
    let store = written();
    folded(&store);
    let rollup = store.path().join(".metadata/orders/rollup.json");
    assert_eq!(segments(&store).len(), 2, "folded, and not deleted yet");
    let told = &run(&["--json", "verify", store.text(), "orders"]).json()[0];
    assert_eq!((&told["folded"], &told["replayed_from_the_first"]), (&json!(2), &json!(true)));

    let text = fs::read_to_string(&rollup).expect("read");
    let chain = &text[text.find("\"chain\":\"").expect("a chain") + 9..][..64];
    fs::write(&rollup, text.replace(chain, &"0".repeat(64))).expect("written");
    let (status, findings) = verified(&[store.text()]);
    assert_eq!((status, findings.len(), &findings[0]["kind"]), (1, 1, &json!("chain")), "{findings:?}");

    fs::write(&rollup, &text[..text.len() - 1]).expect("written");
    let (status, findings) = verified(&[store.text()]);
    assert_eq!((status, findings.len(), &findings[0]["kind"]), (1, 1, &json!("rollup")), "{findings:?}");

    // A segment that was written on top of it says how much it had folded.
    fs::write(&rollup, &text).expect("written");
    good(&["apply", store.text(), "orders", ADD]);
    assert_eq!(verified(&[store.text()]), (0, vec![]));
    fs::remove_file(&rollup).expect("removed");
    let (status, findings) = verified(&[store.text()]);
    assert!(status == 1 && findings.iter().any(|finding| finding["kind"] == "rollup-lost"), "{findings:?}");
    refused(&["export", store.text(), "orders"], 1, &["rollup"]);
}
