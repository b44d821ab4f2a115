"""How takes are written: whatever is said in words is read back, and nonsense is refused kindly."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import SamplingConfig
from engine.errors import ConfigError
from engine.takes.recipe import Ask, Branch, FromData, FromFile, FromNoise, Inpaint, Recipe, Renoise
from engine.takes.text import (
    format_origin,
    format_turn,
    from_json,
    parse_origin,
    parse_turn,
    to_json,
)

counts = st.integers(0, 10**6)
some = st.integers(1, 10**6)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
names = words.filter(lambda name: name and not name.startswith("data:"))
scales = st.floats(allow_nan=False, allow_infinity=False)
asks = st.one_of(
    st.builds(Ask, counts, words, st.none() | scales), st.builds(Ask, counts, st.none(), scales)
)
turns = st.one_of(
    asks,
    st.builds(Renoise, counts, counts),
    st.builds(Branch, counts, counts, some, st.lists(words, max_size=3).map(tuple)),
    st.builds(Inpaint, counts, counts, names, some, some, some),
)
strengths = st.floats(0, 1)
origins = st.one_of(
    st.just(FromNoise()),
    st.builds(FromData, st.lists(counts, min_size=1, max_size=4).map(tuple), strengths),
    st.builds(FromFile, names, counts, strengths),
)
recipes = st.builds(
    Recipe,
    run=st.just("curve"),
    checkpoint=counts,
    sampling=st.builds(
        SamplingConfig, num=st.integers(1, 99), prompt=words, eta=strengths, clip_sample=...
    ),
    seed=counts,
    origin=origins,
    turns=st.lists(turns, max_size=4).map(lambda many: tuple(sorted(many, key=lambda t: t.at))),
    versus=st.fixed_dictionaries(
        {}, optional={"sampler": st.just("ddim"), "checkpoint": counts, "eta": strengths}
    ),
)


@given(turns)
def test_a_turn_is_read_back_as_it_was_written(turn) -> None:
    assert parse_turn(format_turn(turn)) == turn


@given(origins)
def test_an_origin_is_read_back_as_it_was_written(origin) -> None:
    assert parse_origin(format_origin(origin), getattr(origin, "strength", 0.0)) == origin


@given(recipes)
def test_a_recipe_is_read_back_from_its_json(recipe) -> None:
    assert from_json(json.loads(json.dumps(to_json(recipe)))) == recipe


@pytest.mark.parametrize(
    ("text", "turn"),
    [
        ("12 ask prompt=Bag guidance_scale=3", Ask(12, "Bag", 3.0)),
        ("12 ask prompt='dress + coat'", Ask(12, "dress + coat")),
        ("12 ask prompt=", Ask(12, "")),
        ("12 renoise t=700", Renoise(12, 700)),
        ("12 branch picture=3 copies=6", Branch(12, 3, 6)),
        ("12 branch prompt=Bag prompt=Coat", Branch(12, 0, 1, ("Bag", "Coat"))),
        ("30 inpaint mask=left copies=4", Inpaint(30, 0, "left", 4)),
    ],
)
def test_turns_are_words(text, turn) -> None:
    assert parse_turn(text) == turn


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no turn"),
        ("12", "is no turn"),
        ("12 jump t=3", "12 renoise t=700"),
        ("ask 12 prompt=Bag", "is no turn"),
        ("twelve ask prompt=Bag", "the number of steps is 'twelve'"),
        ("-1 ask prompt=Bag", "at is -1"),
        ("12 ask prompt='Bag", "quote"),
        ("12 ask", "changes nothing"),
        ("12 ask guidance_scale=nan", "nan is not a number"),
        ("12 ask guidance_scale=much", "guidance_scale is 'much'"),
        ("12 ask prompt=Bag prompt=Coat", "given twice"),
        ("12 ask t=3", "It takes prompt=, guidance_scale="),
        ("12 renoise", "has no t="),
        ("12 renoise t=-1", "t is -1"),
        ("12 branch copies=0", "copies is 0, and the least is 1"),
        ("12 branch picture", "'picture' means nothing"),
        ("12 inpaint picture=0", "has no mask="),
        ("12 inpaint mask=", "has no mask"),
        ("12 inpaint mask=left jump_length=0", "jump_length is 0"),
    ],
)
def test_what_is_no_turn_is_refused_with_what_would_do(text, said) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_turn(text)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("noise", FromNoise()),
        ("data:12", FromData((12,), 0.5)),
        ("data:12,15", FromData((12, 15), 0.5)),
        ("grid.png:3", FromFile("grid.png", 3, 0.5)),
        ("grid.png", FromFile("grid.png", 0, 0.5)),
        ("./data:1:2", FromFile("./data:1", 2, 0.5)),
    ],
)
def test_origins_are_words(text, origin) -> None:
    assert parse_origin(text, 0.5) == origin


@pytest.mark.parametrize("text", ["data:", "data:x", "data:1:2", "data:1,", ""])
def test_what_is_no_origin_is_refused(text) -> None:
    with pytest.raises(ConfigError):
        parse_origin(text, 0.5)


GOOD = to_json(Recipe("curve", 400, SamplingConfig(), turns=(Renoise(3, 700),)))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"version": 2}, "version 2"),
        ({"run": 3}, "run is 3"),
        ({"seed": True}, "seed is True"),
        ({"seed": -1}, "seed is -1"),
        ({"checkpoint": None}, "checkpoint is None"),
        ({"sampling": {"sampler": "best"}}, "sampling.sampler"),
        ({"sampling": []}, "sampling is []"),
        ({"origin": "data:3", "strength": "half"}, "strength is 'half'"),
        ({"origin": "data:3", "strength": 2}, "no strength 2"),
        ({"turns": "3 renoise t=1"}, "turns is"),
        ({"turns": [3]}, "3 is no turn"),
        ({"turns": ["9 renoise t=1", "3 renoise t=1"]}, "in the order in which they come"),
        ({"versus": {"num": 3}}, "same pictures"),
        ({"versus": {"checkpoint": "best"}}, "'best' is no checkpoint"),
    ],
)
def test_json_that_is_no_recipe_is_refused(changed, said) -> None:
    with pytest.raises(ConfigError) as refused:
        from_json({**GOOD, **changed})
    assert said in str(refused.value)


def test_a_turn_in_the_past_gives_up_what_came_after_it() -> None:
    first, second = Ask(3, "Bag"), Renoise(9, 700)
    recipe = Recipe("curve", 400, SamplingConfig(), turns=(first, second))
    assert recipe.then(Ask(5, "Coat")).turns == (first, Ask(5, "Coat"))
    assert recipe.then(Ask(9, "Coat")).turns == (first, second, Ask(9, "Coat"))


def test_the_other_lane_has_what_versus_changes() -> None:
    recipe = Recipe("curve", 400, SamplingConfig(), versus={"sampler": "ddim", "checkpoint": 200})
    other = recipe.other_lane()
    assert (other.checkpoint, other.sampling.sampler, other.versus) == (200, "ddim", {})
    with pytest.raises(ConfigError, match=r"versus\.sampler"):
        replace(recipe, versus={"sampler": "best"}).other_lane()
