"""The reverse process: which timesteps a sample visits, and what each step does."""

from __future__ import annotations

from ddpm_tui.inspection.rows import (  # fmt: skip
    BLANK,
    Column,
    Row,
    cells,
    fact,
    fitting,
    headings,
    number,
    title,
)
from ddpm_tui.inspection.study import Study
from ddpm_tui.report import about_time
from engine.config import SamplingConfig

_PICTURES = 100
_COLUMNS = (
    Column("step", 5, 5),
    Column("t", 6),
    Column("→ t", 6),
    Column("ᾱ_t", 9, 2),
    Column("· x_t", 9),
    Column("· x̂_0", 9),
    Column("· ε", 9, 1),
    Column("· before", 9, 1),
    Column("· 2nd x̂_0", 9, 1),
    Column("σ noise", 9),
)
_RULES = {
    "ddpm": "ancestral sampling (Ho et al. 2020): a draw from q(x_{t−1} | x_t, x̂_0) each step.",
    "ddim": "DDIM (Song et al. 2021): to x̂_0 and back along ε, with as much fresh noise as eta.",
    "dpmpp_2m": "DPM-Solver++(2M) (Lu et al. 2022): extrapolates x̂_0 from this step and the one "
    "before.",
    "dpmpp_2m_sde": "SDE-DPM-Solver++(2M) (Lu et al. 2022): dpmpp_2m with part of the noise drawn "
    "anew.",
    "heun": "Heun's method (Karras et al. 2022): asks the network again at the end of a step.",
}


def calls(study: Study) -> int:
    """Passes of one picture through the network, guidance and mixed prompts counted."""
    from engine.steps import network_calls, terms_of_guidance

    assert study.maths is not None
    return network_calls(list(study.maths.steps)) * terms_of_guidance(
        study.subject.config.sampling, parts_of(study)
    )


def parts_of(study: Study) -> int:
    """Classes in the run's prompt; without a prompt each picture has one."""
    from engine.data import SOURCES
    from engine.prompts import parse_prompt

    config = study.subject.config
    if not config.model.class_conditional or not config.sampling.prompt.strip():
        return 1
    return len(parse_prompt(config.sampling.prompt, SOURCES[config.data.dataset].class_names))


def rows(study: Study, width: int) -> list[Row]:
    """The page."""
    maths, sampling = study.maths, study.subject.config.sampling
    if maths is None:
        return []
    from engine.sampling import start_note  # load torch, which the maths needed too
    from engine.schedule import NoiseSchedule

    shown = fact("sampler", f"{sampling.sampler}: {_RULES[sampling.sampler]}", width)
    shown += fact(
        "timesteps",
        f"{len(maths.steps):,} of {maths.timesteps:,}, spacing {sampling.timestep_spacing}",
        width,
    )
    if note := start_note(NoiseSchedule.of(study.subject.config.diffusion), sampling):
        shown += fact("note", f"{note}; use timestep_spacing trailing", width)
    if sampling.sampler == "ddim":
        kind = "deterministic" if not sampling.eta else "noise is drawn on the way"
        shown += fact("eta", f"{sampling.eta:g}: {kind}", width)
    if sampling.sampler == "ddpm":
        which = "β̃_t" if sampling.variance_type == "fixed_small" else "β_t"
        shown += fact("variance", f"{sampling.variance_type}: σ² = {which}", width)
    shown += fact("x̂_0", _limit(sampling), width)
    if study.subject.config.model.class_conditional:
        asked = sampling.prompt or "each class in turn"
        scale = sampling.guidance_scale
        text = f"{scale:g}" + (": none" if scale == 1 else ": a second pass without a class")
        shown += fact("asked for", asked, width) + fact("guidance", text, width)
    shown += fact("network calls", f"{calls(study):,} for each picture", width)
    shown += fact(f"{_PICTURES} pictures", _cost(study), width)
    shown += [BLANK, title("x at the next t is the sum of")]
    kept = _kept(study, width)
    shown.append(headings(_COLUMNS, kept))
    for index, step in enumerate(maths.steps):
        texts = (
            f"{index + 1:,}",
            f"{step.t:,}",
            "x_0" if step.prev_t < 0 else f"{step.prev_t:,}",
            number(float(maths.alphas_cumprod[step.t])),
            *(_weight(w) for w in (step.x_t, step.x0, step.eps, step.before, step.there)),
            _weight(step.sigma),
        )
        shown.append(((cells(_COLUMNS, kept, texts), ""),))
    return shown


def _kept(study: Study, width: int) -> tuple[int, ...]:
    """Columns that fit and that this sampler has use for."""
    assert study.maths is not None
    used = [
        True,
        True,
        True,
        True,
        *(any(getattr(step, name) for step in study.maths.steps)
          for name in ("x_t", "x0", "eps", "before", "there", "sigma")),
    ]  # fmt: skip
    of_use = [at for at in range(len(_COLUMNS)) if used[at]]
    fits = fitting([_COLUMNS[at] for at in of_use], width)
    return tuple(of_use[at] for at in fits)


def _weight(value: float) -> str:
    return "–" if value == 0 else number(value)


def _limit(sampling: SamplingConfig) -> str:
    if sampling.thresholding:
        return f"dynamic thresholding at the quantile {sampling.dynamic_thresholding_ratio:g}"
    return "clipped to [−1, 1] at every step" if sampling.clip_sample else "as it is, not clipped"


def _cost(study: Study) -> str:
    timing = study.timing
    if timing is None:
        return "measured while this page or Network is open …"
    seconds = _PICTURES * calls(study) * timing.seconds / timing.images
    return (
        f"≈ {about_time(seconds)} on {timing.device} in {timing.dtype}: "
        f"{1e3 * timing.seconds / timing.images:.2f} ms an image and call, measured over "
        f"{timing.passes} passes of {timing.images} images"
    )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def about(study: Study) -> str:
    """One line: sampler, steps, calls."""
    if study.maths is None:
        return ""
    sampling = study.subject.config.sampling
    steps = _count(len(study.maths.steps), "step")
    return f"{sampling.sampler}, {steps}, {_count(calls(study), 'network call')}"
