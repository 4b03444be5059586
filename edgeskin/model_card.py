"""Model cards: what a model is for, its limits, and what was measured, for a person to read.

A card says what the spec inside the files and the manifest beside them say and no more, so that
it can be written again whenever the manifest has grown: `convert` writes it, `verify` again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from edgeskin.artifacts import ManifestEntry, read_manifest, read_metadata
from edgeskin.conversion import Trained
from edgeskin.document import PartialDocument
from edgeskin.errors import InvalidArtifact, InvalidResult, InvalidSpec
from edgeskin.evaluation import MetricChange
from edgeskin.files import atomic
from edgeskin.spec import (
    ClassificationHead,
    DistributionHead,
    EmbeddingHead,
    Head,
    InputSpec,
    RegressionHead,
    SegmentationHead,
    Spec,
    TensorHead,
)
from edgeskin.subgroups import Subgroups
from edgeskin.version import __version__

RESEARCH = (
    f"**Research use.** No medical device, no diagnosis. Written by edgeskin {__version__}; "
    "figures are of the data named beside them and of no other."
)
Files = Mapping[str, ManifestEntry]


class Verified(PartialDocument):
    """What a card shows of a verification; `looked_at` and `statuses` are a pipeline's."""

    sqnr_db: float
    images: int
    metrics: dict[str, MetricChange]
    subgroups: dict[str, Subgroups] | None = None
    looked_at: int = 0
    statuses: dict[str, dict[str, int]] | None = None


def card_path(folder: Path, name: str) -> Path:
    """Of a model or pipeline called `name`."""
    return folder / f"{name}.card.md"


def write_card(folder: Path, spec: Spec) -> None:
    """Write the card of the files of `folder` that are of this model, over an earlier one.

    Where the manifest names no such file, there is none.

    Raises:
        InvalidArtifact: The manifest is damaged.
        CannotWrite: The operating system refuses.
    """
    files = _files_of(folder, spec)
    if not files:
        return
    verified = [block for name, entry in files.items() for block in verifications(name, entry)]
    save(
        card_path(folder, spec.name),
        f"# {spec.name}\n{spec.intended_use}",
        RESEARCH,
        *network(spec, files),
        *(verified or [NOT_VERIFIED]),
        f"## To repeat\n{code(_commands(files))}",
    )


NOT_VERIFIED = (
    "Not verified on labelled images yet, nor by subgroup: `edgeskin verify FILE --reference RUN "
    "--data DIR --by COLUMN` does both and writes the result here."
)


def save(path: Path, *blocks: str) -> None:
    """Write blocks of Markdown, a blank line between them."""
    with atomic(path, force=True) as fresh:
        fresh.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")


def _files_of(folder: Path, spec: Spec) -> Files:
    files = {}
    for name, entry in read_manifest(folder).items():
        try:
            if read_metadata(folder / name).spec.name == spec.name:
                files[name] = entry
        except (InvalidArtifact, InvalidSpec):  # gone or changed: `inspect` says so, not a card
            continue
    return files


def network(
    spec: Spec, files: Files, trained: Trained | None = None, level: str = "##"
) -> Iterator[str]:
    """What a card says of one network and its files, as blocks.

    Args:
        trained: Of a run, which has no files.
        level: Of the headings.
    """
    trainings = _trainings(files) if trained is None else [("", trained)]
    yield facts(
        {
            "task": spec.task,
            "network": _network(spec),
            "started from": "; ".join(dict.fromkeys(t.started_from for _, t in trainings)),
            "training data": spec.training_data or "not stated",
            "licence": spec.license,
        }
    )
    yield f"{level} Limits\n{spec.limits or 'Not stated.'}"
    yield f"{level} What it takes and gives\n{_input(spec.input)}"
    yield "\n".join(f"- {words(head)}" for head in spec.heads)
    if files:
        rows = [
            (name, e.precision, f"{e.size_bytes / 1000:.0f}", f"`{e.sha256[:16]}`")
            for name, e in files.items()
        ]
        yield f"{level} Files\n{table(('file', 'precision', 'KB', 'SHA-256'), rows)}"
    figures = [block for name, each in trainings for block in _figures(name, each)]
    yield f"{level} Figures\n" + "\n\n".join(figures or [NO_FIGURES])


NO_FIGURES = (
    "None are known here: the source was measured on no data. `edgeskin verify --data` measures "
    "the files."
)


def _trainings(files: Files) -> list[tuple[str, Trained]]:
    """What is known of each file's training; without its name where it is that of all."""
    known = {
        name: entry.source.trained
        for name, entry in files.items()
        if entry.source is not None and entry.source.trained is not None
    }
    first = next(iter(known.values()), None)
    if first is not None and all(trained == first for trained in known.values()):
        return [("", first)]
    return list(known.items())


