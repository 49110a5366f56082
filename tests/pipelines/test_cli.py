"""The command line: what it hands on, what it says, how it ends."""

import io
import json
import subprocess
import sys
import types
from pathlib import Path

import pytest
from typer.testing import CliRunner

from seqloom.pipelines import cli, cli_predict
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.settings import override, read_resolved, resolve, to_yaml
from seqloom.tasks.records import DataError


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs `seqloom ...` in an empty folder, with a wide terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("SEQLOOM_DEBUG", raising=False)
    for module in (cli, cli_predict):
        monkeypatch.setattr(module, "import_engine", lambda: None)

    def run(*args, **options):
        return CliRunner().invoke(cli.app, args, **options)

    return run


@pytest.fixture
def calls(monkeypatch):
    """Stands in for what needs TensorFlow; lists (function, arguments)."""
    made = []
    functions = {
        "workflow": ["train", "evaluate", "export", "summarize"],
        "predict": ["predict_command"],
        "check": ["check"],
        "compare": ["compare_command"],
    }
    for module, names in functions.items():
        stand_in = types.ModuleType(f"seqloom.pipelines.{module}")
        for name in names:
            setattr(stand_in, name, _recorder(made, name))
        monkeypatch.setitem(sys.modules, stand_in.__name__, stand_in)
        import seqloom.pipelines

        monkeypatch.setattr(seqloom.pipelines, module, stand_in, raising=False)
    return made


def _recorder(made, name):
    def record(*args, **named):
        made.append((name, args, named))
        return Path("no run")

    return record


def make_run(folder, task="ner", config=None, finished=True):
    """A run directory as far as the command line looks into one."""
    folder = Path(folder)
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(to_yaml(resolve(task, config)))
    metrics = {"test": {"f1": 0.5}} if finished else {}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder.resolve()


# === Help and plain mistakes ===


def test_help_names_every_command(run):
    text = run("--help").output
    verbs = ["train", "evaluate", "predict", "export", "data", "check", "compare"]
    for verb in [*verbs, "ui", "sync"]:
        assert verb in text


def test_help_and_dry_run_load_no_engine(tmp_path):
    """In a process of its own, since other tests import TensorFlow into this one."""
    script = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from seqloom.pipelines import cli\n"
        "for args in (['--help'], ['train', '--help'], ['train', 'ner', '--dry-run'],\n"
        "             ['train', 'ner', '--set', 'a.b=1'], ['train', 'nre'],\n"
        "             ['evaluate', '--run', 'no-such-run'], ['predict', 'ner', 'a']):\n"
        "    CliRunner().invoke(cli.app, args)\n"
        "heavy = {'tensorflow', 'keras', 'mlflow', 'matplotlib', 'pandas', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    command = [sys.executable, "-c", script]
    answer = subprocess.run(  # elsewhere: there is no run to predict with
        command, capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["train", "nre"], "error: Unknown task 'nre'. Did you mean 'ner'?"),
        (["train", "ner", "--config", "wnut"], "Unknown config 'wnut' for ner. Did"),
        (["train", "ner", "--set", "training.batchsize=3"], "'training.batch_tokens'?"),
        (["train", "ner", "--set", "seed=x"], "seed must be a whole number >= 0, got"),
        (["train", "ner", "--resume", "no/run"], "There is no run at no/run."),
        (["data", "nre"], "Unknown task 'nre'"),
        (["check", "nre"], "Unknown task 'nre'"),
        (["compare", "nre"], "Unknown task 'nre'"),
        (
            ["evaluate"],
            "Which run? Name a task (ner, pos, sentiment, translation, captioning) for",
        ),
        (["evaluate", "ner"], "There is no finished run of ner in runs/ner."),
        (["export", "--run", "."], "is not a run directory: it has no config.yaml."),
        (["predict", "nre", "Hello"], "Unknown task 'nre'"),
        (["predict", "ner", "Hello", "--file", "-"], "both texts and --file -."),
        (["predict", "ner", "--file", "no.txt"], "There is no file no.txt to read"),
        (["ui"], "There is no runs/mlflow.db: nothing has been tracked here yet."),
        (["sync"], "There is no tracked run in runs."),
    ],
)
def test_the_users_mistakes(run, args, text):
    result = run(*args)
    assert result.exit_code == 2
    assert text in result.stderr
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.output
    assert result.stdout == ""


