//! `doctor`, on directories and on real S3 servers.

mod servers;
mod stage;

use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, BucketVersioningStatus, DefaultRetention, ExpirationStatus, LifecycleExpiration, LifecycleRule,
    LifecycleRuleFilter, NoncurrentVersionExpiration, ObjectLockConfiguration, ObjectLockEnabled, ObjectLockRetentionMode, ObjectLockRule,
    VersioningConfiguration,
};
use serde_json::Value;
use servers::{BUCKET, Product, Server};
use stage::{Directory, Ran, good, opjournal, run};
use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

const ADD: &str = r#"{"op":"IntAdd","Key":"total","Delta":5}"#;

fn put(store: &Directory, key: &str) {
    let path = store.path().join(key);
    fs::create_dir_all(path.parent().expect("a directory")).expect("made");
    fs::write(path, "x").expect("written");
}

/// The verdict of each check, and what was seen: of several with one name, of the worst.
fn verdicts(ran: &Ran) -> BTreeMap<String, (String, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let mut all: BTreeMap<String, (String, String)> = BTreeMap::new();
    for row in ran.json() {
        let verdict = text(&row["verdict"]);
        assert_eq!(verdict == "ok", row["do"].is_null(), "what is not right can be put right: {row}");
        let entry = all.entry(text(&row["check"])).or_insert_with(|| (verdict.clone(), text(&row["seen"])));
        if entry.0 == "ok" {
            *entry = (verdict, text(&row["seen"]));
        }
    }
    all
}

/// What `doctor` finds in a bucket of a server at `address`, with these keys.
fn examined(server: &Server, address: SocketAddr, bucket: &str, more: &[&str]) -> Ran {
    let config = server.config();
    examined_with(address, bucket, more, config.access_key_id.as_deref(), config.secret_access_key.as_deref())
}

