"""The part of `ddpm-tui doctor` that is about the terminal, and its report."""
