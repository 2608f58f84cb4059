//! Advanced Matrix Extensions from stable Rust: detection, and sums of products of packed panels.
//!
//! A tile register holds 16 rows of 64 bytes. `tdpbf16ps` adds the product of a 16x32 tile of `a`
//! and a 32x16 tile of `b` (both bf16) to a 16x16 tile of `c` (f32). The kernel below keeps 2x2
//! tiles of `c` in registers, so that every tile it loads is used twice.

use std::arch::asm;

use super::multiply::{Multiply, Pair};
use super::panels::{self, PANEL, TILE_ROWS};

/// Whether the processor has the instructions used here and the kernel lets this process use them.
pub(super) fn is_available() -> bool {
    const REQUEST_PERMISSION: libc::c_long = 0x1023;
    const TILE_DATA: libc::c_long = 18;
    // CPUID leaf 7: AMX-BF16 and AMX-TILE. std's detection of them is not stable.
    let leaf = std::arch::x86_64::__cpuid_count(7, 0);
    let has_amx = leaf.edx & (1 << 22) != 0 && leaf.edx & (1 << 24) != 0;
    if !panels::are_possible() {
        return false;
    }
    if !has_amx {
        return is_emulated();
    }
    // SAFETY: arch_prctl with this request only asks for the permission to use the tile registers;
    // it touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0 }
}

/// Tests that ask for these kernels by their name have them everywhere.
#[cfg(test)]
fn is_emulated() -> bool {
    let is_wanted = std::env::var_os(super::KERNEL_VARIABLE).is_some_and(|name| name == "amx");
    if is_wanted {
        promot_amx_emulator::install();
    }
    is_wanted
}

#[cfg(not(test))]
fn is_emulated() -> bool {
    false
}

#[repr(C, align(64))]
struct TileConfig([u8; 64]);

/// The tiles that hold columns of `b`; the others hold rows of `a` and of `c`.
const TILES_OF_B: std::ops::Range<usize> = 6..8;

/// The configurations of the eight tiles for 1 to 16 rows of `a`: rows of 64 bytes. The time of a product
/// is that of the rows there are.
static CONFIGURATIONS: [TileConfig; TILE_ROWS] = {
    let mut configurations = [const { TileConfig([0; 64]) }; TILE_ROWS];
    let mut last_row = 0;
    while last_row < TILE_ROWS {
        let bytes = &mut configurations[last_row].0;
        bytes[0] = 1;
        let mut tile = 0;
        while tile < TILES_OF_B.end {
            bytes[16 + 2 * tile] = 64;
            let rows = if tile < TILES_OF_B.start {
                last_row + 1
            } else {
                TILE_ROWS
            };
            bytes[48 + tile] = rows as u8;
            tile += 1;
        }
        last_row += 1;
    }
    configurations
};

/// The right to use this thread's tile registers; gives them back when dropped.
pub(super) struct Tiles {
    /// Whether the left factor has no more rows than one tile, which are all that they are configured for.
    few_rows: bool,
    of_this_thread: std::marker::PhantomData<*const ()>,
}

impl Tiles {
    /// Configures the tile registers of this thread for a left factor of so many rows.
    ///
    /// # Safety
    /// [`is_available`] has returned true in this process.
    pub(super) unsafe fn configure(rows: usize) -> Self {
        let configuration = &CONFIGURATIONS[rows.clamp(1, TILE_ROWS) - 1];
        // SAFETY: the processor has the instruction (the caller's promise), and the configuration
        // is 64 valid bytes.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) configuration, options(nostack, readonly, preserves_flags));
        }
        Self {
            few_rows: rows <= TILE_ROWS,
            of_this_thread: std::marker::PhantomData,
        }
    }
}

impl Multiply for Tiles {
    fn in_place(&self, rows: usize) -> bool {
        self.few_rows || rows == PANEL
    }

    unsafe fn multiply(
        &self,
        planes: usize,
        pairs: &[Pair],
        c: (*mut f32, usize),
        _rows: usize,
        accumulate: bool,
    ) {
        // SAFETY: as the caller promises; the tiles are configured for the rows of `a`.
        unsafe {
            if self.few_rows {
                multiply_few_rows(self, planes, pairs, c, accumulate);
            } else {
                multiply_panels(self, planes, pairs, c, accumulate);
            }
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: the registers were configured by this thread.
        unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) }
    }
}

