#!/usr/bin/env python3
"""A tuned model with some of its tensors as they were before tuning.

Measured like any other model, it tells which part of a model an effect of tuning sits in: an effect that
goes away when the feed-forward layers are put back is theirs. Models are directories in Hugging Face's
layout with a single `model.safetensors`. Needs safetensors and torch.
"""

from __future__ import annotations

import argparse
import re
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

WEIGHTS = "model.safetensors"


def main() -> None:
    """Writes the model and says how many tensors were put back."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", type=Path, help="directory of the model before tuning")
    parser.add_argument("tuned", type=Path, help="directory of the tuned model")
    parser.add_argument("out", type=Path, help="directory to make")
    parser.add_argument("pattern", help="regular expression: names of the tensors to put back, e.g. mlp")
    args = parser.parse_args()
    before, tuned = load_file(args.before / WEIGHTS), load_file(args.tuned / WEIGHTS)
    names = [name for name in tuned if re.search(args.pattern, name)]
    if not names:
        raise SystemExit(f"{args.tuned / WEIGHTS}: no tensor's name has {args.pattern!r} in it")
    args.out.mkdir(parents=True)
    for file in args.tuned.iterdir():
        if file.is_file() and file.name != WEIGHTS:
            shutil.copy(file, args.out)
    tuned |= {name: before[name].to(tuned[name].dtype) for name in names}
    save_file(tuned, args.out / WEIGHTS, metadata={"format": "pt"})
    print(f"{args.out}: {len(names)} of {len(tuned)} tensors as before tuning")


if __name__ == "__main__":
    main()
