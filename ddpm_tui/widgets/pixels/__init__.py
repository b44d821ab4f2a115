"""Pictures in a terminal: a grid of equal images drawn with half blocks.

A cell shows two pixels, one above the other: "▀" with the upper pixel as its foreground and the
lower one as its background. Cells are about twice as high as wide, so pixels come out square.

From images to the wire:

1. `layout` decides how many images are seen, at which scale, and which part of a large one.
2. `colors` turns pixels into colours that the terminal has (quantised, so that styles repeat),
   and `cells` two of them into a cell; without colour, `ink` finds a character.
3. `grid.PixelGrid` has the whole content as one array of cells; comparing it with the previous
   one tells which rows changed, and only those are refreshed. An unchanged frame costs no byte.
4. `strips.TerseStrip` writes a row with as few escape sequences as it can.
"""

from ddpm_tui.widgets.pixels.cells import HALF_BLOCK
from ddpm_tui.widgets.pixels.grid import PixelGrid
from ddpm_tui.widgets.pixels.ink import ASCII_RAMP
from ddpm_tui.widgets.pixels.layout import Layout, Sight, layout

__all__ = ["ASCII_RAMP", "HALF_BLOCK", "Layout", "PixelGrid", "Sight", "layout"]
