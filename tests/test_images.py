"""Tests of edgeskin.images: every input is built here, from arrays or byte by byte."""

import io
import os
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile

from edgeskin.errors import InvalidImage
from edgeskin.images import decode

try:
    import pillow_heif
except ImportError:
    pillow_heif = None  # type: ignore[assignment]

needs_heic = pytest.mark.skipif(
    pillow_heif is None, reason="HEIC IS NOT TESTED HERE: run `pip install pillow-heif`"
)

# ---------------------------------------------------------------- builders

ROOT = Path(__file__).parents[1]
RNG = np.random.default_rng(11)
PIXELS = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
WIDE = RNG.integers(0, 65536, (6, 9, 4), dtype=np.uint16)
WIDE[0, 0] = (127, 128, 129, 65535)  # 128.5 / 65535 * 255 = 0.5: both sides of a rounding step


def encode(image: Image.Image | NDArray[Any], format: str, **options: Any) -> bytes:
    """`image` written by Pillow; HEIC by pillow-heif, lossless, nothing registered."""
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    if format == "HEIC":
        lossless = {"quality": -1, "chroma": 444, "matrix_coefficients": 0}
        pillow_heif.from_pillow(image).save(buffer, **lossless, **options)
    else:
        image.save(buffer, "WEBP" if format == "WebP" else format, **options)
    return buffer.getvalue()


def png(
    width: int, depth: int, colour: int, rows: Iterable[bytes], *chunks: tuple[bytes, bytes]
) -> bytes:
    """PNG (ISO/IEC 15948) from unfiltered rows; `chunks` go before the pixels."""
    rows = list(rows)
    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [(b"IHDR", header), *chunks, (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))
        for tag, body in parts
    )


def tiff(
    size: tuple[int, int],
    bits: list[int],
    photometric: int,
    pixels: bytes,
    order: str = "<",
    extra: Mapping[int, list[int]] | None = None,
    strips: tuple[int, ...] = (0,),
) -> bytes:
    """Uncompressed TIFF 6.0; `strips` are offsets in `pixels`, `extra` more SHORT tags."""
    width, height = size
    tags: dict[int, tuple[str, list[int]]] = {
        256: ("I", [width]),
        257: ("I", [height]),
        258: ("H", bits),
        259: ("H", [1]),
        262: ("H", [photometric]),
        273: ("I", list(strips)),
        277: ("H", [len(bits)]),
        278: ("I", [height]),
        279: ("I", [len(pixels)]),
        **{tag: ("H", values) for tag, values in (extra or {}).items()},
    }
    start = 8 + 2 + 12 * len(tags) + 4
    long_values = {tag: len(v) * (2 if t == "H" else 4) for tag, (t, v) in tags.items()}
    data_at = start + sum(n for n in long_values.values() if n > 4)
    tags[273] = ("I", [data_at + offset for offset in strips])
    entries, blobs = b"", b""
    for tag in sorted(tags):
        code, values = tags[tag]
        body = struct.pack(order + code * len(values), *values)
        if len(body) > 4:
            body, blobs = struct.pack(order + "I", start + len(blobs)), blobs + body
        entries += struct.pack(order + "HHI", tag, {"H": 3, "I": 4}[code], len(values))
        entries += body.ljust(4, b"\0")
    magic = b"II*\0" if order == "<" else b"MM\0*"
    count = struct.pack(order + "H", len(tags))
    return magic + struct.pack(order + "I", 8) + count + entries + b"\0\0\0\0" + blobs + pixels


def icc(kind: bytes, space: bytes, pcs: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    """ICC version 2 profile (ICC.1:2001-04) with the given tag bodies."""
    body, table = b"", b""
    for name, value in tags.items():
        table += struct.pack(">4sII", name, 132 + 12 * len(tags) + len(body), len(value))
        body += value.ljust(-(-len(value) // 4) * 4, b"\0")
    d50 = xyz(0.9642, 1.0, 0.8249)[8:]
    header = struct.pack(">4xI4s4s4s", 0x02400000, kind, space, pcs) + bytes(12) + b"acsp"
    header = (header + bytes(28) + d50).ljust(124, b"\0")
    return struct.pack(">I", 132 + len(table) + len(body)) + (
        header + struct.pack(">I", len(tags)) + table + body
    )


def xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in values))


def gamma(value: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256))


D50 = xyz(0.9642, 1.0, 0.8249)
# Columns are the D50-adapted XYZ of the primaries, as printed in Apple's Display P3
# profile and, for sRGB, in Lindbloom's Bradford-adapted sRGB matrix.
P3 = np.array([[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0011, 0.0419, 0.7841]])
SRGB = np.array(
    [
        [0.4360747, 0.3850649, 0.1430804],
        [0.2225045, 0.7168786, 0.0606169],
        [0.0139322, 0.0971045, 0.7141733],
    ]
)


def matrix_profile(primaries: NDArray[np.floating], curve: bytes) -> bytes:
    """Display profile: one tone curve, then the columns of `primaries` as XYZ."""
    columns = {f"{c}XYZ".encode(): xyz(*primaries[:, i]) for i, c in enumerate("rgb")}
    curves = {f"{c}TRC".encode(): curve for c in "rgb"}
    return icc(b"mntr", b"RGB ", b"XYZ ", {b"wtpt": D50, **columns, **curves})


