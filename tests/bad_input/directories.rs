//! Directories that are missing, closed to this user, or full. Other users and full disks are played by this program
//! itself.

use super::stage::{AMPLE, NS, Place, ask, n, open, play, told};
use crate::roles;
use opjournal::error::Status;
use serde_json::json;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

fn process(role: &str, directory: &Path) -> Command {
    roles::process("bad_input::directories::the_role_of_another_process", role, directory)
}

#[test]
fn a_directory_that_is_missing_is_named() {
    play(async {
        let place = tempfile::tempdir().expect("a directory");
        let file = place.path().join("file");
        fs::write(&file, "somebody's").expect("written");
        for path in [place.path().join("missing"), file.clone()] {
            let path = path.to_str().expect("text");
            let error = open(&json!({ "store": format!("file://{path}") }), AMPLE).await.err().expect("refused");
            told(&error, Status::NoSuchStore, &[path]);
            assert!(!error.retryable);
        }
        assert_eq!(fs::read_dir(place.path()).expect("a directory").count(), 1, "nothing was made");
        assert_eq!(fs::read(&file).expect("read"), b"somebody's");
    });
}

#[test]
fn a_name_that_is_too_long_for_a_file_is_refused_when_it_is_opened() {
    play(async {
        let place = Place::directory().await;
        let (replica, _) = place.open(json!({})).await;
        let longest = replica.namespace(&"n".repeat(250)).await.expect("its legacy object has 255 bytes");
        replica.add_one(&longest).await.expect("applied");
        // The legacy object, and the directory.
        for (length, status) in [(251, Status::Unreadable), (256, Status::Unavailable), (512, Status::Unavailable)] {
            let error = replica.namespace(&"n".repeat(length)).await.err().expect("too long");
            told(&error, status, &["too long", place.path().to_str().expect("text")]);
            assert!(!error.retryable);
        }
    });
}

#[test]
fn a_directory_that_goes_away_and_comes_back_loses_nothing() {
    play(async {
        let place = Place::directory().await;
        let (replica, namespace) = place.open(json!({})).await;
        replica.add_one(&namespace).await.expect("applied");
        let before = place.contents().await;
        let aside = tempfile::tempdir().expect("a directory");
        let aside = aside.path().join("aside");
        fs::rename(place.path(), &aside).expect("moved");
        let path = place.path().to_str().expect("text").to_owned();
        told(&replica.flush(&namespace).await.expect_err("gone"), Status::NoSuchStore, &[&path]);
        told(&replica.add_one(&namespace).await.expect_err("gone"), Status::NoSuchStore, &[&path]);
        told(&replica.namespace("another").await.err().expect("gone"), Status::NoSuchStore, &[&path]);
        assert_eq!(n(&namespace), 1, "what is held is served on");
        assert!(!place.path().exists(), "nobody made it anew");
        fs::rename(&aside, place.path()).expect("moved back");
        assert_eq!(place.contents().await, before);
        replica.add_one(&namespace).await.expect("and goes on");
        replica.flush(&namespace).await.expect("flushed");
        assert_eq!(n(&place.open(json!({})).await.1), 2);
    });
}

/// Not a test of its own: what the other processes do.
#[test]
fn the_role_of_another_process() {
    let Some((role, path)) = roles::asked() else { return };
    let path = path.to_str().expect("text").to_owned();
    let config = json!({ "store": format!("file://{path}") });
    play(async move {
        match role.as_str() {
            "may only read" => {
                let replica = open(&config, AMPLE).await.expect("opens");
                let namespace = replica.namespace(NS).await.expect("opens");
                assert_eq!(n(&namespace), 1);
                let error = replica.add_one(&namespace).await.expect_err("refused");
                told(&error, Status::Denied, &["PUT .metadata/ns/segment-", &path]);
                assert!(!error.retryable);
                let error = namespace.quarantine(UNREADABLE, replica.after(AMPLE)).await.expect_err("refused");
                told(&error, Status::Invalid, &[UNREADABLE]);
                replica.flush(&namespace).await.expect("reading goes on");
                assert_eq!(n(&namespace), 1, "what was refused is not shown");
                let other = replica.namespace("degraded").await.err().expect("refused");
                assert_eq!(other.status, Status::Unreadable);
                let mut degraded = config.clone();
                degraded["allow_degraded"] = json!(true);
                let replica = open(&degraded, AMPLE).await.expect("opens");
                let other = replica.namespace("degraded").await.expect("opens");
                let error = other.quarantine(UNREADABLE, replica.after(AMPLE)).await.expect_err("refused");
                told(&error, Status::Denied, &["PUT .metadata/.quarantine/degraded/segment-", &path]);
            }
            "may do nothing" => {
                let error = open(&config, AMPLE).await.err().expect("refused");
                told(&error, Status::Denied, &[&path]);
            }
            "has no space" => fill_and_go_on(&config, &path).await,
            other => panic!("no such role: {other}"),
        }
        roles::played();
    });
}

