"""Modules and files of torch, all the way to runs that compute what they compute."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import helper, numpy_helper
from onnx_graphs import save_model
from small_network import SIZE, make_network
from tiny_network import network, tiny_spec
from torch import Tensor, nn
from torch.nn import functional as F

import edgeskin
from edgeskin.errors import CannotWrite, InvalidRun, InvalidSpec, ShapeMismatch
from edgeskin.models.exported import ExportedNetwork
from edgeskin.models.run import load_run
from edgeskin.sources import importing
from edgeskin.sources.found import find
from edgeskin.sources.importing import import_run, spec_of
from edgeskin.sources.source_model import Step
from edgeskin.sources.spec_answers import HeadAnswer, SpecAnswers, parse_head
from edgeskin.spec import DistributionHead

GIVEN = SpecAnswers(normalization="imagenet")
SIZES = (SIZE, SIZE)


class Named(nn.Module):
    """Outputs by name: probabilities, a mask that ends in sigmoid, features."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 8, 3, 2, 1)
        self.grade = nn.Linear(8, 3)
        self.pixels = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = self.body(x).relu()
        features = y.mean((2, 3))
        grades = self.grade(features).softmax(1)
        return {"grade": grades, "mask": self.pixels(y).sigmoid(), "features": features}


def files(folder: Path) -> dict[str, Path]:
    """The small network as torch writes networks."""
    made = make_network()
    one = torch.zeros(1, 3, *SIZES)
    open_batch = {"x": {0: torch.export.Dim("batch", min=1, max=8)}}
    places = {
        name: folder / f"{name}.anything" for name in ("static", "open", "traced", "scripted")
    }
    torch.export.save(torch.export.export(made, (one,)), places["static"])
    exported = torch.export.export(made, (one.repeat(2, 1, 1, 1),), dynamic_shapes=open_batch)
    torch.export.save(exported, places["open"])
    torch.jit.trace(made, one).save(places["traced"])
    torch.jit.script(made).save(places["scripted"])
    return places


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch, of its own formats
        return files(tmp_path_factory.mktemp("torch"))


@pytest.mark.parametrize("kind", ["static", "open", "traced", "scripted"])
def test_files_of_torch_become_runs_that_compute_the_same(
    kind: str, places: dict[str, Path], tmp_path: Path
) -> None:
    size = SIZES if kind in ("traced", "scripted") else None
    report = import_run(places[kind], None, tmp_path / "run", answers=GIVEN, input_size=size)
    assert report.sqnr_db is not None
    assert report.sqnr_db > 100
    run = load_run(tmp_path / "run")
    assert isinstance(run.network, ExportedNetwork)
    x = torch.rand(2, 3, *SIZES)
    for ours, theirs in zip(run.network(x), make_network()(x), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    names = {name for name, _ in run.network.network.named_parameters()}
    assert "stem.weight" in names  # as its author called it


def test_a_run_of_a_graph_is_calibrated_and_holds_no_code(
    places: dict[str, Path], tmp_path: Path
) -> None:
    import_run(places["static"], None, tmp_path / "run", answers=GIVEN)
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["network.pt2", "spec.json"]
    assert load_run(tmp_path / "run").spec.arch == ""
    from edgeskin.calibration.calibrate import calibrate_network

    run = load_run(tmp_path / "run")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, *SIZES, 3), dtype=np.uint8)
    program = calibrate_network(run.network, run.spec, images, method="minmax")
    assert program.scheme == "w8a8"


def test_a_damaged_graph_is_one_line(places: dict[str, Path], tmp_path: Path) -> None:
    import_run(places["static"], None, tmp_path / "run", answers=GIVEN)
    graph = tmp_path / "run" / "network.pt2"
    graph.write_bytes(graph.read_bytes()[:-400])
    with pytest.raises(InvalidRun, match=r"network\.pt2 is damaged .*Import the network again"):
        load_run(tmp_path / "run")


def test_a_distribution_loses_its_softmax(tmp_path: Path) -> None:
    """As age models end: a probability for each year."""
    torch.manual_seed(0)
    body = (nn.Conv2d(3, 8, 3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 101))
    module = nn.Sequential(*body, nn.Softmax(1)).eval()
    age = parse_head("age=distribution:years:18:0.5")
    answers = SpecAnswers(normalization="imagenet", heads=(age,))
    import_run(module, None, tmp_path / "run", answers=answers, input_size=SIZES)
    run, x = load_run(tmp_path / "run"), torch.rand(1, 3, *SIZES)
    [head] = run.spec.heads
    assert head == DistributionHead(name="age", first=18, step=0.5, size=101, unit="years")
    [logits] = run.network(x)
    torch.testing.assert_close(logits, module[:-1](x))


