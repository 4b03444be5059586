"""From a trained float network to a quantized program.

This package holds tables only; `calibrate.calibrate` does the work, and
`program` reads and writes the result.
"""

from edgeskin.calibration.schemes import METHODS, SCHEMES, Scheme

__all__ = ["METHODS", "SCHEMES", "Scheme"]
