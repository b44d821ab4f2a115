"""One table of keys. Bindings, footer, help and palette are all made from it.

Single letters and named keys only: ctrl+a, ctrl+b, ctrl+s, ctrl+j and ctrl+o belong to tmux,
screen and the shell. Every arrow has its vi letter.
"""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding


@dataclass(frozen=True)
class Key:
    """One action and the keys that call it.

    Attributes:
        view: where it works: `app` is everywhere.
        action: the name of the action method, without `action_`.
        keys: comma-separated, as Textual names them.
        label: one or two words for the footer; empty keeps it out of the footer.
        help: what it does, for the help screen and the palette.
        shown: how the help and the footer write the keys; the first key when empty.
    """

    view: str
    action: str
    keys: str
    label: str
    help: str
    shown: str = ""


KEYS: tuple[Key, ...] = (
    Key("app", "view('runs')", "1", "", "The runs: list, open, resume, export"),
    Key("app", "view('train')", "2", "", "The Train view: loss, samples, devices"),
    Key("app", "view('sample')", "3", "", "The Sample view: the reverse process"),
    Key("app", "view('forward')", "4", "", "The Forward view: noise and its schedule"),
    Key("app", "keys", "question_mark,f1", "Help", "This help", "?"),
    Key("app", "screenshot_file", "f12", "", "Save this screen as an SVG picture"),
    Key("app", "leave", "q", "Quit", "Quit; asks first when a training is going on"),
    Key("runs", "open", "enter", "Open", "Open the run in the Train view"),
    Key("runs", "new", "n", "New", "Train a new run"),
    Key("runs", "resume", "r", "Resume", "Go on with the run from its last checkpoint"),
    Key("runs", "sample", "s", "Sample", "Draw pictures from the run"),
    Key("runs", "export", "e", "Export", "Make a folder of the run to hand on"),
    Key("runs", "cursor('down')", "j", "", "Down; the arrows work too", "j ↓"),
    Key("runs", "cursor('up')", "k", "", "Up", "k ↑"),
    Key("train", "toggle_pause", "space", "Pause", "Pause the training, or go on"),
    Key("train", "checkpoint", "c", "Save", "Save a checkpoint now"),
    Key("train", "preview", "p", "Paint", "Paint a new sample grid now"),
    Key("train", "stop", "x", "Stop", "Save a checkpoint and stop; resume goes on later"),
    Key("train", "log_y", "l", "Log y", "Loss axis: logarithmic or linear"),
    Key("train", "new", "n", "New", "Train a new run"),
    Key("train", "resume", "r", "Resume", "Go on with this run from its last checkpoint"),
    Key("train", "sample", "s", "Sample", "Draw pictures from this run in the Sample view"),
    Key("sample", "draw", "enter,d", "Draw", "Draw pictures with these settings", "d"),
    Key("sample", "cancel", "escape", "", "Stop the drawing that goes on"),
    Key("sample", "toggle_play", "space", "Pause", "Pause, play on, or play again"),
    Key("sample", "scrub(1)", "right,l", "", "One step onward", "→ l"),
    Key("sample", "scrub(-1)", "left,h", "", "One step back", "← h"),
    Key("sample", "scrub(25)", "pagedown,L", "", "25 steps onward", "PgDn L"),
    Key("sample", "scrub(-25)", "pageup,H", "", "25 steps back", "PgUp H"),
    Key("sample", "scrub_to(0)", "home,0", "", "To the first step", "Home 0"),
    Key("sample", "scrub_to(-1)", "end,dollar_sign", "", "To the last step", "End $"),
    Key("sample", "speed(2)", "plus,equals_sign", "", "Twice as many steps a second", "+"),
    Key("sample", "speed(0.5)", "minus", "", "Half as many steps a second", "-"),
    Key("sample", "look", "v", "x_t/x̂_0/ε", "Look at x_t, the predicted x_0 or the noise"),
    Key("sample", "settings", "o", "Settings", "Choose run, checkpoint, sampler, number, seed"),
    Key("sample", "save", "w", "Save", "Write the grid as PNG and the process as GIF"),
    Key("forward", "move(1)", "right,l", "", "t + 1", "→ l"),
    Key("forward", "move(-1)", "left,h", "", "t − 1", "← h"),
    Key("forward", "move(25)", "pagedown,L", "", "t + 25", "PgDn L"),
    Key("forward", "move(-25)", "pageup,H", "", "t − 25", "PgUp H"),
    Key("forward", "jump('start')", "home,0", "", "The originals", "Home 0"),
    Key("forward", "jump('end')", "end,dollar_sign", "", "Pure noise, t = T − 1", "End $"),
    Key("forward", "schedule", "b", "Schedule", "Linear or cosine noise schedule"),
    Key("forward", "curve", "v", "β/ᾱ/SNR", "Which curve is drawn, where only one fits"),
    Key("forward", "strip", "f", "25–100 %", "The article's strip: 25, 50, 75 and 100 %"),
    Key("forward", "dataset", "o", "Data", "The next data set on this machine"),
    Key("forward", "save", "w", "Save", "Write the strip as PNG and the process as GIF"),
)

VIEW_TITLES = {"app": "Everywhere", "runs": "Runs", "train": "Train", "sample": "Sample"}
VIEW_TITLES["forward"] = "Forward"

_DISPLAY = {"question_mark": "?", "space": "space", "enter": "⏎", "escape": "esc"}


def display(key: Key) -> str:
    """How a person reads the keys of an action."""
    first = key.keys.split(",")[0]
    return key.shown or _DISPLAY.get(first, first)


def bindings(view: str) -> list[Binding]:
    """The bindings of a view, for its BINDINGS."""
    return [
        Binding(key.keys, key.action, key.label or key.help, show=bool(key.label),
                key_display=display(key), tooltip=key.help)
        for key in KEYS
        if key.view == view
    ]  # fmt: skip
