"""What a run folder holds is for whom the umask says, and never for everybody to change."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

TRAIN = [
    "train",
    "--dataset",
    "fashion-mnist-10k",
    "--steps",
    "2",
    "--batch-size",
    "8",
    "--num-train-timesteps",
    "4",
    "--name",
    "tiny",
    "--unconditional",
    "--set",
    "model.block_out_channels=[8]",
    "--set",
    "model.norm_num_groups=4",
    "--set",
    "model.attention_levels=[]",
    "--set",
    "preview.num=1",
]
VERBS = (TRAIN, ["sample", "tiny", "--num", "1"], ["note", "tiny", "x"], ["export", "tiny"])


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
    for verb in VERBS:
        subprocess.run(
            [sys.executable, "-m", "ddpm_tui", *verb, "--runs-dir", str(tmp_path / "runs")],
            cwd=Path(__file__).parents[2],
            check=True,
            capture_output=True,
            umask=umask,
        )
    found = {
        str(path.relative_to(tmp_path)): stat.S_IMODE(path.stat().st_mode)
        for path in (tmp_path / "runs", *(tmp_path / "runs").rglob("*"))
    }
    assert len(found) > 20
    for name, mode in found.items():
        wanted = folder if (tmp_path / name).is_dir() else file
        if name.endswith(".lock"):
            wanted &= 0o644  # as filelock makes it
        assert oct(mode) == oct(wanted), name
