"""Sends tracking events that runs could not send while they ran."""

import os
from pathlib import Path
from typing import NamedTuple

from seqloom.pipelines import spool
from seqloom.pipelines.delivery import Unavailable
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.sender import Sender, redact
from seqloom.pipelines.tracking import Say, default_uri


class Synced(NamedTuple):
    """What became of one run."""

    run_dir: Path
    sent: int  # events sent now
    waiting: int  # events still to be sent
    note: str = ""  # why, if not all were sent


def sync(
    path: Path, uri: str | None = None, again: bool = False, say: Say = print
) -> list[Synced]:
    """Send what is left of one run, or of every run below a directory.

    Args:
        path: A run directory, or the directory of all runs.
        uri: Send to this address, whatever the runs were to be sent to.
        again: Send everything once more, for a store that was lost.
        say: Takes a line for the user.

    Returns:
        One entry for each run that had something to send.

    Raises:
        UserError: There is no tracked run in `path`.
    """
    path = Path(path)
    if (path / "tracking" / "spool.jsonl").exists():
        folder = path.resolve()
        runs = [path]
        runs_dir = folder.parents[2 if folder.parent.name == "comparisons" else 1]
    else:
        places = ("*/tracking", "*/*/tracking", "*/comparisons/*/tracking")
        found = [folder for place in places for folder in path.glob(place)]
        links = {folder.parent for folder in found if folder.parent.is_symlink()}
        runs = sorted({f.parent for f in found if (f / "spool.jsonl").exists()} - links)
        runs_dir = path.resolve()
    if not runs:
        raise UserError(
            f"There is no tracked run in {path}. Give a run directory "
            "(runs/<task>/<run>) or the directory of all runs; "
            "`seqloom train ner` makes one."
        )
    results = []
    for run_dir in runs:
        result = _sync_run(run_dir, runs_dir, uri, again, say)
        if result.sent or result.waiting or result.note:
            results.append(result)
    return results


def _sync_run(
    run_dir: Path, runs_dir: Path, uri: str | None, again: bool, say: Say
) -> Synced:
    folder = run_dir / "tracking"
    try:
        writer = spool.Spool(folder)  # also keeps other processes away meanwhile
    except UserError:
        return Synced(run_dir, 0, 0, "still in use by another process")
    try:
        if again:
            for name in ("sent.json", "rejected.jsonl"):
                (folder / name).unlink(missing_ok=True)
        _end_killed_run(writer)
        try:
            sender = Sender(folder, uri or _own_uri(folder, runs_dir), say)
            before = sender.waiting()
            sender.send_pending()
        except Unavailable as error:
            left = sender.waiting()
            return Synced(run_dir, before - left, left, redact(str(error)))
        except UserError as error:
            return Synced(run_dir, 0, spool.count(writer.path), str(error))
        return Synced(run_dir, before, 0)
    finally:
        writer.close()


def _own_uri(folder: Path, runs_dir: Path) -> str:
    """The address that the run was started with.

    Raises:
        UserError: It needs a user and password, which are never written down.
    """
    created = next((event for event, _ in spool.read(folder / "spool.jsonl")), {})
    recorded = created.get("uri")
    if recorded is None:
        return default_uri(runs_dir)
    current = os.environ.get("MLFLOW_TRACKING_URI", "")
    if redact(current) == recorded:
        return current
    if created.get("login"):
        raise UserError(
            f"{folder.parent} was tracked at {recorded} with a user and password, "
            "which are not kept. Set MLFLOW_TRACKING_URI to the address with them."
        )
    return recorded


def _end_killed_run(writer: spool.Spool) -> None:
    """A run that nobody works on and that has no end was killed: say so in MLflow."""
    last: spool.Event = {}
    for event, _ in spool.read(writer.path):
        last = event
    ended = last.get("op") == "status" and last["status"] != "RUNNING"
    if last and not ended:
        time = last.get("time", 0)
        writer.append({"op": "status", "time": time, "status": "KILLED"})


def sync_command(path: Path | None, runs_dir: Path, say: Say = print) -> None:
    """Send what is left, of one run or of all, and tell what was sent."""
    results = sync(path or runs_dir, say=say)
    for result in results:
        left = f", {result.waiting} left" if result.waiting else ""
        note = f": {result.note}" if result.note else ""
        say(f"{result.run_dir}: {result.sent} events sent{left}{note}")
    if not results:
        say(f"Nothing is left to send in {path or runs_dir}.")
