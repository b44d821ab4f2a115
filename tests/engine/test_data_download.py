"""Downloads: whole and verified files or none, and a quick and useful answer without a network."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gzip
import http.server
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
import torchvision.datasets
from filelock import FileLock

from engine.data import download as downloads
from engine.data import sources
from engine.data.download import download
from engine.data.verify import verify
from engine.errors import ConfigError, DataError

BUILT_IN = Path(str(resources.files("engine.data.builtin")))
SYSTEM = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """A machine without data sets; returns the root of the user's cache on it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("DDPM_TUI_DATA", raising=False)
    for variable in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sources, "SYSTEM_ROOT", tmp_path / "system")
    return tmp_path / "cache" / "ddpm-tui" / "data"


@pytest.fixture
def small(monkeypatch) -> sources.Source:
    """A fashion-mnist of 10,000: the built-in files, as a mirror would serve them."""
    built_in = sources.get("fashion-mnist-10k")
    source = dataclasses.replace(
        sources.get("fashion-mnist"),
        train_count=built_in.train_count,
        test_count=built_in.test_count,
        sha256=built_in.sha256,
    )
    monkeypatch.setitem(sources.SOURCES, "fashion-mnist", source)
    return source


class Handler(http.server.SimpleHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_) -> None:
        pass


@contextlib.contextmanager
def serving(handler) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def mirror_of(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """A mirror that serves a folder; gives its URL and the paths it is asked for."""
    asked: list[str] = []
    handler = functools.partial(type("H", (Handler,), {"asked": asked}), directory=str(folder))
    with serving(handler) as url:
        yield url, asked


def use_mirrors(monkeypatch, *mirrors: str) -> None:
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "mirrors", list(mirrors))


def closed_port() -> str:
    """A mirror on this machine at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}/"


def files_below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


WHOLE = sorted(f"{file}.gz" for file in sources.FILES)


def test_a_download_arrives_whole_and_verified_in_the_user_s_cache(
    cache, small, monkeypatch
) -> None:
    with mirror_of(BUILT_IN) as (url, _):
        use_mirrors(monkeypatch, url)
        located = download("fashion-mnist")
    assert located.origin == str(cache / "fashion-mnist")
    assert located == sources.find("fashion-mnist")
    assert files_below(cache / "fashion-mnist") == WHOLE
    for path in located.files.values():
        assert path.read_bytes() == (BUILT_IN / path.name).read_bytes()


@pytest.mark.parametrize("folder", [SYSTEM] * SYSTEM.exists())
def test_the_whole_of_fashion_mnist_downloads(folder, cache, monkeypatch) -> None:
    # Debian compresses anew, so torchvision's own check of the .gz would refuse these files.
    with mirror_of(folder) as (url, _):
        use_mirrors(monkeypatch, url)
        located = download("fashion-mnist")
    verify(sources.get("fashion-mnist"), located)


def test_progress_counts_every_file_up_to_its_size(small, monkeypatch) -> None:
    told: dict[str, list[tuple[int, int]]] = {}
    with mirror_of(BUILT_IN) as (url, _):
        use_mirrors(monkeypatch, url)
        download(
            "fashion-mnist",
            progress=lambda done, total, file: told.setdefault(file, []).append((done, total)),
        )
    assert sorted(told) == WHOLE
    for file, pieces in told.items():
        size = (BUILT_IN / file).stat().st_size
        assert pieces[0] == (0, size)
        assert pieces[-1] == (size, size)
        assert [done for done, _ in pieces] == sorted(done for done, _ in pieces)
        assert {total for _, total in pieces} == {size}
    assert len(told["train-images-idx3-ubyte.gz"]) > 10


def test_a_root_may_be_named(cache, tmp_path, small, monkeypatch) -> None:
    with mirror_of(BUILT_IN) as (url, _):
        use_mirrors(monkeypatch, url)
        located = download("fashion-mnist", root=tmp_path / "new" / "root")
    assert located.origin == str(tmp_path / "new" / "root" / "fashion-mnist")
    assert sources.find("fashion-mnist", tmp_path / "new" / "root") == located
    assert not cache.exists()


def test_what_is_here_already_is_not_downloaded(tmp_path, small, monkeypatch) -> None:
    use_mirrors(monkeypatch, closed_port())
    here = tmp_path / "system" / "fashion-mnist"
    shutil.copytree(BUILT_IN, here)
    assert download("fashion-mnist").origin == str(here)


def test_a_copy_elsewhere_does_not_count_when_a_root_is_named(tmp_path, small, monkeypatch) -> None:
    shutil.copytree(BUILT_IN, tmp_path / "system" / "fashion-mnist")
    with mirror_of(BUILT_IN) as (url, asked):
        use_mirrors(monkeypatch, url)
        download("fashion-mnist", root=tmp_path / "mine")
    assert len(asked) == 4


def test_the_built_in_data_set_needs_no_download(cache) -> None:
    assert download("fashion-mnist-10k").origin == "built in"
    assert not cache.exists()


def test_files_that_arrived_earlier_are_not_fetched_again(cache, small, monkeypatch) -> None:
    folder = cache / "fashion-mnist"
    folder.mkdir(parents=True)
    for file in ("train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"):
        shutil.copy(BUILT_IN / file, folder)
    with mirror_of(BUILT_IN) as (url, asked):
        use_mirrors(monkeypatch, url)
        download("fashion-mnist")
    assert asked == ["/train-labels-idx1-ubyte.gz", "/t10k-images-idx3-ubyte.gz"]


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_damaged_copy_is_replaced(cache, small, monkeypatch, suffix) -> None:
    folder = cache / "fashion-mnist"
    shutil.copytree(BUILT_IN, folder)
    (folder / "train-images-idx3-ubyte.gz").unlink()
    (folder / f"train-images-idx3-ubyte{suffix}").write_bytes(b"half of i")
    with mirror_of(BUILT_IN) as (url, asked):
        use_mirrors(monkeypatch, url)
        located = download("fashion-mnist")
    assert asked == ["/train-images-idx3-ubyte.gz"]
    verify(small, located)


def test_the_next_mirror_is_asked_when_one_fails_and_the_better_one_is_remembered(
    tmp_path, small, monkeypatch
) -> None:
    (tmp_path / "empty").mkdir()
    with mirror_of(tmp_path / "empty") as (bad, in_vain), mirror_of(BUILT_IN) as (good, asked):
        use_mirrors(monkeypatch, bad, good)
        download("fashion-mnist")
    assert len(in_vain) == 1
    assert len(asked) == 4


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda _: b"<html>moved</html>", "is not an IDX file"),
        (lambda whole: whole[: len(whole) // 2], "is truncated"),
        (lambda whole: gzip.compress(gzip.decompress(whole)[:-1] + b"\x01", 1), "SHA-256"),
    ],
    ids=["a page", "half a file", "altered pictures"],
)
def test_what_does_not_verify_never_takes_the_name_of_a_real_file(
    cache, tmp_path, small, monkeypatch, spoil, said
) -> None:
    shutil.copytree(BUILT_IN, tmp_path / "mirror")
    bad = tmp_path / "mirror" / "t10k-images-idx3-ubyte.gz"
    bad.write_bytes(spoil(bad.read_bytes()))
    with mirror_of(tmp_path / "mirror") as (url, _):
        use_mirrors(monkeypatch, url)
        with pytest.raises(DataError) as refusal:
            download("fashion-mnist")
    assert f"{url}t10k-images-idx3-ubyte.gz (what it sent is refused: " in refusal.value.message
    assert said in refusal.value.message
    # What arrived before it is whole, and stays.
    assert files_below(cache / "fashion-mnist") == [
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
    ]


class BreaksOff(Handler):
    """Announces a whole file and closes the connection in the middle of it."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        self.wfile.write(bytes(1_000))


