"""What `import` checks of a network by name before it becomes a run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from samples import acne_spec
from tiny_network import Tiny, tiny_spec
from torch import Tensor, nn

from edgeskin.errors import InvalidRun, InvalidSpec, ShapeMismatch
from edgeskin.models.architectures import Foreign
from edgeskin.models.output_shapes import check_outputs
from edgeskin.models.run import load_run
from edgeskin.sources.importing import import_run


class Answers(nn.Module):
    """A network that gives tensors of the shapes it was told, whatever the image."""

    def __init__(self, *shapes: tuple[int, ...]) -> None:
        super().__init__()
        self.shapes = shapes

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.zeros(shape) for shape in self.shapes)


GOOD = ((1, 3), (1, 9), (1, 1), (1, 2, 20, 24))


def test_each_kind_of_head_has_its_shape() -> None:
    check_outputs(tiny_spec(), Answers(*GOOD))
    check_outputs(tiny_spec(), Answers(*GOOD[:3], (1, 2, 5, 7)))  # a mask of any size
    check_outputs(tiny_spec(), Tiny().eval())


@pytest.mark.parametrize(
    ("place", "shape", "line"),
    [
        (0, (1, 4), r"head 'severity' asks for 1 x 3, .* gives \(1, 4\)"),
        (0, (3,), r"head 'severity' asks for 1 x 3, .* gives \(3,\)"),
        (1, (1, 10), r"head 'count' asks for 1 x 9"),
        (2, (1,), r"head 'area' asks for 1 x 1, .* gives \(1,\)"),
        (3, (1, 20, 24, 2), r"head 'mask' asks for 1 x 2 x \? x \?"),
        (3, (1, 2), r"head 'mask' asks for 1 x 2 x \? x \?, .* gives \(1, 2\)"),
    ],
)
def test_a_wrong_shape_is_named(place: int, shape: tuple[int, ...], line: str) -> None:
    shapes = [*GOOD[:place], shape, *GOOD[place + 1 :]]
    with pytest.raises(ShapeMismatch, match=line):
        check_outputs(tiny_spec(), Answers(*shapes))


def test_an_output_too_few() -> None:
    with pytest.raises(ShapeMismatch, match="gives 3 outputs, the spec 4 heads"):
        check_outputs(tiny_spec(), Answers(*GOOD[:3]))


def test_a_mapping_is_read_by_head_names_in_the_order_of_the_spec() -> None:
    class Names(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"b": x + 1, "extra": x, "a": x}

    a, b = Foreign(Names(), ("a", "b"))(torch.zeros(2))
    assert (a.sum(), b.sum()) == (0.0, 2.0)


def test_outputs_that_are_no_tensors() -> None:
    class Gives(nn.Module):
        def __init__(self, answer: object) -> None:
            super().__init__()
            self.answer = answer

        def forward(self, x: Tensor) -> object:
            return self.answer

    spec = acne_spec(heads=acne_spec().heads[:1])
    with pytest.raises(ShapeMismatch, match="'severity' asks for a tensor, .* gives a str"):
        check_outputs(spec, Foreign(Gives(["mild"]), ("severity",)))
    with pytest.raises(InvalidRun, match=r"fails on an image of .*: TypeError"):
        check_outputs(spec, Foreign(Gives(None), ("severity",)))


class Tied(nn.Module):
    """Two layers that share one weight, which safetensors does not store twice by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.last = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y = self.last(self.second(self.first(x.mean(dim=(2, 3)))))
        return (y,)


def test_tied_weights_and_half_precision_survive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "tied_network", sys.modules[__name__])
    torch.manual_seed(0)
    state = {name: tensor.half() for name, tensor in Tied().state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "w.pth")
    spec = acne_spec(heads=acne_spec().heads[:1])
    (tmp_path / "spec.json").write_text(spec.to_json())
    files = (tmp_path / "spec.json", tmp_path / "run")
    import_run("tied_network:Tied", *files, weights=tmp_path / "w.pth")
    network = load_run(tmp_path / "run").network.network
    assert network.first.weight is network.second.weight
    assert network.first.weight.dtype == torch.float32
    assert torch.equal(network.last.weight, state["last.weight"].float())


def test_a_missing_spec_is_named(tmp_path: Path) -> None:
    torch.save(Tied().state_dict(), tmp_path / "w.pth")
    with pytest.raises(InvalidSpec, match=r"spec\.json is missing"):
        import_run("x:y", tmp_path / "spec.json", tmp_path / "run", weights=tmp_path / "w.pth")
    assert not (tmp_path / "run").exists()
