//! Other processes of a test: this test program again, which plays a role in a directory. The test that plays them is named by its path, and
//! begins with [`asked`].

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const ROLE: &str = "OPJOURNAL_TEST_ROLE";
const DIRECTORY: &str = "OPJOURNAL_TEST_DIR";
const PLAYED: &str = "role: played to its end";
const CANNOT_MOUNT: i32 = 77;

/// The role that this process is to play, and where. `None` in the process of the tests.
pub fn asked() -> Option<(String, PathBuf)> {
    Some((std::env::var(ROLE).ok()?, std::env::var_os(DIRECTORY)?.into()))
}

/// To be called at the end of every role.
pub fn played() {
    println!("{PLAYED}");
}

/// A process that plays `role`, by the test `player`. The program is found by its inode: another user may not be able to walk to it.
pub fn process(player: &str, role: &str, directory: &Path) -> Command {
    let program = if cfg!(target_os = "linux") { "/proc/self/exe".into() } else { std::env::current_exe().expect("this program") };
    let mut command = Command::new(program);
    command.args(["--exact", player, "--nocapture", "--test-threads=1"]);
    command.env(ROLE, role).env(DIRECTORY, directory);
    command
}

/// The same as a user who does not own the directory. Root has every right, and so becomes another user.
pub fn without_rights(mut process: Command) -> Command {
    if fs::metadata("/proc/self").map_or(0, |process| process.uid()) == 0 {
        process.gid(65_534).uid(65_534);
    }
    process
}

/// The same, after `setup` in a shell.
pub fn after(setup: &str, process: &Command) -> Command {
    let mut command = Command::new("sh");
    // The shell is another program than this one, and knows it by its path only.
    command.args(["-c", &format!("{setup}; exec \"$@\""), "sh"]).arg(std::env::current_exe().expect("this program"));
    command.args(process.get_args()).envs(process.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

/// Plays the role to its end, and returns what the process said.
pub fn play(mut process: Command) -> String {
    said(&process.output().expect("another process"))
}

/// The same on a disk of so many megabytes. `None` where this user may not mount one.
pub fn play_on_small_disk(megabytes: usize, directory: &Path, process: &Command) -> Option<String> {
    // In a mount namespace of its own, so that nothing is left mounted.
    let inner = format!("mount -t tmpfs -o size={megabytes}m none {} || exit {CANNOT_MOUNT}; exec \"$@\"", directory.display());
    let mount = format!("unshare -m true || exit {CANNOT_MOUNT}; set -- unshare -m sh -c '{inner}' sh \"$@\"");
    let output = after(&mount, process).output().expect("another process");
    if output.status.code() == Some(CANNOT_MOUNT) {
        println!("skipped: this user may not mount a small file system ({})", String::from_utf8_lossy(&output.stderr).trim());
        return None;
    }
    Some(said(&output))
}

fn said(output: &Output) -> String {
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains(PLAYED), "{}: {said}", output.status);
    said
}
