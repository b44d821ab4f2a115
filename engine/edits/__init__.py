"""Controlled generation from a trained run: the interventions, with what there is to see of each.

An edit is a generator, as the reverse process is: it yields the steps as they happen, and returns
a `Sheet` for the files. Picture i of a seed meets the same noise as in `draw_samples`, so what an
edit changed is all that is different.
"""

from engine.edits.common import Edit, Given
from engine.edits.noise import interpolate
from engine.edits.pictures import inpaint, invert, start
from engine.edits.way import branch, renoise, switch

__all__ = [
    "Edit",
    "Given",
    "branch",
    "inpaint",
    "interpolate",
    "invert",
    "renoise",
    "start",
    "switch",
]
