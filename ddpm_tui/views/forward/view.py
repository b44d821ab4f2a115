"""The Forward view: its keys, and what they do."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import work
from textual.binding import BindingType
from textual.widgets import Static

from ddpm_tui import keys
from ddpm_tui.views.forward import schedule_form, texts
from ddpm_tui.views.forward.choose import ChooseNetwork
from ddpm_tui.views.forward.prober import Network
from ddpm_tui.views.forward.schedules import Pair
from ddpm_tui.views.forward.stage import BESIDE, NETWORK, STRIP, ForwardStage
from engine.errors import EngineError
from engine.runs.folder import list_runs

_RUNS_OFFERED = 50  # whose schedules can be chosen: the newest
_UNTOLD = "{run} was not told the classes in training."
_ALWAYS_TOLD = "{run} was always told the class in training (class_dropout 0)."


class ForwardView(ForwardStage):
    """Real images, t under the keys, two schedules, and a network that looks."""

    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("forward")]

    def _is_loading(self) -> bool:
        """Whether there is nothing to show yet; says so."""
        loading = self._loaded is None and not self._has_failed
        if loading:
            self.notify("Loading torch and the images …")
        return loading

    def action_move(self, by: int) -> None:
        if self._is_loading():
            return
        self._t = max(self._t + by, -1)
        self._show()

    def action_jump(self, where: str) -> None:
        if self._is_loading():
            return
        self._t = -1 if where == "start" else self._pair.a.timesteps - 1
        self._show()

    def action_page(self, by: int) -> None:
        if not self._is_loading() and self._loaded is not None:
            self._first = (self._first + by) % len(self._loaded.class_names)
            self._show()

    def _compare(self, pair: Pair) -> None:
        """Show two schedules beside each other; the strip stays when it shows the change."""
        if self._mode != STRIP or pair.a == self._pair.a:
            self._choose_mode(BESIDE)
        self._set_pair(pair)
        self._show()

    def action_cycle(self, which: str) -> None:
        if self._is_loading():
            return
        self._compare(self._pair.cycled(which))

    def action_swap(self) -> None:
        if self._is_loading():
            return
        self._compare(self._pair.swapped())

    def action_align(self) -> None:
        if self._is_loading():
            return
        self._compare(replace(self._pair, by_snr=not self._pair.by_snr))

    def action_schedules(self) -> None:
        if self._is_loading():
            return

        def answered(pair: Pair | None) -> None:
            if pair is not None:
                self._compare(pair)

        try:
            runs = list_runs(self.workbench.runs_dir)[:_RUNS_OFFERED]
        except EngineError as error:
            self.workbench.complain(error)
            runs = []
        self.app.push_screen(schedule_form.ask(self._pair, runs), answered)

    def action_denoise(self) -> None:
        """What the network makes of the images, or back to the schedules."""
        if self._is_loading():
            return
        if self._mode == NETWORK:
            self._choose_mode(BESIDE)
            self._show()
        elif self._network is not None:
            self._look()
            self._show()
        else:
            self.action_run()

    def action_run(self) -> None:
        if self._is_loading():
            return

        def chosen(network: Network | None) -> None:
            if network is not None:
                self._load(network, look=True)

        wanted = self.workbench.current_run
        self.app.push_screen(ChooseNetwork(self.workbench.runs_dir, self._network, wanted), chosen)

    def action_told(self) -> None:
        """Ask the network with the class of each image, or without."""
        if self._is_loading():
            return
        network, config = self._network, self._config
        if network is None or config is None:
            self.notify(texts.NO_NETWORK)
        elif not config.model.class_conditional:
            self.notify(_UNTOLD.format(run=network.run.name), markup=False)
        elif network.told and not config.training.class_dropout:
            self.notify(_ALWAYS_TOLD.format(run=network.run.name), markup=False)
        else:
            self._load(replace(network, told=not network.told), look=True)

    def action_curve(self) -> None:
        if self._is_loading():
            return
        self.charts.next()

    def action_large(self) -> None:
        self.toggle_class("-large")

    def action_strip(self) -> None:
        if self._is_loading():
            return
        if self._mode == STRIP:
            self._choose_mode(BESIDE)
            if self._before_strip == NETWORK:
                self._look()
        else:
            self._before_strip = self._mode
            self._choose_mode(STRIP)
        self._show()

    def action_dataset(self) -> None:
        if not self._is_loading() and self._loaded is not None:
            self.query_one("#what", Static).update("Loading the next data set …")
            self._load(self._network, after=self._loaded.dataset)

    def action_save(self) -> None:
        """Write what is on the screen."""
        loaded, pair, t, known = self._loaded, self._pair, self._t, self._known
        if self._is_loading() or loaded is None:
            return
        if self._mode == NETWORK:
            if known is None or self._prober is None or self._network is None:
                self.notify("The network has not answered yet.")
                return
            told = "" if known.told else "-no-class"
            stem = f"forward-{self._network.run.name}-step{known.step}-t{max(t, 0)}{told}"
            self.notify("Asking the network at 25 timesteps for the film …")
            if self._prober.ask_for_figure(max(t, 0), Path(), _file_name(stem)):
                self._probe(self._prober)
            return
        from engine.forward_files import write_beside, write_forward

        a, b = (loaded.shown(named.schedule) for named in (pair.a, pair.b))
        stem = f"forward-{loaded.dataset}-{pair.a.name}"
        if self._mode == STRIP:
            self._save(partial(write_forward, a, Path(), _file_name(stem)))
            return
        stem += f"-{pair.b.name}-t{t}" + ("-equal-snr" if pair.by_snr else "")
        self._save(
            partial(write_beside, a, b, t, by_snr=pair.by_snr, out=Path(), stem=_file_name(stem))
        )

    @work(thread=True, exclusive=True, group="save", exit_on_error=False)
    def _save(self, write: Callable[[], tuple[Path, Path]]) -> None:
        files = write()  # what goes wrong is told as any worker's error
        self.app.call_from_thread(self.tell_saved, files)


def _file_name(stem: str) -> str:
    """Of letters, digits and - + . alone."""
    return re.sub(r"[^\w.+-]+", "-", stem)
