"""TensorBoard reads the curves that a run leaves for it."""

import csv

import pytest
from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer


def test_tensorboard_has_the_points_of_the_curves(mini):
    runs = EventMultiplexer().AddRunsFromDirectory(str(mini.report / "tensorboard"))
    runs.Reload()
    read = {}
    for run, tags in runs.Runs().items():
        for tag in tags["scalars"]:
            read[run, tag] = [(event.step, event.value) for event in runs.Scalars(run, tag)]
    written = {}
    for file in (mini.report / "curves").glob("*.csv"):
        for row in csv.DictReader(open(file, encoding="utf-8")):
            run = file.stem if row["line"] == file.stem else f"{file.stem}/{row['line']}"
            points = written.setdefault((run, row["figure"]), [])
            points.append((int(row["step"]), pytest.approx(float(row["value"]), rel=1e-6)))
    assert read == written
    assert {run for run, _ in read} == {"prompt", "tuned"}
