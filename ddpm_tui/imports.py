"""What is imported, and from where, whatever lies around: our own `engine`; PyTorch if it loads.

Only the standard library is imported here, and little of it (`os`, not `pathlib`): a file of the
user may hide any of it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import module_from_spec
from types import ModuleType

_BESIDE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Bytes of address space. PyTorch takes up to five to load; more is enough for any build of it.
_ROOMY = 16 << 30
_HINT = "`pip install --force-reinstall torch torchvision` mends a broken installation."


def forget_working_directory() -> None:
    """`python -m` looks for every module where the user happens to be first; the command does not.

    A checkout of this program stays on the path: there it may be found nowhere else.
    """
    if not sys.flags.safe_path and sys.path[0] != _BESIDE:
        del sys.path[0]


def own_engine() -> None:
    """Import the `engine` beside this package, and not another of that name on the path."""
    spec = PathFinder.find_spec("engine", [_BESIDE])
    if "engine" not in sys.modules and spec is not None and spec.loader is not None:
        sys.modules["engine"] = engine = module_from_spec(spec)
        spec.loader.exec_module(engine)


@contextmanager
def explained() -> Iterator[None]:
    """End with one sentence if a module of the user hides one of ours, or the folder is gone.

    Raises:
        SystemExit: with the sentence.
    """
    try:
        yield
    except (ImportError, AttributeError, SyntaxError) as error:
        if hidden := _hidden_by(error):
            raise SystemExit(f"ddpm-tui: {hidden}") from None
        raise
    except OSError:
        if gone := _gone():
            raise SystemExit(f"ddpm-tui: {'. '.join(gone)}") from None
        raise


def _hidden_by(error: Exception) -> str:
    """Which file hides a module that is needed, as a sentence; empty if none does."""
    if isinstance(error, SyntaxError):
        path = error.filename or ""
        return _hidden(os.path.basename(path).removesuffix(".py"), path)
    if isinstance(error, ImportError):
        name = error.name or ""
    else:
        module = getattr(error, "obj", None)
        name = module.__name__ if isinstance(module, ModuleType) else ""
    name = name.partition(".")[0]
    return _hidden(name, getattr(sys.modules.get(name), "__file__", None) or "")


def _hidden(name: str, path: str) -> str:
    """The same, of a module and the file that was found for it."""
    if not name or not path:
        return ""
    found = path.removesuffix(f"{os.sep}__init__.py")
    folder = os.path.dirname(found)
    others = [other for other in sys.path if os.path.abspath(other) != folder]
    if PathFinder.find_spec(name, others) is None:
        return ""
    return (
        f"{found!r} hides the module {name!r} that the program needs. Rename it, or take its "
        "folder out of PYTHONPATH."
    )


def _gone() -> tuple[str, str] | None:
    """What is wrong with the working directory, and what to do; None if it is there."""
    try:
        os.getcwd()
    except OSError:
        return (
            "The working directory has been deleted",
            "Go to a folder that is there, such as `cd ~`, and try again.",
        )
    return None


# --- PyTorch -------------------------------------------------------------------------------------


def guard_torch() -> None:
    """From now on a PyTorch that cannot be loaded is an `EngineError`, wherever it is imported."""
    if "torch" not in sys.modules and not any(isinstance(f, _TorchFinder) for f in sys.meta_path):
        sys.meta_path.insert(0, _TorchFinder())


class _TorchFinder:
    """Finds what Python would find, and has it loaded by `_TorchLoader`."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "torch":
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _TorchLoader(spec.loader.name, spec.loader.path)
        return spec


class _TorchLoader(SourceFileLoader):
    # A second attempt in this process would find half of it there, and fail with another error.
    _failed: tuple[str, str] | None = None

    def exec_module(self, module: ModuleType) -> None:
        """Raises EngineError: it cannot be loaded."""
        from engine.errors import EngineError

        if wrong := _TorchLoader._failed or _gone() or _too_little_memory():
            raise EngineError(*wrong)
        try:
            super().exec_module(module)
            if not hasattr(module, "Tensor"):
                raise ImportError("it has no Tensor", name="torch", path=self.path)
        except Exception as error:
            reason = _last_line(str(error) or type(error).__name__)
            hidden = _hidden_by(error) or _hidden("torch", self.path)
            _TorchLoader._failed = (
                (hidden.rstrip("."), "")
                if hidden
                else (f"PyTorch cannot be loaded: {reason}", _HINT)
            )
            raise EngineError(*_TorchLoader._failed) from error


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it ended without a word"])[-1].strip().rstrip(".")


def _too_little_memory() -> tuple[str, str] | None:
    """What is wrong under a tight limit of memory, and what to do; None if PyTorch loads.

    Some of its libraries end the process when they get no memory, so another one tries first.
    """
    import resource
    import subprocess

    limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    finite = [limit for limit in limits if limit != resource.RLIM_INFINITY]
    if not finite or min(finite) > _ROOMY:
        return None
    done = subprocess.run(
        [sys.executable, "-P", "-c", "import torch"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode == 0:
        return None
    return (
        f"PyTorch cannot be loaded in the {min(finite) / 2**30:.1f} GiB of memory that this shell "
        f"allows: {_last_line(done.stderr)}",
        "Raise the limit, as by `ulimit -v unlimited`.",
    )
