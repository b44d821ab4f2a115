"""The forward process in the numbers of one schedule."""

from __future__ import annotations

import math

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
from ddpm_tui.inspection.study import Maths, Study, stations

_COLUMNS = (
    Column("t", 6),
    Column("√ᾱ_t", 9),
    Column("√(1−ᾱ_t)", 9),
    Column("SNR", 10),
    Column("ᾱ_t", 9, 3),
    Column("image", 6, 2),
    Column("noise", 6, 2),
    Column("class told", 10, 1),
)


def crossing(maths: Maths) -> int:
    """The first t at which less than half of the variance is the image's: ᾱ < 0.5, SNR < 1."""
    below = (maths.alphas_cumprod < 0.5).nonzero()[0]
    return int(below[0]) if len(below) else maths.timesteps


def rows(study: Study, width: int, forward_key: str = "") -> list[Row]:
    """The page.

    Args:
        forward_key: the key of the Forward view, which shows the images.
    """
    maths = study.maths
    if maths is None:
        return []
    last, half = maths.timesteps - 1, crossing(maths)
    shown = [title("q(x_t | x_0): from an image to any t in one step"), BLANK]
    shown += prose(
        "x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) ε, with ε ~ N(0, I) and x_0 in [−1, 1]. ᾱ_t is the product of "
        "1 − β_s over all s ≤ t: what is left of the image's variance after t + 1 steps, each "
        "x_s = √(1 − β_s) x_{s−1} + √β_s ε.",
        width,
    )
    kept = fitting(_COLUMNS, width)
    shown += [BLANK, headings(_COLUMNS, kept)]
    for t in stations(maths.timesteps):
        alpha = float(maths.alphas_cumprod[t])
        texts = (
            f"{t:,}",
            number(math.sqrt(alpha)),
            number(math.sqrt(1 - alpha)),
            number(float(maths.snr[t])),
            number(alpha),
            f"{100 * alpha:.0f} %",
            f"{100 * (1 - alpha):.0f} %",
            f"{100 * study.recognised[t]:.0f} %" if study.recognised else "…",
        )
        shown.append(((cells(_COLUMNS, kept, texts), ""),))
    shown.append(BLANK)
    if half < maths.timesteps:
        text = (
            f"t = {half:,}, {100 * half / last:.0f} % of the way: from here on ᾱ_t < 0.5, the SNR "
            "is below 1, and of a pixel's variance more is noise than image."
        )
    else:
        text = "never: the schedule leaves more image than noise to the end."
    shown += fact("half noise", text, width)
    alpha = float(maths.alphas_cumprod[-1])
    left = "nothing: zero terminal SNR" if alpha == 0 else f"√ᾱ = {number(math.sqrt(alpha))}"
    shown += fact(
        f"left at t = {last:,}",
        f"{left}. Sampling starts from pure noise, so what is left is a difference between "
        "training and sampling: mostly the brightness of the whole image.",
        width,
    )
    shown += fact("class told", _told(study), width)
    if forward_key:
        shown += [BLANK, *prose(
            f"Key {forward_key} shows real images at every t: see for yourself until when you "
            "recognise them.", width, "label")]  # fmt: skip
    return shown


def _told(study: Study) -> str:
    """Until when it can be recognised, by the best that can be done."""
    told = study.recognised
    if told is None:
        return "asking an observer who knows the training images …"
    if not told:
        return "unknown: the images are not on this machine."
    from engine.recognition import ASKED, KNOWN

    half = [t for t, share in told.items() if share >= 0.5]
    until = f"at least half of them up to t = {max(half):,}" if half else "never half of them"
    return (
        f"{until}: how many of {ASKED} held-out images an observer still names the class of, who "
        f"knows {KNOWN:,} training images by heart and weighs each by its likelihood. That is the "
        "most that can be told with these; a person gives up earlier."
    )


def about(study: Study) -> str:
    """One line: what is looked at, in its own numbers."""
    if study.maths is None:
        return ""
    schedule = study.subject.config.diffusion.beta_schedule
    return f"{schedule}, T = {study.maths.timesteps:,}, half noise at t = {crossing(study.maths):,}"
