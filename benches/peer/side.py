"""One side of the comparison: a worker process that answers requests line by line."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path


class WorkerFailed(Exception):
    """A worker ended, or answered something else than it was asked for."""


class Side:
    """A running worker. Requests and answers are JSON objects, each in a line of its own."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], log: Path):
        self.name = name
        self.log = log
        with open(log, "w", encoding="utf-8") as errors:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                text=True,
            )

    def wait_until_ready(self) -> str:
        """Waits until everything is loaded; returns what the worker says about itself."""
        return self._receive("ready")["about"]

    def step(self, index: int, kind: str) -> dict:
        """Has the batch of this index trained on or decoded; `kind` is what comes back."""
        self._send({"step": index})
        return self._receive(kind)

    def quit(self) -> int | None:
        """Ends the worker; returns the peak of its memory in bytes, if known."""
        self._send("quit")
        peak = self._receive("bye")["peak_bytes"]
        self.process.wait()
        return peak

    def kill(self) -> None:
        """Ends the worker if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def _send(self, request) -> None:
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except OSError:
            pass  # the worker is gone; why is found out when its answer is read

    def _receive(self, kind: str) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise WorkerFailed(self._obituary())
        answer = json.loads(line)
        if kind not in answer:
            raise WorkerFailed(f"{self.name} answered {line.strip()} instead of {kind}")
        return answer[kind]

    def _obituary(self) -> str:
        code = self.process.wait()
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        reason = "was killed, perhaps for want of memory" if code == -9 else f"ended with {code}"
        return "\n  ".join([f"{self.name} {reason}"] + lines[-8:])