def test_unknown_verb_suggests_one(run):
    result = run("trian", "ner")
    assert result.exit_code == 2
    assert "Did you mean 'train'?" in result.output


@pytest.mark.parametrize("error", [UserError, DataError])
def test_errors_of_the_pipelines_are_told_plainly(run, calls, monkeypatch, error):
    def fail(*_, **__):
        raise error("my.conll:3: [bold]odd[/bold] line.")

    monkeypatch.setattr(sys.modules["seqloom.pipelines.workflow"], "train", fail)
    result = run("train", "ner")
    assert result.exit_code == 2
    assert result.stderr == "error: my.conll:3: [bold]odd[/bold] line.\n"
    monkeypatch.setenv("SEQLOOM_DEBUG", "1")
    assert isinstance(run("train", "ner").exception, error)


def test_a_bug_is_not_taken_for_a_mistake(run, calls, monkeypatch):
    def fail(*_, **__):
        raise ValueError("a bug")

    monkeypatch.setattr(sys.modules["seqloom.pipelines.workflow"], "train", fail)
    result = run("train", "ner")
    assert result.exit_code == 1
    assert isinstance(result.exception, ValueError)


def test_ctrl_c(run, calls, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["seqloom.pipelines.workflow"], "train", interrupt)
    result = run("train", "ner")
    assert result.exit_code == 130
    assert result.stderr == "\nInterrupted.\n"


# === train ===


def test_train(run, calls):
    result = run(
        "train",
        "ner",
        "--config",
        "wnut17",
        "--set",
        "seed=4",
        "--settings",
        "runs_dir='my runs' training.epochs=2",
    )
    assert result.exit_code == 0, result.output
    expected = resolve("ner", "wnut17", ["seed=4", "runs_dir=my runs"])
    expected = override(expected, ["training.epochs=2"])
    assert calls == [("train", (expected,), {"resume": None})]


def test_dry_run_shows_the_settings_and_their_origin(run, calls, tmp_path):
    result = run("train", "ner", "--dry-run", "--set", "training.epochs=3")
    assert result.exit_code == 0
    assert result.stdout == to_yaml(resolve("ner", None, ["training.epochs=3"]))
    assert calls == []
    assert list(tmp_path.iterdir()) == []


def test_summary_shows_the_model_too(run, calls):
    result = run("train", "pos", "--summary")
    assert "task: pos" in result.stdout
    assert calls == [("summarize", (resolve("pos"),), {})]


def test_resume_takes_the_settings_of_the_run(run, calls, tmp_path):
    folder = make_run(tmp_path / "runs/ner/a-1", config="wnut17", finished=False)
    run("train", "ner", "--resume", "runs/ner/a-1")
    expected = read_resolved(folder / "config.yaml")
    assert expected.config == resolve("ner", "wnut17").config
    assert calls == [("train", (expected,), {"resume": Path("runs/ner/a-1")})]


def test_resume_with_other_settings_is_told_before_tensorflow_loads(
    run, calls, tmp_path
):
    make_run(tmp_path / "runs/ner/a-1", config="wnut17", finished=False)
    result = run("train", "ner", "--resume", "runs/ner/a-1", "--set", "seed=9")
    assert result.exit_code == 2
    assert "seed: 1 -> 9" in result.stderr
    assert calls == []
    run("train", "ner", "--resume", "runs/ner/a-1", "--config", "wnut17")
    assert [args[0] for _, args, _ in calls] == [resolve("ner", "wnut17")]


# === Commands on a run ===


@pytest.mark.parametrize("verb", ["evaluate", "export"])
def test_newest_run(run, calls, tmp_path, verb):
    make_run(tmp_path / "runs/ner/20260101-000000-aaaa")
    newest = make_run(tmp_path / "runs/ner/20260102-000000-aaaa")
    tweets = make_run(tmp_path / "runs/ner/20260101-120000-aaaa", config="wnut17")
    make_run(tmp_path / "runs/ner/20260103-000000-aaaa", finished=False)
    result = run(verb, "ner")
    assert result.stderr == ("Run: runs/ner/20260102-000000-aaaa (the newest of ner)\n")
    result = run(verb, "ner", "--config", "wnut17")
    assert "(the newest of ner with config wnut17)" in result.stderr
    assert calls == [(verb, (newest,), {}), (verb, (tweets,), {})]


