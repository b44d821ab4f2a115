"""The keys of the Forward view."""

from ddpm_tui.keys.key import Key

KEYS: tuple[Key, ...] = (
    Key("forward.later", "move(1)", "right,l", "", "t + 1", "→ l"),
    Key("forward.earlier", "move(-1)", "left,h", "", "t − 1", "← h"),
    Key("forward.later-25", "move(25)", "pagedown,L", "", "t + 25", "PgDn L"),
    Key("forward.earlier-25", "move(-25)", "pageup,H", "", "t − 25", "PgUp H"),
    Key("forward.first", "jump('start')", "home,0", "", "The originals", "Home 0"),
    Key("forward.last", "jump('end')", "end,dollar_sign", "", "Pure noise, t = T − 1", "End $"),
    Key("forward.schedule", "schedule", "b", "Schedule", "Linear or cosine noise schedule"),
    Key("forward.curve", "curve", "v", "β/ᾱ/SNR", "Which curve is drawn, where only one fits"),
    Key("forward.strip", "strip", "f", "25–100 %", "The article's strip: 25, 50, 75 and 100 %"),
    Key("forward.dataset", "dataset", "o", "Data", "The next data set on this machine"),
    Key("forward.save", "save", "w", "Save", "Write the strip as PNG and the process as GIF"),
)
