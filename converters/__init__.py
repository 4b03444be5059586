"""From a run or a quantized program to files that phones and Jetsons load.

`convert.convert` does the work, each conversion in a process of its own; the formats
are listed in `edgeskin.formats`.
"""

from __future__ import annotations

from edgeskin.errors import UnknownName

PRECISIONS = {
    "fp32": "float32 throughout",
    "fp16": "float16 weights, and arithmetic where the runtime has it",
    "int8": "int8 weights and activations, with the scales of a program",
}


def check_precision(name: str) -> None:
    """Refuse a precision that no converter knows.

    Raises:
        UnknownName: No such precision.
    """
    if name not in PRECISIONS:
        raise UnknownName(f"no precision '{name}'; there are {', '.join(PRECISIONS)}")