def test_named_run(run, calls, tmp_path):
    folder = make_run(tmp_path / "elsewhere/a-1", task="pos")
    assert run("evaluate", "--run", "elsewhere/a-1").exit_code == 0
    assert run("evaluate", "pos", "--run", str(folder)).exit_code == 0
    assert calls == [("evaluate", (folder,), {})] * 2
    result = run("evaluate", "ner", "--run", "elsewhere/a-1")
    assert "error: elsewhere/a-1 is a run of pos, not of ner." in result.stderr


def test_predict_texts(run, calls, tmp_path):
    folder = make_run(tmp_path / "runs/ner/20260101-000000-aaaa")
    run("predict", "ner", "Rhea met Ada", "ner", "--json")
    run("predict", "--run", str(folder), "Rhea met Ada")
    run("predict", "--run", str(folder), "ner", "--text=-dash $HOME", "--text", "é")
    plain = {"file": None, "as_json": False}
    assert calls == [
        (
            "predict_command",
            (folder, ["Rhea met Ada", "ner"]),
            plain | {"as_json": True},
        ),
        ("predict_command", (folder, ["Rhea met Ada"]), plain),
        ("predict_command", (folder, ["-dash $HOME", "é"]), plain),
    ]


def test_predict_files(run, calls, tmp_path, monkeypatch):
    folder = make_run(tmp_path / "runs/ner/20260101-000000-aaaa")
    (tmp_path / "a b.txt").write_text("Rhea")
    run("predict", "ner", "--file", "a b.txt")
    run("predict", "ner", "--file", "-", input="Rhea\n")
    run("predict", "ner", input="Rhea\n")
    files = [named["file"] for _, args, named in calls if args == (folder, [])]
    assert files == ["a b.txt", "-", "-"]


def test_predict_at_a_terminal_asks_for_text(run, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    with pytest.raises(UserError, match="There is no text to predict for. Give it:"):
        cli.predict(["ner"])


# === Other commands ===


def test_check_and_compare(run, calls):
    run("check", "ner", "--replicas", "2")
    run("compare", "pos")
    assert calls == [
        ("check", ("ner", 2), {}),
        ("compare_command", ("pos", Path("runs"), 20), {}),
    ]


def test_data_shows_a_corpus(run):
    result = run("data", "ner", "--set", "data.corpus=synthetic", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["name"] == "synthetic"
    assert "synthetic" in run("data", "ner", "--set", "data.corpus=synthetic").stdout


def test_data_of_texts(run):
    options = ("--set", "data.corpus=synthetic")
    summary = json.loads(run("data", "sentiment", *options, "--json").stdout)
    assert summary["splits"]["test"]["num_texts"] == 200
    assert set(summary["labels"]["dev"]) == {"negative", "neutral", "positive"}
    assert "Texts by label" in run("data", "sentiment", *options).stdout


def test_ui_names_a_server_that_runs_already(run, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking.example:5000")
    result = run("ui")
    assert result.exit_code == 0
    assert "runs already: open http://tracking.example:5000" in result.output


def test_ui_serves_the_store_of_the_runs(run, monkeypatch, tmp_path):
    from mlflow import MlflowClient

    from seqloom.pipelines import ui

    started = []
    monkeypatch.setattr(ui.os, "execve", lambda *args: started.append(args))
    monkeypatch.setattr(ui, "_free", lambda port: port != 5000)
    (tmp_path / "runs").mkdir()
    client = MlflowClient(f"sqlite:///{tmp_path}/runs/mlflow.db")
    number = client.create_experiment("ner")
    client.create_run(number)
    client.create_experiment("empty")
    assert "Port 5000 is in use. Take another: make ui PORT=5001" in run("ui").stderr
    _, runs = run("ui", "--port", "5009").stdout.splitlines()
    assert runs.split() == [
        "ner",
        f"http://127.0.0.1:5009/#/experiments/{number}/runs"
        "?workflowType=machine_learning",
    ]
    [(program, command, environment)] = started
    assert program == command[0] == sys.executable
    text = " ".join(command)
    assert "mlflow server --backend-store-uri sqlite:///runs/mlflow.db" in text
    assert f"--artifacts-destination {tmp_path}/runs/mlflow-artifacts" in text
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
