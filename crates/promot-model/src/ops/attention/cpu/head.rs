//! Where one head of one sequence lies in the tensors.

use super::super::Problem;
use crate::gemm::{Element, Matrix, Precision};
use crate::ops::dropout::{DropoutKey, Mask};

/// One sequence: rows of its queries and keys.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sequence {
    pub(super) q_first: usize,
    pub(super) q_len: usize,
    pub(super) k_first: usize,
    pub(super) k_len: usize,
    causal: bool,
    /// The index of its first query among all, by which dropout is drawn.
    drawn_as: usize,
}

impl Sequence {
    pub(super) fn all(problem: &Problem) -> impl Iterator<Item = Self> + '_ {
        let layout = &problem.layout;
        let pairs = layout.q_offsets.windows(2).enumerate().map(|(i, q)| {
            let i = if layout.shared_keys { 0 } else { i };
            (q, &layout.kv_offsets[i..i + 2])
        });
        pairs.map(|(q, k)| Self {
            q_first: q[0],
            q_len: q[1] - q[0],
            k_first: k[0],
            k_len: k[1] - k[0],
            causal: layout.causal,
            drawn_as: q[0],
        })
    }

    /// The same in tensors that hold nothing but its rows.
    pub(super) fn by_itself(self) -> Self {
        Self {
            q_first: 0,
            k_first: 0,
            ..self
        }
    }

    /// Whether there is nothing to compute.
    pub(super) fn is_empty(&self) -> bool {
        self.q_len == 0 || self.k_len == 0
    }

    /// Pairs of a query and a key.
    pub(super) fn scores(&self) -> usize {
        self.q_len * self.k_len
    }

    /// The position of query `i` among the keys; before them, if there are more queries than keys.
    #[inline(always)]
    pub(super) fn position(&self, i: usize) -> isize {
        let shift = if self.causal {
            self.k_len as isize - self.q_len as isize
        } else {
            0
        };
        i as isize + shift
    }

    /// How many keys query `i` sees.
    #[inline(always)]
    pub(super) fn visible(&self, i: usize) -> usize {
        if self.causal {
            (i + 1 + self.k_len).saturating_sub(self.q_len)
        } else {
            self.k_len
        }
    }

    /// The first query that sees key `j`; all later ones do, too.
    #[inline(always)]
    pub(super) fn first_query(&self, j: usize) -> usize {
        if self.causal {
            (j + self.q_len).saturating_sub(self.k_len)
        } else {
            0
        }
    }

    /// The largest distance between a query and a key.
    pub(super) fn reach(&self) -> usize {
        self.q_len.max(self.k_len)
    }
}

/// One head of one sequence.
#[derive(Clone, Copy)]
pub(super) struct Head<'a> {
    pub(super) problem: &'a Problem,
    pub(super) sequence: Sequence,
    pub(super) head: usize,
    pub(super) precision: Precision,
}

impl<'a> Head<'a> {
    pub(super) fn heads(&self) -> usize {
        self.problem.layout.num_heads
    }

    /// Columns of one head.
    pub(super) fn d(&self) -> usize {
        self.problem.d_kv
    }

    /// Columns of all heads.
    pub(super) fn width(&self) -> usize {
        self.heads() * self.d()
    }

    /// The head's first column.
    pub(super) fn column(&self) -> usize {
        self.head * self.d()
    }

    /// Query heads that share a head of keys and values.
    fn group(&self) -> usize {
        self.heads() / self.problem.layout.num_kv_heads
    }

    /// Whether an earlier head has used the same keys and values: gradients are added to its own.
    pub(super) fn shares_keys_of_earlier(&self) -> bool {
        !self.head.is_multiple_of(self.group())
    }

    /// Whether no later head uses the same keys and values.
    pub(super) fn is_last_of_group(&self) -> bool {
        (self.head + 1).is_multiple_of(self.group())
    }

    /// Columns of all heads of keys.
    pub(super) fn key_width(&self) -> usize {
        self.problem.layout.num_kv_heads * self.d()
    }

    /// The first column of the head's keys.
    pub(super) fn key_column(&self) -> usize {
        self.head / self.group() * self.d()
    }

