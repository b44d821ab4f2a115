"""Screens and the app go on after an exception in one of their handlers.

Textual ends the message loop of whatever raised. A screen without its loop is stuck for ever, and
with the app's the training in its worker thread would be lost.
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
    """Begins its message loop again as long as the app goes on."""

    async def _process_messages_loop(self) -> None:
        while True:
            await super()._process_messages_loop()
            # Ended by its closing, not by an exception.
            if self._closed or self._closing or not cast("Workbench", self.app).goes_on:
                return


class AnswersOnce(GoingOn):
    """A dialog that gives one answer.

    A second enter may be on its way to it when the first one closes it. Textual would call back
    again, so that a run is made twice, and close the screen below.
    """

    def dismiss(self, result: Any = None) -> AwaitComplete:
        screen = cast("Screen[Any]", self)
        return Screen.dismiss(screen, result) if screen.is_current else AwaitComplete()


class Palette(AnswersOnce, CommandPalette):
    """The command palette."""
