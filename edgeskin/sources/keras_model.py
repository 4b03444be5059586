"""Keras 3 models, run by Keras on its torch backend, whichever backend wrote them."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from edgeskin.errors import InvalidArtifact, MissingPackage, NotSupportedHere
from edgeskin.sources.image_input import ImageInput, image_input
from edgeskin.sources.keras_file import (
    Code,
    KerasFile,
    check_code,
    code_of,
    read_keras_file,
)
from edgeskin.sources.source_model import Hints, SourceModel, SourceTensor
from edgeskin.sources.without_transposes import without_transposes

if TYPE_CHECKING:
    import keras

_BACKEND = "KERAS_BACKEND"


def read_keras(
    path: Path, *, trust: bool = False, input_size: tuple[int, int] | None = None
) -> SourceModel:
    """A whole model from a `.keras` archive or an HDF5 file.

    Args:
        path: Recognised by its content.
        trust: Run Lambda layers, and import the classes of others that it names.
        input_size: (height, width), where the model leaves them open.

    Raises:
        InvalidArtifact: Damaged, weights alone, or no network of one image.
        NotTrusted: It holds code of its author, and `trust` is False; none of it was run.
        MissingPackage: Keras or h5py is not installed.
        NotSupportedHere: Keras runs in this process already, on another backend.
    """
    path = Path(path)
    file = read_keras_file(path)
    library = _keras()
    known = frozenset(name for name in dir(library.layers) if name[0].isupper())
    if not trust:
        check_code(file.config, path, known)
    own = _imported(code_of(file.config, known), path)
    model = _load(library, path, file, own, trust=trust)
    image = _image(model, path, input_size)
    names = _output_names(model, image, path)
    network = without_transposes(_exported(model, image, path))
    with torch.inference_mode():
        results = network(torch.zeros(image.shape))
    outputs = [
        SourceTensor(name, tuple(result.shape)) for name, result in zip(names, results, strict=True)
    ]
    return SourceModel(
        name=path.stem,
        network=network,
        input=SourceTensor(model.inputs[0].name, image.shape),
        layout=image.layout,
        outputs=tuple(outputs),
        runtime=f"Keras {library.__version__} on torch {torch.__version__}",
        answer=lambda pixels: _answer(model, pixels),
        hints=_hints(model),
    )


def _keras() -> Any:
    """Keras on torch; the environment is as before when it is imported."""
    if (loaded := sys.modules.get("keras")) is not None:
        return _on_torch(loaded)
    before = os.environ.get(_BACKEND)
    os.environ[_BACKEND] = "torch"
    try:
        import keras
    except ModuleNotFoundError as error:
        if error.name not in ("keras", "h5py"):
            raise
        raise MissingPackage(
            f"reading a Keras model needs {error.name}: pip install 'edgeskin[keras]'"
        ) from error
    finally:
        if before is None:
            del os.environ[_BACKEND]
        else:
            os.environ[_BACKEND] = before
    return keras


def _on_torch(loaded: ModuleType) -> ModuleType:
    backend = loaded.config.backend() if hasattr(loaded, "config") else "tensorflow"
    if backend != "torch":
        raise NotSupportedHere(
            f"keras is imported in this process already, on its {backend} backend; edgeskin reads "
            f"Keras models on torch. Set {_BACKEND}=torch before you import keras, or use a "
            "process of its own, as `edgeskin import` is."
        )
    return loaded


def _imported(codes: Iterable[Code], path: Path) -> dict[str, object]:
    """The classes and functions that a trusted model names, by every name it may call them."""
    own: dict[str, object] = {}
    for code in codes:
        if code.module is None or code.module == "builtins":
            continue
        try:
            value = getattr(importlib.import_module(code.module), code.name)
        except Exception as error:  # somebody else's module may raise anything
            raise InvalidArtifact(
                f"{path}: layer '{code.layer}' is of {code.what}, which cannot be imported: "
                f"{_line(error)}. Put its folder on PYTHONPATH."
            ) from error
        own |= {code.name: value, code.registered or code.name: value}
    return own


def _load(
    library: Any, path: Path, file: KerasFile, own: dict[str, object], *, trust: bool
) -> keras.Model:
    try:
        with _suffixed(path, file.suffix) as named:
            model = library.saving.load_model(
                named, custom_objects=own, compile=False, safe_mode=not trust
            )
    except Exception as error:  # Keras, h5py and custom classes raise types of their own
        raise InvalidArtifact(
            f"Keras {library.__version__} cannot load {path}: {_line(error)}"
        ) from error
    return model


@contextmanager
def _suffixed(path: Path, suffix: str) -> Iterator[Path]:
    """`path` under a name that ends as Keras wants it: it chooses its reader by the name."""
    if path.suffix in ((".h5", ".hdf5") if suffix == ".h5" else (suffix,)):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        named = Path(folder) / f"model{suffix}"
        named.symlink_to(path.resolve())
        yield named


def _image(model: keras.Model, path: Path, size: tuple[int, int] | None) -> ImageInput:
    """The one input, of a batch of one."""
    inputs = getattr(model, "inputs", None)
    if not inputs:
        raise InvalidArtifact(
            f"{path} does not say what it takes: '{type(model).__name__}' is a class of its own "
            "and was saved without inputs. Wrap it: x = keras.Input((224, 224, 3)); "
            "keras.Model(x, model(x)).save('x.keras')."
        )
    if len(inputs) > 1:
        listed = ", ".join(f"'{each.name}' {tuple(each.shape)}" for each in inputs)
        raise InvalidArtifact(f"{path} takes {len(inputs)} inputs, not one image: {listed}")
    [one] = inputs
    return image_input(one.name, one.shape, size, where=str(path))


def _output_names(model: keras.Model, image: ImageInput, path: Path) -> list[str]:
    """The keys of a dictionary of outputs, in its order; else what Keras calls them."""
    with torch.inference_mode():
        try:
            results = model(torch.zeros(image.shape), training=False)
        except Exception as error:  # the layers of others may raise anything
            raise InvalidArtifact(
                f"{path} fails on an image of {image.shape}: {_line(error)}"
            ) from error
    tree = sys.modules["keras"].tree
    paths = [place for place, _ in tree.flatten_with_path(results)]
    if all(isinstance(key, str) for place in paths for key in place) and paths[0]:
        return [".".join(place) for place in paths]
    names = list(getattr(model, "output_names", ()))
    is_named = len(set(names)) == len(names) == len(paths)
    return names if is_named else [f"output_{index}" for index in range(len(paths))]


class _Flat(nn.Module):
    """A Keras model in inference, its outputs as a tuple."""

    def __init__(self, model: keras.Model):
        super().__init__()
        self.model = [model]  # hidden from torch: its weights are constants here, named below

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        results = self.model[0](x, training=False)
        return tuple(sys.modules["keras"].tree.flatten(results))


def _exported(model: keras.Model, image: ImageInput, path: Path) -> fx.GraphModule:
    """The graph of a model; a weight is called `layer.kernel`, where Keras says `layer/kernel`."""
    try:
        with torch.no_grad():
            program = torch.export.export(_Flat(model), (torch.zeros(image.shape),))
            graph = program.run_decompositions({}).module(check_guards=False)
    except Exception as error:  # torch.export raises types of its own, many lines long
        raise InvalidArtifact(
            f"{path} cannot be exported to a graph of fixed shapes: {_line(error)}"
        ) from error
    names = {
        weight.value.data_ptr(): weight.path.replace(".", "_").replace("/", ".")
        for weight in model.variables
    }
    return _renamed(graph, names)


def _renamed(graph: fx.GraphModule, names: dict[int, str]) -> fx.GraphModule:
    """`graph` with the tensors that are found in `names`, by their storage, called so."""
    root: dict[str, Any] = {}
    for node in graph.graph.find_nodes(op="get_attr"):
        place, _, last = str(node.target).rpartition(".")
        tensor = getattr(graph.get_submodule(place), last)
        name = names.get(tensor.data_ptr(), last)
        name = name if root.get(name, tensor) is tensor else f"{name}_{node.name}"
        root[name] = tensor
        node.target = name
    return fx.GraphModule(root, graph.graph)


def _answer(model: keras.Model, pixels: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    results = model.predict(pixels, verbose=0)
    return tuple(np.asarray(each) for each in sys.modules["keras"].tree.flatten(results))


def _hints(model: keras.Model) -> Hints:
    """Which pixels the first layers expect, where they say it."""
    first = next(_first_layers(model), None)
    if first is not None and _takes_bytes(first):
        return Hints(
            mean=(0.0, 0.0, 0.0),
            std=(1 / 255, 1 / 255, 1 / 255),
            notes=(f"its first layer, '{first.name}', scales pixels itself: it expects 0 to 255",),
        )
    return Hints(
        notes=(
            "it begins with no layer that scales pixels, so it does not say which values it "
            "expects: --normalization must be that of its training",
        )
    )


def _takes_bytes(layer: Any) -> bool:
    """Whether a layer brings 0 to 255 to values around 0 to 1."""
    match type(layer).__name__:
        case "Rescaling":
            return bool(np.all(np.asarray(layer.scale) < 0.1))
        case "Normalization":
            return bool(np.any(np.asarray(torch.as_tensor(layer.mean)) > 2.0))
    return False


def _first_layers(model: Any) -> Iterator[Any]:
    """The layers from the input on that are no input and do nothing but in training."""
    for layer in getattr(model, "layers", ()):
        if type(layer).__name__ == "InputLayer" or type(layer).__name__.startswith("Random"):
            continue
        if hasattr(layer, "layers"):
            yield from _first_layers(layer)
        else:
            yield layer


def _line(error: Exception) -> str:
    """The cause, which Keras puts last, without the configuration that it repeats."""
    cause = str(error).rpartition("Exception encountered: ")[2].partition(" Full object config")[0]
    return (cause.strip() or type(error).__name__).splitlines()[0]
