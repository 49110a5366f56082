"""A run that was killed, resumed, stopped and resumed is one that never was.

Real processes through the real command line, in deterministic mode on the CPU: dropout,
rare-word replacement and weight averaging are on.
"""

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
from toy_training import TINY
from typer.testing import CliRunner

from seqloom.pipelines import cli
from seqloom.pipelines.run import Run

pytestmark = pytest.mark.timeout(900)

SETTINGS = [
    *TINY,
    "data.corpus=synthetic",
    "data.limit=160",
    "model.dropout=0.4",
    "model.word_dropout=0.5",
    "training.deterministic=true",
    "training.epochs=4",
    "training.batch_tokens=60",
    "training.learning_rate=0.01",
    "training.warmup_steps=10",
    "training.ema=0.95",
    "training.checkpoint_steps=3",
    "tracking.system_metrics=false",
    "tracking.log_every_steps=1",
]
TIMING = ("tokens_per_second", "seconds")
COMMAND = [sys.executable, "-m", "seqloom.pipelines.cli", "train", "ner"]


@dataclass
class Story:
    """What became of a run: its directory, and what its processes said."""

    run: Run
    outputs: list[str]
    statuses: list[int]


class Process:
    """`seqloom train` in a process of its own, all it says in one file."""

    def __init__(self, folder: Path, arguments: list[str]):
        self.log = folder / f"log-{len(list(folder.glob('log-*')))}.txt"
        with self.log.open("w") as file:
            self.process = subprocess.Popen(
                [*COMMAND, *arguments],
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=folder,
            )

    def ended(self) -> tuple[str, int]:
        status = self.process.wait(timeout=400)
        return self.log.read_text(encoding="utf-8"), status

    def send(self, number: int) -> tuple[str, int]:
        self.process.send_signal(number)
        return self.ended()

    def wait_for_mid_epoch(self, runs_dir: Path, epoch: int) -> Run:
        """The run, as soon as it has a checkpoint in the first half of an epoch."""
        end = time.monotonic() + 300
        while time.monotonic() < end:
            if self.process.poll() is not None:
                pytest.fail(f"ended too soon: {self.log.read_text(encoding='utf-8')}")
            for path in runs_dir.glob("ner/*/checkpoints/checkpoint-*.json"):
                values = checkpoint_values(path)
                if values["epoch"] == epoch and 0 < values["batch"] < 12:
                    return Run(path.parent.parent)
            time.sleep(0.005)
        pytest.fail("waited 300 seconds for a checkpoint in mid-epoch")


def checkpoint_values(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))["values"]
    except FileNotFoundError:  # a newer one has taken its place
        return {"epoch": -1, "batch": 0}


def newest_values(run: Run) -> dict:
    return checkpoint_values(sorted(run.checkpoint_dir.glob("*.json"))[-1])


@pytest.fixture(scope="module")
def stories(tmp_path_factory, client, store_uri) -> tuple[Story, Story]:
    """The uninterrupted run and the interrupted one, at the same time."""
    client.search_experiments()  # makes the store
    folders = [tmp_path_factory.mktemp(name) for name in ("whole", "broken")]

    def arguments(folder: Path) -> list[str]:
        own = [f"runs_dir={folder}/runs", f"tracking.experiment={folder.name}"]
        settings = [*SETTINGS, *own, f"tracking.uri={store_uri}"]
        return [part for setting in settings for part in ("--set", setting)]

    whole = Process(folders[0], arguments(folders[0]))
    outputs, statuses = [], []

    def note(result: tuple[str, int]) -> None:
        outputs.append(result[0])
        statuses.append(result[1])

    try:
        process = Process(folders[1], arguments(folders[1]))
        run = process.wait_for_mid_epoch(folders[1] / "runs", epoch=1)
        note(process.send(signal.SIGKILL))
        assert newest_values(run)["batch"] > 0, "killed between epochs: no proof"
        resume = ["--resume", str(run.folder)]
        process = Process(folders[1], resume)
        process.wait_for_mid_epoch(folders[1] / "runs", epoch=2)
        note(process.send(signal.SIGTERM))
        assert newest_values(run)["batch"] > 0, "stopped between epochs: no proof"
        process = Process(folders[1], resume)
        note(process.ended())
        output, status = whole.ended()
    finally:
        for one in (whole, process):
            one.process.kill()
    assert status == 0, output
    finished = Run.open(folders[0] / "runs" / "ner" / "latest")
    return Story(finished, [output], [status]), Story(run, outputs, statuses)


