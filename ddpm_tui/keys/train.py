"""The keys of the Train view."""

from ddpm_tui.keys.key import Key

KEYS: tuple[Key, ...] = (
    Key("train.pause", "toggle_pause", "space", "Pause", "Pause the training, or go on"),
    Key("train.checkpoint", "checkpoint", "c", "Save", "Save a checkpoint now"),
    Key("train.preview", "preview", "p", "Paint", "Paint a new sample grid now"),
    Key("train.stop", "stop", "x", "Stop", "Save a checkpoint and stop; resume goes on later"),
    Key("train.log-y", "log_y", "l", "Log y", "Loss axis: logarithmic or linear"),
    Key("train.new", "new", "n", "New", "Train a new run"),
    Key("train.resume", "resume", "r", "Resume", "Go on with this run from its last checkpoint"),
    Key("train.sample", "sample", "s", "Sample", "Draw pictures from this run in the Sample view"),
)
