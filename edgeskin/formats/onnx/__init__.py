"""ONNX files: see the table in `edgeskin.formats`."""
