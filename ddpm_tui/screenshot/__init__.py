"""Pictures of the screen: as SVG, which scales and keeps its text, and as PNG, which opens
everywhere."""
