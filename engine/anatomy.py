"""A network taken apart: what each part puts out, holds, costs and sees, counted on one image.

The hooks hang on a network built for the purpose and the counter is this thread's own, so a
training in another thread notices nothing. `engine.layer_timing` measures what is only counted
here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_flop

from engine.config import RunConfig
from engine.models import build_model

_FLOPS: dict[Any, Callable[..., int]] = {
    **flop_registry,
    # torch has formulas for the fused attention of GPUs alone.
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: sdpa_flop(
        q.shape, k.shape, v.shape
    ),
}


@dataclass(frozen=True)
class Part:
    """A module of a network, with all that is inside it. Lists of modules are no parts.

    Attributes:
        name: as in the state dict, `down_blocks.0.resnets.0`; empty for the whole network.
        label: the name without that of the part around it.
        kind: its class, with the kernel of a convolution.
        depth: how many parts it is inside of.
        has_parts: whether others are inside it.
        shape: of what it puts out, without the batch; empty where it is never called.
        parameters: numbers in it.
        macs: multiply-accumulates for one image.
        kept: bytes that a training step keeps of it for the backward pass, for one image in
            float32.
        receptive_field: pixels on a side of the square that one position of its output sees of the
            image, through convolutions alone: attention and normalisation see all of it. None
            before the first convolution and for what has no height and width.
    """

    name: str
    label: str
    kind: str
    depth: int
    has_parts: bool
    shape: tuple[int, ...]
    parameters: int
    macs: int
    kept: int
    receptive_field: int | None

    @property
    def called(self) -> bool:
        """Whether a forward pass goes through it."""
        return bool(self.shape)


@dataclass(frozen=True)
class Anatomy:
    """A network's parts, the whole first, each before what is inside it.

    Attributes:
        trained: parameters that training changes; the others are frozen.
    """

    parts: tuple[Part, ...]
    trained: int

    @property
    def whole(self) -> Part:
        return self.parts[0]


# --- Counting ----------------------------------------------------------------------------------


def dissect(config: RunConfig, image_shape: tuple[int, int, int], num_classes: int) -> Anatomy:
    """Take the network of a config apart, on one image.

    Raises:
        ConfigError: the network cannot work on images of this shape.
    """
    model = build_model(config, image_shape, num_classes)
    return dissect_model(model, example_inputs(model, image_shape, 1))


def example_inputs(
    model: nn.Module, image_shape: tuple[int, int, int], images: int, device: str = "cpu"
) -> tuple[Tensor, ...]:
    """What the network is called with: standard normal x (N, C, H, W), t (N,), classes (N,)."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(images, *image_shape, generator=generator)
    zeros = torch.zeros(images, dtype=torch.int64)
    told = (zeros,) if hasattr(model, "class_embedding") else ()
    return tuple(tensor.to(device) for tensor in (x, zeros, *told))


def dissect_model(model: nn.Module, inputs: tuple[Tensor, ...]) -> Anatomy:
    """Take any network apart.

    Args:
        inputs: of the network, the first of them one image, (1, C, H, W).
    """
    modules = list(places_of(model))
    count = _Count(inputs[0].shape[-2], _addresses(model))
    with count.watching(modules), torch.enable_grad():
        model(*inputs)
    parts = tuple(_part(at, modules, count) for at in range(len(modules)))
    return Anatomy(parts, sum(p.numel() for p in model.parameters() if p.requires_grad))


@dataclass(frozen=True)
class Place:
    """Where a module is in the network."""

    name: str
    label: str
    depth: int
    module: nn.Module


def places_of(
    module: nn.Module, name: str = "", label: str = "", depth: int = 0
) -> Iterator[Place]:
    """Every module before what is inside it; lists only lend their names."""
    if isinstance(module, nn.ModuleList):
        inside = depth
    else:
        yield Place(name, label, depth, module)
        label, inside = "", depth + 1
    for key, child in module.named_children():
        full, short = (f"{before}.{key}" if before else key for before in (name, label))
        yield from places_of(child, full, short, inside)


def _part(at: int, places: list[Place], count: _Count) -> Part:
    place = places[at]
    end = at + 1
    while end < len(places) and places[end].depth > place.depth:
        end += 1
    inside = [other.name for other in places[at + 1 : end]]
    # A level of the U-Net is no function of its own: it puts out what its last part does.
    last = max((n for n in (place.name, *inside) if n in count.order), key=count.order.__getitem__,
               default=None)  # fmt: skip
    names = [place.name] if place.name in count.order else inside
    # What is inside a part that is called is in its figures already.
    added = [n for n in names if n in count.order and not _inside_another(n, names, count)]
    return Part(
        name=place.name,
        label=place.label,
        kind=_kind(place.module),
        depth=place.depth,
        has_parts=bool(inside),
        shape=count.shapes[last] if last is not None else (),
        parameters=sum(p.numel() for p in place.module.parameters()),
        macs=sum(count.macs.get(n, 0) for n in added),
        kept=sum(count.kept.get(n, 0) for n in added),
        receptive_field=count.fields[last] if last is not None else None,
    )


