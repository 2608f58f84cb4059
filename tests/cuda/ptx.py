#!/usr/bin/env python3
"""Compiles the CUDA kernels (every .cu file of promot-model) with NVRTC; needs no GPU.

    ptx.py check    is the PTX beside each source what NVRTC makes of it, and do registers suffice?
    ptx.py write    write that PTX

`.ci/cuda` runs `check` with the compiler that tests/cuda/requirements.txt names.
"""

import argparse
import ctypes
import os
import re
import site
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "crates" / "promot-model" / "src"
INCLUDES = SOURCES / "backend" / "gpu"

# PTX is made for the oldest GPUs that the kernels run on; the driver compiles it for the GPU at hand.
PTX_TARGET = "compute_80"
# Machine code is made for these to see what the kernels need; it is not kept.
MACHINES = ["sm_80", "sm_90"]


class CompilerError(Exception):
    """What NVRTC, or looking for it, ended with."""


@dataclass
class Compiled:
    """One source, compiled."""

    ptx: bytes
    log: str


@dataclass
class Needs:
    """What one kernel needs on one machine."""

    kernel: str
    registers: int
    shared: int
    stack: int
    spilled: int


class Nvrtc:
    """The compiler, behind its C interface (nvrtc.h)."""

    def __init__(self, path):
        try:
            self.library = ctypes.CDLL(str(path))
        except OSError as error:
            raise CompilerError(f"cannot load NVRTC: {error}") from error
        self.library.nvrtcGetErrorString.restype = ctypes.c_char_p

    def version(self):
        major, minor = ctypes.c_int(), ctypes.c_int()
        self.call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        return f"{major.value}.{minor.value}"

    def compile(self, source, options):
        """Compiles a file. Its name without directories is all that the compiler hears of where it is,
        so that the same source gives the same bytes everywhere."""
        program = ctypes.c_void_p()
        text = source.read_bytes()
        name = source.name.encode()
        self.call("nvrtcCreateProgram", ctypes.byref(program), text, name, 0, None, None)
        try:
            arguments = [option.encode() for option in options]
            array = (ctypes.c_char_p * len(arguments))(*arguments)
            status = self.library.nvrtcCompileProgram(program, len(arguments), array)
            log = self.get("ProgramLog", program).decode(errors="replace")
            if status != 0:
                raise CompilerError(f"{source.relative_to(ROOT)} does not compile:\n{log}")
            return Compiled(self.get("PTX", program), log)
        finally:
            self.call("nvrtcDestroyProgram", ctypes.byref(program))

    def get(self, what, program):
        """A text of the program: without the zero byte that ends it in C."""
        size = ctypes.c_size_t()
        self.call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(max(size.value, 1))
        self.call(f"nvrtcGet{what}", program, buffer)
        return buffer.raw[: size.value].rstrip(b"\0")

    def call(self, function, *arguments):
        status = getattr(self.library, function)(*arguments)
        if status != 0:
            message = self.library.nvrtcGetErrorString(status).decode()
            raise CompilerError(f"{function}: {message}")


def find_nvrtc():
    """The library of the wheel in this Python's environment."""
    directories = [*site.getsitepackages(), site.getusersitepackages()]
    for directory in directories:
        for path in sorted(Path(directory, "nvidia", "cuda_nvrtc", "lib").glob("libnvrtc.so.*")):
            return path
    raise CompilerError(
        "NVRTC is not installed for this Python: "
        "pip install -r tests/cuda/requirements.txt, or run .ci/cuda"
    )


def options(source, architecture):
    return [
        f"--gpu-architecture={architecture}",
        "-std=c++17",
        # NVRTC is told no directory of the source, so it does not look there by itself.
        f"--include-path={source.parent}",
        f"--include-path={INCLUDES}",
    ]


def ptx_of(nvrtc, source):
    return nvrtc.compile(source, options(source, PTX_TARGET)).ptx


def needs_of(nvrtc, source, machine):
    """What the assembler says of each kernel of a source."""
    log = nvrtc.compile(source, [*options(source, machine), "--ptxas-options=-v"]).log
    needs = []
    for part in re.split(r"Compiling entry function ", log)[1:]:
        name = re.match(r"'(\w+)'", part).group(1)

        def number(pattern, required=False):
            found = re.search(pattern, part)
            if found is None and required:
                raise CompilerError(f"{name} for {machine}: the assembler's log is not understood:\n{log}")
            return int(found.group(1)) if found else 0

        needs.append(
            Needs(
                kernel=name,
                registers=number(r"Used (\d+) registers", required=True),
                shared=number(r"(\d+) bytes smem"),
                stack=number(r"(\d+) bytes stack frame", required=True),
                spilled=number(r"(\d+) bytes spill stores", required=True)
                + number(r"(\d+) bytes spill loads", required=True),
            )
        )
    if not needs:
        raise CompilerError(f"{source.relative_to(ROOT)} has no kernels for {machine}:\n{log}")
    return sorted(needs, key=lambda kernel: kernel.kernel)


def write(nvrtc, sources):
    for source in sources:
        path, ptx = source.with_suffix(".ptx"), ptx_of(nvrtc, source)
        if path.exists() and path.read_bytes() == ptx:
            continue
        # Whole or not at all: an interrupted write leaves no half file behind.
        partial = path.with_suffix(".ptx.partial")
        partial.write_bytes(ptx)
        os.replace(partial, path)
        print(f"wrote {path.relative_to(ROOT)}")
    return []


def check(nvrtc, sources):
    problems, kernels = [], {}
    print(f"{'kernel':<36} {'machine':<8} {'registers':>9} {'shared':>7} {'stack':>6} {'spilled':>8}")
    for source in sources:
        name = source.relative_to(ROOT)
        path = source.with_suffix(".ptx")
        if not path.exists() or path.read_bytes() != ptx_of(nvrtc, source):
            problems.append(
                f"{path.relative_to(ROOT)} is not what NVRTC {nvrtc.version()} makes of {name}: "
                "run `.ci/cuda write`"
            )
        for machine in MACHINES:
            for needs in needs_of(nvrtc, source, machine):
                print(
                    f"{needs.kernel:<36} {machine:<8} {needs.registers:>9} {needs.shared:>7} "
                    f"{needs.stack:>6} {needs.spilled:>8}"
                )
                if needs.spilled > 0:
                    problems.append(f"{name}: {needs.kernel} spills registers on {machine}")
                if needs.shared > 0:
                    problems.append(f"{name}: {needs.kernel} has static shared memory; use SHARED")
                other = kernels.setdefault(needs.kernel, name)
                if other != name:
                    problems.append(f"{name}: there is a kernel {needs.kernel} in {other}, too")
    return problems


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["check", "write"])
    parser.add_argument("--nvrtc", type=Path, help="libnvrtc.so, if not the installed wheel's")
    arguments = parser.parse_args()
    try:
        nvrtc = Nvrtc(arguments.nvrtc or find_nvrtc())
        sources = sorted(SOURCES.rglob("*.cu"))
        run = {"check": check, "write": write}[arguments.command]
        problems = run(nvrtc, sources)
    except CompilerError as error:
        problems = [str(error)]
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
