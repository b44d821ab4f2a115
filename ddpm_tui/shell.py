"""What the App is apart from training: keys, palette, themes, help, screenshots, mishaps."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from textual import events, work
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.filter import LineFilter
from textual.reactive import reactive
from textual.screen import Screen
from textual.timer import Timer
from textual.worker import WorkerFailed

from ddpm_tui import keys
from ddpm_tui.color import keep_palette
from ddpm_tui.mishaps import Mishaps
from ddpm_tui.preferences import Preferences, remember_theme
from ddpm_tui.sanitize import clean
from ddpm_tui.screenshot.files import Captured, capture, free_names
from ddpm_tui.stylesheet import KeptStylesheet
from ddpm_tui.terminal.kitty import QUERY, GraphicsAnswered
from ddpm_tui.terminal.linked import Linked
from ddpm_tui.terminal.multiplexer import multiplexed
from ddpm_tui.themes import DARK, OWN
from ddpm_tui.views.base import View
from ddpm_tui.views.copied import SentToClipboard
from ddpm_tui.views.going_on import GoingOn, Palette
from ddpm_tui.views.help import HelpScreen
from engine.errors import EngineError

# A field draws all of its text at every key.
_LONGEST_PASTE = 4000
_ON_DIALOGS = ("app.screenshot", "app.leave")
_GRAPHICS_PATIENCE = 5.0  # seconds that a terminal has to answer, over the slowest link


class Shell(GoingOn, Linked):
    """The App without its views.

    Args:
        preferences: keys and theme of the person, and where a choice of theme is kept.
    """

    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("app")]
    ENABLE_COMMAND_PALETTE = True

    # Whether it only shows a run, and no key changes anything.
    watches = False
    # Whether a training of this process finds the disk full.
    waits_for_room = False
    # Pictures in the terminal's own pixels, where it can.
    graphics_on: reactive[bool] = reactive(False)

    def __init__(self, preferences: Preferences) -> None:
        budget = preferences.link_budget
        super().__init__(None if budget is None else 1000 * budget)
        self.stylesheet = KeptStylesheet(variables=self.get_css_variables())
        self.preferences = preferences
        self.key_table = preferences.key_table
        self._known_theme = ""
        self.mishaps = Mishaps()
        self._graphics_offered = False
        self._graphics_timer: Timer | None = None  # while the terminal is asked
        # None: yes on a real terminal. In a test an exception should fail the test.
        self.survives_errors: bool | None = None
        # No animation: over a slow link it is only bytes.
        self.animation_level = "none"
        self.set_keymap(self.key_table.own)
        for theme in OWN:
            self.register_theme(theme)

    def get_line_filters(self) -> Sequence[LineFilter]:
        return keep_palette(super().get_line_filters())

    def get_key_display(self, binding: Binding) -> str:
        key = self.key_table.get(binding.id or "")
        return key.display if key else super().get_key_display(binding)

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.MouseDown | events.MouseMove) and self._is_on_ruin(event):
            return
        await super().on_event(event)

    async def take(self, event: events.Key | events.Paste) -> None:
        if isinstance(event, events.Paste) and len(event.text) > _LONGEST_PASTE:
            self.notify(
                f"{len(event.text):,} characters were pasted; no field takes more than "
                f"{_LONGEST_PASTE:,}. Nothing was changed.",
                severity="warning",
            )
        elif (
            isinstance(event, events.Key) and isinstance(self.screen, View) and self.screen.jumping
        ):
            self.screen.end_jump(event.key)
        else:
            await super().take(event)

    def _is_on_ruin(self, event: events.MouseEvent) -> bool:
        """Whether a button is pressed on a widget that is removed, but not yet from the screen, as
        a toast that just goes. Textual would begin to select text in its parent, and it has none.
        """
        if not event.button or event.is_forwarded:
            return False
        widget, _ = self.screen.get_widget_and_offset_at(int(event.x), int(event.y))
        return widget is not None and widget is not self.screen and widget.parent is None

    # --- Themes --------------------------------------------------------------------------------

    def choose_theme(self) -> None:
        """Put on the theme of the preferences, and from then on keep what is chosen."""
        wanted = self.preferences.theme or DARK.name
        if wanted not in self.available_themes:
            self.notify(
                f"There is no theme {clean(wanted, 40)!r}; ctrl+p lists them.",
                severity="warning",
                markup=False,
            )
            wanted = DARK.name
        self._known_theme = self.theme = wanted
        self.theme_changed_signal.subscribe(self, lambda theme: self._remember(theme.name))

    def _remember(self, theme: str) -> None:
        """Keep a theme that was chosen in the palette.

        Textual may tell of the first one, too, which nobody chose just now.
        """
        if self.preferences.path is None or theme == self._known_theme:
            return
        self._known_theme = theme
        try:
            remember_theme(self.preferences.path, theme)
        except EngineError as error:
            self.complain(error)
        else:
            self.preferences = replace(self.preferences, theme=theme)
            self.notify(f"{theme} is kept in {self.preferences.path}", markup=False)

    # --- Mishaps -------------------------------------------------------------------------------

    @property
    def _survives(self) -> bool:
        return not self.is_headless if self.survives_errors is None else self.survives_errors

    @property
    def goes_on(self) -> bool:
        """Whether an unforeseen exception is told and survived; otherwise it ends the app."""
        return self._survives and self._running and not self.mishaps.too_many

    def _handle_exception(self, error: Exception) -> None:
        """Tell what nobody foresaw and go on: a training may depend on this process."""
        told = ""
        if self._survives:
            told = self.mishaps.record(error.error if isinstance(error, WorkerFailed) else error)
        if not self.goes_on:
            super()._handle_exception(error)
        elif told:
            self.notify(clean(told), title="Not done", severity="error", timeout=20, markup=False)

    def complain(self, error: EngineError) -> None:
        """Show an error of the user where they are."""
        text = clean(str(error))
        self.notify(text, title="Not done", severity="error", timeout=12, markup=False)

    def copy_command(self, command: str) -> None:
        """Send a command to the terminal's clipboard, and show it: nobody knows if it arrives."""
        self.copy_to_clipboard(command)
        self.push_screen(SentToClipboard(command))

    # --- Actions -------------------------------------------------------------------------------

    def action_command_palette(self) -> None:
        if not isinstance(self.screen, Palette):
            # Textual knows the palette by this id.
            self.push_screen(Palette(id="--command-palette"))

    def action_keys(self) -> None:
        if isinstance(self.screen, View):
            self.push_screen(HelpScreen(self.screen.VIEW, self.key_table, self.focused))

    def action_jump(self) -> None:
        if isinstance(self.screen, View):
            self.screen.begin_jump()

    def action_graphics(self) -> None:
        """Kitty graphics on or off; the first time the terminal is asked whether it can."""
        if self.graphics_on:
            self.graphics_on = False
            self.notify("Pictures in half blocks.")
        elif self._graphics_offered:
            self._turn_graphics_on()
        elif multiplexed(os.environ):
            self._stay_with_blocks("tmux and screen keep pictures to themselves")
        elif self._graphics_timer is None and self._driver is not None:
            self._driver.write(QUERY)
            self._graphics_timer = self.set_timer(
                _GRAPHICS_PATIENCE, lambda: self.on_graphics_answered(GraphicsAnswered(False))
            )

    def on_graphics_answered(self, message: GraphicsAnswered) -> None:
        self._graphics_offered = self._graphics_offered or message.offered
        if self._graphics_timer is None:  # nobody waits for it any more
            return
        self._graphics_timer.stop()
        self._graphics_timer = None
        if message.offered:
            self._turn_graphics_on()
        else:
            self._stay_with_blocks("this terminal does not offer them")

    def _turn_graphics_on(self) -> None:
        self.graphics_on = True
        self.notify("Pictures in the terminal's own pixels; K goes back to half blocks.")

    def _stay_with_blocks(self, why: str) -> None:
        self.notify(
            f"No pictures in the terminal's own pixels (kitty graphics): {why}. Half blocks stay.",
            severity="warning",
        )

    def action_screenshot_file(self) -> None:
        # What the terminal draws itself is not in the cells.
        native = self.graphics_on
        self.graphics_on = False
        captured = capture(self)
        self.graphics_on = native
        self._write_screen(
            captured, self.screen.VIEW if isinstance(self.screen, View) else "dialog"
        )

    @work(thread=True, group="screenshot", exit_on_error=False)
    def _write_screen(self, captured: Captured, name: str) -> None:
        svg, png = free_names(Path("screenshots"), name)
        try:
            captured.write(svg, png)
        except EngineError as error:
            self.call_from_thread(self.complain, error)
        else:
            text = clean(f"Saved {svg} and {png.name}")
            self.call_from_thread(self.notify, text, timeout=10, markup=False)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The palette: every action of the table that works on this view."""
        view = screen.VIEW if isinstance(screen, View) else ""
        for key in self.key_table.keys:
            target = self if key.view == "app" else screen
            # Below a dialog nothing changes.
            fits = key.view in keys.in_force(view) and (view or key.id in _ON_DIALOGS)
            if fits and target.check_action(key.action.partition("(")[0], ()):
                yield SystemCommand(
                    key.help,
                    f"{keys.VIEW_TITLES[key.view]}, key {key.display}",
                    lambda action=key.action, target=target: self._run_action(action, target),
                )
        for name in self.available_themes:
            yield SystemCommand(
                f"Theme: {name}",
                "The colours of the workbench; the choice is kept",
                lambda name=name: setattr(self, "theme", name),
            )

    def _run_action(self, action: str, target: App[Any] | Screen[Any]) -> None:
        self.call_later(self.run_action, action, target)
