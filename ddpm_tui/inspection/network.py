"""The network as a tree: what each part puts out, holds, costs and sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ddpm_tui.inspection.rows import (  # fmt: skip
    BLANK,
    Column,
    Row,
    Span,
    bar,
    cells,
    fact,
    fitting,
    headings,
    percent,
    short,
    size,
    title,
)
from ddpm_tui.inspection.study import Study

if TYPE_CHECKING:
    from engine.anatomy import Anatomy, Part
    from engine.layer_timing import Timing

_NAME_WIDTH = 27
_NARROW_NAME = 19
_BAR_WIDTH = 7
_COLUMNS = (
    Column("parameters", 10),
    Column("shape", 11, 1),
    Column("param", 6, 3),
    Column("MACs", 6, 4),
    Column("time", 6, 2),
    Column("memory", 6, 4),
    Column("sees", 7, 5),
    Column("kind", 20, 6, left=True),
)
# What the bar shows and the tree is sorted by -> its title.
ORDERS = {
    "run": "in the order in which they run",
    "parameters": "by parameters",
    "macs": "by multiply-accumulates (MACs)",
    "time": "by measured time",
    "memory": "by memory kept for the backward pass",
}


# In four cells.
_SHORT = {"parameters": "par.", "macs": "MACs", "time": "time", "memory": "mem."}


@dataclass(frozen=True)
class Line:
    """A part as it is shown.

    Attributes:
        closed: whether what is inside it is hidden.
    """

    part: Part
    closed: bool


@dataclass(frozen=True)
class Tree:
    """How the tree is shown.

    Attributes:
        order: a key of `ORDERS`.
        opened: names of the parts whose insides are shown.
    """

    order: str = "run"
    opened: frozenset[str] = frozenset({""})


def lines(anatomy: Anatomy, timing: Timing | None, tree: Tree) -> list[Line]:
    """The parts that are shown, in the order in which they are."""
    children: dict[str, list[Part]] = {}
    path: list[Part] = []
    for part in anatomy.parts:
        del path[part.depth :]
        if path:
            children.setdefault(path[-1].name, []).append(part)
        path.append(part)

    def walk(part: Part) -> list[Line]:
        closed = part.has_parts and part.name not in tree.opened
        found = [Line(part, closed)]
        inside = children.get(part.name, [])
        if tree.order != "run":
            inside = sorted(inside, key=lambda p: -share(p, anatomy, timing, tree.order))
        for child in inside if not closed else []:
            found += walk(child)
        return found

    return walk(anatomy.whole)


def share(part: Part, anatomy: Anatomy, timing: Timing | None, what: str) -> float:
    """The share of the whole network that a part has, 0 … 1."""
    whole = anatomy.whole
    match what:
        case "macs":
            return part.macs / max(whole.macs, 1)
        case "memory":
            return part.kept / max(whole.kept, 1)
        case "time":
            return timing.shares.get(part.name, 0.0) if timing else 0.0
    return part.parameters / max(whole.parameters, 1)


def _layout(width: int) -> tuple[int, int, tuple[int, ...]]:
    """Cells of the name and of the bar, and the columns between them."""
    name = _NAME_WIDTH if width >= 76 else _NARROW_NAME
    bars = _BAR_WIDTH if width >= 56 else 0
    return name, bars, fitting(_COLUMNS, max(width - name - bars - 2, 10))


def header(study: Study, width: int, tree: Tree) -> Row:
    """The titles of the columns."""
    name, bars, kept = _layout(width)
    shown = f"of {_SHORT[_bar_shows(tree, study.timing)]}" if bars else ""
    return (
        ("part".ljust(name) + " ", "label"),
        *headings(_COLUMNS, kept),
        (f" {shown}", "label"),
    )


def _bar_shows(tree: Tree, timing: Timing | None) -> str:
    """The key of `ORDERS` whose shares the bars are."""
    if tree.order != "run":
        return tree.order
    return "time" if timing else "parameters"


def rows(study: Study, width: int, tree: Tree) -> list[Row]:
    """The tree, and below it what is worth knowing."""
    anatomy, timing = study.anatomy, study.timing
    if anatomy is None:
        return []
    name, bars, kept = _layout(width)
    by = _bar_shows(tree, timing)
    shown: list[Row] = []
    for line in lines(anatomy, timing, tree):
        part = line.part
        mark = ("▸" if line.closed else "▾") if part.has_parts else " "
        label = f"{'  ' * part.depth}{mark} {part.label or part.kind}"
        if len(label) > name:
            label = label[: name - 1] + "…"
        figures = (
            f"{part.parameters:,}" if part.parameters else "–",
            "×".join(map(str, part.shape)) if part.called else "not called",
            percent(share(part, anatomy, timing, "parameters")),
            percent(share(part, anatomy, timing, "macs")),
            percent(share(part, anatomy, timing, "time")) if timing else "…",
            percent(share(part, anatomy, timing, "memory")),
            f"{part.receptive_field}²px" if part.receptive_field else "",
            part.kind,
        )
        spans: list[Span] = [
            (f"{label:<{name}} ", "" if part.called else "note"),
            (cells(_COLUMNS, kept, figures), ""),
        ]
        if bars:
            spans.append((f" {bar(share(part, anatomy, timing, by), bars)}", "bar"))
        shown.append(tuple(spans))
    return [*shown, BLANK, *notes(study, width)]


def notes(study: Study, width: int) -> list[Row]:
    """What the tree alone does not say."""
    anatomy = study.anatomy
    assert anatomy is not None
    config = study.subject.config
    shown = [title("What to know of it")]
    shown += fact("time", _timed(study), width)
    whole = anatomy.whole
    shown += fact(
        "memory",
        f"{size(whole.kept)} for each image in float32: what a training step keeps from the "
        "forward pass for the backward pass.",
        width,
    )
    if whole.parameters > anatomy.trained:
        frozen = whole.parameters - anatomy.trained
        shown += fact("frozen", f"{frozen:,} parameters are not trained.", width)
    shown += fact("attention", _attention(anatomy), width)
    shown += fact("receptive field", _sight(anatomy), width)
    decay = config.training.ema_decay
    shown += fact(
        "EMA",
        f"decay {decay:g}: the mean of about the last {1 / (1 - decay):,.0f} steps' weights "
        f"(half-life {_half_life(decay):,.0f} steps). Samples are drawn with it."
        if decay
        else "none: samples are drawn with the weights of the last step, whatever it was.",
        width,
    )
    shown += fact("fresh output", _fresh(config.model.name), width)
    shown += fact("brightness", _brightness(study), width)
    if config.model.name == "article":
        shown += fact("lacks", "residual connections, attention, an EMA; its size is fixed to "
                      "28×28, and it is told neither class nor brightness.", width)  # fmt: skip
    return shown


def _timed(study: Study) -> str:
    timing = study.timing
    if timing is None:
        return "not measured yet: it is measured while this page or Reverse is open."
    per_image = 1e3 * timing.seconds / timing.images
    return (
        f"{1e3 * timing.seconds:.1f} ms for a forward pass of {timing.images} images, "
        f"{per_image:.2f} ms an image: median of {timing.passes} passes with fresh weights in "
        f"{timing.dtype} on {timing.device}. Shares are of passes with a clock on every part."
    )


def _attention(anatomy: Anatomy) -> str:
    found = [p for p in anatomy.parts if p.kind in ("Attention", "SelfAttention")]
    if not found:
        return "none: what is far apart meets only in the lowest resolution."
    where: dict[str, int] = {}
    for part in found:
        if part.kind == "Attention":
            height, width = part.shape[1:]
            text = f"at {height}×{width} ({height * width} tokens)"
        else:
            text = f"over {part.shape[0]} tokens"
        where[text] = where.get(text, 0) + 1
    listed = ", ".join(f"{count}× {text}" for text, count in where.items())
    return f"{listed}: there every position sees every other, at a cost that grows with tokens²."


def _sight(anatomy: Anatomy) -> str:
    seen = [p for p in anatomy.parts if p.depth == 1 and p.receptive_field]
    if not seen:
        return "everything from the first attention on: a transformer has no convolutions."
    listed = ", ".join(
        f"{p.label} {p.receptive_field}" for p in seen if p.has_parts or p is seen[0]
    )
    return (
        f"pixels on a side that one position sees through convolutions: {listed}. "
        "Normalisation and attention see the whole image besides."
    )


def _half_life(decay: float) -> float:
    from math import log

    return log(0.5) / log(decay)


def _fresh(name: str) -> str:
    if name == "article":
        return "random: nothing is zero-initialised, and the first loss is above 1."
    return (
        "zero: the last layer starts at zero, so training begins from the prediction 0, and so do "
        "the residual branches, which begin as the identity."
    )


def _brightness(study: Study) -> str:
    article = study.article_brightness
    if article is None:
        return "looking at what the network makes of x and of 2x + 1 …"
    said = (
        f"From x to 2x + 1 the output of the article's network changes by {_tiny(article)}: its "
        "first LayerNorm takes the mean and the scale of the image away."
    )
    if study.subject.config.model.name == "article" and not study.weights_of:
        return said
    if study.brightness is not None:
        here = f"Here ({study.weights_of or 'fresh weights'}): {_tiny(study.brightness)}."
    elif study.weights_of:
        here = f"The weights of {study.weights_of} cannot be read."
    else:
        here = "This network says 0 to everything before training."
    return f"{said} {here}"


def _tiny(change: float) -> str:
    """A relative change in per cent: 143 %, 0.00002 %."""
    return (
        f"{100 * change:.0f} %"
        if change >= 0.01
        else f"{100 * change:.1g} %".replace("e-0", "·10^−")
    )


def about(study: Study, tree: Tree) -> str:
    """One line: the size, the cost, the order."""
    anatomy, timing = study.anatomy, study.timing
    if anatomy is None:
        return ""
    whole = anatomy.whole
    parts = [f"{whole.kind}, {whole.parameters:,} parameters", f"{short(whole.macs)} MACs an image"]
    if timing:
        parts.append(f"{1e3 * timing.seconds / timing.images:.2f} ms an image, measured")
    if tree.order != "run":
        parts.append(ORDERS[tree.order])
    return ", ".join(parts)
