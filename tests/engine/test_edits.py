"""Edits of a trained run: what they change, what they leave alone, and what they show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine import edits
from engine.config import SamplingConfig
from engine.data.range import to_uint8
from engine.edits import Edit, Given
from engine.errors import ConfigError, RunError
from engine.images import read_png
from engine.reverse import ReverseStep, reverse_process
from engine.rng import sample_noise
from engine.runs.folder import Run, create_run
from engine.samplers import SAMPLERS, SamplerOptions
from engine.sampling import TrainedModel, draws_noise, load_trained
from engine.schedule import NoiseSchedule
from engine.sheet import Sheet, write_sheet
from engine.train import Trainer

SHAPE = (1, 28, 28)
DDPM = SamplingConfig(num=3, num_inference_steps=10)
DDIM = SamplingConfig(num=3, num_inference_steps=10, sampler="ddim")


def trained_run(folder: Path, config) -> TrainedModel:
    run = create_run(folder, config)
    list(Trainer(run, device="cpu"))
    return load_trained(run, which="last", device="cpu")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_config) -> TrainedModel:
    config = tiny_config(training={"steps": 10, "lr": 1e-2})
    return trained_run(tmp_path_factory.mktemp("edits") / "runs", config)


@pytest.fixture(scope="module")
def knowing(tmp_path_factory: pytest.TempPathFactory, tiny_config) -> TrainedModel:
    """A run whose network knows classes; in so few steps it would hardly tell them apart."""
    config = tiny_config(training={"steps": 10, "lr": 1e-2}, model={"class_conditional": True})
    model = trained_run(tmp_path_factory.mktemp("edits") / "runs", config)
    model.model.get_parameter("class_embedding.weight").mul_(30)
    return model


@pytest.fixture
def given() -> Given:
    images = sample_noise(5, "given", 0, range(2), SHAPE).clamp(-1, 1)
    return Given("two", images, ("one", "other"), torch.tensor([4, 7]))


def done(edit: Edit) -> tuple[list[ReverseStep], Sheet]:
    steps = []
    while True:
        try:
            steps.append(next(edit))
        except StopIteration as end:
            return steps, end.value


def rows_of(sheet: Sheet) -> dict[str, np.ndarray]:
    rows = sheet.images.reshape(-1, sheet.columns, *sheet.images.shape[1:])
    return dict(zip(sheet.rows, rows, strict=True))


def own_pixels(trained: TrainedModel, sampling: SamplingConfig, seed: int = 0) -> np.ndarray:
    """What `ddpm-tui sample` draws."""
    *_, last = trained.draw(sampling, seed, range(sampling.num))
    return to_uint8(last.prev_sample).numpy()


def assert_same(a: np.ndarray, b: np.ndarray) -> None:
    """Equal but for rounding: another batch size, another order of sums."""
    assert a.shape == b.shape
    assert np.abs(a.astype(int) - b).max() <= 1


def differ(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.abs(a.astype(int) - b).max() > 10)


# --- start ---


def test_start_shows_original_noised_and_result(trained, given) -> None:
    steps, sheet = done(edits.start(trained, DDPM, 0, given, 0.5, 3))
    assert [step.t for step in steps] == [24, 19, 14, 9, 4]
    rows = rows_of(sheet)
    assert list(rows) == ["original", "noised to t = 24", "result"]
    original = to_uint8(given.images).numpy()
    assert np.array_equal(rows["original"], original.repeat(3, axis=0))
    assert_same(rows["result"], to_uint8(steps[-1].prev_sample).numpy())
    assert np.array_equal(sheet.film[0], rows["noised to t = 24"])
    assert np.array_equal(sheet.film[-1], rows["result"])
    for one, other in ((0, 1), (1, 2), (3, 4)):
        assert differ(rows["result"][one], rows["result"][other])


def test_a_result_does_not_depend_on_what_else_is_asked_for(trained, given) -> None:
    many = rows_of(done(edits.start(trained, DDPM, 0, given, 0.5, 3))[1])["result"]
    other = Given("other", given.images[1:], ("other",), given.labels[1:])
    few = rows_of(done(edits.start(trained, DDPM, 0, other, 0.5, 2))[1])["result"]
    assert_same(few, many[3:5])


def test_strength_0_gives_the_picture_back(trained, given) -> None:
    steps, sheet = done(edits.start(trained, DDPM, 0, given, 0, 1))
    assert steps == []
    rows = rows_of(sheet)
    assert np.array_equal(rows["result"], rows["original"])


def test_a_known_class_is_asked_for_unless_another_is(knowing, given) -> None:
    def result(pictures: Given, prompt: str = "") -> np.ndarray:
        sampling = DDPM.model_copy(update={"prompt": prompt})
        return rows_of(done(edits.start(knowing, sampling, 0, pictures, 0.9, 1))[1])["result"]

    own = result(given)
    assert_same(own[:1], result(given, "coat")[:1])
    assert_same(own[1:], result(given, "sneaker")[1:])
    assert differ(own, result(given, "bag"))
    unknown = Given("two", given.images, given.titles)
    assert_same(result(unknown), result(given, "T-shirt"))


# --- inpaint ---


def test_inpainting_keeps_every_pixel_that_is_not_masked(trained, given) -> None:
    repaint = torch.zeros(28, 28, dtype=torch.bool)
    repaint[3:20, 5:9] = True
    steps, sheet = done(
        edits.inpaint(trained, DDPM, 0, given, repaint, 2, jump_length=3, resample=2)
    )
    assert len(steps) == 10 + 3 * 3
    rows = rows_of(sheet)
    original, result = rows["original"][:, 0], rows["result"][:, 0]
    assert np.array_equal(result[:, ~repaint.numpy()], original[:, ~repaint.numpy()])
    assert differ(result[:, repaint.numpy()], original[:, repaint.numpy()])
    masked = rows["to repaint"][:, 0]
    assert (masked[:, repaint.numpy()] == 128).all()
    assert np.array_equal(masked[:, ~repaint.numpy()], original[:, ~repaint.numpy()])
    assert differ(result[0], result[1])


# --- switch ---


def test_a_switch_is_shown_beside_what_would_have_been(knowing) -> None:
    changes = {20: {"prompt": "dress"}, 10: {"guidance_scale": 3.0}}
    steps, sheet = done(edits.switch(knowing, DDPM, 0, changes))
    rows = rows_of(sheet)
    assert list(rows) == [
        "unchanged",
        "from t = 20 on prompt dress; from t = 10 on guidance_scale 3.0",
    ]
    assert_same(rows["unchanged"], own_pixels(knowing, DDPM))
    for step in steps:
        unchanged, changed = step.eps.chunk(2)
        assert torch.allclose(unchanged, changed, atol=1e-5) == (step.t > 20)
    assert sheet.film_columns == 3


def test_changes_add_up_on_the_way(knowing) -> None:
    both = {20: {"prompt": "dress"}, 10: {"guidance_scale": 3.0}}
    at_once = {20: {"prompt": "dress", "guidance_scale": 3.0}}
    spelt_out = {20: {"prompt": "dress"}, 10: {"prompt": "dress", "guidance_scale": 3.0}}
    results = [
        list(rows_of(done(edits.switch(knowing, DDPM, 0, changes))[1]).values())[1]
        for changes in (both, at_once, spelt_out)
    ]
    assert differ(results[0], results[1])
    assert_same(results[0], results[2])
    # At the very start, a change is no change but another wish.
    wish = DDPM.model_copy(update={"prompt": "dress"})
    early = list(
        rows_of(done(edits.switch(knowing, DDPM, 0, {49: {"prompt": "dress"}}))[1]).values()
    )
    assert_same(early[1], own_pixels(knowing, wish))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({50: {"prompt": "dress"}}, "0 to 49"),
        ({20: {"prompt": "hat"}}, "no class"),
        ({20: {"guidance_scale": -1.0}}, "guidance_scale"),
        ({2: {"prompt": "dress"}}, "the last one is 4"),
    ],
)
def test_a_switch_that_cannot_be_is_refused(knowing, changes, said) -> None:
    with pytest.raises(ConfigError, match=said):
        done(edits.switch(knowing, DDPM, 0, changes))


def test_a_network_without_classes_cannot_be_asked_for_another(trained) -> None:
    with pytest.raises(ConfigError, match="told the classes"):
        done(edits.switch(trained, DDPM, 0, {20: {"prompt": "dress"}}))


# --- renoise ---


def test_renoising_is_shown_beside_what_would_have_been(trained) -> None:
    steps, sheet = done(edits.renoise(trained, DDPM, 0, 16, 30, times=2))
    rows = rows_of(sheet)
    assert list(rows) == ["without", "at t = 14", "re-noised to t = 29", "result"]
    assert_same(rows["without"], own_pixels(trained, DDPM))
    assert differ(rows["without"], rows["result"])
    timesteps = [49, 44, 39, 34, 29, 24, 19, 14, 9, 4]
    plain, edited = [step.t for step in steps[:10]], [step.t for step in steps[10:]]
    assert plain == timesteps
    assert edited == timesteps[:7] + timesteps[4:7] + timesteps[4:]
    assert_same(rows["at t = 14"], to_uint8(steps[19].prev_sample).numpy())
    assert_same(rows["re-noised to t = 29"], to_uint8(steps[20].x_t).numpy())
    assert len(sheet.film) == 16


@pytest.mark.parametrize(
    ("at", "back_to", "said"),
    [(30, 20, "is not above"), (30, 30, "is not above"), (21, 23, "both are 19"), (20, 50, "0 to")],
)
def test_renoising_goes_up(trained, at, back_to, said) -> None:
    with pytest.raises(ConfigError, match=said):
        done(edits.renoise(trained, DDPM, 0, at, back_to))


# --- branch ---


def test_branches_stand_beside_the_x_t_that_they_share(trained) -> None:
    steps, sheet = done(edits.branch(trained, DDPM, 0, 26, 4, picture=1))
    assert [step.index for step in steps] == list(range(10))
    assert [len(step.x_t) for step in steps] == [1] * 5 + [4] * 5
    assert (sheet.columns, sheet.film_columns) == (5, 4)
    assert sheet.rows == ("x_t at t = 24, then branches",)
    shared, *branches = sheet.images
    assert_same(shared, to_uint8(steps[5].x_t).numpy()[0])
    assert_same(branches[0], own_pixels(trained, DDPM)[1])
    assert all(differ(branches[0], branch) for branch in branches[1:])
    fewer = done(edits.branch(trained, DDPM, 0, 26, 2, picture=1))[1].images
    assert_same(fewer, sheet.images[:3])


@pytest.mark.parametrize("sampler", ["dpmpp_2m_sde", "dpmpp_2m"])
def test_a_multistep_sampler_remembers_what_came_before_the_branches(trained, sampler) -> None:
    sampling = SamplingConfig(num=3, num_inference_steps=10, sampler=sampler)
    _, sheet = done(edits.branch(trained, sampling, 0, 26, 1, picture=1))
    assert_same(sheet.images[1], own_pixels(trained, sampling)[1])


def test_branches_may_ask_for_different_things(knowing) -> None:
    prompts = ["dress", "bag"]
    _, sheet = done(edits.branch(knowing, DDPM, 0, 30, 2, prompts=prompts))
    assert sheet.rows == ("x_t at t = 29, then dress", "x_t at t = 29, then bag")
    dress, bag = sheet.images.reshape(2, 3, *SHAPE)
    assert np.array_equal(dress[0], bag[0])
    assert differ(dress[1], bag[1])
    only = done(edits.branch(knowing, DDPM, 0, 30, 2, prompts=["bag"]))[1].images
    assert_same(bag, only)


def test_a_sampler_without_noise_branches_by_prompt_alone(trained, knowing) -> None:
    with pytest.raises(ConfigError, match="all be the same"):
        done(edits.branch(trained, DDIM, 0, 26, 2))
    _, sheet = done(edits.branch(knowing, DDIM, 0, 40, 1, prompts=["dress", "bag"]))
    assert differ(sheet.images[1], sheet.images[3])


# --- interpolate ---


@pytest.mark.parametrize("network", ["trained", "knowing"])
def test_both_ends_are_the_seeds_own_pictures(network, request) -> None:
    model = request.getfixturevalue(network)
    _, sheet = done(edits.interpolate(model, DDIM, (3, 7), 5))
    rows = sheet.images.reshape(3, 5, *SHAPE)
    assert_same(rows[:, 0], own_pixels(model, DDIM, 3))
    assert_same(rows[:, -1], own_pixels(model, DDIM, 7))
    assert all(differ(rows[0, i], rows[0, i + 1]) for i in range(4))
    assert len(sheet.film) == 5
    assert np.array_equal(sheet.film[2], rows[:, 2])


@pytest.mark.parametrize("sampling", [DDPM, DDIM.model_copy(update={"eta": 0.5})])
def test_a_sampler_that_draws_noise_does_not_interpolate(trained, sampling) -> None:
    with pytest.raises(ConfigError, match="draws noise"):
        done(edits.interpolate(trained, sampling, (3, 7), 5))


# --- invert ---


def test_an_inverted_picture_comes_back(trained, given) -> None:
    sampling = DDIM.model_copy(update={"num_inference_steps": 50})
    steps, sheet = done(edits.invert(trained, sampling, given, refinements=3))
    assert [step.t for step in steps] == [*range(50), *reversed(range(50))]
    rows = rows_of(sheet)
    assert list(rows) == ["original", "the noise it comes from", "brought back"]
    assert max(sheet.facts["rms_error"]) < 0.02
    error = steps[-1].prev_sample - given.images
    expected = error.flatten(1).square().mean(1).sqrt().tolist()
    assert sheet.facts["rms_error"] == pytest.approx(expected)
    assert not differ(rows["brought back"], rows["original"])


def test_an_inverted_picture_can_come_down_as_something_else(knowing, given) -> None:
    _, sheet = done(edits.invert(knowing, DDIM, given, to_prompt="bag", refinements=3))
    rows = rows_of(sheet)
    assert list(rows) == ["original", "the noise it comes from", "brought back", "bag"]
    assert differ(rows["bag"], rows["brought back"])
    # The first picture is a coat, so as a coat it comes down as it was.
    rows = rows_of(done(edits.invert(knowing, DDIM, given, to_prompt="coat", refinements=3))[1])
    assert_same(rows["coat"][:1], rows["brought back"][:1])
    assert differ(rows["coat"][1:], rows["brought back"][1:])


def test_convolutions_keep_all_of_float32_on_both_ways(trained, given, monkeypatch) -> None:
    seen = []
    hook = trained.model.register_forward_hook(
        lambda *_: seen.append((torch.backends.cudnn.allow_tf32, torch.is_autocast_enabled("cpu")))
    )
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    for _ in edits.invert(trained, DDIM, given):
        assert torch.backends.cudnn.allow_tf32, "not while somebody else has the turn"
    hook.remove()
    assert seen == [(False, False)] * 20


def test_other_frames_and_refinements_are_other_files(trained, given) -> None:
    pairs = [
        [done(edits.interpolate(trained, DDIM, (0, 1), frames))[1].name for frames in (3, 4)],
        [done(edits.invert(trained, DDIM, given, refinements=n))[1].name for n in (0, 2)],
    ]
    assert all(one != other for one, other in pairs)


def test_only_ddim_is_inverted(trained, given) -> None:
    for sampling in (DDPM, DDIM.model_copy(update={"eta": 0.5})):
        with pytest.raises(ConfigError, match="ddim with eta 0"):
            done(edits.invert(trained, sampling, given))


# --- all of them ---


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
@pytest.mark.parametrize("eta", [0.0, 0.5])
def test_it_is_known_which_samplers_draw_noise(sampler, eta) -> None:
    drawn = []

    def draw_noise(t: int) -> torch.Tensor:
        drawn.append(t)
        return torch.zeros(1, *SHAPE)

    schedule, options = NoiseSchedule.create("linear", 50), SamplerOptions(eta=eta)
    x_T = torch.ones(1, *SHAPE)
    steps = reverse_process(
        lambda x_t, _: x_t, schedule, x_T, [40, 20, 0], draw_noise, sampler=sampler, options=options
    )
    assert len(list(steps)) == 3
    assert draws_noise(SamplingConfig(sampler=sampler, eta=eta)) == bool(drawn)


def test_too_many_pictures_are_refused_before_anything_is_drawn(trained, given) -> None:
    with pytest.raises(ConfigError, match="300 pictures"):
        next(edits.start(trained, DDPM, 0, given, 0.5, 150))
    with pytest.raises(ConfigError, match="257 pictures"):
        next(edits.branch(trained, DDPM, 0, 20, 257))


def test_files_say_how_they_were_made(trained, given, tmp_path: Path) -> None:
    run = Run(tmp_path / "runs" / "run9")
    run.samples_path.mkdir(parents=True)
    model = TrainedModel(**{**vars(trained), "run": run})
    _, sheet = done(edits.start(model, DDPM, 4, given, 0.5, 3))
    files = write_sheet(model, DDPM, 4, sheet)
    assert files.png.parent == files.gif.parent == run.samples_path
    assert files.png.stem == files.gif.stem
    assert files.png.stem == "ddpm-fixed_small-10steps-3x-seed4-step10-start0.5-two"
    images, about = read_png(files.png)
    assert np.array_equal(images, sheet.images)
    assert about["edit"] == "start0.5-two"
    assert about["rows"] == list(sheet.rows)
    assert (about["strength"], about["pictures"]) == (0.5, ["one", "other"])
    assert (about["run"], about["step"], about["seed"]) == ("run9", 10, 4)
    with Image.open(files.png) as grid, Image.open(files.gif) as gif:
        assert grid.size == (6 * 30 - 2, 3 * 30 - 2), "six columns, three rows"
        assert gif.n_frames == len(sheet.film) == 6


def test_a_file_name_stays_a_file_name(trained, tmp_path: Path) -> None:
    images = np.zeros((1, *SHAPE), dtype=np.uint8)
    name = "switch-t3-../../0.5 T-shirt/top + dress\x1b[31m" + "x" * 300
    sheet = Sheet(name, ("row",), images, 1, [images])
    files = write_sheet(trained, DDPM, 0, sheet, out=tmp_path / "out")
    assert files.png.is_file()
    assert files.png.resolve().parent == tmp_path / "out"
    assert "/" not in files.png.name
    other = Sheet(f"{name}y", ("row",), images, 1, [images])
    assert write_sheet(trained, DDPM, 0, other, out=tmp_path / "out").png != files.png
    assert "\x1b" not in files.png.name


def test_a_folder_that_cannot_be_written_is_a_run_error(trained, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    images = np.zeros((1, *SHAPE), dtype=np.uint8)
    with pytest.raises(RunError, match="Cannot create"):
        write_sheet(
            trained, DDPM, 0, Sheet("a", ("a",), images, 1, [images]), out=tmp_path / "file"
        )
