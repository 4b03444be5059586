"""Zeros on one side, as TensorFlow pads for a stride, cost no step out of the integers."""

from __future__ import annotations

import torch
from samples import acne_spec
from tiny_network import LABELS
from torch import Tensor, nn
from torch.nn import functional as F

from edgeskin.calibration.calibrate import calibrate_network
from edgeskin.calibration.graphs import PADS, QUANTIZE, argument
from edgeskin.converters.selfcheck import images
from edgeskin.spec import ClassificationHead, InputSpec


class Padded(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.value = value
        self.stem, self.last = nn.Conv2d(3, 8, 3, 2), nn.Conv2d(8, 3, 3, 2)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        x = self.stem(F.pad(x, (0, 1, 0, 1))).relu()
        return (self.last(F.pad(x, (0, 1, 0, 1), value=self.value)).mean((2, 3)),)


SPEC = acne_spec(
    input=InputSpec(
        height=32, width=32, resize="squash", mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3)
    ),
    heads=(ClassificationHead(name="severity", labels=LABELS),),
)


def test_zeros_are_put_around_integers() -> None:
    samples = list(images(SPEC.input))[:4]
    program = calibrate_network(Padded(0.0), SPEC, samples, method="minmax")
    assert program.calibration.float_operators == {}
    pads = [node for node in program.module.graph.nodes if node.target in PADS]
    assert len(pads) == 2
    for pad in pads:  # its values move, they do not change: one range for both
        [before] = [argument(source, "scale") for source in pad.all_input_nodes]
        [after] = [argument(user, "scale") for user in pad.users if user.target is QUANTIZE]
        assert before == after


def test_another_value_may_be_outside_of_the_range() -> None:
    samples = list(images(SPEC.input))[:4]
    program = calibrate_network(Padded(-9.0), SPEC, samples, method="minmax")
    assert program.calibration.float_operators == {"pad": 1}
