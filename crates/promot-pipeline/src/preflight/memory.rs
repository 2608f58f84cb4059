//! What the system says of memory and disks.

use std::fs;
use std::path::Path;

/// Forgets the highest use of memory so far, where the system can (Linux).
pub(super) fn reset_peak() {
    // What cannot be reset is an upper bound, which is still of use.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// The most memory of this process since the last reset, in bytes.
pub(super) fn peak() -> Option<u64> {
    kibibytes("/proc/self/status", "VmHWM:")
}

/// The machine's memory in bytes.
pub fn total_memory() -> Option<u64> {
    kibibytes("/proc/meminfo", "MemTotal:")
}

/// A line such as `VmHWM:   1234 kB`.
fn kibibytes(file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(number * 1024)
}

/// Bytes that can still be written below `path` or the nearest directory above it that exists.
pub fn free_disk(path: &Path) -> Option<u64> {
    let path = std::path::absolute(path).ok()?;
    let there = path.ancestors().find(|path| path.exists())?;
    fs4::available_space(there).ok()
}
