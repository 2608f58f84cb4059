//! The kernels of attention by precision and width of a head, and the shared memory that they want.

use crate::backend::gpu::{Kernel, Module};
use crate::gemm::Precision;

static SMALL: Module = Module {
    name: "attention",
    ptx: include_str!("attention.ptx"),
};
static FORWARD: Module = Module {
    name: "attention_forward",
    ptx: include_str!("attention_forward.ptx"),
};
static BACKWARD_KEYS: Module = Module {
    name: "attention_backward_keys",
    ptx: include_str!("attention_backward_keys.ptx"),
};
static BACKWARD_QUERIES: Module = Module {
    name: "attention_backward_queries",
    ptx: include_str!("attention_backward_queries.ptx"),
};

pub(super) const DELTA: Kernel = Kernel {
    module: &SMALL,
    name: "attention_delta",
};
pub(super) const BIAS_GRADIENT: Kernel = Kernel {
    module: &SMALL,
    name: "attention_bias_gradient",
};
pub(super) const MERGE: Kernel = Kernel {
    module: &SMALL,
    name: "merge_attention",
};

/// Widths that the kernels are made for; heads are filled up with zeros to the next one.
const WIDTHS: [usize; 3] = [32, 64, 128];

/// More than this some devices have not for a block (compute capability 8.6 and 8.9).
const MOST_SHARED_BYTES: usize = 99 << 10;

/// How a block's tiles lie in shared memory: `Bf16Tiles` and `F32Tiles` in `tiles.cuh`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiles {
    precision: Precision,
    /// Which of [`WIDTHS`].
    width_index: usize,
}

impl Tiles {
    /// Threads of a block.
    pub(super) const THREADS: u32 = 128;
    /// Rows of a result that a block has.
    pub(super) const ROWS: usize = 64;
    /// Numbers for the diagonals of a tile.
    const DIAGONALS: usize = 128;

    /// # Panics
    /// If a head is wider than the widest kernels.
    pub(super) fn new(precision: Precision, d_kv: usize) -> Self {
        let width_index = WIDTHS.iter().position(|&width| d_kv <= width);
        let Some(width_index) = width_index else {
            panic!("attention on a GPU: a head has at most 128 columns, and this one {d_kv}");
        };
        Self {
            precision,
            width_index,
        }
    }

    fn width(self) -> usize {
        WIDTHS[self.width_index]
    }

    /// Rows of the tiles that a block goes through.
    fn columns(self) -> usize {
        match self.precision {
            Precision::Bf16 => 64,
            Precision::F32 if self.width() > 64 => 16,
            Precision::F32 => 32,
        }
    }

    /// A tile of so many rows.
    fn bytes(self, rows: usize) -> usize {
        match self.precision {
            Precision::Bf16 => 2 * rows * (self.width() + 8),
            Precision::F32 => 4 * rows * (self.width() + 4),
        }
    }

    /// Weights of the block's rows.
    fn weights_bytes(self) -> usize {
        4 * Self::ROWS * (self.columns() + 8)
    }

    /// The same where products read them there: in `f32`.
    fn weights_of_products(self) -> usize {
        match self.precision {
            Precision::Bf16 => 0,
            Precision::F32 => self.weights_bytes(),
        }
    }

    fn kernel(self, module: &'static Module, names: [[&'static str; 3]; 2]) -> Kernel {
        let names = match self.precision {
            Precision::Bf16 => names[0],
            Precision::F32 => names[1],
        };
        Kernel {
            module,
            name: names[self.width_index],
        }
    }
}

/// The forward pass, and its shared memory.
pub(super) fn forward(tiles: Tiles) -> (Kernel, usize) {
    const NAMES: [[&str; 3]; 2] = [
        [
            "attention_forward_bf16_32",
            "attention_forward_bf16_64",
            "attention_forward_bf16_128",
        ],
        [
            "attention_forward_f32_32",
            "attention_forward_f32_64",
            "attention_forward_f32_128",
        ],
    ];
    let bytes = tiles.bytes(Tiles::ROWS)
        + 2 * tiles.bytes(tiles.columns())
        + 4 * Tiles::DIAGONALS
        + tiles.weights_of_products();
    (tiles.kernel(&FORWARD, NAMES), checked(bytes))
}

/// The gradients of keys and values.
pub(super) fn backward_keys(tiles: Tiles) -> (Kernel, usize) {
    const NAMES: [[&str; 3]; 2] = [
        [
            "attention_backward_keys_bf16_32",
            "attention_backward_keys_bf16_64",
            "attention_backward_keys_bf16_128",
        ],
        [
            "attention_backward_keys_f32_32",
            "attention_backward_keys_f32_64",
            "attention_backward_keys_f32_128",
        ],
    ];
    const NUMBERS_OF_QUERY: usize = 4;
    let bytes = four_tiles(tiles)
        + 4 * Tiles::DIAGONALS
        + 4 * NUMBERS_OF_QUERY * Tiles::ROWS
        + tiles.weights_of_products();
    (tiles.kernel(&BACKWARD_KEYS, NAMES), checked(bytes))
}

/// The gradient of queries, and with `num_buckets` the shares of the bias table's.
pub(super) fn backward_queries(tiles: Tiles, num_buckets: Option<usize>) -> (Kernel, usize) {
    const NAMES: [[&str; 3]; 2] = [
        [
            "attention_backward_queries_bf16_32",
            "attention_backward_queries_bf16_64",
            "attention_backward_queries_bf16_128",
        ],
        [
            "attention_backward_queries_f32_32",
            "attention_backward_queries_f32_64",
            "attention_backward_queries_f32_128",
        ],
    ];
    let bias = match num_buckets {
        Some(buckets) => tiles.weights_bytes() + 4 * (2 * Tiles::DIAGONALS + buckets),
        None => tiles.weights_of_products(),
    };
    let bytes = four_tiles(tiles) + 4 * Tiles::DIAGONALS + bias;
    (tiles.kernel(&BACKWARD_QUERIES, NAMES), checked(bytes))
}

/// Two tiles of the block's rows and two of those that it goes through.
fn four_tiles(tiles: Tiles) -> usize {
    2 * tiles.bytes(Tiles::ROWS) + 2 * tiles.bytes(tiles.columns())
}

/// # Panics
/// If a block wants more than every device has: a bias table has too many buckets.
fn checked(shared_bytes: usize) -> usize {
    assert!(
        shared_bytes <= MOST_SHARED_BYTES,
        "attention on a GPU: {shared_bytes} bytes of shared memory; the bias table has too many buckets"
    );
    shared_bytes
}
