//! What each parameter does in its model, as its Hugging Face name says.

/// What a parameter does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Module {
    /// Projects to the queries of an attention.
    Query,
    /// To its keys.
    Key,
    /// To its values.
    Value,
    /// Projects what was attended to back into the residual stream.
    AttentionOutput,
    /// Any weight of a feed-forward layer (the MLP).
    FeedForward,
    /// The table that embeds tokens; also the head of a tied model.
    Embedding,
    /// Scales of a normalisation.
    Norm,
    /// T5's biases of attention by relative position.
    PositionBias,
    /// The head of a model that is not tied.
    Head,
}

impl Module {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Query,
        Self::Key,
        Self::Value,
        Self::AttentionOutput,
        Self::FeedForward,
        Self::Embedding,
        Self::Norm,
        Self::PositionBias,
        Self::Head,
    ];

    fn of(name: &str) -> Option<Self> {
        let last = name.strip_suffix(".weight")?.rsplit('.').next()?;
        Some(match last {
            "q" | "q_proj" => Self::Query,
            "k" | "k_proj" => Self::Key,
            "v" | "v_proj" => Self::Value,
            "o" | "o_proj" => Self::AttentionOutput,
            "wi" | "wi_0" | "wi_1" | "wo" | "gate_proj" | "up_proj" | "down_proj" => {
                Self::FeedForward
            }
            "shared" | "embed_tokens" => Self::Embedding,
            "layer_norm"
            | "final_layer_norm"
            | "input_layernorm"
            | "post_attention_layernorm"
            | "norm" => Self::Norm,
            "relative_attention_bias" => Self::PositionBias,
            "lm_head" => Self::Head,
            _ => return None,
        })
    }
}

/// What a parameter does, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Role {
    /// What it does.
    pub module: Module,
    /// Its layer, from 0, if it is of a layer of the decoder (of a decoder-only model: of any layer).
    pub decoder_layer: Option<usize>,
    /// Whether it belongs to attention from the decoder to the encoder.
    pub is_cross: bool,
}

impl Role {
    /// The role of the parameter called `name`; `None` if no architecture has one of that name.
    pub fn of(name: &str) -> Option<Self> {
        let below = ["decoder.block.", "model.layers."]
            .iter()
            .find_map(|stack| name.strip_prefix(stack));
        let layer = below.and_then(|rest| rest.split('.').next()?.parse().ok());
        Some(Self {
            module: Module::of(name)?,
            decoder_layer: layer,
            is_cross: name.contains(".EncDecAttention."),
        })
    }
}
