"""The verbs, as a script meets them: what they print, what they leave on disk, how they end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from engine.export import FILES
from tests.cli.conftest import Cli, run_cli


def test_train_prints_the_name_first_and_leaves_a_complete_run_folder(trained: Path) -> None:
    run = trained / "tiny"
    for name in ("run.json", "config.toml", "env.json", "status.json", "metrics.jsonl"):
        assert (run / name).is_file(), name
    assert json.loads((run / "status.json").read_text())["state"] == "finished"
    checkpoint = run / "checkpoints" / "step-00000006"
    assert {path.name for path in checkpoint.iterdir()} == {
        "model.safetensors",
        "ema.safetensors",
        "figures.safetensors",
        "optimizer.safetensors",
        "state.json",
        "MANIFEST.json",
    }
    assert (run / "samples" / "step-00000006.png").is_file()


def test_train_numbers_its_runs_and_prints_json_lines_on_request(cli: Cli) -> None:
    arguments = ("train", "--dataset", "fashion-mnist-10k", "--model", "article", "--json")
    small = ("--steps", "2", "--batch-size", "4", "--num-train-timesteps", "4")
    first, second = cli(*arguments, *small), cli(*arguments, *small)
    assert first.returncode == second.returncode == 0, first.stderr
    assert json.loads(first.stdout.splitlines()[0]) == {"event": "run", "name": "run1"}
    assert json.loads(second.stdout.splitlines()[0]) == {"event": "run", "name": "run2"}
    events = [json.loads(line) for line in first.stdout.splitlines()]
    kinds = [(event["event"], event.get("weights")) for event in events]
    previews = [("preview", "ema"), ("preview", "raw")]
    told = [(kind, None) for kind in ("run", "started", "log", "checkpoint")]
    assert kinds == [*told[:2], *previews, told[2], *previews, told[3]]


@pytest.mark.slow
def test_ctrl_c_saves_a_checkpoint_and_resume_goes_on_from_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ddpm_tui", "train", "--dataset", "fashion-mnist-10k"]
    command += ["--steps", "40", "--batch-size", "4", "--num-train-timesteps", "8", "--json"]
    command += ["--set", "model.block_out_channels=[16, 32]", "--set", "training.preview_every=0"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as training:
        assert training.stdout is not None
        for line in training.stdout:
            if '"event": "log"' in line:
                training.send_signal(signal.SIGINT)
                break
        rest = training.stdout.read()
        assert training.wait(60) == 130
    assert '"event": "checkpoint"' in rest
    status = json.loads((tmp_path / "runs/run1/status.json").read_text())
    assert status["state"] == "stopped"
    assert 0 < status["step"] < 40

    resumed = run_cli("resume", "run1", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert f"from step {status['step']} to 40" in resumed.stderr
    steps = [
        json.loads(line)["step"]
        for line in (tmp_path / "runs/run1/metrics.jsonl").read_text().splitlines()
    ]
    assert steps == sorted(set(steps)), "a resume neither repeats rows nor loses their order"
    assert steps[-1] == 40


def test_sample_writes_a_grid_and_a_gif_whose_last_frame_is_held(trained: Path) -> None:
    samples = trained / "tiny" / "samples"
    (png,) = samples.glob("ddpm-*-4x-seed0-step6.png")
    with Image.open(png) as grid, Image.open(png.with_suffix(".gif")) as gif:
        assert grid.size == gif.size == (2 * 28 + 2, 2 * 28 + 2)
        durations = []
        for frame in range(gif.n_frames):
            gif.seek(frame)
            durations.append(gif.info["duration"])
    assert len(durations) == 12, "12 timesteps give 12 frames; the limit is 100"
    assert durations[-1] > 3 * durations[0]


def test_train_takes_any_setting(conditional: Path, tmp_path: Path) -> None:
    done = run_cli("show", "classes", "--runs-dir", str(conditional), "--json", cwd=tmp_path)
    config = json.loads(done.stdout)["config"]
    model, training = config["model"], config["training"]
    assert (model["name"], model["class_conditional"]) == ("dit", True)
    assert (model["patch_size"], model["hidden_size"]) == (7, 32)
    assert config["diffusion"]["prediction_type"] == "v_prediction"
    assert (training["lr_schedule"], training["precision"]) == ("constant", "fp32")
    assert (training["loss"], training["preview_every"]) == ("huber", 0)
    assert config["sampling"]["prompt"] == "dress"


def test_show_is_readable_in_a_hundred_columns(conditional: Path, tmp_path: Path) -> None:
    done = run_cli("show", "classes", "--runs-dir", str(conditional), cwd=tmp_path)
    assert "network     dit, predicts v_prediction, knows the classes" in done.stdout
    config = done.stdout.split("\n\n")[1]
    assert all(len(line) <= 100 for line in config.splitlines())
    assert "prompt=dress " in config
    assert 'prompt=""' in config


def test_sample_draws_what_is_asked_for(conditional: Path, tmp_path: Path) -> None:
    done = run_cli(
        *("sample", "classes", "--num", "2", "--sampler", "dpmpp_2m", "--steps", "3"),
        *("--prompt", "0.6 T-shirt + 0.4 coat", "--guidance-scale", "3", "--thresholding"),
        *("--timestep-spacing", "linspace", "--no-clip", "--out", str(tmp_path)),
        *("--runs-dir", str(conditional), "--json"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert (facts["prompt"], facts["guidance_scale"]) == ("0.6 T-shirt + 0.4 coat", 3.0)
    assert (facts["sampler"], facts["timestep_spacing"]) == ("dpmpp_2m", "linspace")
    assert (facts["clip_sample"], facts["thresholding"]) == (False, True)
    assert "0.6-t-shirt-0.4-coat-" in Path(facts["png"]).name
    said = run_cli(
        *("sample", "classes", "--num", "1", "--steps", "1", "--guidance-scale", "0"),
        *("--runs-dir", str(conditional)),
        cwd=tmp_path,
    )
    assert "1 picture of dress, guidance 0, from classes at step 4, seed 0" in said.stdout


def test_config_lists_every_setting_and_reads_back(cli: Cli) -> None:
    from engine.config import from_toml

    done = cli("config", "--preset", "article")
    assert done.returncode == 0, done.stderr
    assert "snr_gamma = 0.0 # min-SNR weighting" in done.stdout
    assert 'loss = "mse" # error of the prediction; mse | huber\n' in done.stdout
    config = from_toml(done.stdout)
    assert (config.model.name, config.training.optimizer) == ("article", "adam")


def test_sample_says_as_json_where_the_files_are(trained: Path, tmp_path: Path) -> None:
    done = run_cli(
        *("sample", "tiny", "--num", "2", "--sampler", "ddim", "--steps", "3", "--seed", "7"),
        *("--out", str(tmp_path), "--runs-dir", str(trained), "--json"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert (facts["sampler"], facts["num_inference_steps"], facts["seed"]) == ("ddim", 3, 7)
    assert Path(facts["png"]).parent == tmp_path
    assert Path(facts["gif"]).is_file()


def test_options_before_a_verb_hold_for_it_too(trained: Path, tmp_path: Path) -> None:
    here = ("--runs-dir", str(trained))
    for verb in (("show", "tiny"), ("edit", "renoise", "tiny", "--at", "9", "--back-to", "3")):
        before = run_cli(*here, *verb, cwd=tmp_path)
        assert before.returncode == (0 if verb[0] == "show" else 2), before.stderr
        assert "no run" not in before.stderr, "it was looked for in the folder that was given"
    other = run_cli(*here, "show", "tiny", "--runs-dir", str(tmp_path), cwd=tmp_path)
    assert other.returncode == 1, "what a verb is told itself counts more"
    assert "no run 'tiny'" in other.stderr


def test_sample_takes_any_setting_of_sampling(conditional: Path, tmp_path: Path) -> None:
    done = run_cli(
        *("sample", "classes", "--num", "2", "--steps", "3", "--out", str(tmp_path), "--json"),
        *("--set", "sampling.timestep_spacing=leading", "--set", "sampling.thresholding=true"),
        *("--set", "sampling.dynamic_thresholding_ratio=0.9", "--runs-dir", str(conditional)),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert (facts["timestep_spacing"], facts["dynamic_thresholding_ratio"]) == ("leading", 0.9)


def test_forward_shows_the_originals_and_four_stations(cli: Cli, tmp_path: Path) -> None:
    done = cli("forward", "--dataset", "fashion-mnist-10k", "--num", "3", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    with Image.open(tmp_path / facts["png"]) as picture:
        assert picture.size == (3 * 30 - 2, 5 * 30 - 2), "three pictures wide, five rows high"
    with Image.open(tmp_path / facts["gif"]) as gif:
        assert gif.n_frames == 100


def test_forward_of_a_run_shows_what_its_network_makes_of_the_images(
    trained: Path, tmp_path: Path
) -> None:
    arguments = ("forward", "--run", "tiny", "--num", "3", "--runs-dir", str(trained))
    done = run_cli(*arguments, "--timestep", "4", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["png"] == "forward-tiny-step6-t4.png" and facts["x0_error"] > 0
    with Image.open(tmp_path / facts["png"]) as picture:
        assert picture.size == (3 * 30 - 2, 4 * 30 - 2), "x_0, x_t, the predicted x_0, its error"
    for wrong, told in (
        (("--timestep", "5000"), "There is no timestep 5000"),
        (("--beta-schedule", "linear"), "only knows the noise schedule"),
    ):
        refused = run_cli(*arguments, *wrong, cwd=tmp_path)
        assert refused.returncode == 2 and told in refused.stderr


def test_export_makes_a_folder_to_hand_on(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "handed-on"
    arguments = ("export", "tiny", "--out", str(out), "--runs-dir", str(trained), "--json")
    done = run_cli(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["files"] == [
        "README.md",
        "config.toml",
        "loss.png",
        "model.safetensors",
        "reverse-process.gif",
        "samples.png",
    ]
    readme = (out / "README.md").read_text()
    assert "ddpm-tui train --dataset fashion-mnist-10k --steps 6" in readme
    checkpoint = trained / "tiny/checkpoints/step-00000006"
    assert (out / "model.safetensors").read_bytes() == (checkpoint / "ema.safetensors").read_bytes()
    again = run_cli(*arguments, cwd=tmp_path)
    assert again.returncode == 0, "an export replaces an export"
    here = run_cli("export", "tiny", "--out", ".", "--runs-dir", str(trained), cwd=out)
    assert (here.returncode, here.stdout.strip()) == (0, str(out))
    assert {path.name for path in out.iterdir()} == FILES


@pytest.mark.parametrize(
    "files",
    [
        {"thesis.tex"},
        {"model.safetensors", "config.json", "tokenizer.json"},
        {*FILES, "notes.md"},
    ],
    ids=["a thesis", "another program's model", "an export with notes"],
)
@pytest.mark.parametrize("out", ["precious", "."])
def test_export_does_not_replace_a_folder_of_somebody_else(
    trained: Path, tmp_path: Path, files: set[str], out: str
) -> None:
    folder = tmp_path / "precious"
    folder.mkdir()
    for name in files:
        (folder / name).write_text("…")
    cwd = folder if out == "." else tmp_path
    done = run_cli("export", "tiny", "--out", out, "--runs-dir", str(trained), cwd=cwd)
    assert done.returncode == 1
    assert "is not an export" in done.stderr
    assert {path.name for path in folder.iterdir()} == files


def test_runs_and_show_tell_the_same_as_json_and_as_text(trained: Path, tmp_path: Path) -> None:
    where = ("--runs-dir", str(trained))
    (row,) = json.loads(run_cli("runs", *where, "--json", cwd=tmp_path).stdout)
    assert (row["name"], row["state"], row["step"]) == ("tiny", "finished", 6)
    assert "tiny  finished  fashion-mnist-10k  unet" in run_cli("runs", *where, cwd=tmp_path).stdout
    shown = json.loads(run_cli("show", "tiny", *where, "--json", cwd=tmp_path).stdout)
    assert shown["best_checkpoint"] == 6
    assert shown["config"]["diffusion"]["num_train_timesteps"] == 12
    assert "6 (best)" in run_cli("show", "tiny", *where, cwd=tmp_path).stdout


def test_runs_of_an_empty_place_says_how_to_start(cli: Cli) -> None:
    done = cli("runs")
    assert done.returncode == 0
    assert "No runs in runs yet" in done.stdout
    assert json.loads(cli("runs", "--json").stdout) == []


def test_data_lists_the_built_in_set_with_its_origin(cli: Cli) -> None:
    listed = {entry["name"]: entry for entry in json.loads(cli("data", "--json").stdout)}
    assert listed["fashion-mnist-10k"]["origin"] == "built in"
    assert listed["fashion-mnist-10k"]["train"] == 10_000


@pytest.mark.parametrize(
    "verb", ["", "train", "resume", "sample", "forward", "export", "runs", "config"]
)
def test_every_verb_has_help(cli: Cli, verb: str) -> None:
    done = cli(*([verb] if verb else []), "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: ")
