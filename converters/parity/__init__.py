"""Parity: what an artifact computes against what the float model computes.

`whole` compares answers and task metrics, `layers` tensors inside, `drift`
takes the change of a metric apart; `repro` writes a failing part as a folder.
"""

from edgeskin.converters.parity.compare import (
    Reference,
    agree,
    report,
    verify,
    worst_drop,
    worst_mae_rise,
)

__all__ = ["Reference", "agree", "report", "verify", "worst_drop", "worst_mae_rise"]
