"""Runs promot's programs, and asks transformers for the same.

The tests of this folder are run by `.ci/interop`, or with what requirements.txt lists installed, after

    cargo build --release -p promot-pipeline -p promot-model --bins --examples

by `pytest tests/interop`. PROMOT_BIN names another program than target/release/promot-pipeline; its
examples are in the folder `examples` beside it.
"""

import json
import os
import subprocess
import tempfile
from pathlib import Path

import numpy
import torch
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("PROMOT_BIN", ROOT / "target/release/promot-pipeline")).resolve()
FIXTURES = ROOT / "crates/promot-model/tests/fixtures"


def run(*arguments, cwd=None):
    """What `promot-pipeline` prints on standard output."""
    return _output([PROGRAM, *arguments], cwd)


def resave(model, out, max_shard_size="5GB"):
    """Reads a model and writes it again."""
    _output([PROGRAM.parent / "examples/resave", model, out, max_shard_size])
    return out


def resave_adapter(adapter, out):
    """Reads a soft prompt or LoRA and writes it again."""
    _output([PROGRAM.parent / "examples/resave", "--adapter", adapter, out])


def logits(model, inputs, targets=None, last=False):
    """An array `(tokens, vocabulary)` for each input, or for each target of an encoder-decoder."""
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        (place / "inputs.json").write_text(json.dumps(inputs))
        command = [PROGRAM.parent / "examples/logits", model, place / "inputs.json", place / "out"]
        if targets is not None:
            (place / "targets.json").write_text(json.dumps(targets))
            command += ["--targets", place / "targets.json"]
        _output(command + ["--last"] * last)
        tensors = load_file(place / "out")
    return [tensors[str(index)] for index in range(len(inputs))]


def answers(model, inputs, beams, max_new_tokens, adapter=None):
    """Token ids for each input, without those that start and end an answer."""
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        (place / "inputs.json").write_text(json.dumps(inputs))
        command = [PROGRAM.parent / "examples/generate_ids", model, place / "inputs.json"]
        command += [place / "out", str(beams), str(max_new_tokens)]
        _output(command + ([] if adapter is None else [adapter]))
        return json.loads((place / "out").read_text())


def _output(command, cwd=None):
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}:\n{done.stderr}"
    return done.stdout


def load(directory):
    """The model in a directory as transformers loads it, which must find a place for every tensor."""
    kind = json.loads((Path(directory) / "config.json").read_text())["model_type"]
    auto = AutoModelForCausalLM if kind == "llama" else AutoModelForSeq2SeqLM
    model, report = auto.from_pretrained(directory, output_loading_info=True)
    assert not any(report.values()), report
    return model.eval()


@torch.no_grad()
def reference_logits(model, inputs, targets=None):
    """As `logits`, by transformers."""
    if targets is None:
        return [model(input_ids=torch.tensor([ids])).logits[0].numpy() for ids in inputs]
    pairs = zip(inputs, targets, strict=True)
    run = lambda ids, labels: model(input_ids=torch.tensor([ids]), labels=torch.tensor([labels]))
    return [run(ids, labels).logits[0].numpy() for ids, labels in pairs]


@torch.no_grad()
def reference_answers(model, inputs, beams, max_new_tokens, use_cache=True):
    """As `answers`, by transformers or PEFT."""
    rows = []
    config = model.config
    for ids in inputs:
        batch = torch.tensor([ids])
        out = model.generate(
            input_ids=batch,
            attention_mask=torch.ones_like(batch),
            num_beams=beams,
            do_sample=False,
            max_new_tokens=max_new_tokens,
            length_penalty=1.0,
            early_stopping=False,
            use_cache=use_cache,
        )[0].tolist()
        answer = out[1:] if config.is_encoder_decoder else out[len(ids) :]
        eos = config.eos_token_id
        rows.append(answer[: answer.index(eos)] if eos in answer else answer)
    return rows


def assert_close(found, expected, tolerance=1e-4):
    """Each array within `tolerance` of the other's, relative to the largest value."""
    for row, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        assert ours.shape == theirs.shape, f"row {row}"
        difference = numpy.abs(ours.astype(numpy.float64) - theirs).max()
        assert difference <= tolerance * numpy.abs(theirs).max(), f"row {row}: {difference} off"


def token_ids(lengths, vocabulary, seed):
    """Rows of random ids without the first three, which are special in the models at hand."""
    random = numpy.random.default_rng(seed)
    return [random.integers(3, vocabulary, length).tolist() for length in lengths]
