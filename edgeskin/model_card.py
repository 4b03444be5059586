"""Model cards: what a model is for, its limits, and what was measured, for a person to read.

A card says what the spec inside the files and the manifest beside them say and no more, so that
it can be written again whenever the manifest has grown: `convert` writes it, `verify` again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeskin.artifacts import ManifestEntry, read_manifest, read_metadata
from edgeskin.conversion import Trained
from edgeskin.destinations import CPU
from edgeskin.document import PartialDocument
from edgeskin.errors import InvalidArtifact, InvalidResult, InvalidSpec
from edgeskin.evaluation import MetricChange
from edgeskin.files import atomic
from edgeskin.markdown_blocks import code, facts, prose, table
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
    """What a card shows of a verification; `looked_at` and all below are a pipeline's."""

    sqnr_db: float
    images: int
    metrics: dict[str, MetricChange]
    subgroups: dict[str, Subgroups] | None = None
    looked_at: int = 0
    statuses: dict[str, dict[str, int]] | None = None
    answered: dict[str, Subgroups] | None = None


@dataclass(frozen=True)
class Card:
    """A card, and what it was made of.

    Attributes:
        specs: Of the model, or of a pipeline's first and last stage; the last one answers.
        files: What the manifest says of each file, of a pipeline also of its `pipeline.json`.
        blocks: In Markdown, but for the commands.
        commands: What makes the files again, and measures them.
    """

    name: str
    task: str
    license: str
    specs: tuple[Spec, ...]
    files: Files
    blocks: tuple[str, ...]
    commands: tuple[str, ...]

    def markdown(self, *more: str) -> str:
        """All of it, with more blocks before the commands."""
        repeat = f"## To repeat\n{code(self.commands)}"
        return "\n\n".join((*self.blocks, *more, repeat)) + "\n"

    def save(self, folder: Path) -> None:
        """Write `NAME.card.md`, over an earlier one."""
        with atomic(folder / f"{self.name}.card.md", force=True) as fresh:
            fresh.write_text(self.markdown(), encoding="utf-8")


def write_card(folder: Path, spec: Spec) -> None:
    """Write the card of the files of `folder` that are of this model, over an earlier one.

    Where the manifest names no such file, there is none.

    Raises:
        InvalidArtifact: The manifest is damaged.
        CannotWrite: The operating system refuses.
    """
    if (card := model_card(folder, spec)).files:
        card.save(folder)


def model_card(folder: Path, spec: Spec) -> Card:
    """The card of the files of `folder` that are of this model, by its manifest.

    Raises:
        InvalidArtifact: The manifest is damaged.
    """
    files = _files_of(folder, spec)
    verified = [block for name, entry in files.items() for block in verifications(name, entry)]
    blocks = (
        f"# {spec.name}\n{prose(spec.intended_use)}",
        RESEARCH,
        *network(spec, files),
        f"## Drift from the trained model\n{DRIFT}",
        *(verified or [NOT_VERIFIED]),
    )
    commands = tuple(_commands(files))
    return Card(spec.name, spec.task, spec.license, (spec,), files, blocks, commands)


DRIFT = (
    "What each task metric changes from the float model to the file, on the same images, and how "
    "far the outputs agree."
)
NOT_VERIFIED = (
    "Not verified on labelled images yet, nor by subgroup: `edgeskin verify FILE --reference RUN "
    "--data DIR --by COLUMN` does both and writes the result here."
)


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
            "made from": "; ".join(dict.fromkeys(_sources(files))),
            "started from": "; ".join(dict.fromkeys(t.started_from for _, t in trainings)),
            "training data": spec.training_data or "not stated",
            "licence": spec.license,
        }
    )
    yield f"{level} Limits\n{prose(spec.limits) or 'Not stated.'}"
    yield f"{level} What it takes and gives\n{_input(spec.input)}"
    yield "\n".join(f"- {words(head)}" for head in spec.heads)
    if files:
        rows = [
            (name, e.precision, f"{e.size_bytes / 1000:.0f}", f"`{e.sha256}`")
            for name, e in files.items()
        ]
        yield f"{level} Files\n{table(('file', 'precision', 'KB', 'SHA-256'), rows)}"
    if tools := _tools(files):
        yield f"{level} Made with\n{tools}"
    if kept := _kept_in_float(files):
        yield f"{level} Kept in float\n{kept}"
    figures = [block for name, each in trainings for block in _figures(name, each)]
    yield f"{level} Figures\n" + "\n\n".join(figures or [NO_FIGURES])


def _sources(files: Files) -> Iterator[str]:
    """What was converted, by name and hash."""
    for entry in files.values():
        if (source := entry.source) is not None:
            yield f"{source.kind} {source.name}, SHA-256 `{source.sha256}`"


def _tools(files: Files) -> str:
    """The versions of what made each file; empty where nobody knows."""
    versions = {name: entry.tools for name, entry in files.items() if entry.tools}
    rows: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for name, tools in versions.items():
        rows.setdefault(tuple(tools.items()), []).append(name)
    return (
        table(
            ("file", "tools"),
            [
                (", ".join(names), ", ".join(f"{tool} {version}" for tool, version in tools))
                for tools, names in rows.items()
            ],
        )
        if rows
        else ""
    )


