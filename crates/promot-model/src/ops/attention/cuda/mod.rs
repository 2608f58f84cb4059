//! Attention on the GPU, after FlashAttention-2 (Dao, 2023): scores exist as tiles of 64 queries and
//! up to 64 keys of one head, in registers.
//!
//! The backward pass goes over the scores twice, once by keys and once by queries, so that every
//! gradient is written by one block and no order of blocks changes a bit of it.

mod kernels;
mod places;

use std::rc::Rc;

use self::kernels::{BIAS_GRADIENT, DELTA, MERGE, Tiles, backward_keys, backward_queries, forward};
use super::{InputGradients, Inputs, Kernels, Problem};
use crate::backend::gpu::{Argument, GpuBuffer, GpuSlice, GpuTensor, index_u32};
use crate::backend::{Device as _, Gpu};
use crate::ops::dropout::mask_arguments;

/// A missing tensor.
const NULL: Argument = Argument::Address(0);

impl Gpu {
    /// The parameters that kernels make their `Problem` of, and the memory that these name.
    fn problem_arguments(
        &self,
        problem: &Problem,
        bias: Option<&GpuSlice>,
    ) -> (Vec<Argument>, Option<Rc<GpuBuffer>>) {
        let layout = &problem.layout;
        let (reach, buckets) = match problem.buckets {
            Some(map) => {
                let (reach, buckets) = places::buckets(map, layout);
                (reach, Some(self.indices(&buckets)))
            }
            None => (0, None),
        };
        let mut arguments = vec![
            Argument::U32(index_u32(layout.num_heads)),
            Argument::U32(index_u32(layout.num_kv_heads)),
            Argument::U32(index_u32(problem.d_kv)),
            Argument::U32(layout.causal.into()),
            Argument::F32(layout.scale),
            bias.map_or(NULL, GpuSlice::argument),
            buckets
                .as_ref()
                .map_or(NULL, |buckets| (**buckets).as_ref().argument()),
            Argument::U32(index_u32(reach)),
        ];
        arguments.extend(mask_arguments(layout.dropout));
        (arguments, buckets)
    }

    /// The sums of probabilities times their gradients, `(Tq, H)`.
    fn attention_delta(&self, dy: &GpuSlice, y: &GpuSlice, d_kv: usize) -> GpuBuffer {
        const ROWS_OF_BLOCK: usize = 8;
        let rows = y.len() / d_kv;
        let delta = self.uninitialized(rows);
        let arguments = [
            delta.as_ref().argument(),
            dy.argument(),
            y.argument(),
            Argument::U32(index_u32(rows)),
            Argument::U32(index_u32(d_kv)),
        ];
        self.launch(
            DELTA,
            [rows.div_ceil(ROWS_OF_BLOCK), 1, 1],
            32 * ROWS_OF_BLOCK as u32,
            0,
            &arguments,
        );
        delta
    }

    /// Adds up the shares of the bias table's gradient, `(places, H, num_buckets)`.
    fn bias_gradient(
        &self,
        shares: &GpuSlice,
        places: usize,
        heads: usize,
        num_buckets: usize,
    ) -> GpuBuffer {
        const THREADS: u32 = 256;
        const COLUMNS_OF_BLOCK: usize = 32;
        let width = heads * num_buckets;
        let table = self.uninitialized(width);
        let arguments = [
            table.as_ref().argument(),
            shares.argument(),
            Argument::U32(index_u32(places)),
            Argument::U32(index_u32(heads)),
            Argument::U32(index_u32(num_buckets)),
        ];
        let grid = [width.div_ceil(COLUMNS_OF_BLOCK), 1, 1];
        let shared_bytes = 4 * THREADS as usize;
        self.launch(BIAS_GRADIENT, grid, THREADS, shared_bytes, &arguments);
        table
    }

    /// Two parts put together: outputs and log-sum-exps.
    fn merge_two(
        &self,
        (some_y, some_weight): (&GpuSlice, &GpuSlice),
        (other_y, other_weight): (&GpuSlice, &GpuSlice),
        d_kv: usize,
    ) -> (GpuBuffer, GpuBuffer) {
        let y = self.uninitialized(some_y.len());
        let log_sum_exp = self.uninitialized(some_weight.len());
        let arguments = [
            y.as_ref().argument(),
            log_sum_exp.as_ref().argument(),
            some_y.argument(),
            some_weight.argument(),
            other_y.argument(),
            other_weight.argument(),
            Argument::U32(index_u32(d_kv)),
            Argument::U64(some_y.len() as u64),
        ];
        self.launch_over(MERGE, some_y.len(), &arguments);
        (y, log_sum_exp)
    }
}

