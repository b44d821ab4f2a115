"""Performing a take: its steps, one after the other, from the start or from anywhere it was.

The noise of every picture has a name, see `engine.takes.batch`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from engine import interventions
from engine.config import override_sampling
from engine.reverse import Denoiser, ReverseStep
from engine.sampling import TrainedModel, make_descent
from engine.takes.batch import Picture, asked_of, denoiser_of, noise_of, words_of
from engine.takes.path import PathStep, lay_out, timesteps_of
from engine.takes.recipe import Ask, Branch, FromNoise, Inpaint, Recipe, Renoise, Turn
from engine.takes.sources import load_origin, read_mask


@dataclass(frozen=True)
class TakeStep(ReverseStep):
    """A step of a take; `index` and `num_steps` count the whole way, with all that is gone anew.

    Where nothing is done to x between two steps, the x_t of one is the prev_sample of the one
    before, the same tensor.

    Attributes:
        position: where on the plain way it is, 0 … num_inference_steps − 1.
        round: how often x was taken back up before.
        asked: what each picture asks the network for, in words, see `words_of`.
    """

    position: int
    round: int
    asked: tuple[str, ...]

    @property
    def path_index(self) -> int:
        """How many steps were taken before it, as a turn's `at` counts."""
        return self.index

    def cpu(self) -> TakeStep:
        """The step with its tensors in the CPU's memory, for keeping."""
        return _with_tensors(self, Tensor.cpu)


_Step = TypeVar("_Step", bound=ReverseStep)


def _with_tensors(step: _Step, change: Callable[[Tensor], Tensor]) -> _Step:
    return replace(
        step,
        x_t=change(step.x_t),
        x0=change(step.x0),
        eps=change(step.eps),
        prev_sample=change(step.prev_sample),
    )


@dataclass
class _State:
    """Where the take is between two steps.

    Attributes:
        x: (N, C, H, W), what the next step will see.
        place: where x is on the plain way; its length for the finished picture.
        before: the step that led to x, while it is to be remembered.
        believed: (N, C, H, W), what the network takes the pictures to be; None before any step.
        known, repaint: what an inpainting keeps, (N, C, H, W), and where it paints, bool (H, W).
        levels: turns so far that made branches or copies.
    """

    pictures: list[Picture]
    x: Tensor
    place: int
    round: int = 0
    before: ReverseStep | None = None
    believed: Tensor | None = None
    known: Tensor | None = None
    repaint: Tensor | None = None
    levels: int = 0


def perform(
    trained: TrainedModel,
    recipe: Recipe,
    after: Sequence[TakeStep] = (),
    *,
    data_dir: Path | None = None,
) -> Generator[TakeStep, None, None]:
    """Perform a take: the steps that follow those of `after`, the same to the bit as from scratch.

    Everything is checked before the first step is asked for.

    Args:
        trained: the checkpoint that the recipe names.
        after: the first steps of this take, as recorded, on any device. Of them only the last and
            those before a turn are looked at.
        data_dir: a folder to search for the data set first.

    Raises:
        ConfigError: see `lay_out`; or a prompt names no class, or means nothing to this network.
        DataError, RunError: a picture or a mask cannot be read, or has another size.
    """
    performance = _Performance(trained, recipe, data_dir)
    if len(after) > len(performance.path):
        raise ValueError(f"{len(after)} steps of a way of {len(performance.path)}")
    return performance.steps(after)


