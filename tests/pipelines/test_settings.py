"""Where settings come from: files that extend each other, and --set."""

import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from seqloom.pipelines.config import MODELS, sections
from seqloom.pipelines.config_check import build
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.settings import (
    diff,
    leaves_of,
    override,
    read_resolved,
    resolve,
    shipped_configs,
    split_settings,
    to_yaml,
)
from seqloom.pipelines.yaml_settings import format_value, parse_value, read_leaves

SHIPPED = [(task, None) for task in MODELS] + [
    (task, name) for task in MODELS for name in shipped_configs(task)
]


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def mistake(*args):
    with pytest.raises(UserError) as caught:
        resolve(*args)
    return str(caught.value)


# === Shipped configs ===


@pytest.mark.parametrize(("task", "name"), SHIPPED)
def test_shipped_config_resolves(task, name):
    resolved = resolve(task, name)
    assert resolved.config.task == task
    assert resolved.config.name == (name or task)
    assert set(resolved.provenance) == set(leaves_of(resolved.config))


def shipped_file(label):
    from importlib.resources import files

    return (files("seqloom.configs") / label.removeprefix("configs/")).read_text()


@pytest.mark.parametrize(("task", "name"), SHIPPED)
def test_shipped_config_begins_with_its_command_and_what_it_reached(task, name):
    label = f"configs/{task}/{name}.yaml" if name else f"configs/{task}.yaml"
    lines = shipped_file(label).splitlines()
    assert lines[0] == f"# make train TASK={task}" + (f" CONFIG={name}" if name else "")
    assert any(line.startswith("# Reached: ") for line in lines[:12])


@pytest.mark.parametrize("task", ["ner", "sentiment", "translation"])
def test_the_manual_shows_every_setting_and_its_default(task):
    """configs/ner.yaml: `key: value` is a choice, `#key: value` shows a default."""
    text = shipped_file(f"configs/{task}.yaml")
    shown = re.sub(r"^( *)#(?=[a-z_]+: )", r"\1", text, flags=re.MULTILINE)
    chosen = read_leaves(text, "manual")
    everything = read_leaves(shown, "manual")
    corpus = "copy" if task == "translation" else "synthetic"
    values = {"task": task, "data.corpus": corpus}
    defaults = leaves_of(build(task, values, {}))
    assert set(everything) == set(defaults) - {"name"}
    for key in set(everything) - set(chosen):
        assert everything[key].value == defaults[key], key


def test_variants_of_sentiment_say_what_they_are_called_for():
    models = {
        name: resolve("sentiment", name).config.model
        for name in ("simple_rnn", "lstm", "gru", "attention", "transformer")
    }
    recurrent = ("simple_rnn", "lstm", "gru")
    assert [models[n].cell for n in recurrent] == ["simple", "lstm", "gru"]
    assert {models[n].pooling for n in recurrent} == {"last"}
    assert (models["attention"].encoder, models["attention"].pooling) == (
        "none",
        "attention",
    )
    assert models["transformer"].encoder == "transformer"
    assert resolve("sentiment", "sst2").config.data.corpus == "sst2"


# === Files ===


def test_variant_wins_over_its_base_and_keeps_the_rest():
    base, variant = resolve("ner").config, resolve("ner", "wnut17").config
    assert variant.data.corpus == "wnut17"
    assert variant.model.units == base.model.units
    assert (
        resolve("ner", "wnut17")
        .provenance["data.corpus"]
        .startswith("configs/ner/wnut17.yaml:")
    )


def test_provenance_is_the_line_of_the_value(write):
    path = write("my.yaml", "extends: ner\n\ntraining:\n  # comment\n  epochs: 3\n")
    resolved = resolve("ner", path, ["seed=7"])
    assert resolved.provenance["training.epochs"] == f"{path}:5"
    assert resolved.provenance["seed"] == "--set"
    assert resolved.provenance["training.strategy"] == "default"
    units = resolved.provenance["model.units"]
    line = shipped_file("configs/ner.yaml").splitlines()[int(units.split(":")[1]) - 1]
    assert line == f"  units: {resolved.config.model.units}"
    assert resolved.config.name == "my"


def test_files_extend_each_other_relative_to_themselves(write, monkeypatch, tmp_path):
    (tmp_path / "base").mkdir()
    write("base/a.yaml", "extends: ner\nseed: 5\nmodel: {units: 7, num_layers: 2}\n")
    path = write("b.yaml", "extends: base/a.yaml\nmodel: {units: 9}\n")
    monkeypatch.chdir("/")
    config = resolve("ner", path).config
    assert (config.seed, config.model.units, config.model.num_layers) == (5, 9, 2)


