"""The Sample view: the reverse process as an instrument.

`performer` takes the steps in a thread, only as far as somebody looks; `recording` keeps them,
`playhead` moves over them, `forms` and `painter` ask what to do next, `view` puts it on the screen.
"""

from ddpm_tui.views.sample.view import SampleView

__all__ = ["SampleView"]
