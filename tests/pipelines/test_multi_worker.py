"""Two processes that train together do what one would do alone, stopped or not."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from toy_training import TINY

from seqloom.pipelines import batching, workflow
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.run import Run
from seqloom.pipelines.settings import resolve
from seqloom.pipelines.strategy import build_strategy

pytestmark = pytest.mark.timeout(900)

SETTINGS = [
    *TINY,
    "data.corpus=synthetic",
    "data.limit=120",
    "model.dropout=0.0",
    "model.word_dropout=0.0",
    "training.optimizer=sgd",
    "training.learning_rate=0.5",
    "training.schedule=constant",
    "training.warmup_steps=0",
    "training.clip_norm=0.2",
    "training.ema=0.9",
    "training.batch_tokens=60",
    "training.max_steps=20",
    "tracking.enabled=false",
]

# A worker trains through the Python API and writes down what it ended with. It may be
# told to send itself a signal after some steps.
WORKER = """
import os
import signal
import sys

import keras
import numpy as np

from seqloom.pipelines import train

weights_path, stop_after, resume, *settings = sys.argv[1:]


class Watch(keras.callbacks.Callback):
    steps = 0

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if self.steps == int(stop_after):
            os.kill(os.getpid(), signal.SIGTERM)

    def on_train_end(self, logs=None):
        weights = [weight.numpy() for weight in self.model.trainable_variables]
        np.savez(weights_path, *weights)


try:
    print(train("ner", settings=settings, resume=resume or None, callbacks=[Watch()]))
except KeyboardInterrupt as stopped:
    print(stopped)
    sys.exit(stopped.exit_status)
"""


class Ended(NamedTuple):
    """What became of two workers, the chief first."""

    folder: Path
    outputs: list[str]
    statuses: list[int]
    ends: list[float | None]


def free_ports(number: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def run_workers(folder: Path, stop_helper_after: int = 0, resume: str = "") -> Ended:
    """Two workers, to their end."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    processes, logs = [], [folder / "0.log", folder / "1.log"]
    for index, log in enumerate(logs):
        place = {
            "cluster": {"worker": addresses},
            "task": {"type": "worker", "index": index},
        }
        stop_after = str(stop_helper_after if index == 1 else 0)
        command = [sys.executable, "worker.py", f"{index}.npz", stop_after, resume]
        command += [*([] if resume else SETTINGS), "training.strategy=multi_worker"]
        with log.open("w") as file:
            process = subprocess.Popen(
                [*command, f"runs_dir={folder}/runs"],
                stdout=file,
                stderr=file,
                cwd=folder,
                env={**os.environ, "TF_CONFIG": json.dumps(place)},
            )
        processes.append(process)
    ends: list[float | None] = [None, None]
    deadline = time.monotonic() + 400
    try:
        while None in ends and time.monotonic() < deadline:
            for index, process in enumerate(processes):
                if ends[index] is None and process.poll() is not None:
                    ends[index] = time.monotonic()
            time.sleep(0.1)
    finally:
        for process in processes:
            process.kill()
    outputs = [log.read_text(encoding="utf-8") for log in logs]
    return Ended(folder, outputs, [process.wait() for process in processes], ends)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory) -> Ended:
    """Two workers, of which the helper is told to stop after 12 of 20 steps."""
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "worker.py").write_text(WORKER, encoding="utf-8")
    return run_workers(folder, stop_helper_after=12)


