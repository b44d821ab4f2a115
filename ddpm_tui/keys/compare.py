"""The keys of the comparison of runs."""

from ddpm_tui.keys.key import Key

KEYS: tuple[Key, ...] = (
    Key("compare.back", "back", "escape", "Back", "All panes again; no cursor; back to the runs"),
    Key(
        "compare.full",
        "full",
        "f",
        "Pane",
        "The pane alone; on a small screen, the next one",
    ),
    Key("compare.draw", "draw", "d", "Draw", "Draw from every run with the same seeds"),
    Key("compare.curve", "curve", "v", "Curve", "Loss, or held-out loss of the checkpoints"),
    Key("compare.axis", "axis", "x", "Axis", "Chart: by step, by images seen, or by seconds"),
    Key("compare.save", "save", "w", "Save", "Write the pictures as PNG, the figures as JSON"),
    Key("compare.seed", "seed", "n", "Seed", "Draw with the next seed"),
    Key(
        "compare.settings",
        "settings",
        "o",
        "Sampler",
        "Whose sampler settings: own, or one for all",
    ),
    Key(
        "compare.weights",
        "weights",
        "b",
        "Best/last",
        "Draw from the best checkpoints, or the newest",
    ),
    Key("compare.grids", "grids", "p", "Grids", "The sample grids of the training again"),
    Key("compare.smooth", "smooth", "m", "", "Chart: smoothed, or every step as it was"),
    Key("compare.log-y", "log_y", "y", "", "Chart: logarithmic or linear axis"),
    Key("compare.earlier", "scrub(-1)", "left_square_bracket", "", "Earlier sample grids", "["),
    Key("compare.later", "scrub(1)", "right_square_bracket", "", "Later sample grids", "]"),
    Key("compare.left", "move(-1)", "left,h", "", "Chart: cursor back; table: runs before", "← h"),
    Key("compare.right", "move(1)", "right,l", "", "Chart: cursor on; table: runs after", "→ l"),
    Key("compare.first", "edge(0)", "home,0", "", "Cursor, grids or table: to the first", "Home 0"),
    Key(
        "compare.last", "edge(-1)", "end,dollar_sign", "", "To the last; follow the newest", "End $"
    ),
    Key("compare.up", "scroll_rows(-1)", "up,k", "", "Table: a row up", "↑ k"),
    Key("compare.down", "scroll_rows(1)", "down,j", "", "Table: a row down", "↓ j"),
    Key("compare.page-up", "scroll_rows(-10)", "pageup", "", "Table: ten rows up", "PgUp"),
    Key("compare.page-down", "scroll_rows(10)", "pagedown", "", "Table: ten rows down", "PgDn"),
)
