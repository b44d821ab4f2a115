"""What a run is: every setting typed, bounded and with a default; presets; TOML on disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self, get_args

import tomlkit
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from engine.errors import ConfigError


class Section(BaseModel):
    """A table of config.toml: unknown keys are refused, so a typo cannot pass for a setting."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class DataConfig(Section):
    dataset: Literal["fashion-mnist", "mnist", "fashion-mnist-10k"] = Field(
        "fashion-mnist-10k", description="which images to learn"
    )
    batch_size: int = Field(64, ge=1, le=65_536, description="images a training step")


class DiffusionConfig(Section):
    num_train_timesteps: int = Field(
        1000, ge=2, le=10_000, description="T, the length of the forward process"
    )
    beta_schedule: Literal["linear", "squaredcos_cap_v2"] = Field(
        "linear", description="noise schedule; squaredcos_cap_v2 is the cosine schedule"
    )
    beta_start: float = Field(1e-4, gt=0, lt=1, description="linear: β at the first timestep")
    beta_end: float = Field(0.02, gt=0, lt=1, description="linear: β at the last timestep")


class ModelConfig(Section):
    name: Literal["unet", "article"] = Field("unet", description="the network")
    block_out_channels: tuple[int, ...] = Field(
        (32, 64, 128), min_length=1, max_length=8, description="unet: width of each level"
    )
    layers_per_block: int = Field(1, ge=1, le=8, description="unet: residual blocks a level")
    attention_levels: tuple[int, ...] = Field(
        (2,), description="unet: levels with attention, 0 is full resolution"
    )
    norm_num_groups: int = Field(8, ge=1, description="unet: groups of every GroupNorm")
    attention_head_dim: int = Field(32, ge=1, description="unet: channels an attention head")
    dropout: float = Field(0.0, ge=0, lt=1, description="unet: dropout probability")

    @model_validator(mode="after")
    def _widths_divide(self) -> Self:
        bad = [w for w in self.block_out_channels if w < 2 or w % self.norm_num_groups]
        if bad:
            raise ValueError(
                f"block_out_channels {bad} must be multiples of norm_num_groups "
                f"({self.norm_num_groups})"
            )
        if any(not 0 <= level < len(self.block_out_channels) for level in self.attention_levels):
            raise ValueError("attention_levels must name levels of block_out_channels, from 0")
        attended = {self.block_out_channels[level] for level in (*self.attention_levels, -1)}
        bad = [w for w in sorted(attended) if w % max(w // self.attention_head_dim, 1)]
        if bad:
            raise ValueError(
                f"attention_head_dim ({self.attention_head_dim}) does not divide the widths "
                f"{bad}, which have attention"
            )
        return self


class TrainingConfig(Section):
    steps: int = Field(1500, ge=1, le=100_000_000, description="training steps")
    optimizer: Literal["adam", "adamw"] = Field("adamw", description="optimizer")
    lr: float = Field(1e-3, gt=0, le=1, description="peak learning rate")
    lr_warmup_steps: int = Field(100, ge=0, description="steps over which lr rises from 0")
    lr_schedule: Literal["constant", "cosine"] = Field(
        "cosine", description="after the warm-up: stay, or fall to 0 by the last step"
    )
    weight_decay: float = Field(0.0, ge=0, le=1, description="adamw: decoupled weight decay")
    max_grad_norm: float = Field(1.0, ge=0, description="clip gradients to this norm; 0 is off")
    ema_decay: float = Field(0.998, ge=0, lt=1, description="EMA of the weights; 0 is off")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto is bf16 where the hardware multiplies it natively"
    )
    log_every: int = Field(5, ge=1, description="steps between rows of metrics")
    preview_every: int = Field(100, ge=0, description="steps between sample grids; 0 is off")
    checkpoint_every: int = Field(500, ge=1, description="steps between checkpoints")
    keep_checkpoints: int = Field(3, ge=1, description="newest checkpoints kept, besides the best")


class SamplingConfig(Section):
    """How this run draws pictures unless told otherwise."""

    num: int = Field(16, ge=1, le=1_000_000, description="pictures")
    sampler: Literal["ddpm", "ddim"] = Field("ddpm", description="update rule")
    num_inference_steps: int = Field(1000, ge=1, le=10_000, description="network calls a picture")
    variance_type: Literal["fixed_small", "fixed_large"] = Field(
        "fixed_small", description="ddpm: σ² = β̃_t or β_t"
    )
    eta: float = Field(0.0, ge=0, le=1, description="ddim: 0 is deterministic, 1 as noisy as ddpm")
    timestep_spacing: Literal["leading", "linspace", "trailing"] = Field(
        "trailing", description="which timesteps when there are fewer than T"
    )
    clip_sample: bool = Field(True, description="clip the predicted x_0 to [−1, 1]")


# A preview is drawn every minute or so while training, so it has to be cheap: ddim does in 40
# network calls what ddpm does in hundreds.
PREVIEW_SAMPLING = SamplingConfig(sampler="ddim", num_inference_steps=40)


class RunConfig(Section):
    """Everything that decides what a run computes."""

    preset: str = Field("default", description="the preset that the other values started from")
    seed: int = Field(0, ge=0, lt=2**63, description="every random draw follows from it")
    data: DataConfig = DataConfig()
    diffusion: DiffusionConfig = DiffusionConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    sampling: SamplingConfig = SamplingConfig()
    preview: SamplingConfig = PREVIEW_SAMPLING

    @model_validator(mode="after")
    def _steps_fit(self) -> Self:
        for name, sampling in (("sampling", self.sampling), ("preview", self.preview)):
            if sampling.num_inference_steps > self.diffusion.num_train_timesteps:
                raise ValueError(
                    f"{name}.num_inference_steps ({sampling.num_inference_steps}) is more than "
                    f"diffusion.num_train_timesteps ({self.diffusion.num_train_timesteps})"
                )
        if self.diffusion.beta_start > self.diffusion.beta_end:
            raise ValueError("diffusion.beta_start is more than diffusion.beta_end")
        return self


ARTICLE_EPOCHS = 20

PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    # The article's recipe as written: its network, plain Adam, no EMA, no clipping of gradients
    # or x_0, σ² = β_t, float32.
    "article": {
        "data": {"batch_size": 128},
        "model": {"name": "article"},
        "training": {
            "optimizer": "adam",
            "lr": 1e-3,
            "lr_warmup_steps": 0,
            "lr_schedule": "constant",
            "max_grad_norm": 0.0,
            "ema_decay": 0.0,
            "precision": "fp32",
        },
        "sampling": {"variance_type": "fixed_large", "clip_sample": False},
    },
}

