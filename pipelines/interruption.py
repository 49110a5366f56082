"""Ctrl-C and SIGTERM: finish the step, save, and say how to go on."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """Training was told to stop; all is saved and the run can go on later."""

    def __init__(self, number: int, step: int, run_dir: Path, task: str):
        self.exit_status = 128 + number
        super().__init__(
            f"Stopped at step {step} by {signal.Signals(number).name}; everything is "
            f"saved. Go on with: make train TASK={task} RESUME={run_dir}"
        )


class Interruption:
    """Notes a signal instead of stopping at once; a second one does not wait."""

    def __init__(self, say: Callable[[str], None]):
        self.say = say
        self.signal: int | None = None

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Handle the signals here for the time of the block."""
        try:
            before = {number: signal.signal(number, self._note) for number in SIGNALS}
        except ValueError:  # not in the main thread: signals are the caller's
            before = {}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number, _frame) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number
        self.say("Stopping after this step ...")
