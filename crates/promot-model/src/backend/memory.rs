//! How this process gets its memory: whole cache lines, and none of it given back to the system.

use std::alloc::{GlobalAlloc, Layout, System};

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

/// The system's allocator, with large blocks from the start of a cache line on.
///
/// A vector or a row of a matrix tile that straddles two lines takes up to twice as long to read and to
/// write, and the C library starts large blocks 16 bytes behind the start of a line, so that all of them
/// would. Results are the same. A program that computes with this crate names it as its own allocator, as the
/// command line does:
///
/// ```
/// use promot_model::backend::LineAligned;
///
/// #[global_allocator]
/// static ALLOCATOR: LineAligned = LineAligned;
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct LineAligned;

impl LineAligned {
    /// Bytes of a cache line.
    const LINE: usize = 64;
    /// Bytes from which on a block is large.
    const LARGE: usize = 4096;

    /// What the system is asked for in place of `layout`: the same for the same layout, always.
    fn aligned(layout: Layout) -> Layout {
        let larger = layout.align_to(Self::LINE);
        larger
            .ok()
            .filter(|_| layout.size() >= Self::LARGE)
            .unwrap_or(layout)
    }
}

// SAFETY: the system's allocator gets every block back with the layout with which it was asked for it, which
// has the size of the caller's layout and no smaller alignment.
unsafe impl GlobalAlloc for LineAligned {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the layout's size is not zero (the caller's promise).
        unsafe { System.alloc(Self::aligned(layout)) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(Self::aligned(layout)) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block was allocated here with this layout (the caller's promise).
        unsafe { System.dealloc(block, Self::aligned(layout)) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if layout.size().max(size) < Self::LARGE {
            // SAFETY: the block was allocated by the system with this very layout, since it is small.
            return unsafe { System.realloc(block, layout, size) };
        }
        // SAFETY: the caller promises that `size` does not overflow when it is rounded up.
        let resized = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: the size is not zero; both blocks hold what is copied, and are two; the old one is
        // not used any more.
        unsafe {
            let new = self.alloc(resized);
            if !new.is_null() {
                new.copy_from_nonoverlapping(block, layout.size().min(size));
                self.dealloc(block, layout);
            }
            new
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn large_blocks_start_where_lines_do_and_all_where_they_have_to() {
        for size in [1, 100, 4095, 4096, 4097, 1 << 20] {
            for align in [1, 4, 64, 4096] {
                let layout = layout(size, align);
                // SAFETY: the size is not zero; blocks are read within it and freed once.
                let blocks = unsafe {
                    let blocks = [LineAligned.alloc(layout), LineAligned.alloc_zeroed(layout)];
                    let zeros = std::slice::from_raw_parts(blocks[1], size);
                    assert!(zeros.iter().all(|&byte| byte == 0), "{layout:?}");
                    blocks.each_ref().map(|&block| {
                        LineAligned.dealloc(block, layout);
                        block.addr()
                    })
                };
                let wanted = if size < 4096 { align } else { align.max(64) };
                assert!(blocks.iter().all(|block| block % wanted == 0), "{layout:?}");
            }
        }
    }

    #[test]
    fn blocks_that_grow_and_shrink_keep_what_is_in_them() {
        let sizes = [10, 300, 5000, 100_000, 4096, 4000, 7];
        // SAFETY: sizes are not zero; the block always has the size that is passed on as its own, and
        // as many bytes of it were written as are read.
        unsafe {
            let mut block = LineAligned.alloc(layout(sizes[0], 8));
            block.write_bytes(7, sizes[0]);
            for pair in sizes.windows(2) {
                block = LineAligned.realloc(block, layout(pair[0], 8), pair[1]);
                let kept = std::slice::from_raw_parts(block, pair[0].min(pair[1]));
                assert!(kept.iter().all(|&byte| byte == 7), "{pair:?}");
                block.write_bytes(7, pair[1]);
            }
            LineAligned.dealloc(block, layout(7, 8));
        }
    }
}
