//! What can be wrong with a directory: its file system, and the room in it.

use super::Report;
use crate::failure::Failure;
use crate::output::{count, size};
use std::path::Path;

/// Less room than this is worth a word; less than that ends soon in writes that fail.
const LITTLE: u64 = 1 << 30;
const HARDLY_ANY: u64 = 16 << 20;
/// The same of files.
const FEW_FILES: u64 = 10_000;

pub fn examine(directory: &Path, is_read_only: bool, report: &mut Report<'_>) -> Result<(), Failure> {
    file_system(directory, report)?;
    capitals(directory, report)?;
    if is_read_only { Ok(()) } else { room(directory, report) }
}

/// Its locks and flushes must be those of this machine.
#[cfg(target_os = "linux")]
fn file_system(directory: &Path, report: &mut Report<'_>) -> Result<(), Failure> {
    let kind = rustix::fs::statfs(directory).map_err(|error| Failure::file(directory.display().to_string(), error.into()))?.f_type;
    const NETWORK: [(u32, &str); 9] = [
        (0x6969, "NFS"),
        (0xFF53_4D42, "CIFS"),
        (0xFE53_4D42, "SMB"),
        (0x517B, "SMB"),
        (0x0102_1997, "9p"),
        (0x00C3_6400, "Ceph"),
        (0x0BD0_0BD0, "Lustre"),
        (0x5346_414F, "AFS"),
        (0x4750_4653, "GPFS"),
    ];
    // The numbers have 32 bits, whatever the type that holds them.
    let kind = kind as u32;
    match NETWORK.iter().find(|(network, _)| *network == kind) {
        Some((_, name)) => report.bad(
            "file system",
            format!("{name}, a network file system"),
            "use a disk of this machine, or a bucket: locks and flushes over a network promise less",
        ),
        None if kind == 0x6573_5546 => report.warning(
            "file system",
            "FUSE: a program stands behind it",
            "see that it is no network file system, and that its flock and fsync do what they say",
        ),
        None => report.ok("file system", "of this machine"),
    }
}

#[cfg(not(target_os = "linux"))]
fn file_system(_: &Path, _: &mut Report<'_>) -> Result<(), Failure> {
    Ok(())
}

fn capitals(directory: &Path, report: &mut Report<'_>) -> Result<(), Failure> {
    let (small, capital) = (directory.join(".metadata"), directory.join(".METADATA"));
    if !small.exists() {
        return Ok(());
    }
    match capital.exists() {
        true => report.bad(
            "capitals",
            "the file system takes .METADATA for .metadata",
            "use one that tells a from A: two namespaces would be one",
        ),
        false => report.ok("capitals", "are told from small letters"),
    }
}

fn room(directory: &Path, report: &mut Report<'_>) -> Result<(), Failure> {
    let room = rustix::fs::statvfs(directory).map_err(|error| Failure::file(directory.display().to_string(), error.into()))?;
    let bytes = room.f_bavail.saturating_mul(room.f_frsize);
    // Some file systems do not count files.
    let files = (room.f_files > 0).then_some(room.f_favail);
    let seen = match files {
        Some(files) => format!("{} and {} files are free", size(bytes), count(files)),
        None => format!("{} are free", size(bytes)),
    };
    let change = "make room: without it writes fail, and nothing can be folded";
    match (bytes, files) {
        (..HARDLY_ANY, _) | (_, Some(0)) => report.bad("room", seen, change),
        (..LITTLE, _) | (_, Some(..FEW_FILES)) => report.warning("room", seen, change),
        _ => report.ok("room", seen),
    }
}
