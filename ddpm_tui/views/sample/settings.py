"""What to draw: the form that the Sample view opens with `o`, checked as one types."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid
from textual.widgets import Button, Input, Label, Static

from ddpm_tui.sanitize import clean_lines
from ddpm_tui.views.dialog import Body, Buttons, Dialog, DialogScreen, Problem
from ddpm_tui.widgets.choice import Choice
from engine.config import RunConfig, SamplingConfig, override_sampling
from engine.errors import ConfigError, EngineError
from engine.prompts import parse_prompt
from engine.runs.checkpoint import list_checkpoints
from engine.runs.folder import Run, default_runs_dir
from engine.runs.scores import Score, list_scores

if TYPE_CHECKING:
    from engine.schedule import NoiseSchedule

SAMPLERS: dict[str, dict[str, str]] = {
    "ddpm fixed_small": {"sampler": "ddpm", "variance_type": "fixed_small"},
    "ddpm fixed_large": {"sampler": "ddpm", "variance_type": "fixed_large"},
    "ddim": {"sampler": "ddim"},
    "dpmpp_2m": {"sampler": "dpmpp_2m"},
    "dpmpp_2m_sde": {"sampler": "dpmpp_2m_sde"},
    "heun": {"sampler": "heun"},
}
# How the predicted x_0 is kept in range, with the options of the command line.
RANGES: dict[str, tuple[dict[str, bool], tuple[str, ...]]] = {
    "clipped": (
        {"clip_sample": True, "thresholding": False},
        ("--clip", "--no-thresholding"),
    ),
    "thresholding": ({"thresholding": True}, ("--thresholding",)),
    "free": (
        {"clip_sample": False, "thresholding": False},
        ("--no-clip", "--no-thresholding"),
    ),
}
STEPS = (1000, 250, 100, 50, 20)
NUMBERS = (1, 4, 9, 16, 36, 64)
# Both start near T − 1, where x_t is noise alone.
_START_HIGHER = "more steps or timestep_spacing=trailing"
# On a CPU the first picture should come in seconds.
_QUICK_STEPS = 100


def start_advice(schedule: NoiseSchedule, sampling: SamplingConfig) -> list[str]:
    """One line where a sampling from noise starts far below T − 1, else none."""
    from engine.sampling import start_note  # loads torch

    note = start_note(schedule, sampling)
    return [f"{note.partition(',')[0]}: use {_START_HIGHER}"] if note else []


def pictures(num: int) -> str:
    return "1 picture" if num == 1 else f"{num} pictures"


def _row(table: dict[str, dict[str, Any]], sampling: SamplingConfig) -> str:
    """The first row whose fields a config has."""
    own = sampling.model_dump()
    return next(name for name, row in table.items() if row.items() <= own.items())


def _range(sampling: SamplingConfig) -> str:
    return _row({name: fields for name, (fields, _) in RANGES.items()}, sampling)


@dataclass(frozen=True)
class RunOffer:
    """What a run has to draw with.

    Attributes:
        checkpoints: their steps, oldest first.
        class_names: what a prompt may ask for; empty when the network was not told the classes.
        scores: the evaluations of its checkpoints, by step.
    """

    run: Run
    checkpoints: tuple[int, ...]
    config: RunConfig
    class_names: tuple[str, ...] = ()
    scores: tuple[Score, ...] = ()

    @classmethod
    def read(cls, run: Run) -> RunOffer:
        """Read it from the run folder.

        Raises:
            RunError: the folder cannot be read.
            ConfigError: its config is not valid.
        """
        config = run.config()
        checkpoints = list_checkpoints(run)
        names: tuple[str, ...] = ()
        if config.model.class_conditional and checkpoints:
            names = tuple(str(name) for name in checkpoints[-1].state().get("class_names", ()))
        try:
            scores = list_scores(run)
        except OSError:
            scores = ()  # there is as much to draw with
        steps = tuple(checkpoint.step for checkpoint in checkpoints)
        return cls(run, steps, config, names, scores)

    def score_of(self, run: str, step: int) -> Score | None:
        """The evaluation of a checkpoint with the most pictures, if it is one of this run."""
        known = [score for score in self.scores if run == self.run.name and score.step == step]
        return known[-1] if known else None

    @property
    def timesteps(self) -> int:
        return self.config.diffusion.num_train_timesteps

    @property
    def sampling(self) -> SamplingConfig:
        """How the run draws unless told otherwise."""
        return self.config.sampling

    def step_choices(self) -> list[int]:
        """Numbers of steps that make sense here, most first."""
        wanted = {self.timesteps, self.sampling.num_inference_steps, *STEPS}
        return sorted((steps for steps in wanted if steps <= self.timesteps), reverse=True)

    def number_choices(self) -> list[int]:
        own = {self.sampling.num} if self.sampling.num <= NUMBERS[-1] else set()
        return sorted({*NUMBERS, *own})

    def defaults(self, *, quick: bool) -> DrawSettings:
        """The run's own settings; fewer steps where each of them takes its time."""
        steps = self.sampling.num_inference_steps
        return DrawSettings(
            self.run,
            "best",
            _row(SAMPLERS, self.sampling),
            min(steps, _QUICK_STEPS) if quick else steps,
            self.timesteps,
            min(self.sampling.num, NUMBERS[-1]),
            0,
            self.sampling,
            _range(self.sampling),
            self.sampling.prompt,
            self.sampling.guidance_scale,
        )

    def start_advice(self, settings: DrawSettings) -> list[str]:
        """What to know of a run whose own spacing starts far below T − 1."""
        if self.sampling.timestep_spacing == "trailing":
            return []
        from engine.schedule import NoiseSchedule  # loads torch

        sampling = override_sampling(self.config, settings.overrides())
        return start_advice(NoiseSchedule.of(self.config.diffusion), sampling)

    def check(self, settings: DrawSettings) -> None:
        """Find out before drawing what cannot be drawn.

        Raises:
            ConfigError: a value is out of bounds, or the prompt names no class.
        """
        sampling = override_sampling(self.config, settings.overrides())
        if sampling.prompt.strip():
            parse_prompt(sampling.prompt, self.class_names)


