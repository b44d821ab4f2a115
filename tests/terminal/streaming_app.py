"""A program for the tests of the link: a picture that changes 20 times a second, and a field.

    python streaming_app.py BUDGET REPORT [256]

F7 stops the stream, F6 shows the same frame again and F9 the next one, F8 writes what the link
measured to REPORT and ends. Beside it a file counts how often the event loop came round.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np

from ddpm_tui.color import apply, detect

PERIOD = 0.05  # seconds


def frame(number: int) -> np.ndarray:
    """A 64 × 64 picture of x_T, no two alike: standard normal noise, shown as (x + 1) / 2."""
    x = np.random.default_rng(number).normal(size=(1, 64, 64))
    return np.clip((x + 1) * 127.5, 0, 255).round().astype(np.uint8)


def ticks_of(report: Path) -> Path:
    """Where the app counts how often its event loop came round."""
    return report.with_suffix(".ticks")


def main(budget: float, report: Path, mode: str = "truecolor") -> None:
    apply(detect(os.environ, mode), os.environ)

    from textual.widgets import Input, Static

    from ddpm_tui.preferences import Preferences
    from ddpm_tui.shell import Shell
    from ddpm_tui.widgets.pixels import PixelGrid

    class Streaming(Shell):
        CSS = "PixelGrid { height: 1fr; } Input { height: 1; border: none; }"

        def compose(self):
            yield PixelGrid()
            yield Static(id="clock")
            field = Input()
            field.cursor_blink = False
            yield field

        def on_mount(self) -> None:
            self.query_one(Input).focus()
            self.number = 0
            self.ticks = 0
            self.stream = self.set_interval(PERIOD, self.offer)
            self.set_interval(PERIOD, self.tick)

        def offer(self) -> None:
            self.number += 1
            self.query_one(PixelGrid).offer(frame(self.number))
            self.query_one("#clock", Static).update(f"frame {self.number}")

        def tick(self) -> None:
            self.ticks += 1
            ticks_of(report).write_text(str(self.ticks))

        def key_f7(self) -> None:
            self.stream.stop()

        def key_f6(self) -> None:
            self.query_one(PixelGrid).show(frame(self.number))

        def key_f9(self) -> None:
            self.number += 1
            self.key_f6()

        def key_f8(self) -> None:
            link = self.link
            told = {
                "number": self.number,
                "rate": link.rate,
                "round_trip": link.round_trip,
                "silent": link.silent,
                "state": link.state,
                "value": self.query_one(Input).value,
            }
            report.write_text(json.dumps(told))
            self.exit()

    Streaming(Preferences(link_budget=budget)).run()


if __name__ == "__main__":
    main(float(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
