"""The licences of a bundle: a list for a person, and the texts that go with it.

What the app links or carries is named with its SPDX expression. A network's licence is what its
spec says of the weights: an SPDX expression where it is one, else a text of its own, `LicenseRef-`.
"""

from __future__ import annotations

import importlib.metadata
import re
from dataclasses import dataclass
from pathlib import Path

from edgeskin.bundles.bundle_plan import Files, Plan
from edgeskin.bundles.runtime_packages import runtime_packages
from edgeskin.errors import MissingPackage
from edgeskin.version import __version__

APACHE = "Apache-2.0"
FOLDER = "LICENSES"


@dataclass(frozen=True)
class Licence:
    """What something may be used for.

    Attributes:
        expression: SPDX, `LicenseRef-...` where the text is one of its own.
        text: As its owner says it.
    """

    expression: str
    text: str

    @property
    def is_custom(self) -> bool:
        """Whether SPDX has no name for it."""
        return self.expression.startswith("LicenseRef-")


def licence_of(text: str, name: str) -> Licence:
    """The licence that a spec states, by the expression that it is or begins with (`CC0-1.0: ...`).

    Args:
        name: Of the network's file, for a licence that SPDX does not know.

    Raises:
        MissingPackage: license-expression, which comes with cyclonedx-python-lib.

    >>> licence_of("CC0-1.0: trained on phantoms alone", "acne").expression
    'CC0-1.0'
    >>> licence_of("free for academic usage", "acne v2").expression
    'LicenseRef-acne-v2'
    """
    try:
        from license_expression import ExpressionError, get_spdx_licensing
    except ModuleNotFoundError as error:
        raise MissingPackage(
            "a list of licences needs cyclonedx-python-lib: pip install 'edgeskin[bundle]'"
        ) from error
    stated = text.partition(":")[0].strip()
    try:
        parsed = get_spdx_licensing().parse(stated, validate=True, strict=True)
    except ExpressionError:
        parsed = None
    if parsed is not None:
        return Licence(str(parsed), text)
    return Licence(f"LicenseRef-{re.sub(r'[^A-Za-z0-9.-]+', '-', name).strip('-')}", text)


def licence_files(plan: Plan) -> Files:
    """`LICENSES.md`, and the texts in `LICENSES/` by their SPDX name."""
    files: Files = {f"{FOLDER}/{APACHE}.txt": _apache().encode()}
    rows = [
        ("edgeskin, core and API", __version__, APACHE, f"[text]({FOLDER}/{APACHE}.txt)"),
    ]
    for stage in plan.stages:
        licence = licence_of(stage.spec.license, Path(stage.file).stem)
        where = f"[SPDX](https://spdx.org/licenses/{licence.expression}.html)"
        if licence.is_custom:
            files[f"{FOLDER}/{licence.expression}.txt"] = f"{licence.text.strip()}\n".encode()
            where = f"[text]({FOLDER}/{licence.expression}.txt)"
        elif not licence.expression.replace("-", "").replace(".", "").isalnum():
            where = "https://spdx.org/licenses"  # an expression of several
        rows.append((f"weights, {_cell(stage.file)}", "", licence.expression, where))
    for package in runtime_packages(plan):
        name = f"{package.name}, not in this folder"
        rows.append((name, package.version, package.licence, package.url))
    lines = [
        f"# Licences of {plan.name} {plan.release}",
        "",
        "What an app with this bundle carries, by [SPDX](https://spdx.org/licenses) expressions; "
        "`sbom.cdx.json` is the same for a machine.",
        "",
        "| part | version | licence | where |",
        "|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
    files["LICENSES.md"] = ("\n".join(lines) + "\n").encode()
    return files


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _apache() -> str:
    """Edgeskin's own LICENSE, which is Apache-2.0 and stands in its wheel."""
    text = importlib.metadata.distribution("edgeskin").read_text("licenses/LICENSE")
    if text is None:  # a checkout
        text = Path(__file__).resolve().parents[2].joinpath("LICENSE").read_text("utf-8")
    return text
