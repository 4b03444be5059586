"""The one place that holds the version; written into every artifact and manifest."""

__version__ = "0.1.0"
