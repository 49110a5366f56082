"""Memory is kept where it helps, and left alone where a user has decided."""

import os
import platform
import subprocess
import sys

import pytest

from seqloom.pipelines.memory import keep_freed_memory

PAGES_OF_A_BLOCK = 20_000_000 // 4096
PROGRAM = f"""
import resource, sys
from seqloom.pipelines.memory import keep_freed_memory

changed = keep_freed_memory(cores=int(sys.argv[1]))
bytearray({PAGES_OF_A_BLOCK} * 4096)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    bytearray({PAGES_OF_A_BLOCK} * 4096)
print(changed, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

linux = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="needs the GNU C library"
)


def faults(cores=2, **environment) -> tuple[str, int]:
    """What was answered, and the pages that ten blocks after a first one cost."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MALLOC_", "GLIBC_TUNABLES"))
    }
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(cores)],
        env={**kept, **environment},
        check=True,
        capture_output=True,
        text=True,
    )
    changed, number = finished.stdout.split()
    return changed, int(number)


@linux
@pytest.mark.parametrize("cores", [2, 64])
def test_a_freed_block_is_taken_again_without_new_pages(cores):
    changed, number = faults(cores)
    assert changed == "True"
    assert number < PAGES_OF_A_BLOCK


@linux
def test_what_a_user_has_set_stays():
    changed, number = faults(MALLOC_MMAP_THRESHOLD_="65536")
    assert changed == "False"
    assert number >= 10 * PAGES_OF_A_BLOCK


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()