impl Kernels for Gpu {
    fn attention(&self, inputs: Inputs<'_, GpuSlice>, problem: &Problem) -> (GpuBuffer, GpuBuffer) {
        let tiles = Tiles::new(self.precision(), problem.d_kv);
        let y = self.uninitialized(inputs.q.len());
        let log_sum_exp = self.uninitialized(inputs.q.len() / problem.d_kv);
        let places = places::of_queries(&problem.layout);
        let on_device = self.indices(&places.list);
        let (problem_arguments, _buckets) = self.problem_arguments(problem, inputs.bias);
        let mut arguments = vec![
            y.as_ref().argument(),
            log_sum_exp.as_ref().argument(),
            inputs.q.argument(),
            inputs.k.argument(),
            inputs.v.argument(),
            (*on_device).as_ref().argument(),
        ];
        arguments.extend(problem_arguments);
        let (kernel, shared_bytes) = forward(tiles);
        let grid = [places.count(), problem.layout.num_heads, 1];
        self.launch(kernel, grid, Tiles::THREADS, shared_bytes, &arguments);
        (y, log_sum_exp)
    }

    /// As they are: the kernels convert a tile when they load it.
    type FixedKeys = [GpuTensor; 2];

    fn fix_keys(&self, tensors: [GpuTensor; 2], _: &[usize], _: usize) -> [GpuTensor; 2] {
        tensors
    }

    fn attention_to_fixed(
        &self,
        q: &GpuSlice,
        keys: &[GpuTensor; 2],
        problem: &Problem,
    ) -> (GpuBuffer, GpuBuffer) {
        let [k, v] = keys.each_ref().map(Self::slice);
        let bias = None;
        self.attention(Inputs { q, k, v, bias }, problem)
    }

    fn merge_attention(&self, parts: &[(&GpuSlice, &GpuSlice)], d_kv: usize) -> GpuBuffer {
        let [first, rest @ ..] = parts else {
            panic!("attention: at least one part");
        };
        let mut merged = None;
        for part in rest {
            let before = match &merged {
                None => *first,
                Some((y, log_sum_exp)) => (GpuBuffer::as_ref(y), GpuBuffer::as_ref(log_sum_exp)),
            };
            let both = self.merge_two(before, *part, d_kv);
            merged = Some(both);
        }
        merged.map_or_else(|| self.copy_of(first.0), |(y, _)| y)
    }

    fn attention_backward(
        &self,
        dy: &GpuSlice,
        y: &GpuSlice,
        log_sum_exp: &GpuSlice,
        inputs: Inputs<'_, GpuSlice>,
        problem: &Problem,
        with_bias: bool,
    ) -> InputGradients<GpuBuffer> {
        let tiles = Tiles::new(self.precision(), problem.d_kv);
        let layout = &problem.layout;
        let heads = layout.num_heads;
        let delta = self.attention_delta(dy, y, problem.d_kv);
        let (problem_arguments, _buckets) = self.problem_arguments(problem, inputs.bias);
        let saved = [
            inputs.q,
            inputs.k,
            inputs.v,
            dy,
            log_sum_exp,
            delta.as_ref(),
        ];
        let saved = saved.map(GpuSlice::argument);

        let [dk, dv] = [inputs.k, inputs.v].map(|input| self.uninitialized(input.len()));
        let places = places::of_keys(layout);
        let on_device = self.indices(&places.list);
        let mut arguments = vec![dk.as_ref().argument(), dv.as_ref().argument()];
        arguments.extend(saved);
        arguments.push((*on_device).as_ref().argument());
        arguments.extend_from_slice(&problem_arguments);
        let (kernel, shared_bytes) = backward_keys(tiles);
        let grid = [places.count(), layout.num_kv_heads, 1];
        self.launch(kernel, grid, Tiles::THREADS, shared_bytes, &arguments);

        let dq = self.uninitialized(inputs.q.len());
        let places = places::of_queries(layout);
        let on_device = self.indices(&places.list);
        let num_buckets = problem.buckets.filter(|_| with_bias);
        let num_buckets = num_buckets.map(|buckets| buckets.num_buckets);
        let shares =
            num_buckets.map(|buckets| self.uninitialized(places.count() * heads * buckets));
        let mut arguments = vec![
            dq.as_ref().argument(),
            shares
                .as_ref()
                .map_or(NULL, |shares| shares.as_ref().argument()),
            Argument::U32(index_u32(num_buckets.unwrap_or(0))),
        ];
        arguments.extend(saved);
        arguments.push((*on_device).as_ref().argument());
        arguments.extend_from_slice(&problem_arguments);
        let (kernel, shared_bytes) = backward_queries(tiles, num_buckets);
        let grid = [places.count(), heads, 1];
        self.launch(kernel, grid, Tiles::THREADS, shared_bytes, &arguments);

        let dbias = num_buckets.zip(shares).map(|(num_buckets, shares)| {
            self.bias_gradient(shares.as_ref(), places.count(), heads, num_buckets)
        });
        InputGradients { dq, dk, dv, dbias }
    }
}
