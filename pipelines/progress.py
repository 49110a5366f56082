"""What a person sees while a run trains: one bar, and a line for each validation."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class TrainingProgress:
    """A progress bar over steps, with loss, tokens a second and the time left.

    Off a terminal the bar is not drawn; the lines of `say` are.
    """

    def __init__(self, console: Console | None = None):
        self.console = console or Console(soft_wrap=True)
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.4f}"),
            TextColumn("{task.fields[rate]:,.0f} tokens/s"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task(
            "", total=None, epoch=1, loss=float("nan"), rate=0.0, start=False
        )

    def __enter__(self):
        self._bar.start()
        return self

    def __exit__(self, *_):
        self._bar.stop()

    def begin(self, total_steps: int, step: int) -> None:
        self._bar.start_task(self._task)
        self._bar.update(self._task, total=total_steps, completed=step)

    def update(self, step: int, epoch: int, loss: float, rate: float) -> None:
        self._bar.update(self._task, completed=step, epoch=epoch, loss=loss, rate=rate)

    def say(self, text: str) -> None:
        self._bar.console.print(text, highlight=False)
