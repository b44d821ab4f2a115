"""Several runs beside one another: what differs, how they stand, pictures from the same noise."""
