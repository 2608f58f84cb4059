//! Keeping freed memory for the next step instead of giving it back to the system.

/// Asks the C library's allocator to keep what is freed, for the whole process.
///
/// A training step frees and allocates the same gigabytes again and again. By default large blocks
/// go back to the system at once, and the next step pays for each of their pages anew, which can
/// cost more than its arithmetic. The command line calls this first; programs that train in loops
/// of their own may want to. Peak memory stays what it was. Does nothing where the C library is not
/// GNU's.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: these calls set numbers in the allocator, under its own lock.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TOP_PAD, 64 << 20);
    }
}
