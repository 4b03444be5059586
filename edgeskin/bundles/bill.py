"""`sbom.cdx.json`: what a bundle is made of, as CycloneDX 1.6, by cyclonedx-python-lib.

The library writes and validates everything but model cards, which it does not know yet: those of
the networks are added to its JSON. Nothing in it comes from a clock or from chance, so that the
same bundle has the same bill: its serial number is made of the hashes of the networks.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeskin.bundles.bundle_api import Stage
from edgeskin.bundles.bundle_plan import Plan
from edgeskin.bundles.licence_list import APACHE, licence_of
from edgeskin.bundles.runtime_packages import RuntimePackage, runtime_packages
from edgeskin.errors import MissingPackage
from edgeskin.version import __version__

if TYPE_CHECKING:
    from cyclonedx.model.component import Component
    from cyclonedx.model.license import License


def bill_of_materials(plan: Plan) -> bytes:
    """The bill of a bundle: its networks, the native core, and what its build system fetches.

    Raises:
        MissingPackage: cyclonedx-python-lib is not installed.
    """
    try:
        from cyclonedx.model.bom import Bom
        from cyclonedx.model.component import Component, ComponentType
        from cyclonedx.output.json import JsonV1Dot6
    except ModuleNotFoundError as error:
        raise MissingPackage(
            "a bill of materials needs cyclonedx-python-lib: pip install 'edgeskin[bundle]'"
        ) from error

    root = Component(
        name=plan.name, version=plan.release, type=ComponentType.LIBRARY, bom_ref="bundle",
        group=plan.package, description=f"edgeskin bundle for {plan.platform}",
    )  # fmt: skip
    core = Component(
        name="edgeskin", version=__version__, type=ComponentType.LIBRARY, bom_ref="core",
        description="pre- and post-processing in C++, and its faces",
        licenses=[_license(APACHE)],
    )  # fmt: skip
    parts = [core, *map(_network, plan.stages), *map(_package, runtime_packages(plan))]
    bom = Bom(components=parts, serial_number=_serial_number(plan))
    bom.metadata.component = root
    bom.register_dependency(root, parts)
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    del document["metadata"]["timestamp"]
    cards = {stage.file: _model_card(stage) for stage in plan.stages}
    for component in document["components"]:
        if component["bom-ref"] in cards:
            component["modelCard"] = cards[component["bom-ref"]]
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def _serial_number(plan: Plan) -> uuid.UUID:
    hashes = ",".join(stage.sha256 for stage in plan.stages)
    made = f"edgeskin {__version__} {plan.platform}"
    content = f"{made} {plan.package} {plan.name} {plan.release} {hashes}"
    return uuid.uuid5(uuid.NAMESPACE_OID, content)


def _network(stage: Stage) -> Component:
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.component import Component, ComponentType

    spec = stage.spec
    licence = licence_of(spec.license, Path(stage.file).stem)
    properties = {
        "file": stage.file,
        "bytes": str(stage.bytes),
        "precision": stage.precision,
        "sha256_of": "folder" if stage.path.is_dir() else "file",
    }
    return Component(
        name=spec.name,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=stage.file,
        description=spec.intended_use,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=stage.sha256)],
        licenses=[_license(licence.expression, licence.text)],
        properties=[Property(name=f"edgeskin:{k}", value=v) for k, v in properties.items()],
    )


def _package(package: RuntimePackage) -> Component:
    from cyclonedx.model import ExternalReference, ExternalReferenceType, XsUri
    from cyclonedx.model.component import Component, ComponentScope, ComponentType
    from packageurl import PackageURL

    return Component(
        name=package.name,
        group=package.group or None,
        version=package.version,
        type=ComponentType.LIBRARY,
        bom_ref=package.purl,
        purl=PackageURL.from_string(package.purl),
        scope=ComponentScope.REQUIRED,
        licenses=[_license(package.licence)],
        external_references=[
            ExternalReference(type=ExternalReferenceType.WEBSITE, url=XsUri(package.url))
        ],
    )


def _license(expression: str, text: str = "") -> License:
    """By its SPDX expression; a `LicenseRef-` with its text."""
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model import AttachedText
    from cyclonedx.model.license import DisjunctiveLicense

    if expression.startswith("LicenseRef-"):
        return DisjunctiveLicense(name=expression, text=AttachedText(content=text))
    return LicenseFactory().make_from_string(expression)


def _model_card(stage: Stage) -> Mapping[str, object]:
    """The spec's words in the schema's `modelCard`; what the spec leaves empty is left out."""
    spec = stage.spec
    parameters: dict[str, Any] = {"task": spec.task, "inputs": [{"format": "image"}]}
    if spec.arch:
        parameters["modelArchitecture"] = spec.arch
    if spec.training_data:
        parameters["datasets"] = [{"type": "dataset", "name": spec.training_data}]
    parameters["outputs"] = [{"format": f"{head.name}: {head.kind}"} for head in spec.heads]
    considerations = {"useCases": [spec.intended_use]}
    if spec.limits:
        considerations["technicalLimitations"] = [spec.limits]
    return {"modelParameters": parameters, "considerations": considerations}
