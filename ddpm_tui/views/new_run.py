"""The form that starts a training: preset first, the rest optional, checked and costed as one
types."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Button, Input, Static
from textual.worker import get_current_worker

from ddpm_tui.report import cost_report
from ddpm_tui.sanitize import clean
from ddpm_tui.views.dialog import Buttons, Dialog, DialogScreen, Problem
from ddpm_tui.views.form import Field, Form, setting_field
from ddpm_tui.widgets.choice import Choice
from ddpm_tui.widgets.last_word import LastWord
from engine.config import PRESET_HELP, RunConfig, make_config
from engine.data import SOURCES, available, default_dataset
from engine.errors import ConfigError, EngineError
from engine.runs.folder import Run, check_name, create_run
from engine.settings import parse_settings, setting_types

if TYPE_CHECKING:
    from engine.cost import Cost

_PRESET_VALUE = "the preset's"
_TOLD = {"yes": True, "no": False}
_CHOICES = (
    setting_field("model", "network", "model.name", first=_PRESET_VALUE),
    setting_field("schedule", "noise schedule", "diffusion.beta_schedule", first=_PRESET_VALUE),
    setting_field("prediction", "predicts", "diffusion.prediction_type", first=_PRESET_VALUE),
    setting_field("classes", "told the class", "model.class_conditional", first=_PRESET_VALUE),
)
_NUMBERS: tuple[tuple[Field, type], ...] = (
    (setting_field("steps", "steps", "training.steps"), int),
    (setting_field("batch", "batch size", "data.batch_size"), int),
    (setting_field("lr", "learning rate", "training.lr"), float),
    (setting_field("timesteps", "timesteps T", "diffusion.num_train_timesteps"), int),
)
_SETTINGS = Field(
    "settings",
    "other settings",
    "any other setting, as in training.snr_gamma=5 model.dropout=0.1; → completes",
    placeholder="key=value …",
)
# Typing goes on while the last word is still being written.
_QUIET_SECONDS = 0.6
_PROBE_SECONDS = 3.0


class Costed(Message):
    """What the training would cost, as far as it is known by now; or why it cannot be told."""

    def __init__(self, config: RunConfig, cost: Cost | None, problem: str = "") -> None:
        super().__init__()
        self.config, self.cost, self.problem = config, cost, problem


class NewRun(DialogScreen[Run | None]):
    """Returns the run that was made, or None.

    Args:
        device: what will train, for the cost.
        free: whether the machine may be used for a moment, to measure its speed.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Back"),
        Binding("enter", "start", "Train"),
    ]
    DEFAULT_CSS = """
    NewRun #summary, NewRun #cost { height: auto; color: $foreground 75%; }
    NewRun #cost { color: $foreground; }
    NewRun #summary.-wrong, NewRun #cost.-wrong { display: none; }
    /* What the fields say as well. */
    NewRun.-short #summary, NewRun.-tiny #summary, NewRun.-tiny #cost { display: none; }
    """

    def __init__(
        self,
        runs_dir: Path,
        data_dir: Path | None,
        *,
        device: str = "auto",
        free: Callable[[], bool] = lambda: True,
    ) -> None:
        super().__init__()
        self._runs_dir, self._data_dir = runs_dir, data_dir
        self._device, self._free = device, free
        self._default_data = default_dataset(data_dir)
        self._found = {entry.name: entry for entry in available(data_dir) if entry.found}
        self._waiting: Timer | None = None
        self._described: RunConfig | None = None

    def compose(self) -> ComposeResult:
        preset = Field("preset", "preset", "what all other values start from", "preset",
                       tuple(PRESET_HELP))  # fmt: skip
        data = Field("data", "data set", "which images to learn; those found on this machine",
                     "data.dataset", tuple(self._found), self._default_data)  # fmt: skip
        seed = Field("seed", "seed", "every random draw follows from it (≥ 0)", "seed", value="0")
        name = Field("name", "name", "of the run and its folder", placeholder="run1, run2, …")
        numbers = (field for field, _ in _NUMBERS)
        keys = ("enter trains", "tab ↑ ↓ move", "◂ ▸ choose", "esc back")
        with Dialog("Train a new run", keys, classes="form"):
            yield Form(
                (preset, data, *_CHOICES, *numbers, _SETTINGS, seed, name),
                suggesters={"settings": LastWord([f"{key}=" for key, _ in setting_types()])},
            )
            yield Static("", id="summary", markup=False)
            yield Static("", id="cost", markup=False)
            yield Problem()
            with Buttons():
                yield Button("Train (enter)", variant="primary", id="train", compact=True)
                yield Button("Back (esc)", id="back", compact=True)

    def on_mount(self) -> None:
        self.query_one("#preset").focus()
        self._check()

    @property
    def _form(self) -> Form:
        return self.query_one(Form)

    def _config(self) -> RunConfig:
        """The config that the form describes.

        Raises:
            ConfigError: says what is wrong first; its field is blamed.
        """
        form = self._form
        tables: dict[str, dict[str, Any]] = {"data": {"dataset": form.value("data")}}
        for field in _CHOICES:
            if (value := form.value(field.id)) != _PRESET_VALUE:
                _put(tables, field.setting, _TOLD.get(value, value))
        for field, kind in _NUMBERS:
            if (number := form.number(field.id, kind)) is not None:
                _put(tables, field.setting, number)
        try:
            for table, values in parse_settings(_words(form.value("settings"))).items():
                for key, value in values.items():
                    if key in tables.get(table, {}):
                        raise ConfigError(f"{table}.{key} is set above already")
                    _put(tables, f"{table}.{key}", value)
        except ConfigError as error:
            form.blame(error, "settings")
            raise
        if name := form.value("name"):
            try:
                check_name(name)
                if (self._runs_dir / name).exists():
                    raise ConfigError(f"There is already a run {name!r}")
            except ConfigError as error:
                form.blame(error, "name")
                raise
        seed = form.number("seed", int) or 0
        try:
            return self._made(seed, tables)
        except ConfigError as error:
            form.blame(error)
            raise

    def _made(self, seed: int, tables: dict[str, dict[str, Any]]) -> RunConfig:
        size = SOURCES[self._form.value("data") or self._default_data].train_count
        preset = self._form.value("preset") or "default"
        values: dict[str, Any] = {"seed": seed, **tables}
        return make_config(preset, dataset_size=size, **values)

    # --- While one types -----------------------------------------------------------------------

    @on(Input.Changed)
    @on(Choice.Changed)
    def _check(self) -> None:
        """Validate while one types; say what would be trained, or what is wrong."""
        summary, problem = self.query_one("#summary", Static), self.query_one(Problem)
        cost, train = self.query_one("#cost", Static), self.query_one("#train", Button)
        self._form.clear_blame()
        self._hint()
        try:
            config = self._config()
        except ConfigError as error:
            self._forget_cost()
            problem.say(error.message)
            summary.set_class(True, "-wrong")
            cost.set_class(True, "-wrong")
            train.disabled = True
            return
        problem.say("")
        train.disabled = False
        summary.set_class(False, "-wrong")
        cost.set_class(False, "-wrong")
        summary.update(clean(self._describe(config)))
        if config != self._described:
            self._forget_cost()
            self._described = config
            self._waiting = self.set_timer(_QUIET_SECONDS, lambda: self._measure(config))

    def _hint(self) -> None:
        """Empty fields show what the preset has."""
        data = {"dataset": self._form.value("data")}
        own = self._made(0, {"data": data}).model_dump()
        for field, _ in _NUMBERS:
            table, _, key = field.setting.partition(".")
            self._form.hint(field.id, f"{own[table][key]:g}".replace("e-0", "e-"))

    def _describe(self, config: RunConfig) -> str:
        entry = self._found[config.data.dataset]
        images = config.training.steps * config.data.batch_size
        told = ", told the class," if config.model.class_conditional else ""
        # What the preset promises holds for its own network.
        own = self._form.value("model") == _PRESET_VALUE
        return (
            (f"{PRESET_HELP[config.preset]}. " if own else "")
            + f"{config.model.name}{told} on {entry.name} ({entry.origin}): "
            f"{config.training.steps:,} steps of {config.data.batch_size} images, "
            f"{images / entry.train_count:.1f} epochs, "
            f"lr {config.training.lr:g}, {config.diffusion.beta_schedule}, "
            f"T = {config.diffusion.num_train_timesteps}, "
            f"predicts {config.diffusion.prediction_type}."
        )

    # --- What it costs -------------------------------------------------------------------------

    def _forget_cost(self) -> None:
        """What was measured is of another config."""
        if self._waiting is not None:
            self._waiting.stop()
        self.workers.cancel_group(self, "cost")
        self._described = None
        self.query_one("#cost", Static).update("")

    def _measure(self, config: RunConfig) -> None:
        if self._free():
            self.query_one("#cost", Static).update("measuring the cost …")
            self._probe(config)
        else:
            self.query_one("#cost", Static).update(
                "The cost is measured when no training goes on here."
            )

    @work(thread=True, exclusive=True, group="cost", exit_on_error=False)
    def _probe(self, config: RunConfig) -> None:
        """A few training steps of this config; given up when the form closes or changes."""
        import time

        from engine.cost import estimate

        worker, began, cost = get_current_worker(), 0.0, None
        costs = estimate(config, device=self._device, data_dir=self._data_dir)
        try:
            for cost in costs:
                began = began or time.monotonic()
                if worker.is_cancelled:
                    return
                if time.monotonic() - began > _PROBE_SECONDS:
                    break
                if cost.seconds is None:
                    self.post_message(Costed(config, cost))
            self.post_message(Costed(config, cost))
        except EngineError as error:
            self.post_message(Costed(config, None, str(error)))
        finally:
            costs.close()

    def on_costed(self, message: Costed) -> None:
        if message.config != self._described:
            return
        text = cost_report(message.cost) if message.cost else f"✗ {clean(message.problem)}"
        self.query_one("#cost", Static).update(text)

    # --- Starting ------------------------------------------------------------------------------

    @on(Input.Submitted)
    def action_start(self) -> None:
        try:
            config = self._config()
            run = create_run(self._runs_dir, config, name=self._form.value("name") or None,
                             command=self._command(config))  # fmt: skip
        except EngineError as error:
            self.query_one(Problem).say(str(error))
            return
        self.dismiss(run)

    def _command(self, config: RunConfig) -> list[str]:
        """The command line that trains the same, for env.json and the export's README."""
        settings = _words(self._form.value("settings"))
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
            *(word for setting in settings for word in ("--set", setting)),
        ]

    def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "train":
            self.action_start()
        else:
            self.dismiss(None)


def _put(tables: dict[str, dict[str, Any]], setting: str, value: Any) -> None:
    table, _, key = setting.partition(".")
    tables.setdefault(table, {})[key] = value


def _words(line: str) -> list[str]:
    """The settings of a line; quotes keep spaces together.

    Raises:
        ConfigError: a quote is not closed.
    """
    try:
        return shlex.split(line)
    except ValueError:
        raise ConfigError("a quote is not closed") from None
