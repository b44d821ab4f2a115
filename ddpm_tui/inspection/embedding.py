"""The timestep embedding: what the network is told of t, ours and the article's."""

from __future__ import annotations

import numpy as np

from ddpm_tui.inspection.rows import Row, prose
from ddpm_tui.inspection.study import Floats, Study


def names(study: Study) -> tuple[str, str]:
    """Of the embedding in use, and of the one to compare it with."""
    both = ("default", "article")
    mine = study.subject.config.model.name == "article"
    return (both[1], both[0]) if mine else both


def rows(study: Study, width: int) -> list[Row]:
    """What the pictures show."""
    maths = study.maths
    if maths is None:
        return []
    dim, other = maths.embedding.shape[1], maths.other_embedding.shape[1]
    _, theirs = names(study)
    text = (
        f"Sines and cosines of t at {dim // 2} frequencies. {maths.varying} of the {dim} columns "
        f"change over t by more than 1 %; {maths.other_varying} of {other} in the {theirs}'s. The "
        "article's exponent is 2j/d with j already even: columns whose period is far beyond T "
        "say nothing of t."
    )
    return prose(text, width)


def about(study: Study) -> str:
    """One line: how wide, how many columns vary."""
    maths = study.maths
    if maths is None:
        return ""
    dim = maths.embedding.shape[1]
    return f"{dim} columns, {maths.varying} of them vary · x: column, y: t, bright: +1"


def similarity(table: Floats, t: int) -> Floats:
    """float64 (T,): the cosine of the angle between the embeddings of t and of every timestep."""
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    result: Floats = unit @ unit[t]
    return result


def sampled(total: int, lines: int) -> list[int]:
    """Evenly spaced timesteps, a line each. Means would make what changes fast look constant."""
    count = max(min(lines, total), 1)
    return [round(t) for t in np.linspace(0, total - 1, count).tolist()]
