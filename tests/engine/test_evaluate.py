"""Every figure of a set of pictures beside the same figure of held-out real ones."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from engine.config import SamplingConfig
from engine.data.dataset import Dataset, load
from engine.errors import ConfigError
from engine.evaluate.evaluation import (
    Evaluation,
    Figures,
    check_count,
    class_figures,
    evaluate_pixels,
    figures,
    floor_pictures,
)
from engine.evaluate.extractor import Extractor, find_extractor
from engine.evaluate.frechet import frechet_distance, moments
from engine.evaluate.real import Described, Real, describe, find_real, kept_real, prepare
from engine.evaluate.results import closest_pairs, evaluation_stem, write_evaluation
from engine.images import read_png
from engine.runs.folder import Run

REFERENCE = 1000
N = 300


@pytest.fixture(scope="module")
def whole() -> Dataset:
    return load("fashion-mnist-10k")


@pytest.fixture(scope="module")
def clothes(whole: Dataset) -> Dataset:
    """A data set of 1,000 training and 400 held-out pictures."""
    return replace(
        whole,
        images=whole.images[:REFERENCE],
        labels=whole.labels[:REFERENCE],
        test_images=whole.test_images[:400],
        test_labels=whole.test_labels[:400],
    )


@pytest.fixture(scope="module")
def extractor(clothes: Dataset) -> Extractor:
    return find_extractor(clothes)


@pytest.fixture(scope="module")
def real(clothes: Dataset, extractor: Extractor) -> Real:
    return prepare(clothes, extractor)


@pytest.fixture(scope="module")
def fresh(whole: Dataset) -> Tensor:
    """What a perfect model draws: real pictures that are neither training nor held-out ones."""
    return whole.images[REFERENCE : REFERENCE + N]


@pytest.fixture(scope="module")
def fresh_labels(whole: Dataset) -> Tensor:
    return whole.labels[REFERENCE : REFERENCE + N]


@pytest.fixture(scope="module")
def perfect(fresh: Tensor, fresh_labels: Tensor, real: Real) -> Evaluation:
    return evaluate_pixels(fresh, fresh_labels, real.dataset, real.extractor, real=real)


def of(pixels: Tensor, real: Real) -> Figures:
    return figures(describe(pixels, None, real.extractor), real.reference, real.moments)


def noisy(pixels: Tensor, sd: float) -> Tensor:
    noise = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(0)) * sd
    return (pixels.float() + noise).round().clamp(0, 255).byte()


# How many pictures it takes


def test_fewer_pictures_than_features_are_refused(clothes: Dataset, extractor: Extractor) -> None:
    assert extractor.dim == 256
    with pytest.raises(ConfigError, match="255 pictures are too few") as caught:
        check_count(255, extractor)
    assert "256 features" in caught.value.message
    assert caught.value.hint
    with pytest.raises(ConfigError, match="too few"):
        evaluate_pixels(clothes.test_images[:255], None, clothes, extractor)


def test_few_pictures_are_warned_of(extractor: Extractor) -> None:
    for few in (256, 2047):
        assert f"{few:,} pictures are few" in check_count(few, extractor)
    assert check_count(2048, extractor) == ""


def test_the_warning_stands_beside_the_figures(perfect: Evaluation) -> None:
    assert any("300 pictures are few" in warning for warning in perfect.warnings)


# Floors


def test_the_floor_is_of_as_many_held_out_pictures(perfect: Evaluation) -> None:
    assert perfect.floor is not None
    assert perfect.generated.n == perfect.floor.n == N
    assert perfect.at_floor is perfect.generated
    assert perfect.floor.precision_recall_n == perfect.generated.precision_recall_n == N


def test_the_floor_is_the_figures_of_held_out_pictures(fresh: Tensor, real: Real) -> None:
    found = evaluate_pixels(fresh, None, real.dataset, real.extractor, real=real)
    assert found.floor == figures(real.held_out.first(N), real.reference, real.moments)


def test_the_floor_has_as_many_of_each_class_as_were_asked_for(
    fresh: Tensor, real: Real, extractor: Extractor
) -> None:
    in_turn = torch.arange(N) % 10
    asked = describe(fresh, in_turn, extractor)
    chosen = floor_pictures(real.held_out, asked)
    assert chosen.labels is not None
    assert torch.equal(torch.bincount(chosen.labels), torch.bincount(in_turn))
    assert len(chosen.features.unique(dim=0)) == N, "none of them twice"
    found = evaluate_pixels(fresh, in_turn, real.dataset, real.extractor, real=real)
    assert found.floor == figures(chosen, real.reference, real.moments)


def test_where_too_few_of_a_class_are_held_out_the_floor_is_a_random_draw(
    fresh: Tensor, real: Real, extractor: Extractor
) -> None:
    asked = describe(fresh, torch.zeros(N, dtype=torch.int64), extractor)
    chosen = floor_pictures(real.held_out, asked)
    assert torch.equal(chosen.features, real.held_out.first(N).features)


def test_a_smaller_held_out_split_is_not_extrapolated_from(whole: Dataset, real: Real) -> None:
    pixels = whole.images[REFERENCE : REFERENCE + 500]
    found = evaluate_pixels(pixels, None, real.dataset, real.extractor, real=real)
    assert found.floor is not None
    assert found.at_floor is not None
    assert (found.generated.n, found.at_floor.n, found.floor.n) == (500, 400, 400)
    assert found.at_floor == of(pixels[:400], real)
    assert found.frechet_ratio == found.at_floor.frechet / found.floor.frechet
    assert any("holds out 400 pictures" in warning for warning in found.warnings)


def test_without_enough_held_out_pictures_there_is_no_floor(
    clothes: Dataset, extractor: Extractor, fresh: Tensor
) -> None:
    few = replace(
        clothes, test_images=clothes.test_images[:100], test_labels=clothes.test_labels[:100]
    )
    found = evaluate_pixels(fresh, None, few, extractor)
    assert (found.floor, found.at_floor, found.frechet_ratio) == (None, None, None)
    assert any("There is no floor" in warning for warning in found.warnings)


def test_real_pictures_are_at_the_floor(perfect: Evaluation) -> None:
    floor = perfect.floor
    assert floor is not None
    assert perfect.frechet_ratio == pytest.approx(1, abs=0.3)
    assert perfect.generated.kernel.low <= floor.kernel.high
    assert perfect.generated.precision == pytest.approx(floor.precision, abs=0.06)
    assert perfect.generated.recall == pytest.approx(floor.recall, abs=0.06)
    assert perfect.accuracy == pytest.approx(perfect.floor_accuracy, abs=0.04)
    near = perfect.memorisation
    assert near.median == pytest.approx(near.floor_median, rel=0.05)
    assert near.share_near < 0.02


# What the figures see


@pytest.mark.slow
def test_the_frechet_distance_grows_with_noise_and_blur(fresh: Tensor, real: Real) -> None:
    soft = F.avg_pool2d(fresh.float(), 3, 1, 1)

    def blurred(share: float) -> Tensor:
        return (fresh.float() * (1 - share) + soft * share).round().byte()

    def brighter(by: float) -> Tensor:
        return (fresh.float() * (1 + by) + 20 * by).clamp(0, 255).byte()

    for series in (
        [noisy(fresh, sd) for sd in (0, 5, 15, 40)],
        [blurred(share) for share in (0, 0.4, 0.7, 1)],
        [brighter(by) for by in (0, 0.5, 1, 2)],
    ):
        found = [of(pixels, real) for pixels in series]
        values = [entry.frechet for entry in found]
        assert values == sorted(values)
        assert values[-1] > 5 * values[0]
        assert found[-1].kernel.mean > found[0].kernel.mean
        assert found[-1].precision < found[0].precision


def test_left_out_classes_cost_recall_and_not_precision(
    whole: Dataset, real: Real, perfect: Evaluation
) -> None:
    kept = torch.nonzero(whole.labels[REFERENCE:] < 4).flatten()[:N] + REFERENCE
    pixels = whole.images[kept]
    found = evaluate_pixels(pixels, None, real.dataset, real.extractor, real=real)
    assert found.generated.recall < perfect.generated.recall - 0.3
    assert found.generated.precision > perfect.generated.precision - 0.1
    assert found.frechet_ratio is not None
    assert found.frechet_ratio > 20
    drawn = [entry.generated_n for entry in found.classes]
    assert sum(drawn) == N
    assert sum(drawn[:4]) > 0.9 * N


def test_pixels_show_what_the_features_hardly_do(fresh: Tensor, real: Real) -> None:
    floor = of(real.dataset.test_images[:N], real)
    for worse, figure in (
        ((fresh.float() * 1.2).clamp(0, 255).byte(), "brightness"),
        ((fresh.float() * 0.8).byte(), "contrast"),
        (noisy(fresh, 6), "fine_detail"),
    ):
        found = of(worse, real)
        assert getattr(found.pixels, figure) > 3 * getattr(floor.pixels, figure)
        # To the features these are still the same clothes.
        assert found.kernel.low <= floor.kernel.high
        assert found.precision == pytest.approx(floor.precision, abs=0.1)
        assert found.recall == pytest.approx(floor.recall, abs=0.1)


def test_copied_training_pictures_are_pointed_out(fresh: Tensor, real: Real) -> None:
    pixels = fresh.clone()
    pixels[100:130] = real.dataset.images[500:530]
    found = evaluate_pixels(pixels, None, real.dataset, real.extractor, real=real)
    near = found.memorisation
    assert 30 / N <= near.share_near < 40 / N
    assert all(pair.training == pair.sample + 400 for pair in near.closest)
    assert len(near.closest) == 16
    pairs = closest_pairs(found, pixels, real.dataset.images)
    assert pairs.shape == (32, 1, 28, 28)
    assert torch.equal(pairs[:8], pairs[8:16])
    assert torch.equal(pairs[16:24], pairs[24:])


def test_a_model_that_draws_nothing_gets_finite_figures(real: Real) -> None:
    black = torch.zeros(N, 1, 28, 28, dtype=torch.uint8)
    found = evaluate_pixels(black, None, real.dataset, real.extractor, real=real)
    assert found.frechet_ratio is not None
    assert found.frechet_ratio > 50
    assert found.generated.recall < 0.05
    json.dumps(asdict(found), allow_nan=False)


# Classes


def test_pictures_that_were_asked_for_are_of_the_class_asked_for(
    fresh: Tensor, fresh_labels: Tensor, real: Real, perfect: Evaluation
) -> None:
    assert perfect.class_source == "asked for"
    wrong = (fresh_labels + 1) % 10
    found = evaluate_pixels(fresh, wrong, real.dataset, real.extractor, real=real)
    assert perfect.accuracy is not None
    assert perfect.accuracy > 0.9
    assert found.accuracy is not None
    assert found.accuracy < 0.1
    assert found.generated == perfect.generated
    for right, other in zip(perfect.classes, found.classes, strict=True):
        assert right.frechet is not None
        assert other.frechet is not None
        assert other.frechet > 2 * right.frechet


def test_without_labels_the_extractor_says_the_class_of_all_pictures(
    fresh: Tensor, real: Real
) -> None:
    found = evaluate_pixels(fresh, None, real.dataset, real.extractor, real=real)
    assert found.class_source == "predicted"
    assert found.accuracy is None
    predicted = describe(fresh, None, real.extractor).predicted
    assert predicted is not None
    assert real.reference.predicted is not None
    assert [entry.generated_n for entry in found.classes] == predicted.bincount().tolist()
    assert [entry.reference_n for entry in found.classes] == (
        real.reference.predicted.bincount().tolist()
    )


def test_a_class_is_compared_at_one_number_of_pictures(
    perfect: Evaluation, fresh_labels: Tensor, real: Real
) -> None:
    assert real.held_out.labels is not None
    drawn, held_out = fresh_labels.bincount(), real.held_out.labels.bincount()
    ratios = []
    for label, entry in enumerate(perfect.classes):
        assert entry.name == real.dataset.class_names[label]
        assert entry.generated_n == drawn[label]
        assert entry.n == min(drawn[label], held_out[label])
        assert entry.frechet is not None
        ratios.append(entry.frechet / (entry.floor or math.nan))
    # Each of 30 pictures or so; together they are what real pictures get.
    assert sum(ratios) / len(ratios) == pytest.approx(1, abs=0.3)
    assert any("mostly bias" in warning for warning in perfect.warnings)


def test_of_a_class_with_many_drawn_pictures_as_many_count_as_are_held_out(
    whole: Dataset, real: Real
) -> None:
    pixels = whole.images[whole.labels == 1][-N:]
    asked = torch.ones(N, dtype=torch.int64)
    found = class_figures(describe(pixels, asked, real.extractor), real)[1]
    held_out = int((real.dataset.test_labels == 1).sum())
    assert held_out < 60
    assert (found.generated_n, found.n) == (N, held_out)
    reference = moments(real.reference.features[real.dataset.labels == 1])
    first = describe(pixels[:held_out], None, real.extractor)
    expected = frechet_distance(moments(first.features), reference)
    assert found.frechet == pytest.approx(expected, rel=1e-3)
    # Of all that were drawn it would be less, and the floor with it unfair.
    every = describe(pixels, None, real.extractor)
    assert expected > 1.3 * frechet_distance(moments(every.features), reference)


def test_the_held_out_pictures_come_in_one_random_order(
    clothes: Dataset, extractor: Extractor
) -> None:
    few = replace(clothes, images=clothes.images[:50], labels=clothes.labels[:50])
    first, again = prepare(few, extractor).held_out, prepare(few, extractor).held_out
    assert first.labels is not None
    assert again.labels is not None
    assert torch.equal(first.features, again.features)
    assert torch.equal(first.labels, again.labels)
    assert not torch.equal(first.labels, clothes.test_labels)
    assert torch.equal(first.labels.bincount(), clothes.test_labels.bincount())


def test_an_extractor_that_knows_no_classes_leaves_them_out(clothes: Dataset, real: Real) -> None:
    def blind(pixels: Tensor) -> tuple[Tensor, None]:
        return real.extractor.extract(pixels)[0], None

    stranger = Extractor("stranger", 256, blind)
    found = evaluate_pixels(clothes.images[:300], None, clothes, stranger)
    assert found.classes == ()
    assert found.accuracy is found.floor_accuracy is None


# Names and files


def test_figures_of_different_extractors_do_not_meet(fresh: Tensor, real: Real) -> None:
    stranger = replace(real.extractor, name="fashion-mnist-v9-00000000")
    with pytest.raises(ValueError, match="another data set or extractor"):
        evaluate_pixels(fresh, None, real.dataset, stranger, real=real)
    with pytest.raises(ValueError, match="another data set or extractor"):
        evaluate_pixels(fresh, None, replace(real.dataset), real.extractor, real=real)


def test_pictures_of_another_kind_are_no_pictures_of_the_data_set(
    fresh: Tensor, real: Real
) -> None:
    for wrong in (fresh.float(), fresh[..., :14], fresh.expand(-1, 3, -1, -1)):
        with pytest.raises(ValueError, match="fashion-mnist-10k's are uint8"):
            evaluate_pixels(wrong, None, real.dataset, real.extractor, real=real)


def test_an_evaluation_repeats_itself(
    fresh: Tensor, fresh_labels: Tensor, real: Real, perfect: Evaluation
) -> None:
    again = evaluate_pixels(fresh, fresh_labels, real.dataset, real.extractor, real=real)
    assert again == perfect


def test_it_says_what_it_is_doing(fresh: Tensor, real: Real) -> None:
    told: list[tuple[str, int, int]] = []
    evaluate_pixels(
        fresh, None, real.dataset, real.extractor, real=real, on_progress=lambda *a: told.append(a)
    )
    assert ("features of the generated pictures", N, N) in told
    assert ("nearest training pictures", N, N) in told


def test_the_figures_are_written_with_all_that_made_them(
    tmp_path: Path, perfect: Evaluation, fresh: Tensor, real: Real
) -> None:
    run = Run(tmp_path / "run7")
    run.path.mkdir()
    sampling = SamplingConfig(num=N, sampler="ddim", num_inference_steps=25)
    files = write_evaluation(run, perfect, fresh, real.dataset, sampling, seed=3, step=1200)
    assert files.json.parent == run.path / "evaluations"
    written = json.loads(files.json.read_text())
    assert written["extractor"] == real.extractor.name
    assert written["generated"]["n"] == written["floor"]["n"] == N
    assert written["reference_n"] == REFERENCE
    assert written["frechet_ratio"] == perfect.frechet_ratio
    assert written["sampling"]["num_inference_steps"] == 25
    assert (written["run"], written["step"], written["seed"]) == ("run7", 1200, 3)
    pictures, about = read_png(files.png)
    assert len(pictures) == 32
    assert about["rows"] == "generated, nearest training"
    closest = perfect.memorisation.closest[0]
    assert torch.equal(torch.from_numpy(pictures[0]), fresh[closest.sample])
    assert torch.equal(torch.from_numpy(pictures[8]), real.dataset.images[closest.training])


def test_the_file_name_tells_evaluations_apart() -> None:
    base = SamplingConfig(num=10_000, sampler="ddim", num_inference_steps=50)
    names = [
        evaluation_stem(base, 0, 100, "a-v1"),
        evaluation_stem(base, 1, 100, "a-v1"),
        evaluation_stem(base, 0, 200, "a-v1"),
        evaluation_stem(base, 0, 100, "b-v1"),
        evaluation_stem(base.model_copy(update={"num": 5000}), 0, 100, "a-v1"),
        evaluation_stem(base.model_copy(update={"sampler": "ddpm"}), 0, 100, "a-v1"),
        evaluation_stem(base.model_copy(update={"num_inference_steps": 20}), 0, 100, "a-v1"),
        evaluation_stem(base.model_copy(update={"guidance_scale": 2.0}), 0, 100, "a-v1"),
    ]
    assert len(set(names)) == len(names)
    assert all(name.endswith("-v1") for name in names)


def test_a_part_of_described_pictures_is_the_description_of_the_part(
    fresh: Tensor, fresh_labels: Tensor, extractor: Extractor
) -> None:
    def equal(a: Described, b: Described) -> None:
        torch.testing.assert_close(a.features, b.features, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(a.pixels.spectrum, b.pixels.spectrum, rtol=1e-5, atol=1e-5)
        assert a.labels is not None
        assert b.labels is not None
        assert torch.equal(a.labels, b.labels)

    whole = describe(fresh, fresh_labels, extractor)
    equal(whole.first(50), describe(fresh[:50], fresh_labels[:50], extractor))
    picked = torch.tensor([5, 3, 99])
    equal(whole.take(picked), describe(fresh[picked], fresh_labels[picked], extractor))
    assert whole.first(10_000) is whole


# The real side is described once


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def plain() -> Extractor:
    """One that costs nothing: a third of the pixels, and a class that they add up to."""

    def extract(pixels: Tensor) -> tuple[Tensor, Tensor]:
        flat = pixels.flatten(1)
        return flat[:, 100:356].float(), flat.sum(1) % 10

    return Extractor("pixels", 256, extract)


@pytest.fixture
def few(clothes: Dataset) -> Dataset:
    return replace(clothes, images=clothes.images[:300], labels=clothes.labels[:300])


def test_the_second_evaluation_need_not_describe_the_real_pictures(
    few: Dataset, plain: Extractor, cache: Path
) -> None:
    first = find_real(few, plain)

    def unused(pixels: Tensor) -> tuple[Tensor, Tensor | None]:
        raise AssertionError("described again")

    again = find_real(few, replace(plain, extract=unused))
    for ours, kept in ((first.reference, again.reference), (first.held_out, again.held_out)):
        for one, other in (
            (ours.features, kept.features),
            (ours.labels, kept.labels),
            (ours.predicted, kept.predicted),
            (ours.pixels.brightness, kept.pixels.brightness),
            (ours.pixels.contrast, kept.pixels.contrast),
            (ours.pixels.spectrum, kept.pixels.spectrum),
        ):
            assert one is not None
            assert other is not None
            torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert torch.equal(first.held_out_nearest, again.held_out_nearest)
    assert again.dataset is few
    pictures = describe(few.test_images[:300], None, plain)
    assert figures(pictures, first.reference, first.moments) == figures(
        pictures, again.reference, again.moments
    )


def test_other_pictures_or_features_are_kept_elsewhere(
    few: Dataset, clothes: Dataset, plain: Extractor, cache: Path
) -> None:
    other = replace(few, test_images=few.test_images.flip(0))
    named = replace(plain, name="another")
    places = {
        kept_real(few, plain),
        kept_real(clothes, plain),
        kept_real(other, extractor),
        kept_real(few, named),
    }
    assert len(places) == 4
    assert all(cache in place.parents for place in places)


@pytest.mark.parametrize("damage", [b"", b"not a safetensors file", b"half"])
def test_a_damaged_file_is_made_anew(
    few: Dataset, plain: Extractor, cache: Path, damage: bytes
) -> None:
    whole = find_real(few, plain)
    path = kept_real(few, plain)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] if damage == b"half" else damage)
    again = find_real(few, plain)
    assert torch.equal(whole.reference.features, again.reference.features)
    assert path.read_bytes() == data


def test_without_a_cache_it_is_made_every_time(few: Dataset, plain: Extractor, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    assert len(find_real(few, plain).reference) == 300
    assert len(find_real(few, plain).reference) == 300
