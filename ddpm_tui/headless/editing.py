"""Controlled generation without a screen: what `ddpm-tui edit` does once its options are read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddpm_tui.headless import notes, passed_over
from ddpm_tui.headless.progress import Progress, progress
from ddpm_tui.sanitize import clean, clean_lines
from engine.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from engine.config import SamplingConfig
    from engine.edits import Edit, Given
    from engine.runs.folder import Run
    from engine.sampling import TrainedModel
    from engine.sheet import Sheet


@dataclass(frozen=True)
class Request:
    """What every edit is asked for.

    Attributes:
        overrides: fields of the run's `[sampling]` table.
        most_steps: the number of steps where none is given and the run has as many timesteps.
    """

    run: Run
    overrides: dict[str, Any]
    seed: int = 0
    which: str = "best"
    out: Path | None = None
    device: str = "auto"
    as_json: bool = False
    most_steps: int | None = None


@dataclass(frozen=True)
class Pictures:
    """Which real pictures to work on, as the options name them."""

    files: Sequence[Path] = ()
    held_out: Sequence[int] = ()
    resize: bool = False
    data_dir: Path | None = None

    def check(self) -> None:
        """Raises ConfigError unless there are files or held-out pictures, not both."""
        if bool(self.files) == bool(self.held_out):
            raise ConfigError(
                "a picture is needed, from --image FILE or from --from-test INDEX",
                "Give one or the other; each can be given several times.",
            )

    def load(self, trained: TrainedModel) -> Given:
        """The pictures, on the run's device."""
        import torch

        from engine.data.dataset import load
        from engine.data.pictures import load_picture
        from engine.data.range import to_unit
        from engine.edits import Given

        if self.files:
            images = [
                load_picture(path, trained.image_shape, resize=self.resize) for path in self.files
            ]
            unit = to_unit(torch.stack(images)).to(trained.device)
            name = "-".join(path.stem for path in self.files)
            return Given(name, unit, tuple(path.name for path in self.files))
        data = load(trained.config.data.dataset, data_dir=self.data_dir)
        there = len(data.test_images)
        for index in self.held_out:
            if not 0 <= index < there:
                raise ConfigError(
                    f"There is no held-out picture {index}",
                    f"{data.name} has {there:,}, numbered from 0.",
                )
        chosen = list(self.held_out)
        labels = data.test_labels[chosen]
        return Given(
            "test" + "-".join(map(str, chosen)),
            to_unit(data.test_images[chosen]).to(trained.device),
            tuple(
                f"held-out {index}: {data.class_names[label]}"
                for index, label in zip(chosen, labels.tolist(), strict=True)
            ),
            labels,
        )


def start(request: Request, pictures: Pictures, strength: float, copies: int) -> None:
    """Start from real pictures, noised part of the way."""
    pictures.check()
    from engine import edits

    _carry_out(
        request,
        lambda trained, sampling: edits.start(
            trained, sampling, request.seed, pictures.load(trained), strength, copies
        ),
        from_noise=False,
    )


def inpaint(
    request: Request,
    pictures: Pictures,
    mask: str,
    copies: int,
    jump_length: int,
    resample: int,
) -> None:
    """Paint part of real pictures anew."""
    pictures.check()
    from engine import edits

    _carry_out(
        request,
        lambda trained, sampling: edits.inpaint(
            trained,
            sampling,
            request.seed,
            pictures.load(trained),
            _mask(mask, trained, pictures.resize),
            copies,
            mask_name=Path(mask).stem,
            jump_length=jump_length,
            resample=resample,
        ),
    )


def switch(request: Request, prompts: Sequence[str], scales: Sequence[str]) -> None:
    """Change the prompt or the guidance on the way."""
    changes = changes_at(prompts, scales)
    from engine import edits

    _carry_out(
        request, lambda trained, sampling: edits.switch(trained, sampling, request.seed, changes)
    )


def renoise(request: Request, at: int, back_to: int, times: int) -> None:
    """Take x back up from `at` to `back_to`, and go on."""
    from engine import edits

    _carry_out(
        request,
        lambda trained, sampling: edits.renoise(
            trained, sampling, request.seed, at, back_to, times
        ),
    )


def branch(request: Request, at: int, branches: int, prompts: Sequence[str], picture: int) -> None:
    """Continue one x_t in several ways."""
    from engine import edits
    from engine.sampling import draws_noise

    chosen = "sampler" in request.overrides or "eta" in request.overrides
    if branches > 1 and not chosen and not draws_noise(request.run.config().sampling):
        # With the run's own sampler there is one way only.
        request = replace(request, overrides={**request.overrides, "sampler": "dpmpp_2m_sde"})
    _carry_out(
        request,
        lambda trained, sampling: edits.branch(
            trained, sampling, request.seed, at, branches, prompts=prompts, picture=picture
        ),
    )


