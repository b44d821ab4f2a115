"""All verbs. Heavy imports stay inside them: `--help`, `runs` and `export` start at once."""

from __future__ import annotations

import typer

from ddpm_tui.cli import drawing, inspecting, keeping, listing, measuring, taking, training
from ddpm_tui.cli.comparing import compare
from ddpm_tui.cli.doctor import doctor
from ddpm_tui.cli.editing import edit_app
from ddpm_tui.cli.importing import import_weights
from ddpm_tui.cli.keys import keys
from ddpm_tui.cli.workbench import workbench

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
    training.watch,
    training.stop,
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
    doctor,
):
    app.command()(verb)
app.command("import")(import_weights)
app.add_typer(edit_app, name="edit")
app.add_typer(listing.data_app, name="data")
