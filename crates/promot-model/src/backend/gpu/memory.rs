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
    use std::cell::RefCell;

    use super::super::{Launch, Product};
    use super::*;

    /// Gives memory at one address after another, `limit` bytes at most, and does nothing else.
    struct Memory {
        limit: usize,
        given: RefCell<Vec<(Address, usize)>>,
    }

    impl Memory {
        fn new(limit: usize) -> Self {
            Self {
                limit,
                given: RefCell::default(),
            }
        }

        fn held(&self) -> usize {
            self.given.borrow().iter().map(|&(_, bytes)| bytes).sum()
        }
    }

    impl Driver for Memory {
        fn name(&self) -> String {
            "memory".to_owned()
        }

        fn allocate(&self, bytes: usize) -> Result<Address, GpuError> {
            let (free, total) = (self.limit - self.held(), self.limit);
            if bytes > free {
                return Err(GpuError::OutOfMemory { bytes, free, total });
            }
            let mut given = self.given.borrow_mut();
            let address = given
                .last()
                .map_or(256, |&(last, bytes)| last + bytes as Address);
            given.push((address, bytes));
            Ok(address)
        }

        fn free(&self, address: Address) {
            self.given
                .borrow_mut()
                .retain(|&(given, _)| given != address);
        }

        fn clear(&self, _: Address, _: usize) -> Result<(), GpuError> {
            unreachable!("only memory is asked for")
        }

        fn copy_to_device(&self, _: Address, _: &[u8]) -> Result<(), GpuError> {
            unreachable!("only memory is asked for")
        }

        fn copy_to_host(&self, _: &mut [u8], _: Address) -> Result<(), GpuError> {
            unreachable!("only memory is asked for")
        }

        fn copy(&self, _: Address, _: Address, _: usize) -> Result<(), GpuError> {
            unreachable!("only memory is asked for")
        }

        fn launch(&self, _: &Launch<'_>) -> Result<(), GpuError> {
            unreachable!("only memory is asked for")
        }

        fn product(&self, _: &Product) -> Result<(), GpuError> {
            unreachable!("only memory is asked for")
        }

        fn synchronize(&self) -> Result<(), GpuError> {
            unreachable!("only memory is asked for")
        }
    }

    #[test]
    fn freed_memory_up_to_twice_as_large_is_used_again() {
        let (mut pool, driver) = (Pool::default(), Memory::new(1 << 20));
        let (size, first) = pool.take(4096, &driver).unwrap();
        assert_eq!(size, 4096);
        pool.put(size, first, &driver);
        // Too small, and less than half of it.
        let (size, second) = pool.take(4608, &driver).unwrap();
        let (least, third) = pool.take(1792, &driver).unwrap();
        assert_eq!(
            (size, least, driver.held()),
            (4608, 1792, 4096 + 4608 + 1792)
        );
        // Half of it; who takes it gives all of it back.
        assert_eq!(pool.take(2048, &driver).unwrap(), (4096, first));
        pool.put(4096, first, &driver);
        pool.put(4608, second, &driver);
        // The smallest that is large enough.
        assert_eq!(pool.take(3584, &driver).unwrap(), (4096, first));
        assert_eq!(pool.take(3584, &driver).unwrap(), (4608, second));
        assert_eq!(pool.most_held(), 4096 + 4608 + 1792);
        pool.put(1792, third, &driver);
    }

    #[test]
    fn what_lies_unused_is_given_back_before_memory_ends() {
        let (mut pool, driver) = (Pool::default(), Memory::new(10_000));
        for size in [4096, 1024] {
            let (size, address) = pool.take(size, &driver).unwrap();
            pool.put(size, address, &driver);
        }
        assert_eq!(driver.held(), 5120);
        assert_eq!(pool.take(9216, &driver).unwrap().0, 9216);
        assert_eq!((driver.held(), pool.most_held()), (9216, 9216));
        let refused = pool.take(1024, &driver);
        assert!(matches!(refused, Err(GpuError::OutOfMemory { .. })));
    }

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