def lut(inks: int, corners: NDArray[np.uint8]) -> bytes:
    """ICC lut8 tag body: `inks` channels, their 2**inks corners given as 8-bit Lab."""
    ramp = bytes(range(256))
    matrix = struct.pack(">9i", *(65536 * v for v in (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    head = b"mft1\0\0\0\0" + bytes([inks, 3, 2, 0]) + matrix
    return head + ramp * inks + corners.tobytes() + ramp * 3


P3_GAMMA = 461 / 256  # 1.80078125, which the profile's 8.8 fixed point holds exactly
P3_PROFILE = matrix_profile(P3, gamma(P3_GAMMA))
LINEAR_GREY = icc(b"mntr", b"GRAY", b"XYZ ", {b"wtpt": D50, b"kTRC": gamma(1.0)})


def srgb_levels(linear: NDArray[np.floating]) -> NDArray[np.floating]:
    """IEC 61966-2-1 encoding of linear light in 0..1, times 255."""
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return 255 * encoded


def p3_to_srgb(levels: NDArray[np.uint8]) -> NDArray[np.floating]:
    light = (levels / 255) ** P3_GAMMA
    return srgb_levels(np.clip(light @ (np.linalg.inv(SRGB) @ P3).T, 0, 1))


def off_by(image: NDArray[np.uint8], expected: Any) -> float:
    """Largest difference, in levels of 0..255."""
    return float(np.abs(image - np.asarray(expected, dtype=float)).max())


def flat(mode: str, colour: Any) -> Image.Image:
    return Image.new(mode, (16, 16), colour)


# ---------------------------------------------------------------- pixels and ownership

LOSSLESS: dict[str, dict[str, Any]] = {"PNG": {}, "WebP": {"lossless": True}, "TIFF": {}}


@pytest.mark.parametrize("format", [*LOSSLESS, pytest.param("HEIC", marks=needs_heic)])
def test_lossless_formats_return_the_pixels_that_were_written(format: str) -> None:
    result = decode(encode(PIXELS, format, **LOSSLESS.get(format, {})))
    np.testing.assert_array_equal(result, PIXELS)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_compressed_tiff_returns_the_pixels_that_were_written(compression: str) -> None:
    result = decode(encode(PIXELS, "TIFF", compression=compression))
    np.testing.assert_array_equal(result, PIXELS)


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_agrees_with_opencv(subsampling: str, progressive: bool) -> None:
    pixels = RNG.integers(0, 256, (37, 53, 3), dtype=np.uint8)
    data = encode(pixels, "JPEG", subsampling=subsampling, progressive=progressive)
    reference = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert reference is not None
    # ITU-T T.83 lets an inverse DCT be one level off; colour conversion about doubles it.
    assert off_by(decode(data), reference[..., ::-1]) <= 2


def test_result_is_contiguous_writeable_and_not_shared() -> None:
    data = encode(PIXELS, "PNG")
    first, second = decode(data), decode(data)
    assert first.dtype == np.uint8
    assert first.shape == (6, 9, 3)
    assert first.flags.c_contiguous
    assert first.flags.writeable
    assert first.flags.owndata
    first[:] = 0
    np.testing.assert_array_equal(second, PIXELS)


def test_path_string_and_bytes_give_the_same_pixels_whatever_the_suffix(tmp_path: Path) -> None:
    path = tmp_path / "really-a-png.jpg"
    path.write_bytes(encode(PIXELS, "PNG"))
    for source in (path, str(path), path.read_bytes()):
        np.testing.assert_array_equal(decode(source), PIXELS)


def test_threads_get_their_own_images() -> None:
    images = [np.full((40, 50, 3), level, np.uint8) for level in range(0, 240, 10)]
    files = [encode(im, f) for im in images for f in ("PNG", "TIFF")] * 4
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(decode, files))
    for result, expected in zip(results, [im for im in images for _ in "PT"] * 4, strict=True):
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("format", ["PNG", "WebP", "TIFF"])
def test_first_picture_of_several_is_taken(format: str) -> None:
    second = Image.fromarray(255 - PIXELS)
    options = {"save_all": True, "append_images": [second], **LOSSLESS[format]}
    data = encode(PIXELS, format, **options)
    assert Image.open(io.BytesIO(data)).n_frames == 2  # type: ignore[attr-defined]
    np.testing.assert_array_equal(decode(data), PIXELS)


# ---------------------------------------------------------------- orientation

# EXIF 2.32, tag 274: (height, width, row, column) as stored -> row, column as seen.
SEEN_AT: dict[int, Callable[[int, int, int, int], tuple[int, int]]] = {
    1: lambda h, w, r, c: (r, c),  # row 0 is the top, column 0 the left-hand side
    2: lambda h, w, r, c: (r, w - 1 - c),  # top, right
    3: lambda h, w, r, c: (h - 1 - r, w - 1 - c),  # bottom, right
    4: lambda h, w, r, c: (h - 1 - r, c),  # bottom, left
    5: lambda h, w, r, c: (c, r),  # left, top
    6: lambda h, w, r, c: (c, h - 1 - r),  # right, top
    7: lambda h, w, r, c: (w - 1 - c, h - 1 - r),  # right, bottom
    8: lambda h, w, r, c: (w - 1 - c, r),  # left, bottom
}


def upright(stored: NDArray[Any], orientation: int) -> NDArray[Any]:
    h, w, channels = stored.shape
    seen = np.zeros((h, w, channels) if orientation < 5 else (w, h, channels), stored.dtype)
    for r in range(h):
        for c in range(w):
            seen[SEEN_AT[orientation](h, w, r, c)] = stored[r, c]
    return seen


def exif(orientation: int) -> Image.Exif:
    block = Image.Exif()
    block[274] = orientation
    return block


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WebP", "TIFF"])
def test_exif_orientation_is_applied(format: str, orientation: int) -> None:
    options = LOSSLESS.get(format, {})
    stored = decode(encode(PIXELS, format, **options))
    result = decode(encode(PIXELS, format, exif=exif(orientation), **options))
    np.testing.assert_array_equal(result, upright(stored, orientation))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once_to_16_bit_tiff(orientation: int) -> None:
    rgb = WIDE[..., :3]
    data = tiff((9, 6), [16] * 3, 2, rgb.tobytes(), extra={274: [orientation]})
    np.testing.assert_array_equal(decode(data), upright(np.rint(rgb / 257), orientation))


@needs_heic
def test_orientation_is_applied_once_to_heic() -> None:
    data = encode(PIXELS, "HEIC", exif=exif(6).tobytes())
    assert b"irot" in data  # the container's own rotation, which libheif applies
    np.testing.assert_array_equal(decode(data), upright(PIXELS, 6))


def test_orientation_zero_and_nine_leave_the_image_alone() -> None:
    for reserved in (0, 9):
        np.testing.assert_array_equal(decode(encode(PIXELS, "PNG", exif=exif(reserved))), PIXELS)


def test_unreadable_exif_is_ignored_with_a_warning() -> None:
    data = encode(PIXELS, "PNG", exif=b"Exif\0\0this is no TIFF header")
    with pytest.warns(UserWarning, match=r"<bytes>: unreadable EXIF ignored") as caught:
        np.testing.assert_array_equal(decode(data), PIXELS)
    assert caught[0].filename == __file__  # the warning points at the caller of decode()


# ---------------------------------------------------------------- grey, palette, alpha


def over_white(colour: NDArray[Any], alpha: NDArray[Any]) -> NDArray[np.floating]:
    """Porter-Duff "over" on opaque white; exact halves cannot occur, 255 being odd."""
    weight = alpha[..., None] / 255
    return np.rint(colour * weight + 255 * (1 - weight))


def as_rgb(grey: NDArray[Any]) -> NDArray[Any]:
    return np.repeat(grey[..., None], 3, axis=-1)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
def test_8_bit_grey(format: str) -> None:
    grey = np.add.outer(np.arange(0, 64, 8), np.arange(0, 64, 8)).astype(np.uint8)
    # A smooth ramp at quality 100 is coded within one level; the other formats are exact.
    allowed = 1 if format == "JPEG" else 0
    result = decode(encode(grey, format, **({"quality": 100} if format == "JPEG" else {})))
    assert off_by(result, as_rgb(grey)) <= allowed


@pytest.mark.parametrize(
    ("depth", "row", "levels"),
    [(1, 0b0110_0000, [0, 255, 255, 0]), (2, 0b00_01_10_11, [0, 85, 170, 255])],
)
def test_grey_png_below_8_bits_spans_black_to_white(
    depth: int, row: int, levels: list[int]
) -> None:
    expected = as_rgb(np.array([levels]))
    np.testing.assert_array_equal(decode(png(4, depth, 0, [bytes([row])])), expected)


@pytest.mark.parametrize(("photometric", "expected"), [(0, [255, 0]), (1, [0, 255])])
def test_1_bit_tiff_in_both_polarities(photometric: int, expected: list[int]) -> None:
    data = tiff((2, 1), [1], photometric, b"\x40")
    np.testing.assert_array_equal(decode(data), as_rgb(np.array([expected])))


@pytest.mark.parametrize("format", ["PNG", "WebP", "TIFF", pytest.param("HEIC", marks=needs_heic)])
def test_rgba_is_composited_over_white(format: str) -> None:
    alpha = np.linspace(0, 255, 54).round().astype(np.uint8).reshape(6, 9)
    options = {"WebP": {"lossless": True, "exact": True}}.get(format, {})
    result = decode(encode(np.dstack([PIXELS, alpha]), format, **options))
    np.testing.assert_array_equal(result, over_white(PIXELS, alpha))


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_grey_alpha_is_composited_over_white(format: str) -> None:
    grey, alpha = PIXELS[..., 0], PIXELS[..., 1]
    image = Image.merge("LA", (Image.fromarray(grey), Image.fromarray(alpha)))
    np.testing.assert_array_equal(decode(encode(image, format)), over_white(as_rgb(grey), alpha))


@pytest.mark.parametrize(
    ("bits", "photometric", "pixel"),
    [
        pytest.param(
            2,
            1,
            b"\x60\x80",
            marks=pytest.mark.skipif(
                int(PIL.__version__.split(".")[0]) < 13,
                reason="Pillow 11 and 12 do not know premultiplied grey TIFF (refused there)",
            ),
        ),
        (4, 2, b"\x60\x40\x20\x80"),
    ],
    ids=["grey", "rgb"],
)
def test_premultiplied_tiff_alpha_is_composited_over_white(
    bits: int, photometric: int, pixel: bytes
) -> None:
    data = tiff((1, 1), [8] * bits, photometric, pixel, extra={338: [1]})
    colour = np.frombuffer(pixel[:-1], np.uint8) + (255 - pixel[-1])  # over white, premultiplied
    # Un-premultiplying rounds the colour by half a level, compositing again by half a level.
    assert off_by(decode(data), np.broadcast_to(colour, (1, 1, 3))) <= 1


def test_palette_png_with_and_without_transparency() -> None:
    colours = np.array([[10, 20, 30], [200, 100, 50], [0, 255, 0]], np.uint8)
    palette = (b"PLTE", colours.tobytes())
    np.testing.assert_array_equal(decode(png(3, 8, 3, [b"\0\1\2"], palette))[0], colours)
    for alphas in ([255, 0], [100, 255, 7]):  # Pillow reads these two kinds in two ways
        trns = (b"tRNS", bytes(alphas))
        alpha = np.array([*alphas, 255][:3])
        result = decode(png(3, 8, 3, [b"\0\1\2"], palette, trns))
        np.testing.assert_array_equal(result[0], over_white(colours, alpha))


def test_palette_tiff_with_alpha_channel() -> None:
    colours = np.zeros((256, 3), np.uint8)
    colours[:2] = [[10, 20, 30], [200, 100, 50]]
    table = (colours.T.astype(int) * 257).ravel().tolist()
    data = tiff((2, 1), [8, 8], 3, bytes([0, 64, 1, 255]), extra={338: [2], 320: table})
    np.testing.assert_array_equal(decode(data)[0], over_white(colours[:2], np.array([64, 255])))


@pytest.mark.parametrize(
    ("depth", "row"), [(1, 0b0100_0000), (2, 0b00_01_00_00), (4, 0x01), (8, None), (16, None)]
)
def test_grey_colour_key_turns_its_level_white(depth: int, row: int | None) -> None:
    code = {8: ">BB", 16: ">HH"}.get(depth)
    body = bytes([row]) if row is not None else struct.pack(code or "", 0, 1)
    result = decode(png(2, depth, 0, [body], (b"tRNS", struct.pack(">H", 1))))
    assert result[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize("depth", [8, 16])
def test_rgb_colour_key_turns_its_colour_white_and_only_it(depth: int) -> None:
    pixels = [1, 2, 3, 1, 2, 4]
    body = struct.pack(">6" + ("B" if depth == 8 else "H"), *pixels)
    result = decode(png(2, depth, 2, [body], (b"tRNS", struct.pack(">3H", 1, 2, 3))))
    assert result[0, 0].tolist() == [255, 255, 255]
    assert result[0, 1].max() <= 4


# ---------------------------------------------------------------- more than 8 bits


@pytest.mark.parametrize(
    ("colour", "bands"), [(0, [0]), (2, [0, 1, 2]), (4, [0, 3]), (6, [0, 1, 2, 3])]
)
def test_16_bit_png_is_rounded_not_cut(colour: int, bands: list[int]) -> None:
    rows = [row[:, bands].astype(">u2").tobytes() for row in WIDE]
    result = decode(png(9, 16, colour, rows))
    eight = np.rint(WIDE / 257)  # 65535 / 255 == 257
    expected = eight[..., :3] if len(bands) > 2 else as_rgb(eight[..., 0])
    if 3 in bands:
        expected = over_white(expected, eight[..., 3])
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_grey_tiff_in_both_byte_orders(order: str) -> None:
    grey = WIDE[..., 0]
    data = tiff((9, 6), [16], 1, grey.astype(order + "u2").tobytes(), order)
    np.testing.assert_array_equal(decode(data), as_rgb(np.rint(grey / 257)))


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_rgb_tiff_in_both_byte_orders(order: str) -> None:
    rgb = WIDE[..., :3]
    data = tiff((9, 6), [16] * 3, 2, rgb.astype(order + "u2").tobytes(), order)
    np.testing.assert_array_equal(decode(data), np.rint(rgb / 257))


def test_16_bit_cmyk_tiff_is_at_most_one_level_off() -> None:
    data = tiff((9, 6), [16] * 4, 5, WIDE.tobytes())
    ink = WIDE / 65535
    expected = 255 * (1 - ink[..., :3]) * (1 - ink[..., 3:])
    # Cutting to the high byte moves each of two inks by under one level of 255, the product
    # by at most their sum, and the result is rounded.
    assert off_by(decode(data), expected) <= 2.5


def test_16_bit_premultiplied_tiff_is_not_darkened_twice() -> None:
    samples = [0x6000, 0x4000, 0x2000, 0x8000]
    data = tiff((1, 1), [16] * 4, 2, struct.pack("<4H", *samples), extra={338: [1]})
    colour = np.array(samples[:3]) / 257 + 255 - samples[3] / 257
    # The high byte alone is up to one level off in colour and in alpha.
    assert off_by(decode(data), np.broadcast_to(colour, (1, 1, 3))) <= 2


def test_16_bit_white_is_zero_tiff_is_inverted() -> None:
    data = tiff((3, 1), [16], 0, struct.pack("<3H", 0, 32896, 65535))
    np.testing.assert_array_equal(decode(data), as_rgb(np.array([[255, 127, 0]])))


def test_12_bit_tiff_is_scaled_to_its_own_white() -> None:
    samples = [0xFFF, 0x800]  # packed: FF F8 00
    data = tiff((2, 1), [12], 1, b"\xff\xf8\x00")
    assert decode(data)[0, :, 0].tolist() == [round(v * 255 / 4095) for v in samples]


@pytest.mark.parametrize(
    ("bits", "sample_format", "body"),
    [(32, 3, struct.pack("<f", 0.5)), (32, 1, b"\0\0\0\1"), (16, 2, b"\0\1")],
    ids=["float", "32-bit", "signed"],
)
def test_samples_without_an_agreed_white_are_refused(
    bits: int, sample_format: int, body: bytes
) -> None:
    data = tiff((1, 1), [bits], 1, body, extra={339: [sample_format]})
    with pytest.raises(InvalidImage, match=r"float, signed or 32-bit .* Export it with 8 or 16"):
        decode(data)


# ---------------------------------------------------------------- CMYK, Lab, profiles

INKS = (51, 102, 204, 25)  # C M Y K, 255 = full ink
PLAIN = [(255 - ink) * (255 - INKS[3]) / 255 for ink in INKS[:3]]


def without_adobe_marker(jpeg: bytes) -> bytes:
    start = jpeg.index(b"\xff\xee\x00\x0eAdobe")
    return jpeg[:start] + jpeg[start + 16 :]


@pytest.mark.parametrize("strip", [False, True], ids=["adobe", "no-marker"])
def test_cmyk_jpeg_is_read_inverted_with_and_without_adobe_marker(strip: bool) -> None:
    data = encode(flat("CMYK", INKS), "JPEG", quality=100)  # Pillow writes Adobe's polarity
    data = without_adobe_marker(data) if strip else data
    # A flat colour at quality 100 is coded within one level, and the product is rounded.
    assert off_by(decode(data), PLAIN) <= 1.5


def test_ycck_jpeg_follows_the_jfif_equations() -> None:
    y, cb, cr, k = stored = (150, 100, 170, 230)  # as in the file
    data = encode(flat("CMYK", tuple(255 - v for v in stored)), "JPEG", quality=100)
    at = data.index(b"Adobe") + 11
    assert data[at] == 0  # the transform flag: 0 says CMYK
    data = data[:at] + b"\x02" + data[at + 1 :]  # 2 says YCCK
    coded = np.array([y + 1.402 * (cr - 128), 0, y + 1.772 * (cb - 128)])
    coded[1] = y - 0.344136 * (cb - 128) - 0.714136 * (cr - 128)
    # Adobe Technical Note 5116: coded R, G, B are 255 - C, 255 - M, 255 - Y, of inks that
    # Photoshop stores inverted; so coded red *is* the cyan ink. K is stored inverted, plainly.
    # One level of error in Cb or Cr, times 1.772 at most, then rounding.
    assert off_by(decode(data), (255 - coded) * k / 255) <= 2.5
    reference = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert reference is not None
    assert off_by(decode(data), reference[..., ::-1]) <= 2  # OpenCV divides by 256, not by 255


def test_cmyk_tiff_is_read_straight() -> None:
    assert off_by(decode(encode(flat("CMYK", INKS), "TIFF")), PLAIN) <= 0.51  # rounding


@pytest.mark.parametrize("lab", [(128, 0, 0), (170, 20, 25), (60, 10, -12), (255, 0, 0)])
def test_lab_tiff_follows_the_cie_formula(lab: tuple[int, int, int]) -> None:
    result = decode(tiff((1, 1), [8] * 3, 8, struct.pack("<Bbb", *lab)))
    lightness, a, b = lab[0] / 2.55, lab[1], lab[2]  # TIFF 6.0, section 23
    fy = (lightness + 16) / 116  # CIE 15:2004, colours too light for the linear toe
    light = np.array([fy + a / 500, fy, fy - b / 200]) ** 3 * (0.9642, 1.0, 0.8249)
    expected = srgb_levels(np.clip(np.linalg.inv(SRGB) @ light, 0, 1))
    assert off_by(result, expected) <= 1  # lcms works from 8-bit Lab and rounds


@pytest.mark.parametrize(
    "format", ["JPEG", "PNG", "WebP", "TIFF", pytest.param("HEIC", marks=needs_heic)]
)
def test_display_p3_is_converted_by_the_matrix_formula(format: str) -> None:
    for colour in [(200, 150, 120), (90, 60, 50), (128, 128, 128), (240, 215, 200)]:
        options: dict[str, Any] = {"icc_profile": P3_PROFILE, **LOSSLESS.get(format, {})}
        if format == "JPEG":
            options["quality"] = 100
        image = flat("RGB", colour)
        expected = p3_to_srgb(np.array(colour, np.uint8))
        assert off_by(np.array(colour, np.uint8), expected) > 8  # the profile does matter
        # 1 for lcms in 8-bit fixed point; 1 more where JPEG rounds YCbCr.
        assert off_by(decode(encode(image, format, **options)), expected) <= 2


def test_saturated_p3_is_clipped_to_the_srgb_gamut() -> None:
    result = decode(encode(flat("RGB", (255, 0, 0)), "PNG", icc_profile=P3_PROFILE))
    assert off_by(result, (255, 0, 0)) <= 1  # relative colorimetric: outside colours clip


def test_nearly_srgb_profile_leaves_every_pixel_alone() -> None:
    level = np.linspace(0, 1, 256)
    linear = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.41)
    table = b"curv\0\0\0\0" + struct.pack(">I256H", 256, *np.rint(65535 * linear).astype(int))
    nearly = matrix_profile(SRGB, table)
    steps = np.arange(0, 256, 15, dtype=np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(18, -1, 3)
    image = Image.fromarray(cube)
    moved = ImageCms.profileToProfile(
        image, io.BytesIO(nearly), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    )
    assert off_by(np.asarray(moved), cube) == 1  # not the identity, yet no more than rounding
    np.testing.assert_array_equal(decode(encode(image, "PNG", icc_profile=nearly)), cube)


def test_grey_profile() -> None:
    grey = np.arange(0, 256, 15, dtype=np.uint8)[None]
    result = decode(encode(grey, "PNG", icc_profile=LINEAR_GREY))
    # The sRGB curve rises by up to 12.92 levels per level; lcms rounds in 16 bits: 1 level.
    assert off_by(result, as_rgb(srgb_levels(grey / 255))) <= 1


def test_16_bit_grey_passes_through_its_profile() -> None:
    data = encode(np.full((2, 2), 128 * 257, np.uint16), "PNG", icc_profile=LINEAR_GREY)
    assert off_by(decode(data), srgb_levels(np.array(128 / 255))) <= 1


def test_grey_image_with_rgb_profile_is_converted() -> None:
    data = encode(flat("L", 100), "JPEG", icc_profile=P3_PROFILE)
    assert off_by(decode(data), p3_to_srgb(np.array([100] * 3, np.uint8))) <= 2


def test_profile_is_applied_before_compositing_over_white() -> None:
    colour = (200, 150, 120)
    data = encode(flat("RGBA", (*colour, 128)), "PNG", icc_profile=P3_PROFILE)
    converted = p3_to_srgb(np.array(colour, np.uint8))
    assert off_by(decode(data), converted * 128 / 255 + 127) <= 1.5  # 1 from lcms, halved; rounding


@pytest.mark.filterwarnings("error")
def test_grey_profile_fits_a_1_bit_image() -> None:
    data = encode(Image.new("1", (4, 4), 1), "PNG", icc_profile=LINEAR_GREY)
    np.testing.assert_array_equal(decode(data), np.full((4, 4, 3), 255))


def level_of(lab8: int) -> float:
    """sRGB level of a grey whose L* is lab8 / 2.55 (CIE 15:2004, above the linear toe)."""
    return float(srgb_levels(np.array(((lab8 / 2.55 + 16) / 116) ** 3)))


def test_cmyk_profile_is_used_relative_to_paper_white() -> None:
    colorimetric = np.full((16, 3), (255, 128, 128), np.uint8)  # every ink corner prints white...
    colorimetric[8] = (128, 128, 128)  # ...but full cyan alone a middle grey
    perceptual = np.full((16, 3), (60, 128, 128), np.uint8)  # the intent that is not asked for
    tags = {
        b"wtpt": xyz(0.80, 0.85, 0.50),  # yellowish paper; absolute colorimetry would show it
        b"A2B0": lut(4, perceptual),
        b"A2B1": lut(4, colorimetric),
    }
    profile = icc(b"prtr", b"CMYK", b"Lab ", tags)
    cyan = decode(encode(flat("CMYK", (255, 0, 0, 0)), "TIFF", icc_profile=profile))
    # 8-bit Lab in, 8-bit sRGB out: one level. Without the profile it would be (0, 255, 255).
    assert off_by(cyan, level_of(128)) <= 1.5
    paper = decode(encode(flat("CMYK", (0, 0, 0, 0)), "TIFF", icc_profile=profile))
    np.testing.assert_array_equal(paper, np.full_like(paper, 255))


def test_darkest_colour_of_a_profile_becomes_black() -> None:
    corners = np.full((8, 3), (255, 128, 128), np.uint8)
    corners[0] = (60, 128, 128)  # a medium whose black has L* = 23.5, sRGB level 56
    profile = icc(b"scnr", b"RGB ", b"Lab ", {b"wtpt": D50, b"A2B1": lut(3, corners)})
    black = decode(encode(flat("RGB", (0, 0, 0)), "PNG", icc_profile=profile))
    # Black point compensation maps it to zero; lcms computes that in 16 bits.
    assert off_by(black, 0) <= 1


@pytest.mark.parametrize(
    ("image", "profile", "reason"),
    [
        (flat("RGB", (9, 99, 199)), b"not a profile", "cannot open profile"),
        (flat("RGB", (9, 99, 199)), P3_PROFILE[:-200], "cannot"),
        (flat("RGB", (9, 99, 199)), LINEAR_GREY, "the profile is for GRAY, the image is RGB"),
    ],
    ids=["garbage", "cut", "unfitting"],
)
def test_unusable_profile_is_ignored_with_a_warning(
    image: Image.Image, profile: bytes, reason: str
) -> None:
    data = encode(image, "PNG", icc_profile=profile)
    with pytest.warns(UserWarning, match=f"<bytes>: embedded colour profile ignored.*{reason}"):
        result = decode(data)
    np.testing.assert_array_equal(result, np.asarray(image))


@needs_heic
def test_wide_gamut_heic_without_profile_warns() -> None:
    data = encode(PIXELS, "HEIC")
    p3 = data.replace(b"colrnclx\x00\x01", b"colrnclx\x00\x0c")  # ITU-T H.273: 12 is Display P3
    assert p3 != data
    with pytest.warns(UserWarning, match="nclx colour primaries 12 ignored"):
        decode(p3)


# ---------------------------------------------------------------- refusals


def claiming(format: str, side: int) -> bytes:
    """A small file whose header claims `side` x `side` pixels."""
    huge = struct.pack(">II", side, side)
    if format == "PNG":
        body = b"IHDR" + huge + b"\x08\x02\0\0\0"
        return encode(PIXELS, "PNG").replace(
            encode(PIXELS, "PNG")[12:33], body + struct.pack(">I", zlib.crc32(body))
        )
    if format == "JPEG":
        data = encode(PIXELS, "JPEG")
        at = data.index(b"\xff\xc0") + 5
        return data[:at] + struct.pack(">HH", side, side) + data[at + 4 :]
    if format == "TIFF":
        return tiff((side, side), [8], 1, b"\0")
    if format == "TIFF tile":
        extra = {322: [side], 323: [side], 324: [0], 325: [1]}
        return tiff((1, 1), [8], 1, b"\0", extra=extra)
    if format == "HEIC":
        data = encode(PIXELS, "HEIC")
        at = data.index(b"ispe") + 8
        return data[:at] + huge + data[at + 8 :]
    lossless, metadata = format == "WebP VP8L", format == "WebP VP8X"
    data = encode(PIXELS, "WebP", lossless=lossless, **({"exif": exif(6)} if metadata else {}))
    assert data[12:16].decode().strip() == format[5:]
    if lossless:
        return data[:21] + struct.pack("<I", side - 1 | side - 1 << 14) + data[25:]
    if metadata:
        return data[:24] + (struct.pack("<I", side - 1)[:3] * 2) + data[30:]
    return data[:26] + struct.pack("<HH", side, side) + data[30:]


@pytest.mark.parametrize(
    ("format", "side"),
    [
        ("PNG", 60000),
        ("JPEG", 60000),
        ("TIFF", 60000),
        ("TIFF tile", 60000),
        ("WebP VP8", 16383),  # the most its header can say
        ("WebP VP8L", 16383),
        ("WebP VP8X", 60000),
        pytest.param("HEIC", 60000, marks=needs_heic),
    ],
)
def test_decompression_bomb_is_refused_by_its_header(
    format: str, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", None)  # decoding pixels fails otherwise
    monkeypatch.setattr("edgeskin.images.WebPImageFile", None)  # allocates when it is created
    says = rf"^<bytes>: its header says {side} x {side} = {side**2} pixels"
    with pytest.raises(InvalidImage, match=says + r"; the limit is max_pixels=100000000\."):
        decode(claiming(format, side))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WebP", "TIFF"])
def test_max_pixels_is_the_largest_count_allowed(format: str) -> None:
    data = encode(PIXELS, format)
    assert decode(data, max_pixels=54).shape == (6, 9, 3)
    with pytest.raises(InvalidImage, match=r"9 x 6 = 54 pixels; the limit is max_pixels=53\."):
        decode(data, max_pixels=53)


@needs_heic
def test_heic_is_measured_before_it_is_cropped() -> None:
    data = encode(np.zeros((60, 70, 3), np.uint8), "HEIC")
    assert b"clap" in data  # HEVC codes no fewer than 64 rows; the crop leaves 60
    assert decode(data, max_pixels=70 * 64).shape == (60, 70, 3)
    with pytest.raises(InvalidImage, match=r"70 x 64 = 4480 pixels; the limit is max_pixels=4479"):
        decode(data, max_pixels=70 * 64 - 1)
    unseen = data.replace(b"ispe\0\0\0\0", b"ispe\0\0\0\1")  # a reserved flag hides the entry
    with pytest.raises(InvalidImage, match=r"70 x 60 = 4200 pixels; the limit is max_pixels=4199"):
        decode(unseen, max_pixels=70 * 60 - 1)


@needs_heic
def test_heic_with_more_pixels_than_its_header_says_is_refused() -> None:
    data = encode(np.zeros((600, 700, 3), np.uint8), "HEIC")
    at = data.index(b"ispe") + 8
    with pytest.raises(InvalidImage, match="this HEIC cannot be decoded"):
        decode(data[:at] + struct.pack(">II", 16, 16) + data[at + 8 :])


FORMATS = ["JPEG", "PNG", "WebP", "TIFF", pytest.param("HEIC", marks=needs_heic)]


@pytest.mark.parametrize("format", FORMATS)
def test_pillows_own_bomb_limit_neither_matters_nor_changes(
    format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1)
    data = encode(PIXELS, format)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(data).shape == (6, 9, 3)
    assert Image.MAX_IMAGE_PIXELS == 1
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("format", FORMATS)
def test_file_cut_off_anywhere_is_refused(
    format: str, lenient: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)  # other packages set this
    data = encode(PIXELS, format)
    end = len(data) - (12 if format == "PNG" else 0)  # PNG's last 12 bytes, IEND, hold no pixels
    decode(data)
    for length in range(end):
        with pytest.raises(InvalidImage, match=r"^<bytes>: (this|is empty|is not)"):
            decode(data[:length])


@pytest.mark.parametrize("planar", [1, 2])
def test_uncompressed_tiff_with_missing_strips_is_refused(planar: int) -> None:
    tags = {284: [planar], 278: [1]}  # one row a strip, but only one strip
    data = tiff((2, 3), [8] * 3, 2, bytes(6), extra=tags)
    of = 6 if planar == 1 else 18
    with pytest.raises(InvalidImage, match=f"^<bytes>: the TIFF has strips for 2 of {of} samples"):
        decode(data)


def test_planar_tiff_is_read_whole() -> None:
    planes = b"".join(PIXELS[..., band].tobytes() for band in range(3))
    data = tiff((9, 6), [8] * 3, 2, planes, extra={284: [2]}, strips=(0, 54, 108))
    np.testing.assert_array_equal(decode(data), PIXELS)


def test_empty_input_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.jpg"
    path.touch()
    with pytest.raises(InvalidImage, match=r"empty\.jpg: is empty \(0 bytes\)"):
        decode(path)
    with pytest.raises(InvalidImage, match=r"<bytes>: is empty \(0 bytes\)"):
        decode(b"")


@pytest.mark.parametrize("head", [b"%PDF-1.7", b"<html>", b"\0\0\0\x1cftypavif", b"8BPS", b"%!PS"])
def test_other_formats_are_refused_by_their_first_bytes(head: bytes, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(head.ljust(64, b"\0"))
    with pytest.raises(InvalidImage, match=r"photo\.jpg: is not JPEG.* starts with b'"):
        decode(path)


def test_bmp_and_the_first_picture_of_a_gif_are_images() -> None:
    np.testing.assert_array_equal(decode(encode(PIXELS, "BMP")), PIXELS)
    frames = [flat("RGB", colour) for colour in ((255, 0, 0), (0, 0, 255))]
    gif = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert off_by(decode(gif), (255, 0, 0)) <= 1
    for data in (encode(PIXELS, "BMP"), encode(PIXELS, "GIF")):
        with pytest.raises(InvalidImage, match="cut off|damaged"):
            decode(data[:-40])
        with pytest.raises(InvalidImage, match="max_pixels=5"):
            decode(data, max_pixels=5)


def test_pixels_of_other_libraries_and_open_files_are_images(tmp_path: Path) -> None:
    data = encode(PIXELS, "PNG", exif=exif(6))
    expected = decode(data)
    assert expected.shape != PIXELS.shape  # it is turned
    np.testing.assert_array_equal(decode(io.BytesIO(data)), expected)
    with Image.open(io.BytesIO(data)) as lazy:
        np.testing.assert_array_equal(decode(lazy), expected)
    np.testing.assert_array_equal(decode(Image.fromarray(PIXELS)), PIXELS)
    np.testing.assert_array_equal(decode(PIXELS), PIXELS)
    assert not np.shares_memory(decode(PIXELS), PIXELS)
    torch = pytest.importorskip("torch")
    np.testing.assert_array_equal(decode(torch.from_numpy(PIXELS.copy())), PIXELS)
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    assert (decode(clear) == 255).all()  # over white, as in a file
    with pytest.raises(InvalidImage, match="max_pixels=5"):
        decode(Image.fromarray(PIXELS), max_pixels=5)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (["a.png", "b.png"], "a list"),
        (None, "a NoneType"),
        (PIXELS.astype(np.float32), "float32"),
        (PIXELS[..., 0], "uint8"),
        (PIXELS[None], "uint8"),
        (PIXELS[:0], "uint8"),
    ],
)
def test_what_is_no_image_is_named(source: Any, found: str) -> None:
    with pytest.raises(InvalidImage, match=f"this is {found}"):
        decode(source)


def test_formats_that_only_pillow_knows_are_refused() -> None:
    for format in ("PPM", "JPEG2000", "ICO"):
        with pytest.raises(InvalidImage, match="is not JPEG, PNG, WebP, TIFF, BMP, GIF or HEIC"):
            decode(encode(PIXELS, format))


def test_paths_that_hold_no_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidImage, match=r"nowhere\.png: does not exist"):
        decode(tmp_path / "nowhere.png")
    with pytest.raises(InvalidImage, match="not a regular file"):
        decode(tmp_path)
    with pytest.raises(InvalidImage, match=r"cannot be read \(embedded null byte\)"):
        decode("a\0b.png")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_named_pipe_is_refused_without_waiting_on_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InvalidImage, match=r"pipe\.png: not a regular file"):
        decode(tmp_path / "pipe.png")


def test_unreadable_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "locked.png"
    path.write_bytes(encode(PIXELS, "PNG"))

    def refuse(*_: object) -> None:  # chmod would not stop a test run as root
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InvalidImage, match=r"locked\.png: cannot be read \(Permission denied\)"):
        decode(path)


