"""What a new bundle changes for an app that has the old one, and whether a model alone may follow.

An app's code is compiled against the API: classes, heads, labels, units, the size of the input, the
thresholds of a join, names of files. Where any of these differ the app must be built again. All
else travels in the model and in the spec beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from edgeskin.bundles.bundle_check import read_bundle
from edgeskin.bundles.bundle_documents import BundledFile, BundledModel, BundleDocument
from edgeskin.document import Document
from edgeskin.errors import InvalidBundle
from edgeskin.figures import MetricChange

Area = Literal["api", "preprocessing", "model", "files", "size", "licence"]
Verdict = Literal["model only", "needs an app update"]
_IN_CODE = ("height", "width", "resize", "resize_to")
"""Of the input, what the app's buffers and masks are made for."""
_IN_MODEL = ("scale", "offset", "normalize")
"""Of a head, what the model's file computes."""
_UNSAID = {"activation": "softmax"}
"""Of a head, what a spec leaves out."""
_TEXTS = ("name", "intended_use", "training_data", "limits", "arch", "arch_args", "task", "version")
"""Of a spec, what no code reads."""
_SHOWN = 8
"""Names of files in one line."""


class Change(Document):
    """One thing that differs; `update` where the app must be built again for it."""

    area: Area
    what: str
    old: str
    new: str
    update: bool

    @property
    def line(self) -> str:
        """In one line."""
        values = [text for text in (self.old, self.new) if text]
        return f"{self.what}: {' -> '.join(values)}"


class ModelDrift(Document):
    """How far the new model's answers lie from the old one's, on the images of a pack.

    Attributes:
        images: That both answer.
        equal_statuses: Of a pipeline, the share of all images with the same status.
        sqnr_db: By output, the new one against the old.
        equal_decisions: By head, the share of images, or pixels, that both decide alike.
        metrics: By name, where the pack has labels: new minus old, paired 95 % intervals.
    """

    model: str
    images: int
    equal_statuses: float | None = None
    sqnr_db: dict[str, float]
    equal_decisions: dict[str, float]
    metrics: dict[str, MetricChange]


class BundleDiff(Document):
    """The old bundle against the new one.

    Attributes:
        reasons: Why the app must be built again; none where a model alone may follow.
        drift: Of models that both have, where a pack was given.
    """

    version: int = 1
    old: str
    new: str
    verdict: Verdict
    reasons: tuple[str, ...]
    changes: tuple[Change, ...]
    drift: tuple[ModelDrift, ...] | None = None


def diff_bundles(old: Path | str, new: Path | str) -> BundleDiff:
    """What changes for an app from one bundle to another, by their `bundle.json`.

    Raises:
        InvalidBundle: One is none, or they are for different platforms.
    """
    before, after = read_bundle(Path(old)), read_bundle(Path(new))
    if before.platform != after.platform:
        raise InvalidBundle(
            f"{old} is for {before.platform}, {new} for {after.platform}: bundles of one platform "
            "are compared"
        )
    changes = tuple(_changes(before, after))
    reasons = tuple(change.line for change in changes if change.update)
    return BundleDiff(
        old=f"{before.name} {before.release}",
        new=f"{after.name} {after.release}",
        verdict="needs an app update" if reasons else "model only",
        reasons=reasons,
        changes=changes,
    )


def _changes(old: BundleDocument, new: BundleDocument) -> Iterator[Change]:
    yield from _of_fields("api", old, new, ("name", "package", "check_at_load"), update=True)
    yield from _of_fields("files", old, new, ("release", "edgeskin"), update=False)
    before = {model.name: model for model in old.models}
    after = {model.name: model for model in new.models}
    for name in {**before, **after}:
        if name not in after:
            yield Change(area="api", what=f"class {name}", old="there", new="gone", update=True)
        elif name not in before:
            yield Change(area="api", what=f"class {name}", old="none", new="new", update=True)
        else:
            yield from _of_model(before[name], after[name], in_code=old.check_at_load)
    yield from _of_files(old, new)
    yield from _of_sizes(old, new)


def _of_model(old: BundledModel, new: BundledModel, *, in_code: bool) -> Iterator[Change]:
    yield from _of_fields("api", old, new, ("result",), update=True, what=f"{old.name}: ")
    yield from _of_mapping("api", f"{old.name}: join", old.join or {}, new.join or {}, update=True)
    if [file.stage for file in old.files] != [file.stage for file in new.files]:
        stages = (", ".join(file.stage for file in files) for files in (old.files, new.files))
        before, after = stages
        yield Change(area="api", what=f"{old.name}: stages", old=before, new=after, update=True)
        return
    for before_file, after_file in zip(old.files, new.files, strict=True):
        what = old.name if len(old.files) == 1 else f"{old.name}, {before_file.stage}"
        last = after_file is new.files[-1]
        yield from _of_file(before_file, after_file, what, in_code=in_code)
        yield from _of_spec(before_file.spec, after_file.spec, what, answers=last)


