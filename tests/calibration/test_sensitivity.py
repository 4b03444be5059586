"""How much INT8 hurts each part, by a simulation that is held to real calibration."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from small_network import make_network
from torch import Tensor, nn

from edgeskin.calibration import sensitivity as module
from edgeskin.calibration.accuracy_control import HeldOut, control_accuracy
from edgeskin.calibration.calibrate import Samples, calibrate_network, float_graph
from edgeskin.calibration.finalize import quantize_channels
from edgeskin.calibration.graphs import argument, attribute, layer_name, layers, operands
from edgeskin.calibration.options import CalibrationOptions
from edgeskin.calibration.program import Program
from edgeskin.calibration.sensitivity import (
    Parts,
    Simulation,
    outputs,
    sensitivity,
    simulated,
    sqnr_db,
)
from edgeskin.errors import NotBetter
from edgeskin.progress import silent
from edgeskin.spec import Spec

Images = list[NDArray[np.uint8]]


@pytest.fixture
def calibration(spec: Spec, images: Images) -> Sequence[Tensor]:
    return Samples(spec, images[:8])


@pytest.fixture
def held_out(spec: Spec, images: Images) -> Sequence[Tensor]:
    return [Samples(spec, images[8:])[i] for i in range(4)]


@pytest.fixture
def simulation(program: Program, spec: Spec, calibration: Sequence[Tensor]) -> Simulation:
    return Simulation(program, float_graph(make_network(), spec), calibration)


@pytest.mark.parametrize("exclude", [["reduce", "expand"], ["severity"]])
def test_a_simulation_is_the_program_that_calibration_gives(
    exclude: list[str], simulation: Simulation, spec: Spec, images: Images, held_out: list[Tensor]
) -> None:
    real = calibrate_network(make_network(), spec, images[:8], method="minmax", exclude=exclude)
    expected = outputs(real.module, held_out)
    # The same steps, scales and biases but for the rounding of their means: far above the 40 dB
    # that both have beside the float network.
    assert sqnr_db(expected, outputs(simulation(exclude), held_out)) > 80


@pytest.mark.parametrize("exclude", ["stem", "project"])
def test_a_simulation_is_as_near_where_tensors_no_longer_share_a_range(
    exclude: str, simulation: Simulation, spec: Spec, images: Images, held_out: list[Tensor]
) -> None:
    real = calibrate_network(make_network(), spec, images[:8], method="minmax", exclude=[exclude])
    reference = outputs(simulation.reference, held_out)
    measured = sqnr_db(reference, outputs(real.module, held_out))
    # Two roundings of one network, 4 images of 69 values: they differ by less than their halves.
    simulated_db = sqnr_db(reference, outputs(simulation([exclude]), held_out))
    assert simulated_db == pytest.approx(measured, abs=3)


def test_all_parts_in_float_are_the_float_network(
    simulation: Simulation, program: Program, held_out: list[Tensor]
) -> None:
    parts = Parts(program)
    everything = [pattern for name in parts.layers for pattern in parts.patterns(name)]
    reference = outputs(simulation.reference, held_out)
    assert sqnr_db(reference, outputs(simulated(program.module), held_out)) < 60
    assert sqnr_db(reference, outputs(simulation(everything), held_out)) > 100  # float32 alone


def test_the_part_with_the_coarsest_weights_is_the_most_sensitive(
    program: Program, spec: Spec, calibration: Sequence[Tensor], held_out: list[Tensor]
) -> None:
    reference = float_graph(make_network(), spec)
    graph = copy.deepcopy(program.module)
    stem, *_ = layers(graph)
    values = attribute(reference, operands(layers(reference)[0])[1])
    dequantize = operands(stem)[1]
    scales = attribute(graph, argument(dequantize, "scales"))
    quantize_channels(graph, dequantize, values, scales * 128)  # -1, 0 and 1 are left
    spoilt = replace(program, module=graph)
    table = sensitivity(Simulation(spoilt, reference, calibration), held_out)
    assert layer_name(stem) == table[0].part == "stem"
    assert table[0].alone_db < table[1].alone_db - 6  # twice the error of any other


def test_shares_are_those_of_the_shapes(simulation: Simulation, held_out: list[Tensor]) -> None:
    table = {row.part: row for row in sensitivity(simulation, held_out)}
    assert sum(row.multiply_adds for row in table.values()) == pytest.approx(1)
    assert sum(row.weights for row in table.values()) == pytest.approx(1)
    # stem 8 x 16 x 16 values of 3 x 3 x 3 products, depth of 3 x 3, project and last of 8 and 16
    # at 16 x 16 and 8 x 8, the gates of 8 and 4 once, two heads of 16.
    products = {"stem": 55296, "depth": 18432, "project": 16384, "last": 16384}
    total = sum(products.values()) + 32 + 32 + 16 * 4 + 16 * 65
    for part, count in products.items():
        assert table[part].multiply_adds == pytest.approx(count / total)
    weights = 216 + 72 + 32 + 32 + 64 + 256 + 64 + 16 * 65
    assert table["depth"].weights == pytest.approx(72 / weights)


def test_parts_are_blocks_where_layers_are_too_many(
    spec: Spec, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Blocks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1))
            self.second = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1))
            self.head = nn.Conv2d(4, 4, 1)

        def forward(self, x: Tensor) -> tuple[Tensor]:
            return (self.head(self.second(self.first(x))).mean((2, 3)),)

    program = calibrate_network(Blocks(), spec, images[:4])
    assert list(Parts(program).layers) == ["first.0", "first.2", "second.0", "second.2", "head"]
    monkeypatch.setattr(module, "MOST_PARTS", 4)
    parts = Parts(program)
    assert {name: len(found) for name, found in parts.layers.items()} == {
        "first": 2,
        "second": 2,
        "head": 1,
    }
    assert [parts.patterns(name) for name in parts.layers] == [["first.*"], ["second.*"], ["head"]]


class Control:
    """Accuracy control of the small network, and the patterns that it calibrated with."""

    def __init__(self, spec: Spec, images: Images):
        network = make_network()
        self.calls: list[tuple[str, ...]] = []
        self.spec, self.images = spec, images
        self.network, self.reference = network, float_graph(network, spec)

    def calibrated(self, patterns: Sequence[str]) -> Program:
        self.calls.append(tuple(patterns))
        return calibrate_network(self.network, self.spec, self.images[:8], exclude=patterns)

    def __call__(self, options: CalibrationOptions) -> Program:
        held_out = HeldOut(
            "val", self.spec, {}, self.reference, Samples(self.spec, self.images[8:])
        )
        samples = Samples(self.spec, self.images[:8])
        return control_accuracy(self.calibrated, options, samples, held_out, silent)


@pytest.fixture
def control(spec: Spec, images: Images) -> Control:
    return Control(spec, images)


def test_the_fewest_of_the_most_sensitive_parts_stay_in_float(
    control: Control, spec: Spec, images: Images
) -> None:
    first = control(CalibrationOptions(min_sqnr_db=0)).calibration.accuracy_control
    assert first is not None
    assert (first.parts, first.sqnr_db, control.calls) == ((), first.int8_sqnr_db, [()])

    wanted = first.int8_sqnr_db + 1
    program = control(CalibrationOptions(min_sqnr_db=wanted))
    record = program.calibration.accuracy_control
    assert record is not None
    kept = [part.part for part in record.kept]
    assert 0 < len(kept) < len(record.parts)
    assert kept == [part.part for part in record.parts[: len(kept)]]
    assert program.calibration.exclude == tuple(kept)
    alone = [part.alone_db for part in record.parts]
    assert alone == sorted(alone)
    assert record.sqnr_db >= wanted
    held_out = [Samples(spec, images[8:])[i] for i in range(4)]
    measured = sqnr_db(outputs(control.reference, held_out), outputs(program.module, held_out))
    assert measured == pytest.approx(record.sqnr_db, abs=0.01)
    # One part fewer is not enough, by the simulation that the choice was made with.
    simulation = Simulation(control.calibrated(()), control.reference, Samples(spec, images[:8]))
    fewer = outputs(simulation(kept[:-1]), held_out)
    assert sqnr_db(outputs(control.reference, held_out), fewer) < wanted


def test_what_half_of_the_network_in_float_cannot_give_is_refused(control: Control) -> None:
    with pytest.raises(NotBetter, match="asked for are 500 dB.*hold 50% of the multiply-adds"):
        control(CalibrationOptions(min_sqnr_db=500))
    assert control.calls == [()]


def test_a_record_goes_through_json(control: Control) -> None:
    record = control(CalibrationOptions(min_sqnr_db=0)).calibration
    assert type(record).from_json(record.to_json()) == record
