#!/usr/bin/env python3
"""What of a task's answers a decoder-only model still has to learn, in nats a row.

The loss of an answer that is one of a few words, such as True and False, has three parts: that it is
one of these words at all (format), that it is the right one (choice), and that nothing follows (end).
Soft prompt tuning takes up the first and the last; what it leaves is what stage 2 teaches the model.

With `--foreign` also how far another task's prompts are from such an answer: the mean logarithm of the
odds that it begins with one of the words. Above 0 the words are likelier than everything else together.

Models are directories that transformers loads, prompts are directories that PEFT loads; rows are an
evaluation's answers, `answers/TASK-tuned.jsonl` in its directory. Needs torch and transformers.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", type=Path, help="JSON Lines with `input` and `target`")
    parser.add_argument("models", type=Path, nargs="+", help="directories of models")
    parser.add_argument("--prompt", type=Path, help="directory of a soft prompt: measured with it, too")
    parser.add_argument("--foreign", type=Path, help="JSON Lines with `input`: prompts of another task")
    parser.add_argument("--limit", type=int, default=48, help="so many rows (default 48)")
    return parser.parse_args()


@torch.no_grad()
def parts(model, rows: list[tuple[list[int], int]], labels: list[int], prompt) -> list[float]:
    """Means of the three parts over rows of input ids and the right label's id."""
    sums = torch.zeros(3)
    for ids, right in rows:
        embedded = model.get_input_embeddings()(torch.tensor([[*ids, right]]))
        if prompt is not None:
            embedded = torch.cat([prompt[None], embedded], dim=1)
        logits = model(inputs_embeds=embedded, logits_to_keep=2).logits[0].log_softmax(-1)
        any_label = logits[0, labels].logsumexp(0)
        end = logits[1, model.config.eos_token_id]
        sums -= torch.stack([any_label, logits[0, right] - any_label, end])
    return (sums / len(rows)).tolist()


@torch.no_grad()
def log_odds(model, inputs: list[list[int]], labels: list[int], prompt) -> float:
    """Mean log odds that what follows an input is one of the labels."""
    total = 0.0
    for ids in inputs:
        embedded = model.get_input_embeddings()(torch.tensor([ids]))
        if prompt is not None:
            embedded = torch.cat([prompt[None], embedded], dim=1)
        logits = model(inputs_embeds=embedded, logits_to_keep=1).logits[0, -1]
        others = logits.clone()
        others[labels] = -torch.inf
        total += (logits[labels].logsumexp(0) - others.logsumexp(0)).item()
    return total / len(inputs)


def read(path: Path, limit: int) -> list[dict]:
    """The first rows of JSON Lines."""
    with path.open() as file:
        return [json.loads(line) for _, line in zip(range(limit), file)]


def main() -> None:
    """Prints a line for each model, with its prompt and without."""
    args = arguments()
    rows = read(args.rows, args.limit)
    foreign = read(args.foreign, args.limit) if args.foreign else []
    prompt = None
    if args.prompt is not None:
        prompt = load_file(args.prompt / "adapter_model.safetensors")["prompt_embeddings"].float()
    columns = ["format", "choice", "end"] + (["log odds, foreign"] if foreign else [])
    print(f"| model | | {' | '.join(columns)} |\n|---|---|{'---:|' * len(columns)}")
    for directory in args.models:
        tokenizer = AutoTokenizer.from_pretrained(directory)
        model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()

        def ids(text: str) -> list[int]:
            return tokenizer(text, add_special_tokens=False).input_ids

        label_ids = {target: ids(f" {target}")[0] for target in sorted({row["target"] for row in rows})}
        if len(set(label_ids.values())) < len(label_ids):
            raise SystemExit(f"{args.rows}: targets that begin with the same token cannot be told apart")
        encoded = [(ids(row["input"]), label_ids[row["target"]]) for row in rows]
        for name, used in [("with its prompt", prompt), ("without", None)]:
            if name == "without" or prompt is not None:
                labels = list(label_ids.values())
                found = parts(model, encoded, labels, used)
                if foreign:
                    found.append(log_odds(model, [ids(row["input"]) for row in foreign], labels, used))
                values = " | ".join(f"{value:.4f}" for value in found)
                print(f"| {directory} | {name} | {values} |", flush=True)


if __name__ == "__main__":
    main()
