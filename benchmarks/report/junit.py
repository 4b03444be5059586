"""JUnit XML, as CI systems read it: a suite of cases that hold, fail, or are skipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree


@dataclass(frozen=True)
class Case:
    """One check.

    Attributes:
        name: What was checked.
        group: What it was checked of (`classname`), such as a file on a device.
        failure: Why it failed; None where it did not.
        skipped: Why nothing can be said; None where something can.
        output: What was measured.
    """

    name: str
    group: str
    failure: str | None = None
    skipped: str | None = None
    output: str | None = None


def junit_xml(suite: str, cases: Sequence[Case]) -> str:
    r"""The document as text, with its XML declaration; the same cases give the same text.

    Characters that XML 1.0 cannot hold are written as in Python's strings, a null as "\x00".
    """
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(case.failure is not None for case in cases)),
        "errors": "0",
        "skipped": str(sum(case.skipped is not None for case in cases)),
    }
    root = ElementTree.Element("testsuites", counts)
    parent = ElementTree.SubElement(root, "testsuite", {"name": _legal(suite), **counts})
    for case in cases:
        names = {"classname": _legal(case.group), "name": _legal(case.name)}
        element = ElementTree.SubElement(parent, "testcase", names)
        for tag, message in (("failure", case.failure), ("skipped", case.skipped)):
            if message is not None:
                ElementTree.SubElement(element, tag, message=_legal(message))
        if case.output is not None:
            ElementTree.SubElement(element, "system-out").text = _legal(case.output)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _legal(text: str) -> str:
    """Text of the characters that XML 1.0 allows (its section 2.2)."""
    return "".join(c if _allowed(ord(c)) else c.encode("unicode_escape").decode() for c in text)


def _allowed(code: int) -> bool:
    if code in (0x9, 0xA, 0xD):
        return True
    return 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or code >= 0x10000