const UNREADABLE: &str = "segment-01999999-0000-7000-8000-000000000000.json";

/// Writes until nothing fits any more, makes room, and goes on: what was acknowledged is there, and nothing else.
async fn fill_and_go_on(config: &serde_json::Value, path: &str) {
    let replica = open(config, AMPLE).await.expect("opens");
    let namespace = replica.namespace(NS).await.expect("opens");
    replica.add_one(&namespace).await.expect("applied");
    let filler = Path::new(path).join("filler");
    fs::write(&filler, vec![b'x'; 1 << 20]).expect("room for this much");
    let batch = |number: usize| {
        format!(
            r#"[{{"op":"IntAdd","Key":"acknowledged","Delta":1}},{{"op":"ScalarSet","Key":"s{number}","Value":"{}"}}]"#,
            "x".repeat(200_000)
        )
    };
    let mut acknowledged = 0;
    let error = loop {
        assert!(acknowledged < 100, "the disk does not get full");
        match replica.apply(&namespace, batch(acknowledged), AMPLE).await {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    told(&error, Status::Unavailable, &["PUT .metadata/ns/segment-", "no space is left", path]);
    assert!(!error.retryable, "it stays so until somebody makes room");
    replica.flush(&namespace).await.expect("reading goes on");
    let segments = || fs::read_dir(Path::new(path).join(".metadata/ns")).expect("a directory").count();
    assert_eq!(segments(), acknowledged + 1);
    assert_eq!(fs::read_dir(Path::new(path).join(".opjournal/tmp")).expect("a directory").count(), 0, "no half object is left");
    fs::remove_file(&filler).expect("removed");
    replica.apply(&namespace, batch(acknowledged), AMPLE).await.expect("there is room again");
    replica.journal.close(None).await.expect("closed");
    let replica = open(config, AMPLE).await.expect("opens");
    let namespace = replica.namespace(NS).await.expect("opens");
    assert_eq!(ask(&namespace, r#"{"op":"IntGet","Key":"acknowledged"}"#), json!(acknowledged + 1));
    println!("refused after {acknowledged}");
}

#[test]
fn who_may_only_read_reads_and_is_told_so() {
    let place = tempfile::tempdir().expect("a directory");
    let config = json!({ "store": format!("file://{}", place.path().display()) });
    play(async move {
        let replica = open(&config, AMPLE).await.expect("opens");
        replica.add_one(&replica.namespace(NS).await.expect("opens")).await.expect("applied");
        replica.journal.close(None).await.expect("closed");
    });
    fs::create_dir(place.path().join(".metadata/degraded")).expect("made");
    fs::write(place.path().join(".metadata/degraded").join(UNREADABLE), "damaged").expect("written");
    let all = || {
        let mut all = Vec::new();
        let mut left = vec![place.path().to_owned()];
        while let Some(path) = left.pop() {
            let metadata = fs::metadata(&path).expect("there");
            if metadata.is_dir() {
                left.extend(fs::read_dir(&path).expect("a directory").flatten().map(|entry| entry.path()));
            }
            all.push((path, metadata.mtime(), metadata.mtime_nsec(), metadata.len()));
        }
        all.sort();
        all
    };
    let allow = |directories: u32, files: u32| {
        // From the innermost out, so that the way to each is open.
        for (path, ..) in all().into_iter().rev() {
            let rights = if path.is_dir() { directories } else { files };
            fs::set_permissions(&path, Permissions::from_mode(rights)).expect("set");
        }
    };
    let play = |role: &str| roles::play(roles::without_rights(process(role, place.path())));
    allow(0o555, 0o444);
    let before = all();
    play("may only read");
    assert_eq!(all(), before, "nothing was written");
    fs::set_permissions(place.path(), Permissions::from_mode(0o000)).expect("set");
    play("may do nothing");
    fs::set_permissions(place.path(), Permissions::from_mode(0o755)).expect("set");
    assert_eq!(all(), before);
    allow(0o755, 0o644);
}

#[test]
fn a_full_disk_refuses_what_does_not_fit() {
    let place = tempfile::tempdir().expect("a directory");
    roles::play_on_small_disk(4, place.path(), &process("has no space", place.path()));
}
