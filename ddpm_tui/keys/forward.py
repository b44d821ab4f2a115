"""The keys of the Forward view."""

from ddpm_tui.keys.key import Key

KEYS: tuple[Key, ...] = (
    Key("forward.later", "move(1)", "right,l", "", "t + 1", "→ l"),
    Key("forward.earlier", "move(-1)", "left,h", "", "t − 1", "← h"),
    Key("forward.later-25", "move(25)", "pagedown,L", "", "t + 25", "PgDn L"),
    Key("forward.earlier-25", "move(-25)", "pageup,H", "", "t − 25", "PgUp H"),
    Key("forward.first", "jump('start')", "home,0", "", "The originals", "Home 0"),
    Key("forward.last", "jump('end')", "end,dollar_sign", "", "Pure noise, t = T − 1", "End $"),
    Key("forward.next", "page(1)", "down,j", "", "The images after these, where few fit", "↓ j"),
    Key("forward.previous", "page(-1)", "up,k", "", "The images before these", "↑ k"),
    Key("forward.schedule", "cycle('a')", "b", "A", "The next noise schedule for A"),
    Key("forward.other", "cycle('b')", "B", "B", "The next noise schedule for B"),
    Key("forward.swap", "swap", "x", "Swap", "Exchange A and B"),
    Key("forward.align", "align", "e", "Align", "A and B at the same t, or at equal SNR"),
    Key("forward.denoise", "denoise", "d", "Denoise", "What a trained network makes of x_t"),
    Key("forward.run", "run", "r", "Run", "Choose the run and the checkpoint that look"),
    Key("forward.told", "told", "c", "Class", "Tell the network the class of each image, or not"),
    Key("forward.curve", "curve", "v", "Curve", "Which curve is drawn, where only one fits"),
    Key("forward.strip", "strip", "f", "25–100 %", "The article's strip of A: 25 to 100 %"),
    Key("forward.large", "large", "z", "Large", "The images without the curves"),
    Key("forward.schedules", "schedules", "s", "Form", "Any two schedules, also of runs"),
    Key("forward.dataset", "dataset", "o", "Data", "The next data set on this machine"),
    Key("forward.save", "save", "w", "Save", "Write what is shown as PNG, and all t as GIF"),
)
