"""The values that options choose from, as `--help` lists them.

They repeat the Literals of engine.config, whose import would take longer than the whole of
`--help`; a test keeps the two equal.
"""

from __future__ import annotations

from enum import StrEnum


class Color(StrEnum):
    auto = "auto"
    truecolor = "truecolor"
    c256 = "256"
    c16 = "16"
    none = "none"


class BetaSchedule(StrEnum):
    linear = "linear"
    squaredcos_cap_v2 = "squaredcos_cap_v2"
    sigmoid = "sigmoid"


class Prediction(StrEnum):
    epsilon = "epsilon"
    sample = "sample"
    v_prediction = "v_prediction"


class LrSchedule(StrEnum):
    constant = "constant"
    cosine = "cosine"
    onecycle = "onecycle"


class Precision(StrEnum):
    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


class Sampler(StrEnum):
    ddpm = "ddpm"
    ddim = "ddim"
    dpmpp_2m = "dpmpp_2m"
    dpmpp_2m_sde = "dpmpp_2m_sde"
    heun = "heun"


class Variance(StrEnum):
    fixed_small = "fixed_small"
    fixed_large = "fixed_large"


class Spacing(StrEnum):
    leading = "leading"
    linspace = "linspace"
    trailing = "trailing"


class Deterministic(StrEnum):
    """The samplers that draw no noise on the way."""

    ddim = "ddim"
    dpmpp_2m = "dpmpp_2m"
    heun = "heun"


class Sort(StrEnum):
    """The orders of engine.runs.order."""

    created = "created"
    name = "name"
    state = "state"
    data = "data"
    net = "net"
    step = "step"
    loss = "loss"
    held_out = "held-out"
    age = "age"
