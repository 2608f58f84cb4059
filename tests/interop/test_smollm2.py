"""A pretrained Llama of ordinary size: SmolLM2-135M, in the directory that SMOLLM2 names."""

import json
import os
from pathlib import Path

import numpy
import promot
import pytest
from transformers import AutoTokenizer

DIRECTORY = os.environ.get("SMOLLM2")
SHARED = os.environ.get("PROMOT_SHARED")
PROMPTS = 50
SAME_OUTPUTS = 48

pytestmark = [
    pytest.mark.skipif(not DIRECTORY, reason="SMOLLM2 names no directory with SmolLM2-135M"),
    pytest.mark.skipif(not SHARED, reason="PROMOT_SHARED names no folder with real rows"),
]


def rows(file, count):
    with open(Path(SHARED) / "data" / file, encoding="utf-8") as lines:
        return [json.loads(next(lines)) for _ in range(count)]


@pytest.fixture(scope="module")
def inputs():
    """Token ids of questions and of pairs to judge."""
    questions = [f"Question: {row['question']}\nAnswer:" for row in rows("triviaqa/test.jsonl", PROMPTS // 2)]
    pairs = [
        f"{row['premise']}\nQuestion: {row['hypothesis']} True or False?\nAnswer:"
        for row in rows("rte/validation.jsonl", PROMPTS - PROMPTS // 2)
    ]
    tokenizer = AutoTokenizer.from_pretrained(DIRECTORY)
    return [tokenizer(text)["input_ids"] for text in questions + pairs]


@pytest.fixture(scope="module")
def model():
    """In f32, as promot computes."""
    return promot.load(DIRECTORY).float()


def test_logits_agree(model, inputs):
    expected = [numpy.ascontiguousarray(row[-1:]) for row in promot.reference_logits(model, inputs)]
    promot.assert_close(promot.logits(DIRECTORY, inputs, last=True), expected, tolerance=1e-3)


def test_greedy_outputs_are_the_same(model, inputs):
    expected = promot.reference_answers(model, inputs, 1, 16)
    found = promot.answers(DIRECTORY, inputs, 1, 16)
    same = sum(ours == theirs for ours, theirs in zip(found, expected, strict=True))
    assert same >= SAME_OUTPUTS, f"{same} of {PROMPTS}"
