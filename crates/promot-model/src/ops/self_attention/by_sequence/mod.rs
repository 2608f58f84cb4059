//! Sequence by sequence: what lies between two steps stays in the cache of the thread that computes it, or
//! is kept in bf16.

mod backward;
mod collected;
mod forward;

use std::cell::RefCell;
use std::ops::Range;

use half::bf16;

pub(super) use self::backward::backward;
pub(super) use self::forward::forward;
use super::Problem;
use crate::gemm::{Factor, Packed, Precision};
use crate::ops::attention::{Layout, Sequences};
use crate::ops::parallel::largest_first;
use crate::slices::split;

/// What products are computed in, and their factors kept.
const PRECISION: Precision = Precision::Bf16;

/// Rows that go through a projection at a time.
const BLOCK: usize = 256;

/// What the backward pass reads.
pub struct Saved {
    /// Queries `(T, H * d_kv)`, keys and values `(T, G * d_kv)`.
    qkv: [Vec<bf16>; 3],
    /// `(T, H * d_kv)`.
    attended: Vec<bf16>,
    /// `(T, H)`.
    log_sum_exp: Vec<f32>,
}

/// What all tasks read.
struct Shared<'a> {
    norm: &'a [f32],
    /// The projections to queries, keys and values, and how many columns each gives; transposed in the forward
    /// pass.
    qkv: [(Factor<'a>, usize); 3],
    /// The output's projection; transposed in the forward pass.
    o: Factor<'a>,
    sequences: Sequences<'a>,
    problem: &'a Problem,
}

/// Neighbouring sequences that one task computes: as many as have rows for a block.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    sequences: Range<usize>,
    rows: Range<usize>,
}

impl Group {
    /// All groups, a function of the lengths alone.
    fn all(layout: &Layout) -> Vec<Self> {
        let mut groups = Vec::new();
        let mut first = (0, 0);
        for (sequence, &end) in layout.q_offsets.iter().enumerate().skip(1) {
            let is_last = sequence + 1 == layout.q_offsets.len();
            if end - first.1 >= BLOCK || is_last {
                groups.push(Self {
                    sequences: first.0..sequence,
                    rows: first.1..end,
                });
                first = (sequence, end);
            }
        }
        groups
    }

    /// Its sequences that are not empty: the index, and the rows counted from the group's first.
    fn sequences<'a>(
        &'a self,
        layout: &'a Layout,
    ) -> impl Iterator<Item = (usize, Range<usize>)> + 'a {
        let rows = |index: usize| {
            let [first, end] = [layout.q_offsets[index], layout.q_offsets[index + 1]];
            first - self.rows.start..end - self.rows.start
        };
        let all = self
            .sequences
            .clone()
            .map(move |index| (index, rows(index)));
        all.filter(|(_, rows)| !rows.is_empty())
    }

    /// Its rows by blocks, counted from its first.
    fn blocks(&self) -> impl Iterator<Item = Range<usize>> {
        let rows = self.rows.len();
        (0..rows)
            .step_by(BLOCK)
            .map(move |first| first..(first + BLOCK).min(rows))
    }
}

/// Whether sequences are long enough for packed products, and there are enough of them, of about one length,
/// to keep a few threads equally busy.
pub(super) fn fits(layout: &Layout) -> bool {
    let lengths = layout.q_offsets.windows(2).map(|ends| ends[1] - ends[0]);
    let rows = layout.q_offsets[layout.q_offsets.len() - 1];
    let longest = lengths.clone().max().unwrap_or(0);
    let are_long = lengths
        .into_iter()
        .all(|len| len == 0 || Sequences::are_for(len));
    are_long && rows >= 4 * longest.max(BLOCK)
}

/// The groups' rows of `values`, each `width` wide.
fn rows_of<'a, E>(
    values: &'a mut [E],
    groups: &'a [Group],
    width: usize,
) -> impl Iterator<Item = &'a mut [E]> {
    split(
        values,
        groups.iter().map(move |group| group.rows.len() * width),
    )
}

/// Calls `f` with every group, its task and a thread's memory.
fn run<T: Send>(tasks: Vec<(&Group, T)>, f: impl Fn(&Group, T, &mut Scratch) + Sync) {
    largest_first(
        tasks,
        |(group, _)| group.rows.len(),
        |(group, task)| SCRATCH.with_borrow_mut(|scratch| f(group, task, scratch)),
    );
}

/// Rows `rows` of values, each `width` wide.
fn span(rows: &Range<usize>, width: usize) -> Range<usize> {
    rows.start * width..rows.end * width
}

/// Memory that a thread uses for group after group.
#[derive(Default)]
struct Scratch {
    /// A block's rows, `(BLOCK, D)`.
    block: Vec<f32>,
    /// A block's rows after a projection, or normalised.
    projected: Vec<f32>,
    /// A group's rows, `(rows, H * d_kv)` or `(rows, G * d_kv)` each.
    attended: Vec<f32>,
    dattended: Vec<f32>,
    dqkv: [Vec<f32>; 3],
    packed: [Packed; 3],
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}
