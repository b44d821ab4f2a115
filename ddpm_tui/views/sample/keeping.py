"""Keeping what came out: favourites, files, and the command that makes it again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from textual import work

from ddpm_tui.sanitize import clean
from ddpm_tui.views.sample.favourites import Favourites
from ddpm_tui.views.sample.performing import Performing
from ddpm_tui.views.sample.recording import Recording
from engine.errors import EngineError, RunGoneError
from engine.runs.folder import Run

if TYPE_CHECKING:
    from engine.takes.favourites import Favourite
    from engine.takes.files import TakeFiles


class Keeping(Performing):
    """The keys that keep a picture or a take."""

    def action_keep(self) -> None:
        recording, settings = self._recording, self._settings
        if recording is None or settings is None or not len(recording):
            self._say_nothing_yet()
            return
        from engine.takes.favourites import add_favourite

        # Of a take that is not finished, what the network believes in where one is.
        index = min(self._playhead.index, len(recording) - 1)
        frames = (
            recording.frame(recording.num_steps)
            if recording.complete
            else recording.frame(index, "x0")
        )
        image = frames[min(self._chosen, len(frames) - 1)]
        try:
            kept = add_favourite(settings.run, recording.recipe, self._chosen, image)
        except EngineError as error:
            self.workbench.complain(error)
            return
        where = kept.thumbnail or settings.run.path
        self.notify(
            clean(f"picture {self._chosen} is a favourite: {where}. S lists them."), markup=False
        )

    def action_favourites(self) -> None:
        if self._settings is None and self._reading:
            self._say_nothing_yet()
            return
        if self._settings is None:
            self.notify("There is no run yet; 1 lists the runs.")
            return

        run = self._settings.run

        def chosen(favourite: Favourite | None) -> None:
            if favourite is None or not self.is_here(run):
                return
            if self._recording is not None:
                self._past.append(self._recording.recipe)
            self._chosen = favourite.picture
            # A favourite is in the folder of its run, which may have had another name then.
            recipe = replace(favourite.recipe, run=run.name)
            self._perform(lambda: recipe, run, at=0)

        self.app.push_screen(Favourites(run), chosen)

    def action_copy_command(self) -> None:
        if self._recording is None:
            self._say_nothing_yet()
            return
        self.workbench.copy_command(self._command(self._recording.recipe))

    def action_save(self, every_step: bool = False) -> None:
        recording, settings = self._recording, self._settings
        if recording is None or settings is None:
            self._say_nothing_yet()
            return
        if not recording.complete:
            self.notify("There is something to save after the last step; End plays there.")
            return
        self._save(recording, settings.run, every_step)

    @work(thread=True, group="save", exit_on_error=False)
    def _save(self, recording: Recording, run: Run, every_step: bool) -> None:
        from engine.takes.files import save_take

        def save(run: Run, out: Path | None) -> TakeFiles:
            steps = (
                (lane, step)
                for lane in range(len(recording.lanes))
                for step in recording.steps(lane)
            )
            return save_take(
                run, recording.recipe, recording.lanes, steps, out=out, trajectory=every_step
            )

        title = "Saved"
        try:
            try:
                files = save(run, None)
            except RunGoneError as error:
                # The pictures are only here: they go where one is.
                files, title = save(run, Path("samples")), f"Saved here: {error.message}"
        except EngineError as error:
            self.app.call_from_thread(self.workbench.complain, error)
            return
        names = [str(files.png), files.gif.name, files.recipe.name]
        names += [path.name for path in files.trajectories]
        text = clean("\n".join(names)) + "\n" + clean(f"$ {self._command(recording.recipe)}", 2000)
        self.app.call_from_thread(
            self.notify, text, title=clean(title, 200), timeout=15, markup=False
        )
