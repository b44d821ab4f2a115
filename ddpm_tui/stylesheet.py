"""A stylesheet that parses no source twice.

Textual parses everything anew, three times over, whenever a view is opened for the first time: in
case the files or the variables are others by now. Here files never change while the workbench runs,
and variables do with the theme.
"""

from __future__ import annotations

from textual.cache import LRUCache
from textual.css.stylesheet import Stylesheet

_SOURCES = 1024  # more than there are widgets


class KeptStylesheet(Stylesheet):
    """Keeps what it parsed, as long as the variables stay the same."""

    def __init__(self, *, variables: dict[str, str]) -> None:
        super().__init__(variables=variables)
        self._parse_cache = LRUCache(_SOURCES)

    def set_variables(self, variables: dict[str, str]) -> None:
        if variables != self._variables:
            super().set_variables(variables)

    def reparse(self) -> None:
        self.parse()
