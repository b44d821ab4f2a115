"""The `ddpm-tui` command."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from ddpm_tui.imports import explained, guard_torch, own_engine

with explained():
    own_engine()
    from ddpm_tui.ending import CommandSignals, PreemptedError
    from ddpm_tui.exit_codes import INTERRUPTED, PREEMPTED
    from ddpm_tui.streams import unfailing_streams
    from engine.allocator import keep_freed_memory
    from engine.errors import EngineError


_NOTHING_KEPT = "nothing half done counts"


@unfailing_streams()
def main() -> None:
    """The `ddpm-tui` command: errors of the user as one sentence, never as a traceback."""
    # OpenMP's threads spin while they wait for each other, by default almost for ever. As soon as
    # anything else wants a core (the workbench, a second job) that makes training several times
    # slower; a short spin costs a lone training about two per cent. Read when torch loads.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    # With more threads than cores, as after sampling, spin a tenth of that instead of a hundredth.
    os.environ.setdefault("OMP_WAIT_POLICY", "active")
    keep_freed_memory()
    guard_torch()
    _let_the_window_have_its_size()
    # Whatever the shell's: nothing that a run folder holds may be changed by everybody.
    os.umask(os.umask(0o077) | 0o002)
    try:
        code: object = None
        with CommandSignals(), explained():
            # The parser would be a fifth of the wait for the first screen.
            code = _verb() if sys.argv[1:] else _workbench()
    except EngineError as error:
        _complain(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt as interrupt:
        _complain("; ".join(["interrupted", *_notes(interrupt)]))
        sys.exit(INTERRUPTED)
    except PreemptedError as signal:
        _complain("; ".join([f"ended by {signal}", *(_notes(signal) or [_NOTHING_KEPT])]))
        sys.exit(PREEMPTED)
    sys.exit(code if isinstance(code, int) else 0)


def _notes(error: BaseException) -> list[str]:
    """What the work that was ended has kept, where it says so."""
    notes: list[str] = getattr(error, "__notes__", [])
    return notes


def _workbench() -> int:
    from ddpm_tui.cli.opening import open_workbench

    return open_workbench()


def _let_the_window_have_its_size() -> None:
    """Where there is a terminal, COLUMNS and LINES are left out: Python, Rich and Textual would
    prefer them, and exported they stay what they were when the window was another size."""
    with suppress(OSError):
        columns, lines = os.get_terminal_size(1)
        for name, known in (("COLUMNS", columns), ("LINES", lines)):
            if known:
                os.environ.pop(name, None)


def _verb() -> object:
    import typer

    from ddpm_tui.cli.verbs import app

    try:
        return app(standalone_mode=False)
    except typer.Abort:
        return INTERRUPTED
    except typer.TyperException as error:
        message = error.format_message().rstrip(".")
        _complain(
            f"{message}{'' if message.endswith('?') else '.'} See `{_command(error)} --help`."
        )
        return error.exit_code


def _command(error: Exception) -> str:
    """The command that a wrong usage was of, as far as it was understood."""
    context = getattr(error, "ctx", None)
    return context.command_path if context else "ddpm-tui"


def _complain(message: str) -> None:
    from ddpm_tui.sanitize import clean

    print(f"ddpm-tui: {clean(message)}", file=sys.stderr)
