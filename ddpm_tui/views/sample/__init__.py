"""The Sample view: the reverse process as an instrument.

`performer` takes the steps in a thread, only as far as somebody looks; `recording` keeps them,
`playhead` moves over them, `forms` and `painter` ask what to do next. The view is one class in five
parts: `looking` at a take, `performing` takes, giving them `turns`, `keeping` what comes out, and
`view`, which reads the runs and lays it all out.
"""

from ddpm_tui.views.sample.view import SampleView

__all__ = ["SampleView"]
