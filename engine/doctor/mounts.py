"""On which file system a path lies, as the kernel lists them in /proc/self/mountinfo."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_OCTAL = re.compile(r"\\([0-7]{3})")
_NETWORK = re.compile(
    r"nfs\d?|cifs|smb\d?|smbfs|9p|afs|ceph|lustre|gpfs|beegfs|glusterfs|orangefs|pvfs2|virtiofs"
    r"|fuse\.(sshfs|s3fs|rclone|gcsfuse|goofys|glusterfs|juicefs|ceph.*|davfs)"
)
_IN_MEMORY = ("tmpfs", "ramfs")


@dataclass(frozen=True)
class Mount:
    """A file system.

    Attributes:
        point: where it is mounted.
        kind: its type, such as ext4 or nfs4.
        source: the device or the server.
        read_only: it, or this mount of it.
    """

    point: str
    kind: str
    source: str
    read_only: bool

    @property
    def is_network(self) -> bool:
        return _NETWORK.fullmatch(self.kind) is not None

    @property
    def is_in_memory(self) -> bool:
        return self.kind in _IN_MEMORY


def mount_of(path: Path, listed: str | None = None) -> Mount | None:
    """The file system that a path, absolute and without links, lies on; None if nobody says.

    Args:
        listed: the text of mountinfo; None: this process's.
    """
    if listed is None:
        try:
            listed = Path("/proc/self/mountinfo").read_text(errors="replace")
        except OSError:
            return None
    found = None
    for line in listed.splitlines():
        left, separator, right = line.partition(" - ")
        fields, about = left.split(" "), right.split(" ")
        if not separator or len(fields) < 6 or len(about) < 3:
            continue
        point = _plain(fields[4])
        # Of two at one point the later hides the earlier.
        inside = path == Path(point) or Path(point) in path.parents
        if inside and (found is None or len(point) >= len(found.point)):
            flags = {*fields[5].split(","), *about[2].split(",")}
            found = Mount(point, about[0], _plain(about[1]), "ro" in flags)
    return found


def _plain(text: str) -> str:
    r"""A space is written \040 there."""
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)
