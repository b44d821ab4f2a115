"""Telemetry against nvidia-ml-py and a compiled NVML that tells what each test needs."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from engine.gpus import (
    Board,
    Slice,
    TorchBuild,
    TorchGpu,
    TorchGpus,
    torch_build,
    visible_amd,
    visible_devices,
)
from engine.telemetry import GpuReading, TelemetrySampler
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
BOARDS = [Board(H200.uuid), Board(A100.uuid)]

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
        ("MIG-1", ()),
    ],
)
def test_visible_devices(value: str | None, indices: tuple[int, ...]) -> None:
    assert visible_devices(value, BOARDS) == tuple((index, None) for index in indices)


FIRST, SECOND = Slice("MIG-5f", 1, 0), Slice("MIG-4e", 2, 0)
SLICED = [Board("GPU-aa11"), Board("GPU-aa22", True, (FIRST, SECOND)), Board("GPU-ab", True)]


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        (None, [(1, 0)]),
        ("0,1,2", [(1, 0)]),
        ("1", [(1, 0)]),
        ("GPU-aa2", [(1, 0)]),
        ("0", [(0, None)]),
        ("0,2", [(0, None)]),  # in MIG mode without an instance: CUDA does not show it
        ("2", []),
        ("MIG-4e", [(1, 1)]),
        ("MIG-4e,MIG-5f", [(1, 1)]),  # a process has one slice at most
        ("MIG-GPU-aa22/2/0", [(1, 1)]),
        ("MIG-GPU-aa22/2/1", []),
        ("MIG-GPU-aa22/1/0,MIG-gone", [(1, 0)]),
        ("MIG-gone,MIG-4e", []),
        ("MIG-4", []),  # no beginning will do
        ("MIG-4e,MIG-GPU-aa22/2/0", []),  # the same twice
        ("-1", []),
        ("", []),
        ("NoDevFiles", []),
    ],
)
def test_of_a_board_in_mig_mode_cuda_takes_one_slice(
    value: str | None, taken: list[tuple[int, int | None]]
) -> None:
    assert visible_devices(value, SLICED) == tuple(taken)


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


PART = FakeGpu(
    uuid="MIG-5f",
    name="NVIDIA A100-SXM4-40GB MIG 1g.5gb",
    utilization=None,
    memory_total=5 * GIB,
    memory_used=2 * GIB,
    temperature=None,
    power=None,
    power_limit=None,
    mig_index=3,
    gpu_instance=9,
    compute_instance=0,
)
OTHER = replace(PART, uuid="MIG-4e", memory_used=1 * GIB, mig_index=1, gpu_instance=7)
MIG_BOARD = replace(A100, mig_mode=1, pci_bus=0x65, slices=(OTHER, PART))
PART_READING = GpuReading(
    1,
    "MIG 1g.5gb NVIDIA A100-SXM4-40GB",
    memory_used=2 * GIB,
    memory_total=5 * GIB,
    temperature=34,
    power=55.5,
    power_limit=400.0,
    not_known="MIG slice",
)
OTHER_READING = replace(PART_READING, memory_used=1 * GIB)


@pytest.mark.parametrize(
    ("visible", "reading"),
    [
        (None, OTHER_READING),  # the first one
        ("1", OTHER_READING),
        ("0,1", OTHER_READING),
        ("GPU-aa22", OTHER_READING),
        ("MIG-5f,MIG-gone,MIG-4e", PART_READING),
        ("MIG-GPU-aa22/9/0", PART_READING),
    ],
)
def test_a_mig_slice_has_its_own_memory_and_its_board_s_temperature(
    nvml: Path, visible: str | None, reading: GpuReading
) -> None:
    [telemetry] = readings(nvml, [world(H200, MIG_BOARD)], visible)
    assert telemetry.gpus == (reading,)


def test_mig_mode_without_an_instance_is_said(nvml: Path) -> None:
    [telemetry] = readings(nvml, [world(replace(A100, mig_mode=1))])
    assert telemetry.gpus == ()
    assert telemetry.gpu_note == "MIG mode is on, and no GPU instance has a compute instance"


# --- Once torch is loaded, it decides ----------------------------------------------------------


def torch_uses(*places: str) -> TorchGpus:
    return TorchGpus("cuda", tuple(TorchGpu(f"torch's {place}", place) for place in places))


def test_the_order_is_torch_s_and_not_nvml_s(nvml: Path) -> None:
    boards = world(replace(H200, pci_bus=0x17), replace(A100, pci_bus=0x65))
    fastest_first = torch_uses("0000:65:00", "0000:17:00")
    [telemetry] = readings(nvml, [boards], torch=fastest_first)
    assert telemetry.gpus == (A100_READING, H200_READING)
    [telemetry] = readings(nvml, [boards], torch=torch_uses("0000:65:00"))
    assert telemetry.gpus == (A100_READING,)


def test_of_a_board_in_mig_mode_torch_s_slice_is_shown(nvml: Path) -> None:
    boards = world(replace(H200, pci_bus=0x17), MIG_BOARD)
    [telemetry] = readings(nvml, [boards], "MIG-5f", torch_uses("0000:65:00"))
    assert telemetry.gpus == (PART_READING,)


def test_gpus_of_torch_that_nvml_does_not_know_have_no_figures(nvml: Path) -> None:
    used = torch_uses("0000:65:00")
    [gone] = readings(nvml, [world(H200, init=18)], torch=used)
    [gpu] = gone.gpus
    assert (gpu.name, gpu.utilization) == ("torch's 0000:65:00", None)
    assert gpu.not_known.startswith("NVML: ")
    [unclear] = readings(nvml, [world(H200, A100)], torch=used)
    [gpu] = unclear.gpus
    assert gpu.not_known == "NVML does not say which GPU torch uses"


def test_gpus_that_torch_cannot_use_give_way_to_the_reason(nvml: Path) -> None:
    broken = TorchGpus("cpu", (), "CUDA driver version is insufficient")
    [telemetry] = readings(nvml, [world(H200)], torch=broken)
    assert (telemetry.gpus, telemetry.gpu_note) == ((), "CUDA driver version is insufficient")


def test_a_torch_for_the_processor_alone_is_said_before_it_is_loaded() -> None:
    with TelemetrySampler(build=TorchBuild("2.12.0+cpu")) as sampler:
        telemetry = sampler.read()
    assert telemetry.gpus == ()
    if sys.platform != "darwin":
        assert telemetry.gpu_note == "torch 2.12.0+cpu is a CPU-only build"


def test_the_build_is_read_without_torch() -> None:
    import torch

    build = torch_build()
    assert build.version == torch.__version__
    assert (build.cuda, build.hip) == (torch.version.cuda or "", torch.version.hip or "")


def test_apple_s_gpu_is_named_and_nothing_is_invented() -> None:
    used = TorchGpus("mps", (TorchGpu("mps, Apple's GPU"),))
    with TelemetrySampler(lambda: used, build=TorchBuild("2.12.0")) as sampler:
        [gpu] = sampler.read().gpus
    assert gpu == GpuReading(0, "mps, Apple's GPU", not_known="mps has no counter")


# --- AMD's boards, through sysfs ---------------------------------------------------------------

ROCM = TorchBuild("2.12.0+rocm7.0", hip="7.0")


@pytest.fixture
def drm(tmp_path: Path) -> Path:
    """An Intel chip that drives the screen, and two AMD boards, of which one says little."""
    folder = tmp_path / "drm"
    folder.mkdir()
    for card, vendor, files in (
        (0, "0x8086", {}),
        (
            1,
            "0x1002",
            {
                "product_name": "AMD Instinct MI300X",
                "unique_id": "5c88007d760374ce",
                "gpu_busy_percent": "87",
                "mem_info_vram_used": str(48 * GIB),
                "mem_info_vram_total": str(192 * GIB),
                "hwmon/hwmon3/temp1_input": "61000",
                "hwmon/hwmon3/power1_average": "512000000",
                "hwmon/hwmon3/power1_cap": "750000000",
            },
        ),
        (10, "0x1002", {}),
    ):
        device = tmp_path / "devices" / f"0000:{0x40 + card:02x}:00.0"
        for name, text in {"vendor": vendor, **files}.items():
            (device / name).parent.mkdir(parents=True, exist_ok=True)
            (device / name).write_text(text + "\n")
        (folder / f"card{card}").mkdir()
        (folder / f"card{card}" / "device").symlink_to(device)
        (folder / f"card{card}-DP-1").mkdir()
    return folder


MI300X = GpuReading(0, "AMD Instinct MI300X", 87, 48 * GIB, 192 * GIB, 61, 512.0, 750.0)
SILENT = GpuReading(1, "AMD GPU", not_known="no gpu_busy_percent in sysfs")


@pytest.fixture(autouse=True)
def nothing_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CUDA", "HIP", "ROCR"):
        monkeypatch.delenv(f"{name}_VISIBLE_DEVICES", raising=False)


def test_amd_s_boards_are_read_from_sysfs(drm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with TelemetrySampler(build=ROCM, drm=drm) as sampler:
        assert sampler.read().gpus == (MI300X, SILENT)
        monkeypatch.setenv("HIP_VISIBLE_DEVICES", "1")
        assert sampler.read().gpus == (SILENT,)
        monkeypatch.setenv("ROCR_VISIBLE_DEVICES", "")
        telemetry = sampler.read()
    note = "HIP_VISIBLE_DEVICES or ROCR_VISIBLE_DEVICES hides every AMD GPU"
    assert (telemetry.gpus, telemetry.gpu_note) == ((), note)


def test_amd_s_boards_come_in_torch_s_order_and_by_its_names(drm: Path) -> None:
    used = TorchGpus(
        "rocm", (TorchGpu("AMD Radeon", "0000:4a:00"), TorchGpu("MI300X", "0000:41:00"))
    )
    with TelemetrySampler(lambda: used, build=ROCM, drm=drm) as sampler:
        assert sampler.read().gpus == (
            replace(SILENT, name="AMD Radeon"),
            replace(MI300X, name="MI300X"),
        )


def test_torch_s_amd_gpus_without_sysfs_have_no_figures(tmp_path: Path) -> None:
    used = TorchGpus("rocm", (TorchGpu("MI300X"),))
    with TelemetrySampler(lambda: used, build=ROCM, drm=tmp_path / "none") as sampler:
        assert sampler.read().gpus == (GpuReading(0, "MI300X", not_known="no AMD GPU found"),)


@pytest.mark.parametrize(
    ("environ", "visible"),
    [
        ({}, (0, 1, 2)),
        ({"HIP": "2,0"}, (2, 0)),
        ({"CUDA": "1"}, (1,)),
        ({"HIP": "2", "CUDA": "1"}, (2,)),
        ({"HIP": "", "CUDA": "1"}, (1,)),
        ({"HIP": "1,7,0"}, (1,)),
        ({"HIP": "-1"}, ()),
        ({"ROCR": ""}, ()),
        ({"ROCR": "2,1", "HIP": "1"}, (1,)),
        ({"ROCR": "GPU-C,0"}, (2, 0)),
        ({"ROCR": "1,1,2"}, (1,)),
        ({"ROCR": "GPU-XX"}, ()),
    ],
)
def test_visible_amd(environ: dict[str, str], visible: tuple[int, ...]) -> None:
    names = {f"{name}_VISIBLE_DEVICES": value for name, value in environ.items()}
    assert visible_amd(names, ["GPU-a", "GPU-b", "GPU-c"]) == visible


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
