"""Every parser of what comes from outside, with real files to damage and how they are read.

A reader gets the damaged bytes and a folder of its own, reads them as the program does, and goes
on to what the program makes of the result: rows, reports, figures.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import shutil
import struct
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors import SafetensorError
from safetensors.torch import save as save_tensors

from ddpm_tui import preferences
from ddpm_tui.comparing import comparison_text
from ddpm_tui.headless.editing import changes_at, seed_pair
from ddpm_tui.headless.plotting import loss_plot
from ddpm_tui.report import run_report, runs_table
from ddpm_tui.sanitize import clean
from ddpm_tui.screenshot.unattended import parse_size
from ddpm_tui.terminal.budget import parse_budget
from ddpm_tui.terminal.reading import Reader
from engine.compare.standing import compare, facts, read_standing
from engine.config import from_toml, make_config, to_toml
from engine.data import idx
from engine.data.pictures import load_mask, load_picture
from engine.errors import EngineError
from engine.gpus import Board, visible_devices
from engine.images import read_png, write_png
from engine.prompts import parse_prompt
from engine.runs.checkpoint import best_checkpoint, find_checkpoint, list_checkpoints
from engine.runs.curves import CurveReader
from engine.runs.filter import parse_filter
from engine.runs.folder import Run, check_name, create_run
from engine.runs.index import INDEX, RunIndex
from engine.runs.keeping import list_trash, note_of, tags_of
from engine.runs.metrics import Metrics, drop_rows_after, tail_losses
from engine.runs.order import sorted_rows
from engine.runs.requests import Requests
from engine.runs.scores import list_scores
from engine.runs.summary import summary
from engine.settings import parse_settings
from engine.state_dict import read_state_dict
from engine.takes.favourites import list_favourites
from engine.takes.files import read_recipe
from engine.takes.recipe import Recipe
from engine.takes.sources import _read_npy
from engine.takes.text import parse_origin, parse_turn, to_json
from engine.tensors import read_fitting
from tests.fuzz import mutation

Read = Callable[[bytes, Path], object]


@dataclass(frozen=True)
class Parser:
    """A parser of what comes from outside.

    Attributes:
        seeds: what it is made for, to be damaged.
        mutate: how.
        read: reads the bytes as the program does, in a folder of its own.
        refusals: what it may raise: what its own text says.
    """

    seeds: Sequence[bytes]
    mutate: mutation.Mutator
    read: Read
    refusals: tuple[type[BaseException], ...] = (EngineError,)


# --- A run to damage ------------------------------------------------------------------------------

_SCORE = {
    "step": 6,
    "dataset": "mnist",
    "extractor": "mnist-v1-12345678",
    "sampling": {"sampler": "ddim", "num_inference_steps": 10},
    "generated": {"n": 100, "frechet": 1.5, "precision": 0.5, "recall": 0.4, "kernel": {"mean": 1}},
    "floor": {"n": 100, "frechet": 0.5, "precision": 0.7, "recall": 0.6, "kernel": {"mean": 0.5}},
}
_ROW = {
    "loss": 0.5,
    "lr": 1e-3,
    "grad_norm": 1.0,
    "images_per_second": 100.0,
    "elapsed": 2.0,
    "skipped": 0,
    "loss_by_t": [0.1] * 15 + [None],
}
_STATE = {
    "step": 6,
    "eval_loss": 0.25,
    "loss": 0.5,
    "elapsed": 2.0,
    "image_shape": [1, 4, 4],
    "class_names": ["a", "b"],
    "parameters": 12,
    "rollbacks": 0,
    "scaler": {},
}
_METRICS = b"".join(json.dumps({"step": step, **_ROW}).encode() + b"\n" for step in range(1, 9))


def _manifest() -> bytes:
    files = {"state.json": json.dumps(_STATE).encode(), "ema.safetensors": _weights()}
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    return json.dumps({"step": 6, "sha256": hashes}).encode()


def _recipe() -> bytes:
    config = make_config("article", dataset_size=100)
    turns = ["12 ask prompt=Bag", "12 renoise t=995", "20 branch picture=3 copies=6 prompt=Bag"]
    turns += ["30 inpaint picture=0 mask=left copies=4"]
    recipe = Recipe("run1", 6, config.sampling, 3, turns=tuple(map(parse_turn, turns)))
    return json.dumps(to_json(recipe)).encode()


def _run(folder: Path) -> Run:
    """The run of a folder; made the first time, and the same from then on."""
    if (folder / "run1").exists():
        return Run(folder / "run1")
    run = create_run(folder, make_config(dataset_size=100), name="run1", command=["ddpm-tui"])
    run.metrics_path.write_bytes(_METRICS)
    run.log("trained")
    checkpoint = run.checkpoints_path / "step-00000006"
    checkpoint.mkdir()
    (checkpoint / "state.json").write_text(json.dumps(_STATE))
    (checkpoint / "ema.safetensors").write_bytes(_weights())
    (checkpoint / "MANIFEST.json").write_bytes(_manifest())
    (run.path / "evaluations").mkdir()
    (run.path / "evaluations/first.json").write_text(json.dumps(_SCORE))
    return run


@cache
def _made(name: str) -> bytes:
    """A file of a run as the program writes it."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        return (_run(Path(folder)).path / name).read_bytes()


