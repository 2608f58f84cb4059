//! The head's loss on the GPU: logits of a chunk of the vocabulary at a time, a row a block.

use super::{Kernels, Problem};
use crate::backend::Gpu;
use crate::backend::gpu::{
    Activations, Argument, GpuBuffer, GpuSlice, GpuTensor, Kernel, Module, Operand, index_u32,
};

static MODULE: Module = Module {
    name: "cross_entropy",
    ptx: include_str!("cross_entropy.ptx"),
};
const ADD: Kernel = Kernel {
    module: &MODULE,
    name: "cross_entropy_add",
};
const LOSSES: Kernel = Kernel {
    module: &MODULE,
    name: "cross_entropy_losses",
};
const MEAN: Kernel = Kernel {
    module: &MODULE,
    name: "cross_entropy_mean",
};
const GRADIENT: Kernel = Kernel {
    module: &MODULE,
    name: "cross_entropy_gradient",
};

const THREADS: u32 = 256;
/// Shared memory of blocks that add up in `f32` (a number a warp) and in `f64` (a number a thread).
const SHARED: usize = 4 * THREADS as usize / 32;
const SHARED_F64: usize = 8 * THREADS as usize;
/// Places of what is known of a row: 24 bytes.
const ROW: usize = 6;
/// Logits that are there at once: 128 MiB.
const LOGITS: usize = 32 << 20;
/// Classes that a block of the gradient's kernel handles of its row.
const BLOCK_CLASSES: usize = 2048;

/// Classes handled at a time: a function of the number of rows alone, so that sums have one order.
fn chunk_classes(tokens: usize) -> usize {
    (LOGITS / tokens / 256 * 256).max(256)
}

/// A problem, its factors, and how it is cut.
pub(super) struct Head<'a> {
    gpu: &'a Gpu,
    hidden: Activations<'a>,
    head: &'a GpuTensor,
    problem: &'a Problem,
    targets: GpuBuffer,
    /// Classes handled at a time.
    pub(super) chunk: usize,
}

/// Scaled logits of the classes from `first` on: `(T, classes)`.
struct Logits {
    buffer: GpuBuffer,
    first: usize,
    classes: usize,
}

impl<'a> Head<'a> {
    pub(super) fn new(
        gpu: &'a Gpu,
        hidden: &'a GpuSlice,
        head: &'a GpuTensor,
        problem: &'a Problem,
    ) -> Self {
        Self {
            gpu,
            hidden: Activations::new(hidden, problem.width),
            head,
            problem,
            targets: gpu.upload_u32(&problem.targets),
            chunk: chunk_classes(problem.targets.len()),
        }
    }

    fn tokens(&self) -> usize {
        self.problem.targets.len()
    }

