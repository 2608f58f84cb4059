//! The tile registers of a thread, and what loads, stores and configures them.

use crate::products::add_products;

/// Rows of a tile at most, and words of four bytes in a row: two bf16 or one f32.
pub(crate) const MOST: usize = 16;

pub(crate) type Words = [[u32; MOST]; MOST];

/// One tile register.
#[derive(Clone, Copy)]
pub(crate) struct Tile {
    pub(crate) rows: usize,
    /// Words in a row.
    pub(crate) columns: usize,
    pub(crate) words: Words,
}

impl Tile {
    const NONE: Self = Self {
        rows: 0,
        columns: 0,
        words: [[0; MOST]; MOST],
    };
}

/// All tile registers of a thread.
pub(crate) struct Tiles {
    /// Without a configuration, as a thread begins, there are no tiles.
    tiles: Option<[Tile; 8]>,
}

/// What `ldtilecfg` reads: a palette, the row to go on with after an interruption, zeros, and the shape of each tile.
const CONFIGURATION_BYTES: usize = 64;

impl Tiles {
    pub(crate) const NONE: Self = Self { tiles: None };

    pub(crate) fn release(&mut self) {
        self.tiles = None;
    }

    /// # Safety
    /// 64 bytes can be read at `address`.
    pub(crate) unsafe fn configure(&mut self, address: *const u8) {
        // SAFETY: as the caller promises; there is no alignment to ask for.
        let bytes = unsafe { address.cast::<[u8; CONFIGURATION_BYTES]>().read() };
        let palette = bytes[0];
        assert!(palette <= 1, "ldtilecfg: palette {palette}");
        if palette == 0 {
            return self.release();
        }
        assert_eq!(bytes[1], 0, "ldtilecfg: a row to go on with");
        let reserved = [&bytes[2..16], &bytes[32..48], &bytes[56..64]];
        let is_zero = reserved.into_iter().flatten().all(|byte| *byte == 0);
        assert!(is_zero, "ldtilecfg: bytes that have to be zero are not");
        let mut tiles = [Tile::NONE; 8];
        for (i, tile) in tiles.iter_mut().enumerate() {
            let columns = u16::from_le_bytes([bytes[16 + 2 * i], bytes[17 + 2 * i]]);
            let rows = bytes[48 + i];
            assert!(
                columns <= 64 && rows <= 16 && (columns == 0) == (rows == 0),
                "ldtilecfg: tile {i} of {rows} rows of {columns} bytes"
            );
            assert_eq!(
                columns % 4,
                0,
                "emulated tiles have whole words: {columns} bytes"
            );
            tile.rows = usize::from(rows);
            tile.columns = usize::from(columns / 4);
        }
        self.tiles = Some(tiles);
    }

    fn tile(&mut self, index: usize, instruction: &str) -> &mut Tile {
        let Some(tiles) = &mut self.tiles else {
            panic!("{instruction}: tiles are not configured");
        };
        let tile = &mut tiles[index];
        assert!(
            tile.rows > 0,
            "{instruction}: tile {index} is not configured"
        );
        tile
    }

    pub(crate) fn zero(&mut self, index: usize) {
        self.tile(index, "tilezero").words = [[0; MOST]; MOST];
    }

    /// # Safety
    /// The rows of the tile, `stride` bytes apart, can be read at `address`.
    pub(crate) unsafe fn load(&mut self, index: usize, address: *const u8, stride: usize) {
        let tile = self.tile(index, "tileload");
        tile.words = [[0; MOST]; MOST];
        for (row, words) in tile.words[..tile.rows].iter_mut().enumerate() {
            let source = address.wrapping_add(row.wrapping_mul(stride));
            // SAFETY: as the caller promises; a row has no more words than the register.
            unsafe { source.copy_to_nonoverlapping(words.as_mut_ptr().cast(), 4 * tile.columns) };
        }
    }

    /// # Safety
    /// The rows of the tile, `stride` bytes apart, can be written at `address`.
    pub(crate) unsafe fn store(&mut self, index: usize, address: *mut u8, stride: usize) {
        let tile = self.tile(index, "tilestored");
        for (row, words) in tile.words[..tile.rows].iter().enumerate() {
            let target = address.wrapping_add(row.wrapping_mul(stride));
            // SAFETY: as the caller promises; a row has no more words than the register.
            unsafe { target.copy_from_nonoverlapping(words.as_ptr().cast(), 4 * tile.columns) };
        }
    }

    /// `tdpbf16ps`: tile `c` += tile `a` times tile `b`.
    pub(crate) fn add_products(&mut self, c: usize, a: usize, b: usize) {
        const NAME: &str = "tdpbf16ps";
        assert!(
            c != a && c != b && a != b,
            "{NAME}: tiles {c}, {a}, {b} are not three"
        );
        let (a, b) = (*self.tile(a, NAME), *self.tile(b, NAME));
        let c = self.tile(c, NAME);
        assert!(
            [c.rows, c.columns, a.columns] == [a.rows, b.columns, b.rows],
            "{NAME}: {}x{} words += {}x{} times {}x{}",
            c.rows,
            c.columns,
            a.rows,
            a.columns,
            b.rows,
            b.columns
        );
        // SAFETY: `install` has looked for the instructions.
        unsafe { add_products(c, &a, &b) };
    }
}
