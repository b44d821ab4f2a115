"""The keys of pictures, the same in every view that has panes of them."""

from ddpm_tui.keys.key import Key

HOSTS = ("train", "sample", "forward", "compare")

KEYS: tuple[Key, ...] = (
    Key("pictures.larger", "zoom_pictures(1)", "greater_than_sign", "", "Pictures: larger"),
    Key("pictures.smaller", "zoom_pictures(-1)", "less_than_sign", "", "Pictures: smaller"),
    Key("pictures.next", "turn_pictures(1)", "right_curly_bracket", "", "Pictures: the next page"),
    Key("pictures.back", "turn_pictures(-1)", "left_curly_bracket", "", "Pictures: a page back"),
    Key("pictures.left", "pan_pictures(-1,0)", "shift+left", "", "A large picture: its left"),
    Key("pictures.right", "pan_pictures(1,0)", "shift+right", "", "A large picture: its right"),
    Key("pictures.up", "pan_pictures(0,-1)", "shift+up", "", "A large picture: its upper part"),
    Key("pictures.down", "pan_pictures(0,1)", "shift+down", "", "A large picture: its lower part"),
    Key("pictures.whole", "whole_pictures", "Z", "", "Pictures: whole again, as large as fits"),
)
