import threading

import numpy as np
import pytest
import torch

from ddpm_tui.trajectory import LOOKS, Playhead, Trajectory, memory_needed
from engine.reverse import ReverseStep

STEPS = 5
SHAPE = (1, 4, 4)


def step(index: int, *, eps: float = 1.5) -> ReverseStep:
    """x_t falls from 1 to −1 in equal steps; the picture that is believed in is its opposite."""

    def flat(value: float) -> torch.Tensor:
        return torch.full((2, *SHAPE), value)

    x_t = 1 - 2 * index / STEPS
    after = 1 - 2 * (index + 1) / STEPS
    return ReverseStep(
        index, STEPS, STEPS - 1 - index, flat(x_t), flat(-x_t), flat(eps), flat(after)
    )


def empty() -> Trajectory:
    return Trajectory(range(STEPS)[::-1], [0.9, 0.7, 0.5, 0.3, 0.1], 2, SHAPE)


def test_frames_are_what_the_steps_showed_and_the_last_is_the_result() -> None:
    trajectory = empty()
    for index in range(STEPS):
        assert len(trajectory) == index
        assert not trajectory.complete
        trajectory.append(step(index))
    assert len(trajectory) == STEPS + 1
    assert trajectory.complete
    shown = [int(trajectory.frame(i, "x_t")[0, 0, 0, 0]) for i in range(STEPS + 1)]
    assert shown == [255, 204, 153, 102, 51, 0]
    believed = [int(trajectory.frame(i, "x0")[0, 0, 0, 0]) for i in range(STEPS)]
    assert believed == [0, 51, 102, 153, 204]
    # 1.5 of the 3 standard deviations between grey and white.
    assert np.unique(trajectory.frame(0, "eps")).tolist() == [191]
    assert trajectory.frame(0, "x_t").shape == (2, *SHAPE)
    assert trajectory.frame(0, "x_t").dtype == np.uint8


def test_the_result_keeps_the_predictions_that_made_it() -> None:
    trajectory = empty()
    for index in range(STEPS):
        trajectory.append(step(index))
    for look in ("x0", "eps"):
        assert (trajectory.frame(STEPS, look) == trajectory.frame(STEPS - 1, look)).all()


def test_moments_are_those_of_the_floats_not_of_the_pixels() -> None:
    trajectory = empty()
    x = torch.randn(2, *SHAPE) * 4 + 2  # mostly out of what pixels can show
    trajectory.append(ReverseStep(0, STEPS, 4, x, x, x, x))
    mean, std = trajectory.moments(0)
    assert mean == pytest.approx(float(x.mean()))
    assert std == pytest.approx(float(x.std()))


@pytest.mark.parametrize("look", LOOKS)
def test_a_frame_that_is_not_there_yet_is_an_index_error(look: str) -> None:
    trajectory = empty()
    trajectory.append(step(0))
    for index in (-1, 1, STEPS):
        with pytest.raises(IndexError):
            trajectory.frame(index, look)
        with pytest.raises(IndexError):
            trajectory.moments(index)


def test_steps_come_in_order() -> None:
    trajectory = empty()
    with pytest.raises(IndexError):
        trajectory.append(step(1))
    for index in range(STEPS):
        trajectory.append(step(index))
    with pytest.raises(IndexError):
        trajectory.append(step(STEPS - 1))


def test_a_reader_never_sees_a_frame_that_is_half_written() -> None:
    steps = 60
    trajectory = Trajectory(range(steps), [0.5] * steps, 8, (1, 28, 28))
    torn: list[int] = []

    def write() -> None:
        for index in range(steps):
            x = torch.full((8, 1, 28, 28), index / steps)
            trajectory.append(ReverseStep(index, steps, 0, x, x, x, x))

    writer = threading.Thread(target=write)
    writer.start()
    seen = 0
    while writer.is_alive():
        newest = len(trajectory)
        if newest > seen:
            picture = trajectory.frame(newest - 1, "x_t")
            expected = round((min(newest - 1, steps - 1) / steps + 1) / 2 * 255)
            if not (abs(picture.astype(int) - expected) <= 1).all():
                torn.append(newest)
            seen = newest
    writer.join()
    assert not torn
    assert trajectory.complete


def test_memory_is_known_before_it_is_taken() -> None:
    trajectory = empty()
    held = sum(frames.nbytes for frames in trajectory._frames.values())
    assert memory_needed(STEPS, 2, SHAPE) == held


# --- The playhead ------------------------------------------------------------------------------


def test_playing_moves_at_its_speed_and_stops_at_the_newest_frame() -> None:
    head = Playhead(playing=True, speed=30)
    head.advance(0.5, last=100)
    assert head.index == 15
    head.advance(10, last=40)
    assert head.index == 40
    assert head.playing  # more may come


def test_a_slow_playhead_does_not_lose_fractions() -> None:
    head = Playhead(playing=True, speed=1)
    for _ in range(32):
        head.advance(1 / 16, last=100)
    assert head.index == 2


def test_a_paused_playhead_stays() -> None:
    head = Playhead(position=7.0)
    head.advance(10, last=100)
    assert head.index == 7


@pytest.mark.parametrize(("to", "index"), [(5, 5), (-3, 0), (999, 40)])
def test_scrubbing_stays_within_the_frames_and_pauses(to: int, index: int) -> None:
    head = Playhead(position=20.0, playing=True)
    head.move_to(to, last=40)
    assert (head.index, head.playing) == (index, False)


def test_scrubbing_before_the_first_frame_is_the_start() -> None:
    head = Playhead()
    head.move_to(3, last=-1)
    assert head.index == 0


def test_speeds_end_at_both_ends() -> None:
    head = Playhead()
    for _ in range(20):
        head.change_speed(faster=True)
    assert head.speed == 240
    head.change_speed(faster=False)
    assert head.speed == 120
    for _ in range(20):
        head.change_speed(faster=False)
    assert head.speed == 1
