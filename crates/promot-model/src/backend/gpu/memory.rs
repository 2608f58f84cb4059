//! Device memory that was freed and is used again: asking the driver for memory waits for all work.

use std::collections::BTreeMap;

use super::{Address, Driver, GpuError};

/// Freed memory by size.
#[derive(Default)]
pub(super) struct Pool {
    free: BTreeMap<usize, Vec<Address>>,
    /// Bytes that the driver gave and has not got back.
    held: usize,
    most_held: usize,
}

impl Pool {
    /// The size that memory of `bytes` is asked for in: one of eight steps between two powers of two,
    /// so that at most an eighth is wasted and sizes meet again.
    pub(super) fn size_class(bytes: usize) -> usize {
        const LEAST: usize = 512;
        let bytes = bytes.max(LEAST);
        let step = (bytes.next_power_of_two() / 16).max(LEAST / 2);
        bytes.div_ceil(step) * step
    }

    /// Memory of a size class, or of the next larger one of which some lies here, up to twice as large: the
    /// lengths of batches vary, and so do the sizes that are asked for. Returns its size, too. If the driver
    /// has no more, what lies here unused is given back first.
    pub(super) fn take(
        &mut self,
        size: usize,
        driver: &dyn Driver,
    ) -> Result<(usize, Address), GpuError> {
        let mut large_enough = self.free.range_mut(size..=2 * size);
        let found = large_enough.find_map(|(&size, free)| Some((size, free.pop()?)));
        if let Some(found) = found {
            return Ok(found);
        }
        let address = match driver.allocate(size) {
            Err(GpuError::OutOfMemory { .. }) => {
                self.give_all_back(driver);
                driver.allocate(size)
            }
            result => result,
        }?;
        self.held += size;
        self.most_held = self.most_held.max(self.held);
        Ok((size, address))
    }

    /// Keeps memory of a size class for the next one who asks, unless the driver wants it back.
    pub(super) fn put(&mut self, size: usize, address: Address, driver: &dyn Driver) {
        if driver.keeps_freed_memory() {
            self.free.entry(size).or_default().push(address);
        } else {
            self.give_back(size, address, driver);
        }
    }

    /// Gives all that lies here back to the driver.
    pub(super) fn give_all_back(&mut self, driver: &dyn Driver) {
        for (size, addresses) in std::mem::take(&mut self.free) {
            for address in addresses {
                self.give_back(size, address, driver);
            }
        }
    }

    /// The most bytes that were ever held at once, used or not.
    pub(super) fn most_held(&self) -> usize {
        self.most_held
    }

    fn give_back(&mut self, size: usize, address: Address, driver: &dyn Driver) {
        self.held -= size;
        driver.free(address);
    }
}

#[cfg(test)]
mod tests {
    use super::Pool;

    #[test]
    fn size_classes_waste_at_most_an_eighth_or_some_bytes() {
        for bytes in (1..5000).chain([1 << 20, (1 << 20) + 1, 123_456_789]) {
            let class = Pool::size_class(bytes);
            assert!(
                class >= bytes && class.is_multiple_of(256),
                "{bytes}: {class}"
            );
            assert!(
                class <= (bytes + bytes / 8).max(bytes + 511),
                "{bytes}: {class}"
            );
            assert_eq!(Pool::size_class(class), class);
        }
    }
}