def _printed(run: Run) -> None:
    """What the verbs make of a run, for people and for scripts."""
    rows = [summary(run)]
    sorted_rows(rows, "loss")
    parse_filter("name:run state:x loss:<1 age:<2d word").matches(rows[0])
    texts = [runs_table(rows), json.dumps(rows)]
    with suppress(EngineError):
        run.info()
        told = {**rows[0], "checkpoints": [6], "best_checkpoint": 6, "samples": []}
        if rows[0]["state"] != "unreadable":
            texts.append(run_report({**told, "config": run.config_values()}))
    comparison = compare([read_standing(run), read_standing(run)])
    texts += [comparison_text(comparison), json.dumps(facts(comparison))]
    for text in texts:
        _check_harmless(text)


def _check_harmless(text: str) -> None:
    """Nothing that a terminal obeys; the lines of a report may end."""
    for line in text.split("\n"):
        assert line == clean(line), f"a terminal would obey {line!r}"


def _in_place_of(name: str, *more: Callable[[Run], object]) -> Read:
    """A reader of a file of a run."""

    def read(data: bytes, folder: Path) -> None:
        run = _run(folder)
        (run.path / name).write_bytes(data)
        _printed(run)
        for each in more:
            each(run)

    return read


def _states(run: Run) -> None:
    for checkpoint in list_checkpoints(run):
        checkpoint.state()


def _checkpoints(run: Run) -> None:
    best_checkpoint(list_checkpoints(run))
    for checkpoint in list_checkpoints(run):
        checkpoint.verify()


def _metrics(data: bytes, folder: Path) -> None:
    path = folder / "metrics.jsonl"
    path.write_bytes(data)
    Metrics(path).read_all()
    reader = CurveReader(path)
    reader.poll(seconds=10)
    reader.curves.window("loss", points=40)
    reader.curves.loss_by_t(columns=10)
    tail_losses(path)
    _check_harmless(loss_plot(path, 40, 8, color=False))
    drop_rows_after(path, 5)


def _index(data: bytes, folder: Path) -> None:
    _run(folder)
    (folder / INDEX).write_bytes(data)
    _check_harmless(runs_table(RunIndex(folder).rows()))


def _written_index() -> bytes:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as name:
        _run(Path(name))
        index = RunIndex(Path(name))
        index.rows()
        index._keep(index._known)
        return (Path(name) / INDEX).read_bytes()


# --- Pictures, arrays, weights --------------------------------------------------------------------


