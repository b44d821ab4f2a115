"""What malloc does with the memory of a step is asked of the kernel, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

STEPS = """
import ctypes, resource, sys, threading
from engine.allocator import give_memory_back, keep_freed_memory

if sys.argv[1] == "keeps":
    keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]

def step():
    tensors = [libc.malloc(size << 20) for size in (4, 51, 13, 51)]  # MiB, as of activations
    for tensor in tensors:
        ctypes.memset(tensor, 1, 4 << 20)
    for tensor in tensors:
        libc.free(tensor)

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 >> 20

def train():
    step()
    before = faults()
    for _ in range(10):
        step()
    print((faults() - before) // 10)

thread = threading.Thread(target=train)
thread.start()
thread.join()
held = resident()
give_memory_back()
print(held - resident())
"""


def figures(kind: str) -> tuple[int, int]:
    """Page faults a step, and MiB that were given back at the end."""
    told = subprocess.run(
        [sys.executable, "-c", STEPS, kind], capture_output=True, text=True, check=True
    ).stdout.split()
    return int(told[0]), int(told[1])


@pytest.mark.skipif(sys.platform != "linux", reason="malloc is glibc's on Linux alone")
def test_the_memory_of_a_step_serves_the_next_and_is_given_back_at_the_end() -> None:
    usual, _ = figures("usual")
    kept, given_back = figures("keeps")
    assert usual > 2000, "else there is nothing to gain"
    assert kept < 10
    assert given_back > 10
