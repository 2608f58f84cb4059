"""lm-evaluation-harness reads promot's measurements, and aggregates them to the same scores."""

import hashlib
import json
import re

import pytest
from lm_eval.api.metrics import bleu, mean, mean_stderr
from lm_eval.utils import get_results_filenames, get_sample_results_filenames, make_table, sanitize_model_name

MODELS = ["Pretrained", "Tuned: 2 steps"]
METRICS = {
    "rte_tuned": "acc",
    "triviaqa_1shot": "exact_match",
    "wmt16_en_de_1shot": "bleu",
    "xsum_1shot": "rouge2",
}


@pytest.fixture(params=MODELS)
def exported(request, mini):
    """A model's results, and its samples by task, found and named as the harness does."""
    directory = mini.table / sanitize_model_name(request.param)
    files = [str(file) for file in directory.iterdir()]
    (results,) = get_results_filenames(files)
    date = re.search(r"results_(.*)\.json$", results).group(1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{6}", date)
    samples = {}
    for file in get_sample_results_filenames(files):
        task = re.search(rf"samples_(.*)_{re.escape(date)}\.jsonl$", file).group(1)
        samples[task] = [json.loads(line) for line in open(file, encoding="utf-8")]
    results = json.load(open(results, encoding="utf-8"))
    assert results["model_name"] == request.param
    return results, samples


def test_the_harness_aggregates_samples_to_the_results(exported):
    results, samples = exported
    assert set(samples) == set(METRICS) == set(results["results"])
    for task, rows in samples.items():
        metric = METRICS[task]
        assert len(rows) == 12 == results["n-samples"][task]["effective"]
        values = [row[metric] for row in rows]
        result = results["results"][task]
        aggregate = bleu if metric == "bleu" else mean
        assert result[f"{metric},none"] == pytest.approx(aggregate(values), abs=1e-9), task
        if metric != "bleu":
            assert result[f"{metric}_stderr,none"] == pytest.approx(mean_stderr(values), abs=1e-9)


def test_hashes_are_those_of_the_harness(exported):
    _, samples = exported
    digest = lambda text: hashlib.sha256(text.encode("utf-8")).hexdigest()
    for row in (row for rows in samples.values() for row in rows):
        assert row["doc_hash"] == digest(json.dumps(row["doc"], indent=2, ensure_ascii=False))
        assert row["prompt_hash"] == digest(row["arguments"]["gen_args_0"]["arg_0"])
        assert row["target_hash"] == digest(row["target"])


def test_the_harness_draws_a_table_of_them(exported):
    results, _ = exported
    table = make_table(results)
    for task, metric in METRICS.items():
        (line,) = [line for line in table.splitlines() if task in line]
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert metric in cells
        value = results["results"][task][f"{metric},none"]
        assert float(cells[cells.index("↑") + 1]) == pytest.approx(value, abs=5e-5)
