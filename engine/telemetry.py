"""How busy the machine is: GPUs through NVML or sysfs, processor and memory through psutil.

A `TelemetrySampler` belongs to one worker thread that calls `read()` about once a second and hands
the result, an immutable snapshot, to whoever draws it. It shows the GPUs that torch uses: as far as
its build and the environment say, and exactly once torch is loaded (see `TelemetrySampler`).
Nothing here starts a process or imports torch; one read costs some hundred microseconds per GPU.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import psutil

from engine.amd import DRM, AmdBoard, amd_boards, read_amd
from engine.gpus import (
    Board,
    Slice,
    TorchBuild,
    TorchGpus,
    leading_integer,
    torch_build,
    visible_amd,
    visible_devices,
)


@dataclass(frozen=True)
class GpuReading:
    """One visible GPU at one moment; a quantity that its driver does not report is None.

    Attributes:
        index: the number that NVML and `nvidia-smi` (or the kernel, for AMD's) give the board. The
            position in `Telemetry.gpus`, not this, is the N of `cuda:N` (see `visible_devices` for
            the limits before torch is loaded).
        name: what the driver calls it, unfiltered. A MIG slice begins with "MIG".
        utilization: share of the last sampling period in which a kernel ran, 0–100 %.
        memory_used: bytes in use by all processes. None, like `memory_total`, on chips whose
            GPU shares the memory of the host.
        memory_total: bytes.
        temperature: °C.
        power: W.
        power_limit: W, the limit that the driver enforces now.
        note: why there is no figure at all ("GPU is lost"); empty when it answers.
        not_known: why the utilization of a GPU that works is not known; empty when it is, or when
            the driver gives no reason.
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
    not_known: str = ""


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
        gpus: the GPUs that torch uses, in its order.
        host: processor and memory.
        gpu_note: why `gpus` is empty, in plain words; empty when it is not.
    """

    gpus: tuple[GpuReading, ...]
    host: HostReading
    gpu_note: str


_T = TypeVar("_T")
# Of NVIDIA boards in MIG mode that nobody has divided yet.
MIG_WITHOUT_INSTANCE = "MIG mode is on, and no GPU instance has a compute instance"
_NO_MATCH = "{} does not say which GPU torch uses"

# nvmlReturn_t values (nvml.h). After these the board gives no figure until somebody mends it …
_BOARD_LOST = frozenset({15, 16, 28})  # GPU_IS_LOST, RESET_REQUIRED, GPU_NOT_FOUND
# … and after these no board does.
_DRIVER_GONE = frozenset({1, 9, 18})  # UNINITIALIZED, DRIVER_NOT_LOADED, LIB_RM_VERSION_MISMATCH
_LIBRARY_NOT_FOUND = 12


@dataclass(frozen=True)
class _Device:
    index: int
    name: str
    handle: Any  # what answers for memory: the GPU, or a MIG slice of it; None: lost from the start
    board: Any  # what answers for temperature and power: always the whole GPU
    note: str = ""

    @property
    def is_slice(self) -> bool:
        return self.handle is not self.board


@dataclass(frozen=True)
class _Nvidia:
    """A board and what it can be taken as."""

    rules: Board
    pci: str
    whole: _Device
    slices: tuple[_Device, ...]


def _torch_not_loaded() -> TorchGpus | None:
    return None


class TelemetrySampler:
    """Reads GPUs and host; a context manager, or call `close()`.

    NVML is loaded by the first `read()`, once. All methods may be called from any thread.

    Args:
        torch: what the loaded torch uses, None until it is loaded. As soon as it says so, its
            GPUs and their order are what is shown. It is called at every read.
        build: of torch; by default that of the installed one.
        drm: where the kernel shows AMD's GPUs.
    """

    def __init__(
        self,
        torch: Callable[[], TorchGpus | None] = _torch_not_loaded,
        *,
        build: TorchBuild | None = None,
        drm: Path = DRM,
    ) -> None:
        self._lock = threading.Lock()
        self._torch = torch
        self._build = torch_build() if build is None else build
        self._drm = drm
        self._closed = False
        self._nvml: Any = None
        self._initialized = False
        self._boards: list[_Nvidia] | None = None  # None: NVML was not tried yet
        self._amd: list[AmdBoard] | None = None
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
            self._closed = True
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
        if self._closed:
            return (), "GPU readings have ended"
        known = self._torch()
        if known is not None and known.backend == "mps":
            return _nameless(known, "mps has no counter"), ""
        if known is None and not (self._build.cuda or self._build.hip) and sys.platform == "darwin":
            return (), "torch says whether it uses Apple's GPU (mps) when it is loaded"
        if self._build.lacks_gpus:
            return (), self._build.lacks_gpus
        gpus, note = self._read_amd(known) if self._build.hip else self._read_nvidia(known)
        if known is None or bool(gpus) == bool(known.gpus):
            return gpus, note
        if known.gpus:
            return _nameless(known, note), ""
        return (), known.problem

    # --- AMD -----------------------------------------------------------------------------------

    def _read_amd(self, known: TorchGpus | None) -> tuple[tuple[GpuReading, ...], str]:
        if self._amd is None:
            self._amd = amd_boards(self._drm)
        if not self._amd:
            return (), "no AMD GPU found"
        visible = visible_amd(os.environ, [board.uuid for board in self._amd])
        names = known.gpus if known is not None else ()
        if known is not None and names:
            by_pci = {board.pci: i for i, board in enumerate(self._amd)}
            visible = _as_torch_has_them(known, by_pci, visible)
            if not visible:
                return (), _NO_MATCH.format("sysfs")
        if not visible:
            return (), "HIP_VISIBLE_DEVICES or ROCR_VISIBLE_DEVICES hides every AMD GPU"
        gpus = []
        for position, which in enumerate(visible):
            board = self._amd[which]
            reading = GpuReading(which, board.name, **asdict(read_amd(board)))
            if names:
                reading = replace(reading, name=names[position].name)
            if reading.utilization is None:
                reading = replace(reading, not_known="no gpu_busy_percent in sysfs")
            gpus.append(reading)
        return tuple(gpus), ""

    # --- NVIDIA --------------------------------------------------------------------------------

    def _read_nvidia(self, known: TorchGpus | None) -> tuple[tuple[GpuReading, ...], str]:
        if self._boards is None:
            self._boards, self._note = self._open()
        if self._note:
            return (), self._note
        devices, note = self._visible(self._boards, known)
        gpus = []
        for device in devices:
            reading = GpuReading(device.index, device.name, note=device.note)
            if device.handle is not None:
                try:
                    reading = self._read_gpu(device)
                except self._nvml.NVMLError as error:
                    if error.value in _DRIVER_GONE:
                        return (), f"NVML: {error}"
                    reading = replace(reading, note=str(error))
            gpus.append(reading)
        return tuple(gpus), note

    def _visible(self, boards: list[_Nvidia], known: TorchGpus | None) -> tuple[list[_Device], str]:
        """The devices that torch uses, or why there are none."""
        value = os.environ.get("CUDA_VISIBLE_DEVICES")
        visible = visible_devices(value, [board.rules for board in boards])
        if known is not None and known.gpus:
            # Of a board in MIG mode torch has a slice: which one the rules say.
            slices = dict(visible)
            by_pci = {
                board.pci: (i, slices.get(i, 0 if board.slices else None))
                for i, board in enumerate(boards)
            }
            visible = _as_torch_has_them(known, by_pci, visible)
            if not visible:
                return [], _NO_MATCH.format("NVML")
        if visible:
            chosen = [(boards[board], which) for board, which in visible]
            return [b.whole if which is None else b.slices[which] for b, which in chosen], ""
        if value is None:
            return [], MIG_WITHOUT_INSTANCE
        if value.startswith(("GPU-", "MIG-")) or leading_integer(value) >= 0:
            return [], f"CUDA_VISIBLE_DEVICES={value} matches none of {len(boards)} GPUs"
        return [], "CUDA_VISIBLE_DEVICES hides every GPU"

    def _open(self) -> tuple[list[_Nvidia], str]:
        """Initialize NVML and look up the boards, or say why there are none."""
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
        return boards, "" if boards else "the NVIDIA driver shows no GPU"

    def _open_board(self, index: int) -> _Nvidia:
        nvml = self._nvml
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            uuid = self._ask(nvml.nvmlDeviceGetUUID, handle) or ""
            name = self._ask(nvml.nvmlDeviceGetName, handle) or f"GPU {index}"
            place = self._ask(nvml.nvmlDeviceGetPciInfo, handle)
            mode = self._ask(nvml.nvmlDeviceGetMigMode, handle)
            mig = mode is not None and bool(mode[0])
            slices = self._open_slices(index, name, handle) if mig else []
        except nvml.NVMLError as error:
            if error.value in _DRIVER_GONE:
                raise
            lost = _Device(index, f"GPU {index}", None, None, str(error))
            return _Nvidia(Board(""), "", lost, ())
        pci = f"{place.domain:04x}:{place.bus:02x}:{place.device:02x}" if place else ""
        parts = tuple(part for part, _ in slices)
        devices = tuple(device for _, device in slices)
        return _Nvidia(Board(uuid, mig, parts), pci, _Device(index, name, handle, handle), devices)

    def _open_slices(self, index: int, board_name: str, board: Any) -> list[tuple[Slice, _Device]]:
        nvml, ask = self._nvml, self._ask
        found = []
        for i in range(ask(nvml.nvmlDeviceGetMaxMigDeviceCount, board) or 0):
            handle = ask(nvml.nvmlDeviceGetMigDeviceHandleByIndex, board, i)
            if handle is None:  # none there, or not for this user
                continue
            uuid = ask(nvml.nvmlDeviceGetUUID, handle) or ""
            numbers = [
                ask(query, handle)
                for query in (nvml.nvmlDeviceGetGpuInstanceId, nvml.nvmlDeviceGetComputeInstanceId)
            ]
            # "NVIDIA A100-SXM4-40GB MIG 1g.5gb": what tells slices apart goes first.
            name = ask(nvml.nvmlDeviceGetName, handle) or board_name
            whole, _, profile = name.partition(" MIG ")
            name = f"MIG {profile} {whole}" if profile else f"MIG {whole}"
            part = Slice(uuid, *(-1 if number is None else number for number in numbers))
            found.append((part, _Device(index, name, handle, board)))
        return found

    def _read_gpu(self, device: _Device) -> GpuReading:
        nvml, ask = self._nvml, self._ask
        rates = None  # of a MIG slice NVML does not know it, and its board's is that of all
        if not device.is_slice:
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
            not_known="MIG slice" if device.is_slice else "",
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


def _as_torch_has_them(
    known: TorchGpus, by_pci: Mapping[str, _T], guessed: Sequence[_T]
) -> tuple[_T, ...]:
    """The devices in torch's order; empty where it is not clear which are meant."""
    found = [by_pci.get(gpu.pci) if gpu.pci else None for gpu in known.gpus]
    devices = [device for device in found if device is not None]
    if len(devices) == len(found):
        return tuple(devices)
    return tuple(guessed) if len(guessed) == len(known.gpus) else ()


def _nameless(known: TorchGpus, why: str) -> tuple[GpuReading, ...]:
    """What torch says of its GPUs where nothing else does."""
    return tuple(
        GpuReading(position, gpu.name, not_known=why) for position, gpu in enumerate(known.gpus)
    )


def _total_time(times: Any) -> float:
    # Linux counts the time of guests in `user` and `nice` as well.
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    return float(sum(times) - guests)


def _idle_time(times: Any) -> float:
    return float(times.idle + getattr(times, "iowait", 0.0))
