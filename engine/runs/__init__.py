"""The run folder: what a run leaves on disk, and the only thing that viewers read."""
