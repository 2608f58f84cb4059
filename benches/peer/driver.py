#!/usr/bin/env python3
"""Compares promot-model with PyTorch and Hugging Face transformers, on the CPU or a GPU.

Both sides start from the same random weights and work on the same batches: rows of RTE, tokenized
with T5's tokenizer; or, with --checkpoint, from the weights of a Llama and with its tokenizer. Ours
goes without padding, theirs with a mask, as its users do. Every case runs in fresh processes, and the
two take turns step by step, so that whatever else the machine does disturbs both.

cases:
  finetune     one training step of the model
  model_tune   the same, with a frozen soft prompt of 100 rows before every input
  prompt_tune  one training step of the soft prompt; the model is frozen
  greedy       32 tokens for every row of a batch
  beam4        the same with beam search of width 4

Losses of the first steps have to agree, else the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import report
from disturbance import TOLERABLE
from drift import NUDGED, ROUNDED, between_sides, noise, sentence
from measure import compare_answers, compare_losses, in_turns, measure
from preparation import ROOT, build_worker, check_python, end_token, processor, read_rows, say
from shapes import SIZES, LlamaShape
from side import Side, WorkerFailed
from workload import (
    LLAMA_RATES,
    NEW_TOKENS,
    PROMPT_ROWS,
    T5_RATES,
    make_batches,
    nudged,
    random_prompt,
    write_workload,
)

PEER = Path(__file__).resolve().parent
TRAINING = ["finetune", "model_tune", "prompt_tune"]
BEAMS = {"greedy": 1, "beam4": 4}
EXAMPLES = """examples:
  driver.py --size mini --steps 2                           does everything work?
  driver.py --size small --precision bf16 --sorted          the best case for padding
  driver.py --size small --cases prompt_tune --out here.json
  driver.py --size mini --follow 50                         do both sides train alike?
  driver.py --checkpoint models/smollm2-135m --batch 16     a decoder-only model
  driver.py --device cuda --size base                       on an NVIDIA GPU
