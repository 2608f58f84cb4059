"""Sizes of the models that are compared, and how many operations a step of each takes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """A T5 v1.1: gated GELU, a head of its own, as many decoder layers as encoder layers."""

    d_model: int
    d_kv: int
    d_ff: int
    layers: int
    heads: int
    vocab_size: int = 32128

    @property
    def inner(self) -> int:
        """Columns of all heads together."""
        return self.heads * self.d_kv


SIZES = {
    "mini": Shape(d_model=128, d_kv=32, d_ff=256, layers=3, heads=4),
    "small": Shape(d_model=512, d_kv=64, d_ff=1024, layers=8, heads=6),
    "base": Shape(d_model=768, d_kv=64, d_ff=2048, layers=12, heads=12),
}


def operations(
    shape: Shape, case: str, sources: list[int], targets: list[int], beams: int = 1
) -> float:
    """Floating-point operations of one step that no implementation can do without.

    `sources` are the lengths of the encoder's sequences, soft prompt rows counted and padding not;
    `targets` those of the decoder's. A linear map takes 2 * parameters * tokens, attention's two
    products 2 * columns * (query, key) pairs each, causal pairs counted once. A backward pass takes
    as much for the gradients of inputs and, where the model is tuned, again as much for those of
    weights; attention's takes twice its forward pass. Norms, activations, the softmax, the update
    and whatever is computed twice are not counted.
    """
    attention_map = shape.d_model * shape.inner
    feed_forward = 3 * shape.d_model * shape.d_ff
    encoder_tokens = sum(sources)
    decoder_tokens = beams * sum(targets)
    linear = 2 * encoder_tokens * shape.layers * (4 * attention_map + feed_forward)
    # Keys and values of the attention to the encoder: once for all beams.
    linear += 2 * encoder_tokens * shape.layers * 2 * attention_map
    linear += 2 * decoder_tokens * shape.layers * (6 * attention_map + feed_forward)
    linear += 2 * decoder_tokens * shape.d_model * shape.vocab_size

    pairs = sum(source * source for source in sources)
    pairs += beams * sum(target * (target + 1) / 2 for target in targets)
    pairs += beams * sum(source * target for source, target in zip(sources, targets))
    attention = 2 * 2 * shape.inner * pairs * shape.layers

    if case in ("finetune", "model_tune"):
        return 3 * linear + 3 * attention
    if case == "prompt_tune":
        return 2 * linear + 3 * attention
    return linear + attention
