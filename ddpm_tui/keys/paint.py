"""The keys of painting a mask."""

from ddpm_tui.keys.key import Key

KEYS: tuple[Key, ...] = (
    Key("paint.left", "move(-1,0)", "left,h", "", "The cursor to the left", "← h"),
    Key("paint.right", "move(1,0)", "right,l", "", "The cursor to the right", "→ l"),
    Key("paint.up", "move(0,-1)", "up,k", "", "The cursor up", "↑ k"),
    Key("paint.down", "move(0,1)", "down,j", "", "The cursor down", "↓ j"),
    Key("paint.stroke-left", "stroke(-1,0)", "shift+left,H", "", "Mark to the left", "⇧← H"),
    Key("paint.stroke-right", "stroke(1,0)", "shift+right,L", "", "Mark to the right", "⇧→ L"),
    Key("paint.stroke-up", "stroke(0,-1)", "shift+up,U", "", "Mark upwards", "⇧↑ U"),
    Key("paint.stroke-down", "stroke(0,1)", "shift+down,J", "", "Mark downwards", "⇧↓ J"),
    Key("paint.mark", "mark", "space", "Mark", "Mark what is under the brush, or take it back"),
    Key("paint.rectangle", "rectangle", "r", "Rectangle", "One corner, then the other"),
    Key("paint.brush", "brush", "b", "Brush", "The next size of the brush"),
    Key("paint.invert", "invert", "i", "Invert", "Mark what is not marked, and the reverse"),
    Key("paint.clear", "clear", "c", "Clear", "Take every mark back"),
    Key("paint.more", "copies(1)", "plus,equals_sign", "", "One result more", "+"),
    Key("paint.fewer", "copies(-1)", "minus", "", "One result fewer", "-"),
    Key("paint.paint", "paint", "enter", "Paint", "Paint anew what is marked"),
    Key("paint.back", "dismiss(None)", "escape", "Back", "Back without painting"),
)
