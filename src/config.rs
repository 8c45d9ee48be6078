//! The configuration of a journal: its JSON form, its defaults, and errors that name the member.

mod parse;
mod url;

use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

pub use parse::ConfigError;

/// Everything `opjournal_open` takes, checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub store: StoreUrl,
    pub settings: Settings,
    pub s3: S3Config,
}

/// Where the objects are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// `memory:NAME`: shared inside the process.
    Memory { name: String },
    /// `file:///DIR`: shared by the processes of a machine.
    File { directory: std::path::PathBuf },
    /// `s3://BUCKET[/ROOT]`.
    S3 { bucket: String, root: String },
}

/// As it is written in a configuration. It holds no secrets.
impl std::fmt::Display for StoreUrl {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StoreUrl::Memory { name } => write!(formatter, "memory:{name}"),
            StoreUrl::File { directory } => {
                formatter.write_str("file://")?;
                for chunk in directory.as_os_str().as_bytes().utf8_chunks() {
                    for character in chunk.valid().chars() {
                        match character {
                            // These have a meaning of their own in a URL.
                            '%' | '?' | '#' => write!(formatter, "%{:02X}", u32::from(character))?,
                            _ => write!(formatter, "{character}")?,
                        }
                    }
                    chunk.invalid().iter().try_for_each(|byte| write!(formatter, "%{byte:02X}"))?;
                }
                Ok(())
            }
            StoreUrl::S3 { bucket, root } if root.is_empty() => write!(formatter, "s3://{bucket}"),
            StoreUrl::S3 { bucket, root } => write!(formatter, "s3://{bucket}/{root}"),
        }
    }
}

/// What the engine needs to know, whatever the store.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How often a quiet namespace is synced. Default 15 s.
    pub sync_interval: Duration,
    /// The least time between two PUTs of segments of one namespace. Default 0.
    pub commit_interval: Duration,
    /// Never write anything to the store.
    pub read_only: bool,
    /// Open a namespace although it holds an unreadable segment.
    pub allow_degraded: bool,
    pub compaction: Compaction,
    pub limits: Limits,
}

/// When segments are folded into the rollup.
#[derive(Clone, Debug)]
pub struct Compaction {
    /// How many aged segments there must be. Default 256.
    pub segment_threshold: usize,
    /// How old a segment must be. Default 30 s, at least 6 s. Below 30 s it also becomes F of `docs/guarantees.md`, and must be the same for the whole
    /// bucket: for tests.
    pub age_threshold: Duration,
    /// How old the first segment is when fewer are folded as well, for each MiB of the rollup. Default an hour. Absent: never.
    pub max_age: Option<Duration>,
}

/// A limit on everything.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The text of one submitted batch. Default 1 MiB.
    pub batch_bytes: usize,
    /// The body of one segment. Default 4 MiB.
    pub segment_bytes: usize,
    /// The batches of one namespace that wait to be sent. Default 64 MiB.
    pub waiting_bytes: usize,
    /// The canonical JSON of one namespace. Default 512 MiB.
    pub state_bytes: usize,
    /// How deep JSON may be nested. Default 128.
    pub depth: usize,
    /// Any object that is read. Default 1 GiB.
    pub object_bytes: usize,
}

/// How to reach S3. Everything is optional: what is absent comes from the AWS SDK's default chain.
#[derive(Clone, Default)]
pub struct S3Config {
    pub region: Option<String>,
    pub endpoint: Option<String>,
    pub force_path_style: bool,
    pub access_key_id: Option<String>,
    pub secret_access_key: Option<String>,
    pub session_token: Option<String>,
    pub profile: Option<String>,
    pub expected_bucket_owner: Option<String>,
    /// `AES256` or `aws:kms`.
    pub sse: Option<String>,
    pub kms_key_id: Option<String>,
    /// A file of PEM certificates that are trusted besides the system's.
    pub ca_bundle: Option<std::path::PathBuf>,
}

/// Without the secrets.
impl std::fmt::Debug for S3Config {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("S3Config")
            .field("region", &self.region)
            .field("endpoint", &self.endpoint)
            .field("force_path_style", &self.force_path_style)
            .field("profile", &self.profile)
            .field("sse", &self.sse)
            .finish_non_exhaustive()
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            sync_interval: Duration::from_secs(15),
            commit_interval: Duration::ZERO,
            read_only: false,
            allow_degraded: false,
            compaction: Compaction::default(),
            limits: Limits::default(),
        }
    }
}

impl Default for Compaction {
    fn default() -> Compaction {
        Compaction { segment_threshold: 256, age_threshold: Duration::from_secs(30), max_age: Some(Duration::from_secs(60 * 60)) }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            batch_bytes: 1 << 20,
            segment_bytes: 4 << 20,
            waiting_bytes: 64 << 20,
            state_bytes: 512 << 20,
            depth: 128,
            object_bytes: 1 << 30,
        }
    }
}
