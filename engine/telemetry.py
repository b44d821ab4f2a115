"""How busy the machine is: its GPUs through NVML, its processor and memory through psutil.

A `TelemetrySampler` belongs to one worker thread that calls `read()` about once a second and hands
the result, an immutable snapshot, to whoever draws it. Nothing here starts a process or imports
torch; one read costs some hundred microseconds per GPU.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from types import TracebackType
from typing import Any

import psutil


@dataclass(frozen=True)
class GpuReading:
    """One visible GPU at one moment; a quantity that its driver does not report is None.

    Attributes:
        index: the number that NVML and `nvidia-smi` give the board. The position in
            `Telemetry.gpus`, not this, is the N of `cuda:N` (see `visible_devices` for the limits).
        name: what the driver calls it, unfiltered.
        utilization: share of the last sampling period in which a kernel ran, 0–100 %.
        memory_used: bytes in use by all processes. None, like `memory_total`, on chips whose
            GPU shares the memory of the host.
        memory_total: bytes.
        temperature: °C.
        power: W.
        power_limit: W, the limit that the driver enforces now.
        note: why there is no figure at all ("GPU is lost"); empty when it answers.
    """

    index: int
    name: str
    utilization: int | None = None
    memory_used: int | None = None
    memory_total: int | None = None
    temperature: int | None = None
    power: float | None = None
    power_limit: float | None = None
    note: str = ""


@dataclass(frozen=True)
class HostReading:
    """The machine's processor and memory, and this process's part in them.

    Attributes:
        cpu_percent: busy share of all cores since the read before, 0–100 %.
        cores: logical cores.
        memory_used: bytes that could not be had without swapping (total less available).
        memory_total: bytes.
        process_cpu_percent: this process since the read before; 100 % is one core, so the range is
            0 to 100·cores.
        process_rss: resident bytes of this process.
    """

    cpu_percent: float
    cores: int
    memory_used: int
    memory_total: int
    process_cpu_percent: float
    process_rss: int


@dataclass(frozen=True)
class Telemetry:
    """One snapshot of the machine.

    Attributes:
        gpus: the GPUs that CUDA_VISIBLE_DEVICES leaves visible, in its order.
        host: processor and memory.
        gpu_note: why `gpus` is empty, in plain words; empty when it is not.
    """

    gpus: tuple[GpuReading, ...]
    host: HostReading
    gpu_note: str


# nvmlReturn_t values (nvml.h). After these the board gives no figure until somebody mends it …
_BOARD_LOST = frozenset({15, 16, 28})  # GPU_IS_LOST, RESET_REQUIRED, GPU_NOT_FOUND
# … and after these no board does.
_DRIVER_GONE = frozenset({1, 9, 18})  # UNINITIALIZED, DRIVER_NOT_LOADED, LIB_RM_VERSION_MISMATCH
_LIBRARY_NOT_FOUND = 12


def visible_devices(value: str | None, uuids: Sequence[str]) -> tuple[int | str, ...]:
    """The devices that CUDA shows under a given CUDA_VISIBLE_DEVICES.

    CUDA's rules: the first entry decides whether all are numbers, "GPU-" UUIDs (a unique beginning
    is enough) or "MIG-" UUIDs; whatever follows an invalid entry is ignored; an entry given twice
    hides everything.

    Numbers are taken as NVML's, which count in PCI order. CUDA counts so only under
    CUDA_DEVICE_ORDER=PCI_BUS_ID and otherwise puts the fastest board first, so on a machine with
    unlike boards a number can mean another board here. UUIDs are exact in either order.

    Args:
        value: the variable's value; None when it is not set.
        uuids: the UUID of every GPU, in NVML's order.

    Returns:
        NVML indices, or MIG UUIDs as they stand, in CUDA's order.
    """
    if value is None:
        return tuple(range(len(uuids)))
    entries = value.split(",")
    if entries[0].startswith("MIG-"):
        named = list(takewhile(lambda entry: entry.startswith("MIG-"), entries))
        return () if len(set(named)) < len(named) else tuple(named)
    if entries[0].startswith("GPU-"):
        indices = list(takewhile(lambda i: i >= 0, (_index_of(e, uuids) for e in entries)))
    else:
        indices = list(takewhile(lambda i: i >= 0, map(_leading_integer, entries)))
    if len(set(indices)) < len(indices):
        return ()
    return tuple(takewhile(lambda i: i < len(uuids), indices))


def _index_of(prefix: str, uuids: Sequence[str]) -> int:
    matches = [i for i, uuid in enumerate(uuids) if uuid.startswith(prefix)]
    return matches[0] if prefix.startswith("GPU-") and len(matches) == 1 else -1


def _leading_integer(entry: str) -> int:
    # CUDA reads with strtol: "1gpu" is 1, and what does not begin with a number is invalid.
    # More digits than these are no GPU's, nor a number that Python would read.
    match = re.match(r"\s*([+-]?[0-9]{1,99})", entry)
    return int(match[1]) if match else -1


@dataclass
class _Device:
    index: int
    name: str
    handle: Any  # what answers for memory: the GPU, or a MIG slice of it; None: lost from the start
    board: Any  # what answers for temperature and power: always the whole GPU
    note: str = ""


class TelemetrySampler:
    """Reads GPUs and host; a context manager, or call `close()`.

    NVML is loaded by the first `read()`, once. All methods may be called from any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._nvml: Any = None
        self._initialized = False
        self._devices: list[_Device] | None = None
        self._note = ""
        self._process = psutil.Process()
        self._process.cpu_percent(interval=None)  # the first call only sets the mark
        # psutil.cpu_percent keeps its marks per thread, and whoever builds a sampler is seldom the
        # thread that reads it: so the difference of cpu_times is taken here.
        self._cpu_times = psutil.cpu_times()
        self._host = HostReading(
            cpu_percent=0.0,
            cores=psutil.cpu_count() or 1,
            memory_used=0,
            memory_total=0,
            process_cpu_percent=0.0,
            process_rss=0,
        )

    def __enter__(self) -> TelemetrySampler:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of NVML. A later `read()` still reports the host."""
        with self._lock:
            self._devices, self._note = [], "GPU readings have ended"
            if self._initialized:
                self._initialized = False
                self._ask(self._nvml.nvmlShutdown, fatal=frozenset())

    def read(self) -> Telemetry:
        """Take a snapshot; never raises. What cannot be read is None or told in a note."""
        with self._lock:
            gpus, note = self._read_gpus()
            self._host = self._read_host()
            return Telemetry(gpus, self._host, note)

    def _read_gpus(self) -> tuple[tuple[GpuReading, ...], str]:
        if self._devices is None:
            self._devices, self._note = self._open()
        gpus = []
        for device in self._devices:
            reading = GpuReading(device.index, device.name, note=device.note)
            if device.handle is not None:
                try:
                    reading = self._read_gpu(device)
                except self._nvml.NVMLError as error:
                    if error.value in _DRIVER_GONE:
                        return (), f"NVML: {error}"
                    reading = replace(reading, note=str(error))
            gpus.append(reading)
        return tuple(gpus), self._note

    def _open(self) -> tuple[list[_Device], str]:
        """Initialize NVML and look up the visible devices, or say why there are none."""
        try:
            import pynvml
        except ImportError as error:
            return [], f"nvidia-ml-py cannot be imported: {error}"
        self._nvml = pynvml
        try:
            pynvml.nvmlInit()
            self._initialized = True
            boards = [self._open_board(i) for i in range(pynvml.nvmlDeviceGetCount())]
        except pynvml.NVMLError as error:
            if error.value == _LIBRARY_NOT_FOUND:
                return [], "no NVIDIA driver found"
            return [], f"NVML: {error}"
        if not boards:
            return [], "the NVIDIA driver shows no GPU"

        value = os.environ.get("CUDA_VISIBLE_DEVICES")
        visible = visible_devices(value, [uuid for uuid, _ in boards])
        devices: list[_Device] = []
        for which in visible:
            device = self._open_slice(which) if isinstance(which, str) else boards[which][1]
            if device is None:
                break  # as CUDA: what follows an invalid entry is ignored
            devices.append(device)
        if devices:
            return devices, ""
        if value and (value.startswith(("GPU-", "MIG-")) or _leading_integer(value) >= 0):
            return [], f"CUDA_VISIBLE_DEVICES={value} matches none of {len(boards)} GPUs"
        return [], "CUDA_VISIBLE_DEVICES hides every GPU"

    def _open_board(self, index: int) -> tuple[str, _Device]:
        nvml = self._nvml
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            uuid = self._ask(nvml.nvmlDeviceGetUUID, handle) or ""
            name = self._ask(nvml.nvmlDeviceGetName, handle) or f"GPU {index}"
        except nvml.NVMLError as error:
            if error.value in _DRIVER_GONE:
                raise
            return "", _Device(index, f"GPU {index}", None, None, str(error))
        return uuid, _Device(index, name, handle, handle)

    def _open_slice(self, uuid: str) -> _Device | None:
        """A MIG slice; None when there is no such slice."""
        nvml = self._nvml
        try:
            handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
            board = nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle)
            index = nvml.nvmlDeviceGetIndex(board)
        except (nvml.NVMLError, UnicodeError):
            return None
        name = self._ask(nvml.nvmlDeviceGetName, handle, fatal=frozenset()) or f"MIG of GPU {index}"
        return _Device(index, name, handle, board)

    def _read_gpu(self, device: _Device) -> GpuReading:
        nvml, ask = self._nvml, self._ask
        rates = ask(nvml.nvmlDeviceGetUtilizationRates, device.handle)
        # Version 2 leaves out what the driver keeps for itself, as nvidia-smi does; drivers before
        # 510 know version 1 alone.
        memory = ask(nvml.nvmlDeviceGetMemoryInfo, device.handle, nvml.nvmlMemory_v2)
        if memory is None:
            memory = ask(nvml.nvmlDeviceGetMemoryInfo, device.handle)
        # The newer call is absent before driver 570; the older one goes with CUDA 14.
        sensor = nvml.NVML_TEMPERATURE_GPU
        temperature = ask(nvml.nvmlDeviceGetTemperatureV, device.board, sensor)
        if temperature is None:
            temperature = ask(nvml.nvmlDeviceGetTemperature, device.board, sensor)
        power = ask(nvml.nvmlDeviceGetPowerUsage, device.board)
        limit = ask(nvml.nvmlDeviceGetEnforcedPowerLimit, device.board)
        return GpuReading(
            device.index,
            device.name,
            utilization=None if rates is None else min(int(rates.gpu), 100),
            memory_used=None if memory is None else int(memory.used),
            memory_total=None if memory is None else int(memory.total),
            temperature=temperature,
            power=None if power is None else power / 1000,  # NVML counts milliwatts
            power_limit=None if limit is None else limit / 1000,
        )

    def _ask(
        self,
        query: Callable[..., Any],
        *arguments: object,
        fatal: frozenset[int] = _BOARD_LOST | _DRIVER_GONE,
    ) -> Any:
        """What NVML answers, or None where it has no answer; raises only the `fatal` errors."""
        try:
            return query(*arguments)
        except UnicodeError:  # a name that is not UTF-8
            return None
        except self._nvml.NVMLError as error:
            if error.value in fatal:
                raise
            return None

    def _read_host(self) -> HostReading:
        try:
            memory = psutil.virtual_memory()
            times = psutil.cpu_times()
            process_cpu_percent = self._process.cpu_percent(interval=None)
            process_rss = self._process.memory_info().rss
        except (psutil.Error, OSError):
            return self._host  # /proc is out of reach for a moment: better old than nothing
        total = _total_time(times) - _total_time(self._cpu_times)
        idle = _idle_time(times) - _idle_time(self._cpu_times)
        if total > 0:
            self._cpu_times = times
            cpu_percent = min(max(100 * (1 - idle / total), 0.0), 100.0)
        else:  # two reads within one tick of the kernel's clock
            cpu_percent = self._host.cpu_percent
        return HostReading(
            cpu_percent=cpu_percent,
            cores=self._host.cores,
            memory_used=memory.total - memory.available,
            memory_total=memory.total,
            process_cpu_percent=process_cpu_percent,
            process_rss=process_rss,
        )


def _total_time(times: Any) -> float:
    # Linux counts the time of guests in `user` and `nice` as well.
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    return float(sum(times) - guests)


def _idle_time(times: Any) -> float:
    return float(times.idle + getattr(times, "iowait", 0.0))
