//! Any bytes as a configuration: a refusal names the member, and an unknown one always; what is accepted is the same when it is
//! written out and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use opjournal::Config;
use opjournal::config::StoreUrl;
use opjournal_fuzz::check_error;
use opjournal_fuzz::model::Json;
use serde_json::{Value, json};

const MEMBERS: [&str; 19] = [
    "store",
    "sync_interval_ms",
    "commit_interval_ms",
    "read_only",
    "allow_degraded",
    "compaction",
    "limits",
    "lock_ttl_ms",
    "region",
    "endpoint",
    "force_path_style",
    "access_key_id",
    "secret_access_key",
    "session_token",
    "profile",
    "expected_bucket_owner",
    "sse",
    "kms_key_id",
    "ca_bundle",
];

fuzz_target!(|data: &[u8]| {
    let first_unknown = match std::str::from_utf8(data).ok().and_then(|text| Json::read(text, 100)) {
        Some(Json::Object(members)) => members.into_iter().map(|(name, _)| name).find(|name| !MEMBERS.contains(&name.as_str())),
        _ => None,
    };
    match Config::parse(data) {
        Ok((config, warnings)) => {
            assert_eq!(first_unknown, None, "an unknown member was accepted");
            assert!(warnings.len() <= MEMBERS.len() && warnings.iter().all(|warning| warning.len() < 200));
            let text = written(&config);
            let (again, _) = Config::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(written(&again), text);
            assert_eq!(format!("{again:?}"), format!("{config:?}"));
            let url = config.store.to_string();
            assert_eq!(StoreUrl::parse(&url).as_ref(), Ok(&config.store), "a store is shown as it can be written: {url}");
            let more = format!("{},\"not yet invented\":1}}", text.trim_end_matches('}'));
            if text.ends_with("\"}") || text.ends_with("e}") {
                assert_eq!(Config::parse(more.as_bytes()).expect_err("refused").member, "not yet invented");
            }
        }
        Err(error) => {
            let (member, converted) = (error.member.clone(), opjournal::Error::from(error));
            check_error(&converted);
            assert_eq!(converted.details.get("member").and_then(Value::as_str).unwrap_or_default(), member);
            if let Some(unknown) = first_unknown {
                // A long name is cut; numbers that no type holds are no JSON to the library.
                let beginning: String = unknown.chars().take(50).collect();
                assert!(
                    member.starts_with(&beginning) || member.is_empty() || MEMBERS.contains(&member.as_str()),
                    "{member}, not {beginning}"
                );
            }
        }
    }
});

/// A configuration as JSON, every member that it has.
fn written(config: &Config) -> String {
    let (settings, s3) = (&config.settings, &config.s3);
    let mut text = json!({
        "store": url(&config.store),
        "sync_interval_ms": settings.sync_interval.as_millis() as u64,
        "commit_interval_ms": settings.commit_interval.as_millis() as u64,
        "read_only": settings.read_only,
        "allow_degraded": settings.allow_degraded,
        "compaction": {
            "segment_threshold": settings.compaction.segment_threshold,
            "age_threshold_ms": settings.compaction.age_threshold.as_millis() as u64,
            "max_age_ms": settings.compaction.max_age.map_or(0, |age| age.as_millis() as u64),
        },
        "limits": {
            "batch_bytes": settings.limits.batch_bytes,
            "segment_bytes": settings.limits.segment_bytes,
            "waiting_bytes": settings.limits.waiting_bytes,
            "state_bytes": settings.limits.state_bytes,
            "depth": settings.limits.depth,
            "object_bytes": settings.limits.object_bytes,
        },
        "force_path_style": s3.force_path_style,
    });
    let ca_bundle = s3.ca_bundle.as_ref().map(|path| path.to_str().expect("it came from JSON").to_owned());
    for (name, value) in [
        ("region", &s3.region),
        ("endpoint", &s3.endpoint),
        ("access_key_id", &s3.access_key_id),
        ("secret_access_key", &s3.secret_access_key),
        ("session_token", &s3.session_token),
        ("profile", &s3.profile),
        ("expected_bucket_owner", &s3.expected_bucket_owner),
        ("sse", &s3.sse),
        ("kms_key_id", &s3.kms_key_id),
        ("ca_bundle", &ca_bundle),
    ] {
        if let Some(value) = value {
            text[name] = json!(value);
        }
    }
    text.to_string()
}

fn url(store: &StoreUrl) -> String {
    use std::os::unix::ffi::OsStrExt;
    match store {
        StoreUrl::Memory { name } => format!("memory:{name}"),
        StoreUrl::File { directory } => {
            let bytes = directory.as_os_str().as_bytes().iter();
            format!("file://{}", bytes.map(|byte| if *byte == b'/' { "/".to_owned() } else { format!("%{byte:02x}") }).collect::<String>())
        }
        StoreUrl::S3 { bucket, root } => format!("s3://{bucket}/{root}"),
    }
}
