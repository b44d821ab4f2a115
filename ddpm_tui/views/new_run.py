"""The form that starts a training: preset first, the rest optional, checked as one types."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid, Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, Static

from ddpm_tui.sanitize import clean
from ddpm_tui.widgets.choice import Choice
from engine.config import (
    BETA_SCHEDULE_NAMES,
    MODEL_NAMES,
    PREDICTION_NAMES,
    PRESET_HELP,
    RunConfig,
    make_config,
)
from engine.data import SOURCES, available, default_dataset
from engine.errors import ConfigError, EngineError
from engine.runs.folder import Run, check_name, create_run

_PRESET_VALUE = "the preset's"

# id, table and key in the config of what is chosen from a few values.
_CHOICES: tuple[tuple[str, str, str], ...] = (
    ("model", "model", "name"),
    ("schedule", "diffusion", "beta_schedule"),
    ("prediction", "diffusion", "prediction_type"),
    ("classes", "model", "class_conditional"),
)
_TOLD = {"yes": True, "no": False}

# id, label, table and key in the config, type, help. Left empty, the preset decides.
_NUMBERS: tuple[tuple[str, str, str, str, type, str], ...] = (
    ("steps", "steps", "training", "steps", int, "training steps in all"),
    ("batch", "batch size", "data", "batch_size", int, "images a step"),
    ("lr", "learning rate", "training", "lr", float, "peak, such as 1e-3"),
    ("timesteps", "timesteps T", "diffusion", "num_train_timesteps", int, "length of the process"),
)


class NewRun(ModalScreen[Run | None]):
    """Returns the run that was made, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Back"),
        Binding("enter", "start", "Train"),
        Binding("down", "app.focus_next", "Next field", show=False),
        Binding("up", "app.focus_previous", "Previous field", show=False),
    ]

    def __init__(self, runs_dir: Path, data_dir: Path | None) -> None:
        super().__init__()
        self._runs_dir, self._data_dir = runs_dir, data_dir
        self._default_data = default_dataset(data_dir)
        self._found = {entry.name: entry for entry in available(data_dir) if entry.found}

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog form") as dialog:
            dialog.border_title = "Train a new run"
            dialog.border_subtitle = "enter trains · tab ↑ ↓ move · ◂ ▸ choose · esc back"
            with Grid(id="fields"):
                yield Label("preset")
                yield Choice(list(PRESET_HELP), id="preset")
                yield Label("data set")
                yield Choice(list(self._found), self._default_data, id="data")
                yield Label("network")
                yield Choice([_PRESET_VALUE, *MODEL_NAMES], id="model")
                yield Label("noise schedule")
                yield Choice([_PRESET_VALUE, *BETA_SCHEDULE_NAMES], id="schedule")
                yield Label("predicts")
                yield Choice([_PRESET_VALUE, *PREDICTION_NAMES], id="prediction")
                yield Label("told the class")
                yield Choice([_PRESET_VALUE, *_TOLD], id="classes")
                for field, label, _, _, _, hint in _NUMBERS:
                    yield Label(label)
                    yield Input(placeholder=hint, id=field, compact=True)
                yield Label("seed")
                yield Input("0", placeholder="every draw follows from it", id="seed", compact=True)
                yield Label("name")
                yield Input(placeholder="run1, run2, …", id="name", compact=True)
            yield Static("", id="summary", markup=False)
            yield Static("", id="problem", markup=False)
            with Horizontal(classes="buttons"):
                yield Button("Train (enter)", variant="primary", id="train", compact=True)
                yield Button("Back (esc)", id="back", compact=True)

    def on_mount(self) -> None:
        self.query_one("#preset").focus()
        self._check()

    def _value(self, field: str) -> str:
        return self.query_one(f"#{field}", Input).value.strip()

    def _config(self) -> RunConfig:
        """The config that the form describes.

        Raises:
            ConfigError: names the first field that is wrong.
        """
        choice = {c.id or "": c.value for c in self.query(Choice)}
        tables: dict[str, dict[str, Any]] = {"data": {"dataset": choice["data"]}}
        for field, table, key in _CHOICES:
            if choice[field] != _PRESET_VALUE:
                value = choice[field]
                tables.setdefault(table, {})[key] = _TOLD.get(value, value)
        for field, label, table, key, kind, _ in _NUMBERS:
            if text := self._value(field):
                tables.setdefault(table, {})[key] = _number(text, kind, label)
        if name := self._value("name"):
            check_name(name)
            if (self._runs_dir / name).exists():
                raise ConfigError(f"There is already a run {name!r}")
        return make_config(
            choice["preset"] or "default",
            dataset_size=SOURCES[choice["data"] or self._default_data].train_count,
            **{"seed": _number(self._value("seed") or "0", int, "seed"), **tables},
        )

    @on(Input.Changed)
    @on(Choice.Changed)
    def _check(self) -> None:
        """Validate while one types; say what would be trained, or what is wrong."""
        summary, problem = self.query_one("#summary", Static), self.query_one("#problem", Static)
        train = self.query_one("#train", Button)
        try:
            config = self._config()
        except ConfigError as error:
            problem.update(clean(error.message))
            summary.display = False
            train.disabled = True
            return
        problem.update("")
        train.disabled = False
        summary.display = True
        summary.update(clean(self._describe(config)))

    def _describe(self, config: RunConfig) -> str:
        entry = self._found[config.data.dataset]
        images = config.training.steps * config.data.batch_size
        told = ", told the class," if config.model.class_conditional else ""
        # What the preset promises holds for its own network.
        own = self.query_one("#model", Choice).value == _PRESET_VALUE
        return (
            (f"{PRESET_HELP[config.preset]}.\n" if own else "")
            + f"{config.model.name}{told} on {entry.name} ({entry.origin}): "
            f"{config.training.steps:,} steps of {config.data.batch_size} images, "
            f"{images / entry.train_count:.1f} epochs, "
            f"lr {config.training.lr:g}, {config.diffusion.beta_schedule}, "
            f"T = {config.diffusion.num_train_timesteps}, "
            f"predicts {config.diffusion.prediction_type}."
        )

    @on(Input.Submitted)
    def action_start(self) -> None:
        try:
            config = self._config()
            run = create_run(self._runs_dir, config, name=self._value("name") or None,
                             command=self._command(config))  # fmt: skip
        except EngineError as error:
            self.query_one("#problem", Static).update(clean(str(error)))
            return
        self.dismiss(run)

    def _command(self, config: RunConfig) -> list[str]:
        """The command line that trains the same, for env.json and the export's README."""
        return [
            "ddpm-tui",
            "train",
            *("--preset", config.preset, "--dataset", config.data.dataset),
            *("--model", config.model.name, "--steps", str(config.training.steps)),
            *("--batch-size", str(config.data.batch_size), "--lr", f"{config.training.lr:g}"),
            *("--beta-schedule", config.diffusion.beta_schedule),
            *("--num-train-timesteps", str(config.diffusion.num_train_timesteps)),
            *("--prediction-type", config.diffusion.prediction_type),
            "--class-conditional" if config.model.class_conditional else "--unconditional",
            *("--seed", str(config.seed)),
        ]

    def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "train":
            self.action_start()
        else:
            self.dismiss(None)


def _number(text: str, kind: type, label: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        wanted = "a whole number" if kind is int else "a number"
        raise ConfigError(f"{label}: {text!r} is not {wanted}") from None
