"""Tracking of a run in MLflow that never costs the run.

Every call writes one line to the run's spool on disk (`seqloom.pipelines.spool`) and
returns; a thread sends the lines to MLflow. A server that is down delays nothing and
loses nothing: the rest is sent when it is back, when the run ends, or by `sync`.

    tracker = start(config.tracking, run_dir, task="ner", run_name="lstm-crf")
    tracker.log_params({"model.units": 200})
    tracker.log_metrics({"training/loss": 0.41}, step=20)
    tracker.close("FINISHED")
"""

import getpass
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from seqloom.pipelines import spool
from seqloom.pipelines.delivery import prepare_environment
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.sender import Sender, SenderThread, redact
from seqloom.pipelines.system_metrics import SystemMetrics
from seqloom.pipelines.tables import write_table

Say = Callable[[str], None]

prepare_environment()  # MLflow's telemetry reads its switch when MLflow is imported

MAX_VALUE = 6000  # MLflow's limit for a parameter, in characters
_CUT = " ... (cut here; the whole value is in config.yaml)"


class TrackingSettings(Protocol):
    """The `tracking` section of a config, as far as it matters here."""

    @property
    def enabled(self) -> bool: ...
    @property
    def uri(self) -> str | None: ...
    @property
    def experiment(self) -> str | None: ...
    @property
    def system_metrics(self) -> bool: ...


def start(
    settings: TrackingSettings,
    run_dir: Path,
    task: str,
    run_name: str,
    resume: bool = False,
    runs_dir: Path | None = None,
    say: Say | None = None,
) -> "Tracker | NoTracker":
    """Begin the tracking of a run, or go on with it.

    Args:
        settings: The `tracking` section of the config.
        run_dir: The run's directory; its name is the run's id.
        task: Experiment name, unless the settings have one.
        run_name: Shown in the MLflow UI.
        resume: Go on with the MLflow run that this directory already has.
        runs_dir: Where the default store lives; two levels above `run_dir` if None.
        say: Takes a line for the user about the server; the log's warnings if None.

    Raises:
        UserError: Another process works on this run, or it was tracked already and
            `resume` is False.
    """
    if not settings.enabled:
        return NoTracker()
    folder = run_dir / "tracking"
    known = (folder / "spool.jsonl").exists()
    if known and not resume:
        raise UserError(
            f"{folder} already holds the tracking log of a run. "
            "Resume that run, or start a new one in a directory of its own."
        )
    default = default_uri(runs_dir or run_dir.parent.parent)
    uri = settings.uri or os.environ.get("MLFLOW_TRACKING_URI") or default
    tracker = Tracker(run_dir, uri, say or _warn)
    if tracker.is_new:
        event = {
            "run": run_dir.name,
            "name": run_name,
            "experiment": settings.experiment or task,
            "uri": redact(uri) if uri != default else None,
            "login": redact(uri) != uri,
            "tags": {"seqloom.task": task, "mlflow.user": _user()},
        }
        tracker.write("create", **event)
    else:
        tracker.write("status", status="RUNNING")
    tracker.begin(settings.system_metrics)
    return tracker


