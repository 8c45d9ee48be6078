//! The command as a person runs it.

#![allow(dead_code)] // Every test program uses its own part.

use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// The command, in no colour and without settings of this machine.
pub fn opjournal() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_opjournal"));
    command.env_remove("AWS_PROFILE").env("AWS_EC2_METADATA_DISABLED", "true").env("COLUMNS", "100");
    command
}

/// What a command said, and how it ended.
pub struct Ran {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn of(output: Output) -> Ran {
        Ran {
            status: output.status.code().expect("it ended by itself"),
            out: String::from_utf8(output.stdout).expect("UTF-8"),
            err: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// The values of its answer, one a line.
    pub fn json(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }
}

pub fn run(arguments: &[&str]) -> Ran {
    Ran::of(opjournal().args(arguments).stdin(Stdio::null()).output().expect("started"))
}

pub fn run_with(arguments: &[&str], input: &str) -> Ran {
    let mut child =
        opjournal().args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("read");
    Ran::of(child.wait_with_output().expect("ended"))
}

/// The same, of one that has to succeed: its answer.
pub fn good(arguments: &[&str]) -> String {
    let ran = run(arguments);
    assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{arguments:?}");
    ran.out
}

/// One that has to fail with this status, and say all of this.
pub fn refused(arguments: &[&str], status: i32, told: &[&str]) {
    let ran = run(arguments);
    assert_eq!(ran.status, status, "{arguments:?}: {}", ran.err);
    assert_eq!(ran.out, "", "{arguments:?}");
    for part in told {
        assert!(ran.err.contains(part), "{part:?} is not in: {}", ran.err);
    }
}

pub struct Directory(tempfile::TempDir);

impl Directory {
    pub fn new() -> Directory {
        Directory(tempfile::tempdir().expect("a directory"))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn text(&self) -> &str {
        self.0.path().to_str().expect("UTF-8")
    }
    /// All files in it, in order.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut directories = vec![self.path().to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).expect("a directory") {
                let path = entry.expect("an entry").path();
                if path.is_dir() { directories.push(path) } else { found.push(path) }
            }
        }
        found.sort();
        found
    }
}

/// Ctrl-C, for one process.
pub fn interrupt(child: &Child) {
    signal(child, "-INT");
}

pub fn signal(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill can be run");
    assert!(sent.success());
}

/// Looks until something is so: bounded by the child, which ends by itself.
pub fn wait_until(child: &mut Child, mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        assert!(child.try_wait().expect("a look at the child").is_none(), "it ended before");
        std::thread::yield_now();
    }
}
