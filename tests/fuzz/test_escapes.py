"""Every text of a runs folder hostile, every verb and every view: nothing reaches the terminal."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from textual.pilot import Pilot

from ddpm_tui.app import Workbench
from engine.images import write_png
from engine.runs.checkpoint import MANIFEST, list_checkpoints
from engine.runs.folder import Run
from engine.runs.keeping import delete
from engine.takes.recipe import Ask, Recipe
from engine.takes.text import to_json
from tests.cli.conftest import run_cli
from tests.tui.conftest import _no_wait_for_workers, train  # noqa: F401 - for the views

# A title, a clearing, a colour as C1, an override of the direction, a hidden one, a bell, markup.
EVIL = "\x1b]0;pwned\x07\x1b[2J\x9b31m\u202eevil\u2066\u200b\x07\x7f\x00[red]mark[/red]\r\nnext"
IN_A_NAME = EVIL.replace("/", "").replace("\x00", "")


@pytest.fixture(scope="session")
def _hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs that were trained, and whose texts a stranger wrote; one deleted, one of a name
    that no run has."""
    runs = train(tmp_path_factory.mktemp("hostile") / "runs", "one")
    one = Run(runs / "one")
    for name in ("two", IN_A_NAME):
        shutil.copytree(one.path, runs / name)
    spoil(one, EVIL)
    spoil(Run(runs / "two"), f"2{EVIL}")
    shutil.copytree(one.path, runs / f"gone{IN_A_NAME}")
    delete(Run(runs / f"gone{IN_A_NAME}"))
    # And some that cannot be read.
    for number, file in enumerate(("run.json", "status.json", "config.toml")):
        shutil.copytree(one.path, runs / f"bad{number}")
        (runs / f"bad{number}" / file).write_text(EVIL)
    shutil.copytree(one.path, runs / "odd")
    _change(runs / "odd/run.json", schema_version=EVIL)
    return runs


@pytest.fixture
def hostile(_hostile: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(_hostile, tmp_path / "runs"))


def _change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def spoil(run: Run, evil: str) -> None:
    """Put a text wherever a run folder has one."""
    _change(run.path / "run.json", tags=[evil], notes=evil, name=evil, parent=evil)
    _change(run.path / "status.json", state="failed", reason=evil, device=evil, host=evil)
    packages = {evil: evil, "torch": evil, "ddpm-tui": evil}
    _change(
        run.path / "env.json",
        **{"python": evil, "platform": evil, "host": evil, "command": [evil, evil], evil: evil},
        packages=packages,
    )
    run.log_path.write_text(f"{evil}\n" * 5)
    config = run.config_path.read_text().replace('preset = "default"', f"preset = {_toml(evil)}")
    run.config_path.write_text(config)
    with run.metrics_path.open("a") as file:
        file.write(json.dumps({"step": 9, "loss": evil, "lr": evil, evil: evil}) + f"\n{evil}\n")
    for checkpoint in list_checkpoints(run):
        _change(checkpoint.path / "state.json", class_names=[evil, f"{evil}2"], scaler={evil: evil})
        manifest = json.loads((checkpoint.path / MANIFEST).read_text())
        digest = hashlib.sha256((checkpoint.path / "state.json").read_bytes()).hexdigest()
        manifest["sha256"]["state.json"] = digest
        (checkpoint.path / MANIFEST).write_text(json.dumps(manifest))
    grid = np.zeros((4, 1, 28, 28), np.uint8)
    write_png(run.samples_path / f"{IN_A_NAME}-step3.png", grid, about={"prompt": evil})
    write_png(run.samples_path / "step-00000003.png", grid, about={evil: evil})
    evaluation = {
        "step": 3,
        "dataset": evil,
        "extractor": evil,
        "sampling": {"sampler": evil, "num_inference_steps": evil},
        "generated": {"n": 100, "frechet": 1.5},
        "floor": None,
    }
    (run.path / "evaluations").mkdir(exist_ok=True)
    (run.path / "evaluations" / f"{IN_A_NAME}.json").write_text(json.dumps(evaluation))
    recipe = Recipe(evil, 3, run.config().sampling, turns=(Ask(1, evil),))
    entry = {"recipe": to_json(recipe), "picture": 0, "added": 1.0, "thumbnail": evil}
    favourites = {"version": 1, "favourites": [entry]}
    (run.samples_path / "favourites.json").write_text(json.dumps(favourites))
    (run.path / "evil.recipe.json").write_text(json.dumps(entry["recipe"]))