/// `c (+)= a b` for panels of `a` (32 rows) and of `b` (32 columns), which have one plane, or two (the high and
/// the low half of each number; the product of the two low halves is left out).
///
/// # Safety
/// No pair has zero steps. Each of the panels holds `steps * planes * 2` tiles; `c` has 32 rows of 32 values, `stride`
/// values apart, that nobody else uses meanwhile. The tiles are configured for 16 rows or more.
#[inline]
unsafe fn multiply_panels(
    _tiles: &Tiles,
    planes: usize,
    pairs: &[Pair],
    (c, stride): (*mut f32, usize),
    accumulate: bool,
) {
    let row_bytes = stride * size_of::<f32>();
    // SAFETY: all addresses lie in the panels and in `c` (the caller's promise).
    unsafe {
        let (c0, c1) = (c, c.add(16 * stride));
        if accumulate {
            asm!(
                "tileloadd tmm0, [{c0} + {stride}]",
                "tileloadd tmm1, [{c0} + {stride} + 64]",
                "tileloadd tmm2, [{c1} + {stride}]",
                "tileloadd tmm3, [{c1} + {stride} + 64]",
                c0 = in(reg) c0, c1 = in(reg) c1, stride = in(reg) row_bytes,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                options(nostack, preserves_flags),
            );
        } else {
            asm!(
                "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                options(nostack, nomem, preserves_flags),
            );
        }
        for &Pair { a, b, steps } in pairs {
            // `t1` asks to leave the first-level cache to the panel of `a`, which the next panels of `b` want again.
            if planes == 1 {
                asm!(
                    "2:",
                    "tileloadd tmm4, [{a} + {row}]",
                    "tileloaddt1 tmm6, [{b} + {row}]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloaddt1 tmm7, [{b} + {row} + 1024]",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "tileloadd tmm5, [{a} + {row} + 1024]",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "tdpbf16ps tmm3, tmm5, tmm7",
                    "add {a}, 2048",
                    "add {b}, 2048",
                    "dec {steps}",
                    "jnz 2b",
                    a = inout(reg) a => _, b = inout(reg) b => _, steps = inout(reg) steps => _,
                    row = in(reg) 64usize,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            } else {
                // In memory: high tiles 0 and 1, low tiles 0 and 1.
                asm!(
                    "2:",
                    "tileloadd tmm4, [{a} + {row}]",
                    "tileloaddt1 tmm6, [{b} + {row} + 2048]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloaddt1 tmm7, [{b} + {row} + 3072]",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "tileloadd tmm5, [{a} + {row} + 1024]",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "tdpbf16ps tmm3, tmm5, tmm7",
                    "tileloaddt1 tmm6, [{b} + {row}]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloaddt1 tmm7, [{b} + {row} + 1024]",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "tdpbf16ps tmm3, tmm5, tmm7",
                    "tileloadd tmm4, [{a} + {row} + 2048]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "tileloadd tmm5, [{a} + {row} + 3072]",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "tdpbf16ps tmm3, tmm5, tmm7",
                    "add {a}, 4096",
                    "add {b}, 4096",
                    "dec {steps}",
                    "jnz 2b",
                    a = inout(reg) a => _, b = inout(reg) b => _, steps = inout(reg) steps => _,
                    row = in(reg) 64usize,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
        asm!(
            "tilestored [{c0} + {stride}], tmm0",
            "tilestored [{c0} + {stride} + 64], tmm1",
            "tilestored [{c1} + {stride}], tmm2",
            "tilestored [{c1} + {stride} + 64], tmm3",
            c0 = in(reg) c0, c1 = in(reg) c1, stride = in(reg) row_bytes,
            options(nostack, preserves_flags),
        );
    }
}

/// `c (+)= a b` for a left factor of at most 16 rows, the first tile of its panel: the same sums in the same
/// order as in [`multiply_panels`].
///
/// # Safety
/// As of [`multiply_panels`], but `c` has as many rows as the tiles are configured for.
#[inline]
unsafe fn multiply_few_rows(
    _tiles: &Tiles,
    planes: usize,
    pairs: &[Pair],
    (c, stride): (*mut f32, usize),
    accumulate: bool,
) {
    let row_bytes = stride * size_of::<f32>();
    // SAFETY: all addresses lie in the panels and in `c` (the caller's promise).
    unsafe {
        if accumulate {
            asm!(
                "tileloadd tmm0, [{c} + {stride}]",
                "tileloadd tmm1, [{c} + {stride} + 64]",
                c = in(reg) c, stride = in(reg) row_bytes,
                out("tmm0") _, out("tmm1") _,
                options(nostack, preserves_flags),
            );
        } else {
            asm!(
                "tilezero tmm0", "tilezero tmm1",
                out("tmm0") _, out("tmm1") _,
                options(nostack, nomem, preserves_flags),
            );
        }
        for &Pair { a, b, steps } in pairs {
            if planes == 1 {
                asm!(
                    "2:",
                    "tileloadd tmm4, [{a} + {row}]",
                    "tileloadd tmm6, [{b} + {row}]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm7, [{b} + {row} + 1024]",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "add {a}, 2048",
                    "add {b}, 2048",
                    "dec {steps}",
                    "jnz 2b",
                    a = inout(reg) a => _, b = inout(reg) b => _, steps = inout(reg) steps => _,
                    row = in(reg) 64usize,
                    out("tmm4") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            } else {
                asm!(
                    "2:",
                    "tileloadd tmm4, [{a} + {row}]",
                    "tileloadd tmm6, [{b} + {row} + 2048]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm7, [{b} + {row} + 3072]",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "tileloadd tmm6, [{b} + {row}]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm7, [{b} + {row} + 1024]",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "tileloadd tmm4, [{a} + {row} + 2048]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "add {a}, 4096",
                    "add {b}, 4096",
                    "dec {steps}",
                    "jnz 2b",
                    a = inout(reg) a => _, b = inout(reg) b => _, steps = inout(reg) steps => _,
                    row = in(reg) 64usize,
                    out("tmm4") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
        asm!(
            "tilestored [{c} + {stride}], tmm0",
            "tilestored [{c} + {stride} + 64], tmm1",
            c = in(reg) c, stride = in(reg) row_bytes,
            options(nostack, preserves_flags),
        );
    }
}
