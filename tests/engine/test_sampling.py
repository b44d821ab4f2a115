"""Pictures from a trained run: the same whatever the batch, and in files that say how."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from engine.config import PRESETS, SamplingConfig, make_config, override_sampling, to_toml
from engine.data.range import to_uint8
from engine.errors import CheckpointError, ConfigError, DeviceError, RunError
from engine.images import read_png, stretch
from engine.runs.checkpoint import list_checkpoints
from engine.runs.folder import Run, create_run
from engine.sample_files import sample_stem, write_samples
from engine.sampling import (
    CHUNK,
    TrainedModel,
    draw_samples,
    load_trained,
    sample_pixels,
    start_note,
)
from engine.schedule import NoiseSchedule
from engine.train import Trainer

SHAPE = (1, 28, 28)
SAMPLINGS = {
    "ddpm": SamplingConfig(num_inference_steps=50),
    "ddpm, as the article": SamplingConfig(
        num_inference_steps=50, variance_type="fixed_large", clip_sample=False
    ),
    "ddim": SamplingConfig(sampler="ddim", num_inference_steps=10),
    "ddim, eta": SamplingConfig(sampler="ddim", num_inference_steps=10, eta=0.7),
    "dpmpp_2m": SamplingConfig(sampler="dpmpp_2m", num_inference_steps=10),
    "dpmpp_2m_sde": SamplingConfig(sampler="dpmpp_2m_sde", num_inference_steps=10),
    "heun": SamplingConfig(sampler="heun", num_inference_steps=10),
    "thresholding": SamplingConfig(num_inference_steps=10, thresholding=True),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_config) -> Run:
    """A run with checkpoints at 5 and 10. Read only: tests that change it take a copy."""
    config = tiny_config(training={"steps": 10, "checkpoint_every": 5, "lr": 1e-2})
    run = create_run(tmp_path_factory.mktemp("trained") / "runs", config)
    list(Trainer(run, device="cpu"))
    return run


@pytest.fixture
def run(finished: Run, tmp_path: Path) -> Run:
    return Run(Path(shutil.copytree(finished.path, tmp_path / "runs" / "run1")))


@pytest.fixture(scope="module")
def trained(finished: Run) -> TrainedModel:
    return load_trained(finished, which="last", device="cpu")


def draw(trained: TrainedModel, sampling: SamplingConfig, seed: int, indices) -> Tensor:
    *_, last = trained.draw(sampling, seed, indices)
    return last.prev_sample


# --- pictures ---


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS.keys())
def test_a_batch_size_never_changes_a_picture(trained, sampling) -> None:
    together = draw(trained, sampling, 0, range(8))
    assert together.shape == (8, *SHAPE)
    assert together.dtype == torch.float32
    assert together.isfinite().all()
    for indices in ([3], [3, 7], [7, 0, 3]):
        picture = draw(trained, sampling, 0, indices)
        torch.testing.assert_close(picture, together[indices], rtol=1e-5, atol=1e-5)


def test_every_picture_is_another(trained) -> None:
    pictures = draw(trained, SAMPLINGS["ddim"], 0, range(6)).flatten(1)
    assert float((torch.cdist(pictures, pictures) + 99 * torch.eye(6)).min()) > 1


def test_a_seed_is_a_picture(trained) -> None:
    sampling = SAMPLINGS["ddim, eta"]
    first = draw(trained, sampling, 7, [0])
    torch.manual_seed(123)
    assert torch.equal(draw(trained, sampling, 7, [0]), first)
    assert float((draw(trained, sampling, 8, [0]) - first).abs().max()) > 0.1


def test_samplers_start_from_the_same_noise(trained) -> None:
    firsts = [next(trained.draw(sampling, 0, range(3))) for sampling in SAMPLINGS.values()]
    for first in firsts[1:]:
        assert torch.equal(first.x_t, firsts[0].x_t)


def test_settings_reach_the_reverse_process(trained) -> None:
    sampling = SamplingConfig(num_inference_steps=7, timestep_spacing="leading")
    steps = list(trained.draw(sampling, 0, [0]))
    assert [step.t for step in steps] == [42, 35, 28, 21, 14, 7, 0]
    small, large = (draw(trained, SAMPLINGS[name], 0, [0]) for name in list(SAMPLINGS)[:2])
    assert not torch.allclose(small, large, atol=0.01)
    free = draw(trained, SAMPLINGS["ddpm"].model_copy(update={"clip_sample": False}), 0, [0])
    assert float(small.abs().max()) <= 1 < float(free.abs().max())
    still, noisy = (draw(trained, SAMPLINGS[name], 0, [0]) for name in list(SAMPLINGS)[2:4])
    assert not torch.allclose(still, noisy, atol=0.01)


def test_what_keeps_x0_in_range_is_a_setting(trained) -> None:
    limits = [{}, {"thresholding": True}, {"thresholding": True, "dynamic_thresholding_ratio": 0.5}]
    base = SamplingConfig(num_inference_steps=7)
    x0s = []
    for limit in limits:
        first = next(trained.draw(base.model_copy(update=limit), 0, [0]))
        x0s.append(first.x0)
        assert float(first.x0.abs().max()) == 1
    assert float((x0s[0] - x0s[1]).abs().max()) > 0.01
    assert float((x0s[1] - x0s[2]).abs().max()) > 0.01


@pytest.mark.parametrize("prediction_type", ["epsilon", "sample", "v_prediction"])
def test_any_denoiser_can_be_drawn_from(prediction_type) -> None:
    schedule = NoiseSchedule.create("linear", 50)
    sampling = SamplingConfig(num_inference_steps=5, clip_sample=False)
    *_, last = draw_samples(
        lambda x_t, _: x_t, schedule, sampling, prediction_type, 0, range(2), (3, 5, 4)
    )
    assert last.prev_sample.shape == (2, 3, 5, 4)
    assert last.prev_sample.isfinite().all()


# --- loading ---


def test_a_loaded_network_is_ready_to_sample(finished: Run) -> None:
    trained = load_trained(finished, device="cpu")
    assert trained.image_shape == SHAPE
    assert trained.config == finished.config()
    assert trained.schedule.num_train_timesteps == 50
    assert not trained.model.training
    assert not any(p.requires_grad for p in trained.model.parameters())


def test_the_average_of_the_weights_is_sampled_from(finished: Run, trained) -> None:
    folder = finished.checkpoints_path / "step-00000010"
    ema, model = (load_file(folder / f"{name}.safetensors") for name in ("ema", "model"))
    loaded = trained.model.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in ema.items())
    assert any(not torch.equal(loaded[name], value) for name, value in model.items())


@pytest.mark.parametrize(("which", "step"), [("last", 10), ("10", 10), ("5", 5)])
def test_a_checkpoint_is_chosen(finished: Run, which, step) -> None:
    assert load_trained(finished, which=which, device="cpu").step == step


def test_the_best_checkpoint_is_taken_when_none_is_asked_for(finished: Run) -> None:
    best = min(list_checkpoints(finished), key=lambda checkpoint: checkpoint.state()["eval_loss"])
    assert load_trained(finished, device="cpu").step == best.step


def test_a_run_without_a_checkpoint_cannot_be_sampled(tmp_path: Path, tiny_config) -> None:
    run = create_run(tmp_path, tiny_config())
    with pytest.raises(CheckpointError, match="no checkpoint yet"):
        load_trained(run, device="cpu")


@pytest.mark.parametrize("which", ["7", "newest", "-10"])
def test_a_checkpoint_that_is_not_there_is_refused(finished: Run, which) -> None:
    with pytest.raises(CheckpointError, match="best, last, 5, 10"):
        load_trained(finished, which=which, device="cpu")


@pytest.mark.parametrize("file", ["ema.safetensors", "state.json", "MANIFEST.json"])
@pytest.mark.parametrize("damage", ["altered", "cut", "removed"])
def test_an_altered_checkpoint_is_refused_and_passed_over(run: Run, file, damage) -> None:
    path = run.checkpoints_path / "step-00000010" / file
    data = path.read_bytes()
    if damage == "removed":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    else:
        path.write_bytes(data.replace(b'"', b"'", 1) if file != "ema.safetensors" else data[::-1])
    with pytest.raises(CheckpointError, match="step-00000010 does not verify"):
        load_trained(run, which="10", device="cpu")
    last = load_trained(run, which="last", device="cpu")
    assert last.step == 5
    [said] = last.passed_over
    assert said.startswith("Checkpoint step-00000010 does not verify: ")
    assert said.endswith("step 5 is used instead")


def test_a_checkpoint_of_another_network_is_refused_in_a_sentence(run: Run, tiny_config) -> None:
    run.config_path.write_text(to_toml(tiny_config(model={"block_out_channels": (8, 24)})))
    with pytest.raises(
        CheckpointError, match=r"does not fit run1's config: .*config\.toml"
    ) as error:
        load_trained(run, device="cpu")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_a_device_that_is_not_there_is_refused(finished: Run) -> None:
    with pytest.raises(DeviceError):
        load_trained(finished, device="cuda:99")


# --- settings ---


def test_settings_of_the_run_hold_unless_others_are_asked_for(finished: Run) -> None:
    config = finished.config()
    assert override_sampling(config, {}) == config.sampling
    asked = override_sampling(config, {"sampler": "ddim", "num": 3})
    assert (asked.sampler, asked.num) == ("ddim", 3)
    assert asked.num_inference_steps == config.sampling.num_inference_steps == 50


@pytest.mark.parametrize(
    ("overrides", "mention"),
    [
        ({"num_inference_steps": 51}, "sampling.num_inference_steps (51)"),
        ({"num": 0}, "sampling.num"),
        ({"eta": 2.0}, "sampling.eta"),
        ({"sampler": "euler"}, "sampling.sampler"),
        ({"setps": 3}, "sampling.setps"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(finished: Run, overrides, mention) -> None:
    with pytest.raises(ConfigError) as error:
        override_sampling(finished.config(), overrides)
    assert mention in str(error.value)


# --- files ---


def test_a_file_name_says_how_the_pictures_were_made() -> None:
    ddpm, ddim = SamplingConfig(num=4), SamplingConfig(sampler="ddim", num_inference_steps=50)
    assert sample_stem(ddpm, 0, 500) == "ddpm-fixed_small-1000steps-4x-seed0-step500"
    assert sample_stem(ddim, 7, 1500) == "ddim-eta0-50steps-16x-seed7-step1500"
    assert sample_stem(ddpm, 0, 500, stretched=True).endswith("-step500-stretched")


def test_settings_that_change_a_picture_change_the_file_name() -> None:
    base = SamplingConfig(sampler="dpmpp_2m", num_inference_steps=20)
    others = [
        {"timestep_spacing": "leading"},
        {"clip_sample": False},
        {"thresholding": True},
        {"thresholding": True, "dynamic_thresholding_ratio": 0.9},
        {"prompt": "dress"},
        {"prompt": "Dress"},
        {"prompt": "0.6 dress + 0.4 coat"},
        {"prompt": "0.6 dress + 0.4 coat + " + "0.1 ankle boot + " * 9 + "bag"},
        {"prompt": "0.6 dress + 0.4 coat + " + "0.1 ankle boot + " * 9 + "top"},
        {"prompt": "鞋"},
        {"prompt": "靴"},
        {"prompt": "../../etc\x1b[2J\x00"},
        {"prompt": "dress", "guidance_scale": 3.0},
        {"guidance_scale": 0.0},
        {"guidance_scale": 7.5},
    ]
    stems = [sample_stem(base.model_copy(update=other), 0, 5) for other in ({}, *others)]
    assert stems[0] == "dpmpp_2m-20steps-16x-seed0-step5"
    assert len(set(stems)) == len(stems)
    for stem in stems:
        assert re.fullmatch(r"[a-z0-9._-]+", stem), stem
        assert ".." not in stem
        assert len(stem) < 150
        assert stem.endswith("-step5"), "an export looks for it"
    assert "-0.6-dress-0.4-coat-" in stems[7]
    assert stems[13].startswith("dpmpp_2m-20steps-dress-")
    assert "-guidance3-" in stems[13]


def test_a_png_of_the_pictures_and_a_gif_of_their_making(run: Run) -> None:
    trained = load_trained(run, which="last", device="cpu")
    sampling, told = SamplingConfig(num=5, num_inference_steps=20), []
    files = write_samples(
        trained, sampling, 3, on_step=lambda done, total: told.append((done, total))
    )
    assert files.png.parent == files.gif.parent == run.samples_path
    assert files.png.stem == files.gif.stem == sample_stem(sampling, 3, 10)

    images, about = read_png(files.png)
    expected = to_uint8(draw(trained, sampling, 3, range(5))).numpy()
    assert np.abs(images.astype(int) - expected).max() <= 1
    assert about["run"] == "run1"
    assert (about["seed"], about["step"], about["stretched"]) == (3, 10, False)
    assert (about["sampler"], about["num_inference_steps"]) == ("ddpm", 20)

    with Image.open(files.gif) as gif:
        assert gif.n_frames == 20
        assert gif.size == (3 * 28 + 2 * 2, 2 * 28 + 2)
        gif.seek(19)
        with Image.open(files.png) as png:
            assert np.array_equal(np.asarray(gif.convert("L")), np.asarray(png))
    assert told == [(done, 20) for done in range(1, 21)]


def test_many_pictures_go_through_the_network_in_parts(run: Run) -> None:
    trained = load_trained(run, which="last", device="cpu")
    num, told = CHUNK + 3, []
    sampling = SamplingConfig(sampler="ddim", num=num, num_inference_steps=3)
    files = write_samples(
        trained, sampling, 0, on_step=lambda done, total: told.append((done, total))
    )
    images, _ = read_png(files.png)
    assert images.shape == (num, *SHAPE)
    last = to_uint8(draw(trained, sampling, 0, [num - 1])).numpy()
    assert np.abs(images[-1:].astype(int) - last).max() <= 1
    assert told == [(done, 6) for done in range(1, 7)]


def test_one_step_is_enough_for_files(run: Run) -> None:
    trained = load_trained(run, device="cpu")
    files = write_samples(trained, SamplingConfig(num=1, num_inference_steps=1), 0)
    with Image.open(files.gif) as gif:
        assert gif.n_frames == 1


def test_stretched_pictures_are_labelled_and_use_the_whole_range(run: Run) -> None:
    trained = load_trained(run, which="last", device="cpu")
    # Without clipping these pictures go far beyond [−1, 1], where the fixed map saturates.
    sampling = SamplingConfig(num=2, num_inference_steps=3, clip_sample=False)
    files = write_samples(trained, sampling, 0, stretched=True)
    assert files.png.stem.endswith("-stretched")
    images, about = read_png(files.png)
    assert about["stretched"] is True
    expected = stretch(draw(trained, sampling, 0, range(2)).numpy())
    assert np.abs(images.astype(int) - expected).max() <= 1


def test_files_go_where_they_are_asked_for(run: Run, tmp_path: Path) -> None:
    trained = load_trained(run, device="cpu")
    sampling = SamplingConfig(num=1, num_inference_steps=2)
    files = write_samples(trained, sampling, 0, out=tmp_path / "new" / "folder")
    assert files.png.parent == tmp_path / "new" / "folder"
    assert files.png.is_file()
    assert files.gif.is_file()
    assert not list(run.samples_path.iterdir())


def test_a_folder_that_cannot_be_written_is_a_run_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    trained = load_trained(run, device="cpu")
    with pytest.raises(RunError, match=r"Cannot write in .*Not a directory"):
        write_samples(
            trained, SamplingConfig(num=1, num_inference_steps=1), 0, out=tmp_path / "file"
        )


# --- where a sampling starts ---


def spaced(steps: int, spacing: str) -> SamplingConfig:
    return SamplingConfig(num_inference_steps=steps, timestep_spacing=spacing)


@pytest.mark.parametrize("beta_schedule", ["linear", "squaredcos_cap_v2", "sigmoid"])
@pytest.mark.parametrize("total", [12, 1000])
def test_a_sampling_that_starts_far_below_the_end_gets_a_note(
    beta_schedule: str, total: int
) -> None:
    schedule = NoiseSchedule.create(beta_schedule, total)
    for spacing in ("linspace", "leading"):
        note = start_note(schedule, spaced(1, spacing))
        assert note.startswith(f"sampling starts at t = 0 of {total - 1:,}")


def test_half_the_way_up_is_too_low_and_nine_tenths_are_not() -> None:
    for beta_schedule in ("linear", "squaredcos_cap_v2"):
        schedule = NoiseSchedule.create(beta_schedule, 1000)
        assert "t = 500 of 999" in start_note(schedule, spaced(2, "leading"))
        for steps in (10, 20, 50, 1000):
            assert not start_note(schedule, spaced(steps, "leading")), steps
        for steps in (2, 10, 1000):
            assert not start_note(schedule, spaced(steps, "linspace")), steps
        for steps in (1, 2, 10, 1000):
            assert not start_note(schedule, spaced(steps, "trailing")), steps


def test_a_schedule_that_leaves_much_at_its_end_is_no_matter_of_the_spacing() -> None:
    schedule = NoiseSchedule.create("linear", 12)
    assert float(schedule.alphas_cumprod[-1]) > 0.5
    assert not start_note(schedule, spaced(6, "leading"))


@pytest.mark.parametrize("preset", PRESETS)
def test_no_preset_gets_a_note(preset: str) -> None:
    config = make_config(preset, dataset_size=60_000)
    schedule = NoiseSchedule.of(config.diffusion)
    assert not start_note(schedule, config.sampling)
    assert not start_note(schedule, config.preview)


# --- more pictures than can be shown ---


def test_more_than_can_be_shown_go_into_one_file_as_they_are_finished(
    trained, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr("engine.sampling.CHUNK", 3)
    monkeypatch.setattr("engine.sample_files.MAX_SHOWN", 5)
    sampling = SamplingConfig(num=8, num_inference_steps=2)
    files = write_samples(trained, sampling, 0, out=tmp_path)
    assert files.npy is not None
    every = np.load(files.npy)
    assert (every.dtype, every.shape) == (np.uint8, (8, 1, 28, 28))
    drawn = [part for part, _ in sample_pixels(trained, sampling, 0)]
    assert len(drawn) == 3, "in chunks"
    np.testing.assert_array_equal(every, torch.cat(drawn).numpy())
    shown, _ = read_png(files.png)
    np.testing.assert_array_equal(shown, every[:5])
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".gif", ".npy", ".png"]


def test_only_what_is_shown_is_kept_in_memory(trained, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("engine.sampling.CHUNK", 3)
    monkeypatch.setattr("engine.sample_files.MAX_SHOWN", 3)
    made = []
    monkeypatch.setattr(
        "engine.sample_files.to_uint8", lambda x: made.append(len(x)) or to_uint8(x)
    )
    write_samples(trained, SamplingConfig(num=9, num_inference_steps=2), 0, out=tmp_path)
    assert made == [3, 3, 3, 3, 3], "two frames and the result of the first chunk, then results"


def test_as_many_as_can_be_shown_need_no_file_of_all(trained, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("engine.sample_files.MAX_SHOWN", 5)
    sampling = SamplingConfig(num=5, num_inference_steps=2)
    assert write_samples(trained, sampling, 0, out=tmp_path).npy is None


@pytest.mark.parametrize("message", ["can't allocate memory", "CUDA error: out of memory"])
def test_too_little_memory_is_said_in_a_sentence(trained, message: str) -> None:
    def full(*_: object) -> None:
        raise RuntimeError(f"[enforce fail] {message}: 1 TB")

    hook = trained.model.register_forward_pre_hook(full)
    try:
        with pytest.raises(DeviceError, match="has not enough memory to draw pictures") as error:
            next(trained.draw(SamplingConfig(num=1, num_inference_steps=2), 0, range(1)))
        assert error.value.hint
    finally:
        hook.remove()


def test_another_error_of_the_network_is_a_bug_and_stays_one(trained) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("shapes cannot be multiplied")

    hook = trained.model.register_forward_pre_hook(broken)
    try:
        with pytest.raises(RuntimeError, match="shapes"):
            next(trained.draw(SamplingConfig(num=1, num_inference_steps=2), 0, range(1)))
    finally:
        hook.remove()


def test_an_interrupted_drawing_leaves_no_half_file(trained, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("engine.sampling.CHUNK", 3)
    monkeypatch.setattr("engine.sample_files.MAX_SHOWN", 2)

    def stop(done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_samples(
            trained, SamplingConfig(num=8, num_inference_steps=2), 0, out=tmp_path, on_step=stop
        )
    assert list(tmp_path.iterdir()) == []