MODEL_NAMES: tuple[str, ...] = get_args(ModelConfig.model_fields["name"].annotation)
BETA_SCHEDULE_NAMES: tuple[str, ...] = get_args(
    DiffusionConfig.model_fields["beta_schedule"].annotation
)

PRESET_HELP = {
    "default": "residual U-Net, EMA, cosine learning rate: good pictures in minutes",
    "article": "the article's recipe as written, to measure against: 20 epochs",
}


def make_config(
    preset: str = "default",
    *,
    dataset_size: int,
    epochs: int | None = None,
    **overrides: Any,
) -> RunConfig:
    """A config from a preset and overrides.

    Args:
        preset: a key of `PRESETS`.
        dataset_size: images in the training set; it turns epochs into steps.
        epochs: length of the training in passes over the data, instead of `training.steps`.
        overrides: `seed=1`, or tables such as `data={"batch_size": 32}`; they win over the preset.

    Raises:
        ConfigError: unknown preset, unknown key, wrong type or a value out of bounds.
    """
    if preset not in PRESETS:
        raise ConfigError(
            f"There is no preset {preset!r}", f"The presets are {', '.join(PRESETS)}."
        )
    merged: dict[str, Any] = {"preset": preset}
    for source in (PRESETS[preset], overrides):
        for key, value in source.items():
            if isinstance(value, Mapping):
                merged[key] = {**merged.get(key, {}), **value}
            else:
                merged[key] = value
    if epochs is None and preset == "article" and "steps" not in merged["training"]:
        epochs = ARTICLE_EPOCHS
    if epochs is not None:
        batch_size = validate({"data": merged.get("data", {})}).data.batch_size
        steps = -(-epochs * dataset_size // batch_size)
        merged["training"] = {**merged.get("training", {}), "steps": steps}
    # Fewer timesteps than the default number of network calls: visit every timestep instead.
    timesteps = merged.get("diffusion", {}).get("num_train_timesteps")
    if isinstance(timesteps, int):
        for key, default in (("sampling", SamplingConfig()), ("preview", PREVIEW_SAMPLING)):
            calls = min(default.num_inference_steps, timesteps)
            merged[key] = {"num_inference_steps": calls, **merged.get(key, {})}
    if "preview" in merged:
        merged["preview"] = {**PREVIEW_SAMPLING.model_dump(), **merged["preview"]}
    return validate(merged)


def validate(values: Mapping[str, Any], source: str = "") -> RunConfig:
    """RunConfig from plain values.

    Raises:
        ConfigError: names the first offending key, its value and the bound.
    """
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "config"
        message = first["msg"].removeprefix("Value error, ")
        message = message[:1].lower() + message[1:]
        where = f" in {source}" if source else ""
        given = f" (given: {first['input']!r})" if first["type"] != "value_error" else ""
        raise ConfigError(f"{key}{where}: {message}{given}") from None


def to_toml(config: RunConfig) -> str:
    """config.toml: every default written out, each key with what it means."""
    document = tomlkit.document()

    def add(container: Any, section: Section) -> None:
        for key, field in type(section).model_fields.items():
            value = getattr(section, key)
            if isinstance(value, Section):
                table = tomlkit.table()
                add(table, value)
                container[key] = table
            else:
                item = tomlkit.item(list(value) if isinstance(value, tuple) else value)
                if field.description:
                    item.comment(field.description)
                container[key] = item

    add(document, config)
    return tomlkit.dumps(document)


def from_toml(text: str, source: str = "") -> RunConfig:
    """Read config.toml.

    Raises:
        ConfigError: not TOML, or not a valid config.
    """
    try:
        values = tomlkit.parse(text).unwrap()
    except tomlkit.exceptions.TOMLKitError as error:
        raise ConfigError(f"{source or 'config'} is not valid TOML: {error}") from None
    return validate(values, source)
