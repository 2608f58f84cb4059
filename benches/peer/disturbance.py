"""How much others disturb a measurement: the processors' time that is not spent by the workers.

PyTorch's threads wait for each other many times a step, so that it loses far more to a busy machine
than a fair share of the processors: ratios measured there flatter us.
"""

from __future__ import annotations

from pathlib import Path

# Above this share of the processors' time, results should not be quoted.
TOLERABLE = 0.05


class Disturbance:
    """Watches the processors from when it is made; knows nothing where there is no /proc."""

    def __init__(self, processes: list[int]):
        self.processes = processes
        self.start = self._times()

    def share(self) -> float | None:
        """The share of all processors' time since then that others used."""
        now = self._times()
        if self.start is None or now is None:
            return None
        total, busy, ours = (after - before for before, after in zip(self.start, now))
        return max(0.0, (busy - ours) / total) if total else 0.0

    def _times(self) -> tuple[int, int, int] | None:
        try:
            line = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
            times = [int(field) for field in line.split()[1:9]]
            idle = times[3] + times[4]
            return sum(times), sum(times) - idle, sum(map(_ticks, self.processes))
        except (OSError, ValueError, IndexError):
            return None


def _ticks(process: int) -> int:
    """Processor time of a process, in the unit of /proc/stat."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
