"""The keys that work everywhere."""

from ddpm_tui.keys.key import Key

KEYS: tuple[Key, ...] = (
    Key("app.runs", "view('runs')", "1", "", "The runs: list, open, resume, export"),
    Key("app.train", "view('train')", "2", "", "The Train view: loss, samples, devices"),
    Key("app.sample", "view('sample')", "3", "", "The Sample view: the reverse process"),
    Key("app.forward", "view('forward')", "4", "", "The Forward view: noise and its schedule"),
    Key("app.inspect", "view('inspect')", "5", "", "The Inspect view: what a run is made of"),
    Key("app.keys", "keys", "question_mark,f1", "Help", "This help", "?"),
    Key("app.jump", "jump", "semicolon", "Jump", "A letter on every pane: go there, or enlarge it"),
    Key("app.graphics", "graphics", "K", "", "Pictures in the terminal's own pixels, or in blocks"),
    Key("app.screenshot", "screenshot_file", "f12", "", "Save this screen as an SVG and a PNG"),
    Key("app.leave", "leave", "q", "Quit", "Quit; asks first when a training is going on"),
)
