"""How a file is run without edgeskin."""

PACKAGE = "onnxruntime"
RUN = """def run(path, feeds):
    import onnxruntime

    data = Path(path).read_bytes()
    model = data[4 + int.from_bytes(data[:4], "little") :]
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run([CASE["output"]], feeds)[0]
"""
