"""Side-by-side measurements against other tools; not part of the harness."""
