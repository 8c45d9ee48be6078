//! What can be asked for on the command line.

use crate::commands::Since;
use crate::failure::EXIT_STATUSES;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Looks into a store of opjournal, checks it, and changes what is in it.
///
/// STORE is s3://BUCKET[/ROOT], file:///DIR, or the path of a directory. NS is the name of a namespace; the one with the empty name is written
/// .root.
#[derive(Parser, Debug)]
#[command(name = "opjournal", version, after_help = EXIT_STATUSES, max_term_width = 110, disable_help_subcommand = true)]
pub struct Arguments {
    /// Answer in JSON, one value a line; errors and notes as JSON on standard error
    #[arg(long, global = true)]
    pub json: bool,
    /// Colours; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub color: Color,
    /// Show what the library says: warnings, with -vv more, with -vvv and -vvvv everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

/// Where the store is, and how to get there.
#[derive(Args, Clone, Debug)]
pub struct StoreArguments {
    /// s3://BUCKET[/ROOT], file:///DIR, or the path of a directory
    pub store: String,
    #[command(flatten)]
    pub access: Access,
}

impl std::ops::Deref for StoreArguments {
    type Target = Access;

    fn deref(&self) -> &Access {
        &self.access
    }
}

/// Where the help has what is about the store. (A heading for all of [`Access`] would go on to what follows it.)
const STORE: &str = "Store";

/// How to get to a store.
#[derive(Args, Clone, Debug, Default)]
pub struct Access {
    /// A file with settings in JSON, as opjournal_open() takes them; "store" in it is not looked at
    #[arg(long, help_heading = STORE, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The region of the bucket
    #[arg(long, help_heading = STORE)]
    pub region: Option<String>,
    /// Another S3 server than AWS: http://HOST:PORT or https://HOST
    #[arg(long, help_heading = STORE, value_name = "URL")]
    pub endpoint: Option<String>,
    /// A profile of the AWS configuration
    #[arg(long, help_heading = STORE)]
    pub profile: Option<String>,
    /// The bucket in the path instead of the host's name, as most servers other than AWS need it
    #[arg(long, help_heading = STORE)]
    pub path_style: bool,
    /// How long the store may take, in seconds
    #[arg(long, help_heading = STORE, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400), value_name = "SECONDS")]
    pub timeout: u64,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// List namespaces, or what is in one
    #[command(after_help = "\
Examples:
  opjournal ls s3://bucket
  opjournal ls s3://bucket orders
  opjournal --json ls /var/lib/app | jq .name")]
    Ls {
        #[command(flatten)]
        store: StoreArguments,
        /// Show this one: its names with their shapes and lengths, and how its journal stands
        #[arg(value_name = "NS")]
        namespace: Option<String>,
    },
    /// Print what a name holds, or one entry of a map
    #[command(after_help = "\
KEY is JSON where it can be read as such, otherwise a string: 7 is the number, '\"7\"' the string.

Examples:
  opjournal get s3://bucket orders total
  opjournal get s3://bucket orders by-customer alice")]
    Get {
        #[command(flatten)]
        store: StoreArguments,
        #[arg(value_name = "NS")]
        namespace: String,
        name: String,
        #[arg(value_name = "KEY")]
        key: Option<String>,
    },
    /// Answer queries, given as JSON in arguments or on standard input
    #[command(after_help = "\
Several queries are answered one after the other; an array of queries is answered as an array, from one state.

Examples:
  opjournal query s3://bucket orders '{\"op\":\"Names\"}'
  opjournal query s3://bucket orders < queries.json")]
    Query {
        #[command(flatten)]
        store: StoreArguments,
        #[arg(value_name = "NS")]
        namespace: String,
        #[arg(value_name = "QUERY")]
        queries: Vec<String>,
    },
    /// Write batches: ops as JSON in arguments or on standard input
    #[command(after_help = "\
Each argument, or each JSON value on standard input, is one batch: an op, or an array of ops that are applied together or not at all. They are
written one after the other; what was written is printed, and the first that fails ends it. Exit status 4: the outcome of the last one is unknown.

Examples:
  opjournal apply s3://bucket orders '{\"op\":\"IntAdd\",\"Key\":\"total\",\"Delta\":1}'
  opjournal apply s3://bucket orders < batches.json")]
    Apply {
        #[command(flatten)]
        store: StoreArguments,
        #[arg(value_name = "NS")]
        namespace: String,
        #[arg(value_name = "OPS")]
        batches: Vec<String>,
    },
    /// Wait until everything that was acknowledged anywhere is seen, and print the digest of the state
    #[command(after_help = "\
Two replicas with the same digest hold the same state.

Example:
  opjournal flush s3://bucket orders")]
    Flush {
        #[command(flatten)]
        store: StoreArguments,
        #[arg(value_name = "NS")]
        namespace: String,
    },
    /// Write a namespace's whole state as canonical JSON
    #[command(after_help = "\
This and import are how a namespace moves to another bucket: segments cannot be copied, because their stamps are part of the data.

Example:
  opjournal export s3://old orders -o orders.json && opjournal import s3://new orders orders.json")]
    Export {
        #[command(flatten)]
        store: StoreArguments,
        #[arg(value_name = "NS")]
        namespace: String,
        /// The file; without it, or with -, standard output. A file that is there is replaced when all is written
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Make a namespace from an exported state
    #[command(after_help = "\
The namespace must not be there yet. Its first object is the rollup with this state, and nobody who opens it sees less.

Example:
  opjournal import s3://new orders orders.json")]
    Import {
        #[command(flatten)]
        store: StoreArguments,
        #[arg(value_name = "NS")]
        namespace: String,
        /// The file; without it, or with -, standard input
        #[arg(value_name = "FILE")]
        input: Option<PathBuf>,
    },
    /// Show segments with their ops, and with -f those that land from now on
    #[command(after_help = "\
What was folded and deleted is not shown any more: it is in the rollup.

Examples:
  opjournal tail -f s3://bucket orders
  opjournal tail --since 10m s3://bucket orders
  opjournal --json tail -f s3://bucket orders | jq .ops")]
    Tail {
        #[command(flatten)]
        store: StoreArguments,
        #[arg(value_name = "NS")]
        namespace: String,
        /// Go on until Ctrl-C
        #[arg(short, long)]
        follow: bool,
        /// With -f: so many seconds from one LIST to the next
        #[arg(long, default_value = "2", value_name = "SECONDS", value_parser = seconds)]
        every: Duration,
        /// Nothing older: 30s, 5m, 2h, 3d, or a time such as 2026-03-07T06:35:06Z
        #[arg(long, value_name = "WHEN")]
        since: Option<Since>,
        /// The last N of what is there
        #[arg(short = 'n', long, value_name = "N")]
        last: Option<usize>,
    },
    /// Compare two states: of two stores, or exports in files
    #[command(after_help = "\
LEFT and RIGHT are stores, files that export wrote, or - for standard input. Without NS all namespaces of two stores are compared. The options of the store go
for both; --right-config gives the second one its own. Exit status 1: they differ.

Examples:
  opjournal diff s3://bucket/blue s3://bucket/green
  opjournal diff yesterday.json s3://bucket orders")]
    Diff {
        left: String,
        right: String,
        #[arg(value_name = "NS")]
        namespace: Option<String>,
        #[command(flatten)]
        access: Access,
        /// Settings of the second store, instead of all other options for it
        #[arg(long, value_name = "FILE")]
        right_config: Option<PathBuf>,
    },
    /// Replay namespaces from their objects, and find what is damaged, lost or foreign
    #[command(after_help = "\
Every object is read. The rollup is held against its mark, its proof and what segments say of it; where the whole chain is still listed, it is replayed from the
first segment. Exit status 1: something bad was found and is still there; what is only worth a note does not count.

Examples:
  opjournal verify s3://bucket
  opjournal verify --repair s3://bucket orders")]
    Verify {
        #[command(flatten)]
        store: StoreArguments,
        #[arg(value_name = "NS")]
        namespace: Option<String>,
        /// Move segments that cannot be read aside, to .metadata/.quarantine/; nothing is deleted
        #[arg(long)]
        repair: bool,
    },
    /// Check whether a store is fit for a journal
    #[command(after_help = "\
Each check says what was seen and, where that is not as it should be, what to change. What can only be seen by writing is tried with throw-away \
objects below .metadata/.probe/, which are deleted at the end: some 400 requests, a fifth of a cent. Exit status 1: something is bad; warnings \
alone are 0.

Examples:
  opjournal doctor s3://bucket/app
  opjournal doctor s3://bucket/app --read-only
  opjournal --json doctor s3://bucket/app | jq -r 'select(.verdict == \"bad\").do'")]
    Doctor {
        #[command(flatten)]
        store: StoreArguments,
        /// Check only what a replica that never writes needs, and write nothing
        #[arg(long)]
        read_only: bool,
    },
    /// Measure what a store gives: writes, flushes, reads, and what they cost
    #[command(after_help = "\
All happens in a new namespace, bench-<random>, of which nothing is left at the end, nor after Ctrl-C. What it may cost at most is said before \
it begins, and a person is asked; a store in a directory costs nothing.

Examples:
  opjournal bench s3://bucket/app
  opjournal bench s3://bucket/app --seconds 30 --callers 500 --requests 50000 --yes
  opjournal --json bench /var/lib/app | jq 'select(.phase == \"write\").p99_us'")]
    Bench {
        #[command(flatten)]
        store: StoreArguments,
        #[command(flatten)]
        bench: BenchArguments,
    },
    /// Show how namespaces stand, again and again
    #[command(after_help = "\
A replica that never writes follows them, and syncs as often as any: every 15 s, or what sync_interval_ms in --config says. Without NS it \
follows all that are there when it begins. Where standard output is no terminal, or with --json, there is a line for each time. Ctrl-C ends it.

Examples:
  opjournal watch s3://bucket/app
  opjournal watch s3://bucket/app orders stock --every 5
  opjournal --json watch s3://bucket/app --count 1 | jq '.namespaces[].tail'")]
    Watch {
        #[command(flatten)]
        store: StoreArguments,
        #[arg(value_name = "NS")]
        namespaces: Vec<String>,
        /// Seconds from one time to the next
        #[arg(long, default_value = "1", value_parser = seconds, value_name = "SECONDS")]
        every: Duration,
        /// End after so many times
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..), value_name = "N")]
        count: Option<u64>,
        #[command(flatten)]
        prices: Prices,
    },
    /// Print the script that completes this command's arguments in a shell
    #[command(after_help = "\