def _of_file(old: BundledFile, new: BundledFile, what: str, *, in_code: bool) -> Iterator[Change]:
    yield from _of_fields("files", old, new, ("file",), update=True, what=f"{what}: ")
    yield from _of_fields("model", old, new, ("precision",), update=False, what=f"{what}: ")
    if old.sha256 != new.sha256:
        why = ", which the app's code compares" if in_code else ""
        yield Change(
            area="model",
            what=f"{what}: SHA-256{why}",
            old=old.sha256[:16],
            new=new.sha256[:16],
            update=in_code,
        )


def _of_spec(
    old: Mapping[str, Any], new: Mapping[str, Any], what: str, *, answers: bool
) -> Iterator[Change]:
    """Of a stage; labels of a first stage are looked up by the join, and are code as well."""
    heads = [{head["name"]: head for head in spec["heads"]} for spec in (old, new)]
    place = f"{what}, head" if not answers else f"{what}: head"
    for name in {**heads[0], **heads[1]}:
        before, after = (side.get(name) for side in heads)
        if before is None or after is None:
            states = ("none", "new") if before is None else ("there", "gone")
            yield Change(
                area="api", what=f"{place} {name}", old=states[0], new=states[1], update=True
            )
            continue
        for key in {**before, **after}:
            yield from _of_mapping(
                "model" if key in _IN_MODEL else "api",
                f"{place} {name}",
                {key: before.get(key, _UNSAID.get(key))},
                {key: after.get(key, _UNSAID.get(key))},
                update=key not in _IN_MODEL,
            )
    if list(heads[0]) != list(heads[1]) and heads[0].keys() == heads[1].keys():
        yield Change(
            area="api", what=f"{place}s, order", old=_text(list(heads[0])),
            new=_text(list(heads[1])), update=True,
        )  # fmt: skip
    for key in {**old["input"], **new["input"]}:
        yield from _of_mapping(
            "preprocessing",
            f"{what}: input",
            {key: old["input"].get(key)},
            {key: new["input"].get(key)},
            update=key in _IN_CODE,
        )
    yield from _of_mapping(
        "licence", what, {"license": old["license"]}, {"license": new["license"]}, update=False
    )
    texts = ({key: spec.get(key) for key in _TEXTS} for spec in (old, new))
    yield from _of_mapping("model", what, *texts, update=False)


def _of_files(old: BundleDocument, new: BundleDocument) -> Iterator[Change]:
    before, after = old.files.keys(), new.files.keys()
    if gone := before - after:
        yield Change(area="files", what="files gone", old=_some(gone), new="", update=False)
    if fresh := after - before:
        yield Change(area="files", what="files new", old="", new=_some(fresh), update=False)
    if changed := {name for name in before & after if old.files[name] != new.files[name]}:
        yield Change(area="files", what="files changed", old="", new=_some(changed), update=False)


def _some(names: Iterable[str]) -> str:
    listed = sorted(names)
    shown, more = listed[:_SHOWN], len(listed) - _SHOWN
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _of_sizes(old: BundleDocument, new: BundleDocument) -> Iterator[Change]:
    """In bytes; a store's download is what a person pays for."""
    names = ("models", "code")
    yield from _of_fields("size", old.sizes, new.sizes, names, update=False, what="bytes, ")
    for name in ("library", "download"):
        before, after = getattr(old.sizes, name), getattr(new.sizes, name)
        yield from _of_mapping("size", f"bytes, {name}", before, after, update=False)


def _of_fields(
    area: Area, old: Document, new: Document, names: Iterable[str], *, update: bool, what: str = ""
) -> Iterator[Change]:
    for name in names:
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield Change(
                area=area, what=f"{what}{name}", old=_text(before), new=_text(after), update=update
            )


def _of_mapping(
    area: Area, what: str, old: Mapping[str, Any], new: Mapping[str, Any], *, update: bool
) -> Iterator[Change]:
    for key in {**old, **new}:
        before, after = old.get(key), new.get(key)
        if before != after:
            yield Change(
                area=area, what=f"{what}, {key}", old=_text(before), new=_text(after), update=update
            )


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value)) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(each)}" for key, each in value.items())
    return str(value)