def test_damaged_png_checksum_is_refused() -> None:
    data = encode(PIXELS, "PNG")
    at = data.index(b"IDAT") + 10
    with pytest.raises(InvalidImage, match=r"this PNG cannot be decoded \(.*copy it again"):
        decode(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


def test_heic_without_plug_in_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(InvalidImage, match="pip install pillow-heif"):
        decode(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")


def test_import_is_light_and_changes_nothing_in_pillow() -> None:
    program = """
import sys
from PIL import Image, ImageFile
before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
import edgeskin.images
assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES) == before
assert "HEIF" not in Image.OPEN
print(sorted({"cv2", "pillow_heif", "torch"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


# ---------------------------------------------------------------- fuzz

CORPUS = [
    encode(PIXELS, "JPEG", exif=exif(6), icc_profile=P3_PROFILE),
    encode(flat("CMYK", INKS), "JPEG", progressive=True),
    encode(PIXELS, "PNG", exif=exif(3), icc_profile=LINEAR_GREY),
    png(9, 16, 6, [row.astype(">u2").tobytes() for row in WIDE]),
    png(2, 2, 0, [b"\x10"], (b"tRNS", b"\0\1")),
    encode(PIXELS, "WebP", exif=exif(8)),
    encode(PIXELS, "WebP", lossless=True),
    tiff((9, 6), [16] * 3, 2, WIDE[..., :3].tobytes(), extra={274: [5]}),
    tiff((9, 6), [16], 0, WIDE[..., 0].tobytes()),
    encode(PIXELS, "TIFF", compression="tiff_lzw"),
]


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=600, deadline=None, derandomize=True)
@given(
    data=st.sampled_from(CORPUS),
    cut=st.none() | st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), max_size=4),
)
def test_damaged_bytes_decode_or_raise_invalid_image(
    data: bytes, cut: float | None, flips: list[tuple[float, int]]
) -> None:
    damaged = bytearray(data if cut is None else data[: int(cut * len(data))])
    for where, mask in flips:
        if damaged:
            damaged[int(where * len(damaged))] ^= mask
    try:
        outcome: str | NDArray[np.uint8] = decode(bytes(damaged), max_pixels=1_000_000)
    except InvalidImage as error:
        outcome = str(error)
    if isinstance(outcome, str):
        assert outcome.startswith("<bytes>: ")
        assert "\n" not in outcome
    else:
        assert outcome.dtype == np.uint8
        assert outcome.shape[2:] == (3,)
        assert 0 < outcome.shape[0] * outcome.shape[1] <= 1_000_000
