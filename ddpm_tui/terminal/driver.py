"""Textual's driver, with the link in it: it counts what is written and asks what arrived.

The question is the cursor position report, which every terminal and multiplexer knows. To tell one
answer from another, the cursor is at another column for each: saved, moved, asked for, restored.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from textual._ansi_sequences import SYNC_START
from textual.drivers.linux_driver import LinuxDriver
from textual.events import CursorPosition, Resize
from textual.geometry import Size
from textual.message import Message

from ddpm_tui.terminal.link import Link

if TYPE_CHECKING:
    from ddpm_tui.terminal.linked import Linked

# In the first row an answer would read like F3 with shift or control.
_ROW = 2
# Presses and releases, moves while a button is held, both as decimal numbers.
_MOUSE = (1000, 1002, 1006)
_LAST_ANSWERS = 1.0  # seconds, at most


def question(number: int) -> str:
    """What asks the terminal; `number` comes back as the column."""
    return f"\x1b7\x1b[{_ROW};{number}H\x1b[6n\x1b8"


class LinkDriver(LinuxDriver):
    """Tells the app's link what goes out and what has arrived."""

    # Parts of an update, or None outside of one.
    _update: list[str] | None = None

    @property
    def _link(self) -> Link:
        return cast("Linked", self._app).link

    def write(self, data: str) -> None:
        if data == SYNC_START and self._update is None:
            self._update = []
        if self._update is None:
            self._send(data)
        else:
            # Terminals keep an update back until its end, so no question may stand inside; and
            # the writer has room for few parts.
            self._update.append(data)

    def flush(self) -> None:
        update, self._update = self._update, None
        self._send("".join(update or ()))
        super().flush()

    def _send(self, data: str) -> None:
        """Write, with questions around what is worth one."""
        link = self._link
        count = len(data.encode("utf-8", "surrogatepass"))
        if (before := link.question_before(count)) is not None:
            data = question(before) + data
        if count:
            link.wrote(count)
        if (after := link.question_after()) is not None:
            data += question(after)
        if data:
            super().write(data)

    def _get_terminal_size(self) -> tuple[int, int]:
        """Of the terminal itself, whatever COLUMNS and LINES say: whoever exports them
        does not export them anew with every resize."""
        with suppress(OSError):
            columns, lines = os.get_terminal_size(self.fileno)
            if columns and lines:
                return columns, lines
        return super()._get_terminal_size()

    def with_size_of_now(self, event: Resize) -> Resize:
        """A change of size that a signal brought, with the size that the terminal has by now."""
        if event.pixel_size is not None:
            return event  # from the terminal itself, which may be ahead of the kernel's
        size = Size(*self._get_terminal_size())
        return Resize(size, size)

    def _enable_mouse_support(self) -> None:
        """Clicks and drags. Textual asks for every move as well, which comes as a line of input for
        each cell that the pointer crosses, and nothing here looks at it."""
        if self._mouse:
            super().write("".join(f"\x1b[?{mode}h" for mode in _MOUSE))

    def _disable_mouse_support(self) -> None:
        if self._mouse:
            super().write("".join(f"\x1b[?{mode}l" for mode in _MOUSE))

    def stop_application_mode(self) -> None:
        """Wait for the last answers: afterwards they would stand on the shell's command line."""
        end = time.monotonic() + _LAST_ANSWERS
        while self._link.answered and self._link.in_flight and time.monotonic() < end:
            time.sleep(0.01)  # the thread that reads the answers signals nobody
        super().stop_application_mode()

    def process_message(self, message: Message) -> None:
        if isinstance(message, CursorPosition) and message.y == _ROW - 1:
            self._link.acknowledged(message.x + 1)
            return
        super().process_message(message)
