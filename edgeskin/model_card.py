"""The model card beside converted files: what the model is for, its limits, and what was measured.

`convert` writes `NAME.card.md` from the run and its spec; `verify` adds what it found.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from edgeskin.artifacts import ManifestEntry, read_manifest, read_metadata
from edgeskin.converters.parity.documents import Verification
from edgeskin.errors import InvalidArtifact, InvalidResult, InvalidSpec
from edgeskin.evaluation import Evaluation
from edgeskin.files import atomic
from edgeskin.spec import (
    ClassificationHead,
    DistributionHead,
    EmbeddingHead,
    Head,
    RegressionHead,
    SegmentationHead,
    Spec,
    TensorHead,
)
from edgeskin.version import __version__

TEMPLATE = Path(__file__).with_name("model_card.md.jinja")
METRICS = "metrics.json"


def card_path(folder: Path, spec: Spec) -> Path:
    return folder / f"{spec.name}.card.md"


def write_card(folder: Path, spec: Spec, source: Path) -> Path:
    """Write the card of the files of `folder` that are of this model, over an earlier one.

    Args:
        source: The run or the program that they were made from; a run brings its metrics.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    record = _record(source)
    split, measured = _measured(record)
    files = list(_files_of(folder, spec))
    text = template.render(
        spec=spec,
        version=__version__,
        started_from=record.get("started_from", ""),
        resize=_resize(spec),
        heads=[_words(head) for head in spec.heads],
        files=files,
        split=split,
        images=measured.images if measured else 0,
        metrics=list(measured.metrics.items()) if measured else [],
        verified=list(_verified(files)),
        commands=_commands(spec, source, files),
    )
    path = card_path(folder, spec)
    with atomic(path, force=True) as fresh:
        fresh.write_text(text, encoding="utf-8")
    return path


def refresh_card(artifact: Path, spec: Spec, source: Path) -> None:
    """Write the card beside a file again, where there is one and `source` brings its metrics."""
    folder = artifact.parent
    if (source / METRICS).is_file() and card_path(folder, spec).is_file():
        write_card(folder, spec, source)


def _record(source: Path) -> dict[str, object]:
    """`metrics.json` of a run that was trained here; empty of all else."""
    try:
        record = json.loads((source / METRICS).read_bytes())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _measured(record: dict[str, object]) -> tuple[str, Evaluation | None]:
    """The split of the test figures, or of those of val where there is no test, and the figures."""
    for split in ("test", "val"):
        try:
            if record.get(split):
                return split, Evaluation.from_json(record[split])
        except InvalidResult:
            continue
    return "", None


def _files_of(folder: Path, spec: Spec) -> Iterator[tuple[str, ManifestEntry]]:
    for name, entry in read_manifest(folder).items():
        try:
            if read_metadata(folder / name).spec.name == spec.name:
                yield name, entry
        except (InvalidArtifact, InvalidSpec):  # gone or changed: `inspect` says so, not a card
            continue


def _verified(files: list[tuple[str, ManifestEntry]]) -> Iterator[tuple[str, str, Verification]]:
    for name, entry in files:
        for where, document in (entry.verification or {}).items():
            try:
                yield name, where, Verification.from_json(document)
            except InvalidResult:  # a comparison of two files has no task metrics
                continue


def _resize(spec: Spec) -> str:
    size = spec.input
    match size.resize:
        case "shortest_edge":
            return f"the shorter edge scaled to {size.resize_to} pixels, the centre cut out"
        case "squash":
            return "scaled, the aspect ratio lost"
    return f"scaled to fit inside, the rest filled with {size.pad_value}"


def _words(head: Head) -> str:
    """One output, as a person reads it."""
    match head:
        case ClassificationHead():
            kind = "one of" if head.activation == "softmax" else "any of"
            return f"`{head.name}`: probabilities of {kind} {', '.join(head.labels)}"
        case SegmentationHead():
            return f"`{head.name}`: probabilities a pixel of {', '.join(head.labels)}"
        case DistributionHead():
            last = head.first + head.step * (head.size - 1)
            grades = "" if head.ranges is None else f"; grades {', '.join(head.ranges.labels)}"
            return (
                f"`{head.name}`: {head.unit}, a distribution over {head.first:g} to {last:g} and "
                f"its mean{grades}"
            )
        case RegressionHead():
            return f"`{head.name}`: {head.unit}"
        case EmbeddingHead():
            return f"`{head.name}`: a vector of {head.size} values"
        case TensorHead():
            return f"`{head.name}`: {' x '.join(map(str, head.shape)) or 'one'} values {head.unit}"


def _commands(spec: Spec, source: Path, files: list[tuple[str, ManifestEntry]]) -> list[str]:
    precisions = dict.fromkeys(entry.precision for _, entry in files)
    lines = [
        f"edgeskin convert {source.name if source.suffix == '.pt2' else 'RUN'} --precision {p}"
        f"{' --data DATA' if p == 'int8' and source.suffix != '.pt2' else ''} --out FOLDER"
        for p in precisions
    ]
    lines += [f"edgeskin verify {name} --reference RUN --data DATA" for name, _ in files]
    return lines
