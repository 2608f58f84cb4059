//! Memory for factors that are packed for one product.

use std::cell::RefCell;

use super::packed::Packed;

thread_local! {
    static SCRATCH: RefCell<[Packed; 2]> = RefCell::default();
}

/// Memory for two packed factors that this thread uses again and again.
pub(super) fn with_scratch<T>(f: impl FnOnce(&mut [Packed; 2]) -> T) -> T {
    SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
        Ok(mut scratch) => f(&mut scratch),
        // A task that runs while another one of the same thread waits.
        Err(_) => f(&mut Default::default()),
    })
}
