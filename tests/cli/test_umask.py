"""What a run folder holds is for whom the umask says, and never for everybody to change."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

# One process, which loads PyTorch once.
VERBS = """
import sys
from ddpm_tui.cli import main

for verb in (
    "train --dataset fashion-mnist-10k --steps 2 --batch-size 8 --num-train-timesteps 4 "
    "--name tiny --unconditional --set model.block_out_channels=[8] "
    "--set model.norm_num_groups=4 --set model.attention_levels=[] --set preview.num=1",
    "sample tiny --num 1",
    "note tiny x",
    "export tiny",
):
    sys.argv = ["ddpm-tui", *verb.split(), "--runs-dir", sys.argv[-1]]
    try:
        main()
    except SystemExit as end:
        assert not end.code, verb
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("umask", "file", "folder"),
    [
        (0o022, 0o644, 0o755),
        (0o077, 0o600, 0o700),
        (0o000, 0o664, 0o775),
    ],
    ids=oct,
)
def test_files_have_the_modes_that_the_umask_asks_for(
    tmp_path: Path, umask: int, file: int, folder: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", VERBS, str(tmp_path / "runs")],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        umask=umask,
    )
    assert done.returncode == 0, done.stderr
    found = {
        str(path.relative_to(tmp_path)): stat.S_IMODE(path.stat().st_mode)
        for path in (tmp_path / "runs", *(tmp_path / "runs").rglob("*"))
    }
    assert len(found) > 20
    for name, mode in found.items():
        wanted = folder if (tmp_path / name).is_dir() else file
        assert oct(mode) == oct(wanted), name
