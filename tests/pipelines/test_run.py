"""Run directories: found, named, and told apart from other folders."""

import pytest

from seqloom.pipelines.errors import UserError
from seqloom.pipelines.run import Run
from seqloom.pipelines.settings import resolve, to_yaml


def finished(runs_dir, name, config="ner"):
    run = Run(runs_dir / "ner" / name)
    run.folder.mkdir(parents=True)
    run.config_path.write_text(
        to_yaml(resolve("ner", None if config == "ner" else config))
    )
    run.add_metrics(test={"f1": 0.5})
    return run


def test_a_new_run_has_a_folder_of_its_own(tmp_path):
    first, second = Run.create(tmp_path, "ner"), Run.create(tmp_path, "ner")
    assert first.folder != second.folder
    assert first.folder.parent == tmp_path / "ner"


def test_a_missing_run_is_told_with_the_way_out(tmp_path):
    with pytest.raises(UserError, match="There is no run at .*make train"):
        Run.open(tmp_path / "nothing")


def test_a_folder_that_is_no_run_is_told(tmp_path):
    with pytest.raises(
        UserError, match="is not a run directory: it has no config.yaml"
    ):
        Run.open(tmp_path)


def test_the_newest_finished_run_is_found(tmp_path):
    finished(tmp_path, "20260101-000000-aaaa")
    newest = finished(tmp_path, "20260103-000000-bbbb")
    unfinished = tmp_path / "ner" / "20260104-000000-cccc"
    unfinished.mkdir()
    assert Run.newest(tmp_path, "ner").folder == newest.folder


def test_the_newest_run_of_a_config_is_found(tmp_path):
    wanted = finished(tmp_path, "20260101-000000-aaaa", "wnut17")
    finished(tmp_path, "20260103-000000-bbbb")
    assert Run.newest(tmp_path, "ner", "wnut17").folder == wanted.folder


def test_no_run_yet_says_what_makes_one(tmp_path):
    with pytest.raises(UserError, match="make train TASK=ner CONFIG=wnut17"):
        Run.newest(tmp_path, "ner", "wnut17")


def test_latest_is_moved_to_the_newest(tmp_path):
    for name in ("20260101-000000-aaaa", "20260103-000000-bbbb"):
        finished(tmp_path, name).mark_latest()
    assert (tmp_path / "ner" / "latest").resolve().name == "20260103-000000-bbbb"
    assert Run.newest(tmp_path, "ner").name == "20260103-000000-bbbb"


def test_metrics_are_added_by_group(tmp_path):
    run = Run(tmp_path)
    run.add_metrics(training={"steps": 3})
    run.add_metrics(test={"f1": 0.5})
    assert run.metrics() == {"training": {"steps": 3}, "test": {"f1": 0.5}}


def test_history_is_cut_at_a_step_and_survives_half_a_line(tmp_path):
    run = Run(tmp_path)
    run.append_history([{"step": step} for step in (1, 2, 3)])
    with run.history_path.open("a") as file:
        file.write('{"step": 4, "lo')
    run.cut_history(2)
    assert run.history() == [{"step": 1}, {"step": 2}]
