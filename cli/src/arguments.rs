//! What can be asked for on the command line.

use crate::failure::EXIT_STATUSES;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

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

/// How to get to a store.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Store")]
pub struct Access {
    /// A file with settings in JSON, as opjournal_open() takes them; "store" in it is not looked at
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The region of the bucket
    #[arg(long)]
    pub region: Option<String>,
    /// Another S3 server than AWS: http://HOST:PORT or https://HOST
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// A profile of the AWS configuration
    #[arg(long)]
    pub profile: Option<String>,
    /// The bucket in the path instead of the host's name, as most servers other than AWS need it
    #[arg(long)]
    pub path_style: bool,
    /// How long the store may take, in seconds
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400), value_name = "SECONDS")]
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
        matches!(self, Command::Apply { .. })
    }
}
