"""The data sets there are, and where on this machine they lie.

Searching looks at names only, so that a listing costs no more than a few `stat` calls; the content
is verified when a data set is loaded (`engine.data.verify`).
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from engine.errors import ConfigError, DataError

TRAIN_IMAGES = "train-images-idx3-ubyte"
TRAIN_LABELS = "train-labels-idx1-ubyte"
TEST_IMAGES = "t10k-images-idx3-ubyte"
TEST_LABELS = "t10k-labels-idx1-ubyte"
FILES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)

# Where Debian's data set packages put their files, each in a folder of its own name.
SYSTEM_ROOT = Path("/usr/share/datasets")
DATA_DIR_VARIABLE = "DDPM_TUI_DATA"
BUILT_IN = "built in"


@dataclass(frozen=True)
class Source:
    """What is known of a data set before any file is read.

    Attributes:
        name: the name a person types.
        title: the name a person reads.
        class_names: the name of each label, 0 first.
        train_count: the number of training pictures.
        test_count: the number of held-out pictures.
        sha256: for each of `FILES`, the SHA-256 of its decompressed content. Not of the .gz, which
            every distributor compresses anew.
        torchvision: its class in `torchvision.datasets`, which is also the name of its folder in
            torchvision's layout; empty for the data set that comes with the program.
        debian_package: the package of Debian and Ubuntu that holds it; may be empty.
        height: of every picture, in pixels.
        width: of every picture, in pixels.
    """

    name: str
    title: str
    class_names: tuple[str, ...]
    train_count: int
    test_count: int
    sha256: Mapping[str, str]
    torchvision: str = ""
    debian_package: str = ""
    height: int = 28
    width: int = 28

    def shape_of(self, file: str) -> tuple[int, ...]:
        """The shape of the array in one of `FILES`: (N, H, W) for images, (N,) for labels."""
        count = self.train_count if file in (TRAIN_IMAGES, TRAIN_LABELS) else self.test_count
        if file in (TRAIN_IMAGES, TEST_IMAGES):
            return count, self.height, self.width
        return (count,)


_FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source(
            name="fashion-mnist",
            title="Fashion-MNIST",
            class_names=_FASHION_CLASSES,
            train_count=60_000,
            test_count=10_000,
            sha256={
                TRAIN_IMAGES: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                TRAIN_LABELS: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                TEST_IMAGES: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                TEST_LABELS: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            },
            torchvision="FashionMNIST",
            debian_package="dataset-fashion-mnist",
        ),
        Source(
            name="mnist",
            title="MNIST",
            class_names=tuple("0123456789"),
            train_count=60_000,
            test_count=10_000,
            # Not computed from files of ours: these four are what a dozen independent projects
            # publish, in agreement, for the decompressed files of LeCun, Cortes and Burges.
            sha256={
                TRAIN_IMAGES: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                TRAIN_LABELS: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                TEST_IMAGES: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                TEST_LABELS: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            },
            torchvision="MNIST",
        ),
        Source(
            name="fashion-mnist-10k",
            title="Fashion-MNIST, the built-in 10,000",
            class_names=_FASHION_CLASSES,
            train_count=10_000,
            test_count=1_000,
            # Printed by scripts/make_builtin_subset.py.
            sha256={
                TRAIN_IMAGES: "d33512cfdc636a0d8972818e6659995be209a88891df7fa2109d7895922c8985",
                TRAIN_LABELS: "620cb8e3b9348037c5ff9a07b02d773ab165330e072dfd19e0d21c59f8042dcf",
                TEST_IMAGES: "7cee33c3c6414b1b86c25e665a6c4f41584269de3b7cc9768b1d351922845eef",
                TEST_LABELS: "3128d790775889812b73c4f13923559c8b9e281d112c6ea7862acf60a206a909",
            },
        ),
    )
}


@dataclass(frozen=True)
class Located:
    """A data set's files on this machine, present but not yet verified.

    Attributes:
        name: its name, as in `SOURCES`.
        origin: where it lies, for a person: a folder, or "built in".
        train_images, train_labels, test_images, test_labels: the four files, .gz or not.
    """

    name: str
    origin: str
    train_images: Path
    train_labels: Path
    test_images: Path
    test_labels: Path

    @property
    def files(self) -> dict[str, Path]:
        """The same four paths under the names in `FILES`."""
        paths = (self.train_images, self.train_labels, self.test_images, self.test_labels)
        return dict(zip(FILES, paths, strict=True))


@dataclass(frozen=True)
class Availability:
    """One line of a listing: a data set, and where it was found or sought.

    Attributes:
        source: the data set.
        located: its files; None where it is not on this machine.
        tried: every place that was looked at, in order, with what was wrong with it if more than
            absence. The last one is where it was found, if it was.
    """

    source: Source
    located: Located | None
    tried: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def found(self) -> bool:
        return self.located is not None

    @property
    def origin(self) -> str:
        """Where it was found, for a person; empty where it was not."""
        return self.located.origin if self.located else ""

    @property
    def train_count(self) -> int:
        return self.source.train_count

    @property
    def test_count(self) -> int:
        return self.source.test_count


@dataclass(frozen=True)
class Place:
    """A folder in which a data set may lie.

    Attributes:
        folder: the folder.
        shared: whether another data set may lie there as well: MNIST and its descendants all give
            their files the same names.
    """

    folder: Path
    shared: bool = False


def get(name: str) -> Source:
    """The data set of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in SOURCES:
        raise ConfigError(f"there is no data set {name!r}", f"Known are: {', '.join(SOURCES)}.")
    return SOURCES[name]


