"""Labelled images: manifest folders, and phantoms rendered from a seed."""
