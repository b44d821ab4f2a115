"""Interventions, held against data whose reverse process is known exactly: normal ones."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice, pairwise

import pytest
import torch
from torch import Tensor

from engine.diffusion import q_sample
from engine.errors import ConfigError
from engine.interventions import (
    Descend,
    back_and_on,
    branch_draw,
    invert,
    keep_known,
    position,
    renoise,
    repaint_legs,
    side_by_side,
    slerp,
    start_from,
    switch_at,
    walk,
)
from engine.reverse import Denoiser, ReverseStep, reverse_process
from engine.rng import sample_noise
from engine.samplers import SAMPLERS, SamplerOptions
from engine.schedule import NoiseSchedule, inference_timesteps

SCHEDULE = NoiseSchedule.create("linear", 1000)
SHAPE = (1, 1, 2)
MANY = 20_000


def gaussian(mean: Sequence[float], covariance: Sequence[Sequence[float]]) -> Denoiser:
    """E[ε | x_t] of normal data: √(1−ᾱ) (ᾱ Σ + (1−ᾱ) I)⁻¹ (x_t − √ᾱ μ)."""
    mu, sigma = torch.tensor(mean), torch.tensor(covariance)

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        alpha_cumprod = SCHEDULE.alphas_cumprod[t[0]].float()
        total = alpha_cumprod * sigma + (1 - alpha_cumprod) * torch.eye(len(mu))
        offset = x_t.flatten(1) - alpha_cumprod.sqrt() * mu
        eps = (1 - alpha_cumprod).sqrt() * torch.linalg.solve(total, offset.T).T
        return eps.reshape(x_t.shape)

    return denoise


INDEPENDENT = gaussian([0.3, -0.2], [[0.04, 0.0], [0.0, 0.25]])
CORRELATED = gaussian([0.0, 0.0], [[0.25, 0.225], [0.225, 0.25]])


def draws(num: int, seed: int = 0):
    return lambda purpose, t: sample_noise(seed, purpose, t, range(num), SHAPE)


def descent(
    denoiser: Denoiser, draw, sampler: str = "ddpm", options: SamplerOptions | None = None
) -> Descend:
    def descend(x_t: Tensor, timesteps: Sequence[int], number: int):
        return reverse_process(
            denoiser,
            SCHEDULE,
            x_t,
            timesteps,
            lambda t: draw(f"reverse{number}", t),
            sampler=sampler,
            options=options,
            limit_x0=None,
        )

    return descend


def end(steps) -> Tensor:
    *_, last = steps
    return last.prev_sample


# --- where t is ---


def test_a_timestep_that_is_not_visited_means_the_next_lower_one() -> None:
    timesteps = [999, 799, 599, 399, 199]
    assert [position(timesteps, t, 1000) for t in (999, 800, 799, 798, 199)] == [0, 1, 1, 2, 4]


@pytest.mark.parametrize(
    ("t", "said"), [(1000, "0 to 999"), (-1, "0 to 999"), (100, "the last one is 199")]
)
def test_a_timestep_that_is_not_on_the_way_is_refused(t, said) -> None:
    with pytest.raises(ConfigError, match=said):
        position([999, 599, 199], t, 1000)


# --- re-noising ---


@pytest.mark.parametrize(("t", "t_back"), [(-1, 0), (-1, 700), (100, 101), (300, 700), (0, 999)])
def test_renoising_draws_from_the_forward_process_between_the_two(t, t_back) -> None:
    x_t = torch.full((MANY, *SHAPE), 1.7)
    noise = draws(MANY)("test", 0)
    later = renoise(SCHEDULE, x_t, t, t_back, noise)
    # q(x_t' | x_t) by its definition: one forward step after the other.
    alphas = 1 - SCHEDULE.betas[t + 1 : t_back + 1]
    kept = float(alphas.prod())
    assert later.dtype == torch.float32
    assert float(later.mean()) == pytest.approx(kept**0.5 * 1.7, abs=4 / (2 * MANY) ** 0.5)
    assert float(later.var()) == pytest.approx(1 - kept, rel=0.03)


def test_renoising_a_clean_image_is_q_sample() -> None:
    image, noise = draws(3)("image", 0), draws(3)("noise", 0)
    expected = q_sample(SCHEDULE, image, torch.full((3,), 400), noise)
    torch.testing.assert_close(renoise(SCHEDULE, image, -1, 400, noise), expected)


@pytest.mark.parametrize("t_back", [300, 299, -1])
def test_renoising_downwards_is_refused(t_back) -> None:
    with pytest.raises(ValueError, match="not above"):
        renoise(SCHEDULE, torch.zeros(1, *SHAPE), 300, t_back, torch.zeros(1, *SHAPE))


# --- starting from an image ---


@pytest.mark.parametrize(
    ("strength", "left"), [(0.0, 0), (0.1, 1), (0.5, 5), (0.94, 9), (0.96, 10), (1.0, 10)]
)
def test_strength_is_the_share_of_the_way(strength, left) -> None:
    timesteps = inference_timesteps(1000, 10)
    image, noise = draws(2)("image", 0), draws(2)("noise", 0)
    x_t, remaining = start_from(SCHEDULE, image, timesteps, strength, noise)
    assert remaining == timesteps[10 - left :]
    if left:
        t = torch.full((2,), remaining[0])
        torch.testing.assert_close(x_t, q_sample(SCHEDULE, image, t, noise))
    else:
        assert torch.equal(x_t, image)


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_a_strength_that_is_no_share_is_refused(strength) -> None:
    with pytest.raises(ConfigError, match="0 to 1"):
        start_from(SCHEDULE, torch.zeros(1), [999], strength, torch.zeros(1))


def test_the_more_strength_the_less_of_the_image_is_left() -> None:
    timesteps, draw = inference_timesteps(1000, 200), draws(2000)
    image = torch.tensor([0.9, 0.9]).expand(2000, *SHAPE)
    left = []
    for strength in (0.005, 0.1, 0.3, 0.6, 1.0):
        x_t, remaining = start_from(SCHEDULE, image, timesteps, strength, draw("x_T", 0))
        result = end(descent(INDEPENDENT, draw)(x_t, remaining, 0))
        left.append(float((result - torch.tensor([0.3, -0.2])).mean()))
    assert left == sorted(left, reverse=True)
    assert left[0] == pytest.approx(0.85, abs=0.05)
    assert left[-1] == pytest.approx(0, abs=0.03)


def test_full_strength_is_sampling_from_noise() -> None:
    timesteps, draw = inference_timesteps(1000, 50), draws(100)
    descend = descent(INDEPENDENT, draw, "ddim")
    x_t, remaining = start_from(SCHEDULE, torch.ones(100, *SHAPE), timesteps, 1, draw("x_T", 0))
    sampled = end(descend(draw("x_T", 0), timesteps, 0))
    # √ᾱ_999 = 0.006 of the image is left.
    torch.testing.assert_close(end(descend(x_t, remaining, 0)), sampled, rtol=0, atol=0.01)


# --- legs ---


def test_one_leg_is_the_reverse_process() -> None:
    timesteps, draw = inference_timesteps(1000, 10), draws(3)
    descend = descent(INDEPENDENT, draw)
    plain = list(descend(draw("x_T", 0), timesteps, 0))
    walked = list(walk(descend, SCHEDULE, timesteps, draw("x_T", 0), [(0, 10)], draw))
    assert [(step.index, step.num_steps, step.t) for step in walked] == [
        (step.index, step.num_steps, step.t) for step in plain
    ]
    assert torch.equal(walked[-1].prev_sample, plain[-1].prev_sample)


def test_between_legs_x_is_renoised_with_noise_of_its_own() -> None:
    timesteps, asked = inference_timesteps(1000, 10), []

    def draw(purpose: str, t: int) -> Tensor:
        asked.append((purpose, t))
        return draws(3)(purpose, t)

    legs = back_and_on(10, 7, 4, times=2)
    assert legs == [(0, 7), (4, 7), (4, 10)]
    steps = list(walk(descent(INDEPENDENT, draw), SCHEDULE, timesteps, draw("x_T", 0), legs, draw))
    positions = [*range(7), *range(4, 7), *range(4, 10)]
    assert [step.t for step in steps] == [timesteps[p] for p in positions]
    assert [step.index for step in steps] == list(range(16))
    assert {step.num_steps for step in steps} == {16}
    for number, index in ((1, 7), (2, 10)):
        before, after = steps[index - 1].prev_sample, steps[index].x_t
        noise = draws(3)(f"renoise{number}", 599)
        expected = renoise(SCHEDULE, before, 299, 599, noise)
        assert torch.equal(after, expected)
    assert len(asked) == len(set(asked)), "no draw is used twice"


def test_going_back_and_on_still_draws_from_the_data() -> None:
    timesteps, draw = inference_timesteps(1000, 1000), draws(4000)
    legs = back_and_on(1000, 750, 400)
    steps = walk(descent(INDEPENDENT, draw), SCHEDULE, timesteps, draw("x_T", 0), legs, draw)
    result = end(steps).reshape(4000, 2)
    torch.testing.assert_close(result.mean(0), torch.tensor([0.3, -0.2]), rtol=0, atol=0.025)
    torch.testing.assert_close(result.std(0), torch.tensor([0.2, 0.5]), rtol=0.04, atol=0)


def papers_positions(total: int, jump_length: int, resample: int) -> list[int]:
    """The way of RePaint's published scheduler, t counted from −1, as positions from the top."""
    jumps = dict.fromkeys(range(0, total - jump_length, jump_length), resample - 1)
    t, ts = total, []
    while t >= 1:
        t -= 1
        ts.append(t)
        if jumps.get(t, 0) > 0:
            jumps[t] -= 1
            for _ in range(jump_length):
                t += 1
                ts.append(t)
    return [total - 1 - t for t in [*ts, -1]]


