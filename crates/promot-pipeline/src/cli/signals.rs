//! Ctrl-C, a request to end, and a terminal that goes away: what is running stops where it can go on from.

use std::io;

use promot_core::StopFlag;

use super::output::tell;

/// The first signal stops after the current step, the second at once.
pub(crate) fn stop_on_signals(stop: &StopFlag) {
    let stop = stop.clone();
    let heard = move || {
        if stop.is_requested() {
            std::process::exit(130);
        }
        // Before anything is said: nobody may be there any more.
        stop.request();
        tell("\nstopping after the current step; Ctrl-C again stops at once");
    };
    if let Err(error) = on_signals(heard) {
        tell(format_args!(
            "warning: Ctrl-C will stop at once, without a checkpoint: {error}"
        ));
    }
}

/// Calls `heard` on a thread of its own, once for each signal.
#[cfg(unix)]
fn on_signals(heard: impl Fn() + Send + 'static) -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let ignored = ignored_signals();
    let is_ignored = |signal: &i32| ignored & 1 << (signal - 1) != 0;
    let wanted = [SIGHUP, SIGINT, SIGTERM].into_iter();
    let wanted = wanted.filter(|signal| !is_ignored(signal));
    let mut signals = signal_hook::iterator::Signals::new(wanted)?;
    std::thread::spawn(move || signals.forever().for_each(|_| heard()));
    Ok(())
}

/// The signals that this process was started to ignore, as a mask: those of `nohup`, and of what a shell
/// runs in the background. They stay ignored. Only Linux tells.
#[cfg(unix)]
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

#[cfg(not(unix))]
fn on_signals(_heard: impl Fn() + Send + 'static) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
