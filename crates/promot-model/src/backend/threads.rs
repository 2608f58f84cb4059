//! The threads that ops run on.

/// Sets on how many threads the CPU's ops run, the calling thread among them; 0 is one a core, or
/// what `RAYON_NUM_THREADS` says. No result depends on it.
///
/// Programs that train call it once, before all else and on the thread that trains. Without it ops
/// run on threads beside the calling one, which then sleeps and is woken for every single op: a
/// cost that a small model feels.
///
/// # Errors
/// If the threads of this process have been chosen already, by this function or by the first op, or
/// the system has no more threads to give.
pub fn set_threads(threads: usize) -> Result<(), rayon::ThreadPoolBuildError> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .use_current_thread()
        .build_global()
}

/// On how many threads ops run.
pub fn threads() -> usize {
    rayon::current_num_threads()
}
