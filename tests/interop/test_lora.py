"""LoRA that promot writes works in PEFT, and the other way round."""

import json

import promot
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

INPUTS = promot.token_ids([2, 5, 12, 40], 67, seed=4)
CASES = [
    ("t5/v1_0", ["q", "v"]),
    ("t5/v1_1", ["q", "k", "v", "o", "wi_0", "wi_1", "wo"]),
    ("llama/grouped_tied", ["q_proj", "v_proj"]),
    ("llama/shared_untied", ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]),
]


def peft_lora(model, targets, out):
    """Random changes that PEFT made and saved, on `model`."""
    torch.manual_seed(9)
    task = "SEQ_2_SEQ_LM" if model.config.is_encoder_decoder else "CAUSAL_LM"
    config = LoraConfig(r=3, lora_alpha=6, lora_dropout=0.1, target_modules=targets, task_type=task)
    tuned = get_peft_model(model, config)
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            # B starts at zero and changes nothing.
            if "lora_B" in name:
                parameter.normal_(std=0.5)
    tuned.save_pretrained(out)
    return tuned.eval()


@pytest.mark.parametrize("name, targets", CASES)
def test_changes_of_peft_give_the_same_tokens_and_so_do_they_written_again(name, targets, tmp_path):
    directory = promot.FIXTURES / name
    plain = promot.answers(directory, INPUTS, 1, 14)
    tuned = peft_lora(promot.load(directory), targets, tmp_path / "peft")
    promot.resave_adapter(tmp_path / "peft", tmp_path / "promot")
    again = PeftModel.from_pretrained(promot.load(directory), tmp_path / "promot").eval()
    for beams in (1, 4):
        expected = promot.reference_answers(tuned, INPUTS, beams, 14)
        assert promot.reference_answers(again, INPUTS, beams, 14) == expected
        assert promot.answers(directory, INPUTS, beams, 14, tmp_path / "peft") == expected
        assert beams > 1 or expected != plain, "changes that change nothing show nothing"


def test_written_changes_have_the_keys_that_peft_writes(tmp_path):
    model = promot.load(promot.FIXTURES / "t5/v1_0")
    peft_lora(model, ["q", "v"], tmp_path / "peft")
    promot.resave_adapter(tmp_path / "peft", tmp_path / "promot")
    theirs, ours = [
        json.loads((tmp_path / side / "adapter_config.json").read_text()) for side in ("peft", "promot")
    ]
    for config in (theirs, ours):
        config["target_modules"].sort()
    assert ours == theirs
