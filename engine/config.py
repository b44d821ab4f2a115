"""What a run is: every setting typed, bounded and with a default; presets; TOML on disk."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, Self, get_args, get_origin

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
    beta_schedule: Literal["linear", "squaredcos_cap_v2", "sigmoid"] = Field(
        "linear", description="noise schedule, squaredcos_cap_v2 is cosine"
    )
    beta_start: float = Field(
        1e-4, gt=0, lt=1, description="linear, sigmoid: β at the first timestep"
    )
    beta_end: float = Field(0.02, gt=0, lt=1, description="linear, sigmoid: β at the last timestep")
    rescale_betas_zero_snr: bool = Field(
        False, description="rescale the schedule so that nothing of the image is left at T−1"
    )
    prediction_type: Literal["epsilon", "sample", "v_prediction"] = Field(
        "epsilon", description="what the network predicts: the noise, the image or the velocity"
    )

    @model_validator(mode="after")
    def _predictable(self) -> Self:
        if self.beta_start > self.beta_end:
            raise ValueError(
                f"beta_start ({self.beta_start:g}) is more than beta_end ({self.beta_end:g})"
            )
        # Below 1e-35, √ᾱ at T−1 would soon be 0 in float32, and the steps there 0 / 0.
        if self._log_signal_at_the_end() < math.log(1e-35):
            raise ValueError(
                f"beta_end ({self.beta_end:g}) is too large for {self.num_train_timesteps} "
                "timesteps: nothing would be left of the image long before the last one"
            )
        if self.rescale_betas_zero_snr and self.prediction_type == "epsilon":
            raise ValueError(
                "with rescale_betas_zero_snr x_T is pure noise, and predicting it (epsilon) says "
                "nothing of the image: use v_prediction or sample"
            )
        return self

    def _log_signal_at_the_end(self) -> float:
        """log √ᾱ at T−1, by the schedules' own formulas, without torch; cosine is capped: 0."""
        last = self.num_train_timesteps - 1
        match self.beta_schedule:
            case "linear":
                shares = (i / last for i in range(last + 1))
            case "sigmoid":
                shares = (1 / (1 + math.exp(6 - 12 * i / last)) for i in range(last + 1))
            case _:
                return 0.0
        span = self.beta_end - self.beta_start
        return sum(math.log1p(-(self.beta_start + span * share)) for share in shares) / 2


class ModelConfig(Section):
    name: Literal["unet", "dit", "article"] = Field("unet", description="the network")
    class_conditional: bool = Field(
        False, description="tell the network the class, so that pictures can be asked for by name"
    )
    patch_size: int = Field(
        1, ge=1, le=16, description="unet, dit: fold p×p pixels into channels before the network"
    )
    block_out_channels: tuple[int, ...] = Field(
        (32, 64, 128), min_length=1, max_length=8, description="unet: width of each level"
    )
    layers_per_block: int = Field(1, ge=1, le=8, description="unet: residual blocks a level")
    attention_levels: tuple[int, ...] = Field(
        (2,), description="unet: levels with attention, 0 is full resolution"
    )
    norm_num_groups: int = Field(8, ge=1, description="unet: groups of every GroupNorm")
    attention_head_dim: int = Field(32, ge=1, description="unet, dit: channels an attention head")
    dropout: float = Field(0.0, ge=0, lt=1, description="unet, dit: dropout probability")
    hidden_size: int = Field(192, ge=8, description="dit: width of a token")
    num_layers: int = Field(6, ge=1, le=64, description="dit: transformer blocks")

    @model_validator(mode="after")
    def _widths_divide(self) -> Self:
        if self.name == "unet":
            self._check_unet()
        if self.name == "dit" and self.hidden_size % math.lcm(4, self.attention_head_dim):
            raise ValueError(
                f"hidden_size ({self.hidden_size}) must be a multiple of 4 and of "
                f"attention_head_dim ({self.attention_head_dim})"
            )
        if self.name == "article" and (self.class_conditional or self.patch_size > 1):
            raise ValueError(
                "the article's network has neither classes nor patches: leave them out, or "
                "take unet"
            )
        return self

    def _check_unet(self) -> None:
        if self.block_out_channels[0] % 2:
            raise ValueError(
                f"block_out_channels[0] ({self.block_out_channels[0]}) must be even: half of the "
                "timestep embedding are sines, half cosines"
            )
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


