"""Which configs of a ladder are trained, and what happens when that goes wrong."""

import io
import os
import signal
import subprocess
import sys
import threading

import pytest
from rich.console import Console
from toy_ladder import ToyRuns, ToyTrainings, shown

from seqloom.pipelines import rungs
from seqloom.pipelines.ladder import ladder_command
from seqloom.pipelines.rungs import Stopped, finished_run, unfinished_run
from seqloom.pipelines.settings import resolve, to_yaml


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


def test_only_what_is_missing_is_trained(trained, runs, quiet):
    runs.add(resolve("sentiment", "gru", quiet))
    output, error = shown(["simple_rnn", "gru", "lstm"], quiet)
    assert error is None
    assert trained.names == ["simple_rnn", "lstm"]
    output, _ = shown(["simple_rnn", "gru", "lstm"], quiet)
    assert trained.names == ["simple_rnn", "lstm"]
    assert "to be trained" not in output


def test_a_run_with_other_settings_does_not_count(trained, runs, quiet):
    same = resolve("sentiment", "gru", [*quiet, "tracking.log_every_steps=7"])
    assert finished_run(same) is None
    run = runs.add(resolve("sentiment", "gru", quiet))
    runs.add(resolve("sentiment", "gru", [*quiet, "seed=7"]))
    runs.add(resolve("sentiment", "lstm", quiet))
    assert finished_run(same).folder == run.folder
    assert finished_run(resolve("sentiment", "gru", [*quiet, "seed=8"])) is None
    shown(["gru", "lstm"], [*quiet, "training.max_steps=9"])
    assert trained.names == ["gru", "lstm"]


def test_a_damaged_run_is_passed_over(runs, quiet):
    wanted = resolve("sentiment", "gru", quiet)
    run = runs.add(wanted)
    runs.add(wanted).metrics_path.write_text("{")
    runs.add(wanted).config_path.write_text("model: [")
    assert finished_run(wanted).folder == run.folder


def test_an_interrupted_training_goes_on(trained, runs, quiet):
    wanted = resolve("sentiment", "gru", quiet)
    runs.add(resolve("sentiment", "gru", [*quiet, "seed=3"]), finished=False)
    begun = runs.add(wanted, finished=False)
    runs.add(resolve("sentiment", "lstm", quiet))
    assert unfinished_run(wanted).folder == begun.folder
    assert unfinished_run(resolve("sentiment", "attention", quiet)) is None
    shown(["gru", "lstm"], quiet)
    assert trained.names == [f"resumed {begun.name}"]


def test_the_task_s_own_config_is_called_like_the_task(quiet):
    [own, other] = rungs.resolve_rungs("sentiment", ["sentiment", "gru"], quiet)
    assert own.resolved == resolve("sentiment", None, quiet)
    command = rungs.train_command("sentiment", own, quiet)
    assert command[4:] == ["sentiment", "--set", quiet[0], "--set", quiet[1]]
    assert "gru" in rungs.train_command("sentiment", other, quiet)


def test_two_files_of_one_name_are_told_apart(tmp_path, quiet):
    paths = []
    for folder in ("a", "b"):
        paths.append(str(tmp_path / folder / "mine.yaml"))
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.yaml").write_text("extends: sentiment\n")
    titles = [rung.title for rung in rungs.resolve_rungs("sentiment", paths, quiet)]
    assert titles == paths


def test_the_command_line_takes_the_command(quiet):
    """A process of its own reads the same settings out of it."""
    overrides = [*quiet, "training.max_steps=9", "data.train=my file.tsv"]
    [rung, _] = rungs.resolve_rungs("sentiment", ["gru", "lstm"], overrides)
    command = [*rungs.train_command("sentiment", rung, overrides), "--dry-run"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert answer.stdout == to_yaml(rung.resolved)


# === What goes wrong ===


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["lstmm", "gru"], "Unknown config 'lstmm' for sentiment. Did you mean 'lstm'"),
        (["gru"], "two or more configs, and CONFIGS names only 'gru'."),
        (["gru", "gru"], "names only 'gru'. Write CONFIGS=\"sentiment gru\""),
        ([], "and CONFIGS names none."),
    ],
)
def test_mistakes_are_told_before_any_training(trained, quiet, names, text):
    output, error = shown(names, quiet)
    assert text in error
    assert output == ""
    assert trained.names == []


def test_a_training_that_fails_is_named_and_the_others_are_kept(trained, quiet):
    trained.failing = {"gru": 2}
    settings = [*quiet, "seed=5"]
    output, error = shown(["simple_rnn", "gru", "lstm"], settings)
    assert trained.names == ["simple_rnn", "gru", "lstm"]
    assert error == (
        "The training of gru failed (exit status 2): see what it said above. It alone: "
        f'make train TASK=sentiment CONFIG=gru SET="{" ".join(settings)}"'
    )
    table = output[output.index("The ladder of sentiment") :]
    assert "60.00" in table and "simple_rnn" in table and "gru" not in table


def test_if_all_fail_there_is_nothing_to_show(trained, quiet, tmp_path):
    trained.failing = {"gru": -9, "lstm": 1}
    output, error = shown(["gru", "lstm"], quiet)
    assert "gru failed (killed by SIGKILL, perhaps for want of memory)" in error
    assert "lstm failed (exit status 1)" in error
    assert "The ladder" not in output
    assert not (tmp_path / "sentiment" / "comparisons").exists()


@pytest.mark.parametrize(("status", "shown_status"), [(130, 130), (-15, 143)])
def test_an_interruption_ends_the_ladder(trained, quiet, status, shown_status):
    trained.failing = {"gru": status}
    with pytest.raises(Stopped) as stopped:
        ladder_command("sentiment", ["gru", "lstm"], quiet, Console(file=io.StringIO()))
    assert str(stopped.value) == (
        "Stopped while gru was trained. The same command goes on from there."
    )
    assert stopped.value.exit_status == shown_status
    assert trained.names == ["gru"]


SLOW = """
import signal, sys, time
from pathlib import Path
def save(number, frame):
    time.sleep(0.3)
    Path(sys.argv[1]).write_text("saved")
    sys.exit(128 + number)
signal.signal(signal.SIGTERM, save)
Path(sys.argv[1]).write_text("ready")
time.sleep(float(sys.argv[2]))
"""


@pytest.mark.parametrize(
    ("number", "seconds", "status", "text"),
    [(signal.SIGTERM, "30", 143, "saved"), (signal.SIGINT, "1.5", 0, "ready")],
)
def test_a_signal_waits_for_the_training(tmp_path, number, seconds, status, text):
    """SIGTERM is passed on; SIGINT has been sent to it by the terminal."""
    note = tmp_path / "note"

    def send_when_ready():
        while not note.exists() or not note.read_text():
            threading.Event().wait(0.05)
        os.kill(os.getpid(), number)

    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    thread = threading.Thread(target=send_when_ready, daemon=True)
    thread.start()
    command = [sys.executable, "-c", SLOW, str(note), seconds]
    assert rungs.run_to_the_end(command) == status
    thread.join(timeout=10)
    assert note.read_text() == text
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
