"""How the C library keeps the memory of tensors for those that come next."""

import ctypes
import os
import sys

# Numbers of the GNU C library, see `man mallopt`.
TRIM_THRESHOLD = -1
TOP_PAD = -2
MMAP_THRESHOLD = -3
ARENA_MAX = -8

MEBIBYTE = 1024 * 1024
FEW_CORES = 8


def keep_freed_memory(cores: int | None = None) -> bool:
    """Let freed memory stay with the process, and new memory come in large pieces.

    By itself the library gives large blocks back as soon as they are free. A training
    step asks for the same ones again, and the system clears each page of them anew,
    which took a fifth to almost half of the time where it was measured. Blocks that are
    kept need no clearing. On few cores all threads share one arena, so that any of them
    finds the blocks of the others; on many they would wait for each other.

    Process-wide. What a user has set in MALLOC_... or GLIBC_TUNABLES stays, and other C
    libraries than that of GNU are left alone.

    Args:
        cores: Number of processors, by default of this machine.

    Returns:
        Whether anything was changed.
    """
    if any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return False
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    options = {
        MMAP_THRESHOLD: 1024 * MEBIBYTE,
        TRIM_THRESHOLD: 2047 * MEBIBYTE,
        TOP_PAD: 256 * MEBIBYTE,
    }
    if (cores or os.cpu_count() or 1) <= FEW_CORES:
        options[ARENA_MAX] = 1
    for option, value in options.items():
        library.mallopt(option, value)
    return True
