//! Device memory that tells when it is misused.

use std::ptr;

const PAGE: usize = 4096;
/// What kernels may rely on for their widest loads.
const ALIGNMENT: usize = 16;
/// Every `f32` and `bf16` of such bytes is NaN.
const POISON: u8 = 0xff;
/// What lies behind the end, up to the page that may not be touched.
const UNTOUCHED: u8 = 0xd7;

/// Memory of the emulated device. All its bytes are `0xff` at first, so that numbers read as NaN. Its
/// end, rounded up to 16 bytes, is followed by a page that may not be touched: access there ends the
/// program with a signal.
#[derive(Debug)]
pub struct Memory {
    mapping: *mut libc::c_void,
    mapped: usize,
    address: *mut u8,
    bytes: usize,
}

unsafe extern "C" {
    /// Tells of memory of `bytes` at `start`, inside a mapping that may be touched nowhere else.
    fn promot_emulator_memory_made(
        mapping: *const u8,
        mapped: usize,
        start: *const u8,
        bytes: usize,
    );
    /// Tells that the mapping is about to be given back.
    fn promot_emulator_memory_freed(mapping: *const u8, mapped: usize, start: *const u8);
}

impl Memory {
    /// Memory of `bytes` bytes, aligned to 16.
    ///
    /// # Panics
    ///
    /// If the system has no memory left.
    pub fn allocate(bytes: usize) -> Memory {
        let whole = bytes.next_multiple_of(ALIGNMENT);
        let body = whole.next_multiple_of(PAGE);
        let mapped = body + PAGE;
        // SAFETY: a new mapping at a place that the system chooses.
        let mapping = unsafe {
            libc::mmap(
                ptr::null_mut(),
                mapped,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert!(mapping != libc::MAP_FAILED, "no memory for {bytes} bytes");
        // SAFETY: `body` is inside the mapping, and so is the page behind it, which is made
        // inaccessible; nothing uses it yet. The bytes filled end where that page begins.
        let (address, protected) = unsafe {
            let guard = mapping.cast::<u8>().add(body);
            let address = guard.sub(whole);
            address.write_bytes(POISON, bytes);
            address.add(bytes).write_bytes(UNTOUCHED, whole - bytes);
            promot_emulator_memory_made(mapping.cast(), body, address, bytes);
            (address, libc::mprotect(guard.cast(), PAGE, libc::PROT_NONE))
        };
        assert_eq!(protected, 0, "no page behind {bytes} bytes");
        Memory {
            mapping,
            mapped,
            address,
            bytes,
        }
    }

    /// Where it begins.
    pub fn address(&self) -> u64 {
        self.address as u64
    }

    /// Whether nobody has written to the few bytes between the end and the page behind it.
    fn is_intact(&self) -> bool {
        let slack = self.bytes.next_multiple_of(ALIGNMENT) - self.bytes;
        // SAFETY: these bytes are inside the mapping and were filled when it was made.
        let slack = unsafe { std::slice::from_raw_parts(self.address.add(self.bytes), slack) };
        slack.iter().all(|&byte| byte == UNTOUCHED)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let intact = self.is_intact();
        // SAFETY: the mapping was made by `allocate` and is not used after this.
        unsafe {
            promot_emulator_memory_freed(self.mapping.cast(), self.mapped, self.address);
            libc::munmap(self.mapping, self.mapped);
        }
        if !intact && !std::thread::panicking() {
            panic!(
                "something was written behind the end of {} bytes of memory",
                self.bytes
            );
        }
    }
}

// SAFETY: it owns its mapping, and only hands out where it is.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}
