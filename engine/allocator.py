"""glibc's malloc, told to keep the memory that a training step gives back.

Every step makes and frees the same tensors. Left alone, malloc hands the large ones back to the
kernel, which has to clear each page before the next step gets it: about 30,000 page faults a step
of the default preset.
"""

from __future__ import annotations

import ctypes

# Of malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_M_ARENA_MAX = -8
_NEVER = 2**31 - 1


def keep_freed_memory() -> None:
    """From now on; before other threads begin, for each has chosen where its memory comes from.

    Without effect where malloc is not glibc's.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    # No mapping of their own for large tensors, nothing back from the end of the heap; and one heap
    # for all threads, since that of a thread is in pieces of 64 MiB which come and go.
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, _NEVER)
    mallopt(_M_ARENA_MAX, 1)


def give_memory_back() -> None:
    """Hand what is free to the kernel once, as after a training."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
