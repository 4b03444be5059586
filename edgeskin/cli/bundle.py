"""`edgeskin bundle`: artifacts as a module that drops into an app."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Force, Json

if TYPE_CHECKING:
    from edgeskin.bundles.bundle_diff import BundleDiff, ModelDrift
    from edgeskin.bundles.bundle_documents import BundleDocument

_TITLES = {
    "android": "Android module",
    "ios": "Swift package",
    "linux": "CMake project",
}


def bundle(
    artifacts: Annotated[
        list[Path],
        typer.Argument(help="Files that edgeskin convert wrote, or pipelines of them."),
    ],
    platform: Annotated[
        str,
        typer.Option(help="android (of .tflite), ios (of .mlpackage) or linux (of .onnx)."),
    ],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    name: Annotated[
        str | None, typer.Option(help="Of the class, as AcneGrader; by default of the task.")
    ] = None,
    package: Annotated[
        str | None, typer.Option(help="The Kotlin package, as com.example.acne.")
    ] = None,
    release: Annotated[str, typer.Option(help="Version of the bundle.")] = "1.0.0",
    budget_mb: Annotated[
        float | None,
        typer.Option(
            help="Gate: the most that it may add to an app's download, in MB.",
            min=0.0,
            rich_help_panel="Gates",
        ),
    ] = None,
    check_at_load: Annotated[
        bool,
        typer.Option(
            "--check-at-load",
            help="The generated code compares each model's SHA-256 before it loads it.",
        ),
    ] = False,
    sign: Annotated[
        Path | None,
        typer.Option(
            help="Private key to sign with, ECDSA P-256 in PEM; its password in "
            "EDGESKIN_KEY_PASSWORD."
        ),
    ] = None,
    diff: Annotated[
        Path | None, typer.Option(help="An older bundle: say what changes for the app.")
    ] = None,
    pack: Annotated[
        Path | None,
        typer.Option(help="With --diff: images to run the old and the new model on."),
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write an Android module, a Swift package or a CMake project; exit 1 above the budget."""
    from edgeskin.bundles.bundle_check import read_bundle
    from edgeskin.bundles.bundling import bundle as write
    from edgeskin.errors import InvalidBundle, TooLarge, UnknownName
    from edgeskin.verbs import check_pack, diff_bundles

    if diff is None:
        if pack is not None:
            raise UnknownName("--pack compares a new model with an old one: give --diff OLD too")
    else:
        old = read_bundle(diff).platform
        if old != platform:
            raise InvalidBundle(f"--diff {diff} is a bundle for {old}, this one is for {platform}")
        if diff.resolve() == out.resolve():
            raise UnknownName(f"--diff {diff} is what --out replaces: write to another folder")
        if pack is not None:
            check_pack(diff, pack)
    with console.progress() as progress:
        try:
            document = write(
                artifacts, out, platform=platform, name=name, package=package, release=release,
                budget_mb=budget_mb, check_at_load=check_at_load, sign_with=sign, force=force,
                progress=progress,
            )  # fmt: skip
        except TooLarge as error:
            console.error(str(error))
            raise typer.Exit(1) from error
        if not json:
            _print(document, out, signed=sign is not None)
        change = None if diff is None else diff_bundles(diff, out, pack, progress=progress)
    if json:
        beside = {} if change is None else {"diff": change.to_json()}
        console.emit(document.to_json() | beside)
    elif change is not None:
        _print_diff(change)


def _print(document: BundleDocument, out: Path, *, signed: bool) -> None:
    classes = ", ".join(model.name for model in document.models)
    print(console.printable(f"{out}: {_TITLES[document.platform]}, {classes}"))
    for name, files, size in _tree(document, out):
        print(console.printable(f"  {name:<28} {files:>5} {size:>9}"))
    sizes = document.sizes
    rows = [
        (
            abi,
            _mb(sizes.models),
            f"{sizes.library[abi] / 1e3:.0f} KB" if abi in sizes.library else "unknown",
            _mb(download),
        )
        for abi, download in sizes.download.items()
    ]
    title = f"what it adds to an app; the library as built by {sizes.built_by}"
    console.table(title, ("ABI", "models", "library", "download"), rows)
    if signed:
        print(f"signed: edgeskin verify-bundle {out} --key PUBLIC.pem")
    print(console.printable(f"how to use it, in ten lines: {out / 'README.md'}"))


def _tree(document: BundleDocument, out: Path) -> list[tuple[str, str, str]]:
    """Folders and files at the top: name, how many files, bytes."""
    counts: dict[str, list[int]] = {}
    for name in document.files:
        top, _, rest = name.partition("/")
        count = counts.setdefault(f"{top}/" if rest else top, [0, 0])
        count[0] += 1
        count[1] += (out / name).stat().st_size
    return [
        (name, f"{files} files" if name.endswith("/") else "", f"{size / 1e3:.0f} KB")
        for name, (files, size) in counts.items()
    ]


def _print_diff(diff: BundleDiff) -> None:
    print(console.printable(f"{diff.old} -> {diff.new}: {diff.verdict}"))
    for change in diff.changes:
        mark = "!" if change.update else " "
        print(console.printable(f"{mark} {change.area}: {change.line}"))
    for drift in diff.drift or ():
        for line in _drift_lines(drift):
            print(console.printable(line))


def _drift_lines(drift: ModelDrift) -> list[str]:
    lines = [f"{drift.model}, on {drift.images} images:"]
    if drift.equal_statuses is not None:
        lines.append(f"  equal statuses {100 * drift.equal_statuses:.2f} %")
    for head, share in drift.equal_decisions.items():
        lines.append(f"  {head}: equal decisions {100 * share:.2f} %")
    for output, decibels in drift.sqnr_db.items():
        lines.append(f"  {output}: SQNR {decibels:.1f} dB")
    for name, metric in drift.metrics.items():
        change = metric.change
        lines.append(
            f"  {name}: {metric.reference:.4f} -> {metric.candidate:.4f} {metric.unit}, "
            f"{change.value:+.4f} [{change.low:+.4f}, {change.high:+.4f}]"
        )
    return lines


def _mb(count: int) -> str:
    return f"{count / 1e6:.2f} MB"
