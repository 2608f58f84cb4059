"""How far losses drift apart in training: those of the two sides, and what of it is noise."""

from __future__ import annotations

# Where one side's losses are compared with its own: what is between the two runs.
ROUNDED = "the same side's in f32"
NUDGED = "the same side's from a prompt with other last bits"


def drift(losses: list[float], others: list[float]) -> tuple[float, int]:
    """The largest difference in nats, and the step that has it, counted from 1."""
    differences = [abs(a - b) for a, b in zip(losses, others, strict=True)]
    largest = max(differences)
    return largest, differences.index(largest) + 1


def between_sides(losses: list[list[float]]) -> dict:
    """Of the losses of both sides in each step."""
    ours, theirs = zip(*losses)
    largest, step = drift(ours, theirs)
    return {"largest_difference": largest, "at_step": step}


def noise(what: str, losses: list[list[float]], others: list[list[float]]) -> dict:
    """How far each side's losses get from its own where next to nothing is different: training
    makes the smallest difference grow."""
    ours, theirs = (drift(a, b)[0] for a, b in zip(zip(*losses), zip(*others)))
    return {"from": what, "ours": ours, "pytorch": theirs}


def sentence(followed: dict) -> str:
    """What is printed of one case in one precision."""
    text = (
        f"{followed['case']} in {followed['precision']}, {len(followed['losses'])} steps: "
        f"losses differ by at most {followed['largest_difference']:.2e} nats "
        f"(step {followed['at_step']})"
    )
    if "noise" in followed:
        own = followed["noise"]
        text += f"; from {own['from']}, ours by {own['ours']:.2e}"
        text += f", PyTorch's by {own['pytorch']:.2e}"
    return text
