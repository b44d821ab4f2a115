"""What `--help` lists is what a config takes."""

from __future__ import annotations

from enum import StrEnum
from typing import get_args

import pytest

from ddpm_tui import choices
from engine.config import DiffusionConfig, SamplingConfig, Section, TrainingConfig
from engine.runs.order import SORTS


@pytest.mark.parametrize(
    ("choice", "section", "key"),
    [
        (choices.BetaSchedule, DiffusionConfig, "beta_schedule"),
        (choices.Prediction, DiffusionConfig, "prediction_type"),
        (choices.LrSchedule, TrainingConfig, "lr_schedule"),
        (choices.Precision, TrainingConfig, "precision"),
        (choices.Sampler, SamplingConfig, "sampler"),
        (choices.Variance, SamplingConfig, "variance_type"),
        (choices.Spacing, SamplingConfig, "timestep_spacing"),
    ],
)
def test_a_choice_is_the_literal_of_the_config(
    choice: type[StrEnum], section: type[Section], key: str
) -> None:
    assert tuple(choice) == get_args(section.model_fields[key].annotation)
    assert all(member.name == member.value for member in choice)


def test_the_orders_of_a_listing_are_those_of_the_engine() -> None:
    assert tuple(choices.Sort) == tuple(SORTS)
