"""`ddpm-tui edit …`: the verbs of controlled generation. Heavy imports stay inside them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ddpm_tui.choices import Deterministic, Sampler
from ddpm_tui.cli.options import (
    Checkpoint,
    DataDir,
    Device,
    Eta,
    GuidanceScale,
    Json,
    PictureSeed,
    Prompt,
    RunName,
    RunsDir,
    SamplerName,
    SamplesDir,
    SamplingSettings,
    Steps,
    open_named,
    sampling_overrides,
)
from engine.errors import ConfigError

edit_app = typer.Typer(
    help="Steer the reverse process.\n\n"
    "Start from a picture, inpaint, change the prompt on the way, re-noise, branch, interpolate, "
    "invert. Each writes a PNG whose rows tell what happened, and a GIF of it. Timesteps t run "
    "from T−1 (noise) to 0; where a t is not visited, the next lower one that is counts.",
    rich_markup_mode=None,
)

Image = Annotated[
    list[Path] | None,
    typer.Option(help="A picture of your own; can be given several times.", metavar="FILE"),
]
FromTest = Annotated[
    list[int] | None,
    typer.Option(
        help="A held-out picture of the run's data set; can be given several times.",
        metavar="INDEX",
    ),
]
Resize = Annotated[
    bool, typer.Option("--resize", help="Cut and scale a picture or mask of another size.")
]
ManySteps = Annotated[
    int | None, typer.Option(help="Sampling steps [default: 100, or T if less].", min=1)
]


def _sampling(
    num: int | None,
    sampler: Sampler | None,
    steps: int | None,
    eta: float | None,
    prompt: str | None,
    guidance_scale: float | None,
    settings: list[str] | None,
) -> dict[str, Any]:
    """The fields of the run's `[sampling]` table that the options replace."""
    options = {
        "num": num,
        "sampler": sampler and sampler.value,
        "num_inference_steps": steps,
        "eta": eta,
        "prompt": prompt,
        "guidance_scale": guidance_scale,
    }
    return sampling_overrides(options, settings)


