"""How an ONNX file is run without edgeskin's session: text for `run.py` of a failing layer."""

PACKAGE = "onnxruntime"
RUN = """def run(path, feeds):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run([CASE["output"]], feeds)[0]
"""
