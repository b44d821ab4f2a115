"""The Forward view: real images on their way into noise, and what a network sees through it.

`images` loads what is shown, `schedules` knows the noise schedules A and B, `prober` asks a trained
network in a thread, `charts` and `columns` are the panes, `texts` the lines of figures, `dialogs`
ask for schedules and networks, `view` puts it on the screen.
"""

from ddpm_tui.views.forward.view import ForwardView

__all__ = ["ForwardView"]
