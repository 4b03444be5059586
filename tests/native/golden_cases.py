"""Golden vectors as README.md in golden/ writes them: read a case, run it through the C library.

Keys are the names of C arguments and fields, so a case maps onto cffi structures by name alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeskin.native.core import ffi, lib

FOLDER = Path(__file__).parent / "golden"
HEADING = "# edgeskin golden vectors, version 3"
ENUMS = {"format", "orientation", "matrix", "range", "fit", "filter", "channels", "type", "layout"}
ENUMS |= {"activation"}
BOX = ("left", "top", "width", "height", "area", "x", "y")
PLACEMENT = ("image_width", "image_height", "orientation", "crop", "resized_width")
PLACEMENT += ("resized_height", "left", "top", "width", "height")

Words = dict[str, str]


class Refused(Exception):
    """The status and message of the first call that failed."""


@dataclass(frozen=True)
class Case:
    function: str
    name: str
    given: Words
    expected: Words


def read(folder: Path = FOLDER) -> list[Case]:
    return list(parse((folder / "cases.txt").read_text(encoding="utf-8")))


def parse(text: str) -> Iterator[Case]:
    first, *lines = text.splitlines()
    assert first == HEADING, first
    for line in lines:
        if line and not line.startswith("#"):
            left, _, right = line.partition(" => ")
            function, name, *given = left.split(" ")
            yield Case(function, name, words(" ".join(given)), words(right))


def words(text: str) -> Words:
    before, cut, message = text.partition("message=")
    found = dict(word.split("=", 1) for word in before.split(" ") if word)
    return found | ({"message": message} if cut else {})


def shown(value: Any) -> str:
    """A number, or several, as the shortest decimals that read back to the same."""
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(float(value))
    return ",".join(shown(x) for x in value)


class Runner:
    """Runs cases on the library of this process; `data` is data.bin."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.kept: list[Any] = []  # memory that structures point to

    def run(self, case: Case) -> dict[str, Any]:
        """Results by name: bytes where the format has a blob, else text."""
        try:
            return getattr(self, f"_{case.function}")(case.given)
        except Refused as refused:
            return {"status": refused.args[0], "message": refused.args[1]}

    # ---- Words to C

    def blob(self, word: str) -> bytes:
        offset, length = map(int, word.split(":"))
        assert offset + length <= len(self.data), word
        return self.data[offset : offset + length]

    def buffer(self, content: bytes) -> Any:
        self.kept.append(ffi.from_buffer(content))
        return self.kept[-1]

    def fill(self, structure: Any, given: Words, prefix: str) -> Any:
        for key, word in given.items():
            owner, _, field = key.rpartition(".")
            if owner == prefix and field not in ("planes", "strides", "data", "pixels", "keep"):
                setattr(structure, field, value(field, word))
        return structure

    def image(self, given: Words) -> Any:
        image = ffi.new("es_image *")
        size = int(given["image.width"]), int(given["image.height"])
        call(lib.es_image_init, value("format", given.get("image.format", "rgb")), *size, image)
        for i, word in enumerate(items(given.get("image.planes"))):
            content = self.blob(word)
            image.planes[i] = ffi.cast("uint8_t *", self.buffer(content))
            image.bytes[i] = len(content)
        for i, word in enumerate(items(given.get("image.strides"))):
            image.strides[i] = int(word)
        return self.fill(image, given, "image")

    def recipe(self, given: Words) -> Any:
        recipe = ffi.new("es_recipe *")
        size = int(given["recipe.width"]), int(given["recipe.height"])
        call(lib.es_recipe_init, *size, recipe)
        return self.fill(recipe, given, "recipe")

    def tensor(self, given: Words, name: str) -> Any:
        tensor = ffi.new("es_tensor *", {"scale": 1.0})
        content = self.blob(given[f"{name}.data"])
        tensor.data, tensor.bytes = self.buffer(content), len(content)
        return self.fill(tensor, given, name)

    def mask(self, given: Words, name: str) -> Any:
        mask = self.fill(ffi.new("es_mask *"), given, name)
        content = self.blob(given[f"{name}.pixels"])
        mask.pixels, mask.bytes = ffi.cast("uint8_t *", self.buffer(content)), len(content)
        mask.stride = mask.width
        return mask

    def selection(self, given: Words) -> Any:
        if "selection.mask.pixels" not in given:
            return ffi.NULL
        selection = self.fill(ffi.new("es_selection *"), given, "selection")
        selection.mask = self.mask(given, "selection.mask")[0]
        for word in items(given.get("selection.keep")):
            selection.keep[int(word)] = 1
        return selection

    # ---- One method a function

    def _preprocess(self, given: Words) -> dict[str, Any]:
        return self.preprocessed(given, lib.es_preprocess)

    def _preprocess_masked(self, given: Words) -> dict[str, Any]:
        return self.preprocessed(given, lib.es_preprocess_masked, self.selection(given))

    def preprocessed(self, given: Words, function: Any, *selection: Any) -> dict[str, Any]:
        image, recipe, size = self.image(given), self.recipe(given), ffi.new("size_t *")
        call(lib.es_output_bytes, recipe, size)
        output = ffi.new("uint8_t[]", size[0])
        scratch = workspace(lib.es_preprocess_workspace, image, recipe)
        out = (output, len(output), scratch, len(scratch))
        call(function, image, recipe, *selection, *out)
        return {"output": bytes(output)}

    def placement(self, given: Words) -> Any:
        placement = ffi.new("es_placement *")
        call(lib.es_place, self.image(given), self.recipe(given), placement)
        return placement

    def _place(self, given: Words) -> dict[str, Any]:
        placement = self.placement(given)
        return {name: shown(getattr(placement, name)) for name in PLACEMENT}

    def _recipe_from_spec(self, given: Words) -> dict[str, Any]:
        text, recipe = self.blob(given["text"]), ffi.new("es_recipe *")
        call(lib.es_recipe_from_spec, self.buffer(text), len(text), recipe)
        plain = ffi.new("es_recipe *")
        call(lib.es_recipe_init, recipe.width, recipe.height, plain)
        fields = {"recipe.width": str(recipe.width), "recipe.height": str(recipe.height)}
        for name, _ in ffi.typeof("es_recipe").fields:
            found = written(name, getattr(recipe, name))
            if found != written(name, getattr(plain, name)):
                fields[f"recipe.{name}"] = found
        return fields

    def _dequantize(self, given: Words) -> dict[str, Any]:
        values = ffi.new("float[]", int(given["count"]))
        tensor = self.tensor(given, "tensor")
        call(lib.es_dequantize, tensor, len(values), values, ffi.sizeof(values))
        return {"values": bytes(ffi.buffer(values))}

    def _classify(self, given: Words) -> dict[str, Any]:
        classes, count = int(given["classes"]), int(given["top_count"])
        scores, top = ffi.new("float[]", max(classes, 1)), ffi.new("es_class[]", max(count, 1))
        how = value("activation", given["activation"])
        logits = self.tensor(given, "logits")
        call(lib.es_classify, logits, classes, how, scores, ffi.sizeof(scores), top, count)
        return {
            "scores": bytes(ffi.buffer(scores)),
            "top": shown([top[i].index for i in range(count)]),
        }

    def _measure(self, given: Words) -> dict[str, Any]:
        size = int(given["size"])
        mass, quantity = ffi.new("float[]", size), ffi.new("es_quantity *")
        upper = [float(x) for x in items(given.get("upper"))]
        numbers = (float(given[name]) for name in ("first", "step", "share"))
        how = value("activation", given["activation"])
        arguments = (self.tensor(given, "logits"), size, how, *numbers)
        bounds = ffi.new("double[]", upper)
        call(lib.es_measure, *arguments, bounds, len(upper), mass, ffi.sizeof(mass), quantity)
        names = ("expectation", "mode", "low", "high", "grade")
        results = {name: shown(getattr(quantity, name)) for name in names}
        return {"mass": bytes(ffi.buffer(mass)), **results}

    def _grade(self, given: Words) -> dict[str, Any]:
        upper, grade = [float(x) for x in items(given.get("upper"))], ffi.new("int32_t *")
        call(lib.es_grade, float(given["value"]), ffi.new("double[]", upper), len(upper), grade)
        return {"grade": str(grade[0])}

    def _segment(self, given: Words) -> dict[str, Any]:
        place, task = self.placement(given), ffi.new("es_segmentation *")
        task.logits = self.tensor(given, "logits")[0]
        self.fill(task, given, "")
        mask = ffi.new("uint8_t[]", place.image_width * place.image_height)
        counts = ffi.new("int64_t[]", max(task.classes, 2))
        scratch = workspace(lib.es_segment_workspace, task, place)
        out = (mask, place.image_width, len(mask), counts, len(counts), scratch, len(scratch))
        call(lib.es_segment, task, place, *out)
        return {"mask": bytes(mask), "counts": shown(counts)}

    def _components(self, given: Words) -> dict[str, Any]:
        mask = self.mask(given, "mask")
        numbers = [int(given[name]) for name in ("value", "connectivity", "min_area")]
        scratch = workspace(lib.es_components_workspace, mask.width)
        return boxes(lib.es_components, (mask, *numbers), int(given["capacity"]), scratch)

    def _find_crops(self, given: Words) -> dict[str, Any]:
        skin, lesion = self.mask(given, "skin"), self.mask(given, "lesion")
        rule = self.fill(ffi.new("es_crop_rule *"), given, "rule")
        scratch = workspace(lib.es_find_crops_workspace, skin.width)
        return boxes(lib.es_find_crops, (skin, lesion, rule), int(given["capacity"]), scratch)


