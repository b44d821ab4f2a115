"""The keys of the Runs view."""

from ddpm_tui.keys.key import Key

KEYS: tuple[Key, ...] = (
    Key("runs.open", "open", "enter", "Open", "Open the run in the Train view"),
    Key("runs.new", "new", "n", "New", "Train a new run"),
    Key("runs.filter", "filter", "slash", "Filter", "List only some: words, key:value"),
    Key("runs.mark", "mark", "space", "Mark", "Mark the run, for what is done to several"),
    Key("runs.mark-all", "mark_all", "A", "", "Mark all that are listed, or none"),
    Key("runs.resume", "resume", "r", "Resume", "Go on with the run from its last checkpoint"),
    Key("runs.sample", "sample", "s", "Sample", "Draw pictures from the run"),
    Key("runs.compare", "compare", "c", "Compare", "Set the marked runs beside one another"),
    Key("runs.export", "export", "e", "Export", "Make a folder of the run to hand on"),
    Key("runs.sort", "sort", "o", "Sort", "List by the next column"),
    Key("runs.turn", "turn", "O", "", "The order the other way round"),
    Key("runs.tag", "tag", "t", "Tag", "Give the run or the marked ones tags, or take them away"),
    Key("runs.note", "note", "m", "Note", "Note something about the run"),
    Key("runs.rename", "rename", "R", "", "Give the run another name"),
    Key("runs.archive", "archive", "a", "Archive", "Out of the list, or back into it; also marked"),
    Key("runs.archived", "archived", "v", "", "List the archived runs as well, or not"),
    Key("runs.delete", "delete", "d,delete", "Delete", "Move to the trash; also what is marked"),
    Key("runs.undo", "undo", "u", "Undo", "Undo what was done to runs last; again: what before"),
    Key("runs.clear", "clear", "escape", "", "No filter; then no marks"),
    Key("runs.down", "move(1)", "down,j", "", "Down", "↓ j"),
    Key("runs.up", "move(-1)", "up,k", "", "Up", "↑ k"),
    Key("runs.page-down", "page(1)", "pagedown", "", "A page down", "PgDn"),
    Key("runs.page-up", "page(-1)", "pageup", "", "A page up", "PgUp"),
    Key("runs.first", "edge(0)", "home,g", "", "To the first run", "Home g"),
    Key("runs.last", "edge(-1)", "end,G", "", "To the last run", "End G"),
)