@pytest.mark.parametrize(
    ("total", "jump_length", "resample"),
    [(250, 10, 10), (100, 10, 5), (7, 2, 3), (8, 2, 3), (12, 1, 4), (11, 10, 2), (5, 4, 1)],
)
def test_resampling_goes_the_way_of_the_paper(total, jump_length, resample) -> None:
    visited: list[int] = []
    for start, stop in repaint_legs(total, jump_length, resample):
        # The published way notes every step up; we jump.
        visited += range(visited[-1] - 1, start, -1) if visited else []
        visited += range(start, stop + 1)
    assert visited == papers_positions(total, jump_length, resample)


def test_without_resampling_there_is_one_leg() -> None:
    assert repaint_legs(50, 10, 1) == [(0, 50)]


def test_a_jump_longer_than_the_way_is_refused() -> None:
    with pytest.raises(ConfigError, match="does not fit into a way of 10"):
        repaint_legs(10, 10, 2)


# --- inpainting ---

KNOWN = 0.8
REPAINT = torch.tensor([False, True]).reshape(1, 1, 1, 2)


def inpainted(num: int, jump_length: int, resample: int, sampler: str = "ddpm", steps: int = 50):
    draw, timesteps = draws(num), inference_timesteps(1000, steps)
    image = torch.tensor([KNOWN, 99.0]).expand(num, *SHAPE)
    descend = keep_known(descent(CORRELATED, draw, sampler), SCHEDULE, image, REPAINT, draw)
    legs = repaint_legs(steps, jump_length, resample)
    return walk(descend, SCHEDULE, timesteps, draw("x_T", 0), legs, draw)


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_what_is_known_stays_to_the_bit_and_the_rest_is_painted(sampler) -> None:
    result = end(inpainted(50, 5, 3, sampler)).reshape(50, 2)
    assert torch.equal(result[:, 0], torch.full((50,), KNOWN))
    assert float(result[:, 1].abs().max()) < 5, "nothing of what lay under the mask is seen"


