"""The lines of figures of the Forward view."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ddpm_tui.views.forward.schedules import Named, Pair, Reading

if TYPE_CHECKING:
    from ddpm_tui.views.forward.prober import Known, Network
    from engine.denoising import DenoisingError

NO_NETWORK = "No network looks yet: d or r chooses a trained run."


def timestep(t: float) -> str:
    """249, or 239.3 between two timesteps."""
    return f"{t:.0f}" if t == int(t) else f"{t:.1f}"


def figures(reading: Reading) -> str:
    """t = 249/999 · ᾱ 0.5240 · noise 0.690 · SNR 1.1 · ln SNR 0.10 · β 0.00507"""
    if reading.t < 0:
        return "the originals, before any noise · ᾱ 1 · noise 0"
    snr = reading.snr
    logarithm = f"{math.log(snr):.2f}" if snr > 0 else "−∞"
    parts = (
        f"t = {timestep(reading.t)}/{reading.timesteps - 1}",
        f"ᾱ {reading.alpha_cumprod:.4f}",
        f"noise {math.sqrt(1 - reading.alpha_cumprod):.3f}",
        f"SNR {snr:.3g}",
        f"ln SNR {logarithm}",
        f"β {reading.beta:.3g}",
    )
    return " · ".join(parts).replace("-", "−")


def station_figures(named: Named, stations: Sequence[tuple[str, int]]) -> str:
    """ᾱ: original 1 · 25 % 0.5240 · 50 % 0.0786 …"""
    alphas = (
        f"{label} {Reading.at(named, t).alpha_cumprod:.4f}" for label, t in stations if t >= 0
    )
    return "ᾱ: original 1 · " + " · ".join(alphas)


def alignment(pair: Pair, t: int) -> str:
    """How the pictures of A and B belong together."""
    if t < 0:
        return "no noise yet"
    if not pair.by_snr:
        return "same t" if pair.a.timesteps == pair.b.timesteps else "same share of T"
    of_a = Reading.at(pair.a, t).alpha_cumprod
    of_b = Reading.at(pair.b, pair.t_of_b(t)).alpha_cumprod
    if math.isclose(of_a, of_b, rel_tol=1e-6, abs_tol=1e-9):
        return "equal SNR, so equal pictures"
    return "B never has that little signal: its last t"


def beside_titles(pair: Pair, t: int) -> tuple[str, str]:
    """A · linear · t = 249, and B."""
    if t < 0:
        return (f"A · {pair.a.name}, the originals", f"B · {pair.b.name}, the originals")
    t_b = pair.t_of_b(t)
    return (f"A · {pair.a.name} · t = {t}", f"B · {pair.b.name} · t = {timestep(t_b)}")


def network_words(network: Network | None, known: Known | None) -> list[str]:
    """Whose network looks, at which step of its training, and what it is told."""
    if network is None:
        return []
    if known is None:
        return [network.run.name, "loading …"]
    named = f" ({network.which})" if network.which in ("best", "last") else ""
    told = "told the class" if known.told else "not told the class"
    return [network.run.name, f"weights of step {known.step:,}{named}", told]


def seen_figures(known: Known | None, t: int, x_t_error: float) -> str:
    """MSE: x̂_0 0.020 · x_t 0.157 · mean 0.350 · ε 0.118 · sees to t = 652

    Args:
        t: where we are; the network may still be asked about it.
        x_t_error: the mean squared error of x_t as x_0.
    """
    if known is None:
        return "The network is being loaded …"
    parts = []
    if t >= 0 and known.seen is not None and known.seen.t == t:
        parts += [f"MSE: x̂_0 {float(known.seen.x0_error.mean()):.3f}", f"x_t {x_t_error:.3f}"]
        if known.errors:
            parts.append(f"mean image {known.errors[0].x0_of_mean:.3f}")
        parts.append(f"ε {float(known.seen.eps_error.mean()):.3f}")
    if known.errors and len(known.errors) == known.of:
        parts.append(_reach(known.errors))
    return " · ".join(parts)


def _reach(errors: Sequence[DenoisingError]) -> str:
    """How far back the network can see, when all is measured."""
    from engine.denoising import sees_until

    last = sees_until(errors)
    return "sees at no t" if last is None else f"sees to t = {last}"
