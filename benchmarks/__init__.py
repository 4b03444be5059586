"""Measurements: latency on this machine (devices come with the harness)."""
