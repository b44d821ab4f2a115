"""The Inspect view: what a run is made of, a page for each component."""

from ddpm_tui.views.inspect.view import InspectView

__all__ = ["InspectView"]