class _Performance:
    """A recipe with what it needs to be performed."""

    def __init__(self, trained: TrainedModel, recipe: Recipe, data_dir: Path | None) -> None:
        self.trained, self.recipe = trained, recipe
        self.sampling = override_sampling(trained.config, recipe.sampling.model_dump())
        self.path = lay_out(trained.schedule, recipe)
        self.timesteps = timesteps_of(trained.schedule.num_train_timesteps, self.sampling)
        self.masks = {
            turn.mask: read_mask(trained.run, turn.mask, trained.image_shape).to(trained.device)
            for turn in recipe.turns
            if isinstance(turn, Inpaint)
        }
        self.start = self._start(data_dir)
        self._check_asked()

    def steps(self, after: Sequence[TakeStep]) -> Generator[TakeStep, None, None]:
        state = replace(self.start)
        turns = list(self.recipe.turns)
        denoiser: Denoiser | None = None
        for index, point in enumerate(self.path):
            while turns and turns[0].at == index:
                self._turn(state, turns.pop(0))
                denoiser = None
            if index < len(after):
                # Of the steps that were taken only those that something follows from matter.
                if index + 1 == len(after) or (turns and turns[0].at == index + 1):
                    self._arrive(state, point, self._recorded(after[index], point))
                continue
            if point.round > state.round:
                self._go_back(state, point.round, point.position)
            denoiser = denoiser or denoiser_of(self.trained, self.sampling, state.pictures)
            step = self._step(state, denoiser)
            self._arrive(state, point, step)
            yield TakeStep(
                index=index,
                num_steps=len(self.path),
                position=point.position,
                round=point.round,
                t=step.t,
                x_t=step.x_t,
                x0=step.x0,
                eps=step.eps,
                prev_sample=step.prev_sample,
                asked=words_of(self.trained, state.pictures),
            )

    def _start(self, data_dir: Path | None) -> _State:
        """Where the take begins; what it is given is what is believed before the first step."""
        recipe, sampling, schedule = self.recipe, self.sampling, self.trained.schedule
        given = load_origin(self.trained, recipe.origin, data_dir)
        pictures = [
            Picture(index, "", label, sampling.prompt, sampling.guidance_scale)
            for label in given.labels
            for index in range(sampling.num)
        ]
        x_T = self._noise(pictures, "x_T", 0)
        if isinstance(recipe.origin, FromNoise):
            return _State(pictures, x_T, 0)
        images = given.images.repeat_interleave(sampling.num, dim=0)
        x, left = interventions.start_from(
            schedule, images, self.timesteps, recipe.origin.strength, x_T
        )
        return _State(pictures, x, len(self.timesteps) - len(left), believed=images)

    def _turn(self, state: _State, turn: Turn) -> None:
        match turn:
            case Ask(_, prompt, guidance_scale):
                state.pictures = [
                    replace(
                        picture,
                        prompt=picture.prompt if prompt is None else prompt,
                        guidance_scale=(
                            picture.guidance_scale if guidance_scale is None else guidance_scale
                        ),
                    )
                    for picture in state.pictures
                ]
            case Renoise(_, back_to_t):
                total = self.trained.schedule.num_train_timesteps
                high = interventions.position(self.timesteps, back_to_t, total)
                self._go_back(state, state.round + 1, high)
            case Branch():
                self._branch(state, turn)
            case Inpaint():
                self._inpaint(state, turn)

    def _go_back(self, state: _State, round_number: int, high: int) -> None:
        """Take x back up to position `high`, where the round begins."""
        t = self.timesteps[high]
        noise = self._noise(state.pictures, f"renoise{round_number}", t)
        low = self.timesteps[state.place] if state.place < len(self.timesteps) else -1
        state.x = interventions.renoise(self.trained.schedule, state.x, low, t, noise)
        state.place, state.round, state.before = high, round_number, None

    def _branch(self, state: _State, turn: Branch) -> None:
        state.levels += 1
        level = f"{state.levels}." if state.levels > 1 else ""
        one = state.pictures[turn.picture]
        state.pictures = [
            replace(one, branch=one.branch + (f"/{level}{branch}" if branch else ""), prompt=prompt)
            for prompt in turn.prompts or (one.prompt,)
            for branch in range(turn.copies)
        ]

        def copied(batch: Tensor) -> Tensor:
            return batch[turn.picture].repeat(len(state.pictures), 1, 1, 1)

        state.x = copied(state.x)
        state.believed = None if state.believed is None else copied(state.believed)
        state.known = None if state.known is None else copied(state.known)
        if state.before:
            state.before = _with_tensors(state.before, copied)

    def _inpaint(self, state: _State, turn: Inpaint) -> None:
        state.levels += 1
        one = state.pictures[turn.picture]
        copies = range(turn.copies)
        if turn.at:
            state.round += 1
            state.pictures = [
                replace(one, branch=f"{one.branch}/inpaint{state.levels}.{copy}") for copy in copies
            ]
        else:
            state.pictures = [replace(one, index=copy) for copy in copies]
        kept = state.x if state.place == len(self.timesteps) else state.believed
        assert kept is not None  # the layout lets nobody paint before there is anything to keep
        state.known = kept[turn.picture].clamp(-1, 1).repeat(turn.copies, 1, 1, 1)
        state.repaint = self.masks[turn.mask]
        state.x = self._noise(state.pictures, "x_T", 0)
        state.place, state.before = 0, None

    def _step(self, state: _State, denoiser: Denoiser) -> ReverseStep:
        trained, draw = self.trained, partial(self._noise, state.pictures)
        descend = make_descent(
            denoiser,
            trained.schedule,
            self.sampling,
            trained.config.diffusion.prediction_type,
            draw,
        )
        if state.known is not None and state.repaint is not None:
            descend = interventions.keep_known(
                descend, trained.schedule, state.known, state.repaint, draw
            )
        # A step looks no further than to the t that it leads to.
        ahead = self.timesteps[state.place : state.place + 2]
        return next(iter(descend(state.x, ahead, state.round, state.before)))

    def _arrive(self, state: _State, point: PathStep, step: ReverseStep) -> None:
        state.x, state.believed, state.before = step.prev_sample, step.x0, step
        state.place, state.round = point.position + 1, point.round

    def _recorded(self, step: TakeStep, point: PathStep) -> ReverseStep:
        if step.t != point.t or len(step.x_t) != point.num:
            raise ValueError(f"step {step.index} at t = {step.t} is of another take")
        return _with_tensors(step, lambda tensor: tensor.to(self.trained.device))

    def _noise(self, pictures: Sequence[Picture], purpose: str, t: int) -> Tensor:
        return noise_of(self.trained, self.recipe.seed, pictures, purpose, t)

    def _check_asked(self) -> None:
        """Raises ConfigError where this network cannot be asked for what a turn asks."""
        prompt, scale = self.sampling.prompt, self.sampling.guidance_scale
        asked_of(self.trained, self.sampling, prompt, scale, [0])
        for turn in self.recipe.turns:
            if isinstance(turn, Ask):
                prompt = prompt if turn.prompt is None else turn.prompt
                scale = scale if turn.guidance_scale is None else turn.guidance_scale
                asked_of(self.trained, self.sampling, prompt, scale, [0])
            elif isinstance(turn, Branch):
                for branch in turn.prompts:
                    asked_of(self.trained, self.sampling, branch, scale, [0])
