//! The URL of a store: `s3://BUCKET[/ROOT]`, `file:///DIR`, `memory:NAME`.

use super::StoreUrl;
use crate::error::shortened;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// The longest root in a bucket: keys have 1,024 bytes, and the journal's own parts need their share.
const MAX_ROOT_BYTES: usize = 512;

impl StoreUrl {
    /// Reads the URL of a store. The error says what a right one looks like.
    pub fn parse(url: &str) -> Result<StoreUrl, String> {
        let (scheme, rest) = url.split_once(':').ok_or("it has no scheme; s3://BUCKET[/ROOT], file:///DIR or memory:NAME is expected")?;
        match scheme {
            "memory" => memory(rest),
            "file" => file(rest),
            "s3" => s3(rest),
            _ => Err(format!("the scheme {:?} is unknown; s3://BUCKET[/ROOT], file:///DIR or memory:NAME is expected", shortened(scheme))),
        }
    }
}

fn memory(name: &str) -> Result<StoreUrl, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > 255 || !name.chars().all(fits) {
        return Err("the name after memory: must be 1 to 255 ASCII letters, digits, '-', '_' or '.'".to_owned());
    }
    Ok(StoreUrl::Memory { name: name.to_owned() })
}

/// The path is percent-decoded byte by byte, so that any path can be spelled.
fn file(rest: &str) -> Result<StoreUrl, String> {
    const FORM: &str = "a directory is spelled file:///ABSOLUTE/DIR";
    let path = rest.strip_prefix("//").ok_or(FORM)?;
    let path = path.strip_prefix("localhost").filter(|path| path.starts_with('/')).unwrap_or(path);
    if !path.starts_with('/') {
        return Err(format!("{FORM}, with three slashes and no host"));
    }
    if let Some(wrong) = path.chars().find(|c| matches!(c, '?' | '#')) {
        return Err(format!("{FORM}; {wrong:?} in a path is spelled %{:02X}", u32::from(wrong)));
    }
    let bytes = percent_decoded(path).ok_or("a '%' in a path must be followed by two hexadecimal digits; '%' itself is spelled %25")?;
    if bytes.contains(&0) {
        return Err("a path holds no NUL".to_owned());
    }
    Ok(StoreUrl::File { directory: PathBuf::from(OsString::from_vec(bytes)) })
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => (digit(bytes.next())? * 16 + digit(bytes.next())?) as u8,
            _ => byte,
        });
    }
    Some(decoded)
}

fn s3(rest: &str) -> Result<StoreUrl, String> {
    let path = rest.strip_prefix("//").ok_or("a bucket is spelled s3://BUCKET[/ROOT]")?;
    let (bucket, root) = path.split_once('/').unwrap_or((path, ""));
    let root = root.strip_suffix('/').unwrap_or(root);
    check_bucket(bucket)?;
    check_root(root)?;
    Ok(StoreUrl::S3 { bucket: bucket.to_owned(), root: root.to_owned() })
}

/// The rule for buckets that AWS documents as "bucket naming rules", as far as letters go.
fn check_bucket(bucket: &str) -> Result<(), String> {
    let is_end = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_inner = |byte: u8| is_end(byte) || matches!(byte, b'-' | b'.');
    let bytes = bucket.as_bytes();
    let right = (3..=63).contains(&bytes.len())
        && bytes.iter().all(|byte| is_inner(*byte))
        && bytes.first().is_some_and(|byte| is_end(*byte))
        && bytes.last().is_some_and(|byte| is_end(*byte))
        && !bucket.contains("..");
    if right {
        return Ok(());
    }
    Err("the name of a bucket is 3 to 63 lower-case letters, digits, '-' and '.', begins and ends with a letter or digit, and holds no \"..\""
        .to_owned())
}

fn check_root(root: &str) -> Result<(), String> {
    if root.is_empty() {
        return Ok(());
    }
    if root.len() > MAX_ROOT_BYTES {
        return Err(format!("the root in the bucket has {} bytes; the limit is {MAX_ROOT_BYTES}", root.len()));
    }
    if let Some(wrong) = root.chars().find(|c| !(c.is_ascii_alphanumeric() || "-_./".contains(*c))) {
        return Err(format!("the root in the bucket holds {wrong:?}; ASCII letters, digits, '-', '_', '.' and '/' are allowed"));
    }
    if root.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("the root in the bucket has an empty part, \".\" or \"..\"".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn stores_are_read() {
        assert_eq!(StoreUrl::parse("memory:orders-1"), Ok(StoreUrl::Memory { name: "orders-1".into() }));
        assert_eq!(StoreUrl::parse("file:///var/lib/x"), Ok(StoreUrl::File { directory: "/var/lib/x".into() }));
        assert_eq!(StoreUrl::parse("file://localhost/x"), Ok(StoreUrl::File { directory: "/x".into() }));
        assert_eq!(StoreUrl::parse("file:///a%20b/%C3%A4%25"), Ok(StoreUrl::File { directory: "/a b/ä%".into() }));
        let Ok(StoreUrl::File { directory }) = StoreUrl::parse("file:///%ff") else { panic!("any bytes can be spelled") };
        assert_eq!(directory.as_os_str().as_bytes(), b"/\xff");
        for (url, root) in [("s3://bucket.eu-1", ""), ("s3://bucket.eu-1/", ""), ("s3://bucket.eu-1/a/b_c/", "a/b_c")] {
            assert_eq!(StoreUrl::parse(url), Ok(StoreUrl::S3 { bucket: "bucket.eu-1".into(), root: root.into() }));
        }
    }

    #[test]
    fn a_store_is_shown_as_it_can_be_written() {
        for url in ["memory:a", "s3://bucket/a/b", "s3://bucket", "file:///a%25b/%3F%23 \u{e4}/%FF"] {
            let store = StoreUrl::parse(url).expect(url);
            assert_eq!(store.to_string(), url);
        }
    }

    #[test]
    fn what_is_no_store_is_refused_with_what_is_right() {
        for (url, hint) in [
            ("", "no scheme"),
            ("/var/lib", "no scheme"),
            ("https://x.example", "\"https\" is unknown"),
            ("memory:", "1 to 255"),
            ("memory://x", "1 to 255"),
            ("file:x", "file:///ABSOLUTE/DIR"),
            ("file://dir/x", "three slashes"),
            ("file://localhostess/x", "three slashes"),
            ("file:///a?b", "%3F"),
            ("file:///a%2", "hexadecimal"),
            ("file:///a%zz", "hexadecimal"),
            ("file:///a%00", "NUL"),
            ("s3:bucket", "s3://BUCKET"),
            ("s3://", "3 to 63"),
            ("s3://ab", "3 to 63"),
            ("s3://Bucket", "lower-case"),
            ("s3://bucket_1", "lower-case"),
            ("s3://-bucket", "begins and ends"),
            ("s3://buc..ket", "\"..\""),
            ("s3://bucket/a//b", "empty part"),
            ("s3://bucket/../b", "\"..\""),
            ("s3://bucket/a b", "' '"),
            ("s3://bucket/a?b=c", "'?'"),
        ] {
            let error = StoreUrl::parse(url).expect_err(url);
            assert!(error.contains(hint), "{url}: {error}");
        }
        let error = StoreUrl::parse(&format!("{}:x", "s".repeat(100_000))).expect_err("no store");
        assert!(error.len() < 3_000, "a message is not as long as what it is about");
    }
}