def _inside_another(name: str, names: list[str], count: _Count) -> bool:
    return any(name.startswith(f"{n}.") for n in names if n in count.order)


def _kind(module: nn.Module) -> str:
    kind = type(module).__name__
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        height, width = module.kernel_size
        halves = f" /{module.stride[0]}" if module.stride[0] > 1 else ""
        return f"{kind} {height}×{width}{halves}"
    return kind


def _addresses(model: nn.Module) -> set[int]:
    return {
        tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())
    }


class _Flops(TorchDispatchMode):
    """Tells the floating-point operations of every product, in this thread."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # not annotated by torch
        self._tell = tell

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        out = func(*args, **(kwargs or {}))
        formula = _FLOPS.get(func._overloadpacket)
        if formula is not None:
            self._tell(formula(*args, **(kwargs or {}), out_val=out))
        return out


@dataclass
class _Sight:
    """How far one position sees, along the longest way through the convolutions.

    Attributes:
        height: rows of what the last convolution put out.
        jump: pixels of the image between two neighbouring positions.
        pixels: on a side of the square that one position sees; 0 before any convolution.
    """

    height: int
    jump: float = 1.0
    pixels: float = 0.0

    def through(self, conv: nn.Conv2d | nn.ConvTranspose2d, before: int, after: int) -> None:
        """Go through a convolution from `before` rows to `after`."""
        self.pixels = self.pixels or 1.0
        if before < self.height:  # pixels were folded into channels
            fold = round(self.height / before)
            self.pixels += (fold - 1) * self.jump
            self.jump *= fold
        elif before > self.height:  # or each was repeated
            self.jump /= round(before / self.height)
        kernel, stride = conv.kernel_size[0], conv.stride[0]
        if isinstance(conv, nn.ConvTranspose2d):
            self.pixels += (-(-kernel // stride) - 1) * self.jump
            self.jump /= stride
        else:
            self.pixels += (kernel - 1) * self.jump
            self.jump *= stride
        self.height = after


@dataclass
class _Count:
    """What one pass through the network was seen to do, by name of the part."""

    height: int
    own: set[int]
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    macs: dict[str, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    fields: dict[str, int | None] = field(default_factory=dict)
    order: dict[str, int] = field(default_factory=dict)
    running: list[str] = field(default_factory=list)

    @contextmanager
    def watching(self, places: list[Place]) -> Iterator[None]:
        """Inside, a pass through the modules is counted."""
        sight = _Sight(self.height)
        found: set[int] = set()
        # Held until all is counted, so that no place in memory is used twice.
        held: list[Tensor] = []

        def add(to: dict[str, int], amount: int) -> None:
            for name in self.running:
                to[name] = to.get(name, 0) + amount

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in self.own | found:
                found.add(storage.data_ptr())
                held.append(tensor)
                add(self.kept, storage.nbytes())
            return tensor

        def enter(name: str) -> None:
            self.running.append(name)

        def leave(name: str, module: nn.Module, given: Any, output: Any) -> None:
            self.running.pop()
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                sight.through(module, given[0].shape[-2], output.shape[-2])
            self.order[name] = len(self.order)
            self.shapes[name] = tuple(output.shape[1:])
            seen = round(sight.pixels) if output.ndim == 4 else 0
            self.fields[name] = seen or None

        with (
            hooked(places, enter, leave),
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
            _Flops(lambda flops: add(self.macs, flops // 2)),
        ):
            yield


@contextmanager
def hooked(
    places: list[Place],
    enter: Callable[[str], None],
    leave: Callable[[str, nn.Module, Any, Any], None],
) -> Iterator[None]:
    """Inside, these modules tell when a pass enters and leaves them."""
    handles = []
    for place in places:
        name, module = place.name, place.module
        handles.append(module.register_forward_pre_hook(lambda *_, name=name: enter(name)))
        handles.append(
            module.register_forward_hook(
                lambda module, given, output, name=name: leave(name, module, given, output)
            )
        )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


# --- Brightness --------------------------------------------------------------------------------


def heard_of_brightness(model: nn.Module, image_shape: tuple[int, int, int]) -> float | None:
    """How much the output changes when x becomes 2x + 1, relative to the output; 0 is blind.

    None where the output is zero, as that of a fresh network with a zero-initialised end is.
    """
    x, *rest = example_inputs(model, image_shape, 4, str(next(model.parameters()).device))
    with torch.no_grad():
        plain, brighter = model(x, *rest), model(2 * x + 1, *rest)
    norm = float(plain.norm())
    return float((brighter - plain).norm()) / norm if norm else None
