"""The audit of model files: what is in them, and what their runtime makes of it."""
