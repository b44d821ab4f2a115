"""The terminal that the workbench runs in."""