def test_the_processes_ended_as_they_should(stories):
    _, broken = stories
    assert broken.statuses == [-signal.SIGKILL, 128 + signal.SIGTERM, 0], broken.outputs


def test_a_stopped_process_says_how_to_go_on(stories):
    _, broken = stories
    last_line = broken.outputs[1].strip().splitlines()[-1]
    assert (
        "by SIGTERM; everything is saved. Go on with: make train TASK=ner" in last_line
    )
    assert last_line.endswith(f"RESUME={broken.run.folder}")
    assert "Traceback" not in broken.outputs[1]
    assert "Going on from step" in broken.outputs[2]


def test_best_weights_are_equal_in_every_bit(stories):
    first, second = [read_weights(story.run.weights_path) for story in stories]
    assert first
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)


def test_the_last_checkpoints_are_equal_in_every_bit(stories):
    paths = [sorted(s.run.checkpoint_dir.glob("*.npz"))[-1] for s in stories]
    assert paths[0].name == paths[1].name
    first, second = [np.load(path, allow_pickle=False) for path in paths]
    assert any(name.startswith("average/") for name in first.files)
    assert first.files == second.files
    for name in first.files:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def test_metrics_and_predictions_are_equal(stories):
    first, second = [story.run.metrics() for story in stories]
    for group in ("validation", "test", "test_per_type"):
        assert first[group] == second[group]
    for name in ("steps", "epochs", "best_step", "tokens", "padding"):
        assert first["training"][name] == second["training"][name], name
    first, second = [
        (story.run.predictions_dir / "test.jsonl").read_bytes() for story in stories
    ]
    assert first == second


def test_the_curves_are_equal(stories):
    first, second = [
        [
            {name: value for name, value in row.items() if name not in TIMING}
            for row in story.run.history()
        ]
        for story in stories
    ]
    assert len(first) > 80
    assert first == second


def test_it_is_one_mlflow_run_with_the_same_curves(stories, client):
    curves = []
    for story in stories:
        name = story.run.folder.parents[2].name
        experiment = client.get_experiment_by_name(name)
        runs = client.search_runs([experiment.experiment_id])
        assert len(runs) == 1
        assert runs[0].info.status == "FINISHED"
        curves.append(
            {
                metric: [
                    (point.step, point.value)
                    for point in client.get_metric_history(runs[0].info.run_id, metric)
                ]
                for metric in runs[0].data.metrics
                if not metric.endswith(TIMING)
            }
        )
    assert {"training/loss", "validation/f1", "test/f1"} <= curves[0].keys()
    assert len(curves[0]["training/loss"]) > 80
    assert curves[0] == curves[1]


# === What is refused, before TensorFlow is even loaded ===


@pytest.fixture
def refused(tmp_path, monkeypatch):
    """Gives the message of a command that must fail at once."""
    monkeypatch.setattr(cli, "import_engine", lambda: pytest.fail("went too far"))
    monkeypatch.chdir(tmp_path)

    def refused(*arguments: str) -> str:
        result = CliRunner().invoke(cli.app, ["train", "ner", *arguments])
        assert result.exit_code == 2, result.output
        assert "Traceback" not in result.output
        return result.stderr

    return refused


def test_a_finished_run_is_not_resumed(stories, refused):
    folder = str(stories[1].run.folder)
    message = refused("--resume", folder)
    assert f"{folder} is finished: there is nothing to go on with" in message
    assert f"make evaluate RUN={folder}" in message


def test_another_config_is_refused_with_what_differs(stories, refused, tmp_path):
    run = tmp_path / "run"  # one that is not finished
    run.mkdir()
    (run / "config.yaml").write_bytes(stories[0].run.config_path.read_bytes())
    changes = "training.learning_rate=0.5 model.units=9"
    message = refused("--resume", str(run), "--settings", changes)
    assert "was begun with another config" in message
    assert "training.learning_rate: 0.01 -> 0.5" in message
    assert "model.units: 8 -> 9" in message
    assert [path.name for path in run.iterdir()] == ["config.yaml"]


def read_weights(path: Path) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}

    def note(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with h5py.File(path) as file:
        file.visititems(note)
    return found
