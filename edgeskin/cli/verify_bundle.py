"""`edgeskin verify-bundle`: whether a bundle is as it was written, and an app loads everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Json


def verify_bundle(
    bundle: Annotated[
        Path,
        typer.Argument(help="Folder of edgeskin bundle; or an .apk, .aab or .aar file."),
    ],
    key: Annotated[Path | None, typer.Option(help="Public key of who signed it, in PEM.")] = None,
    json: Json = False,
) -> None:
    """Check hashes, models, signature, and pages of 16 KB in native libraries; exit 1 at a fault.

    Of an app's archive it checks the libraries alone, those of other makers too.
    """
    from edgeskin.bundles.bundle_check import verify_bundle as check

    found = check(bundle, key)
    if json:
        console.emit(found.to_json())
    else:
        what = f"{found.files} files, " if found.kind == "bundle" else ""
        libraries = f"{len(found.libraries)} 64-bit libraries"
        print(console.printable(f"{found.bundle}: {what}{libraries}, signature: {found.signature}"))
    for fault in found.faults:
        console.error(fault)
    if found.signature == "not checked":
        console.remark("it is signed, and the signature was not checked: give --key PUBLIC.pem")
    if not found.passed:
        raise typer.Exit(1)