Example:
  opjournal completions bash > /usr/share/bash-completion/completions/opjournal")]
    Completions { shell: clap_complete::Shell },
    /// Write the manual pages into a directory
    #[command(hide = true)]
    Manual { directory: PathBuf },
}

impl Command {
    /// Whether Ctrl-C is the command's own business.
    pub fn ends_itself(&self) -> bool {
        matches!(self, Command::Apply { .. } | Command::Doctor { .. } | Command::Bench { .. } | Command::Watch { .. })
    }
}

/// What a bench does.
#[derive(Args, Clone, Debug)]
pub struct BenchArguments {
    /// How long, not counting the start and the end
    #[arg(long, default_value = "10", value_parser = seconds, value_name = "SECONDS")]
    pub seconds: Duration,
    /// So many write at once
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=10_000), value_name = "N")]
    pub callers: u64,
    /// At most about so many requests
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1_000..), value_name = "N")]
    pub requests: u64,
    /// Do not ask before it begins. Nor is asked where standard input is no terminal
    #[arg(short, long)]
    pub yes: bool,
    #[command(flatten)]
    pub prices: Prices,
}

/// What requests cost.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Prices of 1,000 requests in USD")]
pub struct Prices {
    #[arg(long, default_value_t = 0.005, value_parser = price, value_name = "USD")]
    pub put_price: f64,
    #[arg(long, default_value_t = 0.005, value_parser = price, value_name = "USD")]
    pub list_price: f64,
    #[arg(long, default_value_t = 0.0004, value_parser = price, value_name = "USD")]
    pub get_price: f64,
    #[arg(long, default_value_t = 0.0, value_parser = price, value_name = "USD")]
    pub delete_price: f64,
}

fn price(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|price: &f64| price.is_finite() && *price >= 0.0).ok_or_else(|| "this is no price".to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) if (0.01..=86_400.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("a number of seconds from 0.01 to 86400 is expected".to_owned()),
    }
}