def test_circle_of_extends(write):
    write("a.yaml", "seed: 1\nextends: b.yaml\n")
    path = write("b.yaml", "extends: a.yaml\n")
    message = mistake("ner", path)
    assert "a.yaml:2: the configs extend each other in a circle:" in message
    assert re.search(r"b\.yaml -> \S*a\.yaml -> \S*b\.yaml\. Remove", message)


def test_unknown_base(write):
    message = mistake("ner", write("a.yaml", "extends: nerr\n"))
    assert "a.yaml:1: there is no config 'nerr' to extend. Did you mean 'ner'?" in (
        message
    )
    assert "ner/wnut17" in message
    assert "no config 'b.yaml'" in mistake("ner", write("a.yaml", "extends: b.yaml"))
    assert "no config 3 to" in mistake("ner", write("a.yaml", "extends: 3"))


def test_unknown_task_and_config():
    assert mistake("nre") == (
        "Unknown task 'nre'. Did you mean 'ner'? The tasks are: ner, pos, sentiment, "
        "translation, captioning."
    )
    message = mistake("ner", "wnut")
    assert "Unknown config 'wnut' for ner. Did you mean 'wnut17'?" in message
    assert "There is no config file no/such.yaml." in mistake("ner", "no/such.yaml")


def test_file_for_another_task(write):
    message = mistake("ner", write("a.yaml", "extends: pos\n"))
    assert re.match(r"configs/pos.yaml:\d+ is for the task 'pos', but the", message)


@pytest.mark.parametrize(
    ("text", "place", "problem"),
    [
        ("seed: 1\nseed: 2\n", ":2", "'seed' is set twice, first in line 1"),
        ("model:\n  units: 1\n  units: 2\n", ":3", "'units' is set twice"),
        ("model:\n  units: 1\nmodel.units: 2", ":3", "'model.units' is set twice"),
        ("model:\n  units: [1\n", ":3", "expected ',' or ']'"),
        ("seed 1\n", ":1", "must hold `name: value` lines"),
        ("model:\n\tunits: 1\n", ":2", "cannot start any token"),
        ("a: &x 1\nb: *x\n", ":1", "anchors and aliases are not for settings"),
        ("a: &x [*x]\n", ":1", "anchors and aliases are not for settings"),
        ("1: 2\n", ":1", "a setting's name must be a word"),
        ("seed: !!python/name:os.system x\n", ":1", "python/name:os.system"),
        ("seed: 1\n---\nseed: 2\n", ":2", "but found another document"),
        ("seed: 1\x00\n", "", "is not YAML"),
    ],
)
def test_malformed_file_names_file_and_line(write, text, place, problem):
    path = write("bad.yaml", text)
    message = mistake("ner", path)
    assert message.startswith(f"{path}{place}")
    assert problem in message


def test_malformed_line_is_shown(write):
    message = mistake("ner", write("bad.yaml", "seed: 1\nmodel: [\nseed: : 2\n"))
    assert "The line is: 'seed: : 2'." in message


def test_file_that_is_not_text(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_bytes(b"seed: 1 # \xff\n")
    assert f"{path} is not UTF-8 text (byte 10)" in mistake("ner", str(path))


def test_group_as_value(write):
    message = mistake("ner", write("a.yaml", "extends: ner\ntraining: 3\n"))
    assert "'training' is a group of settings, got 3" in message
    assert "a.yaml:2" in message


def test_group_with_nothing_under_it(write):
    path = write("a.yaml", "extends: ner\ntraining:\n  #epochs: 3\n")
    assert leaves_of(resolve("ner", path).config) == leaves_of(
        resolve("ner").config
    ) | {"name": "a"}


# === --set ===


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("training.learning_rate=1e-3", "training.learning_rate", 0.001),
        ("training.learning_rate=1", "training.learning_rate", 1.0),
        ("training.patience=null", "training.patience", None),
        ("data.tag_column=-1", "data.tag_column", -1),
        ("data.tag_column=UPOS", "data.tag_column", "UPOS"),
        ("model.lowercase=false", "model.lowercase", False),
        (" seed = 3 ", "seed", 3),
        ("runs_dir=a=b", "runs_dir", "a=b"),
        ("runs_dir=no", "runs_dir", "no"),
        ("runs_dir='01'", "runs_dir", "01"),
        ("runs_dir=2026-01-02", "runs_dir", "2026-01-02"),
        ("training.batch_tokens=2_048", "training.batch_tokens", 2048),
        (
            "training.optimizer_options={momentum: 0.9}",
            "training.optimizer_options",
            {"momentum": 0.9},
        ),
    ],
)
def test_set(text, key, value):
    resolved = resolve("ner", None, [text])
    found = leaves_of(resolved.config)[key]
    assert found == value
    assert type(found) is type(value)
    assert resolved.provenance[key] == "--set"


