"""The noise schedule as a table of all its timesteps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import overload

from ddpm_tui.inspection.rows import Column, Row, cells, fitting, headings, number
from ddpm_tui.inspection.study import Maths, Study

# Not every font sets the tilde of β̃ on its letter, so the heading does without.
COLUMNS = (
    Column("t", 6),
    Column("β_t", 9),
    Column("ᾱ_t", 9),
    Column("√ᾱ_t", 7, 2),
    Column("√(1−ᾱ_t)", 8, 3),
    Column("SNR", 9),
    Column("ln SNR", 7, 1),
    Column("posterior", 9, 1),
    Column("sampled", 7, 4),
)


class ScheduleRows(Sequence[Row]):
    """A row for every t, made when it is looked at."""

    def __init__(self, maths: Maths, width: int) -> None:
        self._maths = maths
        self._kept = fitting(COLUMNS, width)
        self._visited = frozenset(step.t for step in maths.steps)

    def __len__(self) -> int:
        return self._maths.timesteps

    @overload
    def __getitem__(self, t: int) -> Row: ...
    @overload
    def __getitem__(self, t: slice) -> Sequence[Row]: ...
    def __getitem__(self, t: int | slice) -> Row | Sequence[Row]:
        if isinstance(t, slice):
            return [self[at] for at in range(*t.indices(len(self)))]
        maths = self._maths
        alpha, snr = float(maths.alphas_cumprod[t]), float(maths.snr[t])
        texts = (
            f"{t:,}",
            number(float(maths.betas[t])),
            number(alpha),
            f"{math.sqrt(alpha):.4f}",
            f"{math.sqrt(1 - alpha):.4f}",
            number(snr),
            f"{math.log(snr):.2f}".replace("-", "−") if snr > 0 else "−∞",
            number(float(maths.posterior_variance[t])),
            "●" if t in self._visited else "",
        )
        return ((cells(COLUMNS, self._kept, texts), ""),)


def rows(study: Study, width: int) -> Sequence[Row]:
    """The page."""
    return ScheduleRows(study.maths, width) if study.maths is not None else []


def header(_study: Study, width: int) -> Row:
    """The titles of the columns."""
    return headings(COLUMNS, fitting(COLUMNS, width))


def about(study: Study) -> str:
    """One line: which schedule, from where to where."""
    maths, diffusion = study.maths, study.subject.config.diffusion
    if maths is None:
        return ""
    zero = ", rescaled to zero terminal SNR" if diffusion.rescale_betas_zero_snr else ""
    return (
        f"{diffusion.beta_schedule}{zero}, β {number(float(maths.betas[0]))} to "
        f"{number(float(maths.betas[-1]))}, T = {maths.timesteps:,}, posterior: its variance β̃_t"
    )
