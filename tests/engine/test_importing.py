"""The article's saved weights as a run; and files that are something else, or worse."""

from __future__ import annotations

import collections
import hashlib
import io
import os
import pickle
import re
import resource
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from engine.errors import ConfigError, DataError, EngineError
from engine.importing import import_article
from engine.runs.checkpoint import find_checkpoint, list_checkpoints
from engine.runs.folder import Run
from engine.runs.summary import summary
from engine.sampling import load_trained

# --- The article's classes, as it writes them -----------------------------------------------------


class MyBlock(nn.Module):
    """The block that the article uses and never prints."""

    def __init__(self, shape, in_c, out_c, normalize=True):
        super().__init__()
        self.ln = nn.LayerNorm(shape)
        self.conv1 = nn.Conv2d(in_c, out_c, 3, 1, 1)
        self.conv2 = nn.Conv2d(out_c, out_c, 3, 1, 1)
        self.normalize = normalize

    def forward(self, x):
        out = self.ln(x) if self.normalize else x
        return F.silu(self.conv2(F.silu(self.conv1(out))))


def blocks(size: int, *widths: int, last_norm: bool = True) -> nn.Sequential:
    pairs = list(pairwise(widths))
    return nn.Sequential(
        *(
            MyBlock((i, size, size), i, o, normalize=last_norm or n < len(pairs) - 1)
            for n, (i, o) in enumerate(pairs)
        )
    )


def te(dim_in: int, dim_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim_in, dim_out), nn.SiLU(), nn.Linear(dim_out, dim_out))


class MyUNet(nn.Module):
    def __init__(self, n_steps=1000, d=100):
        super().__init__()
        embedding = torch.zeros(n_steps, d)
        wk = torch.tensor([1 / 10_000 ** (2 * j / d) for j in range(d)]).reshape(1, d)
        t = torch.arange(n_steps).reshape(n_steps, 1)
        embedding[:, ::2] = torch.sin(t * wk[:, ::2])
        embedding[:, 1::2] = torch.cos(t * wk[:, ::2])
        self.time_embed = nn.Embedding(n_steps, d)
        self.time_embed.weight.data = embedding
        self.time_embed.requires_grad_(False)
        self.te1, self.b1 = te(d, 1), blocks(28, 1, 10, 10, 10)
        self.down1 = nn.Conv2d(10, 10, 4, 2, 1)
        self.te2, self.b2 = te(d, 10), blocks(14, 10, 20, 20, 20)
        self.down2 = nn.Conv2d(20, 20, 4, 2, 1)
        self.te3, self.b3 = te(d, 20), blocks(7, 20, 40, 40, 40)
        self.down3 = nn.Sequential(nn.Conv2d(40, 40, 2, 1), nn.SiLU(), nn.Conv2d(40, 40, 4, 2, 1))
        self.te_mid, self.b_mid = te(d, 40), blocks(3, 40, 20, 20, 40)
        self.up1 = nn.Sequential(
            nn.ConvTranspose2d(40, 40, 4, 2, 1), nn.SiLU(), nn.ConvTranspose2d(40, 40, 2, 1)
        )
        self.te4, self.b4 = te(d, 80), blocks(7, 80, 40, 20, 20)
        self.up2 = nn.ConvTranspose2d(20, 20, 4, 2, 1)
        self.te5, self.b5 = te(d, 40), blocks(14, 40, 20, 10, 10)
        self.up3 = nn.ConvTranspose2d(10, 10, 4, 2, 1)
        self.te_out, self.b_out = te(d, 20), blocks(28, 20, 10, 10, 10, last_norm=False)
        self.conv_out = nn.Conv2d(10, 1, 3, 1, 1)

    def forward(self, x, t):
        t = self.time_embed(t)
        n = len(x)
        out1 = self.b1(x + self.te1(t).reshape(n, -1, 1, 1))
        out2 = self.b2(self.down1(out1) + self.te2(t).reshape(n, -1, 1, 1))
        out3 = self.b3(self.down2(out2) + self.te3(t).reshape(n, -1, 1, 1))
        mid = self.b_mid(self.down3(out3) + self.te_mid(t).reshape(n, -1, 1, 1))
        out4 = torch.cat((out3, self.up1(mid)), dim=1)
        out4 = self.b4(out4 + self.te4(t).reshape(n, -1, 1, 1))
        out5 = torch.cat((out2, self.up2(out4)), dim=1)
        out5 = self.b5(out5 + self.te5(t).reshape(n, -1, 1, 1))
        out = torch.cat((out1, self.up3(out5)), dim=1)
        return self.conv_out(self.b_out(out + self.te_out(t).reshape(n, -1, 1, 1)))


class MyDDPM(nn.Module):
    """Betas are attributes here and no buffers: they are not saved."""

    def __init__(self, network, n_steps=1000):
        super().__init__()
        self.network = network
        self.betas = torch.linspace(1e-4, 0.02, n_steps)


@pytest.fixture(scope="module")
def ddpm() -> MyDDPM:
    torch.manual_seed(0)
    network = MyDDPM(MyUNet())
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if ".ln." in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return network.eval()


