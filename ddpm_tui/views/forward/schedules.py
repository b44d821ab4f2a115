"""The noise schedules of the Forward view: which there are, and A beside B."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from engine.config import DiffusionConfig
from engine.runs.folder import Run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.schedule import NoiseSchedule

# Name in a config -> the one that people use.
COMMON = {"linear": "linear", "squaredcos_cap_v2": "cosine", "sigmoid": "sigmoid"}
_PLAIN = DiffusionConfig()


@dataclass(frozen=True)
class Named:
    """A noise schedule and what it is called here.

    Attributes:
        name: for titles and file names, such as "cosine", or the name of a run.
        run: whose it is, if it is that of a run.
    """

    name: str
    config: DiffusionConfig
    run: Run | None = None

    @property
    def schedule(self) -> NoiseSchedule:
        """Brings torch."""
        return _schedule(self.config)

    @property
    def timesteps(self) -> int:
        """T."""
        return self.config.num_train_timesteps

    @property
    def words(self) -> str:
        """All that can be said of it: cosine · T = 1000 · zero terminal SNR."""
        kind = describe(self.config)
        return f"{self.name}: {kind}" if self.run else kind


@lru_cache(maxsize=16)
def _schedule(config: DiffusionConfig) -> NoiseSchedule:
    from engine.schedule import NoiseSchedule

    return NoiseSchedule.of(config)


def describe(config: DiffusionConfig) -> str:
    """A schedule in words; what is as usual is left out."""
    words = COMMON[config.beta_schedule]
    bounds = config.beta_start, config.beta_end
    if config.beta_schedule != "squaredcos_cap_v2" and bounds != (
        _PLAIN.beta_start,
        _PLAIN.beta_end,
    ):
        words += f" β {bounds[0]:g}…{bounds[1]:g}"
    if config.num_train_timesteps != _PLAIN.num_train_timesteps:
        words += f" T={config.num_train_timesteps}"
    return words + (" zero SNR" if config.rescale_betas_zero_snr else "")


def own(config: DiffusionConfig) -> Named:
    """A schedule of nobody's run."""
    return Named(describe(config), config)


PLAIN: tuple[Named, ...] = tuple(
    own(_PLAIN.model_copy(update={"beta_schedule": name})) for name in COMMON
)


@dataclass(frozen=True)
class Pair:
    """Two schedules side by side, and which t of B belongs to a t of A.

    Attributes:
        by_snr: where the SNR is equal; otherwise at the same t, or the same share of the way where
            T differs.
        others: what a key goes through besides the plain ones.
    """

    a: Named = PLAIN[0]
    b: Named = PLAIN[1]
    by_snr: bool = False
    others: tuple[Named, ...] = field(default=())

    @property
    def menu(self) -> Sequence[Named]:
        """What there is to choose from."""
        return [*PLAIN, *(other for other in self.others if other not in PLAIN)]

    def cycled(self, which: str) -> Pair:
        """The next schedule of the menu for `a` or `b`."""
        menu, present = self.menu, getattr(self, which)
        at = menu.index(present) if present in menu else -1
        following = menu[(at + 1) % len(menu)]
        return replace(self, a=following) if which == "a" else replace(self, b=following)

    def swapped(self) -> Pair:
        return replace(self, a=self.b, b=self.a)

    def chosen(self, a: Named, b: Named) -> Pair:
        """These two, which stay in the menu."""
        menu = self.menu
        fresh = [named for named in dict.fromkeys((a, b)) if named not in menu]
        return replace(self, a=a, b=b, others=(*self.others, *fresh))

    def beside(self, a: Named) -> Pair:
        """This schedule as A, and B as it is, or another one if it would be the same."""
        same = describe(a.config) == describe(self.b.config)
        other = next(plain for plain in PLAIN if describe(plain.config) != describe(a.config))
        return self.chosen(a, other if same else self.b)

    def t_of_b(self, t: int) -> float:
        """The t of B that belongs to a t of A, −1 … T − 1."""
        from engine.alignment import level_at, same_share, same_snr

        if self.by_snr:
            return same_snr(self.b.schedule, level_at(self.a.schedule, t))
        return same_share(t, self.a.timesteps, self.b.timesteps)


@dataclass(frozen=True)
class Reading:
    """A schedule at one t, as numbers.

    Attributes:
        t: −1 … T − 1, between two timesteps where an SNR asks for it.
        timesteps: T.
        beta: β_t, of the timestep before where t is between two; 0 for the originals.
        alpha_cumprod: ᾱ_t.
    """

    t: float
    timesteps: int
    beta: float
    alpha_cumprod: float

    @classmethod
    def at(cls, named: Named, t: float) -> Reading:
        from engine.alignment import level_at

        schedule = named.schedule
        beta = float(schedule.betas[int(t)]) if t >= 0 else 0.0
        return cls(t, named.timesteps, beta, level_at(schedule, t))

    @property
    def snr(self) -> float:
        """ᾱ_t / (1 − ᾱ_t), infinite for the originals."""
        noise = 1 - self.alpha_cumprod
        return self.alpha_cumprod / noise if noise > 0 else float("inf")


def curve(named: Named, name: str) -> NDArray[Any]:
    """`betas`, `alphas_cumprod` or `snr` over t, float64 (T,)."""
    values: NDArray[Any] = getattr(named.schedule, name).numpy()
    return values
