"""Runs both sides step by step in turns, and condenses what they answered."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from statistics import median

from disturbance import Disturbance
from side import Side

# Losses are compared on these many first steps: later ones differ more and more, because training
# makes the smallest difference in rounding grow.
COMPARED_STEPS = 3
# Relative to the loss, or absolute in nats where the loss is below 1. In f32, first losses agree to
# 1e-5. Later ones may not for a reason of PyTorch's: transformers' Adafactor clips by `Tensor.norm`,
# which on the CPU (torch 2.15) is off by 6e-4 for a table of 16 million values.
TOLERANCES = {"f32": 1e-4, "bf16": 2e-2}
# Lets threads of the side that has just worked go to sleep.
PAUSE_SECONDS = 0.05


@dataclass
class Measured:
    """What one side did with the measured steps."""

    about: str
    seconds: list[float] = field(default_factory=list)
    peak_bytes: int | None = None

    def to_json(self, tokens: list[int], operations: list[float]) -> dict:
        """Medians and what they are made of; `tokens` and `operations` are each step's."""
        rates = [count / second for count, second in zip(tokens, self.seconds)]
        speeds = [count / second for count, second in zip(operations, self.seconds)]
        return {
            "about": self.about,
            "median_seconds": median(self.seconds),
            "min_seconds": min(self.seconds),
            "seconds": self.seconds,
            "encoder_tokens_per_second": median(rates),
            "gflops": median(speeds) / 1e9,
            "peak_bytes": self.peak_bytes,
        }


def in_turns(sides: list[Side], kind: str, steps: int, pause: float = PAUSE_SECONDS):
    """Yields the answers of all sides for each step; who begins changes from step to step."""
    for index in range(steps):
        answers = {}
        for side in sides if index % 2 == 0 else reversed(sides):
            time.sleep(pause)
            answers[side.name] = side.step(index, kind)
        yield [answers[side.name] for side in sides]


def measure(
    sides: list[Side], kind: str, warmup: int, steps: int
) -> tuple[list[Measured], list, float | None]:
    """Measures the sides.

    Returns what each side did, all answers, warm-up included, and the share of the processors' time
    that others used meanwhile.
    """
    measured = [Measured(side.wait_until_ready()) for side in sides]
    disturbance = Disturbance([side.process.pid for side in sides])
    answers = list(in_turns(sides, kind, warmup + steps))
    others = disturbance.share()
    for i, (side, result) in enumerate(zip(sides, measured)):
        result.seconds = [answer[i]["seconds"] for answer in answers[warmup:]]
        result.peak_bytes = side.quit()
    return measured, answers, others


def compare_losses(answers: list, precision: str) -> dict:
    """Differences of the losses of the first steps, in nats, and whether they are small enough."""
    pairs = [(ours["loss"], theirs["loss"]) for ours, theirs in answers]
    first = pairs[:COMPARED_STEPS]
    tolerance = TOLERANCES[precision]
    return {
        "losses": pairs,
        "largest_difference": max(abs(a - b) for a, b in first),
        "agree": all(abs(a - b) <= tolerance * max(1.0, abs(b)) for a, b in first),
    }


def compare_answers(answers: list, new_tokens: int) -> dict:
    """The share of equal tokens, and whether all answers are as long as they have to be.

    Where two tokens are almost equally probable, rounding decides, and all that follows differs:
    the share says something about the models, and is no condition.
    """
    equal = total = 0
    as_long = True
    for ours, theirs in answers:
        for a, b in zip(ours["answers"], theirs["answers"]):
            as_long = as_long and len(a) == len(b) == new_tokens
            equal += sum(x == y for x, y in zip(a, b))
            total += len(b)
    return {"equal_tokens": equal / total, "agree": as_long}
