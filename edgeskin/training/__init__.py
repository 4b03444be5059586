"""Training of float models, from images to a run folder."""
