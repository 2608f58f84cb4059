"""A report in a browser: a small pipeline is run once, and its page opened from the file."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[2]

PIPELINE = """\
version: 1
name: page
model: builtin:mini-t5
stages:
  rte: { data: { task: rte, train_rows: 80, dev_rows: 8 } }
  prompt: { prompt_tune: { on: rte, length: 6, steps: 6, checkpoint_every: 2, batch_size: 4 } }
  tuned: { model_tune: { on: rte, steps: 8, checkpoint_every: 2, batch_size: 4 } }
  promot: { model_tune: { on: rte, prompt: prompt, steps: 8, checkpoint_every: 2, batch_size: 4 } }
  table:
    eval:
      models:
        Pretrained: base
        Fine-tuned: tuned
        ProMoT: { model: promot, prompt: prompt }
        ProMoT without its prompt: promot
      target: rte
      tasks: [cb, wic, triviaqa, wmt16_en_de]
      shots: [1]
      rows: 12
      beams: 1
      max_new_tokens: 12
"""


@pytest.fixture(scope="session")
def report(tmp_path_factory):
    """The file to look at: that of PROMOT_REPORT, or of a small run."""
    if named := os.environ.get("PROMOT_REPORT"):
        return Path(named).resolve()
    place = tmp_path_factory.mktemp("page")
    (place / "page.yaml").write_text(PIPELINE)
    program = os.environ.get("PROMOT_BIN", ROOT / "target/release/promot-pipeline")
    run = [Path(program).resolve(), "run", "page.yaml"]
    done = subprocess.run(run, cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return place / ".promot/runs/page-seed0/report.html"


@pytest.fixture(scope="session")
def browser():
    found = os.environ.get("CHROMIUM") or shutil.which("chromium")
    assert found, "chromium is not installed"
    with sync_playwright() as playwright:
        # The sandbox wants an ordinary user; the page is our own.
        options = dict(executable_path=found, args=["--no-sandbox"], headless=True)
        browser = playwright.chromium.launch(**options)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, report):
    """Opens the report with these options; whatever the browser complains about fails the test."""
    contexts, complaints = [], []

    def open_with(**options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda request: complaints.append(f"not loaded: {request.url}"))
        page.on(
            "request",
            lambda request: request.url.startswith("file:") or complaints.append(request.url),
        )
        page.goto(report.as_uri())
        return page

    yield open_with
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture(scope="session")
def screenshots():
    """Where pictures go: the folder of PROMOT_SCREENSHOTS, or one under target/."""
    folder = Path(os.environ.get("PROMOT_SCREENSHOTS", ROOT / "target/screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
