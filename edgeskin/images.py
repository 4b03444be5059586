"""One decoder from an image file, or its bytes, to RGB uint8.

Training, calibration, test packs and the command line all read images through
`decode`, so that every one of them sees the same pixels. What it decides:

- Formats: JPEG, PNG, WebP, TIFF, BMP, GIF, and HEIC where pillow-heif is installed. The
  first bytes choose the one parser that runs; file names do not matter. Of an
  animation or a multi-page file the first picture is taken.
- Size: width x height is read from the header and held against `max_pixels`
  before any pixel is decoded. Files that end early are refused; only a JPEG that
  lost data inside yet kept its end marker passes, for Pillow does not tell.
  Pillow's process-wide settings (bomb limit, LOAD_TRUNCATED_IMAGES) are neither
  changed nor relied on. Thread-safe.
- Orientation: EXIF (or XMP) orientation is applied, in every format.
- Alpha (also tRNS colour keys and palettes) is composited over white.
- 16-bit samples become round(v * 255 / 65535), 12-bit ones round(v * 255 / 4095).
  Pillow drops the low byte of 16-bit *colour*, so OpenCV reads those files; TIFF
  layouts it cannot read (CMYK, premultiplied alpha) keep the high byte, at most
  one level off. Float, signed and 32-bit samples have no agreed white: refused.
- CMYK JPEGs are read as inverted (Adobe's way) with or without Adobe's marker,
  as Pillow, OpenCV and libvips do. Without a profile R = (255-C)(255-K)/255.
- Embedded ICC profiles are converted to sRGB, relative colorimetric with black
  point compensation: colours inside sRGB keep their measured value. A profile
  that moves no colour by more than one level counts as sRGB and is skipped.
- A broken or unfitting profile, and unreadable EXIF, is ignored with a warning:
  it says how to show the pixels, it does not make them unreadable. So are HEIC
  nclx primaries other than sRGB's. PNG gAMA, cHRM and cICP are not looked at.
"""

import io
import os
import re
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from edgeskin.errors import InvalidImage

_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_HEIC_EXTENT = re.compile(rb"ispe\0\0\0\0(.{8})", re.DOTALL)  # ISO/IEC 23008-12: width, height
# TIFF 6.0 tags; orientation is EXIF's too
_BITS_PER_SAMPLE, _PHOTOMETRIC, _ORIENTATION, _PLANAR = 258, 262, 274, 284
_TILE_WIDTH, _TILE_LENGTH = 322, 323

# EXIF 2.32 orientation -> the transform that puts the first row on top.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PARSERS: dict[str, Callable[[BinaryIO], ImageFile.ImageFile]] = {
    "JPEG": JpegImageFile, "PNG": PngImageFile, "BMP": BmpImageFile, "GIF": GifImageFile,
}  # fmt: skip
_PROFILE_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}


SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".heic", ".heif",
)  # fmt: skip
"""By which images in a folder are found; what a file is, its first bytes say."""

Source = Path | str | bytes | BinaryIO | NDArray[Any] | Image.Image


MAX_PIXELS = 100_000_000