def _figures(name: str, trained: Trained) -> Iterator[str]:
    """Of the float network; `name` is a file's whose training was another than others'."""
    if (figures := trained.figures) is None:
        return
    yield (
        f"Of the float network{f' of {name}' if name else ''} on {figures.images} images that it "
        f"was not trained on ({trained.split} split), with 95 % bootstrap intervals:"
    )
    rows = [
        (metric, f"{m.value:.4f}", f"{m.low:.4f} to {m.high:.4f}", m.unit)
        for metric, m in figures.metrics.items()
    ]
    yield table(("metric", "value", "interval", "unit"), rows)


def verifications(name: str, entry: ManifestEntry, level: str = "###") -> Iterator[str]:
    """What `verify` found of a file, or of a pipeline at its end: a block a data set."""
    for where, document in (entry.verification or {}).items():
        try:
            verified = Verified.from_json(document)
        except InvalidResult:  # of another edgeskin
            continue
        yield "\n\n".join([f"{level} {name} on {where}\n{_agreement(verified)}", *_task(verified)])


def _agreement(verified: Verified) -> str:
    db = f"{verified.sqnr_db:.1f} dB beside"
    if verified.statuses is None:
        return f"{db} the model that it was made from, on {verified.images} images."
    said = (
        f"{who} {', '.join(f'{n} {status}' for status, n in counts.items())}"
        for who, counts in verified.statuses.items()
    )
    statuses = f"({'; '.join(said)})"
    if verified.images == 0:
        return f"None of {verified.looked_at} images is answered by both {statuses}."
    return (
        f"{db} the pipeline of its runs, on the {verified.images} of {verified.looked_at} images "
        f"that both answer {statuses}."
    )


def _task(verified: Verified) -> Iterator[str]:
    """Metrics, and the worst group of each."""
    rows = [
        (
            metric,
            f"{m.reference:.4f}",
            f"{m.candidate:.4f}",
            f"{m.change.value:+.4f}",
            f"{m.change.low:+.4f} to {m.change.high:+.4f}",
        )
        for metric, m in verified.metrics.items()
    ]
    if rows:
        yield table(("metric", "model", "file", "change", "95 % interval"), rows)
    for by, parts in (verified.subgroups or {}).items():
        worst = "; ".join(_worst(metric, parts) for metric in parts.gaps)
        yield f"By {by}: {worst or 'too few images in two groups to say'}."


def _worst(metric: str, parts: Subgroups) -> str:
    gap = parts.gaps[metric]
    images = parts.groups[gap.candidate.worst].images
    verdict = f" ({gap.verdict})" if gap.verdict else ""
    return (
        f'{metric} is worst for "{gap.candidate.worst}" ({images} images), the gap between groups '
        f"{gap.candidate.gap:.4f}{verdict}"
    )


def _network(spec: Spec) -> str:
    args = ", ".join(f"{name}={value}" for name, value in spec.arch_args.items())
    return f"{spec.arch or 'a graph without a name'}{f' ({args})' if args else ''}"


def _input(spec: InputSpec) -> str:
    mean, std = (", ".join(f"{x:.4g}" for x in values) for values in (spec.mean, spec.std))
    return (
        f"An sRGB image, {spec.height} x {spec.width} pixels, {spec.color_order}: {_resize(spec)}. "
        f"A value v of 0 to 255 becomes (v / 255 - mean) / std, mean {mean}, std {std}. The files "
        "with `io: app` do that themselves."
    )


def _resize(spec: InputSpec) -> str:
    match spec.resize:
        case "shortest_edge":
            return f"the shorter edge scaled to {spec.resize_to} pixels, the centre cut out"
        case "squash":
            return "scaled, the aspect ratio lost"
    return f"scaled to fit inside, the rest filled with {spec.pad_value}"


def words(head: Head) -> str:
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


def _commands(files: Files) -> list[str]:
    """Of each source once: what made the files, and what verifies them."""
    lines: list[str] = []
    for entry in files.values():
        if entry.source is None or entry.source.kind == "run":
            lines.append(f"edgeskin convert RUN --precision {entry.precision} --out FOLDER")
            continue
        program, method = entry.source.name, (entry.scales or {}).get("method")
        if method:
            verb = "qat" if method == "qat" else "calibrate"
            lines.append(f"edgeskin {verb} RUN --data DATA --out {program}")
        lines.append(f"edgeskin convert {program} --out FOLDER")
    lines += [f"edgeskin verify {name} --reference RUN --data DATA" for name in files]
    return list(dict.fromkeys(lines))


def facts(rows: Mapping[str, str]) -> str:
    """A table of two columns without a head; what is empty is left out."""
    return table(("", ""), [(name, text) for name, text in rows.items() if text])


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    cells = [columns, ("---",) * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in cells)


def _cell(text: str) -> str:
    """What a person wrote, without what would end a cell."""
    return " ".join(text.replace("|", "\\|").split())


def code(lines: Iterable[str]) -> str:
    """Commands, as they are typed."""
    return "\n".join(["```", *lines, "```"])
