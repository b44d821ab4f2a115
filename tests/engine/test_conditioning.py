"""Prompts in words, mixtures of classes, and classifier-free guidance."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ddpm_tui.sanitize import clean
from engine.conditioning import Condition, Guided, condition
from engine.config import SamplingConfig, override_sampling, validate
from engine.data import SOURCES
from engine.errors import ConfigError
from engine.models.unet import UNet
from engine.prompts import Part, parse_prompt
from engine.sampling import make_denoiser

FASHION = SOURCES["fashion-mnist"].class_names
DIGITS = SOURCES["mnist"].class_names
DRESS, COAT, SHIRT, BOOT = 3, 4, 6, 9


def parts(prompt: str, names=FASHION) -> dict[int, float]:
    return {part.label: part.weight for part in parse_prompt(prompt, names)}


# --- prompts ---


@pytest.mark.parametrize(
    ("prompt", "label"),
    [
        ("dress", DRESS),
        ("DRESS", DRESS),
        ("  Dress  ", DRESS),
        ("ankle boot", BOOT),
        ("Ankle-Boot", BOOT),
        ("ankle_boot", BOOT),
        ("ankle   boot", BOOT),
        ("T-shirt/top", 0),
        ("t-shirt", 0),
        ("t shirt", 0),
        ("top", 0),
        ("shirt", SHIRT),
        ("3", DRESS),
        ("9", BOOT),
        ("0.5 dress", DRESS),
        ("2 dress", DRESS),
        ("5 3", DRESS),
        (".5*dress", DRESS),
        ("0.5 × dress", DRESS),
    ],
)
def test_one_class(prompt, label) -> None:
    assert parse_prompt(prompt, FASHION) == (Part(label, 1.0),)


@pytest.mark.parametrize("name", FASHION)
def test_every_class_goes_by_its_name_and_its_number(name) -> None:
    label = FASHION.index(name)
    for prompt in (name, name.upper(), str(label)):
        assert parts(prompt) == {label: 1.0}


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("dress + coat", {DRESS: 0.5, COAT: 0.5}),
        ("dress+coat", {DRESS: 0.5, COAT: 0.5}),
        ("0.6 dress + 0.4 coat", {DRESS: 0.6, COAT: 0.4}),
        ("3 dress + 1 coat", {DRESS: 0.75, COAT: 0.25}),
        ("1. dress + .25 coat", {DRESS: 0.8, COAT: 0.2}),
        ("0.5 t-shirt + 0.5 ankle boot", {0: 0.5, BOOT: 0.5}),
        ("dress + coat + shirt + 1 3", {DRESS: 0.5, COAT: 0.25, SHIRT: 0.25}),
        ("dress + 0 coat", {DRESS: 1.0}),
        ("0.0 dress + 7 coat", {COAT: 1.0}),
        ("0.5 dress", {DRESS: 1.0}),
        ("dress + dress", {DRESS: 1.0}),
    ],
)
def test_mixtures_have_weights_that_sum_to_one(prompt, expected) -> None:
    found = parts(prompt)
    assert found == pytest.approx(expected)
    assert list(found) == list(expected), "in the order in which they are named"


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("7", {7: 1.0}),
        ("0.5 3 + 0.5 8", {3: 0.5, 8: 0.5}),
        ("3 + 8", {3: 0.5, 8: 0.5}),
        ("0.5 * 0", {0: 1.0}),
        ("3 7", {7: 1.0}),
    ],
)
def test_digits_are_classes(prompt, expected) -> None:
    assert parts(prompt, DIGITS) == pytest.approx(expected)


def test_a_name_wins_over_an_alternative_and_over_a_number() -> None:
    assert parts("shirt", ("polo/shirt", "shirt")) == {1: 1.0}
    assert parts("shirt", ("shirt", "polo/shirt")) == {0: 1.0}
    assert parts("1", ("1", "0")) == {0: 1.0}
    assert parts("0", ("1", "0")) == {1: 1.0}
    assert parts("2", ("1", "0", "x")) == {2: 1.0}


def test_a_class_may_have_a_plus_or_a_number_in_its_name() -> None:
    names = ("c++", "3 wheeler", "wheeler", "a/")
    assert parts("C++", names) == {0: 1.0}
    assert parts("3 wheeler", names) == {1: 1.0}
    assert parts("3 wheeler + wheeler", names) == {1: 0.5, 2: 0.5}
    for nothing in ("", "-"):
        with pytest.raises(ConfigError):
            parse_prompt(nothing, names)
    assert parts("0.5 3 wheeler + wheeler", names) == pytest.approx({1: 1 / 3, 2: 2 / 3})


def test_a_prompt_to_a_network_that_was_told_no_classes_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"There is no class to ask for .* told none"):
        parse_prompt("dress", ())


@pytest.mark.parametrize(
    ("prompt", "mention"),
    [
        ("drses", "'drses' in the prompt 'drses' is no class"),
        ("0.5 dress + 0.5 hat", "'0.5 hat' in the prompt"),
        ("10", "'10' in the prompt"),
        ("-1", "'-1' in the prompt"),
        ("dress - coat", "'dress - coat'"),
        ("0.5dress", "'0.5dress'"),
        ("0.5", "'0.5'"),
        ("1e3 dress", "'1e3 dress'"),
        ("dress, coat", "'dress, coat'"),
        ("dress +", "A class is missing in the prompt 'dress +'"),
        ("+ dress", "A class is missing"),
        ("dress ++ coat", "A class is missing"),
        ("+", "A class is missing"),
        ("", "A class is missing"),
        ("dress\ncoat", r"'dress\ncoat'"),
    ],
)
def test_what_is_no_class_is_refused_with_the_classes_there_are(prompt, mention) -> None:
    with pytest.raises(ConfigError) as error:
        parse_prompt(prompt, FASHION)
    text = str(error.value)
    assert mention in text
    assert "\n" not in text
    assert all(name in text for name in FASHION)


@pytest.mark.parametrize("prompt", ["0 dress", "0 dress + 0.0 coat", f"1{'0' * 400} dress"])
def test_weights_that_say_nothing_are_refused(prompt) -> None:
    with pytest.raises(ConfigError, match=r"weights of the prompt .* add up to (0|inf)"):
        parse_prompt(prompt, FASHION)


@pytest.mark.parametrize("names", [("only",), ("a", "b"), tuple(f"class {i}" for i in range(1000))])
def test_the_classes_of_any_data_set_are_listed_in_reason(names) -> None:
    with pytest.raises(ConfigError) as error:
        parse_prompt("something else", names)
    assert names[0] in str(error.value)
    assert len(str(error.value)) < 500
    assert ("and 980 more" in str(error.value)) == (len(names) == 1000)


def test_escape_sequences_of_a_prompt_are_not_printed() -> None:
    hostile = "\x1b]0;owned\x07dress\x9b31m\u202e"
    with pytest.raises(ConfigError) as error:
        parse_prompt(hostile, FASHION)
    for text in (str(error.value), clean(str(error.value))):
        assert not set(text) & {"\x1b", "\x07", "\x9b", "\u202e"}


@given(st.text(max_size=60) | st.text("0123456789.+ *drescoat", max_size=30))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_prompt_or_a_config_error(prompt) -> None:
    for names in (FASHION, DIGITS):
        try:
            found = parse_prompt(prompt, names)
        except ConfigError as error:
            assert "\n" not in str(error)
        else:
            assert math.isclose(sum(part.weight for part in found), 1)
            assert all(part.weight > 0 for part in found)
            labels = [part.label for part in found]
            assert len(labels) == len(set(labels))
            assert all(0 <= label < 10 for label in labels)


# --- the condition of a batch ---


def test_without_a_prompt_every_class_has_its_turn() -> None:
    asked = condition("  ", FASHION, torch.tensor([0, 1, 12, 30, 9]), 2.0)
    ((labels, weight),) = asked.parts
    assert labels.tolist() == [0, 1, 2, 0, 9]
    assert (weight, asked.guidance_scale) == (1.0, 2.0)


def test_a_prompt_is_the_same_for_every_picture() -> None:
    asked = condition("0.75 dress + 0.25 coat", FASHION, torch.tensor([5, 2, 7]))
    (first, w1), (second, w2) = asked.parts
    assert (first.tolist(), w1) == ([DRESS] * 3, 0.75)
    assert (second.tolist(), w2) == ([COAT] * 3, 0.25)
    assert asked.guidance_scale == 1


# --- guidance ---


class Toy(nn.Module):
    """Adds a known picture for each class; remembers the batches that it was asked."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.pictures = torch.randn(11, 1, 4, 4, generator=generator).to(dtype)
        self.asked: list[tuple[int, ...]] = []

    def forward(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        assert len(x) == len(t) == len(labels)
        assert labels.dtype == torch.int64
        self.asked.append(tuple(labels.tolist()))
        out: Tensor = x.to(self.pictures.dtype) + self.pictures[labels]
        return out + t[:, None, None, None].to(out.dtype) / 64


X = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(1))
T = torch.tensor([9, 9, 9])
NONE = 10


