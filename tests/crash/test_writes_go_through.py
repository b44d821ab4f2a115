"""Every write of a run folder goes through `engine.runs.disk`: Python itself says who writes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# The life of a run, pictures drawn from it and an evaluation, while every write is asked who it is.
WATCHED = """
import os, sys
from pathlib import Path

runs_dir, disk = Path(sys.argv[1]), os.path.join("engine", "runs", "disk.py")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CALLS = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.utime", "os.link",
         "os.symlink", "os.chmod", "shutil.rmtree", "shutil.copyfile", "shutil.move"}
through, around = set(), set()

def who(event, args):
    if event == "open":
        path, _, flags = args
        if not flags & WRITES:
            return
    elif event in CALLS:
        path = args[0]
    else:
        return
    if isinstance(path, int):
        path = os.readlink(f"/proc/self/fd/{path}")
    path = os.path.abspath(os.fsdecode(path))
    if not path.startswith(str(runs_dir)):
        return
    frame = sys._getframe(1)
    while "/pathlib" in frame.f_code.co_filename:
        frame = frame.f_back
    if frame.f_code.co_filename.endswith(("/runs/lock.py", "/runs/heartbeat.py")):
        return  # the lock is a matter of its own
    name = os.path.basename(path)
    writer = f"{event} {name} by {frame.f_code.co_filename}"
    (through if frame.f_code.co_filename.endswith(disk) else around).add(writer)

sys.addaudithook(who)

import engine.train
engine.train._EVAL_IMAGES = 2
from engine.config import SamplingConfig
from engine.runs import keeping
from engine.runs.requests import Requests, ask
from engine.runs.index import RunIndex
from engine.sample_files import write_samples
from engine.sampling import load_trained
from tests.crash.life import Life
import engine.runs.index
engine.runs.index._WORTH_KEEPING = 1

life = Life(runs_dir)
for deed in life.deeds():
    deed()
with life.run.lock():
    ask(life.run, "stop")
Requests(life.run).forget()
RunIndex(runs_dir).rows()
trained = load_trained(life.run, which="last", device="cpu")
write_samples(trained, SamplingConfig(num=2, num_inference_steps=2), 0)
write_samples(trained, SamplingConfig(num=65, num_inference_steps=2), 1)  # an .npy as well
keeping.delete(life.run)
keeping.empty_trash(runs_dir)
print(len(through), "through,", len(around), "around", *sorted(around), sep="\\n")
sys.exit(bool(around) or len(through) < 40)
"""


@pytest.mark.slow
def test_every_write_of_a_run_folder_goes_through_one_module(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, str(tmp_path / "runs")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
