"""The log of a run on disk: every tracking event, before any of it is sent.

    <run_dir>/tracking/spool.jsonl     one event a line, in order, never rewritten
    <run_dir>/tracking/sent.json       how far the events have reached MLflow
    <run_dir>/tracking/rejected.jsonl  events that MLflow refused for good, and why
    <run_dir>/tracking/lock            held by the one process that writes or sends

A line of the spool:

    {"op": "metrics", "time": 1767225600000, "step": 20, "values": {"loss": 0.41}}

`op` is one of create, params, metrics, tags, dataset, artifact, table, model, status;
`time` is milliseconds since 1970. Files are named by their path inside the run
directory, so a run that was moved can still be sent.
"""

import fcntl
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from seqloom.pipelines.errors import UserError

Event = dict[str, Any]

MAX_METRICS = 1000  # MLflow's limit for one batch
MAX_PARAMS = 100


class Spool:
    """Appends events to a run's spool; one writer at a time.

    Args:
        folder: `<run_dir>/tracking`; made if it is missing.

    Raises:
        UserError: Another process is writing to this run.
    """

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "spool.jsonl"
        self._lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise UserError(
                f"{folder.parent} is in use by another process, which still trains or "
                "sends this run. Wait for it to end, or stop it, and try again."
            ) from None
        self._file = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o644)
        self._drop_partial_line()

    def append(self, event: Event) -> None:
        """Put one event at the end, as one write: a kill leaves whole lines behind."""
        line = (json.dumps(event, allow_nan=False) + "\n").encode()
        if os.write(self._file, line) < len(line):  # the disk is full
            self._drop_partial_line()
            raise OSError(f"Only part of an event could be written to {self.path}.")

    def size(self) -> int:
        """Bytes in the spool."""
        return os.fstat(self._file).st_size

    def close(self) -> None:
        """Give the run free for other processes."""
        os.close(self._file)
        os.close(self._lock)

    def _drop_partial_line(self) -> None:
        size = self.size()
        end = size
        while end > 0:
            start = max(0, end - 4096)
            newline = os.pread(self._file, end - start, start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end < size:
            os.ftruncate(self._file, end)


def read(path: Path, offset: int = 0) -> Iterator[tuple[Event, int]]:
    """Yield each whole event from byte `offset` on, with the offset after it.

    A last line without its newline (the writer was killed, or is writing) is left for
    later. A line that is not an event comes as `{"op": "unreadable", "line": ...}`.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            try:
                event = json.loads(line)
                readable = isinstance(event, dict) and "op" in event
            except ValueError:
                readable = False
            if not readable:
                text = line[:200].decode(errors="replace")
                event = {"op": "unreadable", "line": text}
            yield event, offset


def count(path: Path, offset: int = 0) -> int:
    """Number of whole events from byte `offset` on."""
    return sum(1 for _ in read(path, offset))


def batches(events: Iterator[tuple[Event, int]]) -> Iterator[tuple[list[Event], int]]:
    """Put neighbouring metrics events together, as many as MLflow takes at once."""
    waiting: list[Event] = []
    number = end = 0
    for event, offset in events:
        size = len(event["values"]) if event["op"] == "metrics" else MAX_METRICS
        if waiting and number + size > MAX_METRICS:
            yield waiting, end
            waiting, number = [], 0
        waiting.append(event)
        number += size
        end = offset
    if waiting:
        yield waiting, end


def halves(events: list[Event]) -> list[list[Event]]:
    """Split a refused batch in two, down to single values; `[events]` if it is one."""
    if len(events) > 1:
        middle = len(events) // 2
        return [events[:middle], events[middle:]]
    event = events[0]
    for field in ("values", "params", "tags"):
        items = list(event.get(field, {}).items())
        if event["op"] != "create" and len(items) > 1:
            middle = len(items) // 2
            parts = (items[:middle], items[middle:])
            return [[{**event, field: dict(part)}] for part in parts]
    return [events]


def plain_number(value: Any) -> float | str:
    """A float that JSON can hold: nan and infinities become their names."""
    number = float(value)
    return number if math.isfinite(number) else str(number)


class Sent(NamedTuple):
    """How far a spool has reached the tracking server (`sent.json`)."""

    uri: str = ""  # without user and password
    experiment_id: str = ""
    run_id: str = ""  # MLflow's, "" before the run exists there
    offset: int = 0  # bytes of the spool that are done with

    @classmethod
    def load(cls, folder: Path) -> "Sent":
        """Read it; a missing or unreadable one means that all is to be sent again."""
        try:
            stored = json.loads((folder / "sent.json").read_text())
            return cls(**{name: type_(stored[name]) for name, type_ in _SENT_FIELDS})
        except (OSError, ValueError, KeyError, TypeError):
            return cls()

    def save(self, folder: Path) -> None:
        """Write it in one step, so that a kill leaves the old or the new one."""
        new = folder / "sent.json.new"
        new.write_text(json.dumps(self._asdict()))
        new.replace(folder / "sent.json")


_SENT_FIELDS = [("uri", str), ("experiment_id", str), ("run_id", str), ("offset", int)]
