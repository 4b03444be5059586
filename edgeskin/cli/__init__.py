"""The `edgeskin` command."""
