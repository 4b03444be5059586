"""Hashes, signatures, bills and licences of a bundle, and pages of 16 KB in an app's libraries."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from platforms import missing

from edgeskin.benchmarks.store import kept
from edgeskin.bundles import archives
from edgeskin.bundles.bundle_check import verify_bundle
from edgeskin.bundles.licence_list import licence_of
from edgeskin.bundles.page_alignment import page_faults
from edgeskin.bundles.signing import PYTHON, check_key, check_signature, sign
from edgeskin.errors import InvalidBundle, InvalidKey, MissingPackage

PASSWORD = "EDGESKIN_KEY_PASSWORD"
# Runs in the environment that has model-signing, whose `cryptography` makes every kind of key.
MAKE_KEYS = """
import sys
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import *
out = Path(sys.argv[1])
def write(name, key, lock=NoEncryption()):
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (out / f"{name}.pem").write_bytes(private)
    (out / f"{name}.pub").write_bytes(public)
key = ec.generate_private_key(ec.SECP256R1())
write("ours", key)
write("locked", key, BestAvailableEncryption(b"secret"))
write("other", ec.generate_private_key(ec.SECP256R1()))
write("p384", ec.generate_private_key(ec.SECP384R1()))
write("rsa", rsa.generate_private_key(65537, 2048))
(out / "text.pem").write_text("no key")
"""


@pytest.fixture(scope="session")
def signer() -> str:
    """A Python that has model-signing: this one, the one that is named, or one made for it."""
    if importlib.util.find_spec("model_signing") is not None:
        return sys.executable
    if named := os.environ.get(PYTHON):
        return named

    def make(folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        install = [folder / "bin/python", "-m", "pip", "install", "--quiet"]
        subprocess.run([*install, "model-signing==1.1.1", "pyopenssl>=24"], check=True)

    try:
        return str(kept("model-signing-1.1.1", make) / "bin/python")
    except subprocess.CalledProcessError as error:
        missing(f"model-signing could not be installed: {error}")
        raise


@pytest.fixture(autouse=True)
def _environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if {"keys", "signed"} & set(request.fixturenames):
        monkeypatch.setenv(PYTHON, request.getfixturevalue("signer"))
    monkeypatch.delenv(PASSWORD, raising=False)


@pytest.fixture(scope="session")
def keys(signer: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    subprocess.run([signer, "-c", MAKE_KEYS, str(folder)], check=True)
    return folder


@pytest.fixture(scope="session")
def signed_once(
    bundled: Path, keys: Path, signer: str, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = Path(shutil.copytree(bundled, tmp_path_factory.mktemp("signed") / "tiny"))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(PYTHON, signer)
        sign(folder, keys / "ours.pem")
    return folder


@pytest.fixture
def signed(signed_once: Path, tmp_path: Path) -> Path:
    """A bundle that is signed with `ours`, to spoil."""
    return Path(shutil.copytree(signed_once, tmp_path / "signed"))


@pytest.mark.parametrize(
    ("key", "password", "line"),
    [
        ("rsa.pem", "", "is a key for RSA: bundles are signed with ECDSA P-256"),
        ("p384.pem", "", "is an ECDSA key of secp384r1"),
        ("ours.pub", "", "is a public key: --sign takes the private one"),
        ("locked.pem", "", "is locked: set EDGESKIN_KEY_PASSWORD"),
        ("locked.pem", "wrong", "EDGESKIN_KEY_PASSWORD does not open it"),
        ("text.pem", "", "is no private key in PEM. Make one with: openssl"),
        ("none.pem", "", "none.pem cannot be read: No such file"),
    ],
)
def test_a_key_that_cannot_sign_is_refused_with_its_reason(
    keys: Path, key: str, password: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD, password)
    with pytest.raises(InvalidKey, match=line) as refusal:
        check_key(keys / key)
    assert "\n" not in str(refusal.value)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("ours.pem", "is a private key: --key takes the public one"),
        ("rsa.pub", "is a key for RSA"),
        ("text.pem", "is no public key in PEM"),
        ("none.pub", "cannot be read"),
    ],
)
def test_a_key_that_cannot_check_is_refused_with_its_reason(
    bundled: Path, keys: Path, key: str, line: str
) -> None:
    with pytest.raises(InvalidKey, match=line):
        check_signature(bundled, keys / key)


def test_a_locked_key_signs_with_its_password(
    spoiled: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD, "secret")
    sign(spoiled, keys / "locked.pem")
    assert check_signature(spoiled, keys / "ours.pub") == ()  # the same key, unlocked


def test_a_signature_holds_wherever_the_bundle_lies(
    signed: Path, keys: Path, tmp_path: Path
) -> None:
    moved = signed.rename(tmp_path / "renamed")
    check = verify_bundle(moved, keys / "ours.pub")
    assert check.passed
    assert check.signature == "valid"
    assert verify_bundle(moved).signature == "not checked"


def test_a_bundle_may_lie_in_a_repository(signed: Path, keys: Path) -> None:
    subprocess.run(["git", "init", "--quiet", str(signed)], check=True)
    assert verify_bundle(signed, keys / "ours.pub").passed


def test_the_standards_own_command_line_takes_the_signature(
    signed: Path, keys: Path, signer: str
) -> None:
    command = [signer, "-m", "model_signing", "verify", "key", str(signed)]
    command += ["--signature", str(signed / "bundle.sig"), "--public_key", str(keys / "ours.pub")]
    command += ["--ignore-paths", str(signed / "bundle.sig")]
    subprocess.run(command, check=True, capture_output=True)
    (signed / "README.md").write_text("another one")
    assert subprocess.run(command, capture_output=True).returncode != 0


def change(folder: Path) -> None:
    (folder / "README.md").write_text("another one")


def add(folder: Path) -> None:
    (folder / ".gitignore").write_text("*")  # what the package leaves out unasked


def remove(folder: Path) -> None:
    (folder / "LICENSES.md").unlink()


def damage(folder: Path) -> None:
    path = folder / "bundle.sig"
    path.write_bytes(path.read_bytes()[:200])


def forge(folder: Path) -> None:
    """Sign another README by hand, without the key."""
    import base64

    path = folder / "bundle.sig"
    old, new = (folder / "README.md").read_bytes(), b"another one"
    (folder / "README.md").write_bytes(new)
    document = json.loads(path.read_text())
    envelope = document["dsseEnvelope"]
    payload = base64.b64decode(envelope["payload"]).decode()
    swapped = payload.replace(hashlib.sha256(old).hexdigest(), hashlib.sha256(new).hexdigest())
    assert swapped != payload
    statement = json.loads(swapped)
    digests = b"".join(bytes.fromhex(r["digest"]) for r in statement["predicate"]["resources"])
    statement["subject"][0]["digest"]["sha256"] = hashlib.sha256(digests).hexdigest()
    envelope["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    path.write_text(json.dumps(document))


def unsign(folder: Path) -> None:
    (folder / "bundle.sig").unlink()


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (change, "README.md was changed after signing"),
        (add, ".gitignore was added after signing"),
        (remove, "LICENSES.md was signed and is gone"),
        (damage, "bundle.sig is damaged: "),
        (forge, "bundle.sig was changed: it is no signature of what it lists"),
        (unsign, "there is no bundle.sig"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_was_done_to_a_signed_bundle_is_told(
    signed: Path, keys: Path, spoil: Callable[[Path], None], line: str
) -> None:
    spoil(signed)
    check = verify_bundle(signed, keys / "ours.pub")
    assert check.signature == "invalid"
    (fault,) = (fault for fault in check.faults if fault.startswith("signature: "))
    assert fault.startswith(f"signature: {line}")


def test_the_signature_of_another_key_is_told(signed: Path, keys: Path) -> None:
    (fault,) = check_signature(signed, keys / "other.pub")
    assert "was made with another key" in fault


def test_without_model_signing_the_line_says_where_it_may_be(
    bundled: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(PYTHON, raising=False)
    monkeypatch.setitem(sys.modules, "model_signing", None)
    with pytest.raises(MissingPackage, match=r"edgeskin\[sign\].*EDGESKIN_SIGNING_PYTHON"):
        check_signature(bundled, tmp_path / "ours.pub")
    monkeypatch.setenv(PYTHON, str(tmp_path / "no-python"))
    with pytest.raises(MissingPackage, match="which does not run"):
        check_signature(bundled, tmp_path / "ours.pub")


# Hashes ------------------------------------------------------------------------------------------


def test_a_bundle_is_as_it_was_written(bundled: Path) -> None:
    check = verify_bundle(bundled)
    assert check.passed
    assert check.signature == "none"
    files = [path for path in bundled.rglob("*") if path.is_file()]
    assert check.files == len(files) - 1  # bundle.json holds no hash of itself


def test_changed_missing_added_and_linked_files_are_told(spoiled: Path) -> None:
    change(spoiled)
    add(spoiled)
    remove(spoiled)
    (spoiled / "models/link.onnx").symlink_to("/etc/hostname")
    assert sorted(fault.split(" ", 1)[0] for fault in verify_bundle(spoiled).faults) == [
        ".gitignore",
        "LICENSES.md",
        "README.md",
        "models/link.onnx",
    ]


def test_a_swapped_model_is_named(spoiled: Path, artifact_of: Callable[[str, str], Path]) -> None:
    """Even where the hashes of `bundle.json` were made to fit."""
    other = artifact_of("many", "onnx")
    shutil.copyfile(other, spoiled / "models/tiny.onnx")
    document = json.loads((spoiled / "bundle.json").read_text())
    document["files"]["models/tiny.onnx"] = hashlib.sha256(other.read_bytes()).hexdigest()
    (spoiled / "bundle.json").write_text(json.dumps(document))
    (fault,) = verify_bundle(spoiled).faults
    assert fault.startswith("models/tiny.onnx is another model: it carries the spec of ")


def test_a_swapped_spec_is_named(spoiled: Path) -> None:
    path = spoiled / "models/tiny.spec.json"
    path.write_text(path.read_text().replace("mm2", "cm2"))
    document = json.loads((spoiled / "bundle.json").read_text())
    document["files"]["models/tiny.spec.json"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (spoiled / "bundle.json").write_text(json.dumps(document))
    (fault,) = verify_bundle(spoiled).faults
    assert fault.startswith("models/tiny.spec.json is not the spec of tiny.onnx")


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        (lambda d: d.pop("files"), "files: Field required"),
        (lambda d: d.update(version=2), "version 2; upgrade edgeskin"),
        (lambda d: d["files"].update({"../escape": "0" * 64}), "outside its folder"),
        (lambda d: d["files"].update({"/etc/hostname": "0" * 64}), "outside its folder"),
        (lambda d: d["models"][0]["files"][0]["spec"].pop("heads"), "TinyModel: heads"),
        (lambda d: d["models"][0].update(join={"kind": "glue"}), "TinyModel: "),
    ],
)
def test_a_document_that_cannot_be_read_is_refused(
    spoiled: Path, edit: Callable[[dict[str, Any]], None], line: str
) -> None:
    document = json.loads((spoiled / "bundle.json").read_text())
    edit(document)
    (spoiled / "bundle.json").write_text(json.dumps(document))
    with pytest.raises(InvalidBundle, match=line) as refusal:
        verify_bundle(spoiled)
    assert "\n" not in str(refusal.value)


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidBundle, match="has no bundle.json: name the folder that edgeskin"):
        verify_bundle(tmp_path)
    with pytest.raises(InvalidBundle, match="nothing is missing"):
        verify_bundle(tmp_path / "nothing")
    (tmp_path / "bundle.json").write_text("{")
    with pytest.raises(InvalidBundle, match="is not JSON"):
        verify_bundle(tmp_path)


# Pages of 16 KB ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], bytes]:
    """`library("aarch64-linux-musl", 4096)`: one that a linker made."""
    if importlib.util.find_spec("ziglang") is None:
        missing("zig is missing: pip install ziglang==0.13.0")
    folder = tmp_path_factory.mktemp("libraries")
    (folder / "one.c").write_text("int one(void) { return 1; }\n")

    def make(target: str, page: int) -> bytes:
        out = folder / f"{target}-{page}.so"
        command = [sys.executable, "-m", "ziglang", "cc", "-target", target, "-shared", "-nostdlib"]
        command += [f"-Wl,-z,max-page-size={page}", str(folder / "one.c"), "-o", str(out)]
        subprocess.run(command, check=True)
        return out.read_bytes()

    return make


Library = Callable[[str, int], bytes]


def test_libraries_of_small_pages_are_found(library: Library) -> None:
    assert page_faults(library("aarch64-linux-musl", 16384), "a.so") == []
    assert page_faults(library("x86_64-linux-musl", 65536), "a.so") == []
    faults = page_faults(library("aarch64-linux-musl", 4096), "a.so")
    assert faults
    assert faults[0].startswith("a.so: segment 0 is aligned to 4096 bytes")
    assert page_faults(library("arm-linux-musleabi", 4096), "a.so") is None  # 32-bit


def test_a_segment_that_lies_elsewhere_than_it_says_is_found(library: Library) -> None:
    data = bytearray(library("aarch64-linux-musl", 4096))
    start = struct.unpack_from("<Q", data, 32)[0]
    count = struct.unpack_from("<H", data, 56)[0]
    for header in range(start, start + 56 * count, 56):  # claim 16384 without moving anything
        if struct.unpack_from("<I", data, header)[0] == 1:
            struct.pack_into("<Q", data, header + 48, 16384)
    faults = page_faults(bytes(data), "a.so")
    assert faults
    assert "which differ by no multiple of 16384" in faults[0]


def test_a_library_that_is_cut_off_is_refused(library: Library) -> None:
    data = library("aarch64-linux-musl", 16384)
    for end in range(4, 400, 9):  # within its headers
        with pytest.raises(InvalidBundle, match="cut.so is no whole ELF library"):
            page_faults(data[:end], "cut.so")


def archive(path: Path, entries: dict[str, bytes], *, page: int = 0) -> Path:
    """A zip whose libraries lie at multiples of `page`, uncompressed; 0 for compressed ones."""
    with zipfile.ZipFile(path, "w") as out:
        for name, data in entries.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_STORED if page else zipfile.ZIP_DEFLATED
            if page:
                start = out.start_dir + 30 + len(name)
                entry.extra = b"\0" * (-start % page)
            out.writestr(entry, data)
    return path


def test_an_apps_archive_is_checked_where_it_lies(library: Library, tmp_path: Path) -> None:
    good, bad = library("aarch64-linux-musl", 16384), library("x86_64-linux-musl", 4096)
    small = library("arm-linux-musleabi", 4096)
    entries = {
        "lib/arm64-v8a/libedgeskin.so": good,
        "lib/x86_64/libother.so": bad,
        "lib/armeabi-v7a/libother.so": small,
        "../../lib/arm64-v8a/libescape.so": good,
        "classes.dex": b"dex",
    }
    check = verify_bundle(archive(tmp_path / "app.aab", entries))
    assert check.kind == "aab"
    assert check.libraries == tuple(name for name in entries if "64" in name)
    assert check.faults
    assert all(fault.startswith("lib/x86_64/libother.so: segment") for fault in check.faults)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["app.aab"]  # nothing was unpacked


def test_an_apk_must_be_aligned_itself(library: Library, tmp_path: Path) -> None:
    entries = {"lib/arm64-v8a/libone.so": library("aarch64-linux-musl", 16384)}
    assert verify_bundle(archive(tmp_path / "good.apk", entries, page=16384)).passed
    assert verify_bundle(archive(tmp_path / "packed.apk", entries)).passed  # unpacked on install
    check = verify_bundle(archive(tmp_path / "bad.apk", entries, page=4096 + 4))
    (fault,) = check.faults
    assert "zipalign -P 16" in fault
    assert verify_bundle(archive(tmp_path / "any.aar", entries, page=4)).passed


def test_archives_that_cannot_be_read_are_refused(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = {"lib/arm64-v8a/libone.so": library("aarch64-linux-musl", 16384)}
    path = archive(tmp_path / "app.apk", entries)
    with pytest.raises(InvalidBundle, match="an app's archive, which has no bundle.sig"):
        verify_bundle(path, tmp_path / "ours.pub")
    monkeypatch.setattr(archives, "MOST_BYTES", 1000)
    with pytest.raises(InvalidBundle, match="has more than 1000 bytes"):
        verify_bundle(path)
    monkeypatch.undo()
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InvalidBundle, match="is no whole archive"):
        verify_bundle(path)
    broken = bytearray(data)
    broken[60:90] = bytes(30)
    path.write_bytes(broken)
    with pytest.raises(InvalidBundle, match="app.apk"):
        verify_bundle(path)
    (fault,) = verify_bundle(archive(path, {"lib/arm64-v8a/a.so": b"text"})).faults
    assert fault == "lib/arm64-v8a/a.so is no native library"


# Bill of materials and licences ------------------------------------------------------------------


def test_the_bill_is_valid_and_names_every_part(bundled: Path) -> None:
    text = (bundled / "sbom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document = json.loads(text)
    components = {component["name"]: component for component in document["components"]}
    assert set(components) == {"edgeskin", "onnxruntime", "tiny"}
    network = components["tiny"]
    model = (bundled / "models/tiny.onnx").read_bytes()
    assert network["type"] == "machine-learning-model"
    assert network["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(model).hexdigest()}]
    spec = json.loads((bundled / "models/tiny.spec.json").read_text())
    assert network["modelCard"]["modelParameters"]["task"] == spec["task"]
    assert network["modelCard"]["considerations"]["useCases"] == [spec["intended_use"]]
    assert "timestamp" not in document["metadata"]


def test_the_licences_lie_beside_their_list(bundled: Path) -> None:
    listed = (bundled / "LICENSES.md").read_text()
    texts = {path.name for path in (bundled / "LICENSES").iterdir()}
    assert "Apache-2.0.txt" in texts
    for name in texts:
        assert f"(LICENSES/{name})" in listed
    apache = (bundled / "LICENSES/Apache-2.0.txt").read_text()
    assert "Version 2.0, January 2004" in apache
    assert "MIT" in listed  # ONNX Runtime


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("Apache-2.0", "Apache-2.0"),
        ("MIT OR Apache-2.0", "MIT OR Apache-2.0"),
        ("CC0-1.0: trained on phantoms alone", "CC0-1.0"),
        ("CC BY 4.0 (somebody)", "LicenseRef-acne-v2"),
        ("", "LicenseRef-acne-v2"),
        ("MIT OR", "LicenseRef-acne-v2"),
        ("(((", "LicenseRef-acne-v2"),
        ("LicenseRef-ours", "LicenseRef-acne-v2"),
    ],
)
def test_a_licence_is_an_expression_where_it_is_one(text: str, expression: str) -> None:
    licence = licence_of(text, "acne_v2")
    assert licence.expression == expression
    assert licence.text == text
