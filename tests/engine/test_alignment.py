"""Two schedules: which timesteps belong together, and that equal SNR is an equal picture."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch

from engine.alignment import level_at, same_share, same_snr
from engine.data import load
from engine.diffusion import q_sample
from engine.forward import ForwardProcess, spread_over_classes
from engine.schedule import BETA_SCHEDULES, NoiseSchedule

LINEAR = NoiseSchedule.create("linear", 1000)
OTHERS = {
    "cosine": NoiseSchedule.create("squaredcos_cap_v2", 1000),
    "short sigmoid": NoiseSchedule.create("sigmoid", 200, 1e-3, 0.2),
    "zero SNR": NoiseSchedule.create("linear", 1000, rescale_betas_zero_snr=True),
}


@pytest.fixture(scope="module")
def process() -> ForwardProcess:
    return ForwardProcess.of(load("fashion-mnist-10k"), LINEAR, 12, seed=3)


def test_the_images_are_held_out_ones_of_every_class(process) -> None:
    dataset = load("fashion-mnist-10k")
    assert process.labels.tolist() == [*range(10), 0, 1]
    chosen = spread_over_classes(dataset.test_labels, 12)
    assert (process.pixels(-1) == dataset.test_images[chosen].numpy()).all()


def test_at_a_timestep_it_is_q_sample(process) -> None:
    for t in (0, 249, 999):
        expected = q_sample(LINEAR, process.x_start, torch.full((12,), t), process.noise)
        torch.testing.assert_close(process.at(t), expected, rtol=0, atol=1e-6)


def test_an_image_keeps_its_noise_however_many_there_are(process) -> None:
    more = ForwardProcess.of(load("fashion-mnist-10k"), LINEAR, 30, seed=3)
    torch.testing.assert_close(more.first(12).at(500), process.at(500), rtol=0, atol=0)


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("t", [-1, 0, 1, 100, 499, 998])
def test_at_equal_snr_the_pictures_are_equal(process, name, t) -> None:
    other = replace(process, schedule=OTHERS[name])
    there = same_snr(other.schedule, level_at(LINEAR, t))
    assert (other.pixels(there) == process.pixels(t)).all()
    torch.testing.assert_close(other.at(there), process.at(t), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", OTHERS)
def test_the_way_there_and_back_is_the_same_t(name) -> None:
    other = OTHERS[name]
    for t in (0, 17, 500, 900):
        there = same_snr(other, level_at(LINEAR, t))
        assert same_snr(LINEAR, level_at(other, there)) == pytest.approx(t, abs=1e-6)


def test_where_a_schedule_never_leaves_so_little_it_is_its_last_timestep() -> None:
    short = NoiseSchedule.create("linear", 100)
    assert same_snr(short, level_at(LINEAR, 999)) == 99
    assert level_at(short, 99) > 100 * level_at(LINEAR, 999)


@pytest.mark.parametrize("name", sorted(BETA_SCHEDULES))
def test_between_timesteps_the_level_falls_and_passes_through_them(name) -> None:
    schedule = NoiseSchedule.create(name, 20)
    levels = [level_at(schedule, -1 + step / 4) for step in range(81)]
    assert levels[0] == 1 and all(a > b for a, b in itertools.pairwise(levels))
    assert levels[4::4] == pytest.approx(schedule.alphas_cumprod.tolist(), abs=1e-12)


def test_the_same_share_of_the_way() -> None:
    assert [same_share(t, 1000, 1000) for t in (-1, 0, 249, 999)] == [-1, 0, 249, 999]
    assert [same_share(t, 1000, 20) for t in (-1, 0, 249, 499, 999)] == [-1, 0, 4, 9, 19]
    assert [same_share(t, 20, 1000) for t in (-1, 4, 19)] == [-1, 249, 999]
