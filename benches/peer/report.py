"""The results as a Markdown table."""

from __future__ import annotations

COLUMNS = [
    "case",
    "precision",
    "ours, median (min) s",
    "PyTorch, median (min) s",
    "ratio",
    "ours, tokens/s",
    "PyTorch, tokens/s",
    "ours, of ceiling",
    "PyTorch, of ceiling",
    "ours, peak MiB",
    "PyTorch, peak MiB",
    "agreement",
    "others busy",
]


def heading(results: dict) -> str:
    """What was measured, where, and how to read the table."""
    machine = results["machine"]
    ceilings = ", ".join(f"{p} {g:.0f} GFLOP/s" for p, g in machine["ceiling_gflops"].items())
    return "\n".join(
        [
            f"{results['model']}, batch {results['batch']}, rows {results['order']}, "
            f"{results['steps']} measured steps, {machine['threads']} threads, "
            f"{machine['processor']}.",
            "Ratio: PyTorch's median time divided by ours. Tokens: those of the inputs, soft prompt "
            "rows counted and padding not.",
            f"Ceiling: large matrix products of ours ({ceilings}). Others busy: the share of the "
            "processors' time that other programs used; above a few percent, ratios flatter us.",
        ]
    )


def table(results: dict) -> str:
    """One row for each case and precision."""
    rows = [COLUMNS, ["---"] * 2 + ["---:"] * (len(COLUMNS) - 4) + ["---", "---:"]]
    rows += [_row(case, results["machine"]["ceiling_gflops"]) for case in results["cases"]]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _row(case: dict, ceilings: dict) -> list[str]:
    start = [case["case"], case["precision"]]
    if "failed" in case:
        reason = case["failed"].splitlines()[0]
        return start + ["-"] * (len(COLUMNS) - 4) + [reason, "-"]
    sides = [case["ours"], case.get("pytorch")]
    ceiling = ceilings[case["precision"]]

    def each(show) -> list[str]:
        return ["-" if side is None else show(side) for side in sides]

    return (
        start
        + each(lambda side: f"{_seconds(side['median_seconds'])} ({_seconds(side['min_seconds'])})")
        + [f"{case['ratio']:.2f}" if "ratio" in case else "-"]
        + each(lambda side: f"{side['encoder_tokens_per_second']:.0f}")
        + each(lambda side: f"{side['gflops'] / ceiling:.0%}")
        + each(lambda side: _mebibytes(side["peak_bytes"]))
        + [_agreement(case["agreement"]) if "agreement" in case else "-"]
        + [_share(case["others_busy"])]
    )


def _seconds(seconds: float) -> str:
    return f"{seconds:.4f}" if seconds < 0.1 else f"{seconds:.3f}"


def _mebibytes(count: int | None) -> str:
    return "?" if count is None else f"{count / 2**20:.0f}"


def _share(share: float | None) -> str:
    return "?" if share is None else f"{share:.0%}"


def _agreement(agreement: dict) -> str:
    if "equal_tokens" in agreement:
        text = f"{agreement['equal_tokens']:.1%} of tokens equal"
        return text if agreement["agree"] else text + ", WRONG LENGTH"
    text = f"losses within {agreement['largest_difference']:.1e} nats"
    return text if agreement["agree"] else text + ", TOO FAR"
