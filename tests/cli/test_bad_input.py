"""Mistakes of a user: one clear sentence, what to do, exit code 1 or 2, nothing changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Cli, run_cli

TRAIN = ("train", "--dataset", "fashion-mnist-10k")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("show", "../x"), 2, "not a run name"),
        (("show", "/etc"), 2, "not a run name"),
        (("resume", "nobody"), 1, "no run 'nobody'"),
        (("sample", "nobody"), 1, "no run 'nobody'"),
        (("export", "nobody"), 1, "no run 'nobody'"),
        ((*TRAIN, "--steps", "-3"), 2, "--steps"),
        ((*TRAIN, "--steps", "many"), 2, "--steps"),
        ((*TRAIN, "--lr", "99"), 2, "training.lr"),
        ((*TRAIN, "--lr", "nan"), 2, "training.lr"),
        ((*TRAIN, "--steps", "1", "--epochs", "1"), 2, "exclude each other"),
        ((*TRAIN, "--preset", "best"), 2, "no preset 'best'"),
        ((*TRAIN, "--model", "dalle"), 2, "model.name"),
        ((*TRAIN, "--name", "a/b"), 2, "not a run name"),
        ((*TRAIN, "--device", "tpu"), 1, "device"),
        ((*TRAIN, "--device", "cuda:9"), 1, "cuda:9"),
        ((*TRAIN, "--set", "training.steps=1", "--epochs", "1"), 2, "exclude each other"),
        ((*TRAIN, "--set", "training.snr_gama=5"), 2, "Did you mean training.snr_gamma?"),
        ((*TRAIN, "--set", "training.lr=99"), 2, "training.lr"),
        ((*TRAIN, "--lr", "0.1", "--set", "training.lr=0.2"), 2, "training.lr is given by --set"),
        (
            (*TRAIN, "--unconditional", "--set", "sampling.prompt=dress"),
            2,
            "model.class_conditional",
        ),
        (
            (*TRAIN, "--class-conditional", "--set", "preview.prompt=hat"),
            2,
            "'hat' in the prompt 'hat' is no class",
        ),
        ((*TRAIN, "--class-conditional", "--model", "article"), 2, "neither classes nor patches"),
        ((*TRAIN, "--prediction-type", "velocity"), 2, "velocity"),
        ((*TRAIN, "--tui", "--link-budget", "much"), 2, "'much' is no number of kB/s"),
        ((*TRAIN, "--tui", "--link-budget", "3k"), 2, "kB/s from 5"),
        (("--link-budget", "100x"), 2, "Write 100k"),
        (("config", "--preset", "best"), 2, "no preset 'best'"),
        (("train", "--dataset", "imagenet"), 2, "imagenet"),
        (("train", "--dataset", "mnist"), 1, "ddpm-tui data get mnist"),
        ((*TRAIN, "--runs-dir", "/proc/no/runs"), 1, "/proc/no/runs"),
        (("forward", "--num", "0"), 2, "--num"),
        (("frobnicate",), 2, "No such command 'frobnicate'. See `"),
        (("evaluat",), 2, "Did you mean 'evaluate'? See `"),
        (("sample", "--num", "0", "x"), 2, "sample --help`."),
        (("--data-dir", "/nowhere", "data"), 1, "/nowhere is not a folder"),
        (("--device", "cuda:9", *TRAIN), 1, "cuda:9"),
        ((), 1, "needs a terminal"),
    ],
)
def test_a_mistake_gets_a_sentence_and_changes_nothing(
    cli: Cli, tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = cli(*arguments, env={"HOME": str(tmp_path / "home"), "DDPM_TUI_DATA": ""})
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--prompt", "\x1b]0;hat\x07"), "is no class of this data set. The classes are: T-shirt"),
        (("--prompt", "dress +"), "A class is missing in the prompt 'dress +'"),
        (("--prompt", "0 dress"), "The weights of the prompt '0 dress' add up to 0"),
        (("--prompt", "x" * 501), "sampling.prompt: string should have at most 500 characters"),
        (("--guidance-scale", "-1"), "sampling.guidance_scale"),
        (("--guidance-scale", "nan"), "sampling.guidance_scale"),
        (("--sampler", "euler"), "--sampler"),
        (("--seed", "-5"), "--seed"),
        (("--set", "training.lr=1"), "training.lr was settled when the run was trained"),
        (("--set", "sampling.stepps=1"), "There is no setting 'sampling.stepps'"),
        (
            ("--sampler", "ddim", "--set", "sampling.sampler=ddpm"),
            "sampling.sampler is given by --set and by its own option",
        ),
    ],
)
def test_a_picture_that_cannot_be_asked_for(
    conditional: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = run_cli("sample", "classes", "--runs-dir", str(conditional), *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert "\x1b" not in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_run_without_classes_cannot_be_asked_for_one(trained: Path, tmp_path: Path) -> None:
    where = ("--runs-dir", str(trained))
    done = run_cli("sample", "tiny", "--prompt", "dress", *where, cwd=tmp_path)
    assert done.returncode == 2
    assert "sampling.prompt needs a network that was told the classes" in done.stderr


def test_an_altered_data_file_is_refused(cli: Cli, tmp_path: Path) -> None:
    import engine.data.builtin

    source = Path(engine.data.builtin.__path__[0])
    folder = tmp_path / "downloads" / "fashion-mnist"
    folder.mkdir(parents=True)
    for path in source.glob("*.gz"):
        # The built-in set has the file names of the full one, and other contents.
        shutil.copy(path, folder)
    done = cli("train", "--dataset", "fashion-mnist", "--data-dir", str(folder.parent))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "downloads/fashion-mnist/train-images" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_truncated_data_file_is_refused(cli: Cli, tmp_path: Path) -> None:
    import engine.data.builtin

    source = Path(engine.data.builtin.__path__[0])
    shutil.copytree(source, tmp_path / "data" / "mnist")
    images = tmp_path / "data/mnist/train-images-idx3-ubyte.gz"
    images.write_bytes(images.read_bytes()[:1000])
    done = cli("train", "--dataset", "mnist", "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "train-images-idx3-ubyte.gz" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_taken_name_is_not_reused(trained: Path, tmp_path: Path) -> None:
    where = ("--runs-dir", str(trained))
    done = run_cli(*TRAIN, "--name", "tiny", *where, cwd=tmp_path)
    assert done.returncode == 1
    assert "already a run 'tiny'" in done.stderr


def test_a_checkpoint_that_does_not_verify_is_not_used(trained: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(trained, runs)
    weights = runs / "tiny/checkpoints/step-00000006/ema.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    for verb in ("sample", "export"):
        done = run_cli(verb, "tiny", cwd=tmp_path)
        assert done.returncode == 1
        assert "does not verify: ema.safetensors was altered" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_run_of_a_newer_version_is_refused_by_name(trained: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(trained, runs)
    about = runs / "tiny/run.json"
    about.write_text(about.read_text().replace('"schema_version": 1', '"schema_version": 99'))
    done = run_cli("show", "tiny", cwd=tmp_path)
    assert done.returncode == 1
    assert "version 99" in done.stderr


def test_a_closed_pipe_is_no_error(trained: Path, tmp_path: Path) -> None:
    import subprocess
    import sys

    command = f"{sys.executable} -m ddpm_tui runs --runs-dir {trained} --json | true"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stderr == ""
