//! Keeps panics of a library inside the one call that caused them.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether this thread is in [`contained`] work.
    static IS_CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// What `work` returns, or the message it panicked with.
///
/// Readers of complicated formats panic on some damaged files, by index or by `unimplemented!`;
/// for a user that is an error of the file like any other. Nothing is printed for such a panic.
/// Whatever `work` left half done must not be used again.
pub(crate) fn contained<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            if !IS_CONTAINED.get() {
                before(panic);
            }
        }));
    });
    let outer = IS_CONTAINED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    IS_CONTAINED.set(outer);
    outcome.map_err(|payload| message(&*payload))
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no reason given".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_message_and_others_go_through() {
        assert_eq!(contained(|| 7), Ok(7));
        let index = "four".len();
        assert_eq!(
            contained(|| [1, 2][index]),
            Err("index out of bounds: the len is 2 but the index is 4".to_owned())
        );
        assert_eq!(
            contained(|| panic!("{index}")),
            Err::<(), _>("4".to_owned())
        );
        assert!(!IS_CONTAINED.get());
    }
}
