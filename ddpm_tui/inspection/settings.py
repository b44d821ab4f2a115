"""The training objective, and every setting with its meaning, those that differ marked."""

from __future__ import annotations

from typing import Any

from ddpm_tui.inspection.rows import (  # fmt: skip
    BLANK,
    Column,
    Row,
    cells,
    fact,
    fitting,
    headings,
    number,
    prose,
    title,
)
from ddpm_tui.inspection.study import Study
from engine.config import PRESETS, RunConfig, Section, make_config
from engine.data import SOURCES

_NAME_WIDTH = 30
_VALUE_WIDTH = 20
_BESIDE = 40  # cells that the meaning of a setting needs to stand beside it
_TARGETS = {
    "epsilon": "the noise ε (Ho et al. 2020)",
    "sample": "the image x_0",
    "v_prediction": "the velocity v = √ᾱ_t ε − √(1 − ᾱ_t) x_0 (Salimans & Ho 2022)",
}
_STATIONS = (0.05, 0.25, 0.5, 0.75, 1.0)
_WEIGHTS = (Column("t", 6), Column("SNR", 9), Column("weight", 9))


def preset_name(config: RunConfig) -> str:
    """The preset to hold a config against: its own, or the default where nobody knows that."""
    return config.preset if config.preset in PRESETS else "default"


def preset_of(config: RunConfig) -> RunConfig:
    """The preset to hold a config against, on the same data."""
    size = SOURCES[config.data.dataset].train_count
    return make_config(
        preset_name(config),
        dataset_size=size,
        data={"dataset": config.data.dataset},
        seed=config.seed,
    )


def differing(config: RunConfig) -> dict[str, Any]:
    """Names of the settings that are not the preset's -> the preset's values."""
    found: dict[str, Any] = {}

    def compare(own: Section, preset: Section, prefix: str) -> None:
        for key in type(own).model_fields:
            mine, theirs = getattr(own, key), getattr(preset, key)
            if isinstance(mine, Section):
                compare(mine, theirs, f"{prefix}{key}.")
            elif mine != theirs:
                found[f"{prefix}{key}"] = theirs

    compare(config, preset_of(config), "")
    return found


def rows(study: Study, width: int) -> list[Row]:
    """The page."""
    config = study.subject.config
    differs = differing(config)
    shown = [*_objective(study, width), BLANK]
    named = f"the preset {preset_name(config)}"
    shown.append(
        title(f"Settings: {len(differs)} differ from {named}, marked ≠" if differs
              else f"Settings: those of {named}")
    )  # fmt: skip
    top = [key for key, field in type(config).model_fields.items()
           if not isinstance(getattr(config, key), Section)]  # fmt: skip
    shown += _table(config, top, "", differs, width)
    for key in type(config).model_fields:
        section = getattr(config, key)
        if isinstance(section, Section):
            shown += [BLANK, title(f"[{key}]")]
            shown += _table(section, list(type(section).model_fields), f"{key}.", differs, width)
    return shown


def _table(
    section: Section, keys: list[str], prefix: str, differs: dict[str, Any], width: int
) -> list[Row]:
    shown: list[Row] = []
    for key in keys:
        name = f"{prefix}{key}"
        changed = name in differs
        meaning = type(section).model_fields[key].description or ""
        if changed:
            meaning = f"preset: {_plain(differs[name])} · {meaning}"
        left = f"{'≠' if changed else ' '} {key:<{_NAME_WIDTH - 2}} "
        value = f"{_plain(getattr(section, key)):<{_VALUE_WIDTH}} "
        style = "note" if changed else ""
        room = width - len(left) - len(value)
        if room >= _BESIDE:
            first, *rest = prose(meaning, room, "label") or [BLANK]
            shown.append(((left, style or "label"), (value, style), *first))
            shown += [((" " * (width - room), ""), *line) for line in rest]
        else:
            shown.append(((left, style or "label"), (value.rstrip(), style)))
            shown += [(("    ", ""), *line) for line in prose(meaning, width - 4, "label")]
    return shown


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return "[" + ", ".join(map(str, value)) + "]"
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else (value or '""')


def _objective(study: Study, width: int) -> list[Row]:
    config = study.subject.config
    training, prediction = config.training, config.diffusion.prediction_type
    images = training.steps * config.data.batch_size
    epochs = images / SOURCES[config.data.dataset].train_count
    shown = [title("Objective")]
    shown += fact("predicts", _TARGETS[prediction], width)
    shown += fact("loss", f"{training.loss}, the mean over pixels, images and t drawn evenly from "
                  f"0 … {config.diffusion.num_train_timesteps - 1:,}", width)  # fmt: skip
    gamma = training.snr_gamma
    shown += fact("weighting", f"min-SNR, γ = {gamma:g} (Hang et al. 2023)" if gamma
                  else "none: every t counts the same", width)  # fmt: skip
    shown += fact("length", f"{training.steps:,} steps of {config.data.batch_size} images, "
                  f"{epochs:.1f} epochs", width)  # fmt: skip
    shown += fact("learning rate", _rate(config), width)
    maths = study.maths
    if maths is None:
        return shown
    shown += [BLANK, *prose("What an error in the predicted image x̂_0 weighs in this loss:", width)]
    kept = fitting(_WEIGHTS, width)
    shown.append(headings(_WEIGHTS, kept))
    for share in _STATIONS:
        t = round(share * (maths.timesteps - 1))
        texts = (f"{t:,}", number(float(maths.snr[t])), number(float(maths.weights[t])))
        shown.append(((cells(_WEIGHTS, kept, texts), ""),))
    return shown


def _rate(config: RunConfig) -> str:
    training = config.training
    warm = (
        f", after {training.lr_warmup_steps:,} steps of warm-up" if training.lr_warmup_steps else ""
    )
    return f"{training.lr:g} with {training.optimizer}, {training.lr_schedule}{warm}"


def about(study: Study) -> str:
    """One line: what is trained, how much differs from the preset."""
    config = study.subject.config
    count = len(differing(config))
    differs = f"{count} setting{'s' * (count != 1)} differ" + ("s" if count == 1 else "")
    named = f"the preset {preset_name(config)}"
    return f"predicts {config.diffusion.prediction_type}, {differs} from {named}"
