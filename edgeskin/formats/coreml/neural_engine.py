"""What is known to keep an operator off Apple's Neural Engine, and who says so.

Core ML tells on a device only who runs an operator. This is what has been
published; where reports disagree (dilated convolutions run according to one and
not to the other) nothing is said.

- Apple: coremltools guide, "Typed Execution Workflow Example"; an engineer's
  answer in the developer forums, thread 724930.
- Hollemans: github.com/hollance/neural-engine, docs/unsupported-layers.md.
- Bryngelson: ane-guide.readthedocs.io, "Capability surface" (arXiv 2606.22283).
"""

from __future__ import annotations

from edgeskin.formats.network import Network, Operator

_HOLLEMANS = "reported to run beside the Neural Engine (Hollemans)"
_BRYNGELSON = "reported to have no path on the Neural Engine (Bryngelson)"
_PREFIXES = {
    "gather": _HOLLEMANS,
    "lstm": _HOLLEMANS,
    "gru": _HOLLEMANS,
    "rnn": _HOLLEMANS,
    "simpleRecurrent": _HOLLEMANS,
    "uniDirectionalLSTM": _HOLLEMANS,
    "biDirectionalLSTM": _HOLLEMANS,
    "custom": _HOLLEMANS,
    "scatter": _BRYNGELSON,
    "reduce_prod": _BRYNGELSON,
}
_SUFFIXES = {"Broadcastable": _HOLLEMANS, "ND": _HOLLEMANS}
_FLOAT32 = "computes in float32, which the Neural Engine does not (Apple)"
_RANGE = "its sizes are known only at run time: other than the default run elsewhere (Apple)"
_ANY_TYPE = ("quantize", "dequantize")


def why_beside(op: Operator, network: Network) -> str:
    """Why `op` is not expected on the Neural Engine; empty where nothing is known."""
    for prefix, why in _PREFIXES.items():
        if op.type.startswith(prefix):
            return why
    for suffix, why in _SUFFIXES.items():
        if op.type.endswith(suffix):
            return why
    if op.type == "conv" and op.operands and len(network.tensors[op.operands[0]].shape) == 5:
        return _BRYNGELSON
    outputs = [network.tensors[name] for name in op.outputs if name in network.tensors]
    any_type = op.type == "cast" or op.role in _ANY_TYPE
    if not any_type and any(tensor.dtype == "float32" for tensor in outputs):
        return _FLOAT32
    # In a model of layers -1 is a size that the file does not say.
    return _RANGE if network.qdq and any(-1 in tensor.shape for tensor in outputs) else ""
