"""Run directories: everything that a trained model needs, in one folder."""

import errno
import json
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path

from seqloom.pipelines.errors import UserError

CONFIG_FILE = "config.yaml"


class Run:
    """Paths and small files of one run directory; the README shows its layout."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self.config_path = self.folder / CONFIG_FILE
        self.vocabulary_dir = self.folder / "vocabulary"
        self.checkpoint_dir = self.folder / "checkpoints"
        self.weights_path = self.folder / "weights" / "best.weights.h5"
        self.history_path = self.folder / "history.jsonl"
        self.metrics_path = self.folder / "metrics.json"
        self.predictions_dir = self.folder / "predictions"
        self.figures_dir = self.folder / "figures"
        self.saved_model_dir = self.folder / "saved_model"

    @property
    def name(self) -> str:
        return self.folder.name

    @classmethod
    def create(cls, runs_dir: Path, task: str) -> "Run":
        """Make `runs/<task>/<UTC time>-<short id>`."""
        name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        run = cls(Path(runs_dir) / task / name)
        run.folder.mkdir(parents=True)
        return run

    @classmethod
    def open(cls, folder: str | Path) -> "Run":
        """The run in a folder that a user named; an error if it is not one."""
        run = cls(Path(folder).resolve())
        if not run.folder.exists():
            raise UserError(
                f"There is no run at {folder}. `ls {Path(folder).parent}` shows what "
                "is there; `make train TASK=...` makes a new one."
            )
        if not run.config_path.is_file():
            raise UserError(
                f"{folder} is not a run directory: it has no {CONFIG_FILE}. "
                "Name a folder such as runs/ner/latest."
            )
        return run

    @classmethod
    def newest(cls, runs_dir: Path, task: str, config: str | None = None) -> "Run":
        """The newest finished run of a task, or of one of its configs."""
        for folder in sorted(Path(runs_dir, task).glob("*-*"), reverse=True):
            run = cls(folder)
            if run.finished and config in (None, run.config_name()):
                return run.open(folder)
        wanted = f"{task} with CONFIG={config}" if config else task
        make = f"make train TASK={task}" + (f" CONFIG={config}" if config else "")
        raise UserError(
            f"There is no finished run of {wanted} in {runs_dir}/{task}. "
            f"`{make}` makes one."
        )

    @property
    def finished(self) -> bool:
        return self.config_path.is_file() and "test" in self.metrics()

    def config_name(self) -> str | None:
        from seqloom.pipelines.settings import read_resolved

        return read_resolved(self.config_path).config.name

    def metrics(self) -> dict:
        if not self.metrics_path.exists():
            return {}
        try:
            return json.loads(self.metrics_path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(
                f"{self.metrics_path} cannot be read: {error}. Delete it, and make it "
                f"again: make evaluate RUN={self.folder}"
            ) from error

    def add_metrics(self, **groups: dict) -> None:
        """Add or replace groups, such as `test={...}`, in metrics.json."""
        # Imported here: a missing run is told before TensorFlow is loaded.
        from seqloom.pipelines.checkpoints import write_json

        write_json(self.metrics_path, {**self.metrics(), **groups})

    def mark_latest(self) -> None:
        """Let `runs/<task>/latest` link to this run."""
        link = self.folder.parent / "latest"
        temporary = self.folder.parent / f".latest-{self.name}"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(self.name)
        temporary.replace(link)

    # === History: one line a training step or validation ===

    def append_history(self, rows: list[dict]) -> None:
        """Add rows: all of them, or with OSError (a full disk) none."""
        text = "".join(json.dumps(row) + "\n" for row in rows).encode()
        with self.history_path.open("ab", buffering=0) as file:
            size = file.tell()
            if file.write(text) != len(text):
                file.truncate(size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def history(self) -> list[dict]:
        if not self.history_path.exists():
            return []
        lines = self.history_path.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def cut_history(self, step: int) -> None:
        """Forget what came after `step`, and a line cut short by a crash."""
        if not self.history_path.exists():
            return
        kept = [row for row in self.history() if row["step"] <= step]
        temporary = self.history_path.with_suffix(".tmp")
        temporary.write_text("".join(json.dumps(row) + "\n" for row in kept), "utf-8")
        temporary.replace(self.history_path)
