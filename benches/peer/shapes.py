"""Sizes of the models that are compared, and how many operations a step of each takes.

Counted are floating-point operations that no implementation can do without. A linear map takes
2 * parameters * tokens, attention's two products 2 * columns * (query, key) pairs each, causal pairs
counted once. A backward pass takes as much for the gradients of inputs and, where the model is tuned,
again as much for those of weights; attention's takes twice its forward pass. Norms, activations, the
softmax, the update and whatever is computed twice are not counted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class T5Shape:
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

    def operations(
        self, case: str, sources: list[int], targets: list[int], beams: int, prompt: int
    ) -> float:
        """Of a step; `sources` are the lengths of the encoder's sequences, the `prompt` rows of a soft
        prompt counted and padding not, `targets` those of the decoder's. An encoder sees what follows, so
        a prompt's rows are others for each input."""
        attention_map = self.d_model * self.inner
        feed_forward = 3 * self.d_model * self.d_ff
        encoder_tokens = sum(sources)
        decoder_tokens = beams * sum(targets)
        linear = 2 * encoder_tokens * self.layers * (4 * attention_map + feed_forward)
        linear += 2 * decoder_tokens * self.layers * (6 * attention_map + feed_forward)
        linear += 2 * decoder_tokens * self.d_model * self.vocab_size
        pairs = sum(source * source for source in sources)
        pairs += beams * sum(map(causal_pairs, targets))
        attention = 2 * 2 * self.inner * pairs

        # Attention to the encoder, the cheaper way: keys and values of all states, once for all beams,
        # or queries of a few targets that are brought to the states, and what they find brought back.
        crossing = beams * sum(source * target for source, target in zip(sources, targets))
        ways = [
            (2 * encoder_tokens * 2 * attention_map, 2 * 2 * self.inner * crossing),
            (
                2 * decoder_tokens * 2 * attention_map,
                2 * 2 * self.heads * self.d_model * crossing,
            ),
        ]
        of_keys, of_pairs = min(ways, key=sum)
        linear += self.layers * of_keys
        return of_step(case, linear, self.layers * (attention + of_pairs))


@dataclass(frozen=True)
class LlamaShape:
    """A decoder-only model with SwiGLU and grouped-query attention."""

    d_model: int
    d_kv: int
    d_ff: int
    layers: int
    heads: int
    kv_heads: int
    vocab_size: int

    @classmethod
    def of(cls, checkpoint: Path) -> LlamaShape:
        """The shape of the model in a directory in Hugging Face's layout."""
        config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
        if config.get("model_type") != "llama":
            raise SystemExit(f"{checkpoint}: expected a Llama, found {config.get('model_type')}")
        heads = config["num_attention_heads"]
        return cls(
            d_model=config["hidden_size"],
            d_kv=config.get("head_dim") or config["hidden_size"] // heads,
            d_ff=config["intermediate_size"],
            layers=config["num_hidden_layers"],
            heads=heads,
            kv_heads=config.get("num_key_value_heads") or heads,
            vocab_size=config["vocab_size"],
        )

    def operations(
        self, case: str, sources: list[int], targets: list[int], beams: int, prompt: int
    ) -> float:
        """Of a step; `sources` are the lengths of the inputs, soft prompt rows counted and padding
        not, `targets` those of the answers. The `prompt` rows that all inputs begin with are the same
        in each. The last token of an answer is read by nothing, and only what precedes a target token
        needs more of the last layer than keys and values, and the head."""
        q_and_o, k_and_v = (
            2 * self.d_model * heads * self.d_kv for heads in (self.heads, self.kv_heads)
        )
        layer = q_and_o + k_and_v + 3 * self.d_model * self.d_ff
        answers = [target - 1 for target in targets]
        tokens = prompt + sum(source - prompt for source in sources) + beams * sum(answers)
        predicting = beams * sum(targets)
        linear = 2 * tokens * ((self.layers - 1) * layer + k_and_v)
        linear += 2 * predicting * (layer - k_and_v + self.d_model * self.vocab_size)
        pairs = causal_pairs(prompt)
        pairs += sum(causal_pairs(source) - causal_pairs(prompt) for source in sources)
        pairs += beams * sum(
            source * answer + causal_pairs(answer) for source, answer in zip(sources, answers)
        )
        last = beams * sum(source * target for source, target in zip(sources, targets))
        attention = 2 * 2 * self.heads * self.d_kv * (pairs * (self.layers - 1) + last)
        return of_step(case, linear, attention)


def causal_pairs(length: int) -> float:
    """Queries with each key that is not after them."""
    return length * (length + 1) / 2


def of_step(case: str, linear: float, attention: float) -> float:
    """A forward pass's operations with those of the backward pass, if the case has one."""
    if case in ("finetune", "model_tune"):
        return 3 * linear + 3 * attention
    if case == "prompt_tune":
        return 2 * linear + 3 * attention
    return linear + attention


SIZES = {
    "mini": T5Shape(d_model=128, d_kv=32, d_ff=256, layers=3, heads=4),
    "small": T5Shape(d_model=512, d_kv=64, d_ff=1024, layers=8, heads=6),
    "base": T5Shape(d_model=768, d_kv=64, d_ff=2048, layers=12, heads=12),
    "large": T5Shape(d_model=1024, d_kv=64, d_ff=2816, layers=24, heads=16),
}
