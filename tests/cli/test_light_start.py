"""The quick verbs are quick because they load neither torch nor textual."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROBE = """
import sys
from ddpm_tui.cli import main
sys.argv = ["ddpm-tui", *{arguments!r}]
try:
    main()
except SystemExit as end:
    assert end.code in (0, None), end.code
loaded = {{name.split(".")[0] for name in sys.modules}}
heavy = loaded & {{"torch", "torchvision", "textual", "diffusers", "plotext"}}
print("heavy:", sorted(heavy), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--version",),
        ("train", "--help"),
        ("inspect", "--help"),
        ("edit", "--help"),
        ("edit", "inpaint", "--help"),
        ("sample", "--help"),
        ("config",),
        ("runs",),
        ("runs", "--json"),
        ("runs", "--filter", "state:finished", "--sort", "loss", "--archived"),
        ("show", "tiny"),
        ("compare", "tiny"),
        ("compare", "tiny", "--json"),
        ("tag", "tiny", "base"),
        ("note", "tiny", "a first one"),
        ("trash",),
        ("export", "tiny"),
        ("data",),
        ("keys",),
    ],
    ids=" ".join,
)
def test_neither_torch_nor_textual_is_imported(trained: Path, arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(arguments=arguments)],
        cwd=trained.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.splitlines()[-1] == "heavy: []", done.stderr
