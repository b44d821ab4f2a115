"""The keys of the Runs view."""

from ddpm_tui.keys.key import Key

KEYS: tuple[Key, ...] = (
    Key("runs.open", "open", "enter", "Open", "Open the run in the Train view"),
    Key("runs.new", "new", "n", "New", "Train a new run"),
    Key("runs.resume", "resume", "r", "Resume", "Go on with the run from its last checkpoint"),
    Key("runs.sample", "sample", "s", "Sample", "Draw pictures from the run"),
    Key("runs.compare", "compare", "c", "Compare", "Set the marked runs beside one another"),
    Key("runs.export", "export", "e", "Export", "Make a folder of the run to hand on"),
    Key("runs.down", "cursor('down')", "j", "", "Down; the arrows work too", "j ↓"),
    Key("runs.up", "cursor('up')", "k", "", "Up", "k ↑"),
)
