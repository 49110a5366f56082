"""Settings: types, bounds, and what is said about a wrong one."""

import pydantic
import pytest

from seqloom.pipelines.config import (
    MODELS,
    ClassificationModelConfig,
    Config,
    DataConfig,
    TaggingModelConfig,
    TextDataConfig,
    TrainingConfig,
    sections,
)
from seqloom.pipelines.config_check import build, describe, setting_keys
from seqloom.pipelines.errors import UserError

GOOD = {"task": "ner", "data.corpus": "synthetic"}


def mistake(**changes):
    """What is said about `GOOD` with the changes; a__b stands for a.b."""
    values = GOOD | {key.replace("__", "."): value for key, value in changes.items()}
    with pytest.raises(UserError) as caught:
        build("ner", values, dict.fromkeys(values, "my.yaml:7"))
    return str(caught.value)


def test_builds_plain_values():
    config = build("ner", GOOD | {"training.learning_rate": 1}, {})
    assert config.task == "ner"
    assert config.data.corpus == "synthetic"
    assert config.training.learning_rate == 1.0
    assert config.model.cell == "lstm"


def test_a_config_cannot_be_changed():
    config = build("ner", GOOD, {})
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        config.seed = 2
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        config.training.epochs = 2


@pytest.mark.parametrize("task", MODELS)
def test_every_setting_is_described(task):
    for key in setting_keys(task):
        text = describe(task, key)
        assert 10 < len(text) < 120, f"{key}: {text!r}"
        assert not text.endswith(".")


def test_the_sections_are_those_of_the_config():
    for task in MODELS:
        assert [*sections(task)] == ["data", "model", "training", "tracking"]
        assert set(setting_keys(task)) >= set(Config.model_fields) - set(sections(task))


@pytest.mark.parametrize(
    ("key", "suggestion"),
    [
        ("training.batchsize", "training.batch_tokens"),
        ("trainig.epochs", "training.epochs"),
        ("epochs", "training.epochs"),
        ("training.units", "model.units"),
        ("model.num_layer", "model.num_layers"),
        ("Seed", "seed"),
        ("data.trian", "data.train"),
    ],
)
def test_unknown_setting_suggests_the_nearest(key, suggestion):
    message = mistake(**{key.replace(".", "__"): 3})
    assert message == (
        f"Unknown setting {key!r} (my.yaml:7). Did you mean {suggestion!r}?"
    )


def test_unknown_setting_like_no_other_lists_its_group():
    message = mistake(tracking__zzz=3)
    assert "Unknown setting 'tracking.zzz' (my.yaml:7)." in message
    assert "enabled, uri, experiment, system_metrics, log_every_steps" in message
    assert "At the top there are: task, name, seed" in mistake(zzz=3)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("training.epochs", "ten", "must be a whole number >= 1, got 'ten'"),
        ("training.epochs", 0, "must be a whole number >= 1, got 0"),
        ("training.epochs", 2.5, "must be a whole number >= 1, got 2.5"),
        ("training.epochs", True, "must be a whole number >= 1, got true"),
        ("training.epochs", None, "must be a whole number >= 1, got null"),
        ("training.epochs", [3], "must be a whole number >= 1, got [3]"),
        ("training.max_steps", "x", "must be a whole number >= 1 or null, got 'x'"),
        ("training.learning_rate", "1e-3", "must be a number > 0, got '1e-3'"),
        ("training.learning_rate", float("inf"), "must be a number > 0, got inf"),
        ("training.learning_rate", -1, "must be a number > 0, got -1"),
        ("training.ema", 1, "must be a number > 0 and < 1 or null, got 1"),
        ("model.dropout", 1, "must be a number >= 0 and < 1, got 1"),
        ("model.bidirectional", "yes", "must be true or false, got 'yes'"),
        ("model.bidirectional", 1, "must be true or false, got 1"),
        ("data.train", 5, "must be a text or null, got 5"),
        ("data.tag_column", 1.5, "must be a whole number or a text or null, got 1.5"),
        ("training.optimizer_options", 3, "must be names with plain values, like"),
        ("training.optimizer_options", {"a": []}, "got {'a': []} (my.yaml:7)"),
        ("seed", -1, "must be a whole number >= 0, got -1"),
        ("name", "", "must be a text, got ''"),
    ],
)
def test_wrong_value_names_key_type_value_and_place(key, value, text):
    message = mistake(**{key.replace(".", "__"): value})
    assert message.startswith(f"{key} must be ")
    assert text in message
    assert "(my.yaml:7)" in message
    assert message.endswith(f"Meaning: {describe('ner', key)}.")
    assert "\n" not in message