def _picture(kind: str, mode: str = "RGB", **options: object) -> bytes:
    drawn = Image.fromarray((np.arange(16 * 16 * 3) % 251).astype(np.uint8).reshape(16, 16, 3))
    buffer = io.BytesIO()
    drawn.convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def _pictures() -> list[bytes]:
    plain = [_picture(kind) for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM")]
    modes = [_picture("PNG", mode) for mode in ("1", "L", "P", "RGBA", "I;16")]
    frames = [Image.new("L", (16, 16), value) for value in (0, 255)]
    animated = io.BytesIO()
    frames[0].save(animated, "GIF", save_all=True, append_images=frames[1:])
    return [*plain, *modes, animated.getvalue()]


def _grid() -> bytes:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "grid.png"
        write_png(path, np.zeros((4, 1, 8, 8), np.uint8), about={"take": json.loads(_recipe())})
        return path.read_bytes()


_LAYOUT = b'{"num": 4, "height": 8, "width": 8, "step": 1, "take": {}}'


def _layout(data: bytes, folder: Path) -> None:
    """A picture that is whole and says of itself what it likes."""
    text = PngInfo()
    text.add_text("ddpm-tui", data.decode(errors="replace"))
    path = folder / "grid.png"
    Image.new("L", (18, 18)).save(path, "PNG", pnginfo=text)
    read_png(path)


def _idx(shape: tuple[int, ...] = (2, 4, 4)) -> bytes:
    header = bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)
    return header + bytes(int(np.prod(shape)))


def _npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((2, 1, 4, 4), np.uint8))
    return buffer.getvalue()


def _weights() -> bytes:
    return save_tensors({"weight": torch.zeros(2, 3), "bias": torch.zeros(3)})


def _tensors(path: Path) -> None:
    try:
        read_fitting(path, {"weight": torch.zeros(2, 3), "bias": torch.zeros(3)})
    except ValueError as error:
        raise EngineError(str(error)) from error


def _saved() -> bytes:
    buffer = io.BytesIO()
    torch.save({"weight": torch.zeros(2, 3), "bias": torch.zeros(3)}, buffer)
    return buffer.getvalue()


def _program() -> bytes:
    with zipfile.ZipFile(io.BytesIO(_saved())) as archive:
        return archive.read("archive/data.pkl")


def _imported(path: Path) -> None:
    """What an import does before it takes the shapes for the article's."""
    for tensor in read_state_dict(path)[0].values():
        assert tensor.dtype, tensor.shape


def _reprogrammed(program: bytes, folder: Path) -> None:
    """An archive that is whole, with another pickle in it."""
    path = folder / "ddpm.pt"
    with zipfile.ZipFile(io.BytesIO(_saved())) as old, zipfile.ZipFile(path, "w") as new:
        for member in old.infolist():
            data = program if member.filename.endswith("data.pkl") else old.read(member)
            new.writestr(member, data)
    _imported(path)


def _which(data: bytes, folder: Path) -> None:
    find_checkpoint(_run(folder), data.decode(errors="replace"))


def _file(name: str, read: Callable[[Path], object]) -> Read:
    def reader(data: bytes, folder: Path) -> object:
        path = folder / name
        path.write_bytes(data)
        return read(path)

    return reader


def _text(*reads: Callable[[str], object]) -> Read:
    """A reader of what is typed; what it is refused with is shown to a person."""

    def reader(data: bytes, _: Path) -> None:
        refused: list[EngineError] = []
        for read in reads:
            try:
                read(data.decode(errors="surrogateescape"))
            except EngineError as error:
                assert clean(str(error)).isprintable()
                refused.append(error)
        if len(refused) == len(reads):
            raise refused[0]

    return reader


def _requests(data: bytes, folder: Path) -> None:
    run = _run(folder)
    (run.path / "requests").mkdir(exist_ok=True)
    (run.path / "requests/00000000000000000001-aaaaaaaa").write_bytes(data)
    requests = Requests(run)
    while requests.next() is not None:
        pass


