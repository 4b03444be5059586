"""Whether a native library loads on Android's pages of 16 KB; Google Play refuses 64-bit ones less.

The rule is that of developer.android.com/guide/practices/page-sizes: every LOAD segment is aligned
to 16384 bytes or more, and lies in the file where that alignment puts it in memory.
"""

from __future__ import annotations

from io import BytesIO

from edgeskin.errors import InvalidBundle, MissingPackage

PAGE = 16384
"""Bytes of a page on such devices."""
ELF = b"\x7fELF"


def page_faults(library: bytes, name: str) -> list[str] | None:
    """Why a library does not load on pages of 16 KB, a line each; None where it need not.

    Args:
        library: The bytes of an ELF file.
        name: For the lines.

    Returns:
        None for a 32-bit library: no device with such pages runs it.

    Raises:
        InvalidBundle: It is no ELF file, or a damaged one.
        MissingPackage: pyelftools is not installed.
    """
    try:
        from elftools.common.exceptions import ELFError
        from elftools.elf.elffile import ELFFile
    except ModuleNotFoundError as error:
        raise MissingPackage(
            "reading native libraries needs pyelftools: pip install 'edgeskin[bundle]'"
        ) from error
    try:
        elf = ELFFile(BytesIO(library))
        if elf.elfclass != 64:
            return None
        loads = [segment.header for segment in elf.iter_segments("PT_LOAD")]
    except (ELFError, ValueError, KeyError, AttributeError, TypeError, OverflowError) as error:
        raise InvalidBundle(f"{name} is no whole ELF library: {error}") from error
    faults = []
    if not loads:
        faults.append(f"{name} has no segment to load")
    for i, load in enumerate(loads):
        if load.p_align < PAGE:
            faults.append(
                f"{name}: segment {i} is aligned to {load.p_align} bytes, pages of 16 KB need "
                f"{PAGE}. Link it with -Wl,-z,max-page-size={PAGE}."
            )
        elif (load.p_offset - load.p_vaddr) % PAGE:
            faults.append(
                f"{name}: segment {i} lies at {load.p_offset:#x} of the file and at "
                f"{load.p_vaddr:#x} in memory, which differ by no multiple of {PAGE}"
            )
    return faults
