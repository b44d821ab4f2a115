"""Any two noise schedules: the form that the Forward view opens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ddpm_tui.views.form import Field, Form
from ddpm_tui.views.forward.schedules import COMMON, Named, Pair, own
from ddpm_tui.views.question import Question
from engine.config import DiffusionConfig, make_config
from engine.errors import ConfigError
from engine.runs.folder import Run

_NOTE = "Two schedules for the same images and the same noise."
_OF_RUN = "run "
_PLAIN = {common: name for name, common in COMMON.items()}


def ask(pair: Pair, runs: Sequence[Run]) -> Question[Pair]:
    """Ask for A and B.

    Args:
        runs: whose schedules are offered.
    """
    present = [named.run for named in (pair.a, pair.b) if named.run is not None]
    by_name = {run.name: run for run in (*present, *runs)}

    def read(form: Form) -> Pair:
        return pair.chosen(*(_read(form, which, by_name) for which in "ab"))

    fields = [field for which in "ab" for field in _fields(which, getattr(pair, which), by_name)]
    return Question("Noise schedules", fields, read, does="Compare", note=_NOTE)


def _fields(which: str, now: Named, runs: dict[str, Run]) -> list[Field]:
    title, config = which.upper(), now.config
    offered = [*_PLAIN, *(_OF_RUN + name for name in runs)]
    present = _OF_RUN + now.name if now.run else COMMON[config.beta_schedule]

    def unusual(key: str) -> str:
        value = getattr(config, key)
        usual = DiffusionConfig.model_fields[key].default
        return "" if now.run or value == usual else f"{value:g}"

    return [
        Field(
            which, title, "by name; that of a run is taken as it is",
            choices=tuple(offered), value=present,
        ),
        Field(
            f"{which}-timesteps", f"{title} T", "timesteps, 2 to 10,000",
            value=unusual("num_train_timesteps"), placeholder="1000",
        ),
        Field(
            f"{which}-start", f"{title} β first", "linear, sigmoid: β at the first timestep",
            value=unusual("beta_start"), placeholder="1e-4",
        ),
        Field(
            f"{which}-end", f"{title} β last", "linear, sigmoid: β at the last timestep",
            value=unusual("beta_end"), placeholder="0.02",
        ),
        Field(
            f"{which}-zero", f"{title} zero SNR", "rescaled, so that nothing is left at T − 1",
            choices=("no", "yes"),
            value="yes" if config.rescale_betas_zero_snr and not now.run else "no",
        ),
    ]  # fmt: skip


def _read(form: Form, which: str, runs: dict[str, Run]) -> Named:
    chosen = form.value(which)
    if chosen.startswith(_OF_RUN):
        name = chosen.removeprefix(_OF_RUN)
        return Named(name, runs[name].config().diffusion, runs[name])
    given: dict[str, Any] = {
        "num_train_timesteps": form.number(f"{which}-timesteps", int),
        "beta_start": form.number(f"{which}-start", float),
        "beta_end": form.number(f"{which}-end", float),
    }
    diffusion = {
        "beta_schedule": _PLAIN[chosen],
        "rescale_betas_zero_snr": form.value(f"{which}-zero") == "yes",
        # Nothing is predicted here; but with ε nothing could be where no image is left.
        "prediction_type": "v_prediction",
        **{key: value for key, value in given.items() if value is not None},
    }
    try:
        return own(make_config(dataset_size=1, diffusion=diffusion).diffusion)
    except ConfigError as error:
        raise ConfigError(f"{which.upper()}: {error.message.removeprefix('diffusion.')}") from None
