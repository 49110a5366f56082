"""A tracking server that is down, dies, hangs or comes back: nothing is lost."""

import json

import pytest

from seqloom.pipelines import sender as sending
from seqloom.pipelines import spool
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.sync import sync, sync_command

STEPS = list(range(1, 201))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Short pauses, and no proxy between the tests and this machine."""
    monkeypatch.setattr(sending, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(sending, "LONGEST_PAUSE_SECONDS", 0.2)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")


def train(tracker, steps):
    for step in steps:
        tracker.log_metrics({"loss": 1 / step, "rate": step}, step)


def runs_called(client, run_dir):
    experiment = client.get_experiment_by_name("tests").experiment_id
    query = f"tags.`seqloom.run_id` = '{run_dir.name}'"
    return client.search_runs([experiment], query)


def assert_complete(client, run_dir, status="FINISHED"):
    """One run, every point of the curve once and in order, and the end."""
    [run] = runs_called(client, run_dir)
    points = client.get_metric_history(run.info.run_id, "loss")
    assert [(p.step, p.value) for p in points] == [(s, 1 / s) for s in STEPS]
    assert run.info.status == status


def test_a_server_that_is_down_at_the_start_costs_nothing(
    begin, dead_uri, store_uri, client, run_dir, tracking_settings
):
    tracker = begin(tracking_settings(dead_uri))
    tracker.log_params({"epochs": 3})
    train(tracker, STEPS)
    assert not tracker.close(timeout_seconds=60)
    assert tracker.mlflow_run_id is None
    assert len(tracker.lines) == 2
    assert f"MLflow at {dead_uri} cannot be reached" in tracker.lines[0]
    assert f"`seqloom sync {run_dir}`" in tracker.lines[0]
    assert "203 tracking events are not in MLflow" in tracker.lines[1]

    [still_down] = sync(run_dir)
    assert (still_down.sent, still_down.waiting) == (0, 203)
    [result] = sync(run_dir.parents[1], uri=store_uri)
    assert result == (run_dir, 203, 0, "")
    assert_complete(client, run_dir)
    assert sync(run_dir, uri=store_uri) == []
    sync(run_dir, uri=store_uri, again=True)
    assert_complete(client, run_dir)


def test_a_server_that_dies_and_returns_gets_everything_in_order(
    begin, line, client, run_dir, wait_for, tracking_settings
):
    tracker = begin(tracking_settings(line.uri))
    train(tracker, STEPS[:50])
    wait_for(lambda: tracker.mlflow_run_id, "the run to reach the server")
    line.cut()
    train(tracker, STEPS[50:100])
    wait_for(lambda: tracker.lines, "the outage to be noticed")
    train(tracker, STEPS[100:150])
    line.mend()
    wait_for(lambda: len(tracker.lines) == 2, "the server to be found again")
    train(tracker, STEPS[150:])
    (run_dir / "note.txt").write_text("over the line")
    tracker.log_artifact(run_dir / "note.txt")
    assert tracker.close()
    assert_complete(client, run_dir)
    assert "cannot be reached" in tracker.lines[0]
    assert "is back" in tracker.lines[1]
    assert len(tracker.lines) == 2
    [run] = runs_called(client, run_dir)
    assert run.info.artifact_uri  # the file went through the server
    stored = [a.path for a in client.list_artifacts(run.info.run_id)]
    assert "note.txt" in stored


def test_what_a_dead_server_missed_is_sent_later_to_the_same_run(
    begin, line, client, run_dir, wait_for, capsys, tracking_settings
):
    tracker = begin(tracking_settings(line.uri))
    train(tracker, STEPS[:50])
    wait_for(lambda: tracker.mlflow_run_id, "the run to reach the server")
    line.cut()
    train(tracker, STEPS[50:])
    assert not tracker.close("FAILED", timeout_seconds=60)
    assert "tracking events are not in MLflow" in tracker.lines[-1]
    line.mend()
    sync_command(run_dir, run_dir.parents[1])
    assert "events sent\n" in capsys.readouterr().out
    assert_complete(client, run_dir, "FAILED")
    sync_command(None, run_dir.parents[1])
    assert "Nothing is left to send" in capsys.readouterr().out


def test_a_server_that_hangs_holds_up_neither_the_steps_nor_the_end(
    begin, line, client, run_dir, wait_for, tracking_settings
):
    line.freeze()
    tracker = begin(tracking_settings(line.uri))
    train(tracker, STEPS)
    assert not tracker.close(timeout_seconds=0.5)
    line.cut()
    wait_for(lambda: not tracker._thread.is_alive(), "the sender to end")
    tracker._spool.close()  # as the end of the process does
    line.mend()
    [result] = sync(run_dir)
    assert result.waiting == 0
    assert_complete(client, run_dir)


def test_a_crash_between_creating_the_run_and_noting_it_makes_no_second_run(
    begin, store_uri, client, run_dir, tracking_settings
):
    tracker = begin(tracking_settings(store_uri))
    train(tracker, STEPS)
    assert tracker.close()
    (run_dir / "tracking" / "sent.json").unlink()
    [result] = sync(run_dir)
    assert result.waiting == 0
    assert_complete(client, run_dir)


def test_a_run_deleted_in_mlflow_is_made_anew(
    begin, store_uri, client, run_dir, tracking_settings
):
    tracker = begin(tracking_settings(store_uri))
    train(tracker, STEPS[:100])
    assert tracker.close()
    client.delete_run(tracker.mlflow_run_id)
    tracker = begin(tracking_settings(store_uri), resume=True)
    train(tracker, STEPS)
    assert tracker.close()
    assert_complete(client, run_dir)


def test_another_server_gets_the_whole_run_and_that_is_said(
    begin, dead_uri, store_uri, client, run_dir, tracking_settings
):
    tracker = begin(tracking_settings(store_uri))
    train(tracker, STEPS[:100])
    assert tracker.close()
    client.set_tag(tracker.mlflow_run_id, "seqloom.run_id", "as if in another store")
    (run_dir / "tracking" / "sent.json").write_text(
        json.dumps({"uri": dead_uri, "experiment_id": "1", "run_id": "x", "offset": 9})
    )
    tracker = begin(tracking_settings(store_uri), resume=True)
    train(tracker, STEPS)
    assert tracker.close()
    assert_complete(client, run_dir)
    [said] = tracker.lines
    assert f"was tracked at {dead_uri} before; all of it goes to {store_uri}" in said


@pytest.mark.parametrize("place", ["ner/run", "ner/comparisons/run"])
@pytest.mark.parametrize("whole", [True, False])
def test_runs_and_comparisons_are_found_below_all_runs(
    store_uri, client, tmp_path, place, whole
):
    run_dir = tmp_path / place
    log = spool.Spool(run_dir / "tracking")
    created = {"run": run_dir.name, "name": "x", "experiment": "tests", "tags": {}}
    log.append({"op": "create", "time": 1, "uri": store_uri, **created})
    log.close()
    [result] = sync(tmp_path if whole else run_dir)
    assert (result.run_dir, result.waiting) == (run_dir, 0)
    assert result.sent >= 1


def test_a_killed_run_is_ended_by_sync(begin, store_uri, client, run_dir):
    log = spool.Spool(run_dir / "tracking")
    created = {"run": run_dir.name, "name": "x", "experiment": "tests", "tags": {}}
    log.append({"op": "create", "time": 1, "uri": store_uri, **created})
    for step in STEPS:
        values = {"loss": 1 / step}
        log.append({"op": "metrics", "time": step, "step": step, "values": values})
    log.close()
    with log.path.open("a") as file:
        file.write('{"op": "metr')
    [result] = sync(run_dir)
    assert result.waiting == 0
    assert_complete(client, run_dir, "KILLED")


def test_an_event_that_always_fails_is_put_aside(
    begin, store_uri, client, run_dir, tracking_settings, monkeypatch
):
    from seqloom.pipelines.delivery import Delivery

    def broken(self, event):
        raise RuntimeError("Install boto3 first")

    monkeypatch.setattr(Delivery, "_artifact", broken)
    tracker = begin(tracking_settings(store_uri))
    (run_dir / "note.txt").write_text("")
    tracker.log_artifact(run_dir / "note.txt")
    train(tracker, STEPS)
    assert tracker.close()
    assert_complete(client, run_dir)
    [said] = tracker.lines
    assert "MLflow refused artifact note.txt: failed 5 times" in said
    kept = json.loads((run_dir / "tracking" / "rejected.jsonl").read_text())
    assert "Install boto3 first" in kept["reason"]


def test_a_deleted_experiment_is_explained(
    begin, store_uri, client, run_dir, tracking_settings
):
    client.delete_experiment(client.create_experiment("gone"))
    tracker = begin(tracking_settings(store_uri, experiment="gone"))
    assert not tracker.close(timeout_seconds=60)
    assert "the experiment 'gone' is deleted there" in tracker.lines[0]
    assert "mlflow experiments restore" in tracker.lines[0]


def test_a_run_still_at_work_is_left_alone_by_sync(
    begin, store_uri, run_dir, tracking_settings
):
    begin(tracking_settings(store_uri))
    [result] = sync(run_dir)
    assert result.note == "still in use by another process"


def test_sync_without_any_tracked_run_says_what_to_give(tmp_path):
    with pytest.raises(UserError, match=r"no tracked run in .*seqloom train ner"):
        sync(tmp_path)