def test_outputs_by_name_lose_their_last_activation(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Named()
    report = import_run(module, None, tmp_path / "run", answers=GIVEN, input_size=SIZES)
    run = load_run(tmp_path / "run")
    kinds = [(head.name, head.kind) for head in run.spec.heads]
    assert kinds == [
        ("grade", "classification"),
        ("mask", "segmentation"),
        ("features", "embedding"),
    ]
    assert run.spec.heads[1].activation == "sigmoid"
    assert any("softmax" in line for line in report.guessed)
    x = torch.rand(1, 3, *SIZES)
    grade, mask, features = run.network(x)
    with torch.no_grad():
        theirs = module(x)
    torch.testing.assert_close(grade.softmax(1), theirs["grade"])
    torch.testing.assert_close(mask.sigmoid(), theirs["mask"])
    torch.testing.assert_close(features, theirs["features"])


def test_heads_called_after_outputs_choose_them(tmp_path: Path) -> None:
    answers = SpecAnswers(
        normalization="imagenet",
        heads=(HeadAnswer("mask"), HeadAnswer("grade")),
        labels={"grade": ("a", "b", "c")},
    )
    import_run(Named(), None, tmp_path / "run", answers=answers, input_size=SIZES)
    run = load_run(tmp_path / "run")
    assert [head.name for head in run.spec.heads] == ["mask", "grade"]
    assert run.spec.heads[1].labels == ("a", "b", "c")
    shapes = [tuple(out.shape) for out in run.network(torch.zeros(1, 3, *SIZES))]
    assert shapes == [(1, 2, SIZE // 2, SIZE // 2), (1, 3)]


class Last(nn.Module):
    """Takes NHWC, of three colours or of grey, and gives a map with its channels last."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 3, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).softmax(-1)


@pytest.mark.parametrize("channels", [3, 1])
def test_channels_that_come_last_and_grey(channels: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    exported = torch.export.export(Last(channels).eval(), (torch.zeros(1, 24, 40, channels),))
    torch.export.save(exported, tmp_path / "last.pt2")
    import_run(tmp_path / "last.pt2", None, tmp_path / "run", answers=GIVEN)
    run = load_run(tmp_path / "run")
    [raw] = run.network(torch.zeros(1, 3, 24, 40))
    assert raw.shape == (1, 3, 24, 40)
    assert (run.spec.input.height, run.spec.input.width) == (24, 40)
    moves = [n for n in run.network.network.graph.nodes if "permute" in str(n.target)]
    assert not moves  # the graph that an author of torch would have written


class Flattened(nn.Module):
    """Pixels that are flattened in the order of NHWC, as networks of Keras do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).reshape(1, -1)


def test_what_lies_flat_in_nhwc_is_flattened_in_that_order(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Flattened().eval()
    torch.export.save(torch.export.export(network, (torch.zeros(1, 8, 6, 3),)), tmp_path / "f.pt2")
    import_run(tmp_path / "f.pt2", None, tmp_path / "run", answers=GIVEN)
    x = torch.rand(1, 3, 8, 6)
    [raw] = load_run(tmp_path / "run").network(x)
    torch.testing.assert_close(raw, network(x.permute(0, 2, 3, 1)), rtol=1e-5, atol=1e-5)


class NoBatch(nn.Module):
    """Scores as a bare vector, and letters of which time comes first."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 7, 3, 1, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = self.conv(x)
        return {"scores": y.mean((2, 3)).squeeze(0), "letters": y.mean(2).permute(2, 0, 1)}


def test_outputs_without_a_batch_keep_all_their_values(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = NoBatch().eval()
    import_run(network, None, tmp_path / "run", answers=GIVEN, input_size=(8, 6))
    run, x = load_run(tmp_path / "run"), torch.rand(1, 3, 8, 6)
    assert [(head.name, head.kind) for head in run.spec.heads] == [
        ("scores", "classification"),
        ("letters", "tensor"),
    ]
    scores, letters = run.network(x)
    assert letters.shape == (1, 6, 1, 7)
    torch.testing.assert_close(scores[0], network(x)["scores"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(letters[0], network(x)["letters"], rtol=1e-5, atol=1e-5)


def test_a_mask_of_nothing_is_compared_by_both_of_its_answers(tmp_path: Path) -> None:
    """ONNX Runtime's sigmoid gives 0 where its exact value is 1e-17: no operator is to blame."""
    weight = numpy_helper.from_array(np.full((1, 3, 1, 1), 0.1, np.float32), "w")
    bias = numpy_helper.from_array(np.array([-40.0], np.float32), "b")
    nodes = [
        helper.make_node("Conv", ["image", "w", "b"], ["maps"]),
        helper.make_node("Sigmoid", ["maps"], ["y"]),
    ]
    path = save_model(tmp_path / "mask.onnx", nodes, [weight, bias], ["y"])
    assert import_run(path, None, tmp_path / "run", answers=GIVEN).sqnr_db > 140.0


def test_a_given_spec_is_taken_as_it_is(tmp_path: Path) -> None:
    import_run(copy.deepcopy(network("fp32")), tiny_spec(), tmp_path / "run")
    assert load_run(tmp_path / "run").spec == tiny_spec(arch="")


def test_what_nobody_says_is_named_in_one_line(tmp_path: Path) -> None:
    small = make_network()
    with pytest.raises(InvalidRun, match="what images it takes: --input-size"):
        import_run(small, None, tmp_path / "run")
    with pytest.raises(InvalidSpec, match="--normalization imagenet, zero-to-one"):
        import_run(small, None, tmp_path / "run", input_size=SIZES)
    with pytest.raises(ShapeMismatch, match=r"gives 2 outputs .* --head names 1 heads"):
        answers = SpecAnswers(normalization="bytes", heads=(HeadAnswer("a"),))
        import_run(small, None, tmp_path / "run", answers=answers, input_size=SIZES)
    with pytest.raises(ShapeMismatch, match="'label_0' has 4 classes, 3 labels are given: a, b, c"):
        answers = SpecAnswers(normalization="bytes", labels={"label_0": ("a", "b", "c")})
        named = (HeadAnswer("label_0"), HeadAnswer("count"))
        import_run(
            small,
            None,
            tmp_path / "run",
            answers=SpecAnswers(**{**vars(answers), "heads": named}),
            input_size=SIZES,
        )
    assert not list(tmp_path.iterdir())


def test_a_question_is_asked_once(tmp_path: Path) -> None:
    asked: list[int] = []

    def ask() -> str:
        asked.append(1)
        return "bytes"

    import_run(make_network(), None, tmp_path / "run", input_size=SIZES, ask=ask)
    assert asked == [1]
    assert load_run(tmp_path / "run").spec.input.std == (1 / 255,) * 3


@pytest.mark.parametrize(
    ("values", "mean", "std"),
    [
        (torch.linspace(0, 1, 9), 0.0, 1.0),
        (torch.linspace(-1, 1, 9), 0.5, 0.5),
        (torch.linspace(0, 255, 9), 0.0, 1 / 255),
        (torch.linspace(-2.1, 2.6, 9), 0.485, 0.229),
        (torch.linspace(-7, 7, 9), None, None),
        (torch.zeros(9), None, None),
    ],
)
def test_the_values_of_an_example_tell_how_pixels_are_normalised(
    values: Tensor, mean: float | None, std: float | None, tmp_path: Path
) -> None:
    example = values[:1].new_zeros(1, 3, *SIZES) + values[torch.arange(SIZE) % 9]

    def spec() -> edgeskin.Spec:
        import_run(make_network(), None, tmp_path / "run", example=example)
        return load_run(tmp_path / "run").spec

    if mean is None:
        with pytest.raises(InvalidSpec, match="--normalization"):
            spec()
    else:
        assert (spec().input.mean[0], spec_std(tmp_path)) == (mean, std)


def spec_std(folder: Path) -> float:
    return load_run(folder / "run").spec.input.std[0]


def test_outputs_that_are_no_tensors_are_named(tmp_path: Path) -> None:
    class Deep(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Any]:
            return {"a": {"b": x}}

    with pytest.raises(InvalidRun, match="output 'a' is a dict, not a tensor. Wrap it"):
        import_run(Deep(), None, tmp_path / "run", answers=GIVEN, input_size=SIZES)


def test_a_branch_on_values_is_named(tmp_path: Path) -> None:
    class Branches(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean((2, 3)) if x.sum() > 0 else x.amax((2, 3))

    with pytest.raises(InvalidRun, match="Branches cannot be exported to a graph: .*"):
        import_run(Branches(), None, tmp_path / "run", answers=GIVEN, input_size=SIZES)


def test_an_import_that_computes_something_else_is_refused(
    monkeypatch: pytest.MonkeyPatch, places: dict[str, Path], tmp_path: Path
) -> None:
    """A graph that is spoilt on the way is caught, and its first operator named."""
    right = importing.without_transposes

    def wrong(graph: torch.fx.GraphModule) -> torch.fx.GraphModule:
        made = right(graph)
        for node in made.graph.find_nodes(op="call_function", target=torch.ops.aten.relu.default):
            node.target = torch.ops.aten.sigmoid.default
        made.recompile()
        return made

    monkeypatch.setattr(importing, "without_transposes", wrong)
    with pytest.raises(InvalidRun, match=r"agrees to \d+\.\d dB, at least 90 dB are asked"):
        import_run(places["static"], None, tmp_path / "run", answers=GIVEN)
    one = np.ones(4, np.float32)
    steps = [Step("Conv 'a'", one, one), Step("Relu 'b'", one, -one), Step("Add 'c'", one, -one)]
    opened = find(places["static"])
    shown = replace(opened, model=replace(opened.model, steps=lambda image: iter(steps)))
    monkeypatch.setattr(importing, "find", lambda *_, **__: shown)
    with pytest.raises(InvalidRun, match="The first operator that differs is Relu 'b'"):
        import_run(places["static"], None, tmp_path / "run", answers=GIVEN)
    assert not (tmp_path / "run").exists()


def test_an_existing_run_stays(places: dict[str, Path], tmp_path: Path) -> None:
    import_run(places["static"], None, tmp_path / "run", answers=GIVEN)
    with pytest.raises(CannotWrite, match="exists already"):
        import_run(places["static"], None, tmp_path / "run", answers=GIVEN)


def test_operators_of_a_library_are_counted(tmp_path: Path) -> None:
    from torchvision.ops import roi_pool

    class Pooled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            pooled: Tensor = roi_pool(x, torch.zeros(1, 5), 2)
            return pooled

    exported = torch.export.export(Pooled(), (torch.zeros(1, 3, 8, 8),))
    torch.export.save(exported, tmp_path / "pool.pt2")
    said = (
        r"none of torch's own operators: torch\.ops\.torchvision\.roi_pool\.default \(1\)\. Export"
    )
    with pytest.raises(InvalidRun, match=said):
        import_run(tmp_path / "pool.pt2", None, tmp_path / "run", answers=GIVEN)


def test_several_inputs_are_refused(tmp_path: Path) -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x + y

    one = torch.zeros(1, 3, *SIZES)
    torch.export.save(torch.export.export(Two(), (one, one)), tmp_path / "two.pt2")
    with pytest.raises(InvalidRun, match=r"takes 2 inputs \(x, y\)"):
        import_run(tmp_path / "two.pt2", None, tmp_path / "run", answers=GIVEN)


def test_the_spec_alone(places: dict[str, Path]) -> None:
    guessed = spec_of(places["static"], answers=GIVEN)
    assert guessed.spec.name == "static"
    assert [head.kind for head in guessed.spec.heads] == ["classification", "classification"]
    assert any("labels made up" in line for line in guessed.said)


def test_a_module_converts_from_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As from a notebook: no run, no spec, files in the current folder."""
    monkeypatch.chdir(tmp_path)
    lines: list[str] = []
    example = torch.rand(1, 3, *SIZES)
    [artifact] = edgeskin.convert(make_network(), target="onnx", example=example, say=lines.append)
    assert artifact.path.name == "SmallNet-fp32.onnx"
    assert any("0 to 1" in line for line in lines)
    with edgeskin.load(artifact.path) as predictor:
        assert set(predictor.run(np.zeros((*SIZES, 3), np.uint8))) == {"label_0", "label_1"}


def test_an_activation_that_the_head_does_not_have_is_refused(tmp_path: Path) -> None:
    class Sigmoids(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.sigmoid(x.mean((2, 3)))

    answers = SpecAnswers(normalization="bytes", heads=(HeadAnswer("grade", "classification"),))
    with pytest.raises(InvalidSpec, match="ends in sigmoid already: give it the kind multilabel"):
        import_run(Sigmoids(), None, tmp_path / "run", answers=answers, input_size=SIZES)


def test_a_spec_of_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShapeMismatch, match="the spec says images of 40 x 48, Tiny takes 64 x 64"):
        import_run(
            copy.deepcopy(network("fp32")), tiny_spec(), tmp_path / "run", input_size=(64, 64)
        )


def test_a_network_by_name_is_a_graph_where_its_outputs_are_called_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torchvision's segmenters give a dict with 'out'; the head may have a better name."""
    import sys

    monkeypatch.setitem(sys.modules, "named_network", sys.modules[__name__])
    torch.manual_seed(0)
    torch.save(Named().state_dict(), tmp_path / "w.pth")
    answers = SpecAnswers(
        normalization="imagenet",
        heads=(HeadAnswer("stage"), HeadAnswer("area"), HeadAnswer("vector")),
    )
    import_run(
        "named_network:Named",
        None,
        tmp_path / "run",
        weights=tmp_path / "w.pth",
        answers=answers,
        input_size=SIZES,
        trust=True,
    )
    run = load_run(tmp_path / "run")
    assert [head.name for head in run.spec.heads] == ["stage", "area", "vector"]
    assert isinstance(run.network, ExportedNetwork)
