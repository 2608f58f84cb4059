#!/usr/bin/env python3
"""The PyTorch side of the comparison: Hugging Face's T5 as its users would run it on the CPU.

Started by driver.py: with --export to write a checkpoint of random weights, else to train or decode
batch after batch, as JSON lines on standard input ask for.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from contextlib import nullcontext
from pathlib import Path

from shapes import SIZES

LEARNING_RATES = {"finetune": 1e-3, "model_tune": 1e-3, "prompt_tune": 0.2}
BEAMS = {"greedy": 1, "beam4": 4}
IGNORED = -100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--export", type=Path, metavar="DIR", help="write random weights and end")
    parser.add_argument("--size", choices=SIZES, default="mini", help="of the exported model")
    parser.add_argument("--seed", type=int, default=0, help="of the exported weights")
    parser.add_argument("--checkpoint", type=Path, help="the weights to work with")
    parser.add_argument("--batches", type=Path, help="the file of batches")
    parser.add_argument("--case", choices=[*LEARNING_RATES, *BEAMS])
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()

    # Libraries may print; the driver shall hear nothing but answers.
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    # Read by OpenMP when torch loads it.
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    if args.export:
        export(args.export, args.size, args.seed)
    else:
        work(args, channel)


def export(directory: Path, size: str, seed: int) -> None:
    """Writes a T5 v1.1 with random weights and a head of its own in Hugging Face's layout."""
    import torch
    from safetensors.torch import save_file
    from transformers import T5Config, T5ForConditionalGeneration

    shape = SIZES[size]
    torch.manual_seed(seed)
    config = T5Config(
        vocab_size=shape.vocab_size,
        d_model=shape.d_model,
        d_kv=shape.d_kv,
        d_ff=shape.d_ff,
        num_layers=shape.layers,
        num_decoder_layers=shape.layers,
        num_heads=shape.heads,
        feed_forward_proj="gated-gelu",
        dropout_rate=0.0,
        tie_word_embeddings=False,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=1,
    )
    model = T5ForConditionalGeneration(config)
    tensors = {
        name: tensor.clone().contiguous()
        for name, tensor in model.state_dict().items()
        if not name.endswith("embed_tokens.weight")
    }
    # transformers 5 ties the head when it makes a model, whatever the configuration says. Of this
    # size, its first losses are near the logarithm of the vocabulary's size.
    head = torch.randn(shape.vocab_size, shape.d_model) * shape.d_model**-0.5
    tensors["lm_head.weight"] = head
    directory.mkdir(parents=True, exist_ok=True)
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    keys = config.to_dict()
    keys.pop("scale_decoder_outputs", None)
    keys.update(tie_word_embeddings=False, architectures=["T5ForConditionalGeneration"])
    (directory / "config.json").write_text(json.dumps(keys, indent=1) + "\n", encoding="utf-8")


def work(args: argparse.Namespace, channel) -> None:
    """Answers requests until there are no more."""
    import torch
    import transformers

    torch.set_num_threads(args.threads)
    model = transformers.T5ForConditionalGeneration.from_pretrained(
        args.checkpoint, dtype=torch.float32
    )
    if model.lm_head.weight.data_ptr() == model.shared.weight.data_ptr():
        raise SystemExit("transformers tied the head to the embedding table on loading")
    if getattr(model.config, "scale_decoder_outputs", False):
        raise SystemExit("transformers scales the logits of this model")
    workload = json.loads(args.batches.read_text(encoding="utf-8"))
    batches = workload["batches"]
    if args.case in BEAMS:
        runner = Decoding(model, BEAMS[args.case], workload["new_tokens"], args.precision)
    else:
        runner = Training(model, args.case, workload["prompt"], args.precision)

    def send(answer: dict) -> None:
        print(json.dumps(answer), file=channel, flush=True)

    about = f"torch {torch.__version__}, transformers {transformers.__version__}"
    send({"ready": {"about": about}})
    for line in sys.stdin:
        request = json.loads(line)
        if request == "quit":
            send({"bye": {"peak_bytes": peak_bytes()}})
            return
        # Padding is not part of the measured time; computing on it is.
        batch = padded(batches[request["step"] % len(batches)])
        send(runner.run(batch))


