"""The Runs view: ten thousand runs in order.

`listing` knows which rows are shown and marked, `columns` what they say, `run_list` draws those
that can be seen, `details` tells more of one, `prompt` asks, `deeds` does and undoes; `view` puts
it on the screen.
"""

from ddpm_tui.views.runs.view import RunsView

__all__ = ["RunsView"]
