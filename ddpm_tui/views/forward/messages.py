"""What the threads of the Forward view tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.message import Message

from ddpm_tui.views.forward.images import Loaded
from ddpm_tui.views.forward.prober import Known, Network, Prober
from engine.config import RunConfig
from engine.errors import EngineError
from engine.images import Pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ImagesLoaded(Message):
    """Images are there, and the config of the run whose network looks at them, if one does.

    Attributes:
        look: whether to show what it sees.
    """

    def __init__(
        self, loaded: Loaded, network: Network | None, config: RunConfig | None, look: bool
    ) -> None:
        super().__init__()
        self.loaded, self.network, self.config, self.look = loaded, network, config, look


class ImagesFailed(Message):
    """A data set could not be loaded, or the run that asked for it not be read."""

    def __init__(self, error: EngineError, network: Network | None) -> None:
        super().__init__()
        self.error, self.network = error, network


class ImagesNoised(Message):
    """Images at some t, uint8 (N, C, H, W) each, and the MSE of the last of them as x_0, (N,)."""

    def __init__(self, number: int, pictures: tuple[Pixels, ...], error: NDArray[Any]) -> None:
        super().__init__()
        self.number, self.pictures, self.error = number, pictures, error


class Told(Message):
    """A prober has found something out."""

    def __init__(self, prober: Prober, known: Known) -> None:
        super().__init__()
        self.prober, self.known = prober, known
