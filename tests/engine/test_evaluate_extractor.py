"""The extractor: named by its weights, shipped, or trained once and kept."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import platformdirs
import pytest
import torch

from engine.data.dataset import Dataset, load
from engine.errors import ConfigError, DataError
from engine.evaluate import extractor as module
from engine.evaluate.cache import write_tensors
from engine.evaluate.extractor import (
    FEATURES,
    cached_weights,
    find_extractor,
    load_classifier,
    shipped_weights,
    train_classifier,
)


@pytest.fixture(scope="module")
def clothes() -> Dataset:
    return load("fashion-mnist-10k")


@pytest.fixture
def other(clothes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """A small data set that no extractor is shipped for, a cache of its own, and quick training."""
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / name)
    monkeypatch.setattr(module, "_EPOCHS", 1)
    monkeypatch.setattr(module, "_BATCH", 50)
    return replace(clothes, name="hats", images=clothes.images[:200], labels=clothes.labels[:200])


def test_the_shipped_one_tells_held_out_clothes_apart(clothes: Dataset) -> None:
    extractor = find_extractor(clothes)
    features, labels = extractor(clothes.test_images)
    assert features.shape == (1000, FEATURES)
    assert features.dtype is torch.float32
    assert extractor.dim == FEATURES
    assert labels is not None
    assert (labels == clothes.test_labels).double().mean() > 0.92


def test_its_name_is_its_version_and_the_hash_of_its_weights(clothes: Dataset) -> None:
    path = shipped_weights("fashion-mnist")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert find_extractor(clothes).name == f"fashion-mnist-v1-{digest[:8]}"


def test_other_weights_have_another_name(clothes: Dataset, tmp_path: Path) -> None:
    network = module.Classifier(1, 10)
    write_tensors(tmp_path / "a.safetensors", network.state_dict())
    first = load_classifier(tmp_path / "a.safetensors", clothes).name
    with torch.no_grad():
        network.head.bias[0] += 1e-6
    write_tensors(tmp_path / "b.safetensors", network.state_dict())
    assert load_classifier(tmp_path / "b.safetensors", clothes).name != first


def test_the_whole_set_and_the_built_in_subset_share_one(clothes: Dataset) -> None:
    # So that figures of the two compare.
    whole = replace(clothes, name="fashion-mnist")
    assert find_extractor(whole).name == find_extractor(clothes).name


def test_a_picture_has_the_same_features_in_any_company(clothes: Dataset) -> None:
    extractor = find_extractor(clothes)
    many, _ = extractor(clothes.test_images[:600])
    alone, _ = extractor(clothes.test_images[555:556])
    torch.testing.assert_close(alone[0], many[555], rtol=1e-4, atol=1e-4)


def test_a_shipped_extractor_is_not_trained(
    clothes: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "train_classifier", lambda *_, **__: pytest.fail("trained"))
    find_extractor(clothes)


def test_for_another_data_set_it_is_trained_once_and_kept(
    other: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int]] = []
    first = find_extractor(other, on_step=lambda *a: told.append(a))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert cached_weights(other).is_file()
    assert first.name.startswith("hats-v1-")
    monkeypatch.setattr(module, "train_classifier", lambda *_, **__: pytest.fail("trained again"))
    again = find_extractor(other)
    assert again.name == first.name
    assert torch.equal(again(other.test_images[:5])[0], first(other.test_images[:5])[0])


def test_other_pictures_under_the_same_name_have_another_extractor(other: Dataset) -> None:
    changed = replace(other, images=255 - other.images)
    relabelled = replace(other, labels=other.labels.flip(0))
    assert len({cached_weights(data) for data in (other, changed, relabelled)}) == 3


def test_training_repeats_itself(other: Dataset) -> None:
    first, again = train_classifier(other, seed=3), train_classifier(other, seed=3)
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    different = train_classifier(other, seed=4)
    assert not torch.equal(first.head.weight, different.head.weight)


def test_training_leaves_the_random_state_alone(other: Dataset) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    train_classifier(other)
    assert torch.equal(torch.rand(3), expected)


def test_a_data_set_of_fewer_pictures_than_a_batch_can_be_trained_on(other: Dataset) -> None:
    few = replace(other, images=other.images[:30], labels=other.labels[:30])
    assert find_extractor(few).name.startswith("hats-v1-")


@pytest.mark.slow
def test_learning_is_possible(other: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_EPOCHS", 6)
    write_tensors(cached_weights(other), train_classifier(other).state_dict())
    _, labels = find_extractor(other)(other.test_images)
    assert labels is not None
    assert (labels == other.test_labels).double().mean() > 0.4


def test_a_damaged_file_is_refused(other: Dataset) -> None:
    find_extractor(other)
    path = cached_weights(other)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match="cannot be used") as caught:
        find_extractor(other)
    assert str(path) in caught.value.message
    assert "\n" not in str(caught.value)


def test_a_data_set_without_classes_has_none(other: Dataset) -> None:
    with pytest.raises(DataError, match="no classes"):
        find_extractor(replace(other, class_names=()))


def test_an_inception_needs_a_package_that_is_named(
    clothes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(ConfigError, match="torch-fidelity") as caught:
        find_extractor(clothes, inception=tmp_path / "weights.pth")
    assert "pip install torch-fidelity" in caught.value.hint


def test_an_inception_file_is_read_as_tensors_only(clothes: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("torch_fidelity")
    path = tmp_path / "weights.pth"
    for wrong in (b"", b"not a pickle", b"cos\nsystem\n(S'touch gone'\ntR."):
        path.write_bytes(wrong)
        with pytest.raises(DataError, match="does not hold weights of Inception"):
            find_extractor(clothes, inception=path)
    torch.save({"a": torch.zeros(3)}, path)
    with pytest.raises(DataError, match="does not hold weights of Inception"):
        find_extractor(clothes, inception=path)
    with pytest.raises(DataError):
        find_extractor(clothes, inception=tmp_path / "missing.pth")


def test_an_inception_of_the_users_has_2048_features_and_no_classes(
    clothes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inception = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    monkeypatch.setattr(inception, "load_state_dict_from_url", lambda *_, **__: {})
    kind = inception.FeatureExtractorInceptionV3
    monkeypatch.setattr(kind, "load_state_dict", lambda *_: None)
    weights = kind("random", ["2048"]).state_dict()
    monkeypatch.undo()
    path = tmp_path / "weights.pth"
    torch.save(weights, path)
    extractor = find_extractor(clothes, inception=path)
    features, labels = extractor(clothes.test_images[:2])
    assert features.shape == (2, 2048) == (2, extractor.dim)
    assert labels is None
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert extractor.name == f"inception-v3-{digest[:8]}"
