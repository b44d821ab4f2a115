"""Screens and the app go on after an exception in one of their handlers.

Textual ends the message loop of whatever raised, or does not begin it. A screen without its loop is
stuck for ever, and with the app's the training in its worker thread would be lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from textual.await_complete import AwaitComplete
from textual.command import CommandPalette
from textual.message_pump import MessagePump
from textual.screen import Screen

if TYPE_CHECKING:
    from ddpm_tui.app import Workbench


class GoingOn(MessagePump):
    """Begins its message loop, and begins it again, as long as the app goes on."""

    async def _pre_process(self) -> bool:
        if await super()._pre_process():
            return True
        goes_on = cast("Workbench", self.app).goes_on
        if goes_on:
            self._go_on_half_made()
        return goes_on

    def _go_on_half_made(self) -> None:
        """What to do with what raised while it was composed or mounted."""

    async def _process_messages_loop(self) -> None:
        while True:
            await super()._process_messages_loop()
            # Ended by its closing, not by an exception.
            if self._closed or self._closing or not cast("Workbench", self.app).goes_on:
                return


class AnswersOnce(GoingOn):
    """A dialog that gives one answer, and none where it could not be opened.

    A second enter may be on its way to it when the first one closes it. Textual would call back
    again, so that a run is made twice, and close the screen below. Under another dialog it would
    close that one.
    """

    def dismiss(self, result: Any = None) -> AwaitComplete:
        screen = cast("Screen[Any]", self)
        # `is_current` would also be true of what can be seen behind a dialog.
        on_top = self.app.screen_stack[-1:] == [screen]
        return Screen.dismiss(screen, result) if on_top else AwaitComplete()

    def _go_on_half_made(self) -> None:
        def close() -> None:
            self.dismiss()

        # The app may still wait for it to be there.
        self.app.call_later(close)


class Palette(AnswersOnce, CommandPalette):
    """The command palette."""

    DEFAULT_CSS = "Palette.-tiny > Vertical { margin-top: 0; }"
    # As in the other dialogs.
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (18, "-short")]  # noqa: RUF012
