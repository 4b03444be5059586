"""A part of a model file as a file of its own: other inputs, other outputs, the same operators.

Both views of a network's inside are made this way: one file whose outputs are
all inner tensors of interest, and one small file a layer. Either is then run by
its runtime as any other file is, so that what is measured are the kernels that
ship, and not a debugging mode of the interpreter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol


class Cutter(Protocol):
    """A file opened for cutting. Tensors are called as in the `Network` of the same file.

    `integers` says whether a part can begin and end with quantized tensors.
    """

    integers: bool

    def cut(self, inputs: Sequence[str], outputs: Sequence[str], out: Path) -> None:
        """Write `out`: what computes `outputs` from `inputs`, and constants.

        Raises:
            InvalidArtifact: An output depends on an input of the file that is
                not among `inputs`.
        """
        ...


def needed(
    operators: Sequence[tuple[Iterable[str], Iterable[str]]],
    inputs: Sequence[str],
    outputs: Sequence[str],
) -> list[int]:
    """Which of `operators`, each (what it reads, what it makes), lead from inputs to outputs."""
    ends, wanted, indices = set(inputs), set(outputs) - set(inputs), []
    for index in range(len(operators) - 1, -1, -1):
        reads, makes = operators[index]
        if wanted.intersection(makes):
            indices.append(index)
            wanted.update(name for name in reads if name not in ends)
    return indices[::-1]