"""


def arguments() -> argparse.Namespace:
    """The command line."""
    shared = Path(os.environ.get("PROMOT_SHARED", ROOT.parent / "shared"))
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--size", choices=SIZES, default="small", help="of the model (default: small)")
    add("--checkpoint", type=Path, metavar="DIR",
        help="compare on this Llama, with the tokenizer in its directory, instead of --size")
    add("--cases", nargs="+", choices=[*TRAINING, *BEAMS], metavar="CASE", help="default: all")
    add("--precision", nargs="+", choices=["f32", "bf16"], default=["f32", "bf16"],
        help="f32, bf16 (autocast on the other side) or, by default, both")
    add("--sorted", action="store_true",
        help="batches of inputs of about the same length, so that little is padded")
    add("--steps", type=int, default=5, help="measured steps (default: 5)")
    add("--warmup", type=int, default=1, help="steps before them (default: 1)")
    add("--batch", type=int, default=64, help="rows in a batch (default: 64)")
    add("--device", choices=["cpu", "cuda"], default="cpu", help="of both sides (default: cpu)")
    add("--threads", type=int, default=os.cpu_count(), help="of each side (default: all)")
    add("--alone", action="store_true",
        help="measure only this project: for sizes that the other side has no memory for")
    add("--follow", type=int, metavar="N",
        help="measure nothing; train N steps on both sides and print how far losses drift apart, "
        "and what drift is noise (finetune, unless --cases says otherwise)")
    add("--data", type=Path, default=shared / "data",
        help="the folder with rte/train.jsonl (default: $PROMOT_SHARED/data, else shared/data "
        "beside the repository)")
    add("--tokenizer", type=Path, default=shared / "tokenizers" / "t5" / "tokenizer.json",
        help="T5's tokenizer.json (default: in $PROMOT_SHARED/tokenizers/t5)")
    add("--python", default=sys.executable,
        help="a Python with torch and transformers (default: this one)")
    add("--worker", type=Path, help="a built peer_worker (default: cargo builds it)")
    add("--work", type=Path, metavar="DIR",
        help="keep checkpoint, batches and logs here (default: a temporary folder)")
    add("--seed", type=int, default=0, help="of the random weights (default: 0)")
    add("--out", type=Path, metavar="FILE", help="write all results as JSON")
    args = parser.parse_args()
    if args.steps < 1 or args.warmup < 0 or args.batch < 1:
        parser.error("--steps and --batch are at least 1, --warmup at least 0")
    args.cases = args.cases or (["finetune"] if args.follow else [*TRAINING, *BEAMS])
    if args.alone and args.follow:
        parser.error("--follow compares with the other side, which --alone leaves out")
    if args.follow and not set(args.cases) <= set(TRAINING):
        parser.error("--follow trains: " + ", ".join(TRAINING))
    return args


class Comparison:
    """Everything that is made once for all cases."""

    def __init__(self, args: argparse.Namespace, work: Path):
        self.args = args
        self.work = work
        self.shape = LlamaShape.of(args.checkpoint) if args.checkpoint else SIZES[args.size]
        check_python(args.python)
        rows = self.rows()
        self.worker = args.worker or build_worker()
        self.environment = os.environ | {
            "OMP_NUM_THREADS": str(args.threads),
            "RAYON_NUM_THREADS": str(args.threads),
            "HF_HUB_OFFLINE": "1",
        }
        self.checkpoint = args.checkpoint or work / f"t5-{args.size}-seed{args.seed}"
        if not (self.checkpoint / "config.json").exists():
            say(f"making random weights in {self.checkpoint}")
            export = ["--export", self.checkpoint, "--size", args.size, "--seed", args.seed]
            self.call([args.python, PEER / "torch_worker.py", *export])
        self.batches = make_batches(rows, args.batch, args.sorted)
        self.workload, self.nudged = work / "batches.json", work / "nudged.json"
        rates = LLAMA_RATES if args.checkpoint else T5_RATES
        prompt = random_prompt(self.shape.d_model, args.seed)
        write_workload(self.workload, self.batches, prompt, rates)
        if args.follow:
            write_workload(self.nudged, self.batches, nudged(prompt, args.seed), rates)

    def rows(self) -> list:
        """Tokenized rows, for an encoder-decoder or a decoder-only model."""
        checkpoint = self.args.checkpoint
        if checkpoint is None:
            return read_rows(self.args.data, self.args.tokenizer)
        return read_rows(self.args.data, checkpoint / "tokenizer.json", end_token(checkpoint))

    def call(self, command: list) -> str:
        """Runs a command that has to succeed; returns what it prints."""
        command = [str(part) for part in command]
        done = subprocess.run(command, env=self.environment, text=True, capture_output=True)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
        return done.stdout

    def ceiling(self, precision: str) -> float:
        """The rate of large matrix products in GFLOP/s."""
        settings = ["--precision", precision, *self.machine()]
        return float(self.call([self.worker, "ceiling", *settings]))

    def machine(self) -> list:
        """What computes."""
        return ["--device", self.args.device, "--threads", self.args.threads]

    def sides(self, case: str, precision: str, workload: Path | None = None) -> list[Side]:
        """Fresh workers for a case: ours and theirs."""
        settings = ["--checkpoint", self.checkpoint, "--batches", workload or self.workload]
        settings += ["--case", case, "--precision", precision, *self.machine()]
        programs = {
            "ours": [self.worker, "work"],
            "pytorch": [self.args.python, PEER / "torch_worker.py"],
        }
        if self.args.alone:
            del programs["pytorch"]
        return [
            Side(
                name,
                [str(part) for part in [*program, *settings]],
                self.environment,
                self.work / f"{name}-{case}-{precision}.log",
            )
            for name, program in programs.items()
        ]

    def measure(self, case: str, precision: str) -> dict:
        """Measures one case."""
        result = {"case": case, "precision": precision}
        kind = "trained" if case in TRAINING else "decoded"
        sides = self.sides(case, precision)
        try:
            measured, answers, others = measure(sides, kind, self.args.warmup, self.args.steps)
        except WorkerFailed as failure:
            say(str(failure))
            return result | {"failed": str(failure)}
        finally:
            for side in sides:
                side.kill()
        tokens, needed = self.costs(case)
        result["others_busy"] = others
        for side, numbers in zip(sides, measured):
            result[side.name] = numbers.to_json(tokens, needed)
        if self.args.alone:
            return result
        agreement = (
            compare_losses(answers, precision)
            if case in TRAINING
            else compare_answers(answers, NEW_TOKENS)
        )
        ratio = result["pytorch"]["median_seconds"] / result["ours"]["median_seconds"]
        return result | {"ratio": ratio, "agreement": agreement}

    def costs(self, case: str) -> tuple[list[int], list[float]]:
        """Encoder tokens and operations of every measured step."""
        tokens, needed = [], []
        for index in range(self.args.warmup, self.args.warmup + self.args.steps):
            batch = self.batches[index % len(self.batches)]
            prompt = PROMPT_ROWS if case in ("model_tune", "prompt_tune") else 0
            sources = [len(row) + prompt for row in batch["inputs"]]
            targets = [len(row) for row in batch["targets"]]
            if case in BEAMS:
                targets = [NEW_TOKENS] * len(sources)
            tokens.append(sum(sources))
            beams = BEAMS.get(case, 1)
            needed.append(self.shape.operations(case, sources, targets, beams, prompt))
        return tokens, needed

    def follow(
        self, case: str, precision: str, steps: int, workload: Path | None = None
    ) -> list[list[float]]:
        """Trains both sides alike and returns the losses of both in each step."""
        sides = self.sides(case, precision, workload)
        try:
            for side in sides:
                side.wait_until_ready()
            losses = []
            for answers in in_turns(sides, "trained", steps, pause=0):
                losses.append([answer["loss"] for answer in answers])
                if len(losses) % 10 == 0:
                    ours, theirs = losses[-1]
                    say(f"  step {len(losses)}: {ours:.5f} and {theirs:.5f}")
            for side in sides:
                side.quit()
        except WorkerFailed as failure:
            raise SystemExit(str(failure)) from None
        finally:
            for side in sides:
                side.kill()
        return losses

    def follow_all(self, pairs: list[tuple[str, str]], steps: int):
        """Yields how far losses drift apart, for cases and precisions."""
        exact = {}
        for case, precision in pairs:
            say(f"following {case} in {precision}")
            losses = self.follow(case, precision, steps)
            followed = {"case": case, "precision": precision, "losses": losses}
            followed |= between_sides(losses)
            if precision == "f32":
                exact[case] = losses
            elif case in exact:
                followed["noise"] = noise(ROUNDED, losses, exact[case])
            if case == "prompt_tune" and precision == "f32":
                say(f"following {case} from a prompt with other last bits")
                others = self.follow(case, precision, steps, self.nudged)
                followed["noise"] = noise(NUDGED, losses, others)
            yield followed


def save(path: Path | None, results: dict) -> None:
    """Writes what there is so far: a long comparison may be interrupted."""
    if path:
        path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def compare(args: argparse.Namespace, work: Path) -> bool:
    """Does what was asked for; returns whether both sides agree."""
    comparison = Comparison(args, work)
    model = args.checkpoint.resolve().name if args.checkpoint else f"T5 v1.1 {args.size}"
    results = {
        "model": model,
        "batch": args.batch,
        "order": "sorted by length" if args.sorted else "in the file's order",
        "steps": args.steps,
        "machine": {"processor": processor(args.device), "threads": args.threads},
    }
    pairs = [(case, precision) for precision in args.precision for case in args.cases]
    if args.follow:
        results["followed"] = []
        for followed in comparison.follow_all(pairs, args.follow):
            results["followed"].append(followed)
            save(args.out, results)
            print(sentence(followed))
        return True
    ceilings = {precision: comparison.ceiling(precision) for precision in args.precision}
    results["machine"]["ceiling_gflops"] = ceilings
    results["cases"] = []
    for case, precision in pairs:
        say(f"measuring {case} in {precision}")
        measured = comparison.measure(case, precision)
        results["cases"].append(measured)
        save(args.out, results)
        if "ratio" in measured:
            say(f"  {measured['ratio']:.2f} times as fast")
        if (measured.get("others_busy") or 0) > TOLERABLE:
            say("  others are busy on this machine: do not quote this ratio, it flatters us")
    print(report.heading(results))
    print()
    print(report.table(results))
    return all(
        "ours" in case if args.alone else case.get("agreement", {}).get("agree", False)
        for case in results["cases"]
    )


def main() -> None:
    args = arguments()
    if args.work:
        args.work.mkdir(parents=True, exist_ok=True)
        agree = compare(args, args.work.resolve())
    else:
        with tempfile.TemporaryDirectory(prefix="promot-peer-") as work:
            agree = compare(args, Path(work))
    sys.exit(0 if agree else 1)


if __name__ == "__main__":
    main()