def test_on_the_way_what_is_known_has_the_noise_of_its_timestep() -> None:
    steps = list(inpainted(MANY, 10, 2))
    for step, following in islice(pairwise(steps), 0, None, 20):
        if following.x_t is step.prev_sample:
            alpha_cumprod = float(SCHEDULE.alphas_cumprod[following.t])
            known = step.prev_sample[..., 0]
            assert float(known.mean()) == pytest.approx(alpha_cumprod**0.5 * KNOWN, abs=0.03)
            assert float(known.var()) == pytest.approx(1 - alpha_cumprod, rel=0.05)


def test_resampling_makes_what_is_painted_fit_what_is_known() -> None:
    """The two pixels correlate by 0.9, so the painted one is 0.9 · KNOWN on average."""
    off = {}
    for resample in (1, 10):
        painted = end(inpainted(4000, 2, resample, steps=100))[..., 1]
        off[resample] = abs(float(painted.mean()) - 0.9 * KNOWN)
    assert off[10] < 0.06
    assert off[1] > 4 * off[10], "a plain way down leaves a seam"


# --- other denoisers on the way ---


def test_a_switch_changes_nothing_before_its_timestep() -> None:
    timesteps, draw = inference_timesteps(1000, 10), draws(3)
    other = gaussian([-0.9, 0.9], [[0.04, 0.0], [0.0, 0.04]])
    for at, first_other in ((599, 599), (600, 599), (598, 499), (999, 999), (0, None)):
        plain = list(descent(INDEPENDENT, draw)(draw("x_T", 0), timesteps, 0))
        switched = list(
            descent(switch_at(at, INDEPENDENT, other), draw)(draw("x_T", 0), timesteps, 0)
        )
        differing = [
            a.t for a, b in zip(plain, switched, strict=True) if not torch.equal(a.eps, b.eps)
        ]
        expected = [t for t in timesteps if first_other is not None and t <= first_other]
        assert differing == expected


