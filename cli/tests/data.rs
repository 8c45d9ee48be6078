//! `ls`, `get`, `query`, `apply`, `flush`, `export` and `import`.

mod stage;

use serde_json::json;
use stage::{Directory, good, opjournal, refused, run, run_with};
use std::io::Read;
use std::process::Stdio;

const ADD: &str = r#"{"op":"IntAdd","Key":"total","Delta":5}"#;
const SEVERAL: &str = r#"[{"op":"MapSet","Key":"by","MapKey":"alice","Value":{"x":1.50}},{"op":"MapSet","Key":"by","MapKey":7,"Value":null},
    {"op":"SetAdd","Key":"seen","Member":7},{"op":"ListAppend","Key":"log","Value":"hi"}]"#;

fn written() -> Directory {
    let store = Directory::new();
    let segments = good(&["apply", store.text(), "orders", ADD, SEVERAL]);
    assert_eq!(segments.lines().filter(|line| line.starts_with("segment-") && line.ends_with(".json")).count(), 2);
    store
}

#[test]
fn what_is_written_is_listed_and_read() {
    let store = written();
    let all = run(&["--json", "ls", store.text()]).json();
    assert_eq!((all.len(), &all[0]["namespace"], &all[0]["segments"]), (1, &json!("orders"), &json!(2)));
    let table = good(&["ls", store.text()]);
    assert!(table.starts_with("NAMESPACE") && table.lines().count() == 2 && table.contains("orders"), "{table}");

    let one = &run(&["--json", "ls", store.text(), "orders"]).json()[0];
    assert_eq!((&one["tail"], &one["folded"], &one["unreadable"]), (&json!(2), &json!(0), &json!([])));
    let shapes: Vec<_> =
        one["names"].as_array().expect("names").iter().map(|item| (item["name"].as_str(), item["shape"].as_str())).collect();
    assert_eq!(shapes, [(Some("by"), Some("map")), (Some("log"), Some("list")), (Some("seen"), Some("map")), (Some("total"), Some("int"))]);
    let told = good(&["ls", store.text(), "orders"]);
    for part in ["2 segments", "nothing was ever folded", "by     map         2", "total  int         -"] {
        assert!(told.contains(part), "{part:?} is not in: {told}");
    }

    assert_eq!(good(&["get", store.text(), "orders", "total"]), "5\n");
    assert_eq!(good(&["get", store.text(), "orders", "by", "alice"]), "{\"x\":1.50}\n", "a number keeps its text");
    assert_eq!(good(&["get", store.text(), "orders", "by", "7"]), "null\n");
    assert_eq!(
        good(&["query", store.text(), "orders", r#"{"op":"ListLen","Key":"log"}"#, r#"[{"op":"IntGet","Key":"total"}]"#]),
        "1\n[5]\n"
    );
    let answers =
        run_with(&["query", store.text(), "orders"], "{\"op\":\"ListLen\",\"Key\":\"log\"}\n  [{\"op\":\"IntGet\",\"Key\":\"total\"}]");
    assert_eq!((answers.status, answers.out.as_str()), (0, "1\n[5]\n"));
}

#[test]
fn batches_come_from_standard_input_one_value_each() {
    let store = Directory::new();
    let ran = run_with(&["--json", "apply", store.text(), ".root"], &format!("{ADD} {ADD}\n[{ADD},{ADD}]"));
    assert_eq!((ran.status, ran.json().len()), (0, 3));
    assert_eq!(good(&["get", store.text(), ".root", "total"]), "20\n");
    assert_eq!(run(&["--json", "ls", store.text()]).json()[0]["namespace"], "", "the namespace with the empty name");

    let nothing = run_with(&["apply", store.text(), "x"], " \n");
    assert_eq!(nothing.status, 2);
    assert!(nothing.err.contains("there is no op"), "{}", nothing.err);
    let broken = run_with(&["apply", store.text(), "x"], &format!("{ADD} {{"));
    assert_eq!(broken.status, 2);
    assert!(broken.err.contains("no JSON"), "{}", broken.err);
    assert!(!store.path().join(".metadata/x").exists(), "what was before the damage was not written either");
}

#[test]
fn the_first_batch_that_is_refused_ends_it_and_is_named() {
    let store = Directory::new();
    let ran = run(&["apply", store.text(), "orders", ADD, r#"{"op":"IntAd","Key":"total","Delta":1}"#, ADD]);
    assert_eq!((ran.status, ran.out.lines().count()), (2, 1));
    assert!(ran.err.contains("batch 2 of 3: op 0, field \"op\": \"IntAd\" is no known op; did you mean \"IntAdd\"?"), "{}", ran.err);
    assert_eq!(good(&["get", store.text(), "orders", "total"]), "5\n");
}

#[test]
fn a_state_moves_to_another_store_byte_for_byte() {
    let (from, to) = (written(), Directory::new());
    let file = to.path().join("orders.json");
    let file = file.to_str().expect("UTF-8");
    assert_eq!(run(&["export", from.text(), "orders", "-o", file]).status, 0);
    let state = std::fs::read_to_string(file).expect("written");
    assert_eq!(state, good(&["export", from.text(), "orders"]));
    assert_eq!(state, r#"{"by":{"\"alice\"":{"x":1.50},"7":null},"log":["hi"],"seen":{"7":true},"total":5}"#);

    assert!(good(&["import", to.text(), "orders", file]).contains("orders"));
    let digest = |store: &Directory| run(&["--json", "flush", store.text(), "orders"]).json()[0]["sha256"].clone();
    assert_eq!(digest(&from), digest(&to));
    refused(&["import", to.text(), "orders", file], 1, &["\"orders\"", "already"]);
    good(&["apply", to.text(), "orders", ADD]);
    assert_eq!(good(&["get", to.text(), "orders", "total"]), "10\n", "what is imported is written on");

    let ran = run_with(&["import", to.text(), "second"], &state[..20]);
    assert_eq!(ran.status, 2);
    assert!(ran.err.contains("standard input is no exported state"), "{}", ran.err);
    assert!(!to.path().join(".metadata/second").exists());
}

#[test]
fn what_is_not_there_is_named_with_the_nearest_that_is() {
    let store = written();
    refused(&["get", store.text(), "ordesr", "total"], 1, &["\"ordesr\"", store.text(), "did you mean \"orders\"?"]);
    refused(&["get", store.text(), "orders", "totl"], 1, &["\"totl\"", "\"orders\"", "did you mean \"total\"?"]);
    refused(&["get", store.text(), "orders", "by", "bob"], 1, &["\"by\"", "bob"]);
    refused(&["export", store.text(), "other"], 1, &["\"other\""]);
    refused(&["ls", store.text(), "a/b"], 2, &["a/b", "matches"]);
    refused(&["ls", "ss3://bucket"], 2, &["\"ss3\"", "file, s3"]);
    refused(&["ls", "memory:x"], 2, &["s3://BUCKET"]);
    refused(&["ls", "no-such-directory"], 2, &["no-such-directory", "file:///DIR"]);
    refused(&["ls", "file:///no/such/directory"], 3, &["/no/such/directory"]);
    refused(&["query", store.text(), "orders", r#"{"op":"MapGett","Key":"by"}"#], 2, &["did you mean \"MapGet\"?"]);
    refused(&["get", store.text()], 2, &["<NS>", "--help"]);
    refused(&["expot", store.text()], 2, &["'expot'", "similar", "'export'"]);

    let ran = run(&["--json", "get", store.text(), "orders", "totl"]);
    let error: serde_json::Value = serde_json::from_str(&ran.err).expect("JSON");
    assert_eq!((ran.status, &error["error"]["code"]), (1, &json!("FOUND")));
}

#[test]
fn settings_come_from_a_file_and_flags_go_before_it() {
    let store = written();
    let file = store.path().join("config.json");
    let file = file.to_str().expect("UTF-8");
    std::fs::write(file, r#"{"store":"s3://somewhere-else","limits":{"batch_bytes":100}}"#).expect("written");
    refused(&["apply", store.text(), "orders", SEVERAL, "--config", file], 2, &["100", "batch_bytes"]);
    std::fs::write(file, r#"{"limit":{}}"#).expect("written");
    refused(&["ls", store.text(), "--config", file], 2, &["\"limit\"", "limits"]);
    std::fs::write(file, "[]").expect("written");
    refused(&["ls", store.text(), "--config", file], 2, &[file, "no JSON object"]);
    refused(&["ls", store.text(), "--config", "nowhere.json"], 2, &["nowhere.json"]);
}

#[test]
fn a_pipe_that_closes_ends_it_quietly() {
    let store = Directory::new();
    let large = format!(r#"{{"op":"ScalarSet","Key":"k","Value":"{}"}}"#, "x".repeat(500_000));
    assert_eq!(run_with(&["apply", store.text(), "orders"], &large).status, 0);
    let mut child =
        opjournal().args(["export", store.text(), "orders"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    let mut first = [0; 3];
    let mut out = child.stdout.take().expect("a pipe");
    out.read_exact(&mut first).expect("read");
    drop(out);
    let ended = child.wait_with_output().expect("ended");
    assert!(ended.status.success());
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
}

#[test]
fn colour_is_for_terminals_or_where_it_is_asked_for() {
    let store = written();
    std::fs::write(store.path().join(".metadata/orders/segment-broken.json"), "{").expect("written");
    let plain = run(&["ls", store.text(), "orders"]);
    assert!(plain.out.contains("unreadable  segment-broken.json") && !plain.out.contains('\x1b') && !plain.err.contains('\x1b'));
    assert!(run(&["--color", "always", "ls", store.text(), "orders"]).out.contains("\x1b[31munreadable  segment-broken.json"));
    refused(&["export", store.text(), "orders"], 1, &["segment-broken.json"]);
}

#[test]
fn of_many_unreadable_segments_some_are_named() {
    let store = written();
    for number in 0..35 {
        std::fs::write(store.path().join(format!(".metadata/orders/segment-broken-{number:02}.json")), "{").expect("written");
    }
    let told = run(&["ls", store.text(), "orders"]);
    let named = |text: &str, what: &str| text.lines().filter(|line| line.contains(what)).count();
    assert_eq!(named(&told.out, "unreadable  segment-broken-"), 20, "{}", told.out);
    assert!(told.out.contains("unreadable  15 more; --json names them all"), "{}", told.out);
    assert_eq!(named(&told.err, "segment-broken-"), 10, "{}", told.err);
    assert!(
        told.err.contains("more segments cannot be read; the statistics name them all") && told.err.contains("more=25"),
        "{}",
        told.err
    );
    assert_eq!(named(&run(&["ls", store.text(), "orders", "--json"]).out.replace(',', "\n"), "segment-broken-"), 35);
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(good(&["completions", shell]).contains("export"), "{shell}");
    }
    let place = Directory::new();
    good(&["manual", place.text()]);
    let page = std::fs::read_to_string(place.path().join("opjournal-ls.1")).expect("a page");
    assert!(page.contains("opjournal ls s3://bucket"), "{page}");
    assert!(place.path().join("opjournal.1").exists());
}