fn examined_with(address: SocketAddr, bucket: &str, more: &[&str], id: Option<&str>, secret: Option<&str>) -> Ran {
    // Tests that run at once do not find each other's objects.
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let store = format!("s3://{bucket}/doctor-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let mut command = opjournal();
    command.args(["--json", "doctor", &store, "--endpoint", &format!("http://{address}"), "--path-style"]);
    command.args(more).stdin(Stdio::null()).env("AWS_REGION", "us-east-1").env("NO_PROXY", "127.0.0.1");
    command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null").env_remove("AWS_SESSION_TOKEN");
    for (name, value) in [("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", secret)] {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Ran::of(command.output().expect("started"))
}

#[test]
fn a_directory_is_fit_and_left_as_it_was() {
    let store = Directory::new();
    good(&["apply", store.text(), "orders", ADD]);
    let before = store.files();
    let ran = run(&["--json", "doctor", store.text()]);
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    let found = verdicts(&ran);
    for check in [
        "reachable",
        "right to list",
        "right to put",
        "right to get",
        "right to delete",
        "a missing object",
        "LIST after PUT",
        "LastModified",
        "ETag",
        "If-None-Match",
        "If-Match",
        "racing writers",
        "stamps",
        "clocks of nodes",
        "local clock",
        "capitals",
        "objects",
    ] {
        assert_eq!(found.get(check).map(|(verdict, _)| verdict.as_str()), Some("ok"), "{check}: {}", ran.out);
    }
    assert!(found["stamps"].1.contains("nanoseconds") && found["objects"].1 == "1 object, 1 namespace", "{found:?}");
    assert_eq!(store.files(), before);
    assert_eq!(fs::read_dir(store.path().join(".metadata/.probe")).expect("it was made").count(), 0);

    let told = good(&["doctor", store.text()]);
    assert!(told.starts_with("ok        reachable") && told.contains("is fit for a journal: 0 bad"), "{told}");
}

#[test]
fn with_read_only_nothing_is_written() {
    let store = Directory::new();
    let ran = run(&["--json", "doctor", store.text(), "--read-only"]);
    assert_eq!(ran.status, 0);
    assert_eq!(verdicts(&ran)["right to get"].0, "warning", "there is nothing to try it with");
    assert_eq!(fs::read_dir(store.path()).expect("a directory").count(), 0);

    good(&["apply", store.text(), "orders", ADD]);
    let ran = run(&["--json", "doctor", store.text(), "--read-only"]);
    let found = verdicts(&ran);
    assert_eq!((ran.status, found["right to get"].0.as_str()), (0, "ok"));
    assert!(!found.contains_key("right to put") && !found.contains_key("If-Match"));
    assert!(!store.path().join(".metadata/.probe").exists());
}

#[test]
fn what_lies_about_is_told() {
    let store = Directory::new();
    let probe = ".metadata/.probe/00000000000000000000000000000000/1";
    for key in [".metadata/notes.txt", ".metadata/.quarantine/orders/segment-1.json", probe] {
        put(&store, key);
    }
    put(&store, ".metadata/bench-0123456789abcdef/segment-1.json");
    for number in 0..2_500 {
        put(&store, &format!(".metadata/orders/note-{number}"));
    }
    let old = SystemTime::now() - Duration::from_secs(7200);
    let file = File::options().write(true).open(store.path().join(probe)).expect("there");
    file.set_times(FileTimes::new().set_modified(old)).expect("set");

    let ran = run(&["--json", "doctor", store.text(), "--read-only"]);
    assert_eq!(ran.status, 0, "warnings alone are no failure");
    let found = verdicts(&ran);
    for (check, part) in [
        ("foreign objects", "2,501: .metadata/notes.txt"),
        ("quarantined", "1: .metadata/.quarantine/orders/segment-1.json"),
        ("left by a probe", probe),
        ("left by a bench", "bench-0123456789abcdef"),
        ("objects", "2,504 objects"),
    ] {
        let (verdict, seen) = found.get(check).unwrap_or_else(|| panic!("{check}: {}", ran.out));
        assert_eq!(verdict, if check == "objects" { "ok" } else { "warning" });
        assert!(seen.contains(part), "{part:?} is not in {seen}");
    }
    assert!(!verdicts(&run(&["--json", "doctor", store.text()])).contains_key("left by a probe"), "it was deleted");
    assert!(!store.path().join(probe).exists());
}

#[test]
fn a_store_that_is_not_there_or_cannot_be_asked_is_bad() {
    let ran = run(&["--json", "doctor", "file:///no/such/directory"]);
    assert_eq!((ran.status, verdicts(&ran)["reachable"].0.as_str()), (1, "bad"));
    let told = run(&["doctor", "file:///no/such/directory"]);
    assert!(told.out.contains("-> make the bucket or directory") && told.out.contains("is not fit for a journal: 1 bad"), "{}", told.out);

    let nobody: SocketAddr = (Ipv4Addr::LOCALHOST, servers::free_port()).into();
    let ran = examined_with(nobody, BUCKET, &[], Some("id"), Some("secret"));
    assert_eq!((ran.status, verdicts(&ran)["reachable"].0.as_str()), (1, "bad"));
    let ran = examined_with(nobody, BUCKET, &[], None, None);
    assert_eq!((ran.status, verdicts(&ran)["credentials"].0.as_str()), (1, "bad"));
    assert_eq!(run(&["doctor", "memory:x"]).status, 2);
}

#[test]
fn minio_is_fit_and_nothing_is_left_in_it() {
    let server = Product::Minio.shared();
    let ran = examined(server, server.address(), BUCKET, &[]);
    assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{}", ran.out);
    let found = verdicts(&ran);
    assert!(found.values().all(|(verdict, _)| verdict == "ok"), "{found:?}");
    assert!(found["stamps"].1.contains("milliseconds") && found["credentials"].1.contains("the environment"), "{found:?}");
    for check in ["region", "versioning", "lifecycle", "object lock", "replication", "racing writers"] {
        assert!(found.contains_key(check), "{check}: {found:?}");
    }
    assert_eq!(found["objects"].1, "0 objects, 0 namespaces");

    let ran = examined(server, server.address(), "no-such-bucket", &[]);
    assert!(ran.status == 1 && verdicts(&ran)["reachable"].1.contains("NoSuchBucket"), "{}", ran.out);
    let ran = examined_with(server.address(), BUCKET, &[], Some("opjournal"), Some("wrong"));
    let found = verdicts(&ran);
    assert!(ran.status == 1 && found["credentials"].0 == "bad" && !found.contains_key("right to put"), "{}", ran.out);
}

#[test]
fn a_server_that_ignores_conditions_is_not_fit() {
    let server = Product::S3rver.shared();
    let ran = examined(server, server.address(), BUCKET, &[]);
    let found = verdicts(&ran);
    assert_eq!((ran.status, found["If-None-Match"].0.as_str()), (1, "bad"), "{}", ran.out);
    assert!(!found.contains_key("If-Match") && !found.contains_key("racing writers"), "what comes after it is not proven");
}

/// The bucket of a server, asked without an engine.
fn client(server: &Server) -> aws_sdk_s3::Client {
    let config = server.config();
    let keys = (config.access_key_id.expect("a key"), config.secret_access_key.expect("a secret"));
    let config = aws_sdk_s3::config::Builder::new()
        .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .credentials_provider(aws_sdk_s3::config::Credentials::new(keys.0, keys.1, None, None, "test"))
        .endpoint_url(config.endpoint.expect("an endpoint"))
        .region(aws_sdk_s3::config::Region::new("us-east-1"))
        .force_path_style(true)
        .build();
    aws_sdk_s3::Client::from_conf(config)
}

fn rule(prefix: &str) -> aws_sdk_s3::types::builders::LifecycleRuleBuilder {
    let filter = LifecycleRuleFilter::builder().prefix(prefix).build();
    LifecycleRule::builder().id(format!("rule-{prefix}")).filter(filter).status(ExpirationStatus::Enabled)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn settings_of_a_bucket_that_hurt_are_named() {
    let server = Product::Minio.shared();
    let client = client(server);
    let bucket = "settings";
    client.create_bucket().bucket(bucket).object_lock_enabled_for_bucket(true).send().await.expect("a bucket");
    let versions = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    client.put_bucket_versioning().bucket(bucket).versioning_configuration(versions).send().await.expect("set");

    let verdict = |check: &str| {
        let ran = examined(server, server.address(), bucket, &[]);
        let (verdict, seen) = verdicts(&ran).remove(check).unwrap_or_else(|| panic!("{check}: {}", ran.out));
        (ran.status, verdict, seen)
    };
    let (status, lifecycle, seen) = verdict("lifecycle");
    assert!(status == 0 && lifecycle == "warning" && seen.contains("noncurrent"), "{seen}");
    assert_eq!(verdict("versioning").1, "ok");
    assert_eq!(verdict("object lock").1, "ok", "nothing is kept that nobody asked to keep");

    let set = async |rules: Vec<LifecycleRule>| {
        let lifecycle = BucketLifecycleConfiguration::builder().set_rules(Some(rules)).build().expect("rules");
        client.put_bucket_lifecycle_configuration().bucket(bucket).lifecycle_configuration(lifecycle).send().await.expect("set");
    };
    let expiration = || LifecycleExpiration::builder().days(30).build();
    let noncurrent = rule("").noncurrent_version_expiration(NoncurrentVersionExpiration::builder().noncurrent_days(7).build());
    let noncurrent = noncurrent.build().expect("a rule");
    set(vec![noncurrent.clone(), rule("logs/").expiration(expiration()).build().expect("a rule")]).await;
    assert_eq!(verdict("lifecycle").1, "ok", "neither meets a current object of the journal");
    set(vec![noncurrent, rule("doctor").expiration(expiration()).build().expect("a rule")]).await;
    let (status, lifecycle, seen) = verdict("lifecycle");
    assert!(status == 1 && lifecycle == "bad" && seen.contains("rule-doctor"), "{seen}");

    let retention = DefaultRetention::builder().mode(ObjectLockRetentionMode::Governance).days(1).build();
    let rule = ObjectLockRule::builder().default_retention(retention).build();
    let lock = ObjectLockConfiguration::builder().object_lock_enabled(ObjectLockEnabled::Enabled).rule(rule).build();
    client.put_object_lock_configuration().bucket(bucket).object_lock_configuration(lock).send().await.expect("set");
    assert_eq!(verdict("object lock").1, "warning");
}

/// Whether the request with this first line is refused.
type IsRefused = fn(&str) -> bool;

/// Stands before a server, and refuses some requests as S3 refuses those that nobody granted.
fn refusing(server: SocketAddr, is_refused: IsRefused) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        // Ends with the test: the threads hold nothing but their connections.
        while let Ok((client, _)) = listener.accept() {
            std::thread::spawn(move || answer_one(client, server, is_refused));
        }
    });
    address
}