def _settled(overrides: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """The fields that replace the run's, with those that a command settles itself.

    Raises:
        ConfigError: --set gives one of those another value.
    """
    for key, value in values.items():
        if overrides.get(key, value) != value:
            raise ConfigError(
                f"here sampling.{key} is {value}, and --set cannot change it",
                "Leave it out of --set.",
            )
    return {**overrides, **values}


@edit_app.callback(invoke_without_command=True)
def edit(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


@edit_app.command()
def start(
    run: RunName,
    image: Image = None,
    from_test: FromTest = None,
    strength: Annotated[
        float,
        typer.Option(
            help="How much noise: 0 keeps the picture, 1 starts from pure noise.", min=0, max=1
        ),
    ] = 0.4,
    num: Annotated[int, typer.Option(help="Results for each picture.", min=1)] = 4,
    resize: Resize = False,
    sampler: SamplerName = None,
    steps: Steps = None,
    eta: Eta = None,
    prompt: Prompt = None,
    guidance_scale: GuidanceScale = None,
    settings: SamplingSettings = None,
    seed: PictureSeed = 0,
    checkpoint: Checkpoint = "best",
    out: SamplesDir = None,
    device: Device = "auto",
    runs_dir: RunsDir = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Start from a real picture, noised part of the way.

    SDEdit: the larger the strength, the less of the picture is left. Without --prompt a
    class-conditional network is asked for the held-out picture's own class; for a file, for
    each class in turn.
    """
    from ddpm_tui.headless import editing

    sampling = _sampling(num, sampler, steps, eta, prompt, guidance_scale, settings)
    opened = open_named(runs_dir, run)
    request = editing.Request(opened, sampling, seed, checkpoint, out, device, as_json)
    pictures = editing.Pictures(image or (), from_test or (), resize, data_dir)
    editing.start(request, pictures, strength, num)


@edit_app.command()
def inpaint(
    run: RunName,
    mask: Annotated[
        str,
        typer.Option(
            help="A picture that is white where to paint; or left, right, top, bottom, centre.",
            metavar="FILE|NAME",
        ),
    ],
    image: Image = None,
    from_test: FromTest = None,
    num: Annotated[int, typer.Option(help="Results for each picture.", min=1)] = 4,
    jump_length: Annotated[
        int, typer.Option(help="Steps of each jump back towards noise.", min=1)
    ] = 5,
    resample: Annotated[
        int,
        typer.Option(
            help="RePaint resampling: passes over each jump; 1 is none, and calls grow with it.",
            min=1,
        ),
    ] = 10,
    resize: Resize = False,
    sampler: SamplerName = None,
    steps: ManySteps = None,
    eta: Eta = None,
    prompt: Prompt = None,
    guidance_scale: GuidanceScale = None,
    settings: SamplingSettings = None,
    seed: PictureSeed = 0,
    checkpoint: Checkpoint = "best",
    out: SamplesDir = None,
    device: Device = "auto",
    runs_dir: RunsDir = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Paint part of a real picture anew.

    RePaint: every other pixel is kept, and by going back and forth the new part is made to fit.
    Each step starts afresh, so a multistep sampler is of first order here: ddpm is as good.
    """
    from ddpm_tui.headless import editing

    sampling = _sampling(num, sampler, steps, eta, prompt, guidance_scale, settings)
    opened = open_named(runs_dir, run)
    request = editing.Request(
        opened, sampling, seed, checkpoint, out, device, as_json, most_steps=100
    )
    pictures = editing.Pictures(image or (), from_test or (), resize, data_dir)
    editing.inpaint(request, pictures, mask, num, jump_length, resample)


@edit_app.command()
def switch(
    run: RunName,
    prompt_at: Annotated[
        list[str] | None,
        typer.Option(
            help='Another prompt from t on, as in "400:dress"; can be given several times.',
            metavar="T:PROMPT",
        ),
    ] = None,
    guidance_at: Annotated[
        list[str] | None,
        typer.Option(
            help="Another guidance scale from t on, as in 400:3; can be given several times.",
            metavar="T:SCALE",
        ),
    ] = None,
    num: Annotated[int, typer.Option(help="Pictures.", min=1)] = 8,
    sampler: SamplerName = None,
    steps: Steps = None,
    eta: Eta = None,
    prompt: Prompt = None,
    guidance_scale: GuidanceScale = None,
    settings: SamplingSettings = None,
    seed: PictureSeed = 0,
    checkpoint: Checkpoint = "best",
    out: SamplesDir = None,
    device: Device = "auto",
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Change the prompt or the guidance on the way.

    The pictures that would have come without the change are shown beside. A multistep sampler
    remembers across the change, for one step, what was asked before.
    """
    from ddpm_tui.headless import editing

    sampling = _sampling(num, sampler, steps, eta, prompt, guidance_scale, settings)
    opened = open_named(runs_dir, run)
    request = editing.Request(opened, sampling, seed, checkpoint, out, device, as_json)
    editing.switch(request, prompt_at or (), guidance_at or ())


@edit_app.command()
def renoise(
    run: RunName,
    at: Annotated[int, typer.Option(help="The t at which to turn back.", min=0)],
    back_to: Annotated[int, typer.Option(help="The t to go back up to.", min=0)],
    times: Annotated[int, typer.Option(help="How often.", min=1, max=100)] = 1,
    num: Annotated[int, typer.Option(help="Pictures.", min=1)] = 8,
    sampler: SamplerName = None,
    steps: Steps = None,
    eta: Eta = None,
    prompt: Prompt = None,
    guidance_scale: GuidanceScale = None,
    settings: SamplingSettings = None,
    seed: PictureSeed = 0,
    checkpoint: Checkpoint = "best",
    out: SamplesDir = None,
    device: Device = "auto",
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Go back up from t to a larger t, and on from there.

    The pictures that would have come without are shown beside.
    """
    from ddpm_tui.headless import editing

    sampling = _sampling(num, sampler, steps, eta, prompt, guidance_scale, settings)
    opened = open_named(runs_dir, run)
    request = editing.Request(opened, sampling, seed, checkpoint, out, device, as_json)
    editing.renoise(request, at, back_to, times)


@edit_app.command()
def branch(
    run: RunName,
    at: Annotated[int, typer.Option(help="The t at which the branches part.", min=0)],
    num: Annotated[
        int | None,
        typer.Option(help="Branches, of each prompt [default: 8; 1 of each prompt].", min=1),
    ] = None,
    to_prompt: Annotated[
        list[str] | None,
        typer.Option(
            help="What branches ask for from t on; can be given several times.", metavar="PROMPT"
        ),
    ] = None,
    picture: Annotated[int, typer.Option(help="Which picture of the seed.", min=0)] = 0,
    sampler: SamplerName = None,
    steps: Steps = None,
    eta: Eta = None,
    prompt: Prompt = None,
    guidance_scale: GuidanceScale = None,
    settings: SamplingSettings = None,
    seed: PictureSeed = 0,
    checkpoint: Checkpoint = "best",
    out: SamplesDir = None,
    device: Device = "auto",
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Continue one x_t in several ways.

    With other noise, other prompts, or both. The first branch has the noise of the picture
    itself. Where the run's own sampler draws no noise, several branches take dpmpp_2m_sde.
    """
    from ddpm_tui.headless import editing

    num = num or (1 if to_prompt else 8)
    sampling = _sampling(num, sampler, steps, eta, prompt, guidance_scale, settings)
    opened = open_named(runs_dir, run)
    request = editing.Request(opened, sampling, seed, checkpoint, out, device, as_json)
    editing.branch(request, at, num, to_prompt or (), picture)


@edit_app.command()
def interpolate(
    run: RunName,
    seeds: Annotated[str, typer.Option(help="From which seed to which, as in 3,7.", metavar="A,B")],
    frames: Annotated[
        int, typer.Option(help="Pictures on the way, both ends included.", min=2, max=256)
    ] = 10,
    num: Annotated[int, typer.Option(help="Pictures of each seed, a row each.", min=1)] = 4,
    sampler: Annotated[
        Deterministic, typer.Option(help="Sampler; these draw no noise.")
    ] = Deterministic.ddim,
    steps: ManySteps = None,
    prompt: Prompt = None,
    guidance_scale: GuidanceScale = None,
    settings: SamplingSettings = None,
    checkpoint: Checkpoint = "best",
    out: SamplesDir = None,
    device: Device = "auto",
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Go from the pictures of one seed to another's.

    Along the arc between their noise, by a sampler that draws none on the way.
    """
    from ddpm_tui.headless import editing

    pair = editing.seed_pair(seeds)
    sampling = _settled(
        _sampling(num, Sampler(sampler.value), steps, None, prompt, guidance_scale, settings),
        {"eta": 0.0},
    )
    opened = open_named(runs_dir, run)
    request = editing.Request(
        opened, sampling, pair[0], checkpoint, out, device, as_json, most_steps=100
    )
    editing.interpolate(request, pair, frames)


@edit_app.command()
def invert(
    run: RunName,
    image: Image = None,
    from_test: FromTest = None,
    to_prompt: Annotated[
        str, typer.Option(help="Decode the noise with this prompt too.", metavar="PROMPT")
    ] = "",
    refine: Annotated[
        int,
        typer.Option(
            help="Fixed-point iterations in each inversion step, for a smaller error.", min=0
        ),
    ] = 0,
    resize: Resize = False,
    steps: ManySteps = None,
    prompt: Prompt = None,
    guidance_scale: GuidanceScale = None,
    settings: SamplingSettings = None,
    checkpoint: Checkpoint = "best",
    out: SamplesDir = None,
    device: Device = "auto",
    runs_dir: RunsDir = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Find the noise that a real picture comes from.

    DDIM inversion: then comes down from it again, and says how far what came back is from the
    picture. Nothing is clipped. Without --prompt a class-conditional network is asked for the
    held-out picture's own class.
    """
    from ddpm_tui.headless import editing

    pictures = editing.Pictures(image or (), from_test or (), resize, data_dir)
    pictures.check()
    sampling = _settled(
        _sampling(None, None, steps, None, prompt, guidance_scale, settings),
        {
            "num": len(pictures.files) + len(pictures.held_out),
            "sampler": Sampler.ddim.value,
            "eta": 0.0,
        },
    )
    opened = open_named(runs_dir, run)
    request = editing.Request(opened, sampling, 0, checkpoint, out, device, as_json, most_steps=100)
    editing.invert(request, pictures, to_prompt, refine)
