//! The store in a directory, in which others leave what they like: its LIST against a plain model, for any prefix and any place to go on.

#![no_main]

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use opjournal::store::local::LocalStore;
use opjournal::store::{Condition, Get, GetOptions, Kind, Store};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;
use tokio::runtime::Runtime;

const PARTS: [&str; 10] = ["a", "b", "a-b", "a.json", "a0", ".root", "..", ".", ".opjournal", "ä"];

/// Of a file or directory, in bytes.
const LONGEST_NAME: usize = 255;

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Builder::new_current_thread().build().expect("a runtime"))
}

fuzz_target!(|data: &[u8]| {
    // Memory, where the system has such a directory: a disk would have to be waited for.
    let memory = Path::new("/dev/shm");
    let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a directory");
    let store = LocalStore::open(directory.path(), runtime().handle().clone());
    let _ = runtime().block_on(play(&store, directory.path(), &mut Unstructured::new(data)));
});

async fn play(store: &LocalStore, root: &Path, u: &mut Unstructured<'_>) -> Result<()> {
    // The objects, and how long each is.
    let mut objects = BTreeMap::new();
    for _ in 0..12 {
        if u.is_empty() {
            break;
        }
        match u.int_in_range(0..=6)? {
            0 => {
                let (key, body) = (key(u)?, u.arbitrary::<&[u8]>()?);
                let condition = if u.arbitrary()? { Condition::Absent } else { Condition::Always };
                let is_there = objects.contains_key(&key);
                match store.put(&key, Bytes::copy_from_slice(body), condition.clone()).await {
                    Ok(_) => {
                        assert!(is_key(&key) && !(is_there && condition == Condition::Absent), "{key:?}");
                        objects.insert(key, body.len());
                    }
                    Err(failure) if failure.kind == Kind::ConditionFailed => {
                        assert!(is_there && condition == Condition::Absent, "{failure}")
                    }
                    Err(failure) => assert!(!is_key(&key) || stands_in_the_way(root, &key), "{failure}"),
                }
            }
            1 => {
                let key = key(u)?;
                match store.delete(std::slice::from_ref(&key)).await {
                    Ok(_) => {
                        objects.remove(&key);
                    }
                    Err(failure) => assert!(!is_key(&key) || root.join(&key).is_dir(), "{failure}"),
                }
            }
            2 => {
                let key = key(u)?;
                match store.get(&key, GetOptions::default()).await {
                    Ok(Get::Found(object)) => assert_eq!(Some(&(object.size as usize)), objects.get(&key)),
                    Ok(Get::NotModified { .. }) => panic!("nothing was named"),
                    Err(failure) => assert!(!objects.contains_key(&key), "{failure}"),
                }
            }
            3 => stranger(root, u, &mut objects)?,
            _ => {
                let prefix = if u.ratio(1, 4)? { u.arbitrary::<String>()? } else { key(u)? };
                let prefix: String =
                    if u.arbitrary()? { format!("{prefix}/") } else { prefix.chars().take(u.int_in_range(0..=9)?).collect() };
                let after = if u.arbitrary()? { Some(key(u)?) } else { None };
                check_list(store, &objects, &prefix, after.as_deref()).await;
            }
        }
    }
    check_list(store, &objects, "", None).await;
    Ok(())
}

async fn check_list(store: &LocalStore, objects: &BTreeMap<String, usize>, prefix: &str, after: Option<&str>) {
    match store.list(prefix, after).await {
        Ok(page) => {
            assert!(page.date.is_some() && page.next.is_none());
            let found: Vec<(String, usize)> = page.objects.iter().map(|listed| (listed.key.clone(), listed.size as usize)).collect();
            let wanted = |key: &str| key.starts_with(prefix) && after.is_none_or(|after| key > after);
            let expected: Vec<(String, usize)> =
                objects.iter().filter(|(key, _)| wanted(key)).map(|(key, size)| (key.clone(), *size)).collect();
            assert_eq!(found, expected, "under {prefix:?} after {after:?}");
        }
        Err(failure) => {
            let is_beginning =
                !prefix.starts_with('/') && !prefix.contains("//") && prefix.split('/').all(|part| part.is_empty() || is_key(part));
            // Rather than nothing below a directory that there cannot be: who opens such a namespace is told at once.
            let is_too_long = prefix.split('/').any(|part| part.len() > LONGEST_NAME);
            assert!((!is_beginning || is_too_long) && failure.kind == Kind::Refused, "{prefix:?}: {failure}");
        }
    }
}

/// What somebody else puts into the directory: a file, a directory, or a link, of any name.
fn stranger(root: &Path, u: &mut Unstructured, objects: &mut BTreeMap<String, usize>) -> Result<()> {
    let name = if u.arbitrary()? { u.arbitrary::<&[u8]>()?.to_vec() } else { (*u.choose(&PARTS)?).as_bytes().to_vec() };
    if name.is_empty()
        || name.len() > 200
        || name.contains(&b'/')
        || name.contains(&0)
        || [&b"."[..], b"..", b".opjournal"].contains(&&name[..])
    {
        return Ok(());
    }
    let path = root.join(OsStr::from_bytes(&name));
    match u.int_in_range(0..=3)? {
        0 => drop(fs::create_dir(&path)),
        // A link is no object.
        1 => drop(std::os::unix::fs::symlink("/nonexistent/nowhere", &path)),
        _ if fs::symlink_metadata(&path).is_err() && fs::write(&path, b"stranger").is_ok() => {
            if let Ok(key) = String::from_utf8(name)
                && is_key(&key)
            {
                objects.insert(key, 8);
            }
        }
        _ => {}
    }
    Ok(())
}

fn key(u: &mut Unstructured) -> Result<String> {
    let part = |u: &mut Unstructured| Ok(if u.ratio(7, 8)? { (*u.choose(&PARTS)?).to_owned() } else { u.arbitrary::<String>()? });
    let parts: Vec<String> = (0..u.int_in_range(1..=3)?).map(|_| part(u)).collect::<Result<_>>()?;
    Ok(parts.join("/"))
}

/// Whether a text is a key, as the contract of stores says: parts of certain characters, none of which a directory keeps for itself.
fn is_key(text: &str) -> bool {
    text.split('/').all(|part| {
        let fits = part.chars().all(|character| character.is_ascii_alphanumeric() || "-_.".contains(character));
        fits && !matches!(part, "" | "." | ".." | ".opjournal")
    })
}

/// Whether a directory has the name of the object, or anything but a directory that of one above it, or the name is too long.
fn stands_in_the_way(root: &Path, key: &str) -> bool {
    let above = Path::new(key).ancestors().skip(1).filter(|above| !above.as_os_str().is_empty());
    let is_blocked = above.into_iter().any(|above| fs::symlink_metadata(root.join(above)).is_ok_and(|found| !found.is_dir()));
    let is_no_file = fs::symlink_metadata(root.join(key)).is_ok_and(|found| !found.is_file());
    is_blocked || is_no_file || key.split('/').any(|part| part.len() > LONGEST_NAME)
}
