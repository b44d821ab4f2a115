"""How many colours the terminal shows, and how Textual is told.

OpenSSH does not forward COLORTERM, so over SSH a truecolor terminal usually looks like a
256-colour one. That guess is safe (pictures lose a little, nothing breaks), and ``--color``
overrides it.

Call `apply` before Textual is imported: Textual reads its environment at import. This module
therefore imports neither Textual nor Rich at its top.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, MutableMapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textual.app import App
    from textual.filter import LineFilter


class ColorMode(Enum):
    """What the terminal can show. The values are the words of ``--color``."""

    TRUECOLOR = "truecolor"
    COLOR256 = "256"
    COLOR16 = "16"
    NONE = "none"


AUTO = "auto"
CHOICES = (AUTO, *(mode.value for mode in ColorMode))
"""The words that ``--color`` takes."""

# TERM names (as prefixes) and TERM_PROGRAM names of terminals that have shown 24-bit colour in
# every version still in use. TERM survives SSH; TERM_PROGRAM is there for local sessions.
_TRUECOLOR_TERMS = (
    "alacritty",
    "contour",
    "foot",
    "ghostty",
    "iterm",
    "kitty",
    "mintty",
    "rio",
    "st-",
    "wezterm",
    "xterm-ghostty",
    "xterm-kitty",
)
_TRUECOLOR_PROGRAMS = frozenset(
    {"ghostty", "Hyper", "iTerm.app", "mintty", "rio", "Tabby", "vscode", "WarpTerminal", "WezTerm"}
)
_VTE_WITH_TRUECOLOR = 3600  # VTE 0.36, the library of GNOME Terminal and a dozen others
_NO_COLOR_TERMS = ("dumb", "unknown", "vt1", "vt2")
# The Linux console understands 38;5;n and 38;2;r;g;b, but shows the nearest of 16 colours as ink
# and of 8 as background (vt.c: "err on the dark side"): dark tones would all be black. Better to
# choose among the 16 here. A plain "xterm" is what old clients call themselves that have 256.
_SIXTEEN_COLOR_TERMS = ("linux", "ansi", "cons25", "pcansi")

# What Rich calls them; everything else writes 256 colours.
_SYSTEMS = {ColorMode.TRUECOLOR: "truecolor", ColorMode.COLOR16: "standard"}


def detect(environ: Mapping[str, str], override: str | None = None) -> ColorMode:
    """The colours to use, from the environment and the ``--color`` option.

    Args:
        environ: usually ``os.environ``.
        override: one of `CHOICES`; None is the same as "auto".

    Raises:
        ValueError: if `override` is not one of `CHOICES`.
    """
    if override is not None and override != AUTO:
        try:
            return ColorMode(override)
        except ValueError:
            raise ValueError(
                f"unknown colour mode {override!r}: use one of {', '.join(CHOICES)}"
            ) from None
    if environ.get("NO_COLOR"):  # https://no-color.org: set and not empty
        return ColorMode.NONE

    term = environ.get("TERM", "").lower()
    if not term or term.startswith(_NO_COLOR_TERMS) or term.endswith("-mono"):
        return ColorMode.NONE

    # A multiplexer is the terminal now, and what the environment says about the one around it is
    # stale: a session may be attached from anywhere. tmux turns 24-bit colours into ones that
    # its client has; GNU screen would print garbage for them, whatever COLORTERM it inherited.
    in_tmux = bool(environ.get("TMUX")) or term.startswith("tmux")
    if environ.get("STY") and not in_tmux:
        return ColorMode.COLOR256
    if environ.get("COLORTERM", "").lower() in {"truecolor", "24bit"} or term.endswith("-direct"):
        return ColorMode.TRUECOLOR
    if in_tmux or term.startswith("screen"):
        return ColorMode.COLOR256

    if (
        term.startswith(_TRUECOLOR_TERMS)
        or environ.get("TERM_PROGRAM") in _TRUECOLOR_PROGRAMS
        or environ.get("LC_TERMINAL") == "iTerm2"  # LC_* is what sshd accepts by default
        or environ.get("WT_SESSION")
        or environ.get("KONSOLE_VERSION")
        or _number(environ.get("VTE_VERSION", "")) >= _VTE_WITH_TRUECOLOR
    ):
        return ColorMode.TRUECOLOR
    few = term.startswith(_SIXTEEN_COLOR_TERMS) and not term.endswith("-256color")
    if few or term.endswith(("-16color", "-8color")):
        return ColorMode.COLOR16
    return ColorMode.COLOR256  # *-256color and plain xterm: all parse 38;5;n


def apply(mode: ColorMode, environ: MutableMapping[str, str]) -> None:
    """Set the variables from which Textual and Rich read the colours, in `environ` itself.

    Best before the first import of Textual; before the App is created is early enough.
    """
    for name in ("NO_COLOR", "COLORTERM"):
        environ.pop(name, None)  # Textual takes even an empty NO_COLOR for a yes
    if mode is ColorMode.NONE:
        environ["NO_COLOR"] = "1"
    if mode is ColorMode.TRUECOLOR:
        environ["COLORTERM"] = "truecolor"
    # Under NO_COLOR Textual paints itself in greys; 256 colours have enough of them.
    system = _SYSTEMS.get(mode, "256")
    environ["TEXTUAL_COLOR_SYSTEM"] = system

    constants: Any = sys.modules.get("textual.constants")
    if constants is not None:  # it has read the environment already
        constants.COLOR_SYSTEM = system


def mode_of(app: App[Any]) -> ColorMode:
    """The colours that a running app writes, which is what `apply` asked for."""
    if app.no_color:
        return ColorMode.NONE
    # None means that Rich could not tell; Textual then writes truecolor.
    system = app.console.color_system or "truecolor"
    return next((mode for mode, name in _SYSTEMS.items() if name == system), ColorMode.COLOR256)


def keep_palette(filters: Sequence[LineFilter]) -> list[LineFilter]:
    """`filters` without the one that turns palette colours into 24-bit ones.

    Textual puts ANSIToTruecolor on every line. In 256 colours it undoes the choice of palette
    entry, and in either mode it costs a look-up per cell that overflows its cache. An app drops
    it so::

        class Workbench(App[None]):
            def get_line_filters(self) -> Sequence[LineFilter]:
                return keep_palette(super().get_line_filters())

    Without it ``dim`` reaches the terminal as an attribute instead of as a blended colour.
    """
    from textual.filter import ANSIToTruecolor

    return [line_filter for line_filter in filters if not isinstance(line_filter, ANSIToTruecolor)]


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0
