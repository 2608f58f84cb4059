"""What has to be there before anything runs: libraries, rows, and our side, built."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

from workload import tokenized_rows

ROOT = Path(__file__).resolve().parent.parent.parent


def say(text: str) -> None:
    """Progress goes to standard error, results to standard output."""
    print(text, file=sys.stderr, flush=True)


def check_python(python: str) -> None:
    """Ends with a helpful message if the other side cannot run."""
    imports = "import torch, transformers, safetensors"
    done = subprocess.run([python, "-c", imports], capture_output=True, text=True)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["it does not start"])[-1]
        raise SystemExit(
            f"{python} cannot run the PyTorch side: {reason}\n"
            f"  {python} -m pip install torch transformers safetensors tokenizers\n"
            "or name another one with --python"
        )


def end_token(checkpoint: Path) -> int:
    """The id that ends an answer of the model in a directory."""
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    eos = config["eos_token_id"]
    return eos[0] if isinstance(eos, list) else eos


def read_rows(data: Path, tokenizer: Path, eos: int | None = None) -> list:
    """Tokenized rows; ends with a helpful message if something is missing."""
    try:
        return tokenized_rows(data, tokenizer, eos)
    except ImportError:
        raise SystemExit(
            f"this Python lacks tokenizers: {sys.executable} -m pip install tokenizers"
        ) from None
    except OSError as error:
        raise SystemExit(f"{error}\n--data names the folder with rte/train.jsonl") from None
    except Exception as error:  # what tokenizers raises for a missing file is a plain Exception
        raise SystemExit(f"{tokenizer}: {error}\n--tokenizer names a tokenizer.json") from None


def build_worker() -> Path:
    """Builds our side and returns where it is."""
    say("building peer_worker")
    command = ["cargo", "build", "--release", "--package", "promot-benches", "--bin", "peer_worker"]
    command += ["--message-format", "json-render-diagnostics"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit("cargo build failed")
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    built = [message["executable"] for message in messages if message.get("executable")]
    return Path(built[-1])


def processor(device: str) -> str:
    """The name of the processor that computes."""
    if device == "cuda":
        import torch

        return torch.cuda.get_device_name()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
