"""Soft prompts that promot writes work in PEFT, and the other way round."""

import json

import promot
import pytest
import torch
from peft import PeftModel, PromptTuningConfig, get_peft_model
from transformers import AutoTokenizer

INPUTS = promot.token_ids([2, 5, 12, 40], 67, seed=3)


def peft_prompt(model, submodules, out, length=5):
    """A random prompt that PEFT made and saved, on `model`."""
    torch.manual_seed(7)
    task = "SEQ_2_SEQ_LM" if model.config.is_encoder_decoder else "CAUSAL_LM"
    config = PromptTuningConfig(
        task_type=task, num_virtual_tokens=length, num_transformer_submodules=submodules
    )
    tuned = get_peft_model(model, config)
    # As far from the embeddings as it takes to change answers.
    table = tuned.prompt_encoder["default"].embedding.weight
    with torch.no_grad():
        table.mul_(model.get_input_embeddings().weight.std() * 2)
    tuned.save_pretrained(out)
    return tuned.eval()


def uses_cache(tuned):
    """PEFT 0.21 looks for a decoder-only model's cache under the name that transformers 5.24 no longer
    gives it, finds none, and puts the prompt before every token anew: right only without a cache."""
    return tuned.config.is_encoder_decoder


def assert_same_answers(directory, prompt, tuned, inputs):
    plain = promot.answers(directory, inputs, 1, 14)
    for beams in (1, 4):
        expected = promot.reference_answers(tuned, inputs, beams, 14, use_cache=uses_cache(tuned))
        assert promot.answers(directory, inputs, beams, 14, prompt) == expected, f"{beams} beams"
        assert beams > 1 or expected != plain, "a prompt that changes nothing shows nothing"


def test_an_exported_prompt_has_the_keys_that_peft_writes(mini, tmp_path):
    PromptTuningConfig(task_type="SEQ_2_SEQ_LM").save_pretrained(tmp_path)
    theirs = json.loads((tmp_path / "adapter_config.json").read_text())
    ours = json.loads((mini.adapter / "adapter_config.json").read_text())
    assert ours.keys() == theirs.keys()
    assert ours["base_model_name_or_path"] == str(mini.model)


def test_an_exported_prompt_gives_the_same_tokens_on_the_exported_model(mini):
    tokenizer = AutoTokenizer.from_pretrained(mini.model)
    tuned = PeftModel.from_pretrained(promot.load(mini.model), mini.adapter).eval()
    inputs = [tokenizer(question)["input_ids"] for question in mini.questions]
    expected = promot.reference_answers(tuned, inputs, 1, 32)
    assert promot.answers(mini.model, inputs, 1, 32, mini.adapter) == expected
    arguments = ["generate", "--model", mini.model, "--prompt", mini.adapter, "--max-new-tokens", 32]
    ours = promot.run(*arguments, *mini.questions).splitlines()
    assert ours == [tokenizer.decode(ids, skip_special_tokens=True).strip() for ids in expected]


def test_a_prompt_of_promot_gives_the_same_tokens_on_a_llama(tmp_path):
    directory = promot.FIXTURES / "llama/grouped_tied"
    peft_prompt(promot.load(directory), 1, tmp_path / "peft")
    promot.resave_adapter(tmp_path / "peft", tmp_path / "promot")
    tuned = PeftModel.from_pretrained(promot.load(directory), tmp_path / "promot").eval()
    assert_same_answers(directory, tmp_path / "peft", tuned, INPUTS)


@pytest.mark.parametrize(
    "name, submodules",
    [("t5/v1_0", 1), ("t5/v1_1", 2), ("t5/mt5", 2), ("llama/grouped_tied", 1), ("llama/shared_untied", 1)],
)
def test_a_prompt_of_peft_gives_the_same_tokens(name, submodules, tmp_path):
    directory = promot.FIXTURES / name
    tuned = peft_prompt(promot.load(directory), submodules, tmp_path / "peft")
    assert_same_answers(directory, tmp_path / "peft", tuned, INPUTS)
