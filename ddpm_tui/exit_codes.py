"""What the command's exit code says beside 0, 1 and 2."""

import signal

INTERRUPTED = 130
"""Ctrl+C or `ddpm-tui stop` ended it, as shells have it."""

PREEMPTED = 75
"""SIGTERM or SIGUSR1 ended it. Of a training a checkpoint is saved, and `resume` goes on; anything
else leaves nothing half done and can be done anew. EX_TEMPFAIL."""

PREEMPTING = (signal.SIGTERM, signal.SIGUSR1)
"""Batch systems send these some time before they take the machine away."""
