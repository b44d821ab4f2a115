"""An app that handles keys one after the other, however fast they come.

Textual passes a key to the widget that has the focus and goes on; what the key does, as to move the
focus or to open a dialog, happens when it has climbed back to the app. Keys that come in one
burst, typed ahead over a slow link or while both cores train, would all reach the widget of the
first: tab and a digit would write the digit into the field that is being left.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from textual import events
from textual.app import App
from textual.message import Message
from textual.screen import Screen
from textual.timer import Timer

# A widget that takes longer over a key keeps the others no more.
_PATIENCE = 1.0  # seconds


class TurnEnded(Message):
    """Follows a key from the widget up to the app, so that it comes when the key is done with."""

    def __init__(self, turn: int, screen: Screen[Any]) -> None:
        super().__init__()
        self.turn, self.screen = turn, screen


class InTurn(App[None]):
    """Holds keys and pastes back while the one before them is under way."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._waiting: deque[events.Key | events.Paste] = deque()
        self._turn = 0
        self._under_way = False
        self._turn_timer: Timer | None = None

    async def on_event(self, event: events.Event) -> None:
        if not isinstance(event, events.Key | events.Paste) or event.is_forwarded:
            await super().on_event(event)
        elif self._under_way:
            self._waiting.append(event)
        else:
            await self._begin(event)

    async def _begin(self, event: events.Key | events.Paste) -> None:
        self._under_way = True
        self._turn += 1
        # Not in the task of the timer, which ends with the turn.
        self._turn_timer = self.set_timer(_PATIENCE, lambda: self.call_later(self._end_turn))
        target, screen = self.focused or self.screen, self.screen
        await self.take(event)
        if self._screen_stack and self.screen is not screen:
            # Done at once, and the widget may have gone with its screen.
            target = screen = self.screen
        if not target.post_message(TurnEnded(self._turn, screen)):
            await self._end_turn()

    async def take(self, event: events.Key | events.Paste) -> None:
        """Do what a key is for, now that its turn has come."""
        await super().on_event(event)

    async def on_turn_ended(self, message: TurnEnded) -> None:
        # While the app ends there is no screen any more.
        if message.turn != self._turn or not self._under_way or not self._screen_stack:
            return
        if message.screen is not self.screen:
            # The key brought another screen: the next is for what gets the focus there.
            self.screen.post_message(TurnEnded(self._turn, self.screen))
        else:
            await self._end_turn()

    async def _end_turn(self) -> None:
        self._under_way = False
        if self._turn_timer is not None:
            self._turn_timer.stop()
        if self._waiting and self._running:
            await self._begin(self._waiting.popleft())