def interpolate(request: Request, seeds: tuple[int, int], frames: int) -> None:
    """From the pictures of one seed to those of another."""
    from engine import edits

    _carry_out(
        request, lambda trained, sampling: edits.interpolate(trained, sampling, seeds, frames)
    )


def invert(request: Request, pictures: Pictures, to_prompt: str, refinements: int) -> None:
    """Find the noise that real pictures come from, and come down from it again."""
    from engine import edits

    _carry_out(
        request,
        lambda trained, sampling: edits.invert(
            trained,
            sampling,
            pictures.load(trained),
            to_prompt=to_prompt,
            refinements=refinements,
        ),
        from_noise=False,
    )


def changes_at(prompts: Sequence[str], scales: Sequence[str]) -> dict[int, dict[str, Any]]:
    """What changes at which t, from options such as "400:dress" and "200:3".

    Raises:
        ConfigError: there is none, or one is not written so.
    """
    changes: dict[int, dict[str, Any]] = {}
    for text in prompts:
        t, prompt = _at(text, "--prompt-at", "400:dress")
        changes.setdefault(t, {})["prompt"] = prompt
    for text in scales:
        t, scale = _at(text, "--guidance-at", "400:3")
        try:
            changes.setdefault(t, {})["guidance_scale"] = float(scale)
        except ValueError:
            raise ConfigError(f"--guidance-at: {scale!r} is not a number") from None
    if not changes:
        raise ConfigError(
            "nothing is to change", "Give --prompt-at, as in 400:dress, or --guidance-at, 400:3."
        )
    return changes


def _at(text: str, option: str, example: str) -> tuple[int, str]:
    match = re.fullmatch(r"\s*(?:t\s*=\s*)?(\d{1,9})\s*:\s*(.+)", text)
    if match is None:
        raise ConfigError(f"{option}: {text!r} is not written as t:value", f"As in {example}.")
    return int(match[1]), match[2].strip()


def seed_pair(text: str) -> tuple[int, int]:
    """Two seeds, from "3,7".

    Raises:
        ConfigError: it is not written so.
    """
    match = re.fullmatch(r"\s*(\d{1,18})\s*,\s*(\d{1,18})\s*", text)
    if match is None:
        raise ConfigError(f"--seeds: {text!r} is not two seeds", "As in --seeds 3,7.")
    return int(match[1]), int(match[2])


def _mask(mask: str, trained: TrainedModel, resize: bool) -> Tensor:
    from engine.data.pictures import NAMED_MASKS, load_mask, named_mask

    _, height, width = trained.image_shape
    if mask in NAMED_MASKS:
        return named_mask(mask, height, width)
    return load_mask(Path(mask), height, width, resize=resize)


def _carry_out(
    request: Request,
    make: Callable[[TrainedModel, SamplingConfig], Edit],
    *,
    from_noise: bool = True,
) -> None:
    from engine.config import override_sampling
    from engine.runs import io
    from engine.sampling import load_trained
    from engine.sheet import sheet_facts, write_sheet

    run = request.run
    trained = load_trained(run, which=request.which, device=request.device)
    passed_over.say(trained.passed_over)
    overrides = dict(request.overrides)
    if request.most_steps:
        total = trained.schedule.num_train_timesteps
        overrides.setdefault("num_inference_steps", min(request.most_steps, total))
    sampling = override_sampling(trained.config, overrides)
    if from_noise:
        notes.say_start(trained.schedule, sampling, "--set sampling.timestep_spacing=trailing")
    with io.advising("--out"):
        run.check_output("samples", request.out)
        with progress(f"editing {run.name}", 0, quiet=request.as_json) as bar:
            sheet = _watch(make(trained, sampling), bar)
        files = write_sheet(trained, sampling, request.seed, sheet, out=request.out)
    if request.as_json:
        facts = sheet_facts(trained, sampling, request.seed, sheet)
        print(json.dumps({**facts, "png": str(files.png), "gif": str(files.gif)}))
        return
    print(f"{clean(sheet.name)}: {run.name} at step {trained.step:,}, seed {request.seed}")
    for picture in sheet.facts.get("pictures", ()):
        print(f"given    {clean(picture)}")
    for number, row in enumerate(sheet.rows, start=1):
        print(f"row {number:<4} {clean(row)}")
    if "rms_error" in sheet.facts:
        errors = ", ".join(f"{error:.2g}" for error in sheet.facts["rms_error"])
        print(f"error    {errors} (root mean square, of a range of 2)")
    print(clean_lines(f"picture  {files.png}\ngif      {files.gif}"))


def _watch(edit: Edit, bar: Progress) -> Sheet:
    while True:
        try:
            step = next(edit)
        except StopIteration as end:
            sheet: Sheet = end.value
            return sheet
        bar.update(step.index + 1, f"steps, t = {step.t}", step.num_steps)