def test_set_adds_to_a_mapping_and_the_last_one_wins():
    resolved = resolve(
        "ner",
        None,
        [
            "training.optimizer_options.beta_1=0.8",
            "training.optimizer_options.beta_2=0.9",
            "training.epochs=3",
            "training.epochs=4",
        ],
    )
    options = resolved.config.training.optimizer_options
    assert options == {"beta_1": 0.8, "beta_2": 0.9}
    assert resolved.config.training.epochs == 4


@pytest.mark.parametrize(
    "text", ["training.epochs", "=3", "training.epochs=", "", " ="]
)
def test_set_without_key_or_value(text):
    assert f"--set {text!r} is not of the form key=value." in mistake(
        "ner", None, [text]
    )


def test_set_wrong():
    assert "(--set). Did you mean 'training.epochs'?" in mistake(
        "ner", None, ["training.epoch=3"]
    )
    assert "training.epochs must be a whole number >= 1, got 'ten' (--set)" in mistake(
        "ner", None, ["training.epochs=ten"]
    )
    assert "--set data.train: '[a' is not a YAML value." in mistake(
        "ner", None, ["data.train=[a"]
    )
    assert "'task' cannot be set" in mistake("ner", None, ["task=pos"])
    assert "'model' is a group of settings" in mistake(
        "ner", None, ["model={units: 3}"]
    )


def test_split_settings():
    text = "training.epochs=3  data.train='my file.conll' runs_dir=\"a'b\""
    assert split_settings(text) == [
        "training.epochs=3",
        "data.train=my file.conll",
        "runs_dir=a'b",
    ]
    assert split_settings(None) == []
    with pytest.raises(UserError, match="has a quote that is not closed"):
        split_settings("data.train='my")


# === Writing, reading back, comparing ===


@pytest.mark.parametrize(("task", "name"), SHIPPED)
def test_written_settings_read_back_equal(task, name, tmp_path):
    resolved = resolve(
        task,
        name,
        [
            "training.optimizer_options={beta_1: 1e-7, name: 'a # b'}",
            "training.learning_rate=1e-5",
            "data.train='# odd: name.conll'",
            'data.dev="two\\nlines \\u00e9"',
            "data.test='1e3'",
            *(["data.phrases=false"] if task == "sentiment" else []),
        ],
    )
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(resolved), encoding="utf-8")
    assert read_resolved(path) == resolved
    assert diff(read_resolved(path), resolved) == []


def test_written_settings_are_yaml_with_aligned_origins():
    text = to_yaml(resolve("ner", None, ["training.epochs=3"]))
    assert yaml.safe_load(text)["training"]["epochs"] == 3
    columns = {line.index("  # ") for line in text.splitlines() if "  # " in line}
    assert len(columns) == 1
    assert re.search(r"^  epochs: 3 +# --set$", text, flags=re.MULTILINE)


def test_written_settings_can_be_a_config(write):
    resolved = resolve("pos", "ud_ewt", ["training.epochs=3"])
    again = resolve("pos", write("copy.yaml", to_yaml(resolved)))
    assert again.config == resolved.config


def test_read_resolved_says_what_is_no_run_config(write):
    path = write("config.yaml", "seed: 3\n")
    with pytest.raises(UserError, match="names no task, so it is not the config of"):
        read_resolved(path)
    with pytest.raises(UserError, match=r"There is no config file no/such\.yaml"):
        read_resolved("no/such.yaml")


def test_diff_and_override():
    old = resolve("ner")
    new = override(old, ["training.epochs=3", "seed=9"])
    assert diff(old, new) == [
        ("seed", old.config.seed, 9),
        ("training.epochs", old.config.training.epochs, 3),
    ]
    assert new.provenance["seed"] == "--set"
    assert new.provenance["model.units"] == old.provenance["model.units"]


plain_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
)


@given(plain_values | st.dictionaries(st.from_regex(r"[a-z]\w{0,9}"), plain_values))
def test_format_and_parse_are_inverse(value):
    text = format_value(value)
    assert len(text.splitlines()) == 1
    parsed = parse_value(text, "test")
    assert parsed == value
    assert type(parsed) is type(value)


def test_groups_are_the_same_for_files_and_models():
    for task in MODELS:
        keys = leaves_of(resolve(task).config)
        assert {key.split(".")[0] for key in keys if "." in key} == {*sections(task)}
