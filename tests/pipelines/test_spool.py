import json
import signal
import subprocess
import sys

import pytest

from seqloom.pipelines import spool
from seqloom.pipelines.errors import UserError


def metrics(step, **values):
    return {"op": "metrics", "time": 0, "step": step, "values": values}


def events(path, offset=0):
    return [event for event, _ in spool.read(path, offset)]


@pytest.fixture
def log(tmp_path):
    log = spool.Spool(tmp_path / "tracking")
    yield log
    log.close()


def test_events_come_back_in_order_and_from_any_offset(log):
    for step in range(5):
        log.append(metrics(step, loss=step / 3))
    offsets = [offset for _, offset in spool.read(log.path)]
    assert [event["step"] for event in events(log.path)] == [0, 1, 2, 3, 4]
    assert [event["step"] for event in events(log.path, offsets[2])] == [3, 4]
    assert offsets[-1] == log.size()
    assert spool.count(log.path, offsets[1]) == 3


@pytest.mark.parametrize("rest", ['{"op": "metr', '{"op": "tags"}', "x" * 10_000])
def test_a_line_cut_short_is_left_alone_and_dropped_by_the_next_writer(tmp_path, rest):
    log = spool.Spool(tmp_path)
    log.append(metrics(1, loss=0.5))
    log.close()
    with log.path.open("a") as file:
        file.write(rest)
    assert events(log.path) == [metrics(1, loss=0.5)]
    log = spool.Spool(tmp_path)
    log.append(metrics(2, loss=0.25))
    log.close()
    assert events(log.path) == [metrics(1, loss=0.5), metrics(2, loss=0.25)]


def test_a_spool_of_nothing_but_half_a_line_starts_afresh(tmp_path):
    (tmp_path / "spool.jsonl").write_text('{"op": "cre')
    log = spool.Spool(tmp_path)
    assert log.size() == 0
    log.close()


def test_a_damaged_line_in_the_middle_does_not_hide_the_rest(log):
    log.append(metrics(1, loss=1))
    with log.path.open("ab") as file:
        file.write(b"\0\0\xff\n[1, 2]\n")
    log.append(metrics(2, loss=2))
    assert [e["op"] for e in events(log.path)] == [
        "metrics",
        "unreadable",
        "unreadable",
        "metrics",
    ]


def test_a_writer_killed_at_any_moment_leaves_whole_lines(tmp_path):
    script = (
        "import sys, pathlib\n"
        "from seqloom.pipelines.spool import Spool\n"
        "log = Spool(pathlib.Path(sys.argv[1]))\n"
        "for step in range(10**9):\n"
        "    log.append({'op': 'metrics', 'step': step, 'values': {'x' * 500: 1}})\n"
        "    if step == 100: print('going', flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"going\n"
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=30)
    process.stdout.close()
    found = [event["step"] for event in events(tmp_path / "spool.jsonl")]
    assert len(found) > 100
    assert found == list(range(len(found)))
    spool.Spool(tmp_path).close()  # the lock died with its owner


def test_one_process_at_a_time_works_on_a_run(log):
    with pytest.raises(UserError, match=r"in use by another process.*Wait for it"):
        spool.Spool(log.path.parent)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 0.1, 3])
def test_every_number_survives_the_way_to_disk(log, value):
    log.append(metrics(1, loss=spool.plain_number(value)))
    json.loads(log.path.read_text(), parse_constant=lambda name: pytest.fail(name))
    assert repr(float(events(log.path)[0]["values"]["loss"])) == repr(float(value))


def test_neighbouring_metrics_travel_together_and_nothing_else_does():
    tags = {"op": "tags", "tags": {"a": "b"}}
    wide = metrics(3, **{f"m{i}": i for i in range(999)})
    queue = [tags, metrics(1, a=1), metrics(2, a=2), tags, wide, metrics(4, a=4)]
    queue += [metrics(5, a=5)]
    numbered = [(event, number + 1) for number, event in enumerate(queue)]
    found = list(spool.batches(iter(numbered)))
    assert [(len(batch), offset) for batch, offset in found] == [
        (1, 1),
        (2, 3),
        (1, 4),
        (2, 6),
        (1, 7),
    ]
    assert [event for batch, _ in found for event in batch] == queue


def test_a_refused_batch_is_halved_down_to_single_values():
    batch = [metrics(1, a=1, b=2, c=3), metrics(2, a=4)]
    singles = []
    queue = [batch]
    while queue:
        parts = spool.halves(queue.pop())
        if len(parts) == 1:
            singles += parts[0]
        else:
            queue += parts
    points = sorted((e["step"], *e["values"].items()) for e in singles)
    assert points == [(1, ("a", 1)), (1, ("b", 2)), (1, ("c", 3)), (2, ("a", 4))]


def test_how_far_the_sending_got_is_kept(tmp_path):
    sent = spool.Sent("http://host", "1", "abc", 123)
    sent.save(tmp_path)
    assert spool.Sent.load(tmp_path) == sent
    assert [path.name for path in tmp_path.iterdir()] == ["sent.json"]


@pytest.mark.parametrize("text", ["", "{", '{"uri": "x"}', "[]", '{"offset": "x"}'])
def test_without_a_readable_note_all_is_sent_again(tmp_path, text):
    (tmp_path / "sent.json").write_text(text)
    assert spool.Sent.load(tmp_path) == spool.Sent()
