"""The batches that both sides work on: tokenized RTE rows, and the soft prompt's first values."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path

TEMPLATE = "{premise} question: {hypothesis} Is it true or false? answer:"
ANSWERS = {"entailment": "True", "not_entailment": "False"}
PROMPT_ROWS = 100
# By what is tuned. A prompt for T5, whose embeddings are as large as 1 or more, needs more than one for
# a model whose embeddings are near 0.1.
T5_RATES = {"model": 1e-3, "prompt": 0.2}
LLAMA_RATES = {"model": 1e-3, "prompt": 0.02}
NEW_TOKENS = 32


def tokenized_rows(
    data: Path, tokenizer_file: Path, eos: int | None = None
) -> list[tuple[list[int], list[int]]]:
    """Input and target ids of every training row. T5's tokenizer appends the end token; for a
    decoder-only model, whose end token is `eos`, a target follows its input after a space."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    with open(data / "rte" / "train.jsonl", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines if line.strip()]
    inputs = tokenizer.encode_batch([TEMPLATE.format(**row) for row in rows])
    space, end = ("", []) if eos is None else (" ", [eos])
    targets = tokenizer.encode_batch([space + ANSWERS[row["label"]] for row in rows])
    return [(source.ids, target.ids + end) for source, target in zip(inputs, targets)]


def make_batches(rows: list, batch_size: int, by_length: bool) -> list[dict]:
    """Whole batches, in the file's order, or of inputs of about the same length.

    Sorting leaves the batches themselves in a random order, so that the first of them are neither
    the shortest nor the longest.
    """
    if len(rows) < batch_size:
        raise SystemExit(f"{len(rows)} rows are too few for a batch of {batch_size}")
    if by_length:
        rows = sorted(rows, key=lambda row: len(row[0]))
    starts = range(0, len(rows) - batch_size + 1, batch_size)
    batches = [rows[start : start + batch_size] for start in starts]
    if by_length:
        random.Random(0).shuffle(batches)
    return [
        {"inputs": [row[0] for row in batch], "targets": [row[1] for row in batch]}
        for batch in batches
    ]


def random_prompt(d_model: int, seed: int) -> list[list[float]]:
    """Rows uniform in (-0.5, 0.5), each value one that 32 bits hold exactly."""
    stream = random.Random(seed)

    def value() -> float:
        return struct.unpack("f", struct.pack("f", stream.uniform(-0.5, 0.5)))[0]

    return [[value() for _ in range(d_model)] for _ in range(PROMPT_ROWS)]


def nudged(prompt: list[list[float]], seed: int) -> list[list[float]]:
    """The same prompt, but for the last of its 32 bits in half of the values."""
    stream = random.Random(seed)

    def value(x: float) -> float:
        (bits,) = struct.unpack("I", struct.pack("f", x))
        return struct.unpack("f", struct.pack("I", bits ^ stream.getrandbits(1)))[0]

    return [[value(x) for x in row] for row in prompt]


def write_workload(
    path: Path,
    batches: list[dict],
    prompt: list[list[float]],
    rates: dict[str, float],
) -> None:
    """Writes the file that both workers read."""
    workload = {
        "batches": batches,
        "prompt": prompt,
        "learning_rates": rates,
        "new_tokens": NEW_TOKENS,
    }
    path.write_text(json.dumps(workload), encoding="utf-8")