    fn head_part(&self, first: usize, classes: usize) -> Operand<'a> {
        Operand::weight(self.head).part(first, classes)
    }

    /// The logits of all classes, a chunk at a time.
    fn chunks(&self) -> impl Iterator<Item = Logits> {
        let vocab_size = self.problem.vocab_size;
        (0..vocab_size).step_by(self.chunk).map(move |first| {
            let classes = self.chunk.min(vocab_size - first);
            let mut buffer = self.gpu.uninitialized(self.tokens() * classes);
            let head = self.head_part(first, classes);
            let scale = self.problem.logit_scale;
            self.gpu
                .multiply(self.hidden.rows(), head.t(), buffer.as_mut(), scale, 0.0);
            Logits {
                buffer,
                first,
                classes,
            }
        })
    }

    /// The mean loss, and each row's log-sum-exp.
    pub(super) fn loss(&self) -> (GpuBuffer, GpuBuffer) {
        let (gpu, tokens) = (self.gpu, self.tokens());
        let rows = gpu.uninitialized(ROW * tokens);
        for logits in self.chunks() {
            let arguments = [
                rows.as_ref().argument(),
                logits.buffer.as_ref().argument(),
                self.targets.as_ref().argument(),
                Argument::U32(index_u32(logits.first)),
                Argument::U32(index_u32(logits.classes)),
            ];
            gpu.launch(ADD, [tokens, 1, 1], THREADS, SHARED, &arguments);
        }
        let vocab_size = self.problem.vocab_size;
        let (target, other, constant) = self.problem.smoothing.weights(vocab_size);
        let (log_sum_exp, losses) = (gpu.uninitialized(tokens), gpu.uninitialized(2 * tokens));
        let arguments = [
            log_sum_exp.as_ref().argument(),
            losses.as_ref().argument(),
            rows.as_ref().argument(),
            Argument::U32(index_u32(tokens)),
            Argument::U32(index_u32(vocab_size)),
            Argument::F32(target),
            Argument::F32(other),
            Argument::F32(constant),
        ];
        gpu.launch_over(LOSSES, tokens, &arguments);
        let loss = gpu.uninitialized(1);
        let arguments = [
            loss.as_ref().argument(),
            losses.as_ref().argument(),
            Argument::U32(index_u32(tokens)),
        ];
        gpu.launch(MEAN, [1, 1, 1], THREADS, SHARED_F64, &arguments);
        (loss, log_sum_exp)
    }

    /// Turns logits into their gradients, in place.
    fn differentiate(&self, logits: &mut Logits, seed: &GpuSlice, log_sum_exp: &GpuSlice) {
        let tokens = self.tokens();
        let (target, other, _) = self.problem.smoothing.weights(self.problem.vocab_size);
        let arguments = [
            logits.buffer.as_mut().argument(),
            self.targets.as_ref().argument(),
            log_sum_exp.argument(),
            seed.argument(),
            Argument::U32(index_u32(logits.first)),
            Argument::U32(index_u32(logits.classes)),
            Argument::U32(index_u32(BLOCK_CLASSES)),
            Argument::F32(self.problem.logit_scale / tokens as f32),
            Argument::F32(target),
            Argument::F32(other),
        ];
        // Rows go in x: there is no limit on their number there.
        let grid = [tokens, logits.classes.div_ceil(BLOCK_CLASSES), 1];
        self.gpu.launch(GRADIENT, grid, THREADS, 0, &arguments);
    }

    /// Adds the gradients where they are wanted.
    pub(super) fn backward(
        &self,
        mut dhidden: Option<&mut GpuSlice>,
        mut dhead: Option<&mut GpuSlice>,
        seed: &GpuSlice,
        log_sum_exp: &GpuSlice,
    ) {
        for mut logits in self.chunks() {
            self.differentiate(&mut logits, seed, log_sum_exp);
            let Logits {
                buffer,
                first,
                classes,
            } = &logits;
            let dlogits = Activations::new(buffer.as_ref(), *classes);
            let dlogits = dlogits.rows();
            if let Some(dhidden) = dhidden.as_deref_mut() {
                let head = self.head_part(*first, *classes);
                self.gpu.multiply(dlogits, head, dhidden, 1.0, 1.0);
            }
            if let Some(dhead) = dhead.as_deref_mut() {
                let hidden = self.hidden.rows();
                self.gpu
                    .multiply_into_rows(dlogits.t(), hidden, dhead, *first, 1.0, 1.0);
            }
        }
    }
}

impl Kernels for Gpu {
    fn cross_entropy(
        &self,
        hidden: &GpuSlice,
        head: &GpuTensor,
        problem: &Problem,
    ) -> (GpuBuffer, GpuBuffer) {
        Head::new(self, hidden, head, problem).loss()
    }

    fn cross_entropy_backward(
        &self,
        dhidden: Option<&mut GpuSlice>,
        dhead: Option<&mut GpuSlice>,
        seed: &GpuSlice,
        log_sum_exp: &GpuSlice,
        hidden: &GpuSlice,
        head: &GpuTensor,
        problem: &Problem,
    ) {
        Head::new(self, hidden, head, problem).backward(dhidden, dhead, seed, log_sum_exp);
    }
}