def guide(model: nn.Module, asked: Condition) -> Tensor:
    return Guided(model, NONE, asked)(X, T)


def known(model: Toy, label: int) -> Tensor:
    return X + model.pictures[label] + 9 / 64


def test_scale_one_is_the_class_alone_in_one_call() -> None:
    model = Toy()
    out = guide(model, condition("dress", FASHION, torch.arange(3)))
    assert torch.equal(out, known(model, DRESS))
    assert model.asked == [(DRESS,) * 3]


def test_scale_zero_ignores_the_class() -> None:
    model = Toy()
    out = guide(model, condition("dress + coat", FASHION, torch.arange(3), 0.0))
    assert torch.equal(out, known(model, NONE))
    assert model.asked == [(NONE,) * 3]


@pytest.mark.parametrize("scale", [0.5, 2.0, 7.5])
def test_guidance_is_the_formula(scale) -> None:
    model = Toy()
    out = guide(model, condition("dress", FASHION, torch.arange(3), scale))
    without, dress = known(model, NONE), known(model, DRESS)
    torch.testing.assert_close(out, without + scale * (dress - without))
    assert model.asked == [(DRESS,) * 3 + (NONE,) * 3], "one batch for both"


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_a_mixture_is_the_weighted_sum_of_predictions(scale) -> None:
    model = Toy()
    out = guide(model, condition("0.7 dress + 0.3 coat", FASHION, torch.arange(3), scale))
    without = known(model, NONE)
    mixed = 0.7 * known(model, DRESS) + 0.3 * known(model, COAT)
    torch.testing.assert_close(out, without + scale * (mixed - without))
    assert len(model.asked[0]) == 3 * (2 if scale == 1 else 3)


