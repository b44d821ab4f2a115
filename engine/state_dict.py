"""A state dict that `torch.save` wrote, from a file of anybody's.

Such a file is a zip archive with a pickle in it, a program for a small machine. What the program
would do is looked at before any of it is done: it may build a dictionary of tensors, and not name
anything else. Then `torch.load(weights_only=True)` reads it, which would refuse most of the rest.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import warnings
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from engine.errors import DataError, last_line
from engine.runs.outside import read_bytes

# The article's network has 2.5 MB.
MAX_BYTES = 64 << 20
# Of the pickle: names and shapes.
_MAX_PROGRAM = 4 << 20

_ZIP = b"PK\x03\x04"
_STORAGES = ("Float", "Half", "BFloat16", "Double", "Long", "Int", "Short", "Char", "Byte", "Bool")
_NAMES = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    *(f"torch {kind}Storage" for kind in _STORAGES),
}
# What builds dictionaries, tuples, words and numbers, and calls what `_NAMES` names.
# fmt: off
_INSTRUCTIONS = {
    "PROTO", "STOP", "MARK", "GLOBAL", "REDUCE", "BUILD", "BINPERSID", "BINPUT", "LONG_BINPUT",
    "BINGET", "LONG_BINGET", "EMPTY_DICT", "SETITEM", "SETITEMS", "EMPTY_TUPLE", "TUPLE",
    "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "APPEND", "APPENDS", "BINUNICODE", "BININT",
    "BININT1", "BININT2", "LONG1", "BINFLOAT", "NEWFALSE", "NEWTRUE", "NONE",
}
# fmt: on
_SAVE = "Save the weights alone: torch.save(ddpm.state_dict(), FILE)."
# What torch raises, between its parts, for an archive that is damaged.
_DAMAGED = (
    RuntimeError,
    pickle.UnpicklingError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    AssertionError,
    OverflowError,
    EOFError,
)


def read_state_dict(path: Path) -> tuple[dict[str, Tensor], bytes]:
    """The tensors of a file by name, on the CPU, and all bytes of the file.

    Their shapes are as the file says and may be larger than what it holds: look at them first.

    Raises:
        DataError: it cannot be read, is too large, or is anything but a state dict.
    """
    try:
        data = read_bytes(path, MAX_BYTES)
    except IsADirectoryError:
        raise DataError(
            f"{path} is a folder, not saved weights",
            "Name the .pt file that the article's training stored; a diffusers folder holds "
            "another network.",
        ) from None
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}") from None
    if not data.startswith(_ZIP):
        raise DataError(f"{path} is not a file of torch.save", _instead(data))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a damaged file, on the screen
        value = _loaded(path, data)
    if not isinstance(value, dict) or not value:
        raise DataError(f"{path} holds no state dict", _SAVE)
    for name, tensor in value.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise DataError(
                f"{path} holds {type(tensor).__name__} under {name!r:.80}, not a tensor",
                _SAVE,
            )
    return dict(value), data


def _loaded(path: Path, data: bytes) -> object:
    _check_program(path, _program(path, data))
    try:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except _DAMAGED as error:
        raise DataError(f"{path} is damaged: {last_line(error)}", _SAVE) from None


def _instead(data: bytes) -> str:
    """What to do with what is no archive of torch.save, by how it begins."""
    if data[8:10] == b'{"':
        return "It looks like safetensors: load it in Python, and torch.save what it holds."
    if data[:1] == b"\x80":
        return (
            "It may be of a torch before 1.6: there, or with weights_only=True, load it and "
            "torch.save it again."
        )
    return "The article's training stores one with torch.save(ddpm.state_dict(), FILE)."


def _program(path: Path, data: bytes) -> bytes:
    """The pickle of an archive, in which nothing is packed: it holds no more than its bytes."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            packed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
            if packed or sum(member.file_size for member in members) > len(data):
                raise DataError(
                    f"{path} unpacks to more than it holds, as no file of torch.save does", _SAVE
                )
            programs = [each for each in members if each.filename.endswith("data.pkl")]
            if len(programs) != 1 or programs[0].file_size > _MAX_PROGRAM:
                raise DataError(f"{path} is not a file of torch.save", _SAVE)
            return archive.read(programs[0])
    except (zipfile.BadZipFile, *_DAMAGED, NotImplementedError, OSError) as error:
        raise DataError(f"{path} is damaged: {last_line(error)}", _SAVE) from None


def _check_program(path: Path, program: bytes) -> None:
    """Raises DataError unless a pickle builds a dictionary of tensors and nothing else."""
    try:
        for instruction, argument, _ in pickletools.genops(program):
            if instruction.name == "GLOBAL" and argument not in _NAMES:
                named = str(argument).replace(" ", ".")
                raise DataError(
                    f"{path} holds more than weights: it names {named:.80}, and nothing of it was "
                    "loaded",
                    _SAVE,
                )
            if instruction.name not in _INSTRUCTIONS:
                raise DataError(
                    f"{path} holds more than weights ({instruction.name}), and nothing of it was "
                    "loaded",
                    _SAVE,
                )
    except (ValueError, IndexError, UnicodeError, OverflowError) as error:
        raise DataError(f"{path} is damaged: {last_line(error)}", _SAVE) from None
