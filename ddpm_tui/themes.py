"""The colours of the workbench: dark, light, and as much contrast as there is.

The grey of text and borders is `foreground` with an alpha in the widgets' own CSS, so a theme is
these few colours. Textual's own themes are in the palette beside them.
"""

from __future__ import annotations

from textual.theme import Theme

DARK = Theme(
    name="workbench",
    primary="#7aa2f7",
    secondary="#9d7cd8",
    accent="#e0af68",
    warning="#e0af68",
    error="#f7768e",
    success="#9ece6a",
    foreground="#c8d0e0",
    background="#101218",
    surface="#191c24",
    panel="#20242e",
    dark=True,
)
LIGHT = Theme(
    name="paper",
    primary="#2456b8",
    secondary="#6f42a8",
    accent="#8a5300",
    warning="#8a5300",
    error="#b3153c",
    success="#2e6b12",
    foreground="#22262e",
    background="#f6f4ee",
    surface="#ece9e0",
    panel="#dedacf",
    dark=False,
)
CONTRAST = Theme(
    name="contrast",
    primary="#5fd7ff",
    secondary="#d7afff",
    accent="#ffff00",
    warning="#ffff00",
    error="#ff8787",
    success="#5fff5f",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#303030",
    dark=True,
)
OWN = (DARK, LIGHT, CONTRAST)
