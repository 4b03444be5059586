"""Latency, placement and SQNR by operator, as custom node data of Model Explorer.

A file holds one set of values by node, in the form of one graph (`{"results": {NODE: ...}}`), which
Model Explorer (google-ai-edge/model-explorer) lays over the graph that is open. A node of a .tflite
file is called after its operator's place in the file, one of an .onnx file (by the extension
`model-explorer-onnx`) by its own name; every name is looked up in the file itself.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeskin.benchmarks.report.collect import Found
from edgeskin.benchmarks.report.file_layers import FileLayers, read_layers
from edgeskin.benchmarks.report.timed_parts import TimedPart, timed_parts
from edgeskin.benchmarks.report.viewers.operator_times import NodeTimes, node_times
from edgeskin.errors import InvalidArtifact, InvalidResult, UnknownName
from edgeskin.files import sha256, write_texts
from edgeskin.formats import FORMATS, format_of, is_artifact
from edgeskin.formats.network import Network

_PALE, _STRONG, _TEXT = "#fff9db", "#f28e5b", "#000000"
"""Colours of the gradients' ends, and of the text on all between them."""
_PLACES = ("#9ecae1", "#fdae6b", "#a1d99b", "#bcbddc", "#d9d9d9")
"""Of what runs an operator, in the order in which they come."""
_BAD = "#ff6b6b"


@dataclass(frozen=True)
class NodeData:
    """A set of values by node of one file, and what it is called.

    Attributes:
        kind: "latency", "placement", "sqnr" or "own-sqnr"; the file is called STEM.KIND.json.
        name: For a person.
        values: By node; numbers or words.
        colours: By node, where they do not follow from the values.
        high_is_bad: Of numbers: which end is painted strong.
    """

    stem: str
    kind: str
    name: str
    values: Mapping[str, float | str]
    colours: Mapping[str, str]
    high_is_bad: bool = True

    def to_json(self) -> dict[str, object]:
        """As Model Explorer reads it."""
        results = {
            node: {
                "value": value,
                **({"bgColor": self.colours[node]} if node in self.colours else {}),
            }
            for node, value in self.values.items()
        }
        document: dict[str, object] = {"name": self.name, "results": results}
        if not any(isinstance(value, str) for value in self.values.values()):
            ends = (_PALE, _STRONG) if self.high_is_bad else (_STRONG, _PALE)
            document["gradient"] = [
                {"stop": stop, "bgColor": colour, "textColor": _TEXT}
                for stop, colour in enumerate(ends)
            ]
        return document


def write_node_data(
    found: Sequence[Found],
    artifacts: Iterable[Path],
    layers: Iterable[Path],
    folder: Path,
    *,
    force: bool = False,
) -> list[Path]:
    """Write a file a set of values into `folder`, for each result and each document of layers.

    Args:
        artifacts: The files that were measured, and folders that hold them.
        layers: What `edgeskin verify --layers --json` printed.

    Returns:
        The files.

    Raises:
        UnknownName: No artifact is given.
        InvalidResult: A document has no layers, a file is not among the artifacts, nothing is known
            by operator, or two results would be one file.
        InvalidArtifact: A file is damaged.
        CannotWrite: A file exists and `force` is False, or the operating system refuses.
    """
    known = _Artifacts(artifacts)
    made = [data for part in timed_parts(found) for data in _of_result(part, known)]
    made += [data for path in layers for data in _of_layers(path, known)]
    if not made:
        raise InvalidResult(
            "no result says anything by operator: bench with a protocol other than none, or give "
            "--layers"
        )
    paths = [folder / f"{data.stem}.{data.kind}.json" for data in made]
    if twice := [path for path in paths if paths.count(path) > 1]:
        raise InvalidResult(
            f"{twice[0]} would be of two results, whose files are called alike: export them by "
            "themselves, into folders of their own"
        )
    texts = (json.dumps(data.to_json(), allow_nan=False) for data in made)
    write_texts(dict(zip(paths, texts, strict=True)), force=force)
    return paths


