"""How a test without a terminal waits after a key: until the app's own thread has nothing to do.

Textual's pilot waits until the whole process is idle, for a second at most. Workers draw, read and
train in other threads here, so that after almost every key it waited that second. What a worker
brings a test waits for by name.
"""

from __future__ import annotations

import asyncio
import time

_LOOK = 0.02
# Of which this much is what an idle app does.
_IDLE = _LOOK / 20


async def wait_for_idle(min_sleep: float = _LOOK, max_sleep: float = 1) -> None:
    """In the place of `textual._wait.wait_for_idle`, of which these are the arguments."""
    start = time.monotonic()
    while True:
        busy = time.thread_time()
        await asyncio.sleep(_LOOK)
        busy = time.thread_time() - busy
        waited = time.monotonic() - start
        if waited >= max_sleep or (waited > min_sleep and busy < _IDLE):
            return