def _trash(data: bytes, folder: Path) -> None:
    trash = folder / ".trash"
    name = data.decode(errors="surrogateescape").replace("/", "").replace("\0", "")[:80]
    shutil.rmtree(trash, ignore_errors=True)
    with suppress(OSError, UnicodeError):
        (trash / (name or "x")).mkdir(parents=True)
    for trashed in list_trash(folder):
        clean(trashed.name)


def _names(text: str) -> None:
    with suppress(EngineError):
        check_name(text)
        assert text == clean(text) and "/" not in text and not text.startswith(".")


def _log(data: bytes, folder: Path) -> None:
    from ddpm_tui.feed import _tail

    path = folder / "train.log"
    path.write_bytes(data)
    for line in _tail(path):
        _check_harmless(clean(line, 80))


def _terminal(data: bytes, _: Path) -> None:
    reader = Reader()
    text = data.decode(errors="replace")
    for at in range(0, len(text), 7):
        list(reader.feed(text[at : at + 7]))


_CLASSES = ("T-shirt/top", "Dress", "Coat", "Ankle boot", "7 + 1")


def _parsers() -> dict[str, Parser]:
    """The table: a parser by what it reads."""
    config = to_toml(make_config(dataset_size=100)).encode()
    article = to_toml(make_config("article", dataset_size=100)).encode()
    toml, jsons, jsonl = mutation.of_text, mutation.of_json, mutation.of_jsonl
    binary, words = mutation.of_bytes, mutation.of_words
    checkpoint = "checkpoints/step-00000006"
    return {
        "config.toml": Parser(
            [config, article], toml, _in_place_of("config.toml", Run.config_values, Run.config)
        ),
        "config from text": Parser(
            [config], toml, lambda d, _: from_toml(d.decode()), (EngineError, UnicodeDecodeError)
        ),
        "run.json": Parser([_made("run.json")], jsons, _in_place_of("run.json", tags_of, note_of)),
        "status.json": Parser(
            [_made("status.json")], jsons, _in_place_of("status.json", Run.status)
        ),
        "env.json": Parser([_made("env.json")], jsons, _in_place_of("env.json")),
        "state.json": Parser(
            [json.dumps(_STATE).encode()],
            jsons,
            _in_place_of(f"{checkpoint}/state.json", _states),
        ),
        "MANIFEST.json": Parser(
            [_manifest()],
            jsons,
            _in_place_of(f"{checkpoint}/MANIFEST.json", _checkpoints),
        ),
        "evaluations": Parser(
            [json.dumps(_SCORE).encode()],
            jsons,
            _in_place_of("evaluations/first.json", list_scores),
        ),
        "metrics.jsonl": Parser([_METRICS], jsonl, _metrics),
        ".index.jsonl": Parser([_written_index()], jsonl, _index),
        "favourites.json": Parser(
            [
                json.dumps(
                    {
                        "version": 1,
                        "favourites": [
                            {
                                "recipe": json.loads(_recipe()),
                                "picture": 1,
                                "added": 1.0,
                                "thumbnail": "a.png",
                            }
                        ],
                    }
                ).encode()
            ],
            jsons,
            _in_place_of("samples/favourites.json", list_favourites),
        ),
        "recipe": Parser([_recipe()], jsons, _file("a.recipe.json", _recipe_read)),
        "recipe in a PNG": Parser([_grid()], binary, _file("a.png", _recipe_read)),
        "grid PNG": Parser([_grid()], binary, _file("grid.png", read_png)),
        "grid PNG's layout": Parser([_LAYOUT], jsons, _layout),
        "picture": Parser(
            _pictures(),
            binary,
            _file("picture", lambda path: load_picture(path, (1, 16, 16), resize=True)),
        ),
        "mask": Parser(
            [_picture(kind) for kind in ("PNG", "GIF", "BMP")],
            binary,
            _file("mask", lambda path: load_mask(path, 16, 16)),
        ),
        "idx": Parser([_idx(), _idx((5,))], binary, _file("data", idx.read)),
        "idx.gz": Parser([gzip.compress(_idx())], binary, _file("data.gz", idx.read)),
        "npy": Parser([_npy()], binary, _file("a.npy", _read_npy)),
        "safetensors": Parser(
            [_weights()],
            binary,
            _file("a.safetensors", _tensors),
            (EngineError, OSError, SafetensorError),
        ),
        "requests": Parser([b"stop", b"pause"], binary, _requests),
        "train.log": Parser([_made("train.log")], toml, _log),
        "trash": Parser([b"run1-20260101-000000", b"run1-20260101-000000-2"], words, _trash),
        "preferences": Parser(
            [b'theme = "paper"\nlink_budget = 300\n[keys]\n"sample.draw" = "d,enter"\n'],
            toml,
            _file("config.toml", preferences.load),
        ),
        "terminal replies": Parser(
            [b"\x1b[200~paste\x1b[201~\x1b[A\x1b[<0;3;4M\x1b_Gi=31;OK\x1b\\\x1b[?62;4c"],
            binary,
            _terminal,
        ),
        "turn": Parser([b"12 ask prompt=Bag", b"12 branch copies=6"], words, _text(parse_turn)),
        "origin": Parser(
            [b"data:12,15", b"grid.png:3"], words, _text(lambda text: parse_origin(text, 0.4))
        ),
        "prompt": Parser(
            [b"0.6 dress + 0.4 coat", b"3"], words, _text(lambda text: parse_prompt(text, _CLASSES))
        ),
        "filter": Parser(
            [b"unet state:finished loss:<0.05 -tag:old age:<2d"], words, _text(_filtered)
        ),
        "--set": Parser(
            [b"training.lr=1e-3", b"model.block_out_channels=[8, 16]", b"sampling.prompt=x"],
            words,
            _text(_settings),
        ),
        "names and tags": Parser([b"run42", b"base/line"], words, _text(_names, _tagged)),
        "edit options": Parser(
            [b"400:dress", b"400:3", b"3,7"],
            words,
            _text(
                lambda text: changes_at([text], []), lambda text: changes_at([], [text]), seed_pair
            ),
        ),
        "--size": Parser([b"120x40"], words, _text(parse_size)),
        "--checkpoint": Parser([b"6", b"best"], words, _which),
        "article .pt": Parser([_saved()], binary, _file("ddpm.pt", _imported)),
        "article .pt, its program": Parser([_program()], binary, _reprogrammed),
        "--link-budget": Parser([b"100k", b"1.5M"], words, _text(parse_budget)),
        "CUDA_VISIBLE_DEVICES": Parser(
            [b"0,1", b"GPU-abc"],
            words,
            _text(lambda text: visible_devices(text, [Board("GPU-abc"), Board("GPU-def")])),
        ),
    }


def _recipe_read(path: Path) -> None:
    from engine.schedule import NoiseSchedule
    from engine.takes.versus import lay_lanes

    recipe = read_recipe(path)
    to_json(recipe)
    lay_lanes(NoiseSchedule.create("linear", 1000), recipe)


def _filtered(text: str) -> None:
    row = {"name": "run1", "tags": ["a"], "notes": "n", "state": "x", "loss": 1.0, "updated": 0.0}
    parse_filter(text).matches(row)


def _settings(text: str) -> None:
    make_config(dataset_size=100, **parse_settings([text]))


def _tagged(text: str) -> None:
    from engine.runs.keeping import check_tag

    assert check_tag(text) == clean(text)


PARSERS = _parsers()


def damaged(name: str, number: int) -> bytes:
    """A damaged input of a parser; the same one in every process."""
    parser = PARSERS[name]
    rng = random.Random(f"{name}:{number}")
    return parser.mutate(rng.choice(parser.seeds), rng)
