"""The terminal workbench. Thin: no diffusion maths and no file formats; those live in `engine`."""
