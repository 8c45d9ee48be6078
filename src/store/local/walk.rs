//! Goes through the objects of a directory in the order of their keys.

use super::{OWN, etag};
use crate::store::Listed;
use crate::time::Stamp;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Shows `visit` every object whose key starts with `prefix` and comes after `after`, in ascending order of the bytes of the
/// keys, until it breaks off. Files whose names are no keys, and symbolic links, are no objects.
pub fn walk(root: &Path, prefix: &str, after: Option<&str>, visit: &mut dyn FnMut(Listed) -> ControlFlow<()>) -> io::Result<()> {
    let above = prefix.rfind('/').map_or("", |slash| &prefix[..=slash]);
    walk_below(root, above, prefix, after.unwrap_or(""), visit).map(|_| ())
}

/// Walks the directory whose keys begin with `above` (empty, or ending with `/`).
fn walk_below(
    root: &Path,
    above: &str,
    prefix: &str,
    after: &str,
    visit: &mut dyn FnMut(Listed) -> ControlFlow<()>,
) -> io::Result<ControlFlow<()>> {
    let entries = match fs::read_dir(root.join(above)) {
        Err(error) if !above.is_empty() && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(ControlFlow::Continue(()));
        }
        other => other?,
    };
    let mut keys = Vec::new();
    for entry in entries {
        let entry = entry?;
        let kind = entry.file_type()?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| is_part(name)) else { continue };
        // What lies in a directory has a `/` after its name, and sorts by it.
        let key = match (kind.is_dir(), kind.is_file()) {
            (true, _) => format!("{above}{name}/"),
            (_, true) => format!("{above}{name}"),
            _ => continue,
        };
        let wanted = if kind.is_dir() {
            (key.starts_with(prefix) || prefix.starts_with(&key)) && (key.as_str() > after || after.starts_with(&key))
        } else {
            key.starts_with(prefix) && key.as_str() > after
        };
        if wanted {
            keys.push(key);
        }
    }
    keys.sort_unstable();
    for key in keys {
        let step = if key.ends_with('/') {
            walk_below(root, &key, prefix, after, visit)?
        } else {
            match fs::symlink_metadata(root.join(&key)) {
                Ok(metadata) => visit(listed(key, &metadata)),
                // Removed by hand just now.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            }
        };
        if step.is_break() {
            return Ok(step);
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn listed(key: String, metadata: &Metadata) -> Listed {
    Listed { key, etag: etag(metadata), stamp: stamp(metadata), size: metadata.len() }
}

/// When a file was published.
pub fn stamp(metadata: &Metadata) -> Stamp {
    Stamp::from_nanos(i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()))
}

/// Whether `name` may be the part of a key between two slashes.
pub fn is_part(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !name.is_empty() && name.bytes().all(allowed) && !matches!(name, "." | "..") && name != OWN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_in_the_order_of_their_bytes() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut keys = ["a-b/x", "a.json", "a/x", "a/y/z", "a0", ".root/q", "b", "a/y.json", "A"].map(str::to_owned);
        for key in &keys {
            let path = directory.path().join(key);
            fs::create_dir_all(path.parent().expect("a parent")).expect("created");
            fs::write(path, key).expect("written");
        }
        for stranger in ["~backup", "with space", ".opjournal"] {
            fs::write(directory.path().join(stranger), "").expect("written");
        }
        keys.sort_unstable();
        let from = |prefix: &str, after: Option<&str>| {
            let mut found = Vec::new();
            walk(directory.path(), prefix, after, &mut |listed| {
                found.push(listed.key);
                ControlFlow::Continue(())
            })
            .expect("a walk");
            found
        };
        assert_eq!(from("", None), keys);
        for (place, key) in keys.iter().enumerate() {
            assert_eq!(from("", Some(key)), keys[place + 1..], "after {key}");
        }
        for prefix in ["a", "a/", "a/y", "a/y/", "a/y/z", "a/y/z/", "a.", "b", "c", ".root/"] {
            let expected: Vec<String> = keys.iter().filter(|key| key.starts_with(prefix)).cloned().collect();
            assert_eq!(from(prefix, None), expected, "under {prefix}");
        }
    }
}
