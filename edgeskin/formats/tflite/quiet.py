"""LiteRT says once a process that it made its XNNPACK delegate, on the file descriptor 2.

No setting turns that line off. So it is said here, of a network of one operator,
where nobody listens; whatever else arrives on descriptor 2 meanwhile is passed on.
"""

from __future__ import annotations

import functools
import os
import sys
import tempfile
import threading

_LINE = b"Created TensorFlow Lite XNNPACK delegate"
_lock = threading.Lock()


def announce_once() -> None:
    """Have LiteRT say its line unheard, before the first file that it opens in this process."""
    with _lock:
        _announce()


@functools.cache
def _announce() -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=_absolute())
    try:
        kept = os.dup(2)
    except OSError:  # closed: nobody listens anyway
        return
    with tempfile.TemporaryFile() as heard:
        if sys.stderr is not None:
            sys.stderr.flush()
        os.dup2(heard.fileno(), 2)
        try:
            interpreter.allocate_tensors()
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        heard.seek(0)
        for line in heard:
            if _LINE not in line:
                os.write(2, line)


def _absolute() -> bytes:
    """A TFLite file: y = |x|, float32 of shape (1,)."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    tensors = []
    for name in (b"x", b"y"):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name, [1], schema.TensorType.FLOAT32
        tensors.append(tensor)
    code = schema.OperatorCodeT()
    code.deprecatedBuiltinCode = code.builtinCode = schema.BuiltinOperator.ABS
    operator = schema.OperatorT()
    operator.inputs, operator.outputs = [0], [1]
    graph = schema.SubGraphT()
    graph.tensors, graph.inputs, graph.outputs, graph.operators = tensors, [0], [1], [operator]
    model = schema.ModelT()
    model.version, model.buffers = 3, [schema.BufferT()]
    model.operatorCodes, model.subgraphs = [code], [graph]
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
