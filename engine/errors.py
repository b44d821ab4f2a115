"""What a user can get wrong, as types.

Every error below carries one sentence that says what is wrong and one that says what to do next.
The command line prints both without a traceback and exits with `exit_code`; the workbench shows
them in place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class EngineError(Exception):
    """An error that a user can cause and mend.

    Args:
        message: what is wrong, one sentence without a full stop at the end.
        hint: what to do next, one sentence; may be empty when the message says it all.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


def last_line(error: BaseException) -> str:
    """The last line of a foreign error: torch names every tensor that does not fit, a line each."""
    return (str(error).splitlines() or [type(error).__name__])[-1].strip()


class ConfigError(EngineError):
    """A value is unknown, of the wrong type or out of bounds."""

    exit_code = 2


class DataError(EngineError):
    """A data set is missing, truncated or altered."""


class RunError(EngineError):
    """A run is unknown, busy, or its folder cannot be read or written."""


class RunGoneError(RunError):
    """A run that was opened is not in its folder any more: it was deleted, renamed or removed.

    Args:
        name: what it was called.
        now: the folder that it is in, which may be in the trash; None where it was not found.
    """

    def __init__(self, message: str, hint: str = "", *, name: str, now: Path | None = None) -> None:
        super().__init__(message, hint)
        self.name = name
        self.now = now


class NoRoomError(RunError):
    """The disk is full, or a quota is used up: the same will do once there is room.

    Args:
        reason: which of the two, as the system says it.
    """

    def __init__(self, message: str, hint: str = "", *, reason: str) -> None:
        super().__init__(message, hint)
        self.reason = reason


class CheckpointError(RunError):
    """A checkpoint is missing or does not verify against its manifest."""


class DeviceError(EngineError):
    """The requested device is not there or cannot be used."""