def test_classes_in_turn_are_guided_each_to_its_own() -> None:
    model = Toy()
    out = guide(model, condition("", FASHION, torch.tensor([4, 5, 16]), 2.0))
    for i, label in enumerate((4, 5, 6)):
        expected = 2 * known(model, label) - known(model, NONE)
        torch.testing.assert_close(out[i], expected[i])


def test_a_half_precision_network_is_guided_in_float32() -> None:
    model = Toy(torch.bfloat16)
    out = guide(model, condition("dress", FASHION, torch.arange(3), 7.5))
    dress, none = (model(X, T, torch.full((3,), label)).float() for label in (DRESS, NONE))
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, none + 7.5 * (dress - none), rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def network() -> UNet:
    model = UNet(1, (8, 16), attention_levels=(1,), attention_head_dim=8, num_class_embeds=11)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 4
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / fan_in**0.5)
    return model.requires_grad_(False).eval()


@pytest.mark.parametrize(
    ("prompt", "scale"), [("", 1.0), ("", 3.0), ("coat", 2.0), ("0.6 dress + 0.4 coat", 4.0)]
)
def test_a_batch_never_changes_a_picture(network, prompt, scale) -> None:
    sampling = SamplingConfig(prompt=prompt, guidance_scale=scale)
    x = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    t = torch.full((8,), 400)

    def ask(indices: list[int]) -> Tensor:
        denoiser = make_denoiser(
            network, FASHION, sampling, indices, x.device, class_conditional=True
        )
        return denoiser(x[indices], t[indices])

    together = ask(list(range(8)))
    assert float((together[0] - together[1]).abs().max()) > 0.1
    for indices in ([3], [7, 0, 3], [5, 6]):
        torch.testing.assert_close(ask(indices), together[indices], rtol=1e-4, atol=1e-5)


def test_the_last_label_of_a_network_stands_for_no_class(network) -> None:
    sampling = SamplingConfig(guidance_scale=0.0)
    denoiser = make_denoiser(
        network, FASHION, sampling, [0], torch.device("cpu"), class_conditional=True
    )
    x, t = torch.ones(1, 1, 8, 8), torch.tensor([3])
    assert torch.equal(denoiser(x, t), network(x, t, torch.tensor([10])))


# --- a network without classes ---


def test_a_network_without_classes_is_called_as_it_is() -> None:
    model = UNet(1, (8,), attention_levels=(), attention_head_dim=8)
    denoiser = make_denoiser(
        model, FASHION, SamplingConfig(), [0], torch.device("cpu"), class_conditional=False
    )
    x, t = torch.ones(1, 1, 8, 8), torch.tensor([3])
    assert torch.equal(denoiser(x, t), model(x, t))


@pytest.mark.parametrize("conditional", [False, True])
def test_the_network_works_in_the_precision_that_is_asked_for(conditional) -> None:
    seen = []

    def model(x: Tensor, t: Tensor, *labels: Tensor) -> Tensor:
        seen.append((x @ x.mT).dtype)
        return x

    for dtype in (torch.float32, torch.bfloat16):
        denoiser = make_denoiser(
            model,  # type: ignore[arg-type]
            FASHION,
            SamplingConfig(guidance_scale=2.0 if conditional else 1.0),
            [0],
            torch.device("cpu"),
            class_conditional=conditional,
            dtype=dtype,
        )
        assert denoiser(torch.ones(1, 1, 8, 8), torch.tensor([3])).dtype == torch.float32
    assert seen == [torch.float32, torch.bfloat16]


@pytest.mark.parametrize("given", [{"prompt": "dress"}, {"guidance_scale": 2.0}])
def test_a_network_without_classes_cannot_be_asked_for_one(given) -> None:
    (key,) = given
    with pytest.raises(ConfigError) as error:
        override_sampling(validate({}), given)
    assert str(error.value).startswith(f"sampling.{key} needs a network that was told the classes")
    config = validate({"model": {"class_conditional": True}})
    assert getattr(override_sampling(config, given), key) == given[key]
