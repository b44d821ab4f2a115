"""One action and the keys that call it."""

from __future__ import annotations

from dataclasses import dataclass

from ddpm_tui.keys import names


@dataclass(frozen=True)
class Key:
    """One action and the keys that call it.

    Attributes:
        id: `view.name`, what a config file calls it; the view `app` is everywhere.
        action: the name of the action method, without `action_`.
        keys: comma-separated, as Textual names them.
        label: one or two words for the footer; empty keeps it out of the footer.
        help: what it does, for the help screen and the palette.
        shown: how the help and the footer write the keys; the first key when empty.
    """

    id: str
    action: str
    keys: str
    label: str
    help: str
    shown: str = ""

    @property
    def view(self) -> str:
        """Where it works."""
        return self.id.partition(".")[0]

    @property
    def names(self) -> tuple[str, ...]:
        """Every key, as Textual names it."""
        return tuple(self.keys.split(","))

    @property
    def display(self) -> str:
        """How a person reads its keys."""
        return self.shown or names.shown(self.names[0])
