"""What the panel keeps from one reading to the next."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from ddpm_tui.widgets.gauges.parts import GIB, percent_of
from engine.telemetry import GpuReading, Telemetry


class History:
    """The last readings of each quantity, oldest first.

    Args:
        points: how many readings are kept of each.
    """

    def __init__(self, points: int = 240) -> None:
        self._points = points
        self._values: dict[str, deque[float | None]] = {}

    def add(self, quantity: str, value: float | None) -> None:
        """Append a reading; None is a gap."""
        self._values.setdefault(quantity, deque(maxlen=self._points)).append(value)

    def add_gpu(self, position: int, gpu: GpuReading) -> None:
        """Append what `histories` shows of a GPU, all of it from 0 to 100."""
        self.add(f"gpu {position}", gpu.utilization)
        self.add(f"gpu {position} memory", percent_of(gpu.memory_used, gpu.memory_total))
        self.add(f"gpu {position} power", percent_of(gpu.power, gpu.power_limit))
        self.add(f"gpu {position} temperature", gpu.temperature)

    def last(self, quantity: str, count: int) -> list[float | None]:
        """The newest `count` readings of a quantity, fewer if there are not as many."""
        values = self._values.get(quantity, ())
        return list(values)[-count:] if count > 0 else []


class Steady:
    """Holds figures still while they only tremble, so that an idle machine redraws nothing.

    A figure stays as shown until it has moved by its band. GPU utilization is always exact: it is
    what one watches, and zero when idle.
    """

    CPU, MEMORY, TEMPERATURE, POWER = 3.0, 0.1 * GIB, 2.0, 0.01  # %, bytes, °C, share of the limit

    def __init__(self) -> None:
        self._held: dict[str, float] = {}

    def __call__(self, telemetry: Telemetry) -> Telemetry:
        """The telemetry to show."""
        host = telemetry.host
        return replace(
            telemetry,
            gpus=tuple(self._gpu(f"gpu {i} ", gpu) for i, gpu in enumerate(telemetry.gpus)),
            host=replace(
                host,
                cpu_percent=self._hold("cpu", host.cpu_percent, self.CPU),
                memory_used=int(self._hold("ram", host.memory_used, self.MEMORY)),
            ),
        )

    def _gpu(self, key: str, gpu: GpuReading) -> GpuReading:
        memory, temperature, power = gpu.memory_used, gpu.temperature, gpu.power
        if memory is not None:
            memory = int(self._hold(key + "memory", memory, self.MEMORY))
        if temperature is not None:
            temperature = int(self._hold(key + "temperature", temperature, self.TEMPERATURE))
        if power is not None:
            power = self._hold(key + "power", power, max(3.0, self.POWER * (gpu.power_limit or 0)))
        return replace(gpu, memory_used=memory, temperature=temperature, power=power)

    def _hold(self, key: str, value: float, band: float) -> float:
        if key not in self._held or abs(value - self._held[key]) >= band:
            self._held[key] = value
        return self._held[key]
