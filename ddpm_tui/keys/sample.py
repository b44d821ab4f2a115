"""The keys of the Sample view."""

from ddpm_tui.keys.key import Key

KEYS: tuple[Key, ...] = (
    Key("sample.draw", "draw", "enter,d", "Draw", "Draw pictures with these settings", "d"),
    Key("sample.cancel", "cancel", "escape", "", "Stop the drawing that goes on"),
    Key("sample.play", "toggle_play", "space", "Pause", "Pause, play on, or play again"),
    Key("sample.forward", "scrub(1)", "right,l", "", "One step onward", "→ l"),
    Key("sample.back", "scrub(-1)", "left,h", "", "One step back", "← h"),
    Key("sample.forward-25", "scrub(25)", "pagedown,L", "", "25 steps onward", "PgDn L"),
    Key("sample.back-25", "scrub(-25)", "pageup,H", "", "25 steps back", "PgUp H"),
    Key("sample.first", "scrub_to(0)", "home,0", "", "To the first step", "Home 0"),
    Key("sample.last", "scrub_to(-1)", "end,dollar_sign", "", "To the last step", "End $"),
    Key("sample.faster", "speed(2)", "plus,equals_sign", "", "Twice as many steps a second", "+"),
    Key("sample.slower", "speed(0.5)", "minus", "", "Half as many steps a second", "-"),
    Key("sample.look", "look", "v", "x_t/x̂_0/ε", "Look at x_t, the predicted x_0 or the noise"),
    Key(
        "sample.settings",
        "settings",
        "o",
        "Settings",
        "Choose run, checkpoint, sampler, number and seed",
    ),
    Key("sample.save", "save", "w", "Save", "Write the grid as PNG and the process as GIF"),
)