class NeverEnds(Handler):
    """Sends without an end, and without saying how much."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(bytes(100_000))


class StopsSending(Handler):
    """Sends a little and then nothing, without closing the connection."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(bytes(1_000))
        self.wfile.flush()
        time.sleep(30)


class SaysNothing(Handler):
    """Takes the request and does not answer."""

    def do_GET(self) -> None:
        time.sleep(30)


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        (BreaksOff, "broke off after 1,000 of 1,000,000 bytes"),
        (NeverEnds, "sends more than 500,000 bytes"),
        (StopsSending, "timed out"),
        (SaysNothing, "no answer within 0.5 s"),
    ],
)
def test_a_mirror_that_misbehaves_is_given_up_and_leaves_nothing(
    cache, small, monkeypatch, handler, said
) -> None:
    monkeypatch.setattr(downloads, "MAX_FILE_BYTES", 500_000)
    monkeypatch.setattr(downloads, "CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(downloads, "STALL_SECONDS", 0.8)
    with serving(handler) as url:
        use_mirrors(monkeypatch, url)
        with pytest.raises(DataError) as refusal:
            download("fashion-mnist")
    assert f"{url}train-images-idx3-ubyte.gz (" in refusal.value.message
    assert said in refusal.value.message
    assert not (cache / "fashion-mnist").exists()


def test_an_abandoned_download_leaves_nothing(cache, small, monkeypatch) -> None:
    class AbandonedError(Exception):
        pass

    def abandon(done: int, total: int, file: str) -> None:
        if done:
            assert files_below(cache / "fashion-mnist") == [f".{file}.part"]
            raise AbandonedError

    with mirror_of(BUILT_IN) as (url, _):
        use_mirrors(monkeypatch, url)
        with pytest.raises(AbandonedError):
            download("fashion-mnist", progress=abandon)
    assert not (cache / "fashion-mnist").exists()


def test_what_a_killed_download_left_is_overwritten(cache, small, monkeypatch) -> None:
    folder = cache / "fashion-mnist"
    folder.mkdir(parents=True)
    (folder / ".train-images-idx3-ubyte.gz.part").write_bytes(bytes(10_000_000))
    with mirror_of(BUILT_IN) as (url, _):
        use_mirrors(monkeypatch, url)
        download("fashion-mnist")
    assert files_below(folder) == WHOLE


@pytest.mark.parametrize("arrives", [True, False])
def test_what_a_killed_download_left_is_cleared_also_where_that_file_is_not_fetched_again(
    cache, small, monkeypatch, arrives
) -> None:
    folder = cache / "fashion-mnist"
    folder.mkdir(parents=True)
    there, wanted = "train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"
    shutil.copy(BUILT_IN / there, folder)
    for file in (there, wanted):
        (folder / f".{file}.part").write_bytes(bytes(1_000))
    with mirror_of(BUILT_IN) as (url, asked):
        use_mirrors(monkeypatch, url if arrives else closed_port())
        with contextlib.nullcontext() if arrives else pytest.raises(DataError):
            download("fashion-mnist")
    assert f"/{there}" not in asked
    assert files_below(folder) == (WHOLE if arrives else [there])


def test_without_a_network_the_answer_says_what_was_tried_and_what_to_do(cache, tmp_path) -> None:
    # The real mirrors' names, under a domain that by RFC 2606 never resolves: so that this test
    # sees no network, whether there is one or not.
    mirrors = ["http://mirror.invalid/fashion/", closed_port()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torchvision.datasets.FashionMNIST, "mirrors", mirrors)
        with pytest.raises(DataError) as refusal:
            download("fashion-mnist")
    message, hint = refusal.value.message, refusal.value.hint
    for mirror in mirrors:
        assert f"{mirror}train-images-idx3-ubyte.gz (" in message
    assert "Connection refused" in message
    for place in (
        cache / "fashion-mnist",
        cache / "FashionMNIST" / "raw",
        tmp_path / "data" / "FashionMNIST" / "raw",
        tmp_path / "system" / "fashion-mnist",
    ):
        assert str(place) in message
    assert f"to {cache / 'fashion-mnist'}" in hint
    assert all(f"{file}.gz" in hint for file in sources.FILES)
    assert "`apt-get install dataset-fashion-mnist`" in hint
    assert "`--data-dir`" in hint
    assert "fashion-mnist-10k" in hint
    assert not (cache / "fashion-mnist").exists()


def test_a_name_lookup_that_hangs_does_not_hang_the_download(small, monkeypatch) -> None:
    monkeypatch.setattr(downloads, "CONNECT_SECONDS", 0.2)
    given_up = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: given_up.wait())
    use_mirrors(monkeypatch, "http://mirror.invalid/")
    with pytest.raises(DataError, match=r"no answer within 0\.2 s"):
        download("fashion-mnist")
    given_up.set()


