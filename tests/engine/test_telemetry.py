"""Telemetry against nvidia-ml-py and a compiled NVML that tells what each test needs."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from engine.telemetry import GpuReading, TelemetrySampler, visible_devices
from tests.engine.fake_nvml import (
    DRIVER_NOT_LOADED,
    GIB,
    GPU_IS_LOST,
    UNINITIALIZED,
    FakeGpu,
    build_fake_nvml,
    readings,
    world,
)

H200 = FakeGpu(uuid="GPU-aa11", memory_reserved=GIB)
A100 = FakeGpu(
    uuid="GPU-aa22",
    name="NVIDIA A100-SXM4-40GB",
    utilization=3,
    memory_total=40 * GIB,
    memory_used=1 * GIB,
    temperature=34,
    power=55_500,
    power_limit=400_000,
)
UUIDS = [H200.uuid, A100.uuid]

H200_READING = GpuReading(0, "NVIDIA H200", 97, 35 * GIB, 140 * GIB, 61, 512.0, 700.0)
A100_READING = GpuReading(1, "NVIDIA A100-SXM4-40GB", 3, 1 * GIB, 40 * GIB, 34, 55.5, 400.0)


@pytest.fixture(scope="module")
def nvml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_fake_nvml(tmp_path_factory.mktemp("nvml"))


def test_two_gpus(nvml: Path) -> None:
    [telemetry] = readings(nvml, [world(H200, A100)])
    assert telemetry.gpus == (H200_READING, A100_READING)
    assert telemetry.gpu_note == ""


def test_figures_follow_the_gpu(nvml: Path) -> None:
    calm = replace(H200, utilization=0, memory_used=0, temperature=30, power=80_000)
    first, second = readings(nvml, [world(H200), world(calm)])
    assert first.gpus == (H200_READING,)
    assert second.gpus == (GpuReading(0, "NVIDIA H200", 0, 0, 140 * GIB, 30, 80.0, 700.0),)


@pytest.mark.parametrize(
    ("field", "reading"),
    [
        ("utilization", {"utilization": None}),
        ("memory_total", {"memory_used": None, "memory_total": None}),
        ("temperature", {"temperature": None}),
        ("power", {"power": None}),
        ("power_limit", {"power_limit": None}),
    ],
)
def test_a_quantity_that_is_not_supported_is_none(
    nvml: Path, field: str, reading: dict[str, None]
) -> None:
    [telemetry] = readings(nvml, [world(replace(H200, **{field: None}), A100)])
    assert telemetry.gpus == (replace(H200_READING, **reading), A100_READING)


def test_an_older_driver_answers_through_the_older_calls(nvml: Path) -> None:
    missing = ["nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetTemperatureV"]
    [telemetry] = readings(nvml, [world(H200, missing=missing)])
    # Its memory call counts the driver's own GiB as used.
    assert telemetry.gpus == (replace(H200_READING, memory_used=36 * GIB),)


def test_a_gpu_lost_midway_keeps_its_place_and_may_come_back(nvml: Path) -> None:
    lost = replace(H200, error=GPU_IS_LOST)
    worlds = [world(H200, A100), world(lost, A100), world(H200, A100)]
    before, during, after = readings(nvml, worlds)
    assert before.gpus == after.gpus == (H200_READING, A100_READING)
    assert during.gpus == (GpuReading(0, "NVIDIA H200", note="GPU is lost"), A100_READING)
    assert during.gpu_note == ""


def test_a_gpu_lost_from_the_start(nvml: Path) -> None:
    [telemetry] = readings(nvml, [world(replace(H200, error=GPU_IS_LOST), A100)])
    assert telemetry.gpus == (GpuReading(0, "GPU 0", note="GPU is lost"), A100_READING)


@pytest.mark.parametrize(
    ("error", "message"),
    [(DRIVER_NOT_LOADED, "Driver Not Loaded"), (UNINITIALIZED, "Uninitialized")],
)
def test_a_driver_that_goes_away_is_told(nvml: Path, error: int, message: str) -> None:
    before, after = readings(nvml, [world(H200, A100), world(H200, A100, every=error)])
    assert len(before.gpus) == 2
    assert (after.gpus, after.gpu_note) == ((), f"NVML: {message}")


def test_a_driver_that_is_not_loaded(nvml: Path) -> None:
    [telemetry] = readings(nvml, [world(H200, init=DRIVER_NOT_LOADED)])
    assert (telemetry.gpus, telemetry.gpu_note) == ((), "NVML: Driver Not Loaded")
    assert telemetry.host.memory_total > 0


def test_an_error_unknown_to_nvidia_ml_py_is_told_in_nvml_s_words(nvml: Path) -> None:
    [telemetry] = readings(nvml, [world(H200, init=77)])
    assert telemetry.gpu_note == "NVML: a fake NVML's error"


def test_no_library(tmp_path: Path) -> None:
    library = tmp_path / "libnvidia-ml.so.1"
    library.write_text("hides the real one of a GPU box, and cannot be loaded itself")
    [telemetry] = readings(library, [world(H200)])
    assert (telemetry.gpus, telemetry.gpu_note) == ((), "no NVIDIA driver found")


def test_a_driver_without_a_gpu(nvml: Path) -> None:
    [telemetry] = readings(nvml, [world()])
    assert (telemetry.gpus, telemetry.gpu_note) == ((), "the NVIDIA driver shows no GPU")


@pytest.mark.parametrize(
    ("value", "indices"),
    [
        (None, (0, 1)),
        ("0", (0,)),
        ("1,0", (1, 0)),
        (" 1 ,0", (1, 0)),
        ("1gpu", (1,)),
        ("", ()),
        ("-1", ()),
        ("NoDevFiles", ()),
        ("0,-1,1", (0,)),
        ("0,,1", (0,)),
        ("1,7,0", (1,)),
        ("0,0", ()),
        ("0,GPU-aa22", (0,)),
        ("GPU-aa22", (1,)),
        ("GPU-aa2,GPU-aa1", (1, 0)),
        ("GPU-aa", ()),  # ambiguous
        ("GPU-aa2,GPU-ff,GPU-aa1", (1,)),
        ("GPU-aa2,0", (1,)),
        ("GPU-aa2,GPU-aa22", ()),
        ("MIG-1,MIG-2,GPU-aa11", ("MIG-1", "MIG-2")),
        ("MIG-1,MIG-1", ()),
    ],
)
def test_visible_devices(value: str | None, indices: tuple[int | str, ...]) -> None:
    assert visible_devices(value, UUIDS) == indices


@pytest.mark.parametrize(
    ("value", "names", "note"),
    [
        ("1,0", [A100.name, H200.name], ""),
        ("GPU-aa2", [A100.name], ""),
        ("", [], "CUDA_VISIBLE_DEVICES hides every GPU"),
        ("-1", [], "CUDA_VISIBLE_DEVICES hides every GPU"),
        ("7", [], "CUDA_VISIBLE_DEVICES=7 matches none of 2 GPUs"),
        ("GPU-ff", [], "CUDA_VISIBLE_DEVICES=GPU-ff matches none of 2 GPUs"),
        ("MIG-\udcff", [], "CUDA_VISIBLE_DEVICES=MIG-\udcff matches none of 2 GPUs"),
    ],
)
def test_cuda_visible_devices(nvml: Path, value: str, names: list[str], note: str) -> None:
    [telemetry] = readings(nvml, [world(H200, A100)], visible=value)
    assert [gpu.name for gpu in telemetry.gpus] == names
    assert telemetry.gpu_note == note


def test_a_mig_slice_has_its_own_memory_and_its_board_s_temperature(nvml: Path) -> None:
    part = FakeGpu(
        uuid="MIG-5f",
        name="NVIDIA A100-SXM4-40GB MIG 1g.5gb",
        utilization=None,
        memory_total=5 * GIB,
        memory_used=2 * GIB,
        temperature=None,
        power=None,
        power_limit=None,
    )
    board = replace(A100, utilization=None, slices=(replace(part, uuid="MIG-4e"), part))
    [telemetry] = readings(nvml, [world(H200, board)], visible="MIG-5f,MIG-gone,MIG-4e")
    assert telemetry.gpus == (
        GpuReading(1, part.name or "", None, 2 * GIB, 5 * GIB, 34, 55.5, 400.0),
    )


def test_host_figures_do_not_depend_on_the_thread_that_asks() -> None:
    sampler = TelemetrySampler()
    busy = time.process_time() + 0.3
    while time.process_time() < busy:
        pass
    hosts = []
    thread = threading.Thread(target=lambda: hosts.append(sampler.read().host))
    thread.start()
    thread.join()
    [host] = hosts
    assert 0 < host.cpu_percent <= 100
    assert 0 < host.process_cpu_percent <= 100 * host.cores + 50
    assert 0 < host.memory_used < host.memory_total
    assert 1e6 < host.process_rss < host.memory_total


def test_a_closed_sampler_still_reports_the_host() -> None:
    with TelemetrySampler() as sampler:
        pass
    sampler.close()
    telemetry = sampler.read()
    assert (telemetry.gpus, telemetry.gpu_note) == ((), "GPU readings have ended")
    assert telemetry.host.memory_total > 0


def test_importing_telemetry_loads_neither_torch_nor_nvml() -> None:
    check = "import sys, engine.telemetry; sys.exit(bool({'torch', 'pynvml'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0