class _Artifacts:
    """Model files, found by hash or by name, and read once."""

    def __init__(self, paths: Iterable[Path]):
        files = [file for path in paths for file in _files(path)]
        if not files:
            raise UnknownName(
                "--model-explorer needs the files that were measured: --artifact FILE or FOLDER"
            )
        self._files = {sha256(file): file for file in files}
        self._networks: dict[Path, Network] = {}

    def measured(self, part: TimedPart) -> Path:
        artifact = part.result.artifact
        if (path := self._files.get(artifact.sha256)) is None:
            raise InvalidResult(
                f"{part.stem} was measured on {artifact.name} of sha256 {artifact.sha256[:16]}..., "
                "which is not among --artifact"
            )
        return path

    def of_layers(self, report: FileLayers, where: Path) -> Path:
        if (path := self._files.get(report.sha256 or "")) is not None:
            return path
        path = next(
            (file for file in self._files.values() if file.name == Path(report.artifact).name), None
        )
        if path is None or report.sha256 is not None:
            of = "" if report.sha256 is None else f" of sha256 {report.sha256[:16]}..."
            raise InvalidResult(
                f"{where} is of {report.artifact}{of}, which is not among --artifact"
            )
        return path

    def network(self, path: Path) -> Network:
        if path not in self._networks:
            with format_of(path).part("reader") as reader:
                self._networks[path] = reader.read(path)
        return self._networks[path]


def _files(path: Path) -> Iterator[Path]:
    if is_artifact(path):
        yield path
    elif path.is_dir():
        suffixes = tuple(each.suffix for each in FORMATS.values() if each.runner)
        yield from sorted(file for file in path.iterdir() if file.name.endswith(suffixes))
    else:
        raise InvalidArtifact(f"{path} is neither a model file nor a folder")


def _nodes(network: Network, path: Path) -> list[str]:
    """What Model Explorer calls each operator; empty where it would make a name up."""
    if format_of(path).name == "tflite":
        return [str(place) for place in range(len(network.operators))]
    return [op.node for op in network.operators]


def _of_result(part: TimedPart, known: _Artifacts) -> Iterator[NodeData]:
    if (latency := part.result.latency) is None:
        return
    path = known.measured(part)
    network = known.network(path)
    nodes, times = _nodes(network, path), node_times(latency.operators, network.operators)
    _check_length(times, nodes, part)
    if latency.operators.plan and not times.mean_ms:
        raise InvalidResult(
            f"{part.stem} names no operator of {path.name}, as an earlier edgeskin left it: run "
            "bench again"
        )
    mean_ms = {nodes[place]: ms for place, ms in sorted(times.mean_ms.items()) if nodes[place]}
    if mean_ms:
        share = f"{times.placed_share:.0%} of the operators' time"
        yield NodeData(part.stem, "latency", f"mean ms, {part.title}: {share}", mean_ms, colours={})
    placement = {nodes[i]: who for i, who in sorted(times.placement.items()) if nodes[i] and who}
    if placement:
        colour = dict(zip(dict.fromkeys(placement.values()), _PLACES, strict=False))
        colours = {node: colour[who] for node, who in placement.items() if who in colour}
        yield NodeData(part.stem, "placement", f"run by, {part.title}", placement, colours)


def _check_length(times: NodeTimes, nodes: Sequence[str], part: TimedPart) -> None:
    last = max((*times.mean_ms, *times.placement), default=-1)
    if last >= len(nodes):
        raise InvalidResult(
            f"{part.stem} tells of operator {last}, and {part.result.artifact.name} has "
            f"{len(nodes)}: the result is damaged"
        )


def _of_layers(document: Path, known: _Artifacts) -> Iterator[NodeData]:
    """SQNR from the input to each layer, and of each by itself; what agrees to the bit is left out.

    Model Explorer reads JSON, which has no infinity.
    """
    report = read_layers(document)
    path = known.of_layers(report, document)
    network = known.network(path)
    nodes = dict(zip(map(id, network.operators), _nodes(network, path), strict=True))
    sqnr, own, colours = dict[str, float](), dict[str, float](), dict[str, str]()
    for row in report.layers:
        producer = network.producer.get(row.tensor)
        if producer is None or not (node := nodes[id(producer)]):
            continue
        for values, value in ((sqnr, row.sqnr_db), (own, row.own_sqnr_db)):
            if math.isfinite(value):
                values[node] = value
        if row.name in report.bad:
            colours[node] = _BAD
    if not sqnr and not own:
        raise InvalidResult(f"{document}: none of its layers is a tensor of {path}")
    against = f"{path.name} against {report.reference}"
    for kind, words, values in (
        ("sqnr", "SQNR in dB up to here", sqnr),
        ("own-sqnr", "SQNR in dB by itself", own),
    ):
        marked = {node: colour for node, colour in colours.items() if node in values}
        yield NodeData(path.name, kind, f"{words}, {against}", values, marked, high_is_bad=False)
