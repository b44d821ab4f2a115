"""What the command's exit code says beside 0, 1 and 2."""

INTERRUPTED = 130
"""Ctrl+C or `ddpm-tui stop` ended it, as shells have it."""

PREEMPTED = 75
"""SIGTERM or SIGUSR1 ended a training; a checkpoint is saved and `resume` goes on. EX_TEMPFAIL."""
