//! The sequences of a training pass, of which a soft prompt is one that many others go on from.
//!
//! A decoder-only model sees nothing of what follows, so that in every layer a soft prompt's rows are
//! the same before every input. They are computed once a batch.

use std::ops::Range;
use std::sync::Arc;

use promot_core::{Ragged, TokenBatch};

/// The sequences of a pass, before they are embedded.
#[derive(Default)]
pub(super) struct Sequences {
    /// Tokens of each sequence.
    pub(super) tokens: Ragged,
    /// The soft prompt before each sequence's tokens.
    pub(super) prompt_of: Vec<Option<usize>>,
    /// For each sequence the one that it goes on from, if there is one.
    goes_on_from: Vec<Option<usize>>,
    /// How many tokens of a target each sequence predicts.
    target_lens: Vec<usize>,
}

impl Sequences {
    /// Each row's input and target, without the target's last token, which predicts nothing. Soft
    /// prompts stand before them in the same sequence, or come first and once each (`share_prompts`).
    pub(super) fn of(batch: &TokenBatch, share_prompts: bool) -> Self {
        let used = batch.prompts.iter().flatten().copied();
        let mut shared: Vec<usize> = used.filter(|_| share_prompts).collect();
        shared.sort_unstable();
        shared.dedup();
        let mut sequences = Self::default();
        for &prompt in &shared {
            sequences.push(&[], Some(prompt), None, 0);
        }
        let rows = batch.inputs.rows().zip(batch.targets.rows());
        for ((input, target), &prompt) in rows.zip(&batch.prompts) {
            let fed = &target[..target.len().saturating_sub(1)];
            let goes_on_from = prompt.and_then(|prompt| shared.binary_search(&prompt).ok());
            let own_prompt = prompt.filter(|_| goes_on_from.is_none());
            sequences.push(
                &[input, fed].concat(),
                own_prompt,
                goes_on_from,
                target.len(),
            );
        }
        sequences
    }

    fn push(
        &mut self,
        tokens: &[u32],
        prompt: Option<usize>,
        goes_on_from: Option<usize>,
        target_len: usize,
    ) {
        self.tokens.push(tokens);
        self.prompt_of.push(prompt);
        self.goes_on_from.push(goes_on_from);
        self.target_lens.push(target_len);
    }
}

/// Where the tokens of a pass lie, by row of its `(T', D)` states.
pub(super) struct Places {
    /// The position of every token in its text.
    pub(super) positions: Vec<usize>,
    /// Where each sequence's own tokens start, soft prompt rows counted: `[S + 1]`.
    pub(super) offsets: Arc<[usize]>,
    /// The tokens whose keys each sequence sees, its own last; none if each sees only its own.
    pub(super) seen: Option<Picked>,
    /// The tokens that predict one of a target.
    pub(super) predicting: Picked,
}

/// Some rows for each sequence.
#[derive(Clone)]
pub(super) struct Picked {
    /// Which, sequence after sequence.
    pub(super) rows: Arc<[u32]>,
    /// Where each sequence's start among them: `[S + 1]`.
    pub(super) offsets: Arc<[usize]>,
}

impl Places {
    /// Of sequences that start at `offsets` now that they are embedded.
    ///
    /// # Panics
    /// If a target has nothing before its first token.
    pub(super) fn new(sequences: &Sequences, offsets: Arc<[usize]>) -> Self {
        let own: Vec<Range<usize>> = offsets.windows(2).map(|w| w[0]..w[1]).collect();
        let before = |from: &Option<usize>| from.map_or(0..0, |from| own[from].clone());
        let texts: Vec<(Range<usize>, Range<usize>)> = sequences
            .goes_on_from
            .iter()
            .map(before)
            .zip(own.iter().cloned())
            .collect();
        let shares = sequences.goes_on_from.iter().any(Option::is_some);
        let text = |(before, own): &(Range<usize>, Range<usize>)| before.clone().chain(own.clone());
        let predicting = texts
            .iter()
            .zip(&sequences.target_lens)
            .map(|(parts, &len)| {
                let tokens = parts.0.len() + parts.1.len();
                let first = tokens.checked_sub(len);
                text(parts)
                    .skip(first.expect("a soft prompt or an input token before every target"))
            });
        Self {
            positions: texts
                .iter()
                .flat_map(|(before, own)| before.len()..before.len() + own.len())
                .collect(),
            seen: shares.then(|| Picked::new(texts.iter().map(text))),
            predicting: Picked::new(predicting),
            offsets,
        }
    }
}

impl Picked {
    fn new(of_sequences: impl Iterator<Item = impl Iterator<Item = usize>>) -> Self {
        let (mut rows, mut offsets) = (Vec::new(), vec![0]);
        for picked in of_sequences {
            rows.extend(picked.map(|row| row as u32));
            offsets.push(rows.len());
        }
        Self {
            rows: rows.into(),
            offsets: offsets.into(),
        }
    }
}
