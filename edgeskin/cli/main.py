"""The `edgeskin` command: runs one command line, and turns errors into exit codes.

0: done. 1: ran, but a gate was missed. 2: could not run (one line says what,
why and what to do; `--debug` adds the traceback). 130: Ctrl-C; 143: told to end.

Nothing but the standard library is imported here at the top, so that Ctrl-C is
answered in one line from the first moment on.
"""

from __future__ import annotations

import logging
import signal
import sys

from edgeskin.cli import console
from edgeskin.errors import EdgeskinError
from edgeskin.files import reason
from edgeskin.offline import stay_offline

_INTERRUPTED = "interrupted; nothing was left half-written"
_BY_SIGNAL = 128  # what a shell adds to the number of the signal that ended a command
_TYPER_INTERRUPTED = _BY_SIGNAL + signal.SIGINT  # what typer makes of Ctrl-C in a command


def main() -> None:
    """Console entry point; being told to end (SIGTERM) cleans up as Ctrl-C does."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    sys.exit(run(sys.argv[1:]))


_stopped: list[int] = []


def _stop(number: int, frame: object) -> None:
    """Raise KeyboardInterrupt, and remember: a library may make another error of it."""
    _stopped.append(number)
    raise KeyboardInterrupt


def run(arguments: list[str]) -> int:
    """Run one command line; returns its exit code."""
    stay_offline()
    debug = "--debug" in arguments  # before or after the command's name
    try:
        code = _run([a for a in arguments if a != "--debug"] or ["--help"])
    except KeyboardInterrupt:
        return _interrupted()
    except EdgeskinError as error:
        return _fail(str(error), debug)
    except ModuleNotFoundError as error:
        if (extra := _extra_of(error.name or "")) is None:
            return _unexpected(error, debug)
        return _fail(f"{error.name} is not installed: pip install 'edgeskin[{extra}]'", debug)
    except OSError as error:
        if (why := reason(error)) is None:
            return _unexpected(error, debug)
        return _fail(f"{error.filename or 'output'}: {why}", debug)
    except Exception as error:  # exit code 1 would say that a gate was missed
        return _unexpected(error, debug)
    return _interrupted() if code == _TYPER_INTERRUPTED else code


def _run(arguments: list[str]) -> int:
    """The exit code of a command; a wrong command line raises EdgeskinError."""
    from typer import Abort
    from typer.exceptions import TyperException

    from edgeskin.cli.app import app

    for name in ("torch.utils._pytree", "torch.utils.cpp_extension"):
        logging.getLogger(name).setLevel(logging.ERROR)  # at import, about their own insides
    if arguments == ["--version"]:
        arguments = ["--version", "models"]  # typer asks for a command in any case
    try:
        code = app(arguments, standalone_mode=False)
    except Abort as error:
        raise KeyboardInterrupt from error
    except TyperException as error:
        why = error.format_message().rstrip(".")
        raise EdgeskinError(f"{why}. See --help.") from error
    return code if isinstance(code, int) else 0


def _extra_of(module: str) -> str | None:
    """The part of edgeskin that brings `module`, if one does."""
    from edgeskin.cli.doctor import PARTS

    package = module.partition(".")[0].replace("_", "-")
    return next((part for part, packages in PARTS.items() if package in packages), None)


def _unexpected(error: Exception, debug: bool) -> int:
    """An error that edgeskin does not know: its own fault, until shown otherwise."""
    if _stopped:  # in the middle of an import, for instance
        return _interrupted()
    what = f"{type(error).__name__}: {error}"
    return _fail(f"unexpected error, {what}. Run again with --debug and report it.", debug)


def _interrupted() -> int:
    console.error(_INTERRUPTED)
    return _BY_SIGNAL + (_stopped[-1] if _stopped else signal.SIGINT)


def _fail(message: str, debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exc()
    console.error(message)
    return 2


if __name__ == "__main__":
    main()