@dataclass(frozen=True)
class DrawSettings:
    """What to draw.

    Attributes:
        checkpoint: `best`, `last` or a step number.
        sampler: a key of `SAMPLERS`.
        steps: steps of the reverse process, of `timesteps`, the T of the run.
        num: how many pictures.
        own: how the run draws unless told otherwise.
        range: a key of `RANGES`.
        prompt: classes by name; empty is each in turn.
        guidance_scale: of the classifier-free guidance, 1 is none.
    """

    run: Run
    checkpoint: str
    sampler: str
    steps: int
    timesteps: int
    num: int
    seed: int
    own: SamplingConfig
    range: str
    prompt: str
    guidance_scale: float

    def overrides(self) -> dict[str, Any]:
        """Fields of the run's `[sampling]` that these settings replace."""
        return {
            **SAMPLERS[self.sampler],
            "num_inference_steps": self.steps,
            "num": self.num,
            **RANGES[self.range][0],
            "prompt": self.prompt,
            "guidance_scale": self.guidance_scale,
        }

    def asked_for(self) -> list[str]:
        """The prompt and the guidance in words, where there are any."""
        words = [self.prompt] if self.prompt else []
        return words + ([f"guidance {self.guidance_scale:g}"] if self.guidance_scale != 1 else [])

    def command(self, runs_dir: Path) -> str:
        """The command line that draws the same."""
        row = SAMPLERS[self.sampler]
        words = ["ddpm-tui", "sample", self.run.name, "--sampler", row["sampler"]]
        if "variance_type" in row:
            words += ["--variance", row["variance_type"]]
        words += ["--steps", str(self.steps), "--num", str(self.num), "--seed", str(self.seed)]
        if self.range != _range(self.own):
            words += RANGES[self.range][1]
        if self.prompt != self.own.prompt:
            words += ["--prompt", self.prompt]
        if self.guidance_scale != self.own.guidance_scale:
            words += ["--guidance-scale", f"{self.guidance_scale!r}".removesuffix(".0")]
        words += ["--checkpoint", self.checkpoint]
        if runs_dir != default_runs_dir():
            words += ["--runs-dir", str(runs_dir)]
        return shlex.join(words)


