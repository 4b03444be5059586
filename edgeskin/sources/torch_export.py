"""Networks that somebody exported by `torch.export`: `.pt2` files without edgeskin's header."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import fx

from edgeskin.errors import InvalidRun
from edgeskin.models.archive import GRAPH_RECORD, ROOT, is_operator, read_records
from edgeskin.models.exported import load_graph
from edgeskin.sources.image_input import ImageInput, image_input
from edgeskin.sources.source_model import (
    LEAST_DB,
    LEAST_QUANTIZED_DB,
    SourceModel,
    SourceTensor,
)
from edgeskin.sources.torch_answers import answering, output_tensors

_SYMBOL = re.compile(r"Symbol\('(\w+)'[^()]*\)")


def read_exported(path: Path, *, input_size: tuple[int, int] | None = None) -> SourceModel:
    """Read a `.pt2` file of `torch.export.save`; nothing in it is unpickled or evaluated.

    Args:
        input_size: Rows and columns of the image, where the file leaves them open.

    Raises:
        InvalidRun: Damaged, of several inputs, of no image input, of open sizes, or with
            operators that are not torch's own.
    """
    try:
        records = read_records(path.read_bytes())
        document = json.loads(records[GRAPH_RECORD])
        _check_operators(document, path)
        taken = _input(document)
    except InvalidRun:
        raise
    except Exception as error:  # zip and JSON raise types of their own
        raise _damaged(path, error) from error
    image = image_input(taken.name, taken.sizes, input_size, where=str(path))
    records[GRAPH_RECORD] = json.dumps(_settled(document, taken.symbols(image))).encode()
    try:
        graph = load_graph(_archive(records))
    except Exception as error:  # torch raises types of its own
        raise _damaged(path, error) from error
    is_quantized = _is_quantized(graph)
    return SourceModel(
        name=path.stem,
        network=graph,
        input=SourceTensor(taken.name, image.shape),
        layout=image.layout,
        outputs=output_tensors(graph, image.shape, where=str(path)),
        runtime=f"PyTorch {torch.__version__}",
        answer=answering(graph),
        quantized=is_quantized,
        least_db=LEAST_QUANTIZED_DB if is_quantized else LEAST_DB,
    )


def _check_operators(document: Any, path: Path) -> None:
    targets = [node["target"] for node in document["graph_module"]["graph"]["nodes"]]
    foreign = Counter(target for target in targets if not is_operator(target))
    if foreign:
        listed = ", ".join(f"{target} ({count})" for target, count in sorted(foreign.items()))
        raise InvalidRun(
            f"{path} calls what is none of torch's own operators: {listed}. Export the float "
            "network, or one that torchao or NNCF quantized, whose steps are "
            "quantized_decomposed."
        )


@dataclass(frozen=True)
class _Input:
    """The one input: its name, and its sizes, a number or the name of what is left open."""

    name: str
    sizes: tuple[int | str, ...]

    def symbols(self, image: ImageInput) -> dict[str, int]:
        pairs = zip(self.sizes, image.shape, strict=True)
        return {name: size for name, size in pairs if isinstance(name, str)}


def _input(document: Any) -> _Input:
    specs = document["graph_module"]["signature"]["input_specs"]
    given = [spec["user_input"]["arg"] for spec in specs if "user_input" in spec]
    names = [arg["as_tensor"]["name"] if "as_tensor" in arg else "a constant" for arg in given]
    if len(names) != 1:
        raise InvalidRun(
            f"it takes {len(names)} inputs ({', '.join(names)}); edgeskin takes networks of one "
            "image. Export one that takes the image alone."
        )
    values = document["graph_module"]["graph"]["tensor_values"][names[0]]
    return _Input(names[0], tuple(map(_size, values["sizes"])))


def _size(entry: dict[str, Any]) -> int | str:
    if "as_int" in entry:
        return int(entry["as_int"])
    text = entry["as_expr"]["expr_str"]
    found = _SYMBOL.fullmatch(text)
    if not found:
        raise ValueError(f"the size {text} of its input is not understood")
    return found[1]


def _settled(value: Any, sizes: dict[str, int]) -> Any:
    """The document with numbers for open sizes: what is computed from them is computed anew."""
    if isinstance(value, list):
        return [_settled(item, sizes) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"as_expr"}:
        found = _SYMBOL.fullmatch(value["as_expr"]["expr_str"])
        hint = (value["as_expr"].get("hint") or {}).get("as_int", 1)
        return {"as_int": sizes.get(found[1], hint) if found else hint}
    return {name: _settled(item, sizes) for name, item in value.items()}


def _archive(records: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as file:
        for name, content in records.items():
            file.writestr(ROOT + name, content)
    return out.getvalue()


def _is_quantized(graph: fx.GraphModule) -> bool:
    return any(str(node.target).startswith("quantized_decomposed.") for node in graph.graph.nodes)


def _damaged(path: Path, error: Exception) -> InvalidRun:
    why = (str(error).strip() or type(error).__name__).splitlines()[0]
    return InvalidRun(
        f"{path} cannot be read as a network exported by torch.export: {why}. Export it again, in "
        "eval mode, with torch.export.export(model, (image,)) and torch.export.save."
    )