class TrainingConfig(Section):
    steps: int = Field(1500, ge=1, le=100_000_000, description="training steps")
    optimizer: Literal["adam", "adamw", "muon"] = Field(
        "adamw", description="muon is for the matrices, with adamw for all other weights"
    )
    lr: float = Field(1e-3, gt=0, le=1, description="peak learning rate")
    lr_warmup_steps: int = Field(100, ge=0, description="steps over which lr rises to its peak")
    lr_schedule: Literal["constant", "cosine", "onecycle"] = Field(
        "cosine",
        description="constant and cosine (to 0) follow the warm-up, onecycle rises and falls",
    )
    weight_decay: float = Field(0.0, ge=0, le=1, description="adamw, muon: decoupled weight decay")
    loss: Literal["mse", "huber"] = Field("mse", description="error of the prediction")
    snr_gamma: float = Field(
        0.0, ge=0, description="min-SNR weighting of the loss, usually 5; 0 is off"
    )
    class_dropout: float = Field(
        0.1, ge=0, lt=1, description="share of images trained without their class, for guidance"
    )
    gradient_accumulation_steps: int = Field(
        1,
        ge=1,
        description="pieces in which a batch, as large as ever, is trained on",
    )
    max_grad_norm: float = Field(1.0, ge=0, description="clip gradients to this norm; 0 is off")
    ema_decay: float = Field(0.998, ge=0, lt=1, description="EMA of the weights; 0 is off")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="auto is bf16 or fp16 where the hardware multiplies it natively"
    )
    compile: bool = Field(False, description="torch.compile the network; pays on long GPU runs")
    log_every: int = Field(5, ge=1, description="steps between rows of metrics")
    preview_every: int = Field(100, ge=0, description="steps between sample grids; 0 is off")
    preview_raw: bool = Field(
        True, description="each sample grid also by the raw weights, to set beside the EMA's"
    )
    checkpoint_every: int = Field(500, ge=1, description="steps between checkpoints")
    keep_checkpoints: int = Field(3, ge=1, description="newest checkpoints kept, besides the best")


class SamplingConfig(Section):
    """How this run draws pictures unless told otherwise."""

    num: int = Field(16, ge=1, le=1_000_000, description="pictures")
    sampler: Literal["ddpm", "ddim", "dpmpp_2m", "dpmpp_2m_sde", "heun"] = Field(
        "ddpm", description="sampler"
    )
    num_inference_steps: int = Field(
        1000, ge=1, le=10_000, description="sampling steps: a network call each, heun two"
    )
    variance_type: Literal["fixed_small", "fixed_large"] = Field(
        "fixed_small", description="ddpm: σ² = β̃_t (small) or β_t (large)"
    )
    eta: float = Field(0.0, ge=0, le=1, description="ddim: 0 is deterministic, 1 as noisy as ddpm")
    timestep_spacing: Literal["leading", "linspace", "trailing"] = Field(
        "trailing", description="which timesteps when there are fewer than T"
    )
    clip_sample: bool = Field(True, description="clip the predicted x_0 to [−1, 1]")
    thresholding: bool = Field(
        False, description="dynamic thresholding of the predicted x_0 instead of clipping"
    )
    dynamic_thresholding_ratio: float = Field(
        0.995, gt=0, le=1, description="thresholding: quantile of |x_0| that is brought to 1"
    )
    prompt: str = Field(
        "", max_length=500, description="classes by name, as in 0.6 dress + 0.4 coat; empty is all"
    )
    guidance_scale: float = Field(
        1.0, ge=0, le=100, description="classifier-free guidance: 1 is none, 0 ignores the class"
    )


