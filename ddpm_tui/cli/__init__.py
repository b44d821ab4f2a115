"""The `ddpm-tui` command. Heavy imports stay inside the verbs: `--help`, `runs` and `export`
start at once.
"""

from __future__ import annotations

import os
import sys

import typer

from ddpm_tui.cli import drawing, inspecting, keeping, listing, measuring, taking, training
from ddpm_tui.cli.comparing import compare
from ddpm_tui.cli.editing import edit_app
from ddpm_tui.cli.keys import keys
from ddpm_tui.cli.options import INTERRUPTED
from ddpm_tui.cli.workbench import workbench
from engine.allocator import keep_freed_memory
from engine.errors import EngineError

app = typer.Typer(
    name="ddpm-tui",
    help="Train, watch and steer denoising diffusion models (DDPM) in the terminal.\n\n"
    "Without a command it opens the workbench. `ddpm-tui COMMAND --help` explains a command.",
    no_args_is_help=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.callback(invoke_without_command=True)(workbench)
for verb in (
    training.train,
    training.resume,
    drawing.sample,
    taking.take,
    measuring.evaluate,
    drawing.export,
    listing.runs,
    listing.show,
    compare,
    inspecting.inspect,
    keeping.rename,
    keeping.tag,
    keeping.note,
    keeping.archive,
    keeping.delete,
    keeping.restore,
    keeping.trash,
    drawing.forward,
    training.config,
    measuring.bench,
    keys,
):
    app.command()(verb)
app.add_typer(edit_app, name="edit")
app.add_typer(listing.data_app, name="data")


def main() -> None:
    """The `ddpm-tui` command: errors of the user as one sentence, never as a traceback."""
    # OpenMP's threads spin while they wait for each other, by default almost for ever. As soon as
    # anything else wants a core (the workbench, a second job) that makes training several times
    # slower; a short spin costs a lone training about two per cent. Read when torch loads.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    keep_freed_memory()
    try:
        code = app(standalone_mode=False)
    except EngineError as error:
        _complain(str(error))
        sys.exit(error.exit_code)
    except typer.Abort:
        sys.exit(INTERRUPTED)
    except KeyboardInterrupt:
        _complain("interrupted")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # `ddpm-tui runs | head`: the reader has gone. Python would complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except typer.TyperException as error:
        message = error.format_message().rstrip(".")
        _complain(
            f"{message}{'' if message.endswith('?') else '.'} See `{_command(error)} --help`."
        )
        sys.exit(error.exit_code)
    sys.exit(code if isinstance(code, int) else 0)


def _command(error: typer.TyperException) -> str:
    """The command that a wrong usage was of, as far as it was understood."""
    context = getattr(error, "ctx", None)
    return context.command_path if context else "ddpm-tui"


def _complain(message: str) -> None:
    from ddpm_tui.sanitize import clean

    print(f"ddpm-tui: {clean(message)}", file=sys.stderr)
