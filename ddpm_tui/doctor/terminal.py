"""The terminal, as its environment tells: nothing is written to it, so pipes are fine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ddpm_tui.color import ColorMode, detect
from ddpm_tui.terminal.multiplexer import multiplexed
from engine.doctor.finding import Finding

GROUP = "terminal"

_COLUMNS, _LINES = 80, 24
_WORDS = {
    ColorMode.TRUECOLOR: "truecolor",
    ColorMode.COLOR256: "256",
    ColorMode.COLOR16: "16",
    ColorMode.NONE: "none",
}
# What `detect` decides by, as far as it is set.
_TELLING = (
    *("NO_COLOR", "TERM", "COLORTERM", "TMUX", "STY", "TERM_PROGRAM", "LC_TERMINAL"),
    *("WT_SESSION", "KONSOLE_VERSION", "VTE_VERSION"),
)
_UNSHOWN = frozenset(
    {"TMUX", "STY", "WT_SESSION"}
)  # a socket or an id, of which being set says all
_GRAPHICS = ("ghostty", "kitty", "wezterm", "xterm-ghostty", "xterm-kitty", "konsole")


def terminal(environ: Mapping[str, str], size: tuple[int, int] | None) -> Iterator[Finding]:
    """Findings for the size, colours, graphics, multiplexer, characters and the way here.

    Args:
        environ: usually `os.environ`.
        size: columns and lines; None where the output is no terminal.
    """
    yield _size(size)
    yield _colors(environ)
    yield _graphics(environ)
    if multiplexed(environ):
        yield _multiplexer(environ)
    yield _characters(environ)
    yield _link(environ)


def _size(size: tuple[int, int] | None) -> Finding:
    if size is None:
        return Finding(GROUP, "size", "ok", "no terminal: the output goes elsewhere")
    columns, lines = size
    found = f"{columns} × {lines}"
    if columns < _COLUMNS or lines < _LINES:
        fix = f"Make the window larger: from {_COLUMNS} × {_LINES} on the views show all they have."
        return Finding(GROUP, "size", "note", found, fix)
    return Finding(GROUP, "size", "ok", found)


def _colors(environ: Mapping[str, str]) -> Finding:
    mode = detect(environ)
    because = ", ".join(
        name if name in _UNSHOWN else f"{name}={environ[name]}"
        for name in _TELLING
        if environ.get(name)
    )
    found = f"{_WORDS[mode]}, by {because}" if because else f"{_WORDS[mode]}, since TERM is not set"
    if mode is ColorMode.TRUECOLOR:
        return Finding(GROUP, "colours", "ok", found)
    if environ.get("NO_COLOR"):
        return Finding(GROUP, "colours", "note", found, "Pictures are in greys; `unset NO_COLOR`")
    if multiplexed(environ) and mode is ColorMode.COLOR256:
        fix = "If the terminal around it has truecolor: see the multiplexer below."
    elif mode is ColorMode.NONE:
        fix = "Pictures are in greys; say what the terminal is: `export TERM=xterm-256color`"
    else:
        fix = (
            "If this terminal has truecolor: `export COLORTERM=truecolor`, which ssh does not "
            "forward, or start with `--color truecolor`."
        )
    return Finding(GROUP, "colours", "note", found, fix)


def _graphics(environ: Mapping[str, str]) -> Finding:
    if multiplexed(environ):
        found = "none within tmux and screen: pictures are half blocks"
        fix = "Only for pictures in pixels: start the workbench outside of it."
        return Finding(GROUP, "graphics", "note", found, fix)
    term = environ.get("TERM", "").lower()
    program = environ.get("TERM_PROGRAM", "").lower()
    if (
        term.startswith(_GRAPHICS)
        or program in ("ghostty", "wezterm")
        or environ.get("KONSOLE_VERSION")
    ):
        found = "kitty's protocol, by its name: K shows pictures in pixels"
    else:
        found = "not known to have kitty's protocol; K in a view asks the terminal itself"
    return Finding(GROUP, "graphics", "ok", found)


def _multiplexer(environ: Mapping[str, str]) -> Finding:
    if environ.get("TMUX") or environ.get("TERM", "").startswith("tmux"):
        if detect(environ) is ColorMode.TRUECOLOR:
            return Finding(GROUP, "multiplexer", "ok", "tmux, told of truecolor")
        fix = (
            'In ~/.tmux.conf: `set -g default-terminal "tmux-256color"` and `set -as '
            'terminal-features ",*:RGB"`; then `export COLORTERM=truecolor` in the shell.'
        )
        return Finding(GROUP, "multiplexer", "note", "tmux, in 256 colours", fix)
    fix = "Use tmux, which passes truecolor on; screen has 256 colours."
    return Finding(GROUP, "multiplexer", "note", "GNU screen", fix)


def _characters(environ: Mapping[str, str]) -> Finding:
    name = next((n for n in ("LC_ALL", "LC_CTYPE", "LANG") if environ.get(n)), None)
    value = environ[name] if name else ""
    found = f"{name}={value}" if name else "neither LC_ALL, LC_CTYPE nor LANG is set"
    if value.lower().replace("-", "").endswith("utf8"):
        return Finding(GROUP, "characters", "ok", f"UTF-8, by {found}")
    fix = "If pictures and frames look broken: `export LC_ALL=C.UTF-8`"
    return Finding(GROUP, "characters", "note", f"not said to be UTF-8: {found}", fix)


def _link(environ: Mapping[str, str]) -> Finding:
    client = environ.get("SSH_CONNECTION", "").split(" ")[0]
    if not client:
        way = "over SSH" if environ.get("SSH_TTY") or environ.get("SSH_CLIENT") else "local"
        return Finding(GROUP, "link", "ok", way)
    return Finding(GROUP, "link", "ok", f"over SSH from {client}")
