#!/usr/bin/env python3
"""Plants mistakes in the CUDA kernels, one at a time, and tells which of them the tests find.

    mutants.py                 all mistakes
    mutants.py --only WORD     those whose source or description has this word
    mutants.py --list          what would be planted

Each mistake is one edit of one source (mutants.json). The kernels are compiled for the emulator as a library
of their own, which the tests of promot-model load in the place of the right ones
(PROMOT_EMULATED_KERNELS). A mistake is found if a test fails, ends with a signal, or takes ten times as long
as it should. Ends with 1 if fewer than nine in ten are found.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "crates" / "promot-model" / "src"
EMULATOR = ROOT / "tests" / "cuda-emulator" / "src"
MUTANTS = Path(__file__).with_name("mutants.json")
FLAGS = [
    "-std=c++20", "-O2", "-fPIC", "-DCUDA_EMULATOR", "-ffp-contract=off", "-Wno-unknown-pragmas", "-w",
]
SHARE_TO_FIND = 0.9
SECONDS = 600


def mutated(text, mutant):
    """The source with the mistake in it."""
    old, new = mutant["old"], mutant["new"]
    parts = text.split(old)
    occurrence = mutant.get("occurrence", 1)
    if len(parts) <= occurrence:
        raise SystemExit(f"{mutant['file']}: occurrence {occurrence} of {old!r} is not there")
    if "occurrence" not in mutant and len(parts) > 2:
        raise SystemExit(f"{mutant['file']}: {old!r} is there {len(parts) - 1} times; say which")
    return old.join(parts[:occurrence]) + new + old.join(parts[occurrence:])


def compile_source(source, include, output):
    """One C++ file, or a kernel's source in an unnamed namespace, as the emulator's build does it."""
    if source.suffix == ".cu":
        wrapper = output.with_suffix(".cpp")
        wrapper.write_text(f'#include "cuda_emulator.hpp"\nnamespace {{\n#include "{source}"\n}}\n')
        source = wrapper
    command = ["g++", *FLAGS, f"-I{EMULATOR}", f"-I{include}", "-c", str(source), "-o", str(output)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{source} does not compile:\n{done.stderr}")
    return output


class Build:
    """The kernels as a library, of which single sources are replaced."""

    def __init__(self, directory):
        self.directory = directory
        self.include = SOURCES / "backend" / "gpu"
        sources = sorted(EMULATOR.glob("*.cpp")) + sorted(SOURCES.rglob("*.cu"))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = pool.map(
                lambda numbered: compile_source(
                    numbered[1], self.include, directory / f"{numbered[0]}.o"
                ),
                enumerate(sources),
            )
            self.objects = dict(zip(sources, objects))

    def library(self, replaced=None):
        """Links a library; `replaced` is a pair of a source and the object in its place."""
        objects = dict(self.objects)
        if replaced:
            objects[replaced[0]] = replaced[1]
        library = self.directory / "kernels.so"
        command = ["g++", "-shared", "-o", str(library), *map(str, objects.values()), "-lpthread"]
        subprocess.run(command, check=True)
        return library

    def mutant(self, mutant):
        """The library with a mistake in it."""
        source = SOURCES / mutant["file"]
        # Beside copies of its neighbours, which it may include.
        place = self.directory / "mutated"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(source.parent, place)
        text = mutated(source.read_text(), mutant)
        (place / source.name).write_text(text)
        # A header is seen through a source that includes it.
        target = SOURCES / mutant.get("compiled", mutant["file"])
        output = self.directory / "mutated.o"
        if target.parent == source.parent:
            compile_source(place / target.name, self.include, output)
        else:
            compile_source(target, place, output)
        return self.library((target, output))


def test_binary():
    """The unit tests of promot-model."""
    command = ["cargo", "test", "--release", "-p", "promot-model", "--lib", "--no-run"]
    done = subprocess.run(
        [*command, "--message-format", "json"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "promot_model":
            return message["executable"]
    raise SystemExit("cargo names no test program")


def run_tests(binary, library, tests):
    """(whether the tests pass, how they failed)"""
    environment = {**os.environ, "PROMOT_EMULATED_KERNELS": str(library)}
    try:
        done = subprocess.run(
            [binary, *tests], cwd=ROOT / "crates/promot-model", env=environment, timeout=SECONDS,
            capture_output=True, text=True,
        )
    except subprocess.TimeoutExpired:
        return False, "takes too long"
    if done.returncode == 0:
        if " 0 passed" in done.stdout:
            raise SystemExit(f"no test is called {tests}")
        return True, ""
    if done.returncode < 0:
        return False, f"signal {-done.returncode}"
    lines = done.stdout.splitlines()
    panics = [after for line, after in zip(lines, lines[1:]) if "panicked at" in line]
    return False, (panics or ["failed"])[0][:110]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="WORD", default="")
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    mutants = [
        mutant
        for mutant in json.loads(MUTANTS.read_text())
        if arguments.only in mutant["file"] + mutant["what"]
    ]
    for mutant in mutants:
        mutated((SOURCES / mutant["file"]).read_text(), mutant)
    if arguments.list:
        for mutant in mutants:
            print(f"{mutant['file']}: {mutant['what']}")
        return
    binary = test_binary()
    with tempfile.TemporaryDirectory() as directory:
        build = Build(Path(directory))
        everything = sorted({test for mutant in mutants for test in mutant["tests"]})
        passed, how = run_tests(binary, build.library(), everything)
        if not passed:
            raise SystemExit(f"the tests fail without a mistake: {how}")
        survivors = []
        for mutant in mutants:
            start = time.monotonic()
            passed, how = run_tests(binary, build.mutant(mutant), mutant["tests"])
            if passed:
                survivors.append(mutant)
            seconds = time.monotonic() - start
            outcome = "SURVIVES" if passed else "found"
            print(f"{outcome:9} {mutant['file']}: {mutant['what']} ({seconds:.0f} s)  {how}", flush=True)
        found = len(mutants) - len(survivors)
        print(f"{found} of {len(mutants)} mistakes found")
        for mutant in survivors:
            print(f"survives: {mutant['file']}: {mutant['what']}: {mutant.get('why', 'not explained')}")
        if found < SHARE_TO_FIND * len(mutants):
            sys.exit(1)


if __name__ == "__main__":
    main()
