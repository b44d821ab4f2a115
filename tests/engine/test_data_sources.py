"""Which data sets there are, and in what order the machine is searched for them."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from engine.data import idx, sources
from engine.data.verify import read_verified, verify
from engine.errors import ConfigError, DataError

BUILT_IN = Path(str(resources.files("engine.data.builtin")))
SYSTEM = Path("/usr/share/datasets")


class Machine:
    """A machine of our own: every root that is searched lies in a temporary folder."""

    def __init__(self, tmp_path: Path) -> None:
        self.data_dir = tmp_path / "data-dir"
        self.variable = tmp_path / "variable"
        self.cache = tmp_path / "cache" / "ddpm-tui" / "data"
        self.working = tmp_path / "work" / "data"
        self.system = tmp_path / "system"
        self.data_dir.mkdir()
        self.working.parent.mkdir()

    def put(self, folder: Path, suffix: str = ".gz") -> Path:
        """Put the four files into a folder; for a search it is enough that they exist."""
        folder.mkdir(parents=True, exist_ok=True)
        for file in sources.FILES:
            (folder / f"{file}{suffix}").touch()
        return folder


@pytest.fixture
def machine(tmp_path, monkeypatch) -> Machine:
    machine = Machine(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("DDPM_TUI_DATA", str(machine.variable))
    monkeypatch.chdir(machine.working.parent)
    monkeypatch.setattr(sources, "SYSTEM_ROOT", machine.system)
    return machine


def test_the_data_sets() -> None:
    counts = {name: (s.train_count, s.test_count) for name, s in sources.SOURCES.items()}
    assert counts == {
        "fashion-mnist": (60_000, 10_000),
        "mnist": (60_000, 10_000),
        "fashion-mnist-10k": (10_000, 1_000),
    }
    assert sources.get("mnist").class_names == tuple("0123456789")
    assert sources.get("fashion-mnist").class_names == sources.get("fashion-mnist-10k").class_names
    assert sources.get("fashion-mnist").class_names[0] == "T-shirt/top"
    assert sources.get("fashion-mnist").class_names[9] == "Ankle boot"


def test_every_file_of_every_data_set_has_a_hash_of_its_own() -> None:
    hashes = [source.sha256[file] for source in sources.SOURCES.values() for file in sources.FILES]
    assert len(set(hashes)) == 12
    assert all(len(bytes.fromhex(value)) == 32 for value in hashes)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigError) as refusal:
        sources.find("cifar")
    assert "'cifar'" in str(refusal.value)
    assert "fashion-mnist, mnist, fashion-mnist-10k" in str(refusal.value)


def test_roots_are_searched_in_their_order(machine) -> None:
    in_order = [
        machine.data_dir / "mnist",
        machine.variable / "mnist",
        machine.cache / "mnist",
        machine.working / "mnist",
        machine.system / "mnist",
    ]
    for folder in reversed(in_order):
        machine.put(folder)
        assert sources.find("mnist", machine.data_dir).origin == str(folder)


@pytest.mark.parametrize("root", ["data_dir", "variable", "cache", "working"])
def test_below_a_root_the_most_telling_folder_is_taken_first(machine, root) -> None:
    root = getattr(machine, root)
    for folder in (root, root / "FashionMNIST" / "raw", root / "fashion-mnist"):
        machine.put(folder)
        assert sources.find("fashion-mnist", machine.data_dir).origin == str(folder)


@pytest.mark.parametrize(
    ("suffixes", "taken"), [(["", ".gz"], ".gz"), ([".gz"], ".gz"), ([""], "")]
)
def test_files_may_be_compressed_or_not(machine, suffixes, taken) -> None:
    # torchvision leaves both behind; the .gz is preferred, as it is what `data get` renews.
    for suffix in suffixes:
        folder = machine.put(machine.cache / "MNIST" / "raw", suffix)
    located = sources.find("mnist")
    assert located.files == {file: folder / f"{file}{taken}" for file in sources.FILES}
    assert located.train_images == folder / f"train-images-idx3-ubyte{taken}"
    assert located.test_labels == folder / f"t10k-labels-idx1-ubyte{taken}"


def test_a_folder_that_lacks_a_file_is_passed_over_and_named(machine) -> None:
    folder = machine.put(machine.data_dir / "mnist")
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError) as missing:
        sources.find("mnist", machine.data_dir)
    assert f"{folder} (lacks t10k-labels-idx1-ubyte)" in missing.value.message
    machine.put(machine.system / "mnist")
    assert sources.find("mnist", machine.data_dir).origin == str(machine.system / "mnist")


def test_a_folder_that_bears_no_name_is_not_taken_for_another_data_set(
    machine, monkeypatch
) -> None:
    # MNIST and Fashion-MNIST give their files the same names. The built-in subset, put flat into a
    # root, stands for the one that is not asked for.
    for path in BUILT_IN.glob("*.gz"):
        (machine.data_dir / path.name).symlink_to(path)
    rows = {row.name: row for row in sources.available(machine.data_dir)}
    assert not rows["mnist"].found
    assert f"{machine.data_dir} (holds fashion-mnist-10k)" in rows["mnist"].tried


def test_a_missing_data_set_names_every_place_and_three_ways_out(machine) -> None:
    with pytest.raises(DataError) as missing:
        sources.find("mnist", machine.data_dir)
    for root in (machine.data_dir, machine.variable, machine.cache, machine.working):
        for folder in (root / "mnist", root / "MNIST" / "raw", root):
            assert f"{folder}," in missing.value.message
    assert missing.value.message.endswith(str(machine.system / "mnist"))
    assert "`ddpm-tui data get mnist`" in missing.value.hint
    assert "`--data-dir`" in missing.value.hint
    assert "fashion-mnist-10k, which is built in" in missing.value.hint


def test_a_place_is_named_once_however_often_it_is_a_root(machine, monkeypatch) -> None:
    monkeypatch.setenv("DDPM_TUI_DATA", str(machine.data_dir))
    tried = sources.available(machine.data_dir)[0].tried
    assert len(tried) == len(set(tried)) == 3 * 3 + 1


@pytest.mark.parametrize("what", ["absent", "a file"])
def test_a_data_dir_that_is_no_folder_is_an_error_not_passed_over(machine, what) -> None:
    path = machine.data_dir / "typo"
    if what == "a file":
        path.touch()
    for search in (
        lambda: sources.find("fashion-mnist-10k", path),
        lambda: sources.available(path),
        lambda: sources.default_dataset(path),
    ):
        with pytest.raises(DataError, match="typo is not a folder"):
            search()


def test_a_data_dir_may_be_relative_and_may_begin_with_a_tilde(machine, tmp_path) -> None:
    folder = machine.put(tmp_path / "work" / "mine" / "mnist")
    assert sources.find("mnist", "mine").origin == str(folder)
    assert sources.find("mnist", "~/work/mine").origin == str(folder)


def test_an_empty_variable_is_as_good_as_none(machine, monkeypatch) -> None:
    machine.put(machine.working.parent)
    monkeypatch.setenv("DDPM_TUI_DATA", "")
    assert not sources.available()[1].found


def test_a_working_directory_that_was_deleted_does_not_stop_the_search(machine) -> None:
    machine.working.parent.rmdir()
    machine.put(machine.system / "mnist")
    assert sources.find("mnist").origin == str(machine.system / "mnist")


def test_the_built_in_data_set_is_always_found_and_whole(machine) -> None:
    located = sources.find("fashion-mnist-10k")
    assert located.origin == "built in"
    verify(sources.get("fashion-mnist-10k"), located)


def test_the_built_in_data_set_has_as_many_of_each_class(machine) -> None:
    source, located = sources.get("fashion-mnist-10k"), sources.find("fashion-mnist-10k")
    train = read_verified(source, sources.TRAIN_LABELS, located.train_labels)
    test = read_verified(source, sources.TEST_LABELS, located.test_labels)
    assert [(train == label).sum() for label in range(10)] == [1_000] * 10
    assert [(test == label).sum() for label in range(10)] == [100] * 10


def test_the_notice_of_its_licence_travels_with_the_built_in_data_set() -> None:
    notice = (BUILT_IN / "LICENSE").read_text(encoding="utf-8")
    assert "The MIT License (MIT) Copyright © 2017 Zalando SE, https://tech.zalando.com" in notice


@pytest.mark.slow
@pytest.mark.parametrize("folder", sorted(SYSTEM.glob("fashion-mnist")))
def test_the_built_in_data_set_is_made_again_byte_by_byte(folder, tmp_path) -> None:
    script = Path(__file__).parents[2] / "scripts" / "make_builtin_subset.py"
    subprocess.run([sys.executable, script, "--data-dir", folder, "--out", tmp_path], check=True)
    for path in sorted(BUILT_IN.glob("*.gz")):
        # Compressed here as well, because another zlib may compress otherwise.
        idx.write(tmp_path / "ours.gz", idx.read(path))
        assert (tmp_path / path.name).read_bytes() == (tmp_path / "ours.gz").read_bytes()


@pytest.mark.parametrize("folder", sorted(SYSTEM.glob("fashion-mnist")))
def test_the_system_s_fashion_mnist_verifies(folder) -> None:
    source = sources.get("fashion-mnist")
    located, _ = sources.look(sources.Place(folder), source)
    assert located is not None
    verify(source, located)


def test_the_default_is_all_of_fashion_mnist_where_it_is_and_else_the_built_in(machine) -> None:
    assert sources.default_dataset() == "fashion-mnist-10k"
    machine.put(machine.data_dir)
    assert sources.default_dataset(machine.data_dir) == "fashion-mnist"
    machine.put(machine.system / "fashion-mnist")
    assert sources.default_dataset() == "fashion-mnist"


def test_a_listing_says_what_was_found_where_and_where_the_rest_was_sought(machine) -> None:
    folder = machine.put(machine.cache / "fashion-mnist")
    whole, digits, built_in = sources.available()
    assert (whole.name, whole.found, whole.origin) == ("fashion-mnist", True, str(folder))
    assert (whole.train_count, whole.test_count) == (60_000, 10_000)
    assert whole.tried[-1] == str(folder)
    assert (digits.name, digits.found, digits.origin) == ("mnist", False, "")
    assert len(digits.tried) == 3 * 3 + 1
    assert (built_in.name, built_in.found, built_in.origin) == (
        "fashion-mnist-10k",
        True,
        "built in",
    )


def test_a_listing_reads_no_pictures(machine, monkeypatch) -> None:
    machine.put(machine.data_dir / "fashion-mnist")
    monkeypatch.setattr(idx, "read_hashed", lambda *_, **__: pytest.fail("a file was read"))
    sources.available(machine.data_dir)


def test_a_listing_loads_neither_torch_nor_numpy() -> None:
    code = (
        "import sys, engine.data; engine.data.available();"
        "sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
