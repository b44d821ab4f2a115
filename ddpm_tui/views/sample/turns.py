"""The turns that a take can be given where one looks, by forms and a mask; and taking them back."""

from __future__ import annotations

from pathlib import Path

from textual.screen import Screen

from ddpm_tui.views.sample import forms
from ddpm_tui.views.sample.forms import Place
from ddpm_tui.views.sample.painter import MaskPainter, Painted
from ddpm_tui.views.sample.performing import Performing
from engine.errors import EngineError
from engine.takes.recipe import Inpaint, Recipe


class Turns(Performing):
    """The keys that change what happens at a step."""

    def _place(self) -> Place | None:
        """Where one is, and what can be done there; says so when that is nowhere."""
        recording = self._recording
        if recording is None or not len(recording):
            self._say_nothing_yet()
            return None
        if self._playhead.playing:
            self.action_toggle_play()
        index = min(self._playhead.index, len(recording) - 1)
        path = recording.lanes[0].path

        def check(recipe: Recipe) -> None:
            from engine.prompts import parse_prompt
            from engine.takes.recipe import Ask, Branch
            from engine.takes.versus import lay_lanes

            lay_lanes(recording.schedule, recipe)
            for turn in recipe.turns:
                asked = turn.prompts if isinstance(turn, Branch) else ()
                if isinstance(turn, Ask) and turn.prompt:
                    asked = (turn.prompt,)
                for prompt in asked:
                    parse_prompt(prompt, names)

        names = self._offer.class_names if self._offer is not None else ()
        t = path[index].t if index < len(path) else -1
        return Place(recording.recipe, index, t, self._chosen, names, check)

    def _question(self, form: Screen[Recipe | None], at: int) -> None:
        self.app.push_screen(form, lambda recipe: self._change(recipe, at))

    def action_ask(self) -> None:
        if place := self._place():
            self._question(forms.ask(place), place.at)

    def action_renoise(self) -> None:
        if (place := self._place()) and self._recording is not None:
            total = self._recording.schedule.num_train_timesteps
            self._question(forms.renoise(place, total), place.at)

    def action_branch(self) -> None:
        if place := self._place():
            self._question(forms.branch(place), place.at)

    def action_start(self) -> None:
        if (place := self._place()) and self._settings is not None:
            grids = sorted(self._settings.run.samples_path.glob("*.png"), key=_changed)
            self._question(forms.start(place, grids[-1].name if grids else ""), 0)

    def action_compare(self) -> None:
        if place := self._place():
            checkpoints = self._offer.checkpoints if self._offer is not None else ()
            self._question(forms.compare(place, checkpoints[::-1]), 0)

    def action_mask(self) -> None:
        """Paint on what the network believes in at this step, or on the finished picture."""
        place, recording, settings = self._place(), self._recording, self._settings
        if place is None or recording is None or settings is None:
            return
        at_end = place.at == recording.num_steps
        believed = recording.frame(place.at, "x_t" if at_end else "x0")
        at = place.at if at_end else place.at + 1

        def painted(answer: Painted | None) -> None:
            from engine.takes.sources import save_mask

            if answer is None:
                return
            try:
                name = save_mask(settings.run, answer.repaint)
                recipe = place.then(Inpaint(at, place.picture, name, answer.copies))
            except EngineError as error:
                self.workbench.complain(error)
            else:
                self._chosen = 0
                self._change(recipe, at)

        self.app.push_screen(MaskPainter(believed[place.picture]), painted)

    def action_undo(self) -> None:
        if not self._past or self._recording is None or self._settings is None:
            self.notify("There is no turn to take back.")
            return
        recipe = self._past.pop()
        turns = self._recording.recipe.turns
        at = turns[-1].at if len(turns) > len(recipe.turns) else 0
        self._perform(lambda: recipe, self._settings.run, at=at, playing=False)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
