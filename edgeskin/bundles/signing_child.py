"""Signatures by the package model-signing, in the process of an interpreter that has it.

Run as a file by `signing`, maybe of another environment: it imports nothing of edgeskin. It writes
its answer as JSON; a refusal has `error`, the class of edgeskin's that says it. The password of a
locked key comes in the environment, EDGESKIN_KEY_PASSWORD, where no list of processes shows it.

    signing_child.py ANSWER.json check KEY
    signing_child.py ANSWER.json sign KEY FOLDER SIGNATURE
    signing_child.py ANSWER.json verify PUBLIC_KEY FOLDER SIGNATURE
"""

from __future__ import annotations

import ast
import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

PASSWORD = "EDGESKIN_KEY_PASSWORD"
_CURVE = "secp256r1"  # P-256
_MAKE = "openssl ecparam -name prime256v1 -genkey -noout -out KEY.pem"
_CHANGED = re.compile(r"Hash mismatch for '(.*?)': ", re.DOTALL)
_LISTED = re.compile(r"(Extra|Missing) files (?:found )?in model '.*?': (.*)", re.DOTALL)
_WORDS = {"Extra": "was added after signing", "Missing": "was signed and is gone"}


class Refused(Exception):
    """A key that cannot be used; the line says why."""


def check(key: str) -> Mapping[str, object]:
    """Refuse a key that nothing can be signed with."""
    _private_key(key)
    return {}


def sign(key: str, folder: str, signature: str) -> Mapping[str, object]:
    """Write the signature of all files of a folder but its own."""
    from model_signing import signing

    password = _private_key(key)
    config: Any = signing.Config()
    # It is annotated as text, and handed to `cryptography`, which takes bytes alone.
    config.use_elliptic_key_signer(private_key=key, password=password)
    config.set_hashing_config(_all_but(signature)).sign(folder, signature)
    return {}


def verify(key: str, folder: str, signature: str) -> Mapping[str, object]:
    """What does not hold of a folder's signature, a line each."""
    from cryptography.exceptions import InvalidSignature
    from model_signing import verifying

    _public_key(key)
    config = verifying.Config().use_elliptic_key_verifier(public_key=key)
    config.set_hashing_config(_all_but(signature))
    name = Path(signature).name
    if not Path(signature).is_file():
        return {"faults": [f"there is no {name}: it was never signed, or its signature is gone"]}
    try:
        config.verify(Path(folder), signature)
    except InvalidSignature:
        return {"faults": [f"{name} was changed: it is no signature of what it lists"]}
    except Exception as error:  # whatever a damaged file makes of the parsers in there
        text = str(error)
        if text.startswith("Key mismatch"):
            return {"faults": [f"{name} was made with another key than that of {key}"]}
        if text.startswith("Signature mismatch: "):
            return {"faults": _differences(text.removeprefix("Signature mismatch: "))}
        line = " ".join(text.split())[:160] or type(error).__name__
        return {"faults": [f"{name} is damaged: {line}"]}
    return {"faults": []}


def _all_but(signature: str) -> Any:
    """Every file counts but the signature and a repository's own; .gitignore counts, too."""
    from model_signing import hashing

    aside = [Path(signature).name, ".git"]
    return hashing.Config().set_ignored_paths(paths=aside, ignore_git_paths=False)


def _differences(text: str) -> list[str]:
    lines: list[str] = []
    for difference in ast.literal_eval(text):
        if (found := _CHANGED.match(difference)) is not None:
            lines.append(f"{found[1]} was changed after signing")
        elif (found := _LISTED.match(difference)) is not None:
            lines += [f"{file} {_WORDS[found[1]]}" for file in found[2].split(", ")]
        else:
            lines.append(str(difference))
    return lines


def _private_key(path: str) -> bytes | None:
    """The password of a private key that can be used, None where it has none."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data, password = _pem(path), os.environ.get(PASSWORD, "").encode() or None
    if b"BEGIN PUBLIC KEY" in data:
        raise Refused(f"{path} is a public key: --sign takes the private one")
    try:
        try:
            key = load_pem_private_key(data, None)
            password = None
        except TypeError:  # locked
            if password is None:
                raise Refused(f"{path} is locked: set {PASSWORD} to its password") from None
            key = load_pem_private_key(data, password)
    except (ValueError, UnsupportedAlgorithm) as error:
        why = f"{PASSWORD} does not open it" if password else "it is no private key in PEM"
        raise Refused(f"{path} cannot be read: {why}. Make one with: {_MAKE}") from error
    _check_kind(key, path)
    return password


def _public_key(path: str) -> None:
    """Refuse what is no public key of the kind that bundles are signed with."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    data = _pem(path)
    if b"PRIVATE KEY" in data:
        raise Refused(
            f"{path} is a private key: --key takes the public one, which "
            f"openssl ec -in {path} -pubout gives"
        )
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Refused(f"{path} is no public key in PEM") from error
    _check_kind(key, path)


def _pem(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}") from error


def _check_kind(key: Any, path: str) -> None:
    curve = getattr(getattr(key, "curve", None), "name", "")
    if curve != _CURVE:
        kind = type(key).__name__.removesuffix("PrivateKey").removesuffix("PublicKey")
        raise Refused(
            f"{path} is {f'an ECDSA key of {curve}' if curve else f'a key for {kind}'}: bundles "
            f"are signed with ECDSA P-256. Make one with: {_MAKE}"
        )


COMMANDS: Mapping[str, Callable[..., Mapping[str, object]]] = {
    "check": check,
    "sign": sign,
    "verify": verify,
}


def main() -> None:
    answer, command, *arguments = sys.argv[1:]
    try:
        document: Mapping[str, object] = COMMANDS[command](*arguments)
    except Refused as error:
        document = {"error": "InvalidKey", "message": str(error)}
    except ModuleNotFoundError as error:
        package = {"OpenSSL": "pyopenssl"}.get(error.name or "", error.name)
        message = f"signatures need {package} in {sys.executable}: pip install 'edgeskin[sign]'"
        document = {"error": "MissingPackage", "message": message}
    Path(answer).write_text(json.dumps(document), encoding="utf-8")


if __name__ == "__main__":
    main()
