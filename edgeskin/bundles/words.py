"""Names from a spec, made valid and usual in each language: words in, identifiers out."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Literal

Language = Literal["kotlin", "swift", "cpp"]
Style = Literal["camel", "pascal", "snake", "upper"]

_SPELLED = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss", "ø": "o"}
    | {"Ø": "O", "æ": "ae", "Æ": "Ae", "œ": "oe", "ł": "l", "Ł": "L", "đ": "d", "%": " percent "}
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

_CPP = """alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl
concept const const_cast consteval constexpr constinit continue co_await co_return co_yield
decltype default delete do double dynamic_cast else enum explicit export extern false float for
friend goto if inline int long mutable namespace new noexcept not not_eq nullptr operator or or_eq
private protected public register reinterpret_cast requires return short signed sizeof static
static_assert static_cast struct switch template this thread_local throw true try typedef typeid
typename union unsigned using virtual void volatile wchar_t while xor xor_eq"""
_KOTLIN = """as break class continue do else false for fun if in interface is null object package
return super this throw true try typealias typeof val var when while entries name ordinal values"""
_SWIFT = """associatedtype class deinit enum extension fileprivate func import init inout internal
let open operator private precedencegroup protocol public rethrows static struct subscript typealias
var break case catch continue default defer do else fallthrough for guard if in repeat return throw
switch where while Any as await false is nil self Self super throws true try async Type Protocol"""
KEYWORDS = {
    "cpp": frozenset(_CPP.split()),
    "kotlin": frozenset(_KOTLIN.split()),
    "swift": frozenset(_SWIFT.split()),
}
"""Reserved, or taken by what every enum has."""


def words(text: str) -> list[str]:
    """The words of a name, in ASCII; none where it has no Latin letter and no digit.

    >>> words("Größe der Läsion"), words("maxSize-2")
    (['Groesse', 'der', 'Laesion'], ['max', 'Size', '2'])
    """
    plain = unicodedata.normalize("NFKD", text.translate(_SPELLED))
    return _WORD.findall("".join(c for c in plain if not unicodedata.combining(c)))


def joined(text: str, style: Style) -> str:
    """A name in one style; empty where it has no words."""
    found = [word.lower() for word in words(text)]
    if style in ("snake", "upper"):
        name = "_".join(found)
        return name.upper() if style == "upper" else name
    pascal = "".join(word.capitalize() for word in found)
    return pascal if style == "pascal" else pascal[:1].lower() + pascal[1:]


def identifiers(
    texts: Iterable[str], style: Style, language: Language, *, otherwise: str = "label"
) -> list[str]:
    """An identifier for each text, all different, in their order.

    Args:
        otherwise: The word for a text without words, and before one that begins with a digit.

    >>> identifiers(["class", "0", "皮膚", "Class"], "camel", "swift")
    ['class_', 'label0', 'label3', 'class2']
    """
    taken: set[str] = set()
    names = []
    for place, text in enumerate(texts, start=1):
        name = joined(text, style)
        if not name:
            name = joined(f"{otherwise} {place}", style)
        elif name[0].isdigit():
            name = joined(f"{otherwise} {text}", style)
        if name in KEYWORDS[language]:
            name += "_"
        names.append(_unused(name, taken))
        taken.add(names[-1])
    return names


def _unused(name: str, taken: set[str]) -> str:
    if name not in taken:
        return name
    base, number = name.rstrip("_"), 2
    while (fresh := f"{base}{'_' if base[-1].isdigit() else ''}{number}") in taken:
        number += 1
    return fresh


def identifier(text: str, style: Style, language: Language) -> str:
    """`identifiers` of one text."""
    return identifiers([text], style, language)[0]


def quoted(text: str, language: Language) -> str:
    """A text as a literal of the language, in one line."""
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    if language == "kotlin":
        escapes["$"] = "\\$"
    return '"' + "".join(escapes.get(c) or _visible(c, language) for c in text) + '"'


def _visible(character: str, language: Language) -> str:
    """What is hidden is spelled out."""
    if not _is_hidden(character):
        return character
    code = ord(character)
    if language == "swift":
        return f"\\u{{{code:X}}}"
    if language == "cpp":  # octal: a hexadecimal escape would swallow what follows
        return "".join(f"\\{byte:03o}" for byte in character.encode())
    return "".join(f"\\u{unit:04x}" for unit in _utf16(character))


def _utf16(character: str) -> list[int]:
    data = character.encode("utf-16-be")
    return [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]


def in_comment(text: str) -> str:
    """A text that ends no comment and begins none, in one line."""
    shown = "".join(c for c in " ".join(text.split()) if not _is_hidden(c))
    return shown.replace("*/", "* /").replace("/*", "/ *")


def _is_hidden(character: str) -> bool:
    """Control characters, and the marks that reverse text."""
    return unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp")
