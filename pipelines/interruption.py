"""Ctrl-C and SIGTERM: finish the step, save, and say how to go on."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """Training was told to stop; all is saved and the run can go on later."""

    def __init__(self, number: int, step: int, how_to_go_on: str):
        self.exit_status = 128 + number
        super().__init__(
            f"Stopped at step {step} by {signal.Signals(number).name}; everything is "
            f"saved. {how_to_go_on}"
        )


class Interruption:
    """Notes a signal instead of stopping at once; a second one does not wait.

    Args:
        say: Takes a line for the user.
        any_worker: Tells whether any of several workers says yes. All of them must
            stop at the same step: one that goes on alone waits for the others forever.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        any_worker: Callable[[bool], bool] = bool,
    ):
        self.say = say
        self.any_worker = any_worker
        self.signal: int | None = None

    def wanted(self) -> int | None:
        """The signal to stop for, here or at another worker; all ask together."""
        noted = self.signal
        return (noted or signal.SIGTERM) if self.any_worker(bool(noted)) else None

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
