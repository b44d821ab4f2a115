"""Every edit of a run as a picture, twice as large: those of docs/steering.md.

python scripts/draw_edits.py runs long docs/images/edits
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

SCALE = 2

EDITS = {
    "start": ["--from-test", "3", "--from-test", "8", "--strength", "0.6", "--num", "4"],
    "inpaint": ["--mask", "right", "--from-test", "0", "--from-test", "2", "--num", "4"],
    "switch": ["--prompt", "trouser", "--prompt-at", "800:dress", "--num", "8"],
    "renoise": ["--at", "200", "--back-to", "800", "--num", "8"],
    "branch": ["--at", "850", "--num", "8", "--picture", "7"],
    "interpolate": ["--seeds", "3,7", "--frames", "10", "--num", "3"],
    "invert": [
        *(f"--from-test={index}" for index in (0, 6, 9, 11, 16, 18)),
        *("--to-prompt", "coat", "--refine", "2"),
    ],
}


def main(runs_dir: str, name: str, out: str) -> None:
    Path(out).mkdir(parents=True, exist_ok=True)
    for verb, arguments in EDITS.items():
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "ddpm_tui", "edit", verb, name, *arguments]
            command += ["--runs-dir", runs_dir, "--out", folder, "--json"]
            facts = json.loads(subprocess.check_output(command, text=True))
            with Image.open(facts["png"]) as sheet:
                larger = sheet.resize(
                    (SCALE * sheet.width, SCALE * sheet.height), Image.Resampling.NEAREST
                )
            larger.save(Path(out) / f"{verb}.png", optimize=True)
        print(verb, facts["rows"], flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
