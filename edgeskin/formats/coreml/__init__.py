"""Core ML packages: see the table in `edgeskin.formats`."""