def test_only_a_data_set_that_debian_packages_is_said_to_be_packaged(monkeypatch) -> None:
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [closed_port()])
    with pytest.raises(DataError) as refusal:
        download("mnist")
    assert "apt-get" not in refusal.value.hint


def test_a_bad_copy_on_this_machine_is_named_with_its_fault(tmp_path, small, monkeypatch) -> None:
    folder = tmp_path / "system" / "fashion-mnist"
    shutil.copytree(BUILT_IN, folder)
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(b"no")
    use_mirrors(monkeypatch, closed_port())
    with pytest.raises(DataError) as refusal:
        download("fashion-mnist")
    assert f"{folder} ({folder}/t10k-labels-idx1-ubyte.gz is not an IDX file" in str(refusal.value)


def test_torchvision_still_names_its_mirrors_and_files_as_we_expect() -> None:
    for source in sources.SOURCES.values():
        if source.torchvision:
            dataset = getattr(torchvision.datasets, source.torchvision)
            assert all(
                mirror.startswith("http") and mirror.endswith("/") for mirror in dataset.mirrors
            )
            assert sorted(file for file, _ in dataset.resources) == WHOLE


def test_a_folder_that_cannot_be_written_is_named(tmp_path, small, monkeypatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError) as refusal:
        download("fashion-mnist", root=tmp_path / "file")
    assert f"{tmp_path / 'file' / 'fashion-mnist'} cannot be written" in refusal.value.message


def test_two_downloads_of_one_data_set_do_not_meet(cache, small) -> None:
    cache.mkdir(parents=True)
    with (
        FileLock(cache / ".fashion-mnist.lock"),
        pytest.raises(DataError, match="another process is downloading fashion-mnist"),
    ):
        download("fashion-mnist")


def test_an_unknown_name_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="no data set 'cifar'"):
        download("cifar")
