"""What the Inspect view and `ddpm-tui inspect` say of a run: the words, without a terminal.

`study` finds out, a module for each page puts it into rows. Nothing here imports Textual.
"""
