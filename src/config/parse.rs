//! From JSON to a [`Config`]. Strict: what is not known, has another type, or is out of its range is refused, so that
//! no misspelled member is silently without effect. No message repeats a value of a member that may be secret.

use super::{Compaction, Config, Limits, S3Config, Settings, StoreUrl};
use crate::error::{Error, shortened};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// A configuration that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The member that is wrong, with a dot before an inner one: `compaction.age_threshold_ms`. Empty: the text as a
    /// whole.
    pub member: String,
    pub message: String,
}

impl ConfigError {
    fn new(member: impl Into<String>, message: impl Into<String>) -> ConfigError {
        ConfigError { member: member.into(), message: message.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.member.as_str() {
            "" => write!(formatter, "the configuration {}", self.message),
            member => write!(formatter, "the configuration's member {member:?} {}", self.message),
        }
    }
}

impl std::error::Error for ConfigError {}

impl From<ConfigError> for Error {
    fn from(wrong: ConfigError) -> Error {
        let error = Error::invalid(wrong.to_string());
        if wrong.member.is_empty() { error } else { error.with("member", wrong.member) }
    }
}

const MEMBERS: &[&str] = &[
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
/// From here on, `MEMBERS` only concern S3.
const FIRST_OF_S3: usize = 8;
const COMPACTION_MEMBERS: &[&str] = &["segment_threshold", "age_threshold_ms", "max_age_ms"];
const LIMITS_MEMBERS: &[&str] = &["batch_bytes", "segment_bytes", "waiting_bytes", "state_bytes", "depth", "object_bytes"];

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
/// A state version finds its entries by four bytes.
const MOST_STATE_BYTES: u64 = if usize::BITS < 64 { 1 << 31 } else { u32::MAX as u64 };
/// As much as may ever be asked for in bytes: 1 TiB, where the machine can count it.
const MOST_BYTES: u64 = if usize::BITS < 64 { 1 << 31 } else { 1 << 40 };

impl Config {
    /// Reads a configuration, and what a person should be told about it.
    pub fn parse(text: &[u8]) -> Result<(Config, Vec<String>), ConfigError> {
        let root: Node = serde_json::from_slice(text).map_err(|error| ConfigError::new("", format!("is no JSON: {error}")))?;
        let Node::Object(members) = root else {
            return Err(ConfigError::new("", format!("is {}; an object is expected", root.kind())));
        };
        let object = Object::new("", members, MEMBERS)?;
        let store = object.string("store")?.ok_or_else(|| ConfigError::new("store", "is missing"))?;
        let store = StoreUrl::parse(store).map_err(|message| ConfigError::new("store", format!("is no URL of a store: {message}")))?;
        let settings = settings(&object)?;
        let s3 = s3(&object)?;

        let mut warnings = Vec::new();
        if object.get("lock_ttl_ms").is_some() {
            warnings.push("\"lock_ttl_ms\" is ignored: nothing in this library takes a lock".to_owned());
        }
        if !matches!(store, StoreUrl::S3 { .. }) {
            let without_effect = MEMBERS[FIRST_OF_S3..].iter().filter(|name| object.get(name).is_some());
            warnings.extend(without_effect.map(|name| format!("{name:?} is ignored: the store is not on S3")));
        }
        Ok((Config { store, settings, s3 }, warnings))
    }
}

fn settings(object: &Object) -> Result<Settings, ConfigError> {
    let default = Settings::default();
    Ok(Settings {
        sync_interval: object.milliseconds("sync_interval_ms", 1..=DAY_MS)?.unwrap_or(default.sync_interval),
        commit_interval: object.milliseconds("commit_interval_ms", 0..=DAY_MS)?.unwrap_or(default.commit_interval),
        read_only: object.boolean("read_only")?.unwrap_or(default.read_only),
        allow_degraded: object.boolean("allow_degraded")?.unwrap_or(default.allow_degraded),
        compaction: match object.object("compaction", COMPACTION_MEMBERS)? {
            Some(object) => compaction(&object)?,
            None => default.compaction,
        },
        limits: match object.object("limits", LIMITS_MEMBERS)? {
            Some(object) => limits(&object)?,
            None => default.limits,
        },
    })
}

fn compaction(object: &Object) -> Result<Compaction, ConfigError> {
    let default = Compaction::default();
    Ok(Compaction {
        segment_threshold: object.size("segment_threshold", 1..=1_000_000)?.unwrap_or(default.segment_threshold),
        // Below 6 s the times that are derived from it would be shorter than the skew between the nodes of a store.
        age_threshold: object.milliseconds("age_threshold_ms", 6_000..=DAY_MS)?.unwrap_or(default.age_threshold),
        max_age: object.milliseconds("max_age_ms", 0..=DAY_MS)?.map_or(default.max_age, |age| (!age.is_zero()).then_some(age)),
    })
}

fn limits(object: &Object) -> Result<Limits, ConfigError> {
    let default = Limits::default();
    let bytes = |name, default| object.size(name, 1..=MOST_BYTES).map(|value| value.unwrap_or(default));
    let limits = Limits {
        batch_bytes: bytes("batch_bytes", default.batch_bytes)?,
        segment_bytes: bytes("segment_bytes", default.segment_bytes)?,
        waiting_bytes: bytes("waiting_bytes", default.waiting_bytes)?,
        state_bytes: object.size("state_bytes", 1..=MOST_STATE_BYTES)?.unwrap_or(default.state_bytes),
        // What other readers of the bucket can be expected to take.
        depth: object.size("depth", 1..=128)?.unwrap_or(default.depth),
        object_bytes: bytes("object_bytes", default.object_bytes)?,
    };
    let fits = [
        ("batch_bytes", limits.batch_bytes, "segment_bytes", limits.segment_bytes),
        ("segment_bytes", limits.segment_bytes, "object_bytes", limits.object_bytes),
    ];
    for (inner, inner_bytes, outer, outer_bytes) in fits {
        if inner_bytes > outer_bytes {
            let message = format!("is {inner_bytes}, more than \"limits.{outer}\", {outer_bytes}, which must hold it");
            return Err(ConfigError::new(format!("limits.{inner}"), message));
        }
    }
    Ok(limits)
}

fn s3(object: &Object) -> Result<S3Config, ConfigError> {
    let text = |name| match object.string(name)? {
        Some("") => Err(ConfigError::new(name, "is empty; leave it out for the default")),
        text => Ok(text.map(str::to_owned)),
    };
    let s3 = S3Config {
        region: text("region")?,
        endpoint: text("endpoint")?,
        force_path_style: object.boolean("force_path_style")?.unwrap_or(false),
        access_key_id: text("access_key_id")?,
        secret_access_key: text("secret_access_key")?,
        session_token: text("session_token")?,
        profile: text("profile")?,
        expected_bucket_owner: text("expected_bucket_owner")?,
        sse: text("sse")?,
        kms_key_id: text("kms_key_id")?,
        ca_bundle: text("ca_bundle")?.map(Into::into),
    };
    let needs = |name: &str, other: &str| Err(ConfigError::new(name, format!("is of no use without {other:?}")));
    if s3.access_key_id.is_some() != s3.secret_access_key.is_some() {
        return if s3.access_key_id.is_some() {
            needs("access_key_id", "secret_access_key")
        } else {
            needs("secret_access_key", "access_key_id")
        };
    }
    if s3.session_token.is_some() && s3.access_key_id.is_none() {
        return needs("session_token", "access_key_id");
    }
    if s3.profile.is_some() && s3.access_key_id.is_some() {
        return Err(ConfigError::new("profile", "and \"access_key_id\" exclude each other"));
    }
    if s3
        .endpoint
        .as_ref()
        .is_some_and(|url| !["http://", "https://"].iter().any(|scheme| url.len() > scheme.len() && url.starts_with(scheme)))
    {
        return Err(ConfigError::new("endpoint", "is no URL that begins with http:// or https://"));
    }
    if s3.sse.as_ref().is_some_and(|sse| !["AES256", "aws:kms"].contains(&sse.as_str())) {
        return Err(ConfigError::new("sse", "is neither \"AES256\" nor \"aws:kms\""));
    }
    if s3.kms_key_id.is_some() && s3.sse.as_deref() != Some("aws:kms") {
        return Err(ConfigError::new("kms_key_id", "is of no use unless \"sse\" is \"aws:kms\""));
    }
    if s3.expected_bucket_owner.as_ref().is_some_and(|owner| owner.len() != 12 || !owner.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(ConfigError::new("expected_bucket_owner", "is no account of 12 digits"));
    }
    Ok(s3)
}

/// The members of an object, known to be known.
struct Object {
    /// What stands before a name in messages: nothing, or `compaction.`.
    path: String,
    members: Vec<(String, Node)>,
}

impl Object {
    fn new(path: &str, members: Vec<(String, Node)>, known: &[&str]) -> Result<Object, ConfigError> {
        for (place, (name, _)) in members.iter().enumerate() {
            let full = format!("{path}{}", shortened(name));
            if !known.contains(&name.as_str()) {
                let nearest = known.iter().max_by(|a, b| likeness(name, a).total_cmp(&likeness(name, b))).copied().unwrap_or_default();
                return Err(ConfigError::new(full, format!("is unknown; the nearest one is \"{path}{nearest}\"")));
            }
            if members[..place].iter().any(|(earlier, _)| earlier == name) {
                return Err(ConfigError::new(full, "is there twice"));
            }
        }
        Ok(Object { path: path.to_owned(), members })
    }

    fn get(&self, name: &str) -> Option<&Node> {
        self.members.iter().find(|(known, _)| known == name).map(|(_, node)| node)
    }

    fn wrong_type(&self, name: &str, node: &Node, expected: &str) -> ConfigError {
        ConfigError::new(format!("{}{name}", self.path), format!("is {}; {expected} is expected", node.kind()))
    }

    fn string(&self, name: &str) -> Result<Option<&str>, ConfigError> {
        match self.get(name) {
            None => Ok(None),
            Some(Node::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong_type(name, other, "a string")),
        }
    }

    fn boolean(&self, name: &str) -> Result<Option<bool>, ConfigError> {
        match self.get(name) {
            None => Ok(None),
            Some(Node::Bool(value)) => Ok(Some(*value)),
            Some(other) => Err(self.wrong_type(name, other, "true or false")),
        }
    }

    fn integer(&self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, ConfigError> {
        let (least, most) = range.clone().into_inner();
        match self.get(name) {
            None => Ok(None),
            Some(Node::Number(number)) => match number.as_u64().filter(|value| range.contains(value)) {
                Some(value) => Ok(Some(value)),
                None => Err(ConfigError::new(
                    format!("{}{name}", self.path),
                    format!("is {number}; an integer from {least} to {most} is expected"),
                )),
            },
            Some(other) => Err(self.wrong_type(name, other, &format!("an integer from {least} to {most}"))),
        }
    }

    fn milliseconds(&self, name: &str, range: RangeInclusive<u64>) -> Result<Option<Duration>, ConfigError> {
        Ok(self.integer(name, range)?.map(Duration::from_millis))
    }

    fn size(&self, name: &str, range: RangeInclusive<u64>) -> Result<Option<usize>, ConfigError> {
        // Every range ends where the machine can count.
        Ok(self.integer(name, range)?.map(|value| value as usize))
    }

    fn object(&self, name: &str, known: &[&str]) -> Result<Option<Object>, ConfigError> {
        match self.get(name) {
            None => Ok(None),
            Some(Node::Object(members)) => Object::new(&format!("{name}."), members.clone(), known).map(Some),
            Some(other) => Err(self.wrong_type(name, other, "an object")),
        }
    }
}

/// How near two names are to each other, from 0 to 1.
fn likeness(written: &str, known: &str) -> f64 {
    // Cut, since the measure costs the product of both lengths and what is written may have any.
    let written: String = written.chars().take(64).collect();
    strsim::normalized_damerau_levenshtein(&written.to_lowercase(), known)
}

/// JSON as it is written, double members and all.
#[derive(Clone)]
enum Node {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    String(String),
    Array,
    Object(Vec<(String, Node)>),
}

impl Node {
    fn kind(&self) -> &'static str {
        match self {
            Node::Null => "null",
            Node::Bool(_) => "a boolean",
            Node::Number(_) => "a number",
            Node::String(_) => "a string",
            Node::Array => "an array",
            Node::Object(_) => "an object",
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        struct NodeVisitor;

        impl<'de> Visitor<'de> for NodeVisitor {
            type Value = Node;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("JSON")
            }

            fn visit_unit<E>(self) -> Result<Node, E> {
                Ok(Node::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
                Ok(Node::Bool(value))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
                Ok(Node::Number(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
                Ok(Node::Number(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
                // A literal is finite, so it is a number.
                Ok(serde_json::Number::from_f64(value).map_or(Node::Null, Node::Number))
            }

            fn visit_str<E>(self, value: &str) -> Result<Node, E> {
                Ok(Node::String(value.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
                while items.next_element::<Node>()?.is_some() {}
                Ok(Node::Array)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = entries.next_entry()? {
                    members.push(member);
                }
                Ok(Node::Object(members))
            }
        }

        deserializer.deserialize_any(NodeVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> ConfigError {
        Config::parse(text.as_bytes()).map(|(config, _)| config).expect_err(text)
    }

    #[test]
    fn defaults_are_those_of_the_types() {
        let (config, warnings) = Config::parse(br#"{"store":"memory:x"}"#).expect("valid");
        assert_eq!(config.store, StoreUrl::Memory { name: "x".into() });
        assert_eq!(format!("{:?}", config.settings), format!("{:?}", Settings::default()));
        assert!(warnings.is_empty());
    }

    #[test]
    fn a_refusal_is_not_as_long_as_what_it_is_about() {
        let error = refused(&format!(r#"{{"store":"memory:x","{}":1}}"#, "x".repeat(100_000)));
        assert!(error.member.len() < 1_000 && error.message.len() < 1_000);
    }

    #[test]
    fn every_member_has_its_effect() {
        let (config, warnings) = Config::parse(
            br#"{"store":"s3://bucket/root","sync_interval_ms":500,"commit_interval_ms":7,"read_only":true,"allow_degraded":true,
                "compaction":{"segment_threshold":3,"age_threshold_ms":6000,"max_age_ms":9000},
                "limits":{"batch_bytes":1,"segment_bytes":2,"waiting_bytes":3,"state_bytes":4,"depth":5,"object_bytes":6},
                "region":"r","endpoint":"http://127.0.0.1:9000","force_path_style":true,"access_key_id":"a","secret_access_key":"s",
                "session_token":"t","expected_bucket_owner":"123456789012","sse":"aws:kms","kms_key_id":"k","ca_bundle":"/c"}"#,
        )
        .expect("valid");
        assert!(warnings.is_empty());
        let settings = config.settings;
        assert_eq!((settings.sync_interval, settings.commit_interval), (Duration::from_millis(500), Duration::from_millis(7)));
        assert!(settings.read_only && settings.allow_degraded);
        assert_eq!((settings.compaction.segment_threshold, settings.compaction.age_threshold), (3, Duration::from_secs(6)));
        assert_eq!(settings.compaction.max_age, Some(Duration::from_secs(9)));
        let limits = settings.limits;
        assert_eq!((limits.batch_bytes, limits.segment_bytes, limits.waiting_bytes), (1, 2, 3));
        assert_eq!((limits.state_bytes, limits.depth, limits.object_bytes), (4, 5, 6));
        let s3 = config.s3;
        let texts = [&s3.region, &s3.access_key_id, &s3.secret_access_key, &s3.session_token, &s3.sse, &s3.kms_key_id];
        assert_eq!(texts.map(|text| text.as_deref().expect("set")), ["r", "a", "s", "t", "aws:kms", "k"]);
        assert_eq!((s3.endpoint.as_deref(), s3.force_path_style), (Some("http://127.0.0.1:9000"), true));
        assert_eq!((s3.expected_bucket_owner.as_deref(), s3.ca_bundle), (Some("123456789012"), Some("/c".into())));
        assert!(!MEMBERS[..FIRST_OF_S3].contains(&"region") && MEMBERS[FIRST_OF_S3] == "region");
    }

    #[test]
    fn an_unknown_member_is_named_with_the_nearest_known_one() {
        for (text, member, nearest) in [
            (r#"{"store":"memory:x","sync_intervall_ms":1}"#, "sync_intervall_ms", "\"sync_interval_ms\""),
            (r#"{"Store":"memory:x"}"#, "Store", "\"store\""),
            (r#"{"store":"memory:x","compaction":{"age_treshold_ms":1}}"#, "compaction.age_treshold_ms", "\"compaction.age_threshold_ms\""),
            (r#"{"store":"memory:x","limits":{"deepness":1}}"#, "limits.deepness", "\"limits.depth\""),
        ] {
            let error = refused(text);
            assert_eq!(error.member, member);
            assert!(error.message.contains(nearest), "{error}");
        }
    }

    #[test]
    fn wrong_types_ranges_and_doubles_are_named() {
        for (inner, member, hint) in [
            (r#""sync_interval_ms":"15""#, "sync_interval_ms", "a string; an integer"),
            (r#""sync_interval_ms":0"#, "sync_interval_ms", "is 0; an integer from 1"),
            (r#""sync_interval_ms":1.5"#, "sync_interval_ms", "is 1.5"),
            (r#""commit_interval_ms":-1"#, "commit_interval_ms", "is -1"),
            (r#""read_only":"yes""#, "read_only", "a string; true or false"),
            (r#""compaction":[]"#, "compaction", "an array; an object"),
            (r#""compaction":{"age_threshold_ms":5999}"#, "compaction.age_threshold_ms", "from 6000"),
            (r#""compaction":{"max_age_ms":86400001}"#, "compaction.max_age_ms", "to 86400000"),
            (r#""compaction":{"segment_threshold":null}"#, "compaction.segment_threshold", "null"),
            (r#""limits":{"depth":129}"#, "limits.depth", "to 128"),
            (r#""limits":{"batch_bytes":0}"#, "limits.batch_bytes", "from 1"),
            (r#""limits":{"batch_bytes":8388608}"#, "limits.batch_bytes", "limits.segment_bytes"),
            (r#""limits":{"object_bytes":5}"#, "limits.segment_bytes", "limits.object_bytes"),
            (r#""region":"r","region":"r""#, "region", "twice"),
            (r#""limits":{"depth":1,"depth":1}"#, "limits.depth", "twice"),
            (r#""region":"""#, "region", "empty"),
            (r#""access_key_id":"a""#, "access_key_id", "secret_access_key"),
            (r#""secret_access_key":"TOPSECRET""#, "secret_access_key", "access_key_id"),
            (r#""session_token":"TOPSECRET""#, "session_token", "access_key_id"),
            (r#""access_key_id":"a","secret_access_key":"TOPSECRET","profile":"p""#, "profile", "exclude"),
            (r#""secret_access_key":12345678901"#, "secret_access_key", "a number; a string"),
            (r#""endpoint":"localhost:9000""#, "endpoint", "http://"),
            (r#""sse":"aes""#, "sse", "AES256"),
            (r#""kms_key_id":"k""#, "kms_key_id", "aws:kms"),
            (r#""expected_bucket_owner":"me""#, "expected_bucket_owner", "12 digits"),
            (r#""store":1"#, "store", "twice"),
        ] {
            let error = refused(&format!("{{\"store\":\"s3://bucket\",{inner}}}"));
            assert_eq!(error.member, member, "{error}");
            assert!(error.message.contains(hint), "{inner}: {error}");
            assert!(!error.to_string().contains("TOPSECRET") && !error.to_string().contains("12345678901"), "{error}");
        }
        assert_eq!(refused(r#"{"store":"ftp://x"}"#).member, "store");
        assert_eq!(refused("{}").to_string(), "the configuration's member \"store\" is missing");
        for text in ["", "[]", "{", "nul", "{\"store\":\"memory:x\"} x", &"[".repeat(100_000)] {
            assert_eq!(refused(text).member, "");
        }
        let error = Error::from(refused(r#"{"store":"memory:x","limits":{"deep":1}}"#));
        assert_eq!((error.status, error.details["member"].clone()), (crate::Status::Invalid, "limits.deep".into()));
    }

    #[test]
    fn what_has_no_effect_is_said() {
        let text = br#"{"store":"memory:x","lock_ttl_ms":30000,"region":"r","force_path_style":true}"#;
        let (_, warnings) = Config::parse(text).expect("valid");
        assert_eq!(warnings.len(), 3);
        assert!(warnings[0].contains("lock_ttl_ms") && warnings[1].contains("region") && warnings[2].contains("force_path_style"));
    }
}
