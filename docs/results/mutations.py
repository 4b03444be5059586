"""Writes the table of mutations.md: every mutant is made and shown to the commands.

python docs/results/mutations.py
"""

import re
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "tests"))

from mutations.table import MUTATIONS  # noqa: E402
from mutations.world import World  # noqa: E402


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        lines = [row for mutation in MUTATIONS for row in rows(mutation, world)]
    page = (HERE / "mutations.md").read_text()
    table = "\n".join(lines)
    page = re.sub(
        r"(<!-- mutants -->\n\|.*\n\|.*\n)(?:\|.*\n)*", lambda m: m[1] + table + "\n", page
    )
    (HERE / "mutations.md").write_text(page)


def rows(mutation, world) -> list[str]:
    """One row a command: the formats that it refused, and what it said of the first."""
    files = {target: mutation.make(world, target) for target in mutation.formats}
    found = []
    for how, expected in mutation.refused.items():
        said = {t: mutation.refusal(world, how, path) for t, path in files.items()}
        caught = [t for t, (code, line) in said.items() if code and re.search(expected, line)]
        code, line = said[mutation.formats[0]]
        missed = sorted(set(files) - set(caught))
        what = ", ".join(caught) + (f"; **not** {', '.join(missed)}" if missed else "")
        name = f"{mutation.name} ({mutation.precision})"
        said_first = re.sub(r"\S*/(?=[\w-]+\.(?:onnx|tflite|mlpackage))", "", line)
        found.append(f"| {name} | {what} | {how} | {code} | {said_first.replace('|', '/')} |")
        print(found[-1], file=sys.stderr)
    return found


if __name__ == "__main__":
    main()
