"""Drawing pictures from a trained run: the checkpoint, the noise of each picture, the files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from engine.conditioning import Condition, Guided, condition
from engine.config import RunConfig, SamplingConfig
from engine.data.range import to_uint8
from engine.device import (
    autocast,
    memory_explained,
    memory_format,
    no_tf32,
    resolve_device,
    resolve_precision,
)
from engine.errors import CheckpointError, last_line
from engine.interventions import Descend, Draw
from engine.models import build_model
from engine.reverse import (
    Denoiser,
    ReverseStep,
    clip_x0,
    dynamic_threshold,
    reverse_process,
)
from engine.rng import sample_noise
from engine.runs.checkpoint import find_checkpoint
from engine.runs.folder import Run
from engine.samplers import SamplerOptions
from engine.schedule import NoiseSchedule, inference_timesteps
from engine.tensors import read_fitting, shapes_of

# Pictures that go through the network together; more only costs memory.
CHUNK = 64


def draw_samples(
    denoiser: Denoiser,
    schedule: NoiseSchedule,
    sampling: SamplingConfig,
    prediction_type: str,
    seed: int,
    indices: Sequence[int],
    image_shape: tuple[int, int, int],
) -> Iterator[ReverseStep]:
    """The reverse process for the pictures `indices` of a seed.

    Picture i starts from its own noise and meets its own noise at every t, whatever the other
    indices are: a batch size never changes it.
    """

    def draw(purpose: str, t: int) -> Tensor:
        return sample_noise(seed, purpose, t, indices, image_shape, schedule.betas.device)

    timesteps = inference_timesteps(
        schedule.num_train_timesteps, sampling.num_inference_steps, sampling.timestep_spacing
    )
    descend = make_descent(denoiser, schedule, sampling, prediction_type, draw)
    return descend(draw("x_T", 0), timesteps, 0)


def make_descent(
    denoiser: Denoiser,
    schedule: NoiseSchedule,
    sampling: SamplingConfig,
    prediction_type: str,
    draw: Draw,
) -> Descend:
    """The reverse process with all decided but where it starts and where it goes."""

    def descend(
        x_t: Tensor,
        timesteps: Sequence[int],
        round_number: int,
        after: ReverseStep | None = None,
    ) -> Iterator[ReverseStep]:
        # Round 0 keeps the plain name: a picture is the same whether or not it is intervened on.
        purpose = f"reverse{round_number or ''}"
        return reverse_process(
            denoiser,
            schedule,
            x_t,
            timesteps,
            partial(draw, purpose),
            prediction_type=prediction_type,
            sampler=sampling.sampler,
            options=SamplerOptions(sampling.variance_type, sampling.eta),
            limit_x0=x0_limit(sampling),
            after=after,
        )

    return descend


# The share of the image's variance that may be left at the first timestep beyond what is left at
# T − 1: a fifth of its amplitude. With 10 steps and more the spacing `leading` stays below.
_SIGNAL_AT_START = 0.05


def start_note(schedule: NoiseSchedule, sampling: SamplingConfig) -> str:
    """Why pictures from pure noise will be poor: the first timestep is far below T − 1.

    There the model expects images of which much can still be seen, and gets x_T, which is noise
    alone. How far is too far depends on the schedule, so ᾱ decides: more than `_SIGNAL_AT_START` of
    the image's variance is left at the first timestep, beyond what the schedule leaves at T − 1
    anyway, which no spacing can mend. The spacing `trailing` always starts at T − 1.

    Args:
        sampling: for a sampling that starts from noise, not from a picture.

    Returns:
        "" where it starts high enough.
    """
    total = schedule.num_train_timesteps
    if sampling.timestep_spacing == "trailing" or sampling.num_inference_steps > total:
        return ""
    first = inference_timesteps(total, sampling.num_inference_steps, sampling.timestep_spacing)[0]
    left = float(schedule.alphas_cumprod[first])
    if left - float(schedule.alphas_cumprod[-1]) <= _SIGNAL_AT_START:
        return ""
    return (
        f"sampling starts at t = {first:,} of {total - 1:,}, from pure noise, where the model "
        f"expects {left:.0%} of the image's variance to be left"
    )


def x0_limit(sampling: SamplingConfig) -> Callable[[Tensor], Tensor] | None:
    """How the predicted x_0 is kept in range."""
    if sampling.thresholding:
        return partial(dynamic_threshold, ratio=sampling.dynamic_thresholding_ratio)
    return clip_x0 if sampling.clip_sample else None


def draws_noise(sampling: SamplingConfig) -> bool:
    """Whether noise is drawn on the way down, so that x_T alone does not decide the picture."""
    if sampling.sampler == "ddim":
        return sampling.eta > 0
    return sampling.sampler in ("ddpm", "dpmpp_2m_sde")


def sampler_words(sampling: SamplingConfig) -> str:
    """The sampler, and what decides whether it draws noise, for a message."""
    eta = f" with eta {sampling.eta:g}" if sampling.sampler == "ddim" else ""
    return sampling.sampler + eta


def make_denoiser(
    model: nn.Module,
    class_names: Sequence[str],
    sampling: SamplingConfig,
    indices: Sequence[int],
    device: torch.device,
    *,
    class_conditional: bool,
    dtype: torch.dtype = torch.float32,
    exact: bool = False,
) -> Denoiser:
    """The network as the reverse process calls it, asked for the prompt's classes.

    Args:
        dtype: of the network's products; everything between its calls stays float32.
        exact: no TF32 in convolutions.

    Raises:
        ConfigError: the prompt names no class of the data set.
    """
    network = partial(_call_in, model, dtype, exact)
    if not class_conditional:
        return network
    names = tuple(class_names)
    wanted = torch.tensor(list(indices), dtype=torch.int64, device=device)
    asked = condition(sampling.prompt, names, wanted, sampling.guidance_scale)
    return Guided(network, len(names), asked)


def _call_in(
    model: nn.Module, dtype: torch.dtype, exact: bool, x_t: Tensor, *conditions: Tensor
) -> Tensor:
    with (
        memory_explained(x_t.device, "draw pictures"),
        autocast(x_t.device, dtype),
        no_tf32() if exact else nullcontext(),
    ):
        output: Tensor = model(x_t, *conditions)
    return output


def chunks_of(pictures: range) -> list[range]:
    """The pictures that go through the network together."""
    starts = range(pictures.start, pictures.stop, CHUNK)
    return [range(i, min(i + CHUNK, pictures.stop)) for i in starts]


@dataclass(frozen=True)
class TrainedModel:
    """The network of a checkpoint, ready to sample.

    Attributes:
        dtype: of the network's products: that of the training, which the pictures do not suffer
            from (docs/default-network.md).
        exact: no TF32 in convolutions, which on newer GPUs keep ten bits of float32 otherwise.
        passed_over: checkpoints that would have been taken before this one, and what is wrong with
            them, for a person.
    """

    run: Run
    config: RunConfig
    model: nn.Module
    schedule: NoiseSchedule
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    step: int
    dtype: torch.dtype = torch.float32
    exact: bool = False
    passed_over: tuple[str, ...] = ()

    @property
    def device(self) -> torch.device:
        return self.schedule.betas.device

    def denoiser(self, sampling: SamplingConfig, indices: Sequence[int]) -> Denoiser:
        """What predicts for the pictures `indices`, with the prompt and guidance of `sampling`.

        Raises:
            ConfigError: the prompt names no class of the data set.
        """
        return make_denoiser(
            self.model,
            self.class_names,
            sampling,
            indices,
            self.device,
            class_conditional=self.config.model.class_conditional,
            dtype=self.dtype,
            exact=self.exact,
        )

    def told(self, labels: Tensor, guidance_scale: float = 1.0) -> Denoiser:
        """What predicts for images whose classes are known.

        Args:
            labels: int64 (N,); a network that was not told the classes never sees them.
            guidance_scale: 1 tells the class, 0 does not, see `Guided`.
        """
        network = partial(_call_in, self.model, self.dtype, self.exact)
        if not self.config.model.class_conditional:
            return network
        asked = Condition(((labels, 1.0),), guidance_scale)
        return Guided(network, len(self.class_names), asked)

    def draw(
        self, sampling: SamplingConfig, seed: int, indices: Sequence[int]
    ) -> Iterator[ReverseStep]:
        """The reverse process for the pictures `indices` of a seed."""
        return draw_samples(
            self.denoiser(sampling, indices),
            self.schedule,
            sampling,
            self.config.diffusion.prediction_type,
            seed,
            indices,
            self.image_shape,
        )

    def labels(self, sampling: SamplingConfig, indices: Sequence[int]) -> Tensor | None:
        """The classes that the pictures `indices` are drawn of.

        Returns:
            int64 (N,) on the CPU; None where the network knows no classes or the prompt mixes
            several.

        Raises:
            ConfigError: the prompt names no class of the data set.
        """
        denoiser = self.denoiser(sampling, indices)
        if isinstance(denoiser, Guided) and len(denoiser.asked.parts) == 1:
            return denoiser.asked.parts[0][0].cpu()
        return None

    def draw_in_chunks(
        self,
        sampling: SamplingConfig,
        seed: int,
        on_step: Callable[[int, int], None] | None = None,
        pictures: range | None = None,
    ) -> Iterator[tuple[range, ReverseStep]]:
        """The reverse process for `sampling.num` pictures, a chunk of them after the other.

        Args:
            pictures: only these of them.
            on_step: told (timesteps done, timesteps in all), each a network call, with heun two.

        Yields:
            The indices of the chunk and its step; memory does not grow with the number of chunks.
        """
        chunks = chunks_of(range(sampling.num) if pictures is None else pictures)
        for number, indices in enumerate(chunks):
            for step in self.draw(sampling, seed, indices):
                yield indices, step
                if on_step:
                    on_step(number * step.num_steps + step.index + 1, len(chunks) * step.num_steps)


def load_trained(run: Run, *, which: str = "best", device: str = "auto") -> TrainedModel:
    """Load the EMA weights of a checkpoint.

    Args:
        which: `best`, `last` or a step number.

    Raises:
        RunGoneError: the run is not there any more.
        CheckpointError: there is no such checkpoint, it does not verify, or its weights do not
            fit the run's config.
        DeviceError: the device is not there.
    """
    from safetensors import SafetensorError

    config = run.config()
    target = resolve_device(device)
    found = find_checkpoint(run, which)
    try:
        state = found.state()
        channels, height, width = state["image_shape"]
        class_names = tuple(str(name) for name in state["class_names"])
        build = partial(build_model, config, (channels, height, width), len(class_names))
        # Nothing is made that would not fit: a config may describe a network of any size.
        weights = read_fitting(found.weights_path, shapes_of(build))
        model = build()
        model.load_state_dict(weights)
    except (
        SafetensorError,
        RuntimeError,
        LookupError,
        ValueError,
        TypeError,
        OverflowError,
        OSError,
    ) as error:
        run.check_here()
        reason = last_line(error)
        raise CheckpointError(
            f"Checkpoint {found.path.name} does not fit {run.name}'s config: {reason}",
            "Put config.toml back as it was when the run was trained.",
        ) from None
    dtype = resolve_precision(config.training.precision, target)
    wanted = memory_format(config.model.name, dtype, target)
    with memory_explained(target, "hold the network"):
        model.to(target).to(memory_format=wanted).eval().requires_grad_(False)
    return TrainedModel(
        run,
        config,
        model,
        NoiseSchedule.of(config.diffusion).to(target),
        (channels, height, width),
        class_names,
        found.step,
        dtype,
        passed_over=found.passed_over,
    )


def sample_pixels(
    trained: TrainedModel,
    sampling: SamplingConfig,
    seed: int,
    *,
    on_step: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Finished pictures in chunks, so that memory does not grow with their number.

    Args:
        on_step: told (timesteps done, timesteps in all), each a network call, with heun two.

    Yields:
        uint8 (n, C, H, W) on the CPU, and the labels asked for, int64 (n,), or None where the
        network knows no classes or the prompt mixes several.
    """
    for indices, step in trained.draw_in_chunks(sampling, seed, on_step):
        if step.index == step.num_steps - 1:
            yield to_uint8(step.prev_sample).cpu(), trained.labels(sampling, indices)
