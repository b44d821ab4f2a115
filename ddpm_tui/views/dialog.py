"""What all dialogs share: a frame that fits into every screen, with what matters most in sight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, TypeVar

from rich.cells import cell_len
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.geometry import Size
from textual.layout import ArrangeResult, Layout, WidgetPlacement
from textual.layouts.vertical import VerticalLayout
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button, OptionList, Static

from ddpm_tui.sanitize import clean
from ddpm_tui.views.going_on import AnswersOnce

_T = TypeVar("_T")
# Children with this class give way where there is no room for all.
BODY = "body"
_LEAST = 2  # rows that a body keeps
_CORNERS = 6  # cells of an edge of the frame where no keys can stand


class _Shrinking(VerticalLayout):
    """One below the other; where that is too high, bodies are lower than their content."""

    def arrange(
        self, parent: Widget, children: list[Widget], size: Size, greedy: bool = True
    ) -> ArrangeResult:
        placements = list(super().arrange(parent, children, size, greedy=greedy))
        # Without a height only the content is measured.
        if not placements or not size.height:
            return placements
        last = placements[-1]
        missing = last.region.bottom + last.margin.bottom - size.height
        fitted: list[WidgetPlacement] = []
        up = 0
        for placement in placements:
            region = placement.region.translate((0, -up))
            if placement.widget.has_class(BODY):
                taken = max(min(missing - up, region.height - _LEAST), 0)
                region, up = region.shrink((0, 0, taken, 0)), up + taken
            fitted.append(placement._replace(region=region))
        return fitted


class Shrinking(Vertical):
    """Holds its children one below the other. Those of the class `body` shrink, and scroll, where
    there is no room for all."""

    DEFAULT_CSS = "Shrinking { height: auto; }"

    @property
    def layout(self) -> Layout:
        return _SHRINKING


_SHRINKING = _Shrinking()


class Body(VerticalScroll, can_focus=False, inherit_bindings=False):
    """Scrolls with the focus, so that up and down are free to move it."""

    DEFAULT_CSS = "Body { height: auto; scrollbar-size-vertical: 1; }"

    def __init__(self, *children: Widget, id: str | None = None) -> None:
        super().__init__(*children, id=id, classes=BODY)

    def on_resize(self) -> None:
        """The field that has the focus stays in sight when the screen, or what is said below,
        takes the room."""
        focused = self.screen.focused
        if focused is not None and self in focused.ancestors:
            self.scroll_to_widget(focused, animate=False)


class Problem(Static):
    """What is wrong; it takes no room while nothing is."""

    DEFAULT_CSS = "Problem { height: auto; color: $text-error; }"

    def __init__(self) -> None:
        super().__init__("", id="problem", markup=False)
        self.display = False

    def say(self, problem: str) -> None:
        """Show it; empty when nothing is wrong."""
        self.update(clean(problem))
        self.display = bool(problem)


class Dialog(Shrinking):
    """The frame of a dialog.

    Args:
        title: on its upper edge.
        keys: on its lower edge, what they do; where it is narrow the first and the last stay.
    """

    def __init__(self, title: str, keys: Sequence[str] = (), *, classes: str = "") -> None:
        super().__init__(classes=f"dialog {classes}".strip())
        self.border_title = title
        self._keys = tuple(keys)

    def on_resize(self) -> None:
        keys = list(self._keys)
        while len(keys) > 2 and cell_len(" · ".join(keys)) > self.outer_size.width - _CORNERS:
            del keys[-2]
        self.border_subtitle = " · ".join(keys)


class Buttons(Horizontal):
    """The row of buttons below a form: left and right go along it, up and down leave it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "go_along(-1)", "Button to the left", show=False),
        Binding("right", "go_along(1)", "Button to the right", show=False),
        Binding("up", "leave(-1)", "Last field", show=False),
        Binding("down", "leave(1)", "First field", show=False),
    ]

    def __init__(self, *buttons: Button) -> None:
        super().__init__(*buttons, classes="buttons")

    def action_go_along(self, step: int) -> None:
        buttons = [each for each in self.children if each.focusable]
        at = next(i for i, each in enumerate(buttons) if each.has_focus) + step
        if 0 <= at < len(buttons):
            buttons[at].focus()

    def action_leave(self, step: int) -> None:
        fields = [each for each in self.screen.focus_chain if each not in self.children]
        if fields:
            fields[-1 if step < 0 else 0].focus()


class DialogScreen(AnswersOnce, ModalScreen[_T]):
    """A dialog over a view. Its classes say how much room there is.

    `-tiny` and `-short` leave out what is not needed to answer, `-narrow` has no column of notes.
    """

    # As in View.
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (80, "-normal")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (18, "-short"), (30, "-tall")]  # noqa: RUF012


class Options(OptionList):
    """A list to choose from; what is highlighted stays in sight when there is less room."""

    DEFAULT_CSS = """
    Options { height: auto; max-height: 100%; border: none; background: $surface; padding: 0; }
    Options:focus { border: none; }
    """

    def __init__(self) -> None:
        super().__init__(classes=BODY, markup=False)

    def on_resize(self) -> None:
        self.scroll_to_highlight()