def test_switches_nest() -> None:
    def says(value: float) -> Denoiser:
        return lambda x_t, _: torch.full_like(x_t, value)

    denoiser = switch_at(700, says(1), switch_at(300, says(2), says(3)))
    x_t = torch.zeros(2, *SHAPE)
    said = [float(denoiser(x_t, torch.full((2,), t)).mean()) for t in (999, 701, 700, 301, 300, 0)]
    assert said == [1, 1, 2, 2, 3, 3]


def test_side_by_side_each_part_goes_its_own_way() -> None:
    other = gaussian([-0.9, 0.9], [[0.04, 0.0], [0.0, 0.04]])
    x_t, t = draws(6)("x", 0), torch.full((6,), 500)
    both = side_by_side([INDEPENDENT, other])(x_t, t)
    assert torch.equal(both[:3], INDEPENDENT(x_t[:3], t[:3]))
    assert torch.equal(both[3:], other(x_t[3:], t[3:]))


# --- branches ---


def test_branches_share_x_t_and_differ_afterwards() -> None:
    timesteps, draw, low = inference_timesteps(1000, 50), draws(2), 25
    descend = descent(INDEPENDENT, draw)
    whole = list(descend(draw("x_T", 0), timesteps, 0))
    x_t = whole[low].x_t
    many = x_t.repeat_interleave(3, dim=0)
    steps = list(descent(INDEPENDENT, branch_draw(draw, 3))(many, timesteps[low:], 0))
    first, last = steps[0].x_t.unflatten(0, (2, 3)), steps[-1].prev_sample.unflatten(0, (2, 3))
    for branch in range(3):
        assert torch.equal(first[:, branch], x_t)
    assert torch.equal(last[:, 0], whole[-1].prev_sample), "the first one is the picture itself"
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert float((last[:, one] - last[:, other]).abs().amin()) > 1e-4


def test_a_branch_is_the_same_however_many_there_are() -> None:
    few, many = (branch_draw(draws(2), num)("reverse", 7) for num in (2, 5))
    assert torch.equal(few.unflatten(0, (2, 2)), many.unflatten(0, (2, 5))[:, :2])


# --- between seeds ---


def test_an_arc_between_two_noises_has_them_as_its_ends_and_stays_noise() -> None:
    a, b = (sample_noise(seed, "x_T", 0, range(4), (1, 28, 28)) for seed in (3, 7))
    assert torch.equal(slerp(a, b, 0), a)
    assert torch.equal(slerp(a, b, 1), b)
    for weight in (0.1, 0.25, 0.5, 0.9):
        between = slerp(a, b, weight)
        assert between.dtype == torch.float32
        torch.testing.assert_close(
            between.flatten(1).norm(dim=1), torch.full((4,), 28.0), rtol=0.1, atol=0
        )
        torch.testing.assert_close(between, slerp(b, a, 1 - weight))
        torch.testing.assert_close(between[2:3], slerp(a[2:3], b[2:3], weight))
    halves = slerp(slerp(a, b, 0), slerp(a, b, 0.5), 0.5)
    # Equal weights are equal angles, up to the lengths of the two.
    torch.testing.assert_close(slerp(a, b, 0.25), halves, rtol=0, atol=0.15)


