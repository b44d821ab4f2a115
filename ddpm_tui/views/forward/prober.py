"""Asks a trained network about noised images, in a thread: the newest question first, then the
errors by timestep, as long as nobody asks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddpm_tui.views.forward.images import Loaded
from ddpm_tui.views.sample.performer import Models
from ddpm_tui.worker import TrainingThread, sparing_the_training
from engine.images import Pixels
from engine.runs.checkpoint import find_checkpoint
from engine.runs.folder import Run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.denoising import Denoised, DenoisingError
    from engine.probe import Probe


@dataclass(frozen=True)
class Network:
    """Whose network looks, and what it is told.

    Attributes:
        which: the checkpoint: `best`, `last` or a step number.
        told: whether it is told the class of each image, where it can be.
    """

    run: Run
    which: str = "best"
    told: bool = True


@dataclass(frozen=True, eq=False)
class Seen:
    """What the network makes of the images at one t; numbers and pictures, an image each.

    Attributes:
        rows: x_0, x_t, x̂_0 and |x̂_0 − x_0|, uint8 (N, C, H, W) each.
        x0_error, eps_error: float (N,), mean squared errors.
        largest: float (N,), the largest |x̂_0 − x_0| of a pixel.
    """

    t: int
    rows: tuple[Pixels, Pixels, Pixels, Pixels]
    x0_error: NDArray[Any]
    eps_error: NDArray[Any]
    largest: NDArray[Any]

    @classmethod
    def of(cls, denoised: Denoised) -> Seen:
        """Waits for the device."""
        largest = denoised.deviation.flatten(1).amax(dim=1)
        figures = (denoised.x0_error, denoised.eps_error, largest)
        return cls(denoised.t, denoised.rows(), *(figure.cpu().numpy() for figure in figures))


@dataclass(frozen=True)
class Known:
    """What a prober has found out so far; a new one for every piece of news.

    Attributes:
        step: of the checkpoint.
        told: whether the network is told the class of each image.
        seen: the newest answer.
        errors: by timestep, in the order in which they were measured.
        of: how many timesteps will have been measured in the end.
        saved: the files of a figure that was asked for.
    """

    step: int
    told: bool
    seen: Seen | None = None
    errors: tuple[DenoisingError, ...] = ()
    of: int = 0
    saved: tuple[Path, Path] | None = None


class Prober:
    """Asks one network about one data set's images. One thread at a time may `work`.

    Args:
        tell: called from that thread with all that is known, after every answer.
        training: what is trained in this process, if anything, to be spared.
    """

    def __init__(
        self,
        network: Network,
        loaded: Loaded,
        models: Models,
        *,
        training: Callable[[], TrainingThread | None],
        tell: Callable[[Prober, Known], None],
    ) -> None:
        self.network, self.loaded = network, loaded
        self._models, self._training, self._tell = models, training, tell
        self._lock = threading.Lock()
        self._question: int | None = None
        self._figure: tuple[int, Path, str] | None = None
        self._working = self._closed = False
        self._probe: Probe | None = None
        self._known: Known | None = None
        self._measuring: Iterator[DenoisingError] | None = None

    def ask(self, t: int | None) -> bool:
        """Ask about the images at t; what was asked before and is not begun is forgotten.

        Args:
            t: 0 … T − 1, or None to have the errors measured alone.

        Returns:
            Whether somebody has to call `work`.
        """
        with self._lock:
            self._question = t
            return self._needs_work()

    def ask_for_figure(self, t: int, out: Path, stem: str) -> bool:
        """Ask for a PNG of the images at t and a GIF over all t. Returns as `ask`."""
        with self._lock:
            self._figure = t, out, stem
            return self._needs_work()

    def close(self) -> None:
        """Answer nothing more."""
        with self._lock:
            self._closed = True

    def _needs_work(self) -> bool:
        was_working, self._working = self._working, True
        return not was_working and not self._closed

    def work(self) -> None:
        """Answer until everything is answered and measured.

        Raises:
            EngineError: the checkpoint or a file cannot be used. Another `ask` begins anew.
        """
        try:
            with sparing_the_training(self._training()):
                while self._answer():
                    pass
        except BaseException:
            with self._lock:
                self._working = False
            raise

    def _answer(self) -> bool:
        """The next piece of work; False when there is none."""
        probe = self._probe or self._load()
        with self._lock:
            t, self._question = self._question, None
            figure, self._figure = self._figure, None
            if self._closed:
                return False
        known = self._known
        assert known is not None
        if t is not None:
            self._known = replace(known, seen=Seen.of(probe.at(t)), saved=None)
        elif figure is not None:
            at, out, stem = figure
            self._known = replace(known, saved=self._write(probe, at, out, stem))
        else:
            error = next(self._measuring, None) if self._measuring else None
            if error is None:
                with self._lock:
                    # Decided under the lock: what is asked from here on needs a new `work`.
                    self._working = self._question is not None or self._figure is not None
                    return self._working
            self._known = replace(known, errors=(*known.errors, error), saved=None)
        if not self._closed:
            self._tell(self, self._known)
        return True

    def _load(self) -> Probe:
        from engine.denoising import probe_timesteps
        from engine.probe import Probe

        network, loaded = self.network, self.loaded
        step = find_checkpoint(network.run, network.which).step
        trained = self._models.get(network.run, step)
        schedule = trained.schedule
        shown, measured = (
            Probe(trained, process, loaded.all_names, told=network.told)
            for process in (loaded.shown(schedule), loaded.measured(schedule))
        )
        timesteps = probe_timesteps(schedule.num_train_timesteps)
        self._measuring = measured.errors(timesteps, loaded.mean_image)
        self._known = Known(step, shown.told, of=len(timesteps))
        self._probe = shown
        return shown

    def _write(self, probe: Probe, t: int, out: Path, stem: str) -> tuple[Path, Path]:
        from engine.forward_files import write_denoised

        return write_denoised(probe, t, self.loaded.dataset, out=out, stem=stem)
