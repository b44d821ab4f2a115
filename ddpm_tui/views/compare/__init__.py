"""Several runs beside one another."""

from ddpm_tui.views.compare.view import CompareView

__all__ = ["CompareView"]
