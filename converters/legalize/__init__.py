"""Rewrites that let one runtime run a whole network on its fast path; same function."""