def decode(source: Source, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode one image to sRGB, upright, without alpha.

    Args:
        source: Path of a file, the bytes of one, or one open for reading bytes; or pixels:
            a Pillow image (its orientation, alpha and profile count as in a file), or an
            array or tensor on the CPU, uint8 (height, width, 3), RGB.
        max_pixels: Largest width x height, in pixels, that is decoded.

    Returns:
        uint8 array (height, width, 3), RGB, C-contiguous, owned by the caller.

    Raises:
        InvalidImage: Missing, empty, cut off, damaged, too large, or in a format
            or sample type that is not supported; one line that names the file.
    """
    if isinstance(source, Image.Image):
        return _decode_pillow(source, max_pixels)
    if not isinstance(source, Path | str | bytes):
        if isinstance(source, np.ndarray) or not hasattr(source, "read"):
            return _pixels(source)
        source = source.read()
    name, kind, data = _read(source)
    try:
        return _decode(name, kind, data, max_pixels)
    except InvalidImage:
        raise
    except Exception as exc:  # hostile bytes make parsers raise nearly anything
        reason = " ".join(f"{type(exc).__name__}: {exc}".split())
        raise InvalidImage(
            f"{name}: this {kind} cannot be decoded ({reason}). It is cut off, damaged or a "
            "variant that is not supported; copy it again or export it as 8-bit PNG."
        ) from exc


def upright_size(source: Path | bytes) -> tuple[int, int]:
    """(height, width) of an image from its header, without decoding what is plainly whole.

    A file whose end is not where its format has it is decoded to make sure.

    Raises:
        InvalidImage: As `decode`.
    """
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
            name = "<bytes>" if isinstance(source, bytes) else str(source)
            kind = _kind(name, file.read(16))
            if kind in _ENDS and _is_whole(kind, file):
                file.seek(0)
                img = _PARSERS[kind](file)
                _check_size(name, img.size, MAX_PIXELS)
                # Pillow decodes a PNG to look for EXIF behind its pixels, where few have it.
                said = kind != "PNG" or any(key in img.info for key in _PNG_EXIF)
                turned = said and _orientation(name, img) >= 5  # transposed: EXIF 2.32
                return (img.width, img.height) if turned else (img.height, img.width)
    except InvalidImage:
        raise
    except Exception:  # what is wrong with it, decoding says
        pass
    return decode(source).shape[:2]


_PNG_EXIF = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")
_ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}


def _is_whole(kind: str, file: BinaryIO) -> bool:
    """Whether the file's last bytes are its format's."""
    end = _ENDS[kind]
    file.seek(-len(end), os.SEEK_END)
    return file.read() == end


def decode_levels(source: Path | bytes) -> NDArray[np.uint8]:
    """The stored levels of a mask: indices of a palette, or grey, no colour applied.

    Returns:
        uint8 (height, width); of a black and white image 0 and 1.

    Raises:
        InvalidImage: As `decode`, or the image has colours or more than 8 bits.
    """
    name, kind, data = _read(source)
    try:
        img = _open(name, kind, data, MAX_PIXELS)
        img.load()
    except InvalidImage:
        raise
    except Exception as exc:
        raise InvalidImage(f"{name}: this {kind} cannot be decoded ({exc})") from exc
    levels = np.asarray(img)
    if levels.ndim == 3 and img.mode in ("RGB", "RGBA", "LA"):
        colours = levels[..., : 1 if img.mode == "LA" else 3]
        if (colours == colours[..., :1]).all():
            levels = levels[..., 0]
    if levels.ndim != 2 or levels.dtype not in (np.uint8, np.bool_):
        raise InvalidImage(
            f"{name}: a mask is grey, black and white or has a palette, 8 bits at most; this has "
            f"mode {img.mode}. Write the number of the class into each pixel."
        )
    return levels.astype(np.uint8)


def _decode_pillow(image: Image.Image, max_pixels: int) -> NDArray[np.uint8]:
    name = getattr(image, "filename", "") or "<Pillow image>"
    _check_size(name, image.size, max_pixels)
    try:
        return _upright(name, image.copy(), b"")  # a copy is of no format, and so has no file
    except InvalidImage:
        raise
    except Exception as exc:  # a lazy image of Pillow's is decoded only now
        raise InvalidImage(f"{name}: Pillow cannot load it ({type(exc).__name__}: {exc})") from exc


def _pixels(source: Any) -> NDArray[np.uint8]:
    """An array, or what becomes one; a list is none, for it may be one of images."""
    if hasattr(source, "__array__"):
        array = np.asarray(source)
        if array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == 3 and array.size:
            return np.array(array, order="C")
        got = f"{array.dtype} {array.shape}"
    else:
        got = f"a {type(source).__name__}"
    raise InvalidImage(
        f"an image is a path, bytes, an open file, a Pillow image, or uint8 pixels of shape "
        f"(height, width, 3), RGB; this is {got}. Several images: one call each."
    )


def _read(source: Path | str | bytes) -> tuple[str, str, bytes]:
    """Name for messages, format and content; a foreign file is not read whole."""
    if isinstance(source, bytes):
        return "<bytes>", _kind("<bytes>", source[:16]), source
    path = Path(source)
    try:
        if path.exists() and not path.is_file():
            raise InvalidImage(f"{path}: not a regular file. Give the path of one image.")
        with path.open("rb") as file:
            head = file.read(16)
            kind = _kind(str(path), head)
            return str(path), kind, head + file.read()
    except FileNotFoundError as exc:
        raise InvalidImage(f"{path}: does not exist. Check the path.") from exc
    except (OSError, ValueError) as exc:  # ValueError: a null byte in the path
        reason = getattr(exc, "strerror", None) or exc
        raise InvalidImage(f"{path}: cannot be read ({reason}). Check path and rights.") from exc


def _kind(name: str, head: bytes) -> str:
    """Format by its first 16 bytes."""
    if not head:
        raise InvalidImage(f"{name}: is empty (0 bytes). Copy or download it again.")
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):  # +: BigTIFF
        return "TIFF"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WebP"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS:
        return "HEIC"
    if head.startswith(b"BM"):
        return "BMP"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    raise InvalidImage(
        f"{name}: is not JPEG, PNG, WebP, TIFF, BMP, GIF or HEIC; it starts with {head[:12]!r}. "
        "Export it as one of these."
    )


def _decode(name: str, kind: str, data: bytes, max_pixels: int) -> NDArray[np.uint8]:
    img = _open(name, kind, data, max_pixels)
    img.load()
    return _upright(name, img, data)


def _upright(name: str, img: Image.Image, data: bytes) -> NDArray[np.uint8]:
    """The pixels; `data` is the file's, empty for an image that comes from none."""
    colour, alpha = _split(name, img, data)
    rgb = _to_srgb(name, colour, img.info.get("icc_profile"))
    if alpha is not None:
        rgb = Image.composite(rgb, Image.new("RGB", rgb.size, "white"), alpha)
    turn = _TURNS.get(_orientation(name, img))
    return np.array(rgb if turn is None else rgb.transpose(turn))


def _check_size(name: str, size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise InvalidImage(
            f"{name}: its header says {width} x {height} = {width * height} pixels; the limit is "
            f"max_pixels={max_pixels}. Shrink it; in Python, decode(..., max_pixels=N) reads it."
        )


def _webp_size(data: bytes) -> tuple[int, int]:
    """Canvas size (width, height); Pillow's parser allocates it on opening (RFC 9649)."""
    if data[12:16] == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = int.from_bytes(data[26:28], "little"), int.from_bytes(data[28:30], "little")
    return width & 0x3FFF, height & 0x3FFF


class _Whole(io.BytesIO):
    """Bytes of a file in which reading on at the end is an error: the file is cut off.

    Pillow raises that error too, unless some package set LOAD_TRUNCATED_IMAGES.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        got = super().read(size)
        if size is not None and size > 0 and not got:
            raise OSError("the data ends too early")
        return got


class _WebpBytes(_Whole):
    """First read short: Pillow then skips its process-wide limit, ours was checked."""

    def read(self, size: int | None = -1, /) -> bytes:
        first = self.tell() == 0 and size is not None and size > 16
        return super().read(16 if first else size)


class _Tiff(TiffImageFile):
    def load_prepare(self) -> None:
        """Prepare as Pillow does, without its process-wide limit; ours was checked."""
        if self._im is None:
            self.im = Image.new(self.mode, getattr(self, "_tile_size", self.size)).im
        ImageFile.ImageFile.load_prepare(self)


def _open(name: str, kind: str, data: bytes, max_pixels: int) -> Image.Image:
    """Image whose header was parsed and whose size is allowed; one parser, none registered."""
    if kind == "HEIC":
        return _open_heic(name, data, max_pixels)
    img: ImageFile.ImageFile
    if kind in _PARSERS:
        img = _PARSERS[kind](_Whole(data))
    elif kind == "TIFF":
        img = _Tiff(_Whole(data))
        tile = img.tag_v2.get(_TILE_WIDTH, 1), img.tag_v2.get(_TILE_LENGTH, 1)
        _check_size(name, tile, max_pixels)  # libtiff decodes whole tiles
        _check_strips(name, img)
    else:
        _check_size(name, _webp_size(data), max_pixels)
        img = WebPImageFile(_WebpBytes(data))
    _check_size(name, img.size, max_pixels)
    return img


def _check_strips(name: str, img: TiffImageFile) -> None:
    """Pillow leaves black what no strip or tile of an uncompressed TIFF covers."""
    extents = [part[1] for part in img.tile if part[1]]  # of "libtiff" one, which covers all
    planar = img.tag_v2.get(_PLANAR) == 2 and img.tile[0][0] != "libtiff"
    wanted = img.width * img.height * (len(img.getbands()) if planar else 1)
    covered = sum((right - left) * (bottom - top) for left, top, right, bottom in extents)
    if covered < wanted:
        raise InvalidImage(
            f"{name}: the TIFF has strips for {covered} of {wanted} samples. It is cut off or "
            "damaged; copy it again."
        )


def _open_heic(name: str, data: bytes, max_pixels: int) -> Image.Image:
    """HEIC turned upright by libheif, which also refuses pixels larger than the header says."""
    try:
        import pillow_heif
    except ImportError as exc:
        raise InvalidImage(
            f"{name}: HEIC needs a plug-in that is not installed. "
            "Run `pip install pillow-heif`, or export the image as JPEG."
        ) from exc
    for extent in _HEIC_EXTENT.findall(data):  # as coded; the plug-in tells the size once cropped
        _check_size(name, struct.unpack(">II", extent), max_pixels)
    heif = pillow_heif.open_heif(data)
    _check_size(name, heif.size, max_pixels)
    primaries = heif.info.get("nclx_profile", {}).get("color_primaries", 2)
    if primaries not in (1, 2) and "icc_profile" not in heif.info:  # ITU-T H.273: BT.709, unknown
        _warn(name, f"nclx colour primaries {primaries} ignored, colours taken as sRGB")
    return heif.to_pillow()


def _split(name: str, img: Image.Image, data: bytes) -> tuple[Image.Image, Image.Image | None]:
    """Colours (mode RGB, L, CMYK or LAB) and alpha (mode L) of a loaded image."""
    if img.mode in ("F", "I"):
        raise InvalidImage(
            f"{name}: samples are float, signed or 32-bit (Pillow mode {img.mode}), which have no "
            "agreed white. Export it with 8 or 16 bits, unsigned."
        )
    if img.mode.startswith("I;16"):
        return _split_wide_grey(img)
    flat: Image.Image = _round_wide_colour(img, data) or img
    if isinstance(img, PngImageFile) and img.mode == "L" and "transparency" in img.info:
        # The key counts in the file's 1, 2, 4 or 8 bits; Pillow widened only the pixels.
        img.info["transparency"] *= 255 // (2 ** data[24] - 1)
    if flat.mode in ("La", "RGBa"):
        flat = flat.convert(flat.mode.upper())
    if flat.has_transparency_data:
        flat = flat.convert("RGBA")
        return flat.convert("RGB"), flat.getchannel("A")
    if flat.mode in ("RGB", "L", "CMYK", "LAB"):
        return flat, None
    return flat.convert("L" if flat.mode == "1" else "RGB"), None


def _split_wide_grey(img: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Grey of 12 or 16 bits, rounded to 8; a tRNS key is compared at full depth."""
    samples = np.asarray(img)
    white = 65535
    if isinstance(img, TiffImageFile):
        white = 2 ** int(img.tag_v2[_BITS_PER_SAMPLE][0]) - 1
        if img.tag_v2.get(_PHOTOMETRIC) == 0:  # WhiteIsZero, which Pillow ignores at 16 bits
            samples = (white - samples).astype(np.uint16)
    key = img.info.get("transparency")
    alpha = None if key is None else Image.fromarray(np.where(samples == key, 0, 255).astype("u1"))
    return Image.fromarray(_eight_bit(samples, white)), alpha


def _eight_bit(samples: NDArray[np.uint16], white: int) -> NDArray[np.uint8]:
    """round(samples * 255 / white) by table; a half cannot occur, `white` being odd."""
    table = (np.arange(white + 1) * 255 + white // 2) // white
    return table.astype(np.uint8)[samples]


def _round_wide_colour(img: Image.Image, data: bytes) -> Image.Image | None:
    """RGB(A) of a 16-bit colour PNG or TIFF by OpenCV; None for all others.

    Also None where OpenCV is not within one level of Pillow, which only cut off
    the low bytes: the two then read the file differently, and Pillow's stands.
    """
    bits = data[24] if isinstance(img, PngImageFile) else 8
    if isinstance(img, TiffImageFile):
        bits = img.tag_v2.get(_BITS_PER_SAMPLE, (1,))[0]
    if bits != 16 or img.mode not in ("RGB", "RGBA"):
        return None
    import cv2  # slow to import, and seldom needed

    wide: NDArray[Any] | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    order = [2, 1, 0, 3] if img.has_transparency_data else [2, 1, 0]  # BGRA; a tRNS key is alpha
    if wide is None or wide.dtype != np.uint16 or wide.shape[:2] != (img.height, img.width):
        return None
    if wide.ndim < 3 or wide.shape[2] < len(order):
        return None
    exact = _eight_bit(wide[..., order], 65535)
    cut = np.asarray(img).astype(np.int16)
    shared = min(exact.shape[2], cut.shape[2])
    agree = np.abs(exact[..., :shared] - cut[..., :shared]).max() <= 1
    return Image.fromarray(exact) if agree else None


def _to_srgb(name: str, colour: Image.Image, profile: bytes | None) -> Image.Image:
    """Colours in mode RGB, converted from the embedded profile if there is one."""
    if profile:
        try:
            return _apply_profile(colour, profile)
        except (OSError, ValueError, TypeError, ImageCms.PyCMSError) as exc:
            _warn(name, f"embedded colour profile ignored, colours taken as sRGB ({exc})")
    return colour.convert("RGB")


def _apply_profile(colour: Image.Image, profile: bytes) -> Image.Image:
    embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    space = embedded.profile.xcolor_space.strip()
    mode = _PROFILE_MODES.get(space)
    if mode == "RGB" and colour.mode == "L":  # common: a grey JPEG that kept its sRGB profile
        colour = colour.convert("RGB")
    if mode != colour.mode:
        raise ValueError(f"the profile is for {space}, the image is {colour.mode}")
    to_srgb = ImageCms.ImageCmsTransform(
        embedded,
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")),
        mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    if mode == "RGB":
        levels = np.linspace(0, 255, 17).round().astype(np.uint8)
        probe = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(17, -1, 3)
        moved = np.asarray(to_srgb.apply(Image.fromarray(probe))).astype(np.int16) - probe
        if np.abs(moved).max() <= 1:
            return colour
    return to_srgb.apply(colour)


def _orientation(name: str, img: Image.Image) -> int:
    """EXIF orientation; 1 where there is none, or the parser applied it (TIFF, HEIC)."""
    try:
        return int(img.getexif().get(_ORIENTATION, 1))
    except Exception as exc:  # EXIF blocks of other tools are broken in many ways
        _warn(name, f"unreadable EXIF ignored, image taken as upright ({exc})")
        return 1


def _warn(name: str, message: str) -> None:
    warnings.warn(f"{name}: {message}", stacklevel=6)  # the line that called decode()