def _toml(text: str) -> str:
    import tomlkit

    return tomlkit.item(text).as_string()


def leaks(text: str) -> set[str]:
    """What a terminal would obey, or a reader be misled by."""
    return {
        character
        for character in text
        if character != "\n" and unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    }


COMMANDS = (
    "runs",
    "runs --json",
    "show one --no-plot",
    "show one --json",
    "compare one two",
    "trash",
    f"restore {IN_A_NAME}",
    "runs --archived --filter state:failed",
    "show one --plot",
    "show odd",
    "show bad1",
    "compare one two --json",
    "tag one",
    "note one",
    "trash --json",
    f"show {IN_A_NAME}",
    f"rename one {IN_A_NAME}",
    f"tag one {IN_A_NAME}",
    f"runs --filter ({IN_A_NAME}",
    f"sample one --set training.lr={IN_A_NAME}",
    f"import {IN_A_NAME}",
    f"take --recipe {IN_A_NAME}",
    f"--data-dir {IN_A_NAME} data",
    f"{IN_A_NAME}",
    "stop one",
    "sample one --num 1",
    f"sample one --num 1 --out {IN_A_NAME}",
    f"sample one --prompt {IN_A_NAME}",
    "take --recipe runs/one/evil.recipe.json",
    "take one --recipe runs/one/evil.recipe.json",
    f"edit start one --image {IN_A_NAME}",
    "inspect one",
    "inspect one --json",
    "export one",
    "forward --run one --num 1",
    "evaluate one --num 1",
    "resume one",
    "resume two --json",
    f"train --name {IN_A_NAME}",
    "keys",
)


def _arguments(command: str) -> list[str]:
    # The hostile text has spaces of its own, and stays one word.
    words = command.replace(IN_A_NAME, "\ue000").split()
    return [word.replace("\ue000", IN_A_NAME) for word in words]


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=lambda each: each.replace(IN_A_NAME, "EVIL"))
def test_no_verb_prints_what_a_terminal_obeys(hostile: Path, command: str) -> None:
    settings = hostile.parent / "settings.toml"
    settings.write_text("[keys]\n")
    done = run_cli(*_arguments(command), cwd=hostile.parent, env={"DDPM_TUI_CONFIG": str(settings)})
    said = done.stdout + done.stderr
    assert said, "a verb says something"
    assert leaks(said) == set()
    assert "Traceback" not in said
    if "--json" in command and done.returncode == 0:
        for line in done.stdout.splitlines():
            json.loads(line)


# --- The screen -----------------------------------------------------------------------------------


def drawn(app: Workbench) -> list[str]:
    """The rows of the screen as they are sent, a piece of one style each."""
    strips = app.screen._compositor.render_strips()
    return [segment.text for strip in strips for segment in strip if not segment.control]


async def _settled(pilot: Pilot[None]) -> None:
    for _ in range(60):
        await asyncio.sleep(0.05)
        if pilot.app.torch_ready and all(w.is_finished for w in pilot.app.workers):  # type: ignore[attr-defined]
            break
    await asyncio.sleep(0.6)  # a look of the feed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("view", "keys"),
    [
        ("runs", ("down", "down", "down", "slash", "m", "escape")),
        ("train", ("question_mark",)),
        ("sample", ("s", "a")),
        ("forward", ("d",)),
        ("inspect", ("right", "right", "right", "right", "right")),
        ("runs", ("space", "down", "space", "c", "right")),
        ("train", ("semicolon",)),
        ("runs", ("ctrl+p", "t", "m")),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
async def test_no_view_draws_what_a_terminal_obeys(
    hostile: Path, view: str, keys: tuple[str, ...]
) -> None:
    app = Workbench(hostile)
    app.current_run = Run(hostile / "one")
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await _settled(pilot)
        app.switch_mode(view)
        await _settled(pilot)
        assert leaks("".join(drawn(app))) == set()
        for key in keys:
            await pilot.press(key)
            await _settled(pilot)
            assert leaks("".join(drawn(app))) == set()
        assert any("mark" in text or "evil" in text or "one" in text for text in drawn(app))
