//! The choice on the GPU, a row a block: what comes to the host are the tokens that were chosen.

use super::{Kernels, NextToken};
use crate::backend::Gpu;
use crate::backend::gpu::{Argument, GpuSlice, Kernel, Module, index_u32};

static MODULE: Module = Module {
    name: "top_tokens",
    ptx: include_str!("top_tokens.ptx"),
};
const TOP: Kernel = Kernel {
    module: &MODULE,
    name: "top_tokens",
};

/// Threads of a block, each with a logit and a token of shared memory.
const THREADS: u32 = 256;
const SHARED: usize = 8 * THREADS as usize;

impl Kernels for Gpu {
    fn best_tokens(&self, logits: &GpuSlice, vocab_size: usize) -> Vec<u32> {
        let best = self.top_tokens(logits, vocab_size, 1);
        best.iter().map(|found| found.token).collect()
    }

    fn top_tokens(&self, logits: &GpuSlice, vocab_size: usize, count: usize) -> Vec<NextToken> {
        let rows = logits.len().checked_div(vocab_size).unwrap_or(0);
        let count = count.min(vocab_size);
        let found = self.uninitialized(2 * rows * count);
        let arguments = [
            found.as_ref().argument(),
            logits.argument(),
            Argument::U32(index_u32(vocab_size)),
            Argument::U32(index_u32(count)),
        ];
        self.launch(TOP, [rows, 1, 1], THREADS, SHARED, &arguments);
        let found = self.download_u32(found.as_ref());
        let pairs = found.as_chunks::<2>().0.iter();
        pairs
            .map(|&[token, bits]| NextToken {
                token,
                log_probability: f32::from_bits(bits),
            })
            .collect()
    }
}
