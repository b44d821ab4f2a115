"""tmux and GNU screen, which are the terminal where they run."""

from __future__ import annotations

from collections.abc import Mapping


def multiplexed(environ: Mapping[str, str]) -> bool:
    """Whether a multiplexer is the terminal: it would keep the pictures to itself, and tmux would
    take the question for a title."""
    term = environ.get("TERM", "")
    return bool(environ.get("TMUX") or environ.get("STY")) or term.startswith(("tmux", "screen"))
