"""The table of a ladder, its remarks, its MLflow run and its command."""

import pytest
from toy_ladder import ToyRuns, ToyTrainings, shown, write_predictions
from typer.testing import CliRunner

from seqloom.pipelines import cli, ladder, rungs
from seqloom.pipelines.compare import compare
from seqloom.pipelines.ladder import markdown, table_cells
from seqloom.pipelines.ladder_scores import differences, predictions
from seqloom.pipelines.run import Run
from seqloom.pipelines.rungs import Rung
from seqloom.pipelines.settings import resolve
from seqloom.tasks.significance import compare_translations


@pytest.fixture
def quiet(tmp_path):
    """Settings that keep all runs in one folder, without tracking."""
    return [f"runs_dir={tmp_path}", "tracking.enabled=false"]


@pytest.fixture
def runs(tmp_path):
    return ToyRuns(tmp_path)


@pytest.fixture
def trained(monkeypatch, runs):
    trainings = ToyTrainings(runs)
    monkeypatch.setattr(rungs, "run_to_the_end", trainings.run)
    return trainings


# === The table ===


def rung(name, test, training=None, **metrics):
    resolved = resolve("sentiment", "gru")
    values = {"test": test, "training": training or {}, **metrics}
    return Rung(name, name, resolved, None, values)


def test_a_row_holds_the_numbers_of_a_config(trained, quiet):
    output, _ = shown(["attention", "gru"], quiet)
    [row] = [line for line in output.splitlines() if "80.00" in line]
    assert row.split() == ["attention", "80.00", "25.00", "1,234,567", "4,321", "2.0"]


def test_bleu_and_chrf_are_out_of_100_and_old_runs_lack_a_column():
    test = {"bleu": 38.414, "chrf": 61.5, "perplexity": 7.25, "loss": 2.0}
    header, rows = table_cells([rung("a", test)], "bleu")
    assert header == ["config", "BLEU", "chrF", "parameters", "tokens/s", "minutes"]
    assert rows == [["a", "38.41", "61.50", "–", "–", "–"]]


def test_the_table_is_written_down(trained, quiet, tmp_path):
    shown(["simple_rnn", "gru"], quiet)
    [folder] = (tmp_path / "sentiment" / "comparisons").iterdir()
    text = (folder / "table.md").read_text()
    assert "| config | accuracy | macro F1 | parameters | tokens/s | minutes |" in text
    assert "| gru | 75.00 | 25.00 | 1,234,567 | 4,321 | 2.0 |" in text
    assert f"- gru: {tmp_path}/sentiment/202601" in text
    for name in ("ladder.png", "by_length.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


def test_remarks_stand_between_the_table_and_the_runs():
    text = markdown("ner", ["a", "b"], [["1", "2"]], ["Note."], [])
    assert text.splitlines()[2:] == [
        "| a | b |",
        "|---|---:|",
        "| 1 | 2 |",
        "",
        "Note.",
        "",
        "Runs:",
        "",
    ]


def test_other_data_is_remarked(trained, quiet):
    output, _ = shown(["gru", "sst2"], quiet)
    assert "these configs differ in data.corpus" in output
    output, _ = shown(["gru", "lstm"], quiet)
    assert "differ" not in output


def translated(name, tmp_path, texts, source="s"):
    """A config that translated sentences of four words, one by one."""
    run = Run(tmp_path / name)
    rows = [
        {"source": f"{source}{i}", "reference": f"w{i} x y z", "prediction": text}
        for i, text in enumerate(texts)
    ]
    write_predictions(run, rows)
    return Rung(name, name, resolve("sentiment", "gru"), run, {"test": {"bleu": 1.0}})


def test_each_config_is_compared_with_the_one_before(tmp_path):
    right = [f"w{i} x y z" for i in range(60)]
    half = [text if i % 2 else "no no no no" for i, text in enumerate(right)]
    other = [text if i % 2 == 0 else "no no no no" for i, text in enumerate(right)]
    compared = [
        translated("half", tmp_path, half),
        translated("right", tmp_path, right),
        translated("half again", tmp_path, half),
        translated("other half", tmp_path, other),
    ]
    better, worse, unsure = differences(compared, "bleu")
    found = compare_translations(*map(list, map(predictions, compared[:2])))["bleu"]
    assert better == (
        f"right is better than half: +{found['difference']:.1f} BLEU, 95 % interval "
        f"{found['low']:.1f} to {found['high']:.1f}."
    )
    assert worse.startswith(f"half again is worse than right: -{better.split()[5][1:]}")
    assert unsure.startswith("other half and half again are not clearly apart: ")
    assert differences(compared, "accuracy") == []


def test_other_test_sentences_are_told_instead_of_compared(tmp_path):
    compared = [
        translated("a", tmp_path, ["w0 x y z"]),
        translated("b", tmp_path, ["w0 x y z"], source="other"),
        rung("c", {"bleu": 1.0}),
    ]
    for line, names in zip(differences(compared, "bleu"), ("b and a", "c and b")):
        assert line.startswith(f"{names} cannot be compared sentence by sentence: ")


# === Tracking and the command line ===


def test_a_comparison_is_one_mlflow_run_and_no_training(
    trained, tmp_path, client, store_uri
):
    settings = [f"runs_dir={tmp_path}", f"tracking.uri={store_uri}"]
    settings += ["tracking.experiment=ladder"]
    assert shown(["simple_rnn", "gru"], settings)[1] is None
    [experiment] = [e for e in client.search_experiments() if e.name == "ladder"]
    [run] = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "comparison simple_rnn, gru"
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {
        "test/accuracy/simple_rnn": 0.5,
        "test/accuracy/gru": 0.75,
    }
    artifacts = {a.path for a in client.list_artifacts(run.info.run_id)}
    assert artifacts == {"figures", "table.md", "tables"}
    figures = {a.path for a in client.list_artifacts(run.info.run_id, "figures")}
    assert figures == {"figures/ladder.png", "figures/by_length.png"}
    assert [run.settings["name"] for run in compare("sentiment", tmp_path)] == [
        "gru",
        "simple_rnn",
    ]
    assert Run.newest(tmp_path, "sentiment").config_name() == "gru"


def test_the_command_hands_configs_and_settings_on(monkeypatch):
    calls = []
    monkeypatch.setattr(ladder, "ladder_command", lambda *args: calls.append(args))
    arguments = ["compare", "sentiment", "--configs", " gru  lstm "]
    arguments += ["--set", "seed=4", "--settings", "data.train='my file.tsv'"]
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 0, result.output
    settings = ["seed=4", "data.train=my file.tsv"]
    assert calls == [("sentiment", ["gru", "lstm"], settings)]


def test_settings_without_configs_are_refused():
    result = CliRunner().invoke(cli.app, ["compare", "ner", "--settings", "seed=4"])
    assert result.exit_code == 2
    assert "'seed=4' changes what is trained, and nothing is: name" in result.stderr