class SampleSettings(DialogScreen[DrawSettings | None]):
    """Returns what to draw, or None.

    Args:
        runs: what else can be drawn from.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Back"),
        Binding("enter", "draw", "Draw"),
        Binding("down", "app.focus_next", "Next field", show=False),
        Binding("up", "app.focus_previous", "Previous field", show=False),
    ]
    DEFAULT_CSS = """
    SampleSettings #fields {
        grid-size: 2; grid-columns: 12 1fr; grid-rows: 1; height: auto;
    }
    SampleSettings .asked { display: none; }
    SampleSettings.-classes .asked { display: block; }
    SampleSettings #summary { height: auto; color: $text-muted; }
    SampleSettings #advice { height: auto; color: $text-warning; }
    SampleSettings.-tiny #summary { display: none; }
    SampleSettings.-wrong #summary, SampleSettings.-wrong #advice { display: none; }
    """

    def __init__(self, settings: DrawSettings, runs: Sequence[Run], runs_dir: Path) -> None:
        super().__init__()
        self._settings, self._runs_dir = settings, runs_dir
        # The run on the screen may have no checkpoint yet, and be none of those.
        self._runs = {run.name: run for run in (*runs, settings.run)}
        self._offer: RunOffer | None = None

    def compose(self) -> ComposeResult:
        settings = self._settings
        keys = ("enter draws", "tab ↑ ↓ move", "◂ ▸ choose", "esc back")
        with Dialog("Draw pictures", keys, classes="form"):
            with Body(), Grid(id="fields"):
                yield Label("run")
                yield Choice(list(self._runs), settings.run.name, id="run")
                yield Label("checkpoint")
                yield Choice([settings.checkpoint], id="checkpoint")
                yield Label("sampler")
                yield Choice(list(SAMPLERS), settings.sampler, id="sampler")
                yield Label("steps")
                yield Choice([str(settings.steps)], id="steps")
                yield Label("pictures")
                yield Choice([str(settings.num)], id="num")
                yield Label("seed")
                yield Input(str(settings.seed), id="seed", compact=True)
                yield Label("x̂_0 range")
                yield Choice(list(RANGES), settings.range, id="range")
                yield Label("prompt", classes="asked")
                yield Input(
                    settings.prompt,
                    placeholder="each class in turn; or as in 0.6 dress + 0.4 coat",
                    id="prompt",
                    classes="asked",
                    compact=True,
                )
                yield Label("guidance", classes="asked")
                yield Input(
                    f"{settings.guidance_scale:g}",
                    placeholder="1 is none, above 1 exaggerates the class",
                    id="guidance",
                    classes="asked",
                    compact=True,
                )
            yield Static("", id="summary", markup=False)
            yield Static("", id="advice", markup=False)
            yield Problem()
            with Buttons():
                yield Button("Draw (enter)", variant="primary", id="draw", compact=True)
                yield Button("Back (esc)", id="back", compact=True)

    def on_mount(self) -> None:
        self.query_one("#run").focus()
        self._read_run()

    def _choice(self, field: str) -> Choice:
        return self.query_one(f"#{field}", Choice)

    def _text(self, field: str) -> str:
        return self.query_one(f"#{field}", Input).value.strip()

    @on(Choice.Changed, "#run")
    def _read_run(self) -> None:
        """Offer what the chosen run has; values that it has too stay."""
        self._offer = None
        run = self._runs[self._choice("run").value]
        try:
            offer = RunOffer.read(run)
        except EngineError as error:
            self._complain(str(error))
            return
        if not offer.checkpoints:
            self._complain(f"{run.name} has no checkpoint yet")
            return
        self._offer = offer
        checkpoints = ["best", "last", *(str(step) for step in reversed(offer.checkpoints))]
        self._choice("checkpoint").set_values(checkpoints)
        self._choice("steps").set_values([str(steps) for steps in offer.step_choices()])
        self._choice("num").set_values([str(num) for num in offer.number_choices()])
        self.set_class(bool(offer.class_names), "-classes")
        self._check()

    def _complain(self, problem: str) -> None:
        self.add_class("-wrong")
        self.query_one(Problem).say(problem)
        self.query_one("#draw", Button).disabled = True

    @on(Choice.Changed, "#checkpoint, #sampler, #steps, #num, #range")
    @on(Input.Changed)
    def _check(self) -> None:
        """Validate while one types; show the command line, or what is wrong."""
        if self._offer is None:
            return
        try:
            settings = self._read(self._offer)
        except ConfigError as error:
            self._complain(str(error))
            return
        self.remove_class("-wrong")
        self.query_one(Problem).say("")
        command = "$ " + settings.command(self._runs_dir)
        self.query_one("#summary", Static).update(clean_lines(command))
        advice = self.query_one("#advice", Static)
        advice.update("\n".join(self._offer.start_advice(settings)))
        advice.display = bool(advice.content)
        self.query_one("#draw", Button).disabled = False

    def _read(self, offer: RunOffer) -> DrawSettings:
        """What the form says.

        Raises:
            ConfigError: names the first field that is wrong.
        """
        seed = self._text("seed")
        if not (seed.isascii() and seed.isdecimal()) or int(seed) >= 2**63:
            raise ConfigError(f"seed: {seed!r} is not a whole number from 0 to 2^63 − 1")
        asked = bool(offer.class_names)
        settings = DrawSettings(
            offer.run,
            self._choice("checkpoint").value,
            self._choice("sampler").value,
            int(self._choice("steps").value),
            offer.timesteps,
            int(self._choice("num").value),
            int(seed),
            offer.sampling,
            self._choice("range").value,
            self._text("prompt") if asked else "",
            _scale(self._text("guidance")) if asked else 1.0,
        )
        offer.check(settings)
        return settings

    @on(Input.Submitted)
    def action_draw(self) -> None:
        if self._offer is None:
            return
        try:
            self.dismiss(self._read(self._offer))
        except ConfigError as error:
            self._complain(str(error))

    def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "draw":
            self.action_draw()
        else:
            self.dismiss(None)


def _scale(text: str) -> float:
    """A guidance scale; none when the field is empty.

    Raises:
        ConfigError: it is no number.
    """
    try:
        return float(text) if text else 1.0
    except ValueError:
        raise ConfigError(f"guidance: {text!r} is not a number") from None
