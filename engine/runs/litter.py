"""What a crash left in a folder, under the hidden names of what is being made."""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from engine.runs import io, processes

# A name of `io.temporary_name`, or what `publishing` moved aside beside one.
_LITTER = re.compile(rf"\.(.+)\.[0-9a-f]{{8}}(?:-({processes.MAKER}))?\.(tmp|old)")
# What is made on another machine, or by nobody who is known, is in nobody's hands when it has not
# been touched for so long, in seconds.
_ABANDONED = 3600.0


@dataclass(frozen=True)
class Litter:
    """What was being made, replaced or removed when its maker died, or is at this moment.

    Attributes:
        target: what it would have become, or was.
        aside: it is a whole one that was moved aside, for another to take its place.
        maker: which process makes it, see `processes.maker`; "" where its name does not say.
    """

    path: Path
    target: Path
    aside: bool
    maker: str = ""

    def is_abandoned(self) -> bool:
        """Whether nobody is at it any more: its process has ended, or where that cannot be known,
        nobody has touched it for an hour.

        Raises:
            OSError: it is gone.
        """
        alive = processes.is_alive(self.maker)
        return time.time() - self.touched() > _ABANDONED if alive is None else not alive

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
        Litter(path, path.with_name(match[1]), match[3] == "old", match[2] or "")
        for path in folder.iterdir()
        if (match := _LITTER.fullmatch(path.name))
    ]


def clear_abandoned(folder: Path, *, others: bool = True) -> None:
    """Remove from a folder, not below it, what commands that were killed have left half made.

    What a living process makes stays, and so does what cannot be removed.

    Args:
        others: also what does not say which process made it. Not in a folder of a user, where
            another program may have named a file alike.
    """
    with suppress(OSError):
        for litter in find_litter(folder):
            with suppress(OSError):
                if (litter.maker or others) and litter.is_abandoned():
                    litter.clear()