# A preview goes through the network in one piece, and into one picture.
_MAX_PREVIEW = 256

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
    def _parts_fit(self) -> Self:
        if self.training.snr_gamma and self.diffusion.rescale_betas_zero_snr:
            raise ValueError(
                "training.snr_gamma gives the last timestep no weight where "
                "diffusion.rescale_betas_zero_snr leaves nothing of the image: leave one of them"
            )
        if self.preview.num > _MAX_PREVIEW:
            raise ValueError(
                f"preview.num ({self.preview.num}) is more than the {_MAX_PREVIEW} that are "
                "painted at once"
            )
        for name, sampling in (("sampling", self.sampling), ("preview", self.preview)):
            if sampling.num_inference_steps > self.diffusion.num_train_timesteps:
                raise ValueError(
                    f"{name}.num_inference_steps ({sampling.num_inference_steps}) is more than "
                    f"diffusion.num_train_timesteps ({self.diffusion.num_train_timesteps})"
                )
            for key in ("prompt", "guidance_scale"):
                changed = getattr(sampling, key) != SamplingConfig.model_fields[key].default
                if changed and not self.model.class_conditional:
                    raise ValueError(
                        f"{name}.{key} needs a network that was told the classes in training "
                        "(model.class_conditional)"
                    )
        return self


ARTICLE_EPOCHS = 20
# A transformer pays for the square of the number of patches: single pixels are for small images.
DIT_PATCH_SIZE = 2

# The sections' own defaults are the plain DDPM of Ho et al.; what a preset changes stands here.
# Why these values: docs/default-network.md.
DEFAULT: dict[str, dict[str, Any]] = {
    "diffusion": {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"},
    "model": {
        "class_conditional": True,
        "patch_size": 2,
        "block_out_channels": (64, 128),
        "attention_levels": (),  # at the lowest resolution there is one anyway
    },
    "training": {"optimizer": "muon", "lr": 3e-3, "lr_warmup_steps": 50},
    "sampling": {"sampler": "dpmpp_2m", "num_inference_steps": 12},
    "preview": {"sampler": "dpmpp_2m", "num_inference_steps": 12},
}

PRESETS: dict[str, dict[str, Any]] = {
    "default": DEFAULT,
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
PREDICTION_NAMES: tuple[str, ...] = get_args(
    DiffusionConfig.model_fields["prediction_type"].annotation
)
BETA_SCHEDULE_NAMES: tuple[str, ...] = get_args(
    DiffusionConfig.model_fields["beta_schedule"].annotation
)

PRESET_HELP = {
    "default": "residual U-Net, Muon, v-prediction, classes: good pictures in minutes",
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
    if overrides.get("model", {}).get("name") == "article":
        # It has neither; an override that asks for one is refused by name.
        asked = overrides["model"]
        merged["model"] = {**merged["model"], "class_conditional": False, "patch_size": 1, **asked}
    if merged.get("model", {}).get("name") == "dit":
        merged["model"] = {"patch_size": DIT_PATCH_SIZE, **merged["model"]}
    if epochs is None and preset == "article" and "steps" not in merged["training"]:
        epochs = ARTICLE_EPOCHS
    if epochs is not None:
        batch_size = validate({"data": merged.get("data", {})}).data.batch_size
        steps = -(-epochs * dataset_size // batch_size)
        merged["training"] = {**merged.get("training", {}), "steps": steps}
    # Fewer timesteps than the preset's number of network calls: visit every timestep instead.
    timesteps = merged.get("diffusion", {}).get("num_train_timesteps")
    if isinstance(timesteps, int):
        for key, default in (("sampling", SamplingConfig()), ("preview", PREVIEW_SAMPLING)):
            table = merged.get(key, {})
            calls = table.get("num_inference_steps", default.num_inference_steps)
            if "num_inference_steps" not in overrides.get(key, {}):
                merged[key] = {**table, "num_inference_steps": min(calls, timesteps)}
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
        key = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        message = message[:1].lower() + message[1:]
        where = f" in {source}" if source else ""
        given = f" (given: {first['input']!r})" if first["type"] != "value_error" else ""
        # What concerns several tables names its keys itself.
        named = f"{key}{where}" if key else source
        raise ConfigError(f"{named}: {message}{given}" if named else f"{message}{given}") from None


def override_sampling(config: RunConfig, overrides: Mapping[str, Any]) -> SamplingConfig:
    """The run's `[sampling]` table with some fields replaced.

    Raises:
        ConfigError: a value is out of bounds, or there are more steps than timesteps.
    """
    values = {**config.model_dump(), "sampling": {**config.sampling.model_dump(), **overrides}}
    return validate(values).sampling


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
                choices = get_args(field.annotation)
                about = [field.description] if field.description else []
                if get_origin(field.annotation) is Literal:
                    about.append(" | ".join(map(str, choices)))
                if about:
                    item.comment("; ".join(about))
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
