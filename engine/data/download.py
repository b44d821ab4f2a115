"""Fetching a data set from torchvision's mirrors into the user's cache.

Only the list of mirrors is torchvision's. Its own transfer has no time limit, reports progress to
nobody but a terminal, and compares the MD5 of the .gz, which a mirror that compresses anew breaks.
"""

from __future__ import annotations

import contextlib
import http.client
import queue
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from engine.data import sources
from engine.data.sources import FILES, Located, Place, Source
from engine.data.verify import read_verified, verify
from engine.errors import DataError

# Called with the bytes of this file received so far, its size (0 where the mirror does not say)
# and its name. It may raise to abandon the download.
Progress = Callable[[int, int, str], object]

CONNECT_SECONDS = 5.0
STALL_SECONDS = 15.0
# Twice the largest file there is.
MAX_FILE_BYTES = 64 * 2**20

_CHUNK = 2**16


class _MirrorError(Exception):
    """A mirror cannot be reached, breaks off or sends something else."""


def download(
    name: str, *, root: Path | str | None = None, progress: Progress | None = None
) -> Located:
    """Fetch a data set, unless a whole and verified copy of it is on this machine already.

    Each file is written under a temporary name, verified and only then renamed, so that a file that
    bears its real name is always whole. Files that arrived earlier are not fetched again.

    Args:
        name: one of `sources.SOURCES`. The built-in data set is there already.
        root: where to keep it, in `root/name`; created where missing, and then the only place that
            counts as having a copy. By default the user's cache.
        progress: told about every piece that arrives.

    Returns:
        The verified files.

    Raises:
        ConfigError: no data set has that name.
        DataError: no mirror delivered (offline this takes seconds), the folder cannot be written,
            or another process is downloading the same data set.
    """
    source = sources.get(name)
    if not source.torchvision:
        return sources.find(name)
    here, looked = _local_copy(source, root)
    if here:
        return here

    folder = (sources.absolute(root) if root is not None else sources.cache_root()) / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(folder.parent / f".{name}.lock", timeout=0):
                _fetch_missing(source, folder, progress or (lambda *_: None), looked)
        finally:
            # Nothing arrived: then leave no empty folder behind.
            with contextlib.suppress(OSError):
                folder.rmdir()
    except Timeout:
        raise DataError(
            f"another process is downloading {name} into {folder}", "Wait for it to finish."
        ) from None
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written: {error.strerror or error}",
            "Make room or grant the right to write there, or name another "
            + ("cache with XDG_CACHE_HOME." if root is None else "folder."),
        ) from None
    located, words = sources.look(Place(folder), source)
    if located is None:
        raise DataError(f"{words}, though it was just downloaded", "Try again.")
    return located


def _local_copy(source: Source, root: Path | str | None) -> tuple[Located | None, list[str]]:
    """A verified copy that is there already, and every place looked at with what was found."""
    looked: list[str] = []
    if root is not None:
        places = sources.places_below(sources.absolute(root), source)
    else:
        places = sources.places(source)
    for place in places:
        located, words = sources.look(place, source)
        if located:
            try:
                verify(source, located)
            except DataError as error:
                words = f"{words} ({error.message})"
            else:
                return located, looked
        looked.append(words)
    return None, looked


def _fetch_missing(source: Source, folder: Path, progress: Progress, looked: list[str]) -> None:
    for file in FILES:  # of one that was killed; nobody else is at it
        _part_of(folder / f"{file}.gz").unlink(missing_ok=True)
    mirrors = _mirrors(source)
    for file in FILES:
        if _has_verified(source, folder, file):
            continue
        failures = []
        for mirror in list(mirrors):
            url = f"{mirror}{file}.gz"
            try:
                _fetch(source, file, url, folder / f"{file}.gz", progress)
            except _MirrorError as error:
                failures.append(f"{url} ({error})")
            else:
                # A mirror that works is asked first for the next file.
                mirrors.sort(key=lambda other: other != mirror)
                break
        else:
            raise _nothing_delivered(source, folder, failures, looked)


def _mirrors(source: Source) -> list[str]:
    import torchvision.datasets

    return list(getattr(torchvision.datasets, source.torchvision).mirrors)


def _has_verified(source: Source, folder: Path, file: str) -> bool:
    for path in (folder / f"{file}.gz", folder / file):
        if path.exists():
            try:
                read_verified(source, file, path)
            except DataError:
                return False
            return True
    return False


def _fetch(source: Source, file: str, url: str, target: Path, progress: Progress) -> None:
    """Fetch one file, verify it and put it in its place; leaves nothing behind otherwise."""
    part = _part_of(target)
    try:
        _transfer(url, part, progress)
        try:
            read_verified(source, file, part)
        except DataError as error:
            raise _MirrorError(f"what it sent is refused: {error.message}") from None
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _part_of(target: Path) -> Path:
    """Where a file is received before it is verified."""
    return target.with_name(f".{target.name}.part")


def _transfer(url: str, part: Path, progress: Progress) -> None:
    filename = url.rpartition("/")[2]
    with _open(url) as response, part.open("wb") as file:
        total, done = response.length or 0, 0
        progress(0, total, filename)
        while chunk := _receive(response):
            done += len(chunk)
            if done > MAX_FILE_BYTES:
                raise _MirrorError(f"it sends more than {MAX_FILE_BYTES:,} bytes")
            file.write(chunk)
            progress(done, total, filename)
    if done < total:
        raise _MirrorError(f"it broke off after {done:,} of {total:,} bytes")


def _open(url: str) -> http.client.HTTPResponse:
    """Connect and send the request, within CONNECT_SECONDS altogether.

    A socket's timeout cannot promise that: it does not cover the name lookup, and starts anew with
    each address of the host. So a thread asks, and is left behind when it takes too long.
    """
    answers: queue.SimpleQueue[http.client.HTTPResponse | Exception] = queue.SimpleQueue()
    request = urllib.request.Request(url, headers={"User-Agent": "ddpm-tui"})

    def ask() -> None:
        try:
            answers.put(urllib.request.urlopen(request, timeout=STALL_SECONDS))
        except Exception as error:
            answers.put(error)

    threading.Thread(target=ask, name="ddpm-tui-download", daemon=True).start()
    try:
        answer = answers.get(timeout=CONNECT_SECONDS)
    except queue.Empty:
        raise _MirrorError(f"no answer within {CONNECT_SECONDS:g} s") from None
    if isinstance(answer, Exception):
        raise _MirrorError(_reason(answer)) from answer
    return answer


def _receive(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _MirrorError(_reason(error)) from error


def _reason(error: BaseException) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, Exception):
        return _reason(error.reason)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _nothing_delivered(
    source: Source, folder: Path, failures: list[str], looked: list[str]
) -> DataError:
    ways = [f"copy {', '.join(f'{file}.gz' for file in FILES)} to {folder}"]
    if source.debian_package:
        ways.append(f"install it with `apt-get install {source.debian_package}`")
    ways.append("name the folder that has them with `--data-dir`")
    return DataError(
        f"{source.name} could not be downloaded: {'; '.join(failures)}. Nor is it on this machine:"
        f" looked in {', '.join(looked)}",
        f"Without a network: {'; '.join(ways)}; or use fashion-mnist-10k, which is built in.",
    )
