"""Failures in the words of bash, dash, mksh, toybox, glibc, musl and bionic."""

import pytest

from edgeskin.benchmarks.devices import explain
from edgeskin.errors import (
    DeviceFull,
    MissingSymbol,
    ProgramCrashed,
    RunFailed,
    SystemTooOld,
    WrongArchitecture,
)


@pytest.mark.parametrize(
    ("code", "line", "kind"),
    [
        (126, "sh: 1: ./runner: Exec format error", WrongArchitecture),
        (126, "bash: ./runner: cannot execute binary file: Exec format error", WrongArchitecture),
        (126, "sh: ./runner: not executable: 64-bit ELF file", WrongArchitecture),
        (2, './p: 1: Syntax error: word unexpected (expecting ")")', WrongArchitecture),
        (127, "libx.so: wrong ELF class: ELFCLASS32", WrongArchitecture),
        (
            1,
            'dlopen failed: "libx.so" has unexpected e_machine: 62 (EM_X86_64)',
            WrongArchitecture,
        ),
        (127, "env: './runner': No such file or directory", WrongArchitecture),
        (127, "sh: 1: ./runner: not found", WrongArchitecture),
        (1, "./runner: libm.so.6: version `GLIBC_2.38' not found (required by x)", SystemTooOld),
        (1, "libstdc++.so.6: version `GLIBCXX_3.4.32' not found", SystemTooOld),
        (127, "./runner: symbol lookup error: ./runner: undefined symbol: f", MissingSymbol),
        (1, 'CANNOT LINK EXECUTABLE "./runner": cannot locate symbol "f"', MissingSymbol),
        (127, "libx.so: cannot open shared object file: No such file", MissingSymbol),
        (1, 'CANNOT LINK EXECUTABLE: library "libx.so" not found', MissingSymbol),
        (1, "sh: write error: No space left on device", DeviceFull),
        (139, "last words", ProgramCrashed),
        (None, "last words", ProgramCrashed),
        (4, "no model in pack", RunFailed),
    ],
)
def test_each_failure_has_its_kind_and_its_words(
    code: int | None, line: str, kind: type[Exception]
) -> None:
    found = explain("adb:X", code, ['{"event": "start"}\n', f"{line}\n", f"edgeskin-exit {code}\n"])
    assert type(found) is kind
    assert str(found).startswith("adb:X: ")
    assert line in str(found)
    assert "\n" not in str(found)


@pytest.mark.parametrize(("code", "name"), [(134, "SIGABRT"), (137, "SIGKILL"), (250, "signal")])
def test_signals_are_named(code: int, name: str) -> None:
    assert name in str(explain("host", code, []))
