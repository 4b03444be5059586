"""`python -m edgeskin.runtimes.mil ARTIFACT [IMAGE...]`: Core ML against MIL's meaning, on macOS.

Exit code 0 done, 2 could not run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from edgeskin.errors import EdgeskinError
from edgeskin.formats.coreml.session import CoreMLSession
from edgeskin.runtimes import mil
from edgeskin.runtimes.mil.crosscheck import compare, feeds_of, is_float


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m edgeskin.runtimes.mil", description=__doc__)
    parser.add_argument("artifact", type=Path, help="an .mlpackage")
    parser.add_argument("images", type=Path, nargs="*", help="random inputs where there are none")
    asked = parser.parse_args(arguments)
    try:
        with mil.open_session(asked.artifact) as meaning, CoreMLSession(asked.artifact) as coreml:
            feeds = feeds_of(meaning.inputs, asked.images)
            found = compare(meaning, coreml, feeds)
            print(f"{coreml.runtime} against {meaning.runtime}, {len(feeds)} inputs")
            for spec in meaning.outputs:
                value = found[spec.name]
                agreement = f"{value:.1f} dB" if is_float(spec) else f"{100 * value:.0f} % equal"
                print(f"{spec.name}: {agreement}")
    except EdgeskinError as error:
        print(f"edgeskin: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
