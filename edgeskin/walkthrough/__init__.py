"""The demo: everything edgeskin does, once, on this machine."""
