import io
import json
import re

import pytest
from rich.console import Console

from seqloom.pipelines.compare import compare, compare_command, differing_settings
from seqloom.pipelines.scores import main_metric, metric_name, score_text
from seqloom.pipelines.settings import resolve, to_yaml


@pytest.fixture
def add_run(tmp_path):
    def add(name, overrides=(), f1=None, task="ner", config=None, **test):
        folder = tmp_path / task / name
        folder.mkdir(parents=True)
        text = to_yaml(resolve(task, config, overrides))
        (folder / "config.yaml").write_text(text)
        if f1 is not None:
            metrics = {
                "training": {"seconds": 810, "steps": 9, "tokens_per_second": 17034.2},
                "validation": {"f1": f1 + 0.04},
                "test": {"f1": f1, "conlleval_f1": f1 + 0.01, **test},
            }
            (folder / "metrics.json").write_text(json.dumps(metrics))
        return folder

    return add


def shown(task, runs_dir, width=140, limit=20):
    console = Console(
        file=io.StringIO(), width=width, force_terminal=True, color_system=None
    )
    compare_command(task, runs_dir, limit, console)
    return console.file.getvalue()


def test_the_best_run_comes_first_and_unfinished_ones_last(add_run, tmp_path):
    add_run("20260101-101010-aa", f1=0.85)
    add_run("20260102-101010-bb", f1=0.86)
    add_run("20260103-101010-cc")
    add_run("20260104-101010-dd", f1=0.81)
    add_run("20260105-101010-ee")
    (tmp_path / "ner" / "latest").symlink_to("20260104-101010-dd")
    names = [run.name[-2:] for run in compare("ner", tmp_path)]
    assert names == ["bb", "aa", "dd", "ee", "cc"]


def test_a_row_holds_the_numbers_of_its_run(add_run, tmp_path):
    add_run("20260101-101010-aa", f1=0.85, f1_unknown=0.7)
    lines = shown("ner", tmp_path).splitlines()
    [row] = [line for line in lines if "20260101" in line]
    assert row.split() == [
        "20260101-101010-aa",
        "ner",
        "2026-01-01",
        "10:10",
        "13.5",
        "17,034",
        "89.00",
        "85.00",
        "86.00",
        "70.00",
    ]
    assert "One run has nothing to be compared with" in lines[-1]


def test_only_settings_that_differ_are_shown(add_run, tmp_path):
    add_run("20260101-101010-aa", ["seed=7", "runs_dir=a"], f1=0.85)
    add_run("20260102-101010-bb", ["seed=8", "tracking.enabled=false"], f1=0.86)
    add_run("20260103-101010-cc", ["seed=8", "model.units=64"])
    runs = compare("ner", tmp_path)
    assert differing_settings(runs) == ["seed", "model.units"]
    output = shown("ner", tmp_path)
    rows = [line.split()[-2:] for line in output.splitlines() if "2026-" in line]
    units = str(resolve("ner").config.model.units)
    assert rows == [["8", units], ["7", units], ["8", "64"]]


def test_unfinished_runs_say_how_to_go_on(add_run, tmp_path):
    folder = add_run("20260101-101010-aa")
    output = shown("ner", tmp_path)
    assert f"make train TASK=ner RESUME={folder}" in output


def test_no_run_at_all_names_the_command_that_makes_one(tmp_path):
    assert "`make train TASK=pos` makes one" in shown("pos", tmp_path)


def test_a_damaged_run_is_named_and_the_others_are_shown(add_run, tmp_path):
    add_run("20260101-101010-aa", f1=0.85)
    (add_run("20260102-101010-bb") / "metrics.json").write_text("{")
    (add_run("20260103-101010-cc") / "config.yaml").write_text("model: [")
    output = shown("ner", tmp_path)
    assert "20260102-101010-bb cannot be read" in output
    assert "20260103-101010-cc cannot be read" in output
    assert "85.00" in output


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_no_number_is_ever_cut(add_run, tmp_path, width):
    changes = ["model.units=64", "training.learning_rate=0.0125", "training.epochs=3"]
    add_run("20260101-101010-aa", f1=0.85, f1_unknown=0.7)
    add_run("20260102-101010-bb", [*changes, "seed=12345"], f1=0.86, f1_unknown=0.7)
    output = shown("ner", tmp_path, width)
    assert "…" not in output
    table = [line for line in output.splitlines() if re.search("20260|──|F1", line)]
    assert max(map(len, table)) <= width
    for key in ("seed", "units", "rate", "epochs"):
        assert key in output  # as a column, or named below the table


def test_only_the_newest_are_shown(add_run, tmp_path):
    for day in range(1, 6):
        add_run(f"2026010{day}-101010-aa", f1=0.9 - day / 100)
    output = shown("ner", tmp_path, limit=2)
    assert "20260105" in output and "20260104" in output
    assert "20260103" not in output
    assert "The 2 newest of 5 runs" in output


def test_into_a_file_the_table_is_whole(add_run, tmp_path, capsys):
    add_run("20260101-101010-aa", f1=0.85, f1_unknown=0.7)
    compare_command("ner", tmp_path)
    assert "…" not in capsys.readouterr().out


def add_metrics(folder, **test):
    metrics = {"validation": test, "test": test}
    (folder / "metrics.json").write_text(json.dumps(metrics))


def test_bleu_is_out_of_100_already(add_run, tmp_path):
    values = {"bleu": 38.414, "chrf": 61.5, "perplexity": 7.25, "loss": 1.98}
    add_metrics(add_run("20260101-101010-aa"), **values)
    lines = shown("ner", tmp_path).splitlines()
    [row] = [line for line in lines if "20260101" in line]
    assert row.split()[-4:] == ["38.41", "38.41", "61.50", "7.25"]
    [header] = [line for line in lines if line.startswith(" run ")]
    assert header.split()[-4:] == ["BLEU", "BLEU", "chrF", "perplexity"]


@pytest.mark.parametrize("metric", ["perplexity", "loss"])
def test_of_a_perplexity_or_loss_the_lowest_is_best(add_run, tmp_path, metric):
    for name, value in (("aa", 9.0), ("bb", 7.0), ("cc", 8.0)):
        add_metrics(add_run(f"20260101-101010-{name}"), **{metric: value})
    assert [run.name[-2:] for run in compare("ner", tmp_path)] == ["bb", "cc", "aa"]


@pytest.mark.parametrize(
    ("metric", "value", "name", "text"),
    [
        ("bleu", 38.414, "BLEU", "38.41"),
        ("chrf", 61.5, "chrF", "61.50"),
        ("perplexity", 7.2549, "perplexity", "7.25"),
        ("loss", 0.12346, "loss", "0.1235"),
        ("log_loss", 1.5, "log loss", "1.5000"),
        ("macro_f1", 0.5, "macro F1", "50.00"),
        ("calibration_error", 0.0213, "calibration error", "2.13"),
    ],
)
def test_each_metric_is_written_on_its_own_scale(metric, value, name, text):
    assert metric_name(metric) == name
    assert score_text({metric: value}, metric) == text
    assert score_text({}, metric) == "–"


def test_a_translation_is_judged_by_its_bleu():
    assert main_metric({"loss": 1, "perplexity": 2, "chrf": 3, "bleu": 4}) == "bleu"
    assert main_metric({"loss": 1, "perplexity": 2}) == "perplexity"
    assert main_metric({}) == ""
