"""`python -m edgeskin.benchmarks.peers preprocess [--json]`"""

from __future__ import annotations

import argparse
import importlib
import json
import sys

MEASUREMENTS = {"preprocess": "edgeskin.benchmarks.peers.preprocess"}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m edgeskin.benchmarks.peers", description=__doc__
    )
    parser.add_argument("what", choices=sorted(MEASUREMENTS))
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    chosen = parser.parse_args()
    module = importlib.import_module(MEASUREMENTS[chosen.what])
    result = module.measure()
    print(json.dumps(result, indent=2) if chosen.json else module.table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