@pytest.fixture(scope="module")
def cluster(stopped) -> Ended:
    """The same two, resumed and trained to their end."""
    (run_dir,) = (stopped.folder / "runs" / "ner").iterdir()
    return run_workers(stopped.folder, resume=str(run_dir))


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """One process with two micro-batches a step: the run and its last weights."""
    folder = tmp_path_factory.mktemp("alone")
    resolved = resolve(
        "ner",
        None,
        [
            *SETTINGS,
            "training.strategy=one_device",
            "training.accumulation=2",
            f"runs_dir={folder}",
        ],
    )
    import keras

    last = []

    class Keep(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            last.extend(weight.numpy() for weight in self.model.trainable_variables)

    with pytest.MonkeyPatch.context() as patch:
        # The plan of two replicas, so that the batches of each step are the same.
        plan = partial(plan_for_two, batching.plan_training)
        patch.setattr(batching, "plan_training", plan)
        patch.setattr(workflow, "finish", lambda *args: None)  # only training counts
        run = Run(workflow.train(resolved, callbacks=[Keep()]))
    return run, last


def plan_for_two(plan, *args, **named):
    return plan(*args, **{**named, "num_replicas": 2})


def run_of(cluster: Ended) -> Run:
    return Run.open(cluster.folder / "runs" / "ner" / "latest")


def test_when_one_is_told_to_stop_both_stop_and_the_chief_has_saved(stopped):
    status = 128 + signal.SIGTERM
    assert stopped.statuses == [status, status], "\n".join(stopped.outputs)
    (run_dir,) = (stopped.folder / "runs" / "ner").iterdir()
    chief, helper = [output.strip().splitlines()[-1] for output in stopped.outputs]
    wanted = "Stopped at step 12 by SIGTERM; everything is saved. "
    assert chief == f"{wanted}Go on with: make train TASK=ner RESUME={run_dir}"
    assert helper == f"{wanted}The first worker says how to go on."


def test_both_end_well_and_the_helper_first(cluster):
    """The chief still evaluates and exports when the helper has gone."""
    assert cluster.statuses == [0, 0], "\n".join(cluster.outputs)
    assert cluster.ends[1] < cluster.ends[0]
    for output in cluster.outputs:
        assert "2 replicas" in output
        assert "Going on from step 12" in output
    assert run_of(cluster).saved_model_dir.exists()


def test_they_agree(cluster):
    first, second = [np.load(cluster.folder / f"{index}.npz") for index in (0, 1)]
    assert first.files
    for name in first.files:
        np.testing.assert_array_equal(first[name], second[name])


def test_they_equal_a_process_alone(cluster, alone):
    run, expected = alone
    found = np.load(cluster.folder / "0.npz")
    for name, value in zip(found.files, expected, strict=True):
        np.testing.assert_allclose(found[name], value, atol=1e-5)
    together = run_of(cluster).history()
    for row, wanted in zip(together, run.history(), strict=True):
        assert row["step"] == wanted["step"]
        for name in {"loss", "gradient_norm", "val_loss"} & wanted.keys():
            assert row[name] == pytest.approx(wanted[name], rel=1e-5, abs=1e-5)
    norms = [row["gradient_norm"] for row in together if "gradient_norm" in row]
    assert len(norms) == 20
    assert np.mean(np.array(norms) > 0.2) > 0.5  # clipping was at work


def test_only_the_chief_writes_a_run(cluster, stopped):
    paths = (cluster.folder / "runs" / "ner").iterdir()
    runs = [path.resolve() for path in paths if not path.is_symlink()]
    assert runs == [run_of(cluster).folder]
    scratch = stopped.outputs[1].split("Run       ")[1].split()[0]
    assert Path(scratch) != run_of(cluster).folder
    assert not Path(scratch).exists()


# === A wrong TF_CONFIG ===


@pytest.mark.parametrize(
    "text",
    [
        None,
        "not JSON",
        "{}",
        '{"cluster": {"worker": ["a:1"]}}',
        '{"cluster": {"ps": ["a:1"]}, "task": {"type": "worker", "index": 0}}',
        '["cluster"]',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "helper", "index": 0}}',
    ],
)
def test_a_wrong_place_in_the_cluster_is_told_with_an_example(monkeypatch, text):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    wanted = r"reads the environment variable TF_CONFIG, which is .*for example"
    with pytest.raises(UserError, match=wanted) as told:
        build_strategy("auto" if text else "multi_worker")
    assert (text or "not set") in str(told.value)


def test_workers_cannot_meet_once_tensorflow_runs(monkeypatch):
    tf.constant(0)
    place = '{"cluster": {"worker": ["localhost:1", "localhost:2"]}, '
    place += '"task": {"type": "worker", "index": 0}}'
    monkeypatch.setenv("TF_CONFIG", place)
    with pytest.raises(UserError, match="multi_worker comes too late"):
        build_strategy("multi_worker")