def find(name: str, data_dir: Path | str | None = None) -> Located:
    """Find a data set on this machine.

    The order: `data_dir`, $DDPM_TUI_DATA, the user's cache, `./data`, `/usr/share/datasets`; the
    built-in set lies in the package alone. Below each root (see `places_below`) a folder of the
    data set's name, torchvision's layout, and the root itself.

    Args:
        name: one of `SOURCES`.
        data_dir: a root to search before all others.

    Raises:
        ConfigError: no data set has that name.
        DataError: `data_dir` is not a folder, or the data set is nowhere; says where it was sought.
    """
    row = _search(get(name), data_dir)
    if row.located is None:
        raise DataError(
            f"the data set {name} is not on this machine; looked in {', '.join(row.tried)}",
            f"Get it with `ddpm-tui data get {name}`, name its folder with `--data-dir`,"
            " or use fashion-mnist-10k, which is built in.",
        )
    return row.located


def available(data_dir: Path | str | None = None) -> list[Availability]:
    """Every data set, found or not, in the order of `SOURCES`. Reads names, not contents.

    Raises:
        DataError: `data_dir` is not a folder.
    """
    return [_search(source, data_dir) for source in SOURCES.values()]


def default_dataset(data_dir: Path | str | None = None) -> str:
    """The data set to train on when none is named: all of Fashion-MNIST, or the built-in 10,000.

    Raises:
        DataError: `data_dir` is not a folder.
    """
    whole, built_in = SOURCES["fashion-mnist"], SOURCES["fashion-mnist-10k"]
    return whole.name if _search(whole, data_dir).found else built_in.name


def cache_root() -> Path:
    """The folder in the user's cache under which downloads are kept, one folder per data set."""
    from platformdirs import user_cache_path

    return user_cache_path("ddpm-tui") / "data"


def places(source: Source, data_dir: Path | str | None = None) -> list[Place]:
    """Every place in which a data set is sought, in order, each once.

    Raises:
        DataError: `data_dir` is not a folder. The other roots may be missing; this one was named
            by a person just now, and to pass over a typing error would train on other data.
    """
    if data_dir is not None and not _is_folder(absolute(data_dir)):
        raise DataError(
            f"the data folder {data_dir} is not a folder", "Name an existing one with `--data-dir`."
        )
    if not source.torchvision:
        return [Place(_built_in_folder())]
    found = [place for root in _roots(data_dir) for place in places_below(root, source)]
    found.append(Place(SYSTEM_ROOT / source.name))
    return list(dict.fromkeys(found))


def places_below(root: Path, source: Source) -> list[Place]:
    """The places below a root, the most telling first: by name, torchvision's, the root itself."""
    return [
        Place(root / source.name),
        Place(root / source.torchvision / "raw"),
        Place(root, shared=True),
    ]


def look(place: Place, source: Source) -> tuple[Located | None, str]:
    """Look for a data set's four files in one place.

    Returns:
        The files, or None where one is missing; and the place in words, with what is wrong with it
        if more than absence.
    """
    origin = str(place.folder) if source.torchvision else BUILT_IN
    paths = {file: _file_in(place.folder, file) for file in FILES}
    present = [path for path in paths.values() if path is not None]
    if len(present) < len(FILES):
        missing = ", ".join(file for file, path in paths.items() if path is None)
        return None, f"{origin} (lacks {missing})" if present else origin
    located = Located(source.name, origin, *present)
    if place.shared and (other := _other_owner(located.test_labels, source)):
        return None, f"{origin} (holds {other.name})"
    return located, origin


def absolute(path: Path | str) -> Path:
    """A path as a person writes it, with `~` expanded and made absolute where that is possible."""
    path = Path(path)
    # No such user, or a working directory that someone deleted: then it is simply not found.
    with contextlib.suppress(RuntimeError):
        path = path.expanduser()
    with contextlib.suppress(OSError):
        path = path.absolute()
    return path


def _search(source: Source, data_dir: Path | str | None) -> Availability:
    tried = []
    for place in places(source, data_dir):
        located, words = look(place, source)
        tried.append(words)
        if located:
            return Availability(source, located, tuple(tried))
    return Availability(source, None, tuple(tried))


def _roots(data_dir: Path | str | None) -> Iterator[Path]:
    if data_dir is not None:
        yield absolute(data_dir)
    if variable := os.environ.get(DATA_DIR_VARIABLE):
        yield absolute(variable)
    yield cache_root()
    # What torchvision's own examples write to.
    yield absolute("data")


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _built_in_folder() -> Path:
    return Path(str(resources.files("engine.data.builtin")))


def _file_in(folder: Path, file: str) -> Path | None:
    """A data set's file in a folder; the .gz where both lie there, for it is what we download."""
    for path in (folder / f"{file}.gz", folder / file):
        # A folder that may not be entered counts as one without the file.
        with contextlib.suppress(OSError):
            if path.is_file():
                return path
    return None


def _other_owner(test_labels: Path, source: Source) -> Source | None:
    """Which other data set these 10 kB of labels belong to, if they belong to one."""
    try:
        with gzip.open(test_labels) if test_labels.suffix == ".gz" else test_labels.open("rb") as f:
            found = hashlib.sha256(f.read(2**20)).hexdigest()
    except (OSError, EOFError, zlib.error):
        return None
    for other in SOURCES.values():
        if other.sha256[TEST_LABELS] == found and source.sha256[TEST_LABELS] != found:
            return other
    return None
