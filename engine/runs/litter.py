"""What a crash left in a folder, under the hidden names of what is being made."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from engine.runs import io

# A name of `io.temporary_name`, or what `publishing` moved aside beside one.
_LITTER = re.compile(r"\.(.+)\.[0-9a-f]{8}\.(tmp|old)")


@dataclass(frozen=True)
class Litter:
    """What was being made, replaced or removed when its maker died, or is at this moment.

    Attributes:
        target: what it would have become, or was.
        aside: it is a whole one that was moved aside, for another to take its place.
    """

    path: Path
    target: Path
    aside: bool

    def touched(self) -> float:
        """Unix time of the last change that can be seen of it.

        Raises:
            OSError: it is gone.
        """
        inside = self.path.iterdir() if self.path.is_dir() else ()
        times: list[float] = [path.lstat().st_mtime for path in (self.path, *inside)]
        return max(times)

    def clear(self) -> None:
        """Remove it; put it back where nothing took its place.

        Raises:
            OSError: it cannot be removed.
        """
        if self.aside and not os.path.lexists(self.target):
            io.disk.rename(self.path, self.target)
        else:
            io.remove_tree(self.path)


def find_litter(folder: Path) -> list[Litter]:
    """What has a hidden name, in a folder and not below it.

    Raises:
        OSError: the folder cannot be read.
    """
    return [
        Litter(path, path.with_name(match[1]), match[2] == "old")
        for path in folder.iterdir()
        if (match := _LITTER.fullmatch(path.name))
    ]
