"""How far back a network can see: against denoisers whose answers are known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine.data import load
from engine.denoising import (
    DenoisingError,
    denoise,
    denoising_errors,
    mean_image,
    probe_timesteps,
    sees_until,
)
from engine.diffusion import training_target
from engine.errors import DataError
from engine.forward import ForwardProcess
from engine.forward_files import write_denoised
from engine.images import read_png
from engine.probe import Probe
from engine.reverse import Denoiser, clip_x0
from engine.runs.folder import create_run
from engine.sampling import TrainedModel, load_trained
from engine.schedule import NoiseSchedule
from engine.train import Trainer

PREDICTIONS = ("epsilon", "sample", "v_prediction")
SCHEDULE = NoiseSchedule.create("squaredcos_cap_v2", 100)
T = (0, 30, 70, 95)


@pytest.fixture(scope="module")
def dataset():
    return load("fashion-mnist-10k")


@pytest.fixture(scope="module")
def process(dataset) -> ForwardProcess:
    return ForwardProcess.of(dataset, SCHEDULE, 20, seed=0)


def all_knowing(process: ForwardProcess, prediction_type: str) -> Denoiser:
    """Says what the network should have said."""

    def predict(_x_t: Tensor, t: Tensor) -> Tensor:
        return training_target(process.schedule, prediction_type, process.x_start, t, process.noise)

    return predict


@pytest.mark.parametrize("prediction_type", PREDICTIONS)
@pytest.mark.parametrize("t", T)
def test_who_knows_the_noise_is_never_wrong(process, prediction_type, t) -> None:
    seen = denoise(
        all_knowing(process, prediction_type), process, t, prediction_type=prediction_type
    )
    assert seen.x0_error.max() < 1e-6 and seen.eps_error.max() < 1e-6
    assert seen.deviation.max() < 5e-3
    torch.testing.assert_close(seen.x_t, process.at(t))
    originals, x_t, x0, deviation = seen.rows()
    assert (originals == process.pixels(-1)).all() and (x_t == process.pixels(t)).all()
    assert abs(x0.astype(int) - originals).max() <= 1 and deviation.max() <= 1


@pytest.mark.parametrize("t", T)
def test_one_belief_is_the_same_whatever_is_predicted(process, t) -> None:
    believed = process.x_start.roll(1, dims=0)  # each image is taken for its neighbour
    noise = (process.at(t) - SCHEDULE.alphas_cumprod[t].sqrt() * believed) / (
        1 - SCHEDULE.alphas_cumprod[t]
    ).sqrt()

    def predict(kind: str) -> Denoiser:
        return lambda _x_t, ts: training_target(SCHEDULE, kind, believed, ts, noise.float())

    seen = [denoise(predict(kind), process, t, prediction_type=kind) for kind in PREDICTIONS]
    wrong = (believed - process.x_start).square().mean(dim=(1, 2, 3))
    for one in seen:
        torch.testing.assert_close(one.x0_error, wrong, rtol=1e-3, atol=1e-5)
        # The same mistake in the noise is by SNR as large.
        expected = wrong * SCHEDULE.snr[t].float()
        torch.testing.assert_close(one.eps_error, expected, rtol=1e-3, atol=1e-5)


def test_the_limit_of_sampling_holds_here_too(process) -> None:
    def wild(x_t: Tensor, _t: Tensor) -> Tensor:
        return torch.full_like(x_t, 5.0)

    free = denoise(wild, process, 50, prediction_type="sample")
    kept = denoise(wild, process, 50, prediction_type="sample", limit_x0=clip_x0)
    assert free.x0.max() == 5 and kept.x0.max() == 1
    assert (kept.x0_error < free.x0_error).all()


def test_the_errors_stand_beside_what_needs_no_network(dataset, process) -> None:
    mean = mean_image(dataset)
    torch.testing.assert_close(
        mean, dataset.images.double().mean(dim=0).div(127.5).sub(1).float(), rtol=0, atol=1e-6
    )
    # A network that always answers the mean image is as wrong as the mean image.
    errors = list(
        denoising_errors(
            lambda x_t, _t: mean.expand_as(x_t), process, T, mean, prediction_type="sample"
        )
    )
    assert [error.t for error in errors] == list(T)
    spread = float((process.x_start - mean).square().mean())
    for error in errors:
        assert error.x0 == error.x0_of_mean == pytest.approx(spread, rel=1e-5)
        assert error.eps == error.eps_of_mean
        x_t = process.at(error.t)
        assert error.x0_of_x_t == pytest.approx(float((x_t - process.x_start).square().mean()))
        assert error.eps_of_x_t == pytest.approx(float((x_t - process.noise).square().mean()))


def test_the_errors_are_computed_as_they_are_pulled(process, dataset) -> None:
    asked: list[int] = []

    def predict(x_t: Tensor, t: Tensor) -> Tensor:
        asked.append(int(t[0]))
        return x_t

    errors = denoising_errors(
        predict, process, [5, 3, 1], mean_image(dataset), prediction_type="epsilon"
    )
    assert asked == []
    next(errors)
    assert asked == [5]
    errors.close()


def test_the_ends_come_first_and_every_timestep_once() -> None:
    timesteps = probe_timesteps(1000)
    assert timesteps[:2] == [0, 999] and len(timesteps) == len(set(timesteps)) == 24
    assert sorted(probe_timesteps(5)) == [0, 1, 2, 3, 4]
    assert probe_timesteps(2) == [0, 1]


def test_it_sees_as_far_as_it_is_half_as_wrong_as_the_mean_image() -> None:
    def error(t: int, x0: float) -> DenoisingError:
        return DenoisingError(t, x0, 0, 0.4, 0, 0, 0)

    rising = [error(20, 0.3), error(0, 0.01), error(10, 0.19), error(30, 0.1)]
    assert sees_until(rising) == 10, "what comes after the first failure does not count"
    assert sees_until([error(0, 0.2)]) is None
    assert sees_until([error(0, float("nan"))]) is None


# --- A run's network -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tiny_config, tmp_path_factory) -> TrainedModel:
    config = tiny_config(model={"class_conditional": True}, training={"steps": 2})
    run = create_run(tmp_path_factory.mktemp("runs"), config, name="tiny")
    for _ in Trainer(run, device="cpu"):
        pass
    return load_trained(run, device="cpu")


def test_the_network_is_told_the_true_class_or_none(trained, process, dataset, monkeypatch) -> None:
    asked: list[Tensor] = []
    forward = trained.model.forward

    def listening(x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        asked.append(labels)
        return forward(x, t, labels)

    monkeypatch.setattr(trained.model, "forward", listening)
    told = Probe(trained, process, dataset.class_names)
    seen = told.at(30)
    assert told.told and (asked.pop() == process.labels).all()
    assert seen.x_t.equal(ForwardProcess(
        trained.schedule, process.x_start, process.noise, process.labels
    ).at(30)), "under the schedule of the run"  # fmt: skip
    untold = Probe(trained, process, dataset.class_names, told=False)
    untold.at(30)
    assert not untold.told and (asked.pop() == len(dataset.class_names)).all()
    others = Probe(trained, process, [str(digit) for digit in range(10)])
    others.at(30)
    assert not others.told and (asked.pop() == len(dataset.class_names)).all()


def test_the_errors_of_an_image_do_not_depend_on_the_others(trained, process, dataset) -> None:
    few = Probe(trained, process.first(3), dataset.class_names).at(40)
    many = Probe(trained, process, dataset.class_names).at(40)
    torch.testing.assert_close(few.x0_error, many.x0_error[:3], rtol=1e-4, atol=1e-6)


def test_images_of_another_shape_are_refused(trained, process, dataset) -> None:
    cut = ForwardProcess(
        SCHEDULE, process.x_start[..., :20], process.noise[..., :20], process.labels
    )
    with pytest.raises(DataError, match="1×28×28, these are 1×28×20"):
        Probe(trained, cut, dataset.class_names)


def test_the_figure_has_four_rows_and_tells_its_errors(trained, process, dataset, tmp_path) -> None:
    probe = Probe(trained, process.first(4), dataset.class_names)
    png, gif = write_denoised(probe, 20, dataset.name, out=tmp_path, stem="seen")
    images, about = read_png(png)
    assert (
        images == torch.cat([torch.from_numpy(row) for row in probe.at(20).rows()]).numpy()
    ).all()
    assert about["t"] == 20 and about["run"] == "tiny" and about["told_class"] is True
    assert about["x0_error"] == pytest.approx(probe.at(20).x0_error.tolist(), rel=1e-3)
    assert gif.stat().st_size > 1000
