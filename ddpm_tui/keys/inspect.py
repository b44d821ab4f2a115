"""The keys of the Inspect view."""

from ddpm_tui.keys.key import Key

KEYS: tuple[Key, ...] = (
    Key("inspect.next", "turn(1)", "right,l", "Page", "The next page", "→ l"),
    Key("inspect.previous", "turn(-1)", "left,h", "", "The page before", "← h"),
    Key("inspect.down", "move(1)", "down,j", "", "Down a row", "↓ j"),
    Key("inspect.up", "move(-1)", "up,k", "", "Up a row", "↑ k"),
    Key("inspect.page-down", "screenful(1)", "pagedown,space", "", "Down a screen", "PgDn"),
    Key("inspect.page-up", "screenful(-1)", "pageup,b", "", "Up a screen", "PgUp"),
    Key("inspect.first", "end('first')", "home,0", "", "The first row", "Home 0"),
    Key("inspect.last", "end('last')", "end,dollar_sign", "", "The last row", "End $"),
    Key("inspect.open", "open", "enter", "Open", "Network: show or hide what is inside a part"),
    Key("inspect.open-all", "open_all", "e", "All", "Network: show or hide all parts"),
    Key("inspect.order", "order", "s", "Sort", "Network: sort the parts by what they cost"),
    Key("inspect.go-to", "go_to", "g", "Go to t", "Schedule: go to a timestep by its number"),
    Key("inspect.preset", "preset", "p", "Preset", "The run, the article's preset, the default's"),
    Key("inspect.run", "run", "o", "Run", "Choose another run"),
)
