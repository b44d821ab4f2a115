"""The Train view: one run, live, and keys to steer it."""

from ddpm_tui.views.train.facts import Facts
from ddpm_tui.views.train.view import TrainView

__all__ = ["Facts", "TrainView"]
