"""A comparison as SARIF 2.1.0, which code hosts show beside the change.

OASIS Standard, Static Analysis Results Interchange Format (SARIF) Version 2.1.0, 2020.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from urllib.parse import quote

from edgeskin.benchmarks.report.gate.compare_documents import Comparison, Reason
from edgeskin.benchmarks.report.gate.release_gates import RULES
from edgeskin.printable import printable

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)


def sarif(comparison: Comparison, folder: Path) -> str:
    """The document as text: a rule a gate, an error for what is missed, a note for what is unsure.

    Args:
        folder: Where the new results lie, as a repository sees it; results point to their files.
    """
    rules = list(RULES)
    level = "error" if comparison.strict else "note"
    found = [(reason, "error") for reason in comparison.missed]
    found += [(reason, level) for reason in comparison.unsure]
    document = {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "edgeskin",
                        "version": comparison.edgeskin,
                        "rules": [
                            {"id": name, "shortDescription": {"text": RULES[name]}}
                            for name in rules
                        ],
                    }
                },
                "automationDetails": {"id": "edgeskin/compare/"},
                "results": [
                    {
                        "ruleId": reason.rule,
                        "ruleIndex": rules.index(reason.rule),
                        "level": level,
                        "message": {"text": _plain(str(reason))},
                        "locations": [{"physicalLocation": {"artifactLocation": {
                            "uri": _uri(folder / reason.result)
                        }}}],
                        "partialFingerprints": {"edgeskinGate/v1": _fingerprint(reason)},
                    }
                    for reason, level in found
                ],
            }
        ],
    }  # fmt: skip
    return json.dumps(document, indent=2) + "\n"


def _plain(line: str) -> str:
    """A message in which nothing is a link: brackets before a parenthesis would be one."""
    return printable(line).replace("](", "] (")


def _uri(path: Path) -> str:
    """Relative to the working folder where it lies in it; else the name alone."""
    full, here = path.resolve(), Path.cwd().resolve()
    inside = full.relative_to(here) if full.is_relative_to(here) else Path(full.name)
    return quote(inside.as_posix())


def _fingerprint(reason: Reason) -> str:
    """The same for the same gate on the same figure, whatever its value."""
    parts = (reason.rule, reason.title, reason.figure)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
