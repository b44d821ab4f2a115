"""What the help says of every view, of its widgets and of the terms."""

from __future__ import annotations

ABOUT: dict[str, tuple[str, ...]] = {
    "runs": (
        "Every run is a folder; this list is made from the folders and nothing else. LOSS is of "
        "the newest steps, HELD-OUT of images that the network was never trained on.",
        "A filter is words, all of which must hold: regular expressions for name, tags and notes, "
        "or key:value, as in state:failed tag:base net:dit loss:<0.05 step:>1k age:<2d; the keys "
        "are name state tag note data net preset reason loss held-out step age. - before a word "
        "turns it round.",
        "What is done to several is done to the marked runs that are listed. A deleted run is in "
        "the folder .trash beside the others; `ddpm-tui trash --empty` removes it for good.",
    ),
    "compare": (
        "Several runs beside one another: their losses in one plot, their figures with the best "
        "of each row, the settings that differ, their pictures. The sample grids of the training "
        "stand at the same step where all runs have one; d draws from all of them with the same "
        "seeds.",
        "A figure in brackets is what as many real pictures get. Losses are ranked only where "
        "the runs predict the same thing on the same images.",
    ),
    "train": (
        "The loss, the devices and a grid of samples. The grid is painted from the same noise "
        "each time, so what changes is the network.",
    ),
    "sample": (
        "The reverse process, step by step from noise to picture. x_t is what the network sees, "
        "x̂_0 the picture that it believes in, ε the noise that it sees.",
    ),
    "forward": (
        "The forward process: x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) ε, at any t in one step, under two "
        "noise schedules and with the same noise. At equal SNR (e) the two pictures are equal: t "
        "is only a name for an amount of noise.",
        "d shows what a trained network makes of x_t in one call, on images that it was not "
        "trained on. The curves hold its error beside what needs no network: the mean image, and "
        "x_t itself.",
    ),
    "inspect": (
        "The five components of a diffusion model, each explained by what it does in this run: "
        "process, sampler, schedule, timestep embedding, network.",
    ),
}

# By the class of the widget that has the focus, or of one that it is a kind of.
WIDGETS: dict[str, str] = {
    "RunList": "The list: ↑ ↓ or j k move, PgUp PgDn by pages, Home and End to either end. A click "
    "chooses, two open, one on a title sorts.",
    "PixelGrid": "Pictures: the arrows choose one where the view lets them; the frame is yours.",
    "SideTable": "A column a run: ← → bring the runs that do not fit, ↑ ↓ the rows; a star is on "
    "the best of its row.",
    "SideBySide": "Pictures of every run: ← → or [ ] go through the sample grids of the training.",
    "LineChart": "A curve: raw values are dim, their running mean is bright; gaps are steps "
    "whose loss was not finite.",
    "Sheet": "A page: ↑ ↓ or j k move, PgUp PgDn by screens, ← → or h l turn to another page.",
    "Choice": "One of a few values: ← → or h l change it.",
    "Input": "A field: type, ↑ ↓ or tab go to the next; what is wrong is said beside it.",
    "Button": "enter presses it, tab goes on.",
}

# Views in which the term is seen (empty: all of them), the term, what it means.
TERMS: tuple[tuple[str, str, str], ...] = (
    ("", "t", "timestep, 0 … T − 1: how far the forward process has gone; T − 1 is pure noise"),
    ("", "x_0, x_t", "an image; the same with the noise of timestep t"),
    ("sample inspect train forward", "x̂_0", "the image that the network believes is behind x_t"),
    ("", "ε", "the noise: standard normal, one number a pixel"),
    ("forward inspect", "β_t", "the variance of the noise that step t adds"),
    ("forward inspect sample", "ᾱ_t", "the share of the image's variance that is left at t"),
    ("forward inspect", "SNR", "signal to noise, ᾱ_t / (1 − ᾱ_t)"),
    ("forward", "MSE", "mean squared error, of images in −1 … 1; the mean of all pixels"),
    ("forward", "sees to t", "x̂_0 is up to there less than half as wrong as the mean image"),
    ("train runs compare", "EMA", "a running mean of the weights; samples are drawn with it"),
    ("train runs compare", "held-out", "the loss on images that training never sees"),
    ("train", "lr", "learning rate, the length of a step of the weights"),
    ("train", "grad", "norm of the gradient before it is clipped"),
    ("sample", "sampler", "the rule that goes from x_t to the step before: ddpm, ddim, dpmpp_2m …"),
    ("sample", "guidance", "1 is none; more exaggerates the class that was asked for"),
    ("sample", "eta", "ddim: 0 draws no noise on the way, 1 as much as ddpm"),
    (
        "runs train sample compare",
        "checkpoint",
        "the weights of one step on disk, verified by SHA-256",
    ),
)