def test_between_equals_there_is_nothing() -> None:
    a = draws(2)("x_T", 0)
    torch.testing.assert_close(slerp(a, a, 0.3), a)


def test_interpolation_ends_in_the_two_seeds_own_pictures() -> None:
    timesteps = inference_timesteps(1000, 50)
    one, other = (draws(3, seed)("x_T", 0) for seed in (3, 7))
    frames = [slerp(one, other, index / 4) for index in range(5)]
    pictures = [
        end(descent(INDEPENDENT, draws(3), "ddim")(frame, timesteps, 0)) for frame in frames
    ]
    for x_T, picture in ((one, pictures[0]), (other, pictures[-1])):
        own = end(descent(INDEPENDENT, draws(3), "ddim")(x_T, timesteps, 0))
        assert torch.equal(picture, own)
    for before, after in pairwise(pictures):
        assert float((after - before).abs().max()) > 1e-3


# --- inversion ---


def round_trip(num: int, refinements: int = 0) -> tuple[list[ReverseStep], Tensor]:
    timesteps = inference_timesteps(1000, num)
    image = draws(200)("image", 0) * 0.4
    up = list(invert(CORRELATED, SCHEDULE, image, timesteps, refinements=refinements))
    back = end(descent(CORRELATED, draws(200), "ddim")(up[-1].x_t, timesteps, 0))
    return up, (back - image).square().mean().sqrt()


def test_an_inverted_image_comes_back_the_better_the_more_steps() -> None:
    errors = [float(round_trip(num)[1]) for num in (10, 50, 250, 1000)]
    assert errors == sorted(errors, reverse=True)
    assert errors[1] < errors[0] / 3
    assert errors[-1] < 0.005


def test_refinement_brings_it_back_with_fewer_steps() -> None:
    errors = [float(round_trip(100, refinements)[1]) for refinements in (0, 1, 4)]
    assert errors[1] < errors[0] / 2
    assert errors[2] < errors[1] / 2


def test_inversion_yields_the_steps_of_the_way_down_last_one_first() -> None:
    up, _ = round_trip(20, refinements=8)
    timesteps = inference_timesteps(1000, 20)
    assert [step.index for step in up] == list(reversed(range(20)))
    assert [step.t for step in up] == timesteps[::-1]
    assert torch.equal(up[0].prev_sample, draws(200)("image", 0) * 0.4)
    for below, above in pairwise(up):
        assert above.prev_sample is below.x_t
    down = list(descent(CORRELATED, draws(200), "ddim")(up[-1].x_t, timesteps, 0))
    for step, same in zip(reversed(up), down, strict=True):
        torch.testing.assert_close(step.x_t, same.x_t, rtol=0, atol=0.02)


def test_inversion_finds_the_noise_that_normal_data_come_from() -> None:
    """The flow between two normals is linear: x_T is the image, whitened."""
    image = torch.tensor([[0.5, -0.7], [0.1, 0.8]]).reshape(2, *SHAPE)
    *_, last = invert(INDEPENDENT, SCHEDULE, image, inference_timesteps(1000, 1000))
    mean, std = torch.tensor([0.3, -0.2]), torch.tensor([0.2, 0.5])
    torch.testing.assert_close(last.x_t, (image - mean) / std, rtol=0.05, atol=0.02)


@pytest.mark.parametrize("prediction_type", ["sample", "v_prediction"])
def test_a_network_may_predict_anything(prediction_type) -> None:
    timesteps, image = inference_timesteps(1000, 250), draws(50)("image", 0) * 0.4

    def denoiser(x_t: Tensor, t: Tensor) -> Tensor:
        alpha_cumprod = SCHEDULE.alphas_cumprod[t[0]].float()
        eps = CORRELATED(x_t, t)
        x0 = (x_t - (1 - alpha_cumprod).sqrt() * eps) / alpha_cumprod.sqrt()
        if prediction_type == "sample":
            return x0
        return alpha_cumprod.sqrt() * eps - (1 - alpha_cumprod).sqrt() * x0

    *_, up = invert(denoiser, SCHEDULE, image, timesteps, prediction_type=prediction_type)
    *_, same = invert(CORRELATED, SCHEDULE, image, timesteps)
    torch.testing.assert_close(up.x_t, same.x_t, rtol=0, atol=1e-3)
