"""What networks that run in torch answer, as arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgeskin.errors import EdgeskinError, InvalidRun
from edgeskin.sources.source_model import SourceTensor


class FlatOutputs(nn.Module):
    """A network whose result, a tensor, a sequence or a mapping of tensors, is made a tuple."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return flat(self.network(x))[0]


def flat(result: Any) -> tuple[tuple[Tensor, ...], tuple[str, ...]]:
    """The tensors of a network's result, and their names; a mapping's are its keys.

    Raises:
        InvalidRun: It holds anything but tensors.
    """
    if isinstance(result, Tensor):
        return (result,), unnamed(1)
    if isinstance(result, Mapping):
        names, values = tuple(map(str, result)), tuple(result.values())
    elif isinstance(result, Sequence) and not isinstance(result, str):
        values = tuple(result)
        names = unnamed(len(values))
    else:
        raise InvalidRun(f"the network returns a {type(result).__name__}, not tensors")
    for name, value in zip(names, values, strict=True):
        if not isinstance(value, Tensor):
            raise InvalidRun(
                f"the network's output '{name}' is a {type(value).__name__}, not a tensor. Wrap "
                "it in a module that returns a tensor, a tuple or a dict of tensors."
            )
    return values, names


def unnamed(count: int) -> tuple[str, ...]:
    """What outputs are called that their network gives no names."""
    return ("output",) if count == 1 else tuple(f"output_{index}" for index in range(count))


def answering(network: nn.Module) -> Callable[[NDArray[Any]], tuple[NDArray[Any], ...]]:
    """`SourceModel.answer` of a network in torch."""

    def answer(image: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        with torch.inference_mode():
            values, _ = flat(network(torch.from_numpy(np.ascontiguousarray(image))))
        return tuple(value.numpy() for value in values)

    return answer


def output_tensors(
    network: nn.Module, shape: Sequence[int], names: Sequence[str] = (), *, where: str
) -> tuple[SourceTensor, ...]:
    """Run a blank image of `shape` and say what comes out.

    Args:
        names: Of the outputs, where the source has some; "" where it has none.

    Raises:
        InvalidRun: The network fails on it, or gives anything but tensors.
    """
    try:
        with torch.inference_mode():
            values, own = flat(network(torch.zeros(*shape)))
    except EdgeskinError:
        raise
    except Exception as error:  # somebody else's code may raise anything
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InvalidRun(
            f"{where} fails on an image of {tuple(shape)}: {type(error).__name__}: {why}"
        ) from error
    given = names if len(names) == len(values) else own
    return tuple(
        SourceTensor(name or mine, tuple(value.shape))
        for name, mine, value in zip(given, own, values, strict=True)
    )
