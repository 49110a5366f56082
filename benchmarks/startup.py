"""How long one waits: for help, and for the first training step."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from turns import in_turn, report

HELP_ROUNDS = 5


def measure_startup() -> None:
    """Seconds from the start of a process; the data are in the cache already."""
    (help_,) = in_turn([help_milliseconds], HELP_ROUNDS)
    report("startup", "seqloom --help, ms (<= 1,000)", help_)
    report("startup", "first training step, s (<= 40)", first_step_seconds())


def help_milliseconds() -> float:
    command = Path(sys.executable).with_name("seqloom")
    started = time.perf_counter()
    subprocess.run([command, "--help"], check=True, stdout=subprocess.DEVNULL)
    return 1000 * (time.perf_counter() - started)


def first_step_seconds() -> float:
    script = Path(__file__).with_name("first_step.py")
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, str(script), folder],
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - started
    if "first step done" not in done.stdout:
        raise RuntimeError(f"No first step: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return seconds