def boxes(function: Any, arguments: tuple[Any, ...], capacity: int, scratch: Any) -> Words:
    found, count = ffi.new("es_box[]", capacity), ffi.new("int32_t *")
    call(function, *arguments, found, capacity, count, scratch, len(scratch))
    shown_boxes = [getattr(found[i], name) for i in range(min(count[0], capacity)) for name in BOX]
    return {"count": str(count[0]), "boxes": shown(shown_boxes)}


def workspace(function: Any, *arguments: Any) -> Any:
    size = ffi.new("size_t *")
    call(function, *arguments, size)
    return ffi.new("uint8_t[]", size[0])


def call(function: Any, *arguments: Any) -> None:
    error = ffi.new("es_error *")
    status = function(*arguments, error)
    if status != lib.ES_OK:
        name = ffi.string(lib.es_status_name(status)).decode()
        raise Refused(name, ffi.string(error.message).decode())


def items(word: str | None) -> list[str]:
    return word.split(",") if word else []


def value(field: str, word: str) -> Any:
    if field in ENUMS and not word.lstrip("-").isdigit():
        return getattr(lib, f"ES_{word.upper()}")
    if field in ("crop", "mean", "std"):
        return [float(x) for x in items(word)]
    if field == "fill":
        return [int(x) for x in items(word)]
    return float(word) if "." in word or "e" in word or word in ("inf", "nan") else int(word)


NAMES = {
    "fit": ("squash", "shortest_edge", "letterbox"),
    "filter": ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"),
    "channels": ("rgb", "bgr", "rgba", "bgra", "grey"),
    "type": ("uint8", "int8", "float32", "float16"),
    "layout": ("nhwc", "nchw"),
}


def written(field: str, found: Any) -> str:
    return NAMES[field][found] if field in NAMES else shown(found)
