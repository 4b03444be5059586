"""A bundle's signature, `bundle.sig`: OpenSSF model signing 1.0 with a key of one's own, offline.

The package `model-signing` makes and checks it, ECDSA P-256 over the SHA-256 of every file. It
cannot be installed beside litert-torch, whose converter asks for an older typing-extensions: an
environment of its own may have it, whose Python EDGESKIN_SIGNING_PYTHON names.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeskin.bundles import signing_child
from edgeskin.bundles.bundle_documents import SIGNATURE
from edgeskin.errors import InvalidBundle, MissingPackage, from_document

PYTHON = "EDGESKIN_SIGNING_PYTHON"
"""Names an interpreter that has model-signing, where this one has not."""


def check_key(path: Path) -> None:
    """Refuse a private key before any work is spent on what it is to sign.

    A locked key's password is `$EDGESKIN_KEY_PASSWORD`.

    Raises:
        InvalidKey: Missing, locked, public, or no ECDSA P-256 key in PEM.
        MissingPackage: model-signing is in no interpreter that is known.
    """
    _ask("check", path)


def sign(folder: Path, key: Path) -> None:
    """Write `folder/bundle.sig`, the signature of every other file in the folder.

    Raises:
        InvalidKey, MissingPackage: As `check_key`.
        InvalidBundle: The folder holds a link.
    """
    folder = Path(folder).absolute()
    _ask("sign", key, folder, folder / SIGNATURE)


def check_signature(folder: Path, public_key: Path) -> tuple[str, ...]:
    """What does not hold of a bundle's signature, a line each; nothing where it is right.

    Raises:
        InvalidKey: `public_key` is missing, private, or no ECDSA P-256 key in PEM.
        MissingPackage: As `check_key`.
    """
    folder = Path(folder).absolute()
    return tuple(_ask("verify", public_key, folder, folder / SIGNATURE)["faults"])


def _python() -> str:
    if importlib.util.find_spec("model_signing") is not None:
        return sys.executable
    if named := os.environ.get(PYTHON, ""):
        return named
    raise MissingPackage(
        "signatures need model-signing: pip install 'edgeskin[sign]' here, or, as it does not go "
        f"with litert-torch, pip install model-signing pyopenssl in an environment of its own, "
        f"whose Python {PYTHON} then names"
    )


def _ask(command: str, *arguments: object) -> Mapping[str, Any]:
    """The other process' answer.

    Raises:
        MissingPackage: There is no such interpreter, or it has no model-signing.
        InvalidKey: The key was refused.
        InvalidBundle: The other process ended without an answer.
    """
    python = _python()
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "answer.json"
        line = [python, "-I", str(signing_child.__file__), str(path), command, *map(str, arguments)]
        try:
            done = subprocess.run(line, capture_output=True, text=True, errors="replace")
        except OSError as error:
            raise MissingPackage(f"{PYTHON} names {python}, which does not run: {error}") from error
        if not path.is_file():
            last = (done.stderr.strip() or "it said nothing").splitlines()[-1]
            raise InvalidBundle(f"model-signing in {python} could not {command}: {last}")
        answer: dict[str, Any] = json.loads(path.read_bytes())
    if "error" in answer:
        raise from_document(answer)
    return answer
