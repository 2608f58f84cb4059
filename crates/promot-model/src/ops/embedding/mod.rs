//! Token embeddings with each sequence's soft prompt rows before them.

mod cpu;
mod cuda;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use promot_core::Ragged;

use crate::backend::{Backend, Device};
use crate::graph::{Graph, Var};

/// Where the rows of one embedded sequence come from.
#[derive(Clone, Debug)]
pub struct Rows {
    /// Token ids of all sequences: `[T]`.
    pub ids: Arc<[u32]>,
    /// For each token the row of the output that it fills: `[T]`.
    pub places: Arc<[usize]>,
}

/// The kernels of [`embedding`]. `width` is D.
pub trait Kernels: Device {
    /// `y[places[i]] = table[ids[i]]`.
    fn gather(&self, y: &mut Self::Slice, table: &Self::Slice, rows: &Rows, width: usize);
    /// `dtable[ids[i]] += dy[places[i]]`, in the order of the tokens.
    fn scatter(&self, dtable: &mut Self::Slice, dy: &Self::Slice, rows: &Rows, width: usize);
    /// Copies all of `prompt` to the rows of `y` from `first` on.
    fn place_prompt(&self, y: &mut Self::Slice, prompt: &Self::Slice, first: usize, width: usize);
    /// Adds the rows of `dy` from `first` on to all of `dprompt`.
    fn add_prompt(&self, dprompt: &mut Self::Slice, dy: &Self::Slice, first: usize, width: usize);
}

/// Embeds a ragged batch: sequence `i` is the rows of its soft prompt
/// (`prompts[prompt_of[i]]`, `(P, D)`; none for `None`) followed by its tokens' rows of `table`,
/// `(V, D)`. Returns `(T', D)` and the sequences' offsets, prompt rows counted.
///
/// # Panics
/// If a prompt's width is not D, a prompt index or a token id is out of range, or `prompt_of` has
/// not one entry a sequence.
pub fn embedding<B: Backend>(
    graph: &mut Graph<B>,
    table: &Var<B>,
    prompts: &[Var<B>],
    inputs: &Ragged,
    prompt_of: &[Option<usize>],
) -> (Var<B>, Arc<[usize]>) {
    let (vocab_size, width) = table.shape();
    assert_eq!(
        prompt_of.len(),
        inputs.len(),
        "embedding: one prompt index a sequence"
    );
    assert!(
        inputs.ids().iter().all(|&id| (id as usize) < vocab_size),
        "embedding: token ids below {vocab_size}"
    );
    let mut offsets = vec![0];
    let mut places = Vec::with_capacity(inputs.ids().len());
    // For each sequence with a prompt: which one, and its first row in the output.
    let mut placed = Vec::new();
    for (row, &prompt) in inputs.rows().zip(prompt_of) {
        let mut end = offsets[offsets.len() - 1];
        if let Some(prompt) = prompt {
            assert_eq!(
                prompts[prompt].shape().1,
                width,
                "embedding: width of a prompt"
            );
            placed.push((prompt, end));
            end += prompts[prompt].shape().0;
        }
        places.extend(end..end + row.len());
        offsets.push(end + row.len());
    }
    let total = offsets[offsets.len() - 1];
    let rows = Rows {
        ids: inputs.ids().into(),
        places: places.into(),
    };

    let device = graph.device().clone();
    let mut y = device.zeros(total * width);
    device.gather(y.as_mut(), table.slice(), &rows, width);
    for &(prompt, first) in &placed {
        device.place_prompt(y.as_mut(), prompts[prompt].slice(), first, width);
    }

    let inputs: Vec<&Var<B>> = std::iter::once(table).chain(prompts).collect();
    let backward = graph.records(&inputs).then(|| {
        let table_slot = table.slot();
        let prompt_slots: Vec<_> = prompts.iter().map(Var::slot).collect();
        move |gradients: &mut B::Gradients, dy: B::Buffer| {
            if let Some(slot) = table_slot {
                B::add_gradient(gradients, &slot, |dtable| {
                    device.scatter(dtable, dy.as_ref(), &rows, width);
                });
            }
            for (prompt, first) in placed {
                if let Some(slot) = &prompt_slots[prompt] {
                    B::add_gradient(gradients, slot, |dprompt| {
                        device.add_prompt(dprompt, dy.as_ref(), first, width);
                    });
                }
            }
        }
    });
    let y = graph.output(y, (total, width), backward);
    (y, offsets.into())
}