@pytest.fixture
def saved(ddpm: MyDDPM, tmp_path: Path) -> Path:
    path = tmp_path / "ddpm_fashion.pt"
    torch.save(ddpm.state_dict(), path)
    return path


# --- What is imported -----------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [True, False], ids=["MyDDPM", "MyUNet"])
def test_the_imported_network_is_the_articles(ddpm: MyDDPM, tmp_path: Path, whole: bool) -> None:
    path = tmp_path / "saved.pt"
    torch.save((ddpm if whole else ddpm.network).state_dict(), path)
    run = import_article(path, tmp_path / "runs")
    # Laid out in memory as the article has it, it adds up in the same order.
    network = load_trained(run, device="cpu").model.to(memory_format=torch.contiguous_format)
    x, t = torch.randn(8, 1, 28, 28), torch.tensor([0, 1, 17, 250, 500, 750, 998, 999])
    with torch.no_grad():
        found = network(x, t)
        assert torch.equal(found, ddpm.network(x, t))
        # As the article passes t, it does not.
        torch.testing.assert_close(found, ddpm.network(x, t.reshape(-1, 1)), rtol=0, atol=1e-5)


def test_it_is_a_finished_run_that_says_where_it_is_from(saved: Path, tmp_path: Path) -> None:
    run = import_article(saved, tmp_path / "runs", name="articles")
    row = summary(run)
    assert (run.name, row["state"], row["step"]) == ("articles", "finished", 0)
    assert row["reason"] == "imported from ddpm_fashion.pt"
    assert (row["preset"], row["model"], row["dataset"]) == ("article", "article", "fashion-mnist")
    find_checkpoint(run).verify()
    assert [each.step for each in list_checkpoints(run)] == [0]
    digest = hashlib.sha256(saved.read_bytes()).hexdigest()
    assert f"imported from 'ddpm_fashion.pt', SHA-256 {digest}" in run.log_path.read_text()


def test_the_length_of_the_process_is_that_of_the_table(tmp_path: Path) -> None:
    path = tmp_path / "short.pt"
    torch.save(MyDDPM(MyUNet(200)).state_dict(), path)
    config = import_article(path, tmp_path / "runs").config()
    assert config.diffusion.num_train_timesteps == 200
    assert config.sampling.num_inference_steps == 200


# --- What is not ----------------------------------------------------------------------------------

State = dict[str, Tensor]


def _changed(change: Callable[[State], object]) -> Callable[[State], object]:
    def made(state: State) -> State:
        change(state)
        return state

    return made