class Tracker:
    """The tracking of one run. Get one from `start`.

    Its methods write to the spool, in about 50 microseconds, and may be called from any
    thread. Points of a curve that the spool already has (the same metric at this step
    or an earlier one) are left out: a resumed run repeats the steps since its
    checkpoint, and its curve is to be that of a run never interrupted.
    """

    def __init__(self, run_dir: Path, uri: str, say: Say):
        self.run_dir = run_dir
        self.uri = redact(uri)
        self.say = say
        folder = run_dir / "tracking"
        self._spool = spool.Spool(folder)
        self._guard = threading.RLock()  # a signal handler may log inside a log call
        self._last_steps: dict[str, int] = {}
        self._params: dict[str, str] = {}
        self._closed = self._failed = False
        for event, _ in spool.read(self._spool.path):
            self._remember(event)
        self.is_new = self._spool.size() == 0
        self._thread = SenderThread(Sender(folder, uri, say))
        self._system: SystemMetrics | None = None

    def begin(self, system_metrics: bool) -> None:
        """Start the threads."""
        self._thread.start()
        if system_metrics:
            steps = [s for key, s in self._last_steps.items() if "system/" in key[:7]]
            self._system = SystemMetrics(self.log_metrics, max(steps, default=-1) + 1)
            self._system.start()

    @property
    def mlflow_run_id(self) -> str | None:
        """MLflow's id of the run; None as long as no server has been reached."""
        return self._thread.sender.sent.run_id or None

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log settings under flat, dotted names. Those already logged are left out."""
        texts = {name: _cut(redact(str(value))) for name, value in params.items()}
        new = {n: text for n, text in texts.items() if self._params.get(n) != text}
        items = list(new.items())
        for first in range(0, len(items), spool.MAX_PARAMS):
            batch = dict(items[first : first + spool.MAX_PARAMS])
            self.write("params", params=batch)

    def log_metrics(self, values: Mapping[str, Any], step: int) -> None:
        """Log numbers (nan and infinity too) at an optimizer step."""
        with self._guard:
            new = {
                key: spool.plain_number(value)
                for key, value in values.items()
                if step > self._last_steps.get(key, -1)
            }
            if new:
                self.write("metrics", step=int(step), values=new)

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set tags; a tag's later value replaces its earlier one."""
        self.write("tags", tags={n: redact(str(value)) for n, value in tags.items()})

    def log_dataset(
        self,
        name: str,
        digest: str,
        source: str,
        context: str,
        source_type: str = "local",
        profile: Mapping[str, Any] | None = None,
    ) -> None:
        """Log what the run reads.

        Args:
            name: Of the corpus.
            digest: A hash of the content; MLflow keeps 36 characters of it.
            source: Address, package or path that it came from.
            context: `training`, `validation` or `test`.
            source_type: `http`, `package`, `local`, ...
            profile: Sizes, for instance `{"sentences": 14041, "tokens": 203621}`.
        """
        self.write(
            "dataset",
            name=name,
            digest=digest[:36],
            source=redact(source),
            source_type=source_type,
            context=context,
            profile=dict(profile or {}),
        )

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Log a file or a directory of the run directory.

        Raises:
            ValueError: It lies outside the run directory.
        """
        self.write("artifact", path=self._relative(path), folder=folder)

    def log_figure(self, path: Path) -> None:
        """Log a picture."""
        self.log_artifact(path, "figures")

    def log_table(
        self, rows: Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]], name: str
    ) -> None:
        """Log rows (or columns) so that the UI shows them as a table.

        Args:
            rows: One mapping a row, or one list a column.
            name: Like `worst_errors`; the file is `tables/worst_errors.json`.
        """
        path = self.run_dir / "tracking" / "tables" / f"{name}.json"
        write_table(path, rows)
        self.write("table", path=self._relative(path), folder="tables")

    def log_model(self, path: Path, name: str = "model", step: int = 0) -> None:
        """Log a model folder that `mlflow.pyfunc.save_model` wrote into the run.

        Args:
            path: The folder, inside the run directory.
            name: Name of the MLflow model; `runs:/<mlflow run id>/<name>` loads it.
            step: Optimizer step of its weights.
        """
        self.write("model", path=self._relative(path), name=name, step=int(step))

    def close(self, status: str = "FINISHED", timeout_seconds: float = 60.0) -> bool:
        """End the run; returns whether MLflow has all of it.

        Args:
            status: `FINISHED`, `FAILED` or `KILLED`.
            timeout_seconds: Longest wait for what is still to be sent.
        """
        if self._closed:
            return not self._thread.sender.waiting()
        if self._system:
            self._system.finish()
        self.write("status", status=status)
        self._closed = True
        complete = self._thread.finish(timeout_seconds)
        if not complete:
            self.say(
                f"{self._thread.sender.waiting()} tracking events are not in MLflow at "
                f"{self.uri} yet. They are kept; send them with "
                f"`seqloom sync {self.run_dir}`."
            )
        if not self._thread.is_alive():  # else it still needs the lock
            self._spool.close()
        return complete

    def write(self, op: str, **fields: Any) -> None:
        """Put one event into the spool. A full disk is said once, never raised."""
        with self._guard:
            if self._closed:
                return
            event = {"op": op, "time": int(time.time() * 1000), **fields}
            try:
                self._spool.append(event)
            except OSError as error:
                if not self._failed:
                    self.say(f"The tracking log cannot be written: {error}.")
                self._failed = True
                return
            self._remember(event)

    def _remember(self, event: spool.Event) -> None:
        if event["op"] == "metrics":
            self._last_steps.update(dict.fromkeys(event["values"], event["step"]))
        elif event["op"] == "params":
            self._params.update(event["params"])

    def _relative(self, path: Path) -> str:
        try:
            return str(Path(path).resolve().relative_to(self.run_dir.resolve()))
        except ValueError:
            raise ValueError(
                f"{path} lies outside the run directory {self.run_dir}. Write it "
                "there: it may be sent long after this process has ended."
            ) from None


class NoTracker:
    """Tracking that is switched off: every method of `Tracker`, and nothing done."""

    uri = ""
    mlflow_run_id = None

    def _nothing(self, *args: Any, **kwargs: Any) -> None:
        pass

    log_params = log_metrics = set_tags = log_dataset = log_artifact = _nothing
    log_figure = log_table = log_model = _nothing

    def close(self, *args: Any, **kwargs: Any) -> bool:
        """Nothing is left to send."""
        return True


def default_uri(runs_dir: Path) -> str:
    """The sqlite store that all runs of a directory share."""
    return f"sqlite:///{Path(runs_dir).resolve()}/mlflow.db"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without an entry for this user
        return "unknown"


def _cut(text: str) -> str:
    return text if len(text) <= MAX_VALUE else text[: MAX_VALUE - len(_CUT)] + _CUT


def _warn(line: str) -> None:
    logging.getLogger("seqloom.tracking").warning(line)