def test_wrong_choice_suggests_the_nearest():
    message = mistake(model__cell="gruu")
    assert "must be one of lstm, gru, simple, got 'gruu'" in message
    assert "Did you mean 'gru'?" in message


def test_every_wrong_value_is_reported_at_once():
    lines = mistake(
        training__epochs=0, model__units="wide", seed=None, data__limit=0
    ).splitlines()
    assert [line.split(" ")[0] for line in lines] == [
        "data.limit",
        "model.units",
        "training.epochs",
        "seed",
    ]


def test_own_files_come_together():
    message = mistake(data__dev="dev.conll")
    assert message.startswith("data.dev set but not data.train and data.test: ")
    assert "there is nothing to learn from" in mistake(data__corpus=None)
    files = {f"data.{name}": f"{name}.conll" for name in ("train", "dev", "test")}
    assert build("ner", GOOD | files, {}).data.dev == "dev.conll"


def text_mistake(**changes):
    """What is said about settings of sentiment; a__b stands for a.b."""
    values = {"task": "sentiment", "data.corpus": "synthetic"}
    values |= {key.replace("__", "."): value for key, value in changes.items()}
    with pytest.raises(UserError) as caught:
        build("sentiment", values, dict.fromkeys(values, "my.yaml:7"))
    return str(caught.value)


def test_every_task_has_its_own_sections():
    text = build("sentiment", {"task": "sentiment", "data.corpus": "vader"}, {})
    assert isinstance(text.data, TextDataConfig)
    assert isinstance(text.model, ClassificationModelConfig)
    assert (text.model.pooling, text.data.text_column) == ("attention", "text")
    tags = build("ner", GOOD, {})
    assert isinstance(tags.data, DataConfig)
    assert isinstance(tags.model, TaggingModelConfig)
    assert "must be one of vader, sst2, sst5, synthetic or null, got 'conll2003'" in (
        text_mistake(data__corpus="conll2003")
    )
    assert "Did you mean 'model.pooling'?" in text_mistake(model__poling="max")
    assert "Unknown setting 'model.characters'" in text_mistake(
        model__characters="none"
    )
    assert "Unknown setting 'data.scheme'" in text_mistake(data__scheme="iob2")


def test_no_recurrent_layer_and_no_word_embedding_are_choices():
    config = build("ner", GOOD | {"model.num_layers": 0, "model.word_units": 0}, {})
    assert (config.model.num_layers, config.model.word_units) == (0, 0)
    assert "must be a whole number >= 1, got 0" in text_mistake(model__num_layers=0)


def test_own_texts_need_training():
    files = {"data.train": "a.tsv", "data.test": "b.tsv"}
    values = {"task": "sentiment"}
    assert build("sentiment", values | files, {}).data.dev is None
    message = text_mistake(data__dev="a.tsv", data__test="b.tsv")
    assert message.startswith("data.dev and data.test set but not data.train: there is")
    message = text_mistake(data__corpus=None)
    assert "data.corpus and data.train are both null. Set data.corpus=vader" in message


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"data__text_column": 0}, "data.label_column='label': a file has a header or"),
        ({"data__text_column": "label"}, "are both 'label'. Give each its own column"),
        (
            {"data__text_column": -1, "data__label_column": 0},
            "must be a whole number >= 0 or a text, got -1",
        ),
        (
            {"data__phrases": True},
            "data.corpus=synthetic has no labelled phrases: only",
        ),
        (
            {"data__phrases": True, "data__corpus": "sst2", "data__train": "a.tsv"},
            "data.phrases=true, but data.train has no labelled phrases",
        ),
        ({"training__layer_decay": 1.5}, "must be a number > 0 and <= 1, got 1.5"),
        ({"model__lora_rank": 0}, "must be a whole number >= 1 or null, got 0"),
    ],
)
def test_settings_of_texts_that_do_not_go_together(changes, text):
    assert text in text_mistake(**changes)


def test_unknown_keys_are_refused_by_the_models_too():
    with pytest.raises(pydantic.ValidationError, match="Extra inputs"):
        TrainingConfig(epoch=3)
    with pytest.raises(pydantic.ValidationError, match="Extra inputs"):
        DataConfig(corpus="synthetic", limits=3)
