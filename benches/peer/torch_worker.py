#!/usr/bin/env python3
"""The PyTorch side of the comparison: Hugging Face's T5 or Llama as users would run it.

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

TRAINING = ["finetune", "model_tune", "prompt_tune"]
BEAMS = {"greedy": 1, "beam4": 4}
IGNORED = -100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--export", type=Path, metavar="DIR", help="write random weights and end")
    parser.add_argument("--size", choices=SIZES, default="mini", help="of the exported model")
    parser.add_argument("--seed", type=int, default=0, help="of the exported weights")
    parser.add_argument("--checkpoint", type=Path, help="the weights to work with")
    parser.add_argument("--batches", type=Path, help="the file of batches")
    parser.add_argument("--case", choices=[*TRAINING, *BEAMS])
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
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
    model = load(args.checkpoint).to(args.device)
    workload = json.loads(args.batches.read_text(encoding="utf-8"))
    batches = workload["batches"]
    if args.case in BEAMS:
        runner = Decoding(model, BEAMS[args.case], workload["new_tokens"], args.precision)
    else:
        kind = Training if model.config.is_encoder_decoder else CausalTraining
        runner = kind(model, args.case, workload, args.precision)

    def send(answer: dict) -> None:
        print(json.dumps(answer), file=channel, flush=True)

    about = f"torch {torch.__version__}, transformers {transformers.__version__}"
    send({"ready": {"about": about}})
    for line in sys.stdin:
        request = json.loads(line)
        if request == "quit":
            send({"bye": {"peak_bytes": peak_bytes(args.device)}})
            return
        # Padding is not part of the measured time; computing on it is.
        batch = runner.padded(batches[request["step"] % len(batches)])
        wait_for(args.device)
        send(runner.run(batch))


def load(checkpoint: Path):
    """The model, which is what the configuration says."""
    import torch
    import transformers

    kind = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))["model_type"]
    if kind == "llama":
        return transformers.LlamaForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    model = transformers.T5ForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32)
    if model.lm_head.weight.data_ptr() == model.shared.weight.data_ptr():
        raise SystemExit("transformers tied the head to the embedding table on loading")
    if getattr(model.config, "scale_decoder_outputs", False):
        raise SystemExit("transformers scales the logits of this model")
    return model


def rectangle(rows: list[list[int]], filler: int, left: bool = False):
    """Rows of one length, `(rows, length)`, filled up at their ends or, if `left`, beginnings."""
    import torch

    length = max(map(len, rows))
    fillers = [[filler] * (length - len(row)) for row in rows]
    pairs = zip(fillers, rows) if left else zip(rows, fillers)
    return torch.tensor([first + second for first, second in pairs])


def ones(rows: list[list[int]]) -> list[list[int]]:
    """What masks are made of."""
    return [[1] * len(row) for row in rows]


def autocast(precision: str, device: str):
    """What users of bf16 put around a forward pass."""
    import torch

    return torch.autocast(device, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()


def wait_for(device: str) -> None:
    """Waits until all that was asked of the device is done."""
    import torch

    if device == "cuda":
        torch.cuda.synchronize()


class Training:
    """Training steps of the model or of a soft prompt."""

    def __init__(self, model, case: str, workload: dict, precision: str):
        import torch
        from transformers.optimization import Adafactor

        self.model = model.train()
        self.precision = precision
        self.prompt = None
        if case != "finetune":
            prompt = torch.tensor(workload["prompt"], device=model.device)
            self.prompt = torch.nn.Parameter(prompt)
            self.prompt.requires_grad_(case == "prompt_tune")
        # The head of a tied model is its embedding table, and comes once.
        tuned = list(model.parameters())
        if case == "prompt_tune":
            model.requires_grad_(False)
            tuned = [self.prompt]
        rate = workload["learning_rates"]["prompt" if case == "prompt_tune" else "model"]
        self.optimizer = Adafactor(tuned, lr=rate, scale_parameter=False, relative_step=False)

    @staticmethod
    def padded(batch: dict) -> tuple:
        """Inputs, their mask and labels, `(rows, length)` each."""
        inputs = batch["inputs"]
        labels = rectangle(batch["targets"], IGNORED)
        return rectangle(inputs, 0), rectangle(ones(inputs), 0), labels

    def run(self, batch: tuple) -> dict:
        """One step: loss, gradients, update."""
        started = time.perf_counter()
        loss = self.loss(*(tensor.to(self.model.device) for tensor in batch))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        # Waits for the update, too, which was asked for before.
        loss = loss.item()
        return {"trained": {"seconds": time.perf_counter() - started, "loss": loss}}

    def loss(self, inputs, mask, labels):
        """The mean label-smoothed cross-entropy over target tokens."""
        import torch

        # Given labels, the model would compute a loss of its own, without smoothing.
        decoder_inputs = self.model.prepare_decoder_input_ids_from_labels(labels)
        with autocast(self.precision, self.model.device.type):
            logits = self.model(
                **self.encoder_inputs(inputs, mask),
                decoder_input_ids=decoder_inputs,
                use_cache=False,
            ).logits
        return smoothed_cross_entropy(logits, labels)

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


class CausalTraining(Training):
    """The same with a decoder-only model: targets follow their inputs."""

    @staticmethod
    def padded(batch: dict) -> tuple:
        """Inputs with their targets, the mask, and labels that leave inputs out."""
        pairs = list(zip(batch["inputs"], batch["targets"]))
        rows = [source + target for source, target in pairs]
        labels = [[IGNORED] * len(source) + target for source, target in pairs]
        return rectangle(rows, 0), rectangle(ones(rows), 0), rectangle(labels, IGNORED)

    def loss(self, inputs, mask, labels):
        """The mean label-smoothed cross-entropy over target tokens."""
        with autocast(self.precision, self.model.device.type):
            # Under the encoder's name: prompt rows come before inputs in the same way.
            logits = self.model(**self.encoder_inputs(inputs, mask), use_cache=False).logits
        # Each position predicts the next one; those of the soft prompt have no labels.
        logits = logits[:, -labels.shape[1] : -1]
        return smoothed_cross_entropy(logits, labels[:, 1:])


def smoothed_cross_entropy(logits, labels):
    """The mean over labels that count."""
    import torch

    return torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1),
        labels.flatten(),
        ignore_index=IGNORED,
        label_smoothing=0.1,
    )


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

    def padded(self, batch: dict) -> tuple:
        """Inputs and their mask; what a decoder-only model continues is at the right."""
        inputs, left = batch["inputs"], not self.model.config.is_encoder_decoder
        return rectangle(inputs, 0, left), rectangle(ones(inputs), 0, left)

    def run(self, batch: tuple) -> dict:
        """Answers of a batch, without the start token or the inputs."""
        import torch

        inputs, mask = batch
        given = 1 if self.model.config.is_encoder_decoder else inputs.shape[1]
        started = time.perf_counter()
        device = self.model.device
        inputs, mask = inputs.to(device), mask.to(device)
        with torch.inference_mode(), autocast(self.precision, device.type):
            made = self.model.generate(input_ids=inputs, attention_mask=mask, **self.options)
        answers = made[:, given:].tolist()
        seconds = time.perf_counter() - started
        return {"decoded": {"seconds": seconds, "answers": answers}}


def peak_bytes(device: str) -> int | None:
    """The most memory that was ever resident, where the system tells; of a GPU, the most that was ever
    held for tensors, free or not."""
    import torch

    if device == "cuda":
        return torch.cuda.max_memory_reserved()
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            peaks = [line.split()[1] for line in status if line.startswith("VmHWM:")]
        return int(peaks[0]) * 1024
    except (OSError, IndexError):
        return None


if __name__ == "__main__":
    main()
