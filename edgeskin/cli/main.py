"""The `edgeskin` command: registers one file a command, and turns errors into exit codes.

0: done. 1: ran, but a gate was missed. 2: could not run (one line says what,
why and what to do; `--debug` adds the traceback).
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from edgeskin.cli import (
    calibrate,
    console,
    convert,
    demo,
    doctor,
    import_,
    models,
    predict,
    schema,
    train,
    verify,
)
from edgeskin.errors import EdgeskinError
from edgeskin.files import reason
from edgeskin.version import __version__

app = typer.Typer(
    name="edgeskin",
    help="Takes trained skin-analysis models to phones and Jetsons, with proof of what was lost.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for name, command in (
    ("demo", demo.demo),
    ("doctor", doctor.doctor),
    ("models", models.models),
    ("schema", schema.schema),
    ("train", train.train),
    ("import", import_.import_),
    ("calibrate", calibrate.calibrate),
    ("convert", convert.convert),
    ("predict", predict.predict),
    ("verify", verify.verify),
):
    app.command(name)(command)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Runs before every command (a Typer callback carries the global options)."""
    if version:
        print(__version__)
        raise typer.Exit


def main() -> None:
    """Console entry point."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line; returns its exit code."""
    debug = "--debug" in arguments
    # --debug and --version work before and after the command's name.
    arguments = ["--debug"] * debug + [a for a in arguments if a != "--debug"]
    if arguments == ["--debug"] * debug + ["--version"]:
        arguments.append("models")
    try:
        code = app(arguments, standalone_mode=False)
    except KeyboardInterrupt:
        return _fail("interrupted; nothing was left half-written", debug=False)
    except TyperException as error:
        return _fail(getattr(error, "format_message", lambda: "interrupted")(), debug)
    except EdgeskinError as error:
        return _fail(str(error), debug)
    except OSError as error:
        if (why := reason(error)) is None:
            raise
        return _fail(f"{error.filename or 'output'}: {why}", debug)
    return code if isinstance(code, int) else 0


def _fail(message: str, debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exc()
    console.error(message)
    return 2


if __name__ == "__main__":
    main()
