"""The keys of the Train view."""

from ddpm_tui.keys.key import Key

KEYS: tuple[Key, ...] = (
    Key("train.pause", "toggle_pause", "space", "Pause", "Pause the training, or go on"),
    Key("train.checkpoint", "checkpoint", "c", "Save", "Save a checkpoint now"),
    Key("train.preview", "preview", "p", "Paint", "Paint a new sample grid now"),
    Key("train.stop", "stop", "x", "Stop", "Save a checkpoint and stop; resume goes on later"),
    Key("train.earlier", "scrub(-1)", "left_square_bracket", "Back", "The sample grid before", "["),
    Key(
        "train.later", "scrub(1)", "right_square_bracket", "", "The sample grid after this one", "]"
    ),
    Key("train.weights", "weights", "e", "EMA/raw", "Samples by the EMA, the raw weights, or both"),
    Key("train.chart", "chart", "v", "Chart", "Loss, gradient norm, learning rate, Fréchet …"),
    Key("train.zoom-in", "zoom(1)", "plus,equals_sign", "", "Chart: half as many steps", "+"),
    Key("train.zoom-out", "zoom(-1)", "minus", "", "Chart: twice as many steps"),
    Key("train.log-y", "log_y", "y", "", "Chart: logarithmic or linear axis"),
    Key("train.left", "move(-1)", "left,h", "", "Chart: cursor back; samples: earlier", "← h"),
    Key("train.right", "move(1)", "right,l", "", "Chart: cursor on; samples: later", "→ l"),
    Key("train.first", "edge(0)", "home,0", "", "Cursor or samples: to the first", "Home 0"),
    Key("train.last", "edge(-1)", "end,dollar_sign", "", "Follow the newest again", "End $"),
    Key("train.up", "scroll_log(-1)", "up,k", "", "Log: a line up", "↑ k"),
    Key("train.down", "scroll_log(1)", "down,j", "", "Log: a line down", "↓ j"),
    Key("train.page-up", "scroll_log(-20)", "pageup", "", "Log: 20 lines up", "PgUp"),
    Key("train.page-down", "scroll_log(20)", "pagedown", "", "Log: 20 lines down", "PgDn"),
    Key("train.full", "full", "f", "Full", "The pane alone; tab chooses another"),
    Key("train.log", "log", "L", "", "The log alone", "L"),
    Key("train.back", "back", "escape", "", "All panes again; no cursor", "esc"),
    Key("train.new", "new", "n", "New", "Train a new run"),
    Key("train.resume", "resume", "r", "Resume", "Go on with this run from its last checkpoint"),
    Key("train.sample", "sample", "s", "Sample", "Draw pictures from this run in the Sample view"),
)