    /// This head's columns of the sequence's queries, or of something of their shape.
    pub(super) fn queries<'x, E: Element>(&self, x: &'x [E]) -> Matrix<'x, E> {
        let Sequence { q_first, q_len, .. } = self.sequence;
        Matrix::strided(
            self.starting_at_row(x, q_first),
            q_len,
            self.d(),
            self.width(),
        )
    }

    /// This head's columns of the sequence's keys, or of something of their shape.
    pub(super) fn keys<'x, E: Element>(&self, x: &'x [E]) -> Matrix<'x, E> {
        let Sequence { k_first, k_len, .. } = self.sequence;
        let first = k_first * self.key_width() + self.key_column();
        Matrix::strided(&x[first..], k_len, self.d(), self.key_width())
    }

    /// `x` from the head's first column of row `row` on.
    #[inline(always)]
    pub(super) fn starting_at_row<'x, E>(&self, x: &'x [E], row: usize) -> &'x [E] {
        &x[row * self.width() + self.column()..]
    }

    /// The head's columns of row `row`.
    #[inline(always)]
    pub(super) fn row<'x>(&self, x: &'x [f32], row: usize) -> &'x [f32] {
        &self.starting_at_row(x, row)[..self.d()]
    }

    /// The same of memory that is written.
    #[inline(always)]
    pub(super) fn row_mut<'x>(&self, x: &'x mut [f32], row: usize) -> &'x mut [f32] {
        let first = row * self.width() + self.column();
        &mut x[first..][..self.d()]
    }

    /// The columns of row `row` of keys, or of something of their shape.
    #[inline(always)]
    pub(super) fn key_row<'x>(&self, x: &'x [f32], row: usize) -> &'x [f32] {
        &x[row * self.key_width() + self.key_column()..][..self.d()]
    }

    /// The same of memory that is written.
    #[inline(always)]
    pub(super) fn key_row_mut<'x>(&self, x: &'x mut [f32], row: usize) -> &'x mut [f32] {
        let first = row * self.key_width() + self.key_column();
        &mut x[first..][..self.d()]
    }

    /// The dropout of the probabilities, if there is any.
    pub(super) fn dropout(&self) -> Option<DropoutKey> {
        self.problem.layout.dropout.filter(|key| key.rate > 0.0)
    }

    /// The mask of query `i`'s probabilities: one for each query and head, so that positions in it
    /// are those of the keys.
    #[inline(always)]
    pub(super) fn mask(&self, key: DropoutKey, i: usize) -> Mask {
        let query = (self.sequence.drawn_as + i) * self.heads() + self.head;
        key.at(query as u64).mask()
    }

    /// The masks of all queries; none without dropout.
    pub(super) fn masks_into(&self, masks: &mut Vec<Mask>) {
        masks.clear();
        if let Some(key) = self.dropout() {
            masks.extend((0..self.sequence.q_len).map(|i| self.mask(key, i)));
        }
    }

    /// Multiplies the probabilities of query `i` with their dropout factors.
    #[inline(always)]
    pub(super) fn drop_query(&self, probabilities: &mut [f32], i: usize) {
        if let Some(key) = self.dropout() {
            let mask = self.mask(key, i);
            for (j, p) in probabilities.iter_mut().enumerate() {
                *p *= mask.factor(j as u32);
            }
        }
    }

    /// Asks for the next head's columns of row `row` of queries, if there is such a head.
    ///
    /// A head's columns are too short a stretch of memory for the processor to see them coming; with
    /// this they arrive while the present head is computed.
    #[inline(always)]
    pub(super) fn prefetch_next(&self, queries: &[&[f32]], row: usize) {
        if self.head + 1 < self.heads() {
            let first = row * self.width() + self.column() + self.d();
            self.prefetch(queries, first);
        }
    }

    /// The same of row `row` of keys or values, if the next head has others.
    #[inline(always)]
    pub(super) fn prefetch_next_keys(&self, keys: &[&[f32]], row: usize) {
        if self.head + 1 < self.heads() && self.is_last_of_group() {
            let first = row * self.key_width() + self.key_column() + self.d();
            self.prefetch(keys, first);
        }
    }

    #[inline(always)]
    fn prefetch(&self, tensors: &[&[f32]], first: usize) {
        for x in tensors {
            prefetch(x.get(first..first + self.d()).unwrap_or_default());
        }
    }
}

/// What the next head reads, asked for while the present one is computed: of queries and of keys.
#[derive(Clone, Copy)]
pub(super) struct Ahead<'a> {
    pub(super) queries: [&'a [f32]; 3],
    pub(super) keys: [&'a [f32]; 2],
}

/// `x`, if it was written by an op before; bf16 is what was computed right before, and still in the cache.
pub(super) fn ahead<E: Element>(x: &[E]) -> &[f32] {
    E::as_f32(x).unwrap_or_default()
}

/// Asks for `values` to be brought into the second-level cache.
#[inline(always)]
fn prefetch(values: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    for line in values.chunks(16) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a prefetch reads nothing that the program sees, and the address is a slice's.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}
