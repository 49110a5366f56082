"""Brings the events of a spool to MLflow, in order, however the server is doing."""

import json
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

from seqloom.pipelines import spool
from seqloom.pipelines.delivery import Delivery, Rejected, Unavailable

ATTEMPTS = 5  # for an event that fails although the server answers
PAUSE_SECONDS = 2.0  # between two looks at the spool
LONGEST_PAUSE_SECONDS = 30.0  # between two tries to reach a server that is away


class Sender:
    """Sends what a spool holds and `sent.json` does not yet count.

    Args:
        folder: `<run_dir>/tracking`.
        uri: Tracking address, with user and password where it has them.
        say: Takes one line for the user.
    """

    def __init__(self, folder: Path, uri: str, say: Callable[[str], None]):
        self.folder = folder
        self.say = say
        self.sent = spool.Sent.load(folder)
        if self.sent.uri != redact(uri):  # another server: it gets the whole story
            if self.sent.uri:
                say(
                    f"{folder.parent} was tracked at {self.sent.uri} before; "
                    f"all of it goes to {redact(uri)} now."
                )
            self.sent = spool.Sent(uri=redact(uri))
        self.rejected = 0
        self._delivery = Delivery(uri, folder.parent)
        self._connected = False
        self._refused_kinds: set[str] = set()

    def send_pending(self) -> int:
        """Send all that is waiting; returns how many events that were.

        Raises:
            Unavailable: The server is not there; what is left stays for the next call.
        """
        count = 0
        path = self.folder / "spool.jsonl"
        if path.exists() and self.sent.offset < path.stat().st_size:
            self._connect()
            events = spool.read(path, self.sent.offset)
            for batch, offset in spool.batches(events):
                self._send_or_split(batch)
                self._note(offset)
                count += len(batch)
        return count

    def waiting(self) -> int:
        """Number of events still to be sent."""
        return spool.count(self.folder / "spool.jsonl", self.sent.offset)

    def _connect(self) -> None:
        """Make sure that the MLflow run we remember is still there, or start over."""
        if self._connected:
            return
        if self.sent.run_id and not self._delivery.find(self.sent.run_id):
            self.sent = spool.Sent(uri=self.sent.uri)
        self._connected = True

    def _note(self, offset: int) -> None:
        delivery = self._delivery
        self.sent = self.sent._replace(
            experiment_id=delivery.experiment_id,
            run_id=delivery.run_id,
            offset=offset,
        )
        self.sent.save(self.folder)

    def _send_or_split(self, events: list[spool.Event]) -> None:
        """Send a batch; if it is refused, find the one value that is to blame."""
        try:
            self._send(events)
        except Rejected as error:
            parts = spool.halves(events)
            if len(parts) == 1:
                self._keep_rejected(events[0], redact(str(error)))
            else:
                for part in parts:
                    self._send_or_split(part)

    def _send(self, events: list[spool.Event]) -> None:
        for attempt in range(ATTEMPTS):
            try:
                return self._delivery.send(events)
            except Unavailable as error:
                # Without its run no event can be sent: creating it is never given up.
                creating = events[0]["op"] == "create"
                if creating or not self._delivery.answers():
                    raise
                reason = str(error)
                time.sleep(0.1 * 2**attempt)
        raise Rejected(f"failed {ATTEMPTS} times while the server answers: {reason}")

    def _keep_rejected(self, event: spool.Event, reason: str) -> None:
        self.rejected += 1
        record = json.dumps({"reason": reason, "event": event})
        with (self.folder / "rejected.jsonl").open("a") as file:
            file.write(record + "\n")
        kind = f"{event['op']} {_subject(event)}".strip()
        if kind not in self._refused_kinds:  # a metric would be said at every step
            self._refused_kinds.add(kind)
            self.say(
                f"MLflow refused {kind}: {_short(reason)}. It is kept in "
                f"{self.folder / 'rejected.jsonl'}; everything else is sent."
            )


class SenderThread(threading.Thread):
    """Runs a sender beside the training, until it is told to finish.

    A server that is away is said once, asked again after 4, 8, 16, 30, 30 ... seconds,
    and said once more when it is back.
    """

    def __init__(self, sender: Sender):
        super().__init__(name="seqloom-tracking", daemon=True)
        self.sender = sender
        self.away = False
        self.failure = ""
        self._finishing = threading.Event()

    def run(self) -> None:
        """Send, pause, and once more when finishing."""
        pause = PAUSE_SECONDS
        finishing = False
        while not finishing:
            # Read before sending: what was spooled before `finish` must be seen.
            finishing = self._finishing.is_set()
            try:
                count = self.sender.send_pending()
                self._back(count)
                pause = PAUSE_SECONDS
            except Unavailable as error:
                self._lost(str(error))
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            except Exception as error:  # our own mistake must not end the tracking
                self._lost(repr(error))
                pause = LONGEST_PAUSE_SECONDS
            if not finishing:
                self._finishing.wait(pause)

    def finish(self, timeout_seconds: float) -> bool:
        """Send the rest; returns whether all of it went out within the time."""
        self._finishing.set()
        self.join(timeout_seconds)
        return not self.is_alive() and not self.sender.waiting()

    def _lost(self, reason: str) -> None:
        self.failure = redact(reason)
        if not self.away:
            self.away = True
            run_dir = self.sender.folder.parent
            self.sender.say(
                f"MLflow at {self.sender.sent.uri} cannot be reached: "
                f"{_short(self.failure)}. The work goes on; its log is kept in "
                f"{self.sender.folder} and sent when MLflow is back, or later with "
                f"`seqloom sync {run_dir}`."
            )

    def _back(self, count: int) -> None:
        if self.away:
            self.away = False
            self.sender.say(
                f"MLflow at {self.sender.sent.uri} is back; "
                f"the {count} events kept meanwhile are sent."
            )


def redact(text: str) -> str:
    """Take users, passwords and tokens out of addresses in a text."""
    text = re.sub(r"(\b[\w+.-]+://)[^\s/]*@", r"\1", text)
    return re.sub(
        r"([?&][^=&\s]*(?:password|token|secret|key)=)[^&\s]+", r"\1***", text
    )


def _short(reason: str, limit: int = 200) -> str:
    line = reason.strip().splitlines()[0].rstrip(".") if reason.strip() else "no reason"
    return line if len(line) <= limit else line[: limit - 3] + "..."


def _subject(event: spool.Event) -> str:
    """What an event is about, in a word, for messages."""
    for field in ("values", "params", "tags"):
        if event["op"] != "create" and event.get(field):
            return f"'{next(iter(event[field]))}'"
    return str(event.get("path") or event.get("name") or event.get("status") or "")
