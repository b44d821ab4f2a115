"""Takes: a recipe is performed the same to the bit, from the start or from anywhere it was."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine import edits
from engine.config import SamplingConfig
from engine.data.dataset import load
from engine.data.range import to_uint8, to_unit
from engine.edits import Edit, Given
from engine.errors import ConfigError, DataError
from engine.images import write_png
from engine.reverse import ReverseStep
from engine.runs.folder import create_run
from engine.samplers import SAMPLERS
from engine.sampling import TrainedModel, load_trained
from engine.takes.path import lay_out, plan
from engine.takes.perform import TakeStep, perform
from engine.takes.recipe import (
    Ask,
    Branch,
    FromData,
    FromFile,
    FromNoise,
    Inpaint,
    Origin,
    Recipe,
    Renoise,
    Turn,
)
from engine.takes.sources import save_mask
from engine.takes.versus import lay_lanes, matching, perform_lanes
from engine.train import Trainer

STEPS = 10
# Of 50 timesteps, 10 steps visit these.
VISITED = [49, 44, 39, 34, 29, 24, 19, 14, 9, 4]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_config) -> TrainedModel:
    """A run whose network knows classes; in so few steps it would hardly tell them apart."""
    config = tiny_config(
        training={"steps": 10, "lr": 1e-2}, model={"class_conditional": True, "patch_size": 2}
    )
    run = create_run(tmp_path_factory.mktemp("takes") / "runs", config, name="tiny")
    list(Trainer(run, device="cpu"))
    model = load_trained(run, which="last", device="cpu")
    model.model.get_parameter("class_embedding.weight").mul_(30)
    return model


def sampling(**changes: Any) -> SamplingConfig:
    return SamplingConfig.model_validate({"num": 2, "num_inference_steps": STEPS, **changes})


def take(*turns: Turn, origin: Origin | None = None, **changes: Any) -> Recipe:
    return Recipe("tiny", 10, sampling(**changes), 0, origin or FromNoise(), turns)


def done(edit: Edit) -> list[ReverseStep]:
    return list(edit)


def same(steps: list[Any], others: list[Any]) -> bool:
    """Whether the steps saw, believed and led to the same, to the bit."""
    return len(steps) == len(others) and all(
        one.t == other.t
        and all(
            torch.equal(getattr(one, name), getattr(other, name))
            for name in ("x_t", "x0", "eps", "prev_sample")
        )
        for one, other in zip(steps, others, strict=True)
    )


# --- the same as what there is already ---


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_without_a_turn_a_take_is_what_sample_draws(trained, sampler) -> None:
    recipe = take(sampler=sampler, eta=0.5, prompt="dress", guidance_scale=2.0)
    assert same(list(perform(trained, recipe)), list(trained.draw(recipe.sampling, 0, range(2))))


def test_many_pictures_are_those_of_sample_too(trained) -> None:
    recipe = take(num=70, num_inference_steps=2)
    *_, last = perform(trained, recipe)
    chunks = trained.draw_in_chunks(recipe.sampling, 0)
    drawn = [step.prev_sample for _, step in chunks if step.index == 1]
    assert torch.equal(last.prev_sample, torch.cat(drawn))


@pytest.mark.parametrize("sampler", ["ddpm", "dpmpp_2m_sde"])
@pytest.mark.parametrize("prompts", [(), ("bag", "coat")])
def test_a_branch_is_that_of_edit_branch(trained, sampler, prompts) -> None:
    recipe = take(Branch(4, 0, 3, prompts), num=1, sampler=sampler)
    edit = edits.branch(trained, recipe.sampling, 0, VISITED[4], 3, prompts=prompts)
    assert same(list(perform(trained, recipe)), done(edit))


@pytest.mark.parametrize("sampler", ["ddpm", "dpmpp_2m"])
def test_asking_for_something_else_is_edit_switch(trained, sampler) -> None:
    recipe = take(Ask(3, "dress"), Ask(6, guidance_scale=3.0), sampler=sampler)
    changes = {VISITED[3]: {"prompt": "dress"}, VISITED[6]: {"guidance_scale": 3.0}}
    both = done(edits.switch(trained, recipe.sampling, 0, changes))
    changed = [step.prev_sample.chunk(2)[1] for step in both]
    performed = [step.prev_sample for step in perform(trained, recipe)]
    assert all(map(torch.equal, performed, changed))
    assert not torch.equal(performed[-1], both[-1].prev_sample.chunk(2)[0])


@pytest.mark.parametrize("sampler", ["ddpm", "dpmpp_2m"])
def test_renoising_is_edit_renoise(trained, sampler) -> None:
    recipe = take(Renoise(7, VISITED[3]), Renoise(11, VISITED[3]), sampler=sampler)
    edit = edits.renoise(trained, recipe.sampling, 0, VISITED[7], VISITED[3], times=2)
    assert same(list(perform(trained, recipe)), done(edit)[STEPS:])


def held_out(*indices: int) -> Given:
    data = load("fashion-mnist-10k")
    images = to_unit(data.test_images[list(indices)])
    return Given("test", images, ("",) * len(indices), data.test_labels[list(indices)])


def test_starting_from_held_out_pictures_is_edit_start(trained) -> None:
    recipe = take(origin=FromData((3, 5), 0.6))
    edit = edits.start(trained, recipe.sampling, 0, held_out(3, 5), 0.6, 2)
    assert same(list(perform(trained, recipe)), done(edit))
    assert plan(trained.schedule, recipe) == VISITED[4:]


def test_inpainting_a_given_picture_is_edit_inpaint(trained) -> None:
    turn = Inpaint(0, 0, "left", 3, jump_length=2, resample=3)
    recipe = take(turn, origin=FromData((4,), 0.0), num=1)
    left = torch.zeros(28, 28, dtype=torch.bool)
    left[:, :14] = True
    edit = edits.inpaint(
        trained, recipe.sampling, 0, held_out(4), left, 3, jump_length=2, resample=3
    )
    assert same(list(perform(trained, recipe)), done(edit))


# --- going on from what was recorded ---

EVERYTHING = (
    Ask(2, "dress", 2.0),
    Branch(3, 1, 2, ("bag", "coat")),
    Renoise(5, 39),
    Inpaint(9, 2, "top", 2, 3, 2),
    Ask(12, "", 1.5),
    Branch(14, 1, 2),
    Renoise(16, 44),
    Branch(18, 0, 2),
)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_take_goes_on_from_any_step_as_if_it_had_not_been_left(trained, sampler) -> None:
    turns = EVERYTHING
    if sampler in ("dpmpp_2m", "heun"):
        # These draw no noise, so there the branches are told apart by their prompts.
        turns = tuple(replace(turn, copies=1) if turn == EVERYTHING[1] else turn for turn in turns)
        turns = tuple(replace(turn, picture=1) if turn == EVERYTHING[3] else turn for turn in turns)
    recipe = take(*turns, sampler=sampler, eta=0.5)
    whole = list(perform(trained, recipe))
    assert [step.t for step in whole] == plan(trained.schedule, recipe)
    for count in range(0, len(whole) + 1, 2):
        # Seen to the end from some, from the others until it has left what was recorded behind.
        seen = len(whole) if count % 14 == 0 else count + 2
        rest = islice(perform(trained, recipe, whole[:count]), seen - count)
        assert same(list(rest), whole[count:seen]), count


def test_what_was_recorded_of_another_take_is_refused(trained) -> None:
    recorded = list(perform(trained, take()))
    with pytest.raises(ValueError, match="another take"):
        next(perform(trained, take(num_inference_steps=9), recorded[:2]))
    with pytest.raises(ValueError, match="another take"):
        next(perform(trained, take(num=3), recorded[:2]))
    with pytest.raises(ValueError, match="10 steps of a way of 5"):
        perform(trained, take(num_inference_steps=5), recorded)


def test_a_turn_does_not_change_what_came_before_it(trained) -> None:
    plain = list(perform(trained, take()))
    turned = list(perform(trained, take(*EVERYTHING)))
    assert same(turned[:2], [*plain[:2]])


def test_a_step_says_where_on_the_way_it_is(trained) -> None:
    steps = list(perform(trained, take(Renoise(7, VISITED[3]))))
    assert [step.path_index for step in steps] == list(range(14))
    assert {step.num_steps for step in steps} == {14}
    assert [step.position for step in steps] == [*range(7), *range(3, 10)]
    assert [step.round for step in steps] == [0] * 7 + [1] * 7
    # Where x is left alone it is not kept twice.
    assert all(b.x_t is a.prev_sample for a, b in pairwise(steps) if b.round == a.round)
    assert steps[7].x_t is not steps[6].prev_sample


# --- what the turns do ---


def test_the_first_branch_goes_on_as_the_picture_would_have(trained) -> None:
    for sampler in ("ddpm", "dpmpp_2m_sde"):
        *_, plain = perform(trained, take(sampler=sampler))
        *_, last = perform(trained, take(Branch(4, 1, 3), sampler=sampler))
        torch.testing.assert_close(last.prev_sample[0], plain.prev_sample[1])
        assert not torch.equal(last.prev_sample[0], last.prev_sample[1])


def test_branches_of_branches_draw_noise_of_their_own(trained) -> None:
    # The same picture, by two ways: branch 1 of the first turn, or of the second.
    ways = [(Branch(4, 0, 3), Branch(4, picture, 3)) for picture in range(3)]
    ends = [list(perform(trained, take(*way)))[-1].prev_sample for way in ways]
    pictures = [picture for end in ends for picture in end]
    same_ones = [
        (a, b)
        for a in range(9)
        for b in range(a)
        if torch.allclose(pictures[a], pictures[b], atol=1e-4)
    ]
    assert same_ones == []


def test_inpainting_keeps_what_was_believed_and_paints_the_rest_anew(trained) -> None:
    turn = Inpaint(6, 1, "left", 3, 2, 2)
    steps = list(perform(trained, take(turn)))
    believed, result = steps[5].x0[1], steps[-1].prev_sample
    assert torch.equal(result[:, :, :, 14:], believed[:, :, 14:].expand(3, -1, -1, -1))
    for copy in result:
        assert not torch.allclose(copy[:, :, :14], believed[:, :, :14], atol=0.01)
    assert not torch.allclose(result[0], result[1], atol=0.01)
    assert steps[6].t == VISITED[0]


def test_a_finished_picture_can_be_painted_and_taken_back_up(trained) -> None:
    *_, plain = perform(trained, take())
    painted = list(perform(trained, take(Inpaint(STEPS, 0, "top", 1, 2, 1))))
    assert torch.equal(painted[-1].prev_sample[0, :, 14:], plain.prev_sample[0, :, 14:])
    again = list(perform(trained, take(Renoise(STEPS, VISITED[5]))))
    assert [step.t for step in again] == VISITED + VISITED[5:]


def test_a_mask_stays_in_force_after_renoising_and_branching(trained) -> None:
    turns = (Inpaint(6, 1, "left", 2, 2, 1), Renoise(12, VISITED[2]), Branch(13, 1, 3))
    steps = list(perform(trained, take(*turns)))
    believed = steps[5].x0[1]
    assert len(steps[-1].prev_sample) == 3
    for copy in steps[-1].prev_sample:
        assert torch.equal(copy[:, :, 14:], believed[:, :, 14:])


def test_an_inpainting_resamples_after_renoising_too(trained) -> None:
    # Stretches of two steps, counted from the clean end, are gone twice.
    recipe = take(Inpaint(6, 1, "left", 1, 2, 2), Renoise(24, VISITED[6]))
    ts = plan(trained.schedule, recipe)
    assert ts[:6] == VISITED[:6]
    assert ts[6:24] == [49, 44, 39, 44, 39, 34, 29, 34, 29, 24, 19, 24, 19, 14, 9, 14, 9, 4]
    assert ts[24:] == [19, 14, 9, 14, 9, 4]
    # There is no room for a jump so close to the end.
    assert plan(trained.schedule, take(recipe.turns[0], Renoise(24, 9)))[24:] == [9, 4]


def test_asking_after_a_branch_asks_every_branch(trained) -> None:
    turns = (Branch(2, 0, 1, ("bag", "coat")), Ask(3, "dress"))
    last = list(perform(trained, take(*turns)))[-1]
    separate = list(perform(trained, take(Branch(2, 0, 1, ("bag",)), Ask(3, "dress"))))[-1]
    torch.testing.assert_close(last.prev_sample[:1], separate.prev_sample)
    only_guided = list(perform(trained, take(turns[0], Ask(3, guidance_scale=3.0))))[-1]
    assert not torch.allclose(*only_guided.prev_sample)


def test_turns_come_in_any_order_and_the_way_is_laid_out_before(trained) -> None:
    path = lay_out(trained.schedule, take(*EVERYTHING))
    assert [step.num for step in path[:10]] == [2, 2, 2, 4, 4, 4, 4, 4, 4, 2]
    assert [step.section for step in path[:10]] == [0, 0, 1, 2, 2, 3, 3, 3, 3, 4]
    assert [step.t for step in path[:10]] == [49, 44, 39, 34, 29, 39, 34, 29, 24, 49]
    assert path[-1].t == VISITED[-1]
    steps = list(perform(trained, take(*EVERYTHING)))
    assert [len(step.x_t) for step in steps] == [step.num for step in path]


# --- where a take may start ---


def test_a_take_starts_from_a_picture_of_an_earlier_grid(trained, tmp_path: Path) -> None:
    *_, plain = perform(trained, take(num=3))
    pixels = to_uint8(plain.prev_sample).numpy()
    write_png(tmp_path / "grid.png", pixels)
    np.save(tmp_path / "grid.npy", pixels)
    given = to_unit(torch.from_numpy(pixels[2:3])).repeat(2, 1, 1, 1)
    edit = edits.start(
        trained, sampling(), 0, Given("grid", given[:1], ("",)), strength=0.5, copies=2
    )
    expected = done(edit)
    for name in ("grid.png", "grid.npy"):
        origin = FromFile(str(tmp_path / name), 2, 0.5)
        assert same(list(perform(trained, take(origin=origin))), expected)


def test_relative_names_are_found_among_the_samples_of_the_run(trained) -> None:
    *_, plain = perform(trained, take())
    write_png(trained.run.samples_path / "kept.png", to_uint8(plain.prev_sample).numpy())
    steps = list(perform(trained, take(origin=FromFile("kept.png", 1, 0.3))))
    assert [step.t for step in steps] == VISITED[7:]


def test_a_painted_mask_is_kept_with_the_run_once(trained) -> None:
    mask = np.zeros((28, 28), dtype=bool)
    mask[3:9, 4:20] = True
    name = save_mask(trained.run, mask)
    assert save_mask(trained.run, mask) == name
    assert save_mask(trained.run, mask.T) != name
    steps = list(perform(trained, take(Inpaint(6, 0, name, 1, 2, 1))))
    kept = torch.from_numpy(~mask)
    assert torch.equal(steps[-1].prev_sample[0, :, kept], steps[5].x0[0, :, kept])
    with pytest.raises(ConfigError, match="at least one pixel"):
        save_mask(trained.run, np.zeros((28, 28), dtype=bool))
    wrong = save_mask(trained.run, np.ones((20, 28), dtype=bool))
    with pytest.raises(DataError, match="28×20 pixels"):
        perform(trained, take(Inpaint(6, 0, wrong)))


# --- what is refused, before a step is taken ---


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (take(Ask(11, "bag")), "no turn after 11 steps: the way has 10"),
        (take(Ask(10, "bag")), "nothing follows the turn"),
        (take(Branch(10, 0, 2)), "nothing follows the turn"),
        (take(Renoise(3, VISITED[3])), "t = 34 is not above t = 34"),
        (take(Renoise(3, 50)), "50 is not a timestep"),
        (take(Renoise(0, 49)), "is not above"),
        (take(Renoise(7, 44), Renoise(7, 39)), "is not above"),
        (take(Branch(3, 2, 2)), "no picture 2 after 3 steps"),
        (take(Branch(3, 0, 2), Branch(4, 2, 2)), "no picture 2 after 4 steps"),
        (take(Branch(3, 0, 129, ("bag", "coat"))), "258 pictures at once, and 256"),
        (take(Branch(3, 0, 2), sampler="ddim"), "Take --sampler dpmpp_2m_sde"),
        (take(Inpaint(3, 5, "left")), "no picture 5"),
        (take(Inpaint(3, 0, "left", 257)), "257 pictures"),
        (take(Inpaint(0, 0, "left")), "nothing to keep before the first step"),
        (take(Inpaint(3, 0, "left", 1, 10, 2)), "does not fit"),
        (take(Ask(3, "hat")), "'hat'"),
        (take(Branch(3, 0, 1, ("hat",))), "'hat'"),
        (take(Ask(3, guidance_scale=-1.0)), "guidance_scale"),
        (take(num=257), "257 pictures"),
        (take(num=200, origin=FromData((1, 2))), "400 pictures"),
        (take(origin=FromData((1,), 0.01)), "no step is taken"),
        (take(origin=FromData((10_000_000,))), "no held-out picture"),
        (take(num_inference_steps=51), "num_inference_steps"),
    ],
)
def test_what_cannot_be_performed_is_refused_at_once(trained, recipe, said) -> None:
    with pytest.raises(ConfigError) as refused:
        perform(trained, recipe)
    assert said in str(refused.value)


def test_within_an_inpainting_every_sampler_has_branches(trained) -> None:
    turns = (Inpaint(6, 1, "left", 1, 2, 2), Branch(9, 0, 2))
    *_, last = perform(trained, take(*turns, sampler="ddim"))
    assert not torch.allclose(*last.prev_sample, atol=1e-3)


# --- two lanes ---


def lanes_of(trained, recipe):
    return lay_lanes(trained.schedule, recipe)


def test_one_lane_without_versus(trained) -> None:
    (lane,) = lanes_of(trained, take())
    assert [step.t for step in lane.path] == VISITED


def test_lanes_start_from_the_same_noise_and_keep_abreast(trained) -> None:
    versus = {"sampler": "ddim", "num_inference_steps": 25, "guidance_scale": 2.0}
    recipe = replace(take(prompt="bag"), versus=versus)
    lanes = lanes_of(trained, recipe)
    taken: list[list[TakeStep]] = [[], []]
    for lane, step in perform_lanes([trained, trained], lanes):
        taken[lane].append(step)
        if lane:
            ahead = taken[0][-1]
            # No later than the step of lane 0, but for half a step.
            assert step.t >= ahead.t - 2 or ahead.index == STEPS - 1
    assert torch.equal(taken[0][0].x_t, taken[1][0].x_t)
    assert same(taken[0], list(perform(trained, replace(recipe, versus={}))))
    assert same(taken[1], list(perform(trained, recipe.other_lane())))


def test_what_belongs_beside_a_step_has_the_nearest_noise_level(trained) -> None:
    lanes = lanes_of(trained, replace(take(), versus={"num_inference_steps": 25}))
    other = [step.t for step in lanes[1].path]
    beside = [other[matching(lanes, index)] for index in range(STEPS)]
    assert all(abs(a - b) <= 1 for a, b in zip(beside, VISITED, strict=True))
    assert matching(lanes, STEPS) == 25


def test_lanes_go_on_from_what_was_recorded(trained) -> None:
    recipe = replace(take(Ask(4, "bag")), versus={"num_inference_steps": 25})
    lanes = lanes_of(trained, recipe)
    whole = list(perform_lanes([trained, trained], lanes))
    for count in (0, 1, 7, len(whole)):
        recorded = [[step for lane, step in whole[:count] if lane == each] for each in (0, 1)]
        rest = list(perform_lanes([trained, trained], lanes, recorded))
        assert [lane for lane, _ in rest] == [lane for lane, _ in whole[count:]]
        assert same([step for _, step in rest], [step for _, step in whole[count:]])


def test_the_second_lane_has_the_same_turns_at_the_same_noise(trained) -> None:
    turns = (Ask(3, "bag"), Renoise(7, 34), Inpaint(11, 0, "left", 2, 2, 2), Branch(15, 0, 2))
    lanes = lanes_of(trained, replace(take(*turns), versus={"num_inference_steps": 25}))
    first, other = lanes
    for mine, its in zip(turns[:2], other.recipe.turns, strict=False):
        t, its_t = first.path[mine.at - 1].t, other.path[its.at - 1].t
        assert abs(t - its_t) <= 5
    assert [type(turn) for turn in other.recipe.turns] == [type(turn) for turn in turns]
    pairs = [matching(lanes, index) for index in range(len(first.path) + 1)]
    assert pairs == sorted(pairs)
    assert all(
        other.path[at].section == step.section for at, step in zip(pairs, first.path, strict=False)
    )
    ends = dict(perform_lanes([trained, trained], lanes))
    assert len(ends[0].prev_sample) == len(ends[1].prev_sample) == 2


# --- What is asked for ---------------------------------------------------------------------------


def test_a_step_tells_what_each_picture_asks_for(trained) -> None:
    def asked(*turns: Turn, **changes: Any) -> list[tuple[str, ...]]:
        return [step.asked for step in perform(trained, take(*turns, **changes))]

    first, second, *_ = trained.class_names
    plain = asked()
    assert plain == [(first, second)] * STEPS, "without a prompt each its own class"
    turned = asked(Ask(3, "0.6 dress + 0.4 coat", None), Branch(6, 1, 1, ("bag", "coat")))
    assert turned[2] == (first, second)
    assert turned[3] == turned[5] == ("0.6 dress + 0.4 coat",) * 2
    assert turned[6] == turned[9] == ("bag", "coat")


def test_a_network_that_knows_no_classes_is_asked_for_nothing(tmp_path: Path, tiny_config) -> None:
    run = create_run(tmp_path / "runs", tiny_config(training={"steps": 2}), name="tiny")
    list(Trainer(run, device="cpu"))
    trained = load_trained(run, which="last", device="cpu")
    assert next(perform(trained, replace(take(), checkpoint=2))).asked == ("", "")
