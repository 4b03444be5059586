"""Parity: what an artifact computes against what the float model computes.

`compare` compares answers and task metrics, `layers` tensors inside, `drift` takes the
change of a metric apart; `repro` writes a failing part as a folder. `documents` has what the
first two return.
"""

from edgeskin.converters.parity.compare import Reference, agree, compare_outputs, verify
from edgeskin.converters.parity.documents import Verification
from edgeskin.evaluation import worst_drop, worst_mae_rise

__all__ = [
    "Reference",
    "Verification",
    "agree",
    "compare_outputs",
    "verify",
    "worst_drop",
    "worst_mae_rise",
]
