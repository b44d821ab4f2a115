"""A thread that performs a take: as far as somebody looks, and not a step further."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ddpm_tui.views.sample.recording import Recording, check_memory, shared_steps
from engine.errors import EngineError
from engine.runs.folder import Run
from engine.takes.recipe import Recipe

if TYPE_CHECKING:
    from engine.sampling import TrainedModel

_MODELS = 3  # weights that are kept: a take, its second lane, and the one before


class Models:
    """The weights that were used last. For one performer at a time."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._kept: OrderedDict[tuple[Path, int], TrainedModel] = OrderedDict()

    def get(self, run: Run, step: int) -> TrainedModel:
        """The EMA weights of a checkpoint.

        Raises:
            CheckpointError: it is not there, or damaged.
        """
        from engine.sampling import load_trained

        key = run.path, step
        if key not in self._kept:
            self._kept[key] = load_trained(run, which=str(step), device=self._device)
        self._kept.move_to_end(key)
        while len(self._kept) > _MODELS:
            self._kept.popitem(last=False)
        return self._kept[key]


@dataclass(frozen=True)
class Performed:
    """What a performer has to tell.

    Attributes:
        recording: what there is by now; None before the weights are loaded.
        error: why it ended before the end; None while all is well.
    """

    recording: Recording | None
    error: Exception | None = None


class Performer(threading.Thread):
    """Performs a take step by step while there are fewer frames than wanted; otherwise waits.

    Args:
        run: whose weights.
        make: the recipe, made in this thread because it may have to look for the best checkpoint.
        models: where the weights come from.
        earlier: a recording; the steps that it shares with this take are not taken again.
        data_dir: where to look for the data set first.
        modest: whether to leave the other cores to a training that goes on here.
        tell: called from this thread after every step, and at the end or an error.
    """

    def __init__(
        self,
        run: Run,
        make: Callable[[], Recipe],
        models: Models,
        *,
        earlier: Recording | None,
        data_dir: Path | None,
        modest: bool,
        tell: Callable[[Performer, Performed], None],
    ) -> None:
        super().__init__(name="performer", daemon=True)
        self.run_folder = run
        self._make, self._models, self._earlier = make, models, earlier
        self._data_dir, self._modest, self._tell = data_dir, modest, tell
        self._wanted = 0
        self._stopped = False
        self._change = threading.Condition()

    def want(self, frames: int) -> None:
        """Take steps until there are that many frames of lane 0."""
        with self._change:
            self._wanted = frames
            self._change.notify()

    def stop(self) -> None:
        """Take no further step and tell nothing more."""
        with self._change:
            self._stopped = True
            self._change.notify()

    def run(self) -> None:
        recording: Recording | None = None
        try:
            for recording in self._perform():
                if self._stopped:
                    return
                self._tell(self, Performed(recording))
        except EngineError as error:
            self._fail(recording, error)
        except Exception as error:  # such as no memory left on the GPU; a thread must not vanish
            self._fail(recording, error)

    def _fail(self, recording: Recording | None, error: Exception) -> None:
        if not self._stopped:
            self._tell(self, Performed(recording, error))

    def _perform(self) -> Iterator[Recording]:
        import torch

        from engine.takes.versus import lay_lanes, perform_lanes

        if self._modest:
            torch.set_num_threads(1)  # of this thread
        recipe = self._make()
        first = self._models.get(self.run_folder, recipe.checkpoint)
        lanes = lay_lanes(first.schedule, recipe)
        check_memory(lanes, first.image_shape)
        models = [self._models.get(self.run_folder, lane.recipe.checkpoint) for lane in lanes]
        after = [()] * len(lanes) if self._earlier is None else shared_steps(self._earlier, lanes)
        recording = Recording(recipe, lanes, first.schedule, after)
        steps = perform_lanes(models, lanes, after, data_dir=self._data_dir)
        yield recording
        while self._wait(recording):
            with torch.inference_mode():
                following = next(steps, None)
            if following is None:
                return
            recording.append(*following)
            yield recording

    def _wait(self, recording: Recording) -> bool:
        """Wait until a step is wanted; False when none is any more."""
        with self._change:
            while not (self._stopped or recording.complete or self._due(recording)):
                self._change.wait()
            return not self._stopped and not recording.complete

    def _due(self, recording: Recording) -> bool:
        return len(recording) < self._wanted or recording.uneven
