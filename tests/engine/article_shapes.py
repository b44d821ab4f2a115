"""The state dict of the article's network, recorded from weights that its own code saved."""

from __future__ import annotations

_RECORDED = """
time_embed.weight:1000x100 te1.0.weight:1x100 te1.0.bias:1 te1.2.weight:1x1 te1.2.bias:1
b1.0.ln.weight:1x28x28 b1.0.ln.bias:1x28x28 b1.0.conv1.weight:10x1x3x3 b1.0.conv1.bias:10
b1.0.conv2.weight:10x10x3x3 b1.0.conv2.bias:10 b1.1.ln.weight:10x28x28 b1.1.ln.bias:10x28x28
b1.1.conv1.weight:10x10x3x3 b1.1.conv1.bias:10 b1.1.conv2.weight:10x10x3x3 b1.1.conv2.bias:10
b1.2.ln.weight:10x28x28 b1.2.ln.bias:10x28x28 b1.2.conv1.weight:10x10x3x3 b1.2.conv1.bias:10
b1.2.conv2.weight:10x10x3x3 b1.2.conv2.bias:10 down1.weight:10x10x4x4 down1.bias:10
te2.0.weight:10x100 te2.0.bias:10 te2.2.weight:10x10 te2.2.bias:10 b2.0.ln.weight:10x14x14
b2.0.ln.bias:10x14x14 b2.0.conv1.weight:20x10x3x3 b2.0.conv1.bias:20 b2.0.conv2.weight:20x20x3x3
b2.0.conv2.bias:20 b2.1.ln.weight:20x14x14 b2.1.ln.bias:20x14x14 b2.1.conv1.weight:20x20x3x3
b2.1.conv1.bias:20 b2.1.conv2.weight:20x20x3x3 b2.1.conv2.bias:20 b2.2.ln.weight:20x14x14
b2.2.ln.bias:20x14x14 b2.2.conv1.weight:20x20x3x3 b2.2.conv1.bias:20 b2.2.conv2.weight:20x20x3x3
b2.2.conv2.bias:20 down2.weight:20x20x4x4 down2.bias:20 te3.0.weight:20x100 te3.0.bias:20
te3.2.weight:20x20 te3.2.bias:20 b3.0.ln.weight:20x7x7 b3.0.ln.bias:20x7x7
b3.0.conv1.weight:40x20x3x3 b3.0.conv1.bias:40 b3.0.conv2.weight:40x40x3x3 b3.0.conv2.bias:40
b3.1.ln.weight:40x7x7 b3.1.ln.bias:40x7x7 b3.1.conv1.weight:40x40x3x3 b3.1.conv1.bias:40
b3.1.conv2.weight:40x40x3x3 b3.1.conv2.bias:40 b3.2.ln.weight:40x7x7 b3.2.ln.bias:40x7x7
b3.2.conv1.weight:40x40x3x3 b3.2.conv1.bias:40 b3.2.conv2.weight:40x40x3x3 b3.2.conv2.bias:40
down3.0.weight:40x40x2x2 down3.0.bias:40 down3.2.weight:40x40x4x4 down3.2.bias:40
te_mid.0.weight:40x100 te_mid.0.bias:40 te_mid.2.weight:40x40 te_mid.2.bias:40
b_mid.0.ln.weight:40x3x3 b_mid.0.ln.bias:40x3x3 b_mid.0.conv1.weight:20x40x3x3
b_mid.0.conv1.bias:20 b_mid.0.conv2.weight:20x20x3x3 b_mid.0.conv2.bias:20
b_mid.1.ln.weight:20x3x3 b_mid.1.ln.bias:20x3x3 b_mid.1.conv1.weight:20x20x3x3
b_mid.1.conv1.bias:20 b_mid.1.conv2.weight:20x20x3x3 b_mid.1.conv2.bias:20
b_mid.2.ln.weight:20x3x3 b_mid.2.ln.bias:20x3x3 b_mid.2.conv1.weight:40x20x3x3
b_mid.2.conv1.bias:40 b_mid.2.conv2.weight:40x40x3x3 b_mid.2.conv2.bias:40 up1.0.weight:40x40x4x4
up1.0.bias:40 up1.2.weight:40x40x2x2 up1.2.bias:40 te4.0.weight:80x100 te4.0.bias:80
te4.2.weight:80x80 te4.2.bias:80 b4.0.ln.weight:80x7x7 b4.0.ln.bias:80x7x7
b4.0.conv1.weight:40x80x3x3 b4.0.conv1.bias:40 b4.0.conv2.weight:40x40x3x3 b4.0.conv2.bias:40
b4.1.ln.weight:40x7x7 b4.1.ln.bias:40x7x7 b4.1.conv1.weight:20x40x3x3 b4.1.conv1.bias:20
b4.1.conv2.weight:20x20x3x3 b4.1.conv2.bias:20 b4.2.ln.weight:20x7x7 b4.2.ln.bias:20x7x7
b4.2.conv1.weight:20x20x3x3 b4.2.conv1.bias:20 b4.2.conv2.weight:20x20x3x3 b4.2.conv2.bias:20
up2.weight:20x20x4x4 up2.bias:20 te5.0.weight:40x100 te5.0.bias:40 te5.2.weight:40x40
te5.2.bias:40 b5.0.ln.weight:40x14x14 b5.0.ln.bias:40x14x14 b5.0.conv1.weight:20x40x3x3
b5.0.conv1.bias:20 b5.0.conv2.weight:20x20x3x3 b5.0.conv2.bias:20 b5.1.ln.weight:20x14x14
b5.1.ln.bias:20x14x14 b5.1.conv1.weight:10x20x3x3 b5.1.conv1.bias:10 b5.1.conv2.weight:10x10x3x3
b5.1.conv2.bias:10 b5.2.ln.weight:10x14x14 b5.2.ln.bias:10x14x14 b5.2.conv1.weight:10x10x3x3
b5.2.conv1.bias:10 b5.2.conv2.weight:10x10x3x3 b5.2.conv2.bias:10 up3.weight:10x10x4x4 up3.bias:10
te_out.0.weight:20x100 te_out.0.bias:20 te_out.2.weight:20x20 te_out.2.bias:20
b_out.0.ln.weight:20x28x28 b_out.0.ln.bias:20x28x28 b_out.0.conv1.weight:10x20x3x3
b_out.0.conv1.bias:10 b_out.0.conv2.weight:10x10x3x3 b_out.0.conv2.bias:10
b_out.1.ln.weight:10x28x28 b_out.1.ln.bias:10x28x28 b_out.1.conv1.weight:10x10x3x3
b_out.1.conv1.bias:10 b_out.1.conv2.weight:10x10x3x3 b_out.1.conv2.bias:10
b_out.2.ln.weight:10x28x28 b_out.2.ln.bias:10x28x28 b_out.2.conv1.weight:10x10x3x3
b_out.2.conv1.bias:10 b_out.2.conv2.weight:10x10x3x3 b_out.2.conv2.bias:10
conv_out.weight:1x10x3x3 conv_out.bias:1
"""

# Name -> shape, in the order of the file.
ARTICLE_SHAPES: dict[str, tuple[int, ...]] = {
    name: tuple(map(int, shape.split("x")))
    for name, shape in (entry.split(":") for entry in _RECORDED.split())
}
