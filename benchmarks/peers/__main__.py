"""Side by side with other tools, in one run."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from edgeskin.document import Document
from edgeskin.errors import EdgeskinError


def main(arguments: list[str] | None = None) -> int:
    """0 done, 2 could not run (one line on stderr says why)."""
    chosen = _parser().parse_args(arguments)
    try:
        print(chosen.run(chosen))
    except EdgeskinError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m edgeskin.benchmarks.peers", description=__doc__
    )
    commands = parser.add_subparsers(
        required=True, metavar="preprocess|int8|accuracy|calibration|zoo"
    )
    pixels = commands.add_parser("preprocess", help="beside Pillow, OpenCV and torchvision")
    pixels.set_defaults(run=_preprocess)
    int8 = commands.add_parser("int8", help="beside the tools of LiteRT and ONNX Runtime")
    int8.set_defaults(run=_int8)
    int8.add_argument("--models", metavar="A,B", help="some of them; all by default")
    int8.add_argument("--runtimes", metavar="litert,onnx", default="litert,onnx")
    int8.add_argument("--rounds", type=int, default=200, help="timed rounds (200)")
    int8.add_argument("--out", type=Path, metavar="DIR", help="keep the files, and use them again")
    int8.add_argument(
        "--page", type=Path, metavar="FILE.md", help="write the result here, JSON beside it"
    )
    accuracy = commands.add_parser("accuracy", help="of a trained run, beside the same tools")
    accuracy.set_defaults(run=_accuracy)
    accuracy.add_argument("source", type=Path, metavar="RUN")
    accuracy.add_argument(
        "program", nargs="+", metavar="NAME=PROGRAM.pt2", help="what edgeskin made of the run"
    )
    accuracy.add_argument("--data", type=Path, required=True, metavar="DIR")
    accuracy.add_argument("--out", type=Path, required=True, metavar="DIR", help="keeps the files")
    calibration = commands.add_parser("calibration", help="time and SQNR of each method, and NNCF")
    calibration.set_defaults(run=_calibration)
    calibration.add_argument("source", type=Path, metavar="RUN")
    calibration.add_argument("--data", type=Path, required=True, metavar="DIR")
    calibration.add_argument("--samples", type=int, default=256)
    calibration.add_argument("--methods", metavar="A,B", default="mse,percentile,minmax,nncf")
    zoo = commands.add_parser("zoo", help="networks of every family, through everything")
    zoo.set_defaults(run=_zoo)
    zoo.add_argument("--out", type=Path, required=True, metavar="DIR", help="a record a network")
    zoo.add_argument("--names", metavar="A,B", help="some of them; all by default")
    zoo.add_argument("--limit-s", type=float, default=600.0, help="for a network's files (600)")
    zoo.add_argument("--no-stock", action="store_true", help="without the others' tools")
    zoo.add_argument("--no-timing", action="store_true")
    zoo.add_argument("--keep-files", action="store_true", help="keep the models too")
    zoo.add_argument(
        "--page", type=Path, metavar="FILE.md", help="write the result here, JSON beside it"
    )
    for command in (pixels, int8, accuracy, calibration, zoo):
        command.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


def _preprocess(chosen: argparse.Namespace) -> str:
    from edgeskin.benchmarks.peers import peer_preprocess

    result = peer_preprocess.measure()
    return _json(result, indent=2) if chosen.json else peer_preprocess.table(result)


def _int8(chosen: argparse.Namespace) -> str:
    from edgeskin.benchmarks.peers import int8, int8_page, zoo

    result = int8.measure(
        zoo.find_models(chosen.models),
        chosen.runtimes.split(","),
        chosen.rounds,
        tell=lambda line: print(line, file=sys.stderr, flush=True),
        out=chosen.out,
    )
    if chosen.page:
        int8_page.save(result, chosen.page)
    return int8_page.compact_json(result.to_json()) if chosen.json else int8_page.table(result)


def _accuracy(chosen: argparse.Namespace) -> str:
    from edgeskin.benchmarks.peers import peer_accuracy

    programs = {name: Path(path) for name, _, path in (p.partition("=") for p in chosen.program)}
    result = peer_accuracy.measure(
        chosen.source,
        chosen.data,
        programs,
        chosen.out,
        tell=lambda line: print(line, file=sys.stderr, flush=True),
    )
    return _json(result) if chosen.json else peer_accuracy.table(result)


def _calibration(chosen: argparse.Namespace) -> str:
    from edgeskin.benchmarks.peers import peer_calibration

    result = peer_calibration.measure(
        chosen.source,
        chosen.data,
        chosen.samples,
        chosen.methods.split(","),
        tell=lambda line: print(line, file=sys.stderr, flush=True),
    )
    return _json(result, indent=2) if chosen.json else peer_calibration.table(result)


def _zoo(chosen: argparse.Namespace) -> str:
    from edgeskin.benchmarks.peers import zoo_page, zoo_sweep
    from edgeskin.benchmarks.peers.zoo_networks import find_networks

    result = zoo_sweep.sweep(
        find_networks(chosen.names),
        chosen.out,
        zoo_sweep.ZooOptions(
            limit_s=chosen.limit_s,
            stock=not chosen.no_stock,
            timing=not chosen.no_timing,
            keep=chosen.keep_files,
        ),
        tell=lambda line: print(line, file=sys.stderr, flush=True),
    )
    if chosen.page:
        zoo_page.save(result, chosen.page)
    return _json(result, indent=1) if chosen.json else zoo_page.table(result)


def _json(result: Document, indent: int | None = None) -> str:
    return json.dumps(result.to_json(), indent=indent)


if __name__ == "__main__":
    sys.exit(main())