def _kept_in_float(files: Files) -> str:
    """The parts that INT8 files have in float by measured sensitivity; empty where none have."""
    rows = {
        (part["part"], f"{part['alone_db']:.1f}", *(f"{part[name]:.1%}" for name in _SHARES)): None
        for entry in files.values()
        for part in (entry.scales or {}).get("kept_in_float", {}).get("parts", ())
    }
    columns = ("part", "SQNR if it alone is INT8, dB", "of the multiply-adds", "of the weights")
    return table(columns, rows) if rows else ""


_SHARES = ("multiply_adds", "weights")

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
    """Metrics, the worst group of each, and all groups."""
    rows = [(metric, *change_cells(m)) for metric, m in verified.metrics.items()]
    if rows:
        yield table(("metric", "model", "file", "change", "95 % interval"), rows)
    for by, parts in (verified.answered or {}).items():
        yield f"The share of images that each answers, by {by}:\n\n{group_table(by, parts)}"
    for by, parts in (verified.subgroups or {}).items():
        worst = "; ".join(_worst(metric, parts) for metric in parts.gaps)
        yield f"By {by}: {worst or 'too few images in two groups to say'}."
        yield group_table(by, parts)


def group_table(by: str, parts: Subgroups) -> str:
    """Each metric of each group, of both models."""
    columns = (by, "images", "metric", "model", "file", "change", "95 % interval")
    return table(columns, [row for name in parts.groups for row in _group_rows(name, parts)])


def _group_rows(name: str, parts: Subgroups) -> Iterator[tuple[str, ...]]:
    group = parts.groups[name]
    if not group.metrics:
        why = "too few to say" if group.too_few else "no labels"
        yield name, str(group.images), why, *("",) * 4
    for metric, m in (group.metrics or {}).items():
        yield name, str(group.labelled(metric)), metric, *change_cells(m)


def change_cells(m: MetricChange) -> tuple[str, str, str, str]:
    """Of the model, of its twin, the change and its interval."""
    return (
        f"{m.reference:.4f}",
        f"{m.candidate:.4f}",
        f"{m.change.value:+.4f}",
        f"{m.change.low:+.4f} to {m.change.high:+.4f}",
    )


def _worst(metric: str, parts: Subgroups) -> str:
    gap = parts.gaps[metric]
    images = parts.groups[gap.candidate.worst].labelled(metric)
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
        f"An sRGB image, {spec.height} x {spec.width} pixels, {spec.color_order}: {_resize(spec)}, "
        f"by the {spec.filter} filter. "
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
            return f"`{head.name}`: probabilities of {kind} {prose(', '.join(head.labels))}"
        case SegmentationHead():
            return f"`{head.name}`: probabilities a pixel of {prose(', '.join(head.labels))}"
        case DistributionHead():
            last = head.first + head.step * (head.size - 1)
            labels = () if head.ranges is None else head.ranges.labels
            grades = f"; grades {prose(', '.join(labels))}" if labels else ""
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


def _in_float(scales: Mapping[str, Any]) -> list[str]:
    """The options that left layers in float: those named, and what others were measured for.

    `qat` measures none: it takes them by name.
    """
    control = {} if scales["method"] == "qat" else scales.get("kept_in_float", {})
    kept = {part["part"] for part in control.get("parts", ())}
    named = [path for path in scales.get("exclude", ()) if path.removesuffix(".*") not in kept]
    asked = ("min_sqnr_db", "max_drop", "max_mae_rise")
    return [
        *(f"--exclude '{path}'" for path in named),
        *(f"--{name.replace('_', '-')} {control[name]:g}" for name in asked if name in control),
    ]


def _commands(files: Files) -> list[str]:
    """Of each source once: what made the files, and what verifies them."""
    lines: list[str] = []
    for entry in files.values():
        destinations = ",".join(name for name in entry.destinations if name != CPU)
        to = f"{f' --for {destinations}' if destinations else ''} --out FOLDER"
        if entry.source is None or entry.source.kind == "run":
            lines.append(f"edgeskin convert RUN --precision {entry.precision}{to}")
            continue
        program, scales = entry.source.name, entry.scales or {}
        if method := scales.get("method"):
            how = [f"--scheme {scales['scheme']}"] if "scheme" in scales else []
            if method != "qat":
                how += [f"--method {method}"]
                how += [f"--samples {scales['images']}"] if "images" in scales else []
            how += _in_float(scales)
            verb = "qat" if method == "qat" else "calibrate"
            lines.append(" ".join([f"edgeskin {verb} RUN --data DATA --out {program}", *how]))
        lines.append(f"edgeskin convert {program}{to}")
    lines += [f"edgeskin verify {name} --reference RUN --data DATA" for name in files]
    return list(dict.fromkeys(lines))