def padded(batch: dict) -> tuple:
    """Inputs, their mask and labels, `(rows, length)` each."""
    import torch

    def rectangle(rows: list[list[int]], filler: int):
        length = max(map(len, rows))
        return torch.tensor([row + [filler] * (length - len(row)) for row in rows])

    inputs = rectangle(batch["inputs"], 0)
    mask = rectangle([[1] * len(row) for row in batch["inputs"]], 0)
    return inputs, mask, rectangle(batch["targets"], IGNORED)


def autocast(precision: str):
    """What users of bf16 put around a forward pass."""
    import torch

    return torch.autocast("cpu", dtype=torch.bfloat16) if precision == "bf16" else nullcontext()


class Training:
    """Training steps of the model or of a soft prompt."""

    def __init__(self, model, case: str, prompt: list[list[float]], precision: str):
        import torch
        from transformers.optimization import Adafactor

        self.model = model.train()
        self.precision = precision
        self.prompt = None
        if case != "finetune":
            self.prompt = torch.nn.Parameter(torch.tensor(prompt))
            self.prompt.requires_grad_(case == "prompt_tune")
        tuned = list(model.parameters())
        if case == "prompt_tune":
            model.requires_grad_(False)
            tuned = [self.prompt]
        rate = LEARNING_RATES[case]
        self.optimizer = Adafactor(tuned, lr=rate, scale_parameter=False, relative_step=False)

    def run(self, batch: tuple) -> dict:
        """One step: loss, gradients, update."""
        started = time.perf_counter()
        loss = self.loss(*batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        loss = loss.item()
        return {"trained": {"seconds": time.perf_counter() - started, "loss": loss}}

    def loss(self, inputs, mask, labels):
        """The mean label-smoothed cross-entropy over target tokens."""
        import torch

        # Given labels, the model would compute a loss of its own, without smoothing.
        decoder_inputs = self.model.prepare_decoder_input_ids_from_labels(labels)
        with autocast(self.precision):
            logits = self.model(
                **self.encoder_inputs(inputs, mask),
                decoder_input_ids=decoder_inputs,
                use_cache=False,
            ).logits
        return torch.nn.functional.cross_entropy(
            logits.float().flatten(0, 1),
            labels.flatten(),
            ignore_index=IGNORED,
            label_smoothing=0.1,
        )

    def encoder_inputs(self, inputs, mask) -> dict:
        """Token ids, or embeddings after the soft prompt's rows."""
        import torch

        if self.prompt is None:
            return {"input_ids": inputs, "attention_mask": mask}
        rows = len(inputs)
        prompt = self.prompt.expand(rows, -1, -1)
        embedded = torch.cat([prompt, self.model.get_input_embeddings()(inputs)], dim=1)
        seen = mask.new_ones(rows, len(self.prompt))
        return {"inputs_embeds": embedded, "attention_mask": torch.cat([seen, mask], dim=1)}


class Decoding:
    """Decoding of a fixed number of tokens."""

    def __init__(self, model, beams: int, new_tokens: int, precision: str):
        self.model = model.eval()
        self.precision = precision
        self.options = {
            "num_beams": beams,
            "min_new_tokens": new_tokens,
            "max_new_tokens": new_tokens,
            "do_sample": False,
        }

    def run(self, batch: tuple) -> dict:
        """Answers of a batch, without the start token."""
        import torch

        inputs, mask, _ = batch
        started = time.perf_counter()
        with torch.inference_mode(), autocast(self.precision):
            made = self.model.generate(input_ids=inputs, attention_mask=mask, **self.options)
        seconds = time.perf_counter() - started
        return {"decoded": {"seconds": seconds, "answers": made[:, 1:].tolist()}}


def peak_bytes() -> int | None:
    """The most memory that was ever resident, where the system tells."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            peaks = [line.split()[1] for line in status if line.startswith("VmHWM:")]
        return int(peaks[0]) * 1024
    except (OSError, IndexError):
        return None


if __name__ == "__main__":
    main()