OTHERS: dict[str, tuple[Callable[[State], object], str]] = {
    "a tensor is missing": (
        _changed(lambda state: state.pop("network.conv_out.bias")),
        "missing: conv_out.bias",
    ),
    "five are missing": (
        lambda state: dict(list(state.items())[5:]),
        r"missing: time_embed.weight, te1.0.weight, te1.0.bias and 2 more",
    ),
    "one too many": (
        _changed(lambda state: state.update(extra=torch.zeros(1))),
        "too many: extra",
    ),
    "another shape": (
        _changed(lambda state: state.update({"network.conv_out.bias": torch.zeros(2)})),
        "conv_out.bias is 2, not 1",
    ),
    "not finite": (
        _changed(lambda state: state["network.conv_out.bias"].fill_(float("nan"))),
        "conv_out.bias has values that are not finite",
    ),
    "whole numbers": (
        _changed(lambda state: state.update({"network.conv_out.bias": torch.zeros(1).long()})),
        "conv_out.bias is of torch.int64",
    ),
    "a shape that no memory holds": (
        _changed(
            lambda state: state.update({"network.conv_out.bias": torch.zeros(1).expand(2**40)})
        ),
        "conv_out.bias is 1099511627776, not 1",
    ),
    "as many timesteps as no process has": (
        _changed(
            lambda state: state.update(
                {"network.time_embed.weight": torch.zeros(1, 1).expand(2**30, 100)}
            )
        ),
        "embeddings of 1073741824 timesteps",
    ),
    "a table of one axis": (
        _changed(lambda state: state.update({"network.time_embed.weight": torch.zeros(7)})),
        "time_embed.weight is 7, not 1000×100",
    ),
    "a training's": (lambda state: {"model": state, "epoch": 3}, "under 'model', not a tensor"),
    "a list": (lambda state: list(state.values()), "holds no state dict"),
    "nothing": (lambda _: {}, "holds no state dict"),
    "names that are numbers": (lambda _: {3: torch.zeros(1)}, "under 3, not a tensor"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_anything_but_the_articles_weights_is_refused(
    ddpm: MyDDPM, tmp_path: Path, what: str
) -> None:
    make, said = OTHERS[what]
    path = tmp_path / "saved.pt"
    torch.save(make({name: value.clone() for name, value in ddpm.state_dict().items()}), path)
    with pytest.raises(DataError, match=re.escape(said) if "(" not in said else said):
        import_article(path, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_the_module_itself_is_refused_with_what_to_do(ddpm: MyDDPM, tmp_path: Path) -> None:
    path = tmp_path / "module.pt"
    torch.save(ddpm, path)
    with pytest.raises(DataError, match=r"MyDDPM.*torch\.save\(ddpm\.state_dict\(\), FILE\)"):
        import_article(path, tmp_path / "runs")


def _of(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def _old(path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, path, _use_new_zipfile_serialization=False)


def _zipped(packed: int, **members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packed) as archive:
        for name, data in members.items():
            archive.writestr(f"archive/{name.replace('_', '.', 1)}", data)
    return buffer.getvalue()


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda _: None, "No such file"),
    "a folder": (lambda path: path.mkdir(), "is a folder.*diffusers"),
    "a pipe": (lambda path: os.mkfifo(path), "pipe or a device"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "pipe or a device"),
    "empty": (_of(b""), "not a file of torch.save"),
    "text": (_of(b"hello"), "not a file of torch.save"),
    "safetensors": (_of(save_safetensors({"a": torch.zeros(1)})), "looks like safetensors"),
    "of an old torch": (_old, "torch before 1.6"),
    "a plain pickle": (_of(pickle.dumps({"a": 1})), "torch before 1.6"),
    "a zip of something": (_of(_zipped(zipfile.ZIP_STORED, a_txt=b"x")), "not a file of torch"),
    "a cut zip": (_of(_zipped(zipfile.ZIP_STORED, data_pkl=b"x" * 99)[:60]), "damaged"),
    "a zip bomb": (
        _of(_zipped(zipfile.ZIP_DEFLATED, data_pkl=bytes(10**8))),
        "unpacks to more than it holds",
    ),
    "a pickle of zeros": (_of(_zipped(zipfile.ZIP_STORED, data_pkl=bytes(99))), "damaged"),
}


@pytest.mark.parametrize("what", FILES)
def test_a_file_that_is_something_else_is_refused(tmp_path: Path, what: str) -> None:
    make, said = FILES[what]
    path = tmp_path / "file.pt"
    make(path)
    with pytest.raises(DataError, match=said):
        import_article(path, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    with path.open("wb") as file:
        file.truncate(10**12)  # a hole takes no room
    with pytest.raises(DataError, match="more than"):
        import_article(path, tmp_path / "runs")


def test_a_taken_name_and_one_that_is_none_are_refused(saved: Path, tmp_path: Path) -> None:
    import_article(saved, tmp_path / "runs", name="one")
    with pytest.raises(EngineError, match="already a run 'one'"):
        import_article(saved, tmp_path / "runs", name="one")
    with pytest.raises(ConfigError, match="not a run name"):
        import_article(saved, tmp_path / "runs", name="../two")
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["one"]


# --- What runs code -------------------------------------------------------------------------------


class _Runs:
    """Unpickled, it calls whatever it likes."""

    def __init__(self, called: Callable[..., object], *arguments: object) -> None:
        self.called, self.arguments = called, arguments

    def __reduce__(self) -> Any:
        return self.called, self.arguments


@pytest.mark.parametrize("kind", ["archive", "old", "in a state dict", "in _metadata"])
@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("how", ["system", "eval", "popen"])
def test_nothing_in_a_file_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, protocol: int, how: str
) -> None:
    # It does not come so far that torch would have to refuse it.
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("torch has loaded it"))
    proof = tmp_path / "proof"
    command = f"touch {proof}"
    evil: object = {
        "system": _Runs(os.system, command),
        "eval": _Runs(eval, f"__import__('os').system({command!r})"),
        "popen": _Runs(subprocess.Popen, ["touch", str(proof)]),
    }[how]
    if kind == "in a state dict":
        evil = collections.OrderedDict(a=evil)
    elif kind == "in _metadata":
        state = collections.OrderedDict()
        state._metadata = evil  # type: ignore[attr-defined]
        evil = state
    path = tmp_path / "evil.pt"
    data = pickle.dumps(evil, protocol)
    path.write_bytes(data if kind == "old" else _zipped(zipfile.ZIP_STORED, data_pkl=data))
    with pytest.raises(DataError):
        import_article(path, tmp_path / "runs")
    assert not proof.exists()


def test_a_storage_that_claims_more_than_it_holds_is_not_read_beyond(
    ddpm: MyDDPM, tmp_path: Path
) -> None:
    """In a process of its own, which may not survive it."""
    path = tmp_path / "short.pt"
    buffer = io.BytesIO()
    torch.save(ddpm.state_dict(), buffer)
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(path, "w") as new:
        for member in old.infolist():
            data = old.read(member)
            new.writestr(member, data[:4] if member.filename.endswith("data/0") else data)
    code = (
        "import sys; from pathlib import Path\n"
        "from engine.errors import DataError; from engine.importing import import_article\n"
        "try: import_article(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "except DataError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(tmp_path / "runs")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "short.pt" in done.stdout, done.stdout


def test_an_import_that_cannot_be_written_leaves_nothing(saved: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    kept = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(EngineError):
            import_article(saved, runs)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, kept)
    assert [path.name for path in runs.iterdir()] == [".highest"]
    assert isinstance(import_article(saved, runs), Run)
