//! Ragged token batches: concatenated sequences with row offsets, never padded.

/// Sequences of token ids of different lengths, concatenated.
///
/// Sequence `i` is `ids[offsets[i]..offsets[i + 1]]`; `offsets` is what attention kernels call
/// `cu_seqlens` and always starts with 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ragged {
    ids: Vec<u32>,
    offsets: Vec<usize>,
}

impl Default for Ragged {
    fn default() -> Self {
        Self {
            ids: Vec::new(),
            offsets: vec![0],
        }
    }
}

impl Ragged {
    /// No sequences.
    pub fn new() -> Self {
        Self::default()
    }

    /// One sequence for each row.
    pub fn from_rows<'a>(rows: impl IntoIterator<Item = &'a [u32]>) -> Self {
        let mut ragged = Self::new();
        for row in rows {
            ragged.push(row);
        }
        ragged
    }

    /// Appends a sequence.
    pub fn push(&mut self, row: &[u32]) {
        self.ids.extend_from_slice(row);
        self.offsets.push(self.ids.len());
    }

    /// All token ids, sequence after sequence: `[T]`.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Where each sequence starts, and the end of the last one: `[B + 1]`.
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// How many sequences there are.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there is no sequence.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The token ids of sequence `index`.
    pub fn row(&self, index: usize) -> &[u32] {
        &self.ids[self.offsets[index]..self.offsets[index + 1]]
    }

    /// The sequences in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[u32]> {
        self.offsets.windows(2).map(|w| &self.ids[w[0]..w[1]])
    }
}

/// A batch for training: inputs, targets, and which soft prompt precedes each input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenBatch {
    /// Input ids, each sequence with its end-of-sequence token where the tokenizer adds one.
    pub inputs: Ragged,
    /// Target ids, each sequence ending with the end-of-sequence token.
    pub targets: Ragged,
    /// For each sequence the index of its soft prompt among those given to the model, if any.
    pub prompts: Vec<Option<usize>>,
}

impl TokenBatch {
    /// A batch without soft prompts.
    ///
    /// # Panics
    /// If inputs and targets are not equally many.
    pub fn new(inputs: Ragged, targets: Ragged) -> Self {
        assert_eq!(inputs.len(), targets.len(), "one target a sequence");
        let prompts = vec![None; inputs.len()];
        Self {
            inputs,
            targets,
            prompts,
        }
    }

    /// The same batch with soft prompt `prompt` before every input.
    pub fn with_prompt(mut self, prompt: usize) -> Self {
        self.prompts.fill(Some(prompt));
        self
    }

    /// How many sequences there are.
    pub fn len(&self) -> usize {
        self.inputs.len()
    }

    /// Whether there is no sequence.
    pub fn is_empty(&self) -> bool {
        self.inputs.is_empty()
    }

    /// Input tokens, soft prompt rows not counted.
    pub fn input_tokens(&self) -> usize {
        self.inputs.ids().len()
    }

    /// Target tokens: what the loss is a mean over.
    pub fn target_tokens(&self) -> usize {
        self.targets.ids().len()
    }
}

/// Where training batches come from.
///
/// `batch` is a function of the step alone, so that a resumed run sees the batches an
/// undisturbed one would have seen.
pub trait BatchSource {
    /// The batch of optimizer step `step` (from 0).
    fn batch(&self, step: u64) -> TokenBatch;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_were_pushed() {
        let rows: [&[u32]; 3] = [&[1, 2, 3], &[], &[4]];
        let ragged = Ragged::from_rows(rows);
        assert_eq!(ragged.len(), 3);
        assert_eq!(ragged.rows().collect::<Vec<_>>(), rows);
        assert_eq!(ragged.row(2), [4]);
        assert!(Ragged::new().is_empty());
    }

    #[test]
    #[should_panic(expected = "one target a sequence")]
    fn a_batch_needs_a_target_for_every_input() {
        TokenBatch::new(Ragged::from_rows([[1u32].as_slice()]), Ragged::new());
    }
}
