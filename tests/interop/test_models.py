"""Models that promot writes compute the same in transformers, and the other way round."""

import json

import promot
import pytest
import torch
from transformers import AutoTokenizer, MT5Config, MT5ForConditionalGeneration, T5Config, T5ForConditionalGeneration

VOCABULARY = 67
INPUTS = promot.token_ids([1, 5, 12, 40], VOCABULARY, seed=1)
TARGETS = promot.token_ids([3, 1, 20, 7], VOCABULARY, seed=2)
# name, whether the head is the embedding table, size of a shard
MODELS = [
    ("t5/v1_0", True, "5GB"),
    ("t5/v1_1", False, "20KB"),
    ("t5/mt5", False, "5GB"),
    ("llama/grouped_tied", True, "20KB"),
    ("llama/shared_untied", False, "5GB"),
]


def targets_of(name):
    return None if name.startswith("llama") else TARGETS


def head_and_table(model):
    return model.get_output_embeddings().weight, model.get_input_embeddings().weight


def assert_same(directory, model, targets, max_new_tokens=14):
    """Logits, greedy search and beam search of promot's model in a directory and of transformers'."""
    expected = promot.reference_logits(model, INPUTS, targets)
    promot.assert_close(promot.logits(directory, INPUTS, targets), expected)
    for beams in (1, 4):
        expected = promot.reference_answers(model, INPUTS, beams, max_new_tokens)
        assert promot.answers(directory, INPUTS, beams, max_new_tokens) == expected, f"{beams} beams"


@pytest.mark.parametrize("name, tied, shard", MODELS)
def test_what_is_written_is_loaded_and_computes_the_same(name, tied, shard, tmp_path):
    written = promot.resave(promot.FIXTURES / name, tmp_path / "model", shard)
    assert (written / "model.safetensors.index.json").exists() == (shard != "5GB")
    model = promot.load(written)
    head, table = head_and_table(model)
    assert torch.equal(head, table) == tied
    # Nothing was lost between the files that were read and those that were written.
    before, after = promot.load(promot.FIXTURES / name).state_dict(), model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(values, after[key]) for key, values in before.items())
    assert_same(written, model, targets_of(name))


@pytest.mark.parametrize("name, tied, shard", MODELS)
def test_what_transformers_saves_again_keeps_its_head(name, tied, shard, tmp_path):
    written = promot.resave(promot.FIXTURES / name, tmp_path / "written")
    model = promot.load(written)
    model.save_pretrained(tmp_path / "again", max_shard_size=shard)
    config = json.loads((tmp_path / "again/config.json").read_text())
    if "t5" in name:
        # The trap: the flag says that an untied head is tied.
        assert config["tie_word_embeddings"] is True
    assert_same(tmp_path / "again", model, targets_of(name))
    # And from there to promot's own files, whose flag is right.
    twice = promot.resave(tmp_path / "again", tmp_path / "twice")
    assert json.loads((twice / "config.json").read_text())["tie_word_embeddings"] is tied
    assert_same(twice, promot.load(twice), targets_of(name))


@pytest.mark.parametrize(
    "config, architecture, scaled",
    [
        (T5Config, T5ForConditionalGeneration, True),
        (lambda **sizes: T5Config(**sizes, tie_word_embeddings=False), T5ForConditionalGeneration, False),
        (MT5Config, MT5ForConditionalGeneration, False),
    ],
    ids=["t5", "t5 unscaled", "mt5"],
)
def test_new_models_of_transformers_are_tied_and_scale_what_they_say(config, architecture, scaled, tmp_path):
    torch.manual_seed(5)
    sizes = dict(vocab_size=VOCABULARY, d_model=24, d_kv=6, d_ff=40, num_layers=2, num_heads=4)
    config = config(**sizes, feed_forward_proj="gated-gelu", decoder_start_token_id=0, dropout_rate=0.0)
    assert getattr(config, "scale_decoder_outputs", False) is scaled
    model = architecture(config).eval()
    model.save_pretrained(tmp_path / "new")
    again = promot.resave(tmp_path / "new", tmp_path / "again")
    for directory in (tmp_path / "new", again):
        loaded = promot.load(directory)
        assert torch.equal(*head_and_table(loaded))
        assert_same(directory, loaded, TARGETS)


def test_an_exported_stage_answers_the_same_text(mini):
    tokenizer = AutoTokenizer.from_pretrained(mini.model)
    assert tokenizer.is_fast
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("</s>", "<pad>")
    model = promot.load(mini.model)
    generation = model.generation_config
    assert (generation.eos_token_id, generation.pad_token_id, generation.decoder_start_token_id) == (1, 0, 0)
    head, table = head_and_table(model)
    assert not torch.equal(head, table)
    for beams in (1, 4):
        arguments = ["generate", "--model", mini.model, "--beams", beams, "--max-new-tokens", 32]
        ours = promot.run(*arguments, *mini.questions).splitlines()
        # In one batch, with padding.
        batch = tokenizer(mini.questions, padding=True, return_tensors="pt")
        assert all(row[mask.sum() - 1] == 1 for row, mask in zip(batch["input_ids"], batch["attention_mask"]))
        out = model.generate(**batch, num_beams=beams, max_new_tokens=32, do_sample=False)
        theirs = tokenizer.batch_decode(out, skip_special_tokens=True)
        assert [line.strip() for line in theirs] == ours, f"{beams} beams"


def test_shards_and_bfloat16_are_the_same_model(mini):
    assert len(list(mini.sharded.glob("model-*-of-*.safetensors"))) > 2
    single, sharded, rounded = (promot.load(path) for path in (mini.model, mini.sharded, mini.bf16))
    assert rounded.dtype == torch.bfloat16
    for name, values in single.state_dict().items():
        assert torch.equal(sharded.state_dict()[name], values), name
        assert torch.equal(rounded.state_dict()[name], values.to(torch.bfloat16)), name