fn answer_one(mut client: TcpStream, server: SocketAddr, is_refused: IsRefused) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("text");
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:").map(|length| length.trim().to_owned()));
    let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a length"))];
    client.read_exact(&mut body)?;
    let (line, rest) = head.split_once("\r\n").expect("a line");
    if is_refused(line) {
        let denied = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
        // Without Date, which would be taken for the store's.
        let head = format!("HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", denied.len());
        let answer = format!("{head}{denied}");
        return client.write_all(answer.as_bytes());
    }
    let mut server = TcpStream::connect(server)?;
    // One request a connection, so that each is looked at.
    server.write_all(format!("{line}\r\nConnection: close\r\n{rest}").as_bytes())?;
    server.write_all(&body)?;
    std::io::copy(&mut server, &mut client).map(|_| ())
}

#[test]
fn a_right_that_is_missing_is_named() {
    let server = Product::Minio.shared();
    let cases: [(IsRefused, &str, &str); 5] = [
        (|line| line.starts_with("PUT "), "right to put", "s3:PutObject"),
        (|line| line.starts_with("POST ") && line.contains("?delete"), "right to delete", "s3:DeleteObject"),
        (|line| line.starts_with("GET ") && line.contains("list-type"), "right to list", "s3:ListBucket"),
        (|line| line.starts_with("GET ") && line.contains("/stamp-"), "right to get", "s3:GetObject"),
        (|line| line.starts_with("GET ") && line.contains("/absent"), "a missing object", "s3:ListBucket"),
    ];
    for (is_refused, check, right) in cases {
        let ran = examined(server, refusing(server.address(), is_refused), BUCKET, &[]);
        assert_eq!((ran.status, verdicts(&ran)[check].0.as_str()), (1, "bad"), "{}{}", ran.out, ran.err);
        let row = ran.json().into_iter().find(|row| row["check"] == check).expect("a row");
        assert!(row["do"].as_str().is_some_and(|change| change.contains(right)), "{row}");
    }
    let ran = examined(server, refusing(server.address(), |line| line.contains("?versioning") || line.contains("?lifecycle")), BUCKET, &[]);
    let found = verdicts(&ran);
    assert_eq!((ran.status, found["versioning"].0.as_str(), found["lifecycle"].0.as_str()), (0, "warning", "warning"), "{}", ran.out);
    assert!(ran.out.contains("s3:GetBucketVersioning") && ran.out.contains("s3:GetLifecycleConfiguration"), "{}", ran.out);
}
