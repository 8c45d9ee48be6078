//! `bench`, on directories and on a real S3 server.

mod servers;
mod stage;

use serde_json::Value;
use servers::{BUCKET, Product, Server};
use stage::{Directory, Ran, good, interrupt, opjournal, refused, run, run_with, wait_until};
use std::process::{Command, Stdio};

const ADD: &str = r#"{"op":"IntAdd","Key":"total","Delta":5}"#;

fn phases(ran: &Ran) -> Vec<(String, u64)> {
    let rows = ran.json();
    let phases = rows.iter().filter_map(|row| Some((row["phase"].as_str()?.to_owned(), row["ops"].as_u64()?)));
    phases.collect()
}

/// The command on a bucket of its own root.
fn on(server: &Server, root: &str, arguments: &[&str]) -> Command {
    let config = server.config();
    let mut command = opjournal();
    command.args(["--json"]).args(arguments).arg(format!("s3://{BUCKET}/{root}"));
    command.args(["--path-style", "--endpoint", &config.endpoint.expect("an endpoint")]);
    command.env("AWS_REGION", "us-east-1").env("NO_PROXY", "127.0.0.1").env_remove("AWS_SESSION_TOKEN");
    command.env("AWS_ACCESS_KEY_ID", config.access_key_id.expect("a key"));
    command.env("AWS_SECRET_ACCESS_KEY", config.secret_access_key.expect("a secret"));
    command.stdin(Stdio::null());
    command
}

#[test]
fn a_bench_measures_and_leaves_nothing() {
    let store = Directory::new();
    good(&["apply", store.text(), "orders", ADD]);
    let before = store.files();
    let ran = run(&["--json", "bench", store.text(), "--seconds", "0.3", "--callers", "8"]);
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(ran.err.contains("new namespace bench-") && !ran.err.contains("USD"), "a directory costs nothing: {}", ran.err);
    let phases = phases(&ran);
    let names: Vec<&str> = phases.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["write", "write at once", "flush", "start", "read"]);
    assert!(phases.iter().all(|(_, ops)| *ops > 0) && phases[1].1 >= 8, "each caller wrote: {phases:?}");
    for row in ran.json() {
        let [p50, p99, max] = ["p50_us", "p99_us", "max_us"].map(|member| row[member].as_f64().expect("a number"));
        assert!(p50 <= p99 && p99 <= max && max > 0.0, "{row}");
    }
    assert_eq!(store.files(), before);
    assert!(
        !std::fs::read_dir(store.path().join(".metadata"))
            .expect("there")
            .any(|entry| { entry.expect("an entry").file_name().to_string_lossy().starts_with("bench-") })
    );
    assert_eq!(good(&["get", store.text(), "orders", "total"]), "5\n");
}

#[test]
fn ctrl_c_leaves_nothing_either() {
    let store = Directory::new();
    let mut child = opjournal();
    child.args(["bench", store.text(), "--seconds", "60", "--requests", "10000000"]);
    let mut child = child.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    wait_until(&mut child, || store.files().iter().any(|path| path.to_string_lossy().contains("/bench-")));
    interrupt(&child);
    let ran = Ran::of(child.wait_with_output().expect("ended"));
    assert_eq!((ran.status, ran.out.as_str()), (130, ""), "{}", ran.err);
    assert!(ran.err.contains("ended by Ctrl-C"), "{}", ran.err);
    assert!(store.files().iter().all(|path| !path.to_string_lossy().contains("/.metadata/")), "{:?}", store.files());
}

#[test]
fn a_bench_of_a_bucket_keeps_to_its_requests_and_tells_their_price() {
    let server = Product::Minio.shared();
    let mut bench = on(server, "bench", &["bench", "--seconds", "20", "--requests", "1000", "--put-price", "1", "--callers", "4"]);
    let ran = Ran::of(bench.args(["--list-price", "2", "--get-price", "3", "--delete-price", "0.5"]).output().expect("started"));
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(ran.err.contains("at most about 1,000 requests, 3.000 USD"), "said before it begins: {}", ran.err);
    let last = ran.json().pop().expect("a row");
    let number = |kind: &str| last["requests"][kind].as_u64().expect("a number");
    let (put, list, get, delete) = (number("put"), number("list"), number("get"), number("delete"));
    assert!(put > 325 && list > 0 && get > 40 && delete > 0, "with the test of the store: {last}");
    assert!(put + list + get + delete <= 1000, "{last}");
    let usd = (put as f64 + 2.0 * list as f64 + 3.0 * get as f64 + 0.5 * delete as f64) / 1000.0;
    assert!((last["usd"].as_f64().expect("a price") - usd).abs() < 1e-9, "{last}");
    assert_eq!(phases(&ran).len(), 5);

    let listed: Vec<Value> = Ran::of(on(server, "bench", &["ls"]).output().expect("started")).json();
    assert_eq!(listed, Vec::<Value>::new());
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_written() {
    let store = Directory::new();
    refused(&["bench", store.text(), "--seconds", "0"], 2, &["--seconds", "0.01 to 86400"]);
    refused(&["bench", store.text(), "--put-price=-1"], 2, &["--put-price", "this is no price"]);
    refused(&["bench", store.text(), "--requests", "10"], 2, &["--requests", "1000"]);
    assert_eq!(run_with(&["bench", "memory:x"], "").status, 2);
    assert_eq!(store.files(), Vec::<std::path::PathBuf>::new());
}
