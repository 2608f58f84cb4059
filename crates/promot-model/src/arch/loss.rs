//! How a training loss is computed, whatever the architecture.

use crate::ops::cross_entropy::LabelSmoothing;
use crate::ops::dropout::DropoutKey;

/// How a training loss is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossOptions {
    /// Whether the model's weights want gradients; soft prompts say so themselves.
    pub tune_model: bool,
    /// Label smoothing.
    pub smoothing: LabelSmoothing,
    /// Dropout, with a key of its own for every step.
    pub dropout: Option<DropoutKey>,
    /// Dropout of what LoRA's changes read, likewise.
    pub lora_dropout: Option<DropoutKey>,
    /// Keep nothing of a block but its input, and compute the block again in the backward pass:
    /// less memory, a third more arithmetic, the same bits.
    pub recompute: bool,
}

/// Hands out a dropout key for each place of a pass, in order.
pub(super) struct Dropouts {
    key: Option<DropoutKey>,
    place: u64,
}

impl Dropouts {
    pub(super) fn new(key: Option<DropoutKey>) -> Self {
        Self { key, place: 0 }
    }

    pub(super) fn next(&mut self) -> Option<DropoutKey> {
        self.place += 1;
        self.key.map(|key| key.at(self.place))
    }

    /// The keys of the next places: all that a block needs, however often it is computed.
    pub(super) fn take<const PLACES: usize>(&mut self) -> [Option<DropoutKey>; PLACES] {
        std::array::from_fn(|_| self.next())
    }
}
