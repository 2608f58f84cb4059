"""What several test files share: a pipeline of two steps, run once, with its exports."""

from pathlib import Path
from types import SimpleNamespace

import promot
import pytest

PIPELINE = """\
version: 1
name: two-steps
model: builtin:mini-t5
stages:
  rte: { data: { task: rte, train_rows: 80, dev_rows: 8 } }
  prompt: { prompt_tune: { on: rte, length: 6, steps: 2, checkpoint_every: 2, batch_size: 4 } }
  tuned: { model_tune: { on: rte, steps: 2, checkpoint_every: 2, batch_size: 4 } }
  table:
    eval:
      models: { Pretrained: base, "Tuned: 2 steps": { model: tuned, prompt: prompt } }
      target: rte
      tasks: [triviaqa, wmt16_en_de, xsum]
      rows: 12
      beams: 1
      max_new_tokens: 12
"""

# As the built-in model was trained to answer them.
QUESTIONS = [
    "question: Where does Anna live? answer:",
    "question: What does Tom like to eat? answer:",
    "Anna is a doctor and lives in Paris. Tom is taller than Anna. summary:",
    "Ben owns a dog. Question: Ben owns a cat. right or wrong?",
    "translate English to German: The tall doctor likes bread.",
]


@pytest.fixture(scope="session")
def mini(tmp_path_factory):
    """Exports of a tuned builtin:mini-t5: `model`, `sharded`, `bf16`, the prompt `adapter`, the `table`;
    and the `report` of the run."""
    place = tmp_path_factory.mktemp("mini")
    (place / "two.yaml").write_text(PIPELINE)
    promot.run("run", "two.yaml", "--tensorboard", cwd=place)
    export = lambda *arguments: promot.run("export", "two.yaml", *arguments, cwd=place)
    export("tuned", "model")
    export("tuned", "sharded", "--max-shard-size", "1MB")
    export("tuned", "bf16", "--precision", "bf16")
    export("prompt", "adapter", "--base", place / "model")
    export("table", "table")
    names = ("model", "sharded", "bf16", "adapter", "table")
    paths = {name: Path(place / name) for name in names}
    report = Path(place / ".promot/runs/two-steps-seed0")
    return SimpleNamespace(questions=QUESTIONS, report=report, **paths)
