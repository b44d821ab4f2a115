"""The pages of the Inspect view: which there are, and what each puts on the sheet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ddpm_tui.inspection import (
    embedding,
    environment,
    forward,
    network,
    reverse,
    schedule,
    settings,
)
from ddpm_tui.inspection.network import Tree
from ddpm_tui.inspection.rows import Row, Rows
from ddpm_tui.inspection.study import Study


@dataclass(frozen=True)
class Look:
    """How the pages are looked at.

    Attributes:
        tree: of the network.
        forward_key: the key of the Forward view.
    """

    tree: Tree = field(default_factory=Tree)
    forward_key: str = ""


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        name: of it in the style sheet.
        title: a word.
        rows: for a width.
        about: one line on what is looked at.
        heading: the row that stays on top.
        cursor: whether a row can be chosen.
        waits_for: what is being done while there are no rows.
    """

    name: str
    title: str
    rows: Callable[[Study, int, Look], Rows]
    about: Callable[[Study, Look], str]
    heading: Callable[[Study, int, Look], Row] | None = None
    cursor: bool = False
    waits_for: str = "Loading torch and working it out …"


PAGES: tuple[Page, ...] = (
    Page(
        "forward",
        "Forward",
        lambda study, width, look: forward.rows(study, width, look.forward_key),
        lambda study, _: forward.about(study),
    ),
    Page(
        "schedule",
        "Schedule",
        lambda study, width, _: schedule.rows(study, width),
        lambda study, _: schedule.about(study),
        lambda study, width, _: schedule.header(study, width),
        cursor=True,
    ),
    Page(
        "embedding",
        "Embedding",
        lambda study, width, _: embedding.rows(study, width),
        lambda study, _: embedding.about(study),
    ),
    Page(
        "network",
        "Network",
        lambda study, width, look: network.rows(study, width, look.tree),
        lambda study, look: network.about(study, look.tree),
        lambda study, width, look: network.header(study, width, look.tree),
        cursor=True,
        waits_for="Loading torch and taking the network apart …",
    ),
    Page(
        "reverse",
        "Reverse",
        lambda study, width, _: reverse.rows(study, width),
        lambda study, _: reverse.about(study),
    ),
    Page(
        "config",
        "Config",
        lambda study, width, _: settings.rows(study, width),
        lambda study, _: settings.about(study),
    ),
    Page(
        "environment",
        "Env",
        lambda study, width, _: environment.rows(study, width),
        lambda study, _: environment.about(study),
        waits_for="Reading the folder …",
    ),
)
