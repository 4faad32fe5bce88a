"""Languages: what is known of each one (script, direction, family, …), one TOML file a language and no code.

The file name is the BCP 47 code: two letters where there are two (`no.toml`), else three (`ace.toml`).
"""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import dataclass, fields, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from tfxl.errors import RecipeError
from tfxl.example import UNKNOWN_LANGUAGE

FOLDER = Path(__file__).parent
UNKNOWN_SCRIPT = "Zyyy"
"""ISO 15924's code for a script that is not determined."""

RIGHT_TO_LEFT = frozenset({"Adlm", "Arab", "Hebr", "Mand", "Mend", "Nkoo", "Rohg", "Samr", "Syrc", "Thaa"})
"""Scripts that are written from right to left."""

SCRIPT_NAMES = {
    "Arab": "Arabic",
    "Armn": "Armenian",
    "Beng": "Bengali",
    "Cyrl": "Cyrillic",
    "Deva": "Devanagari",
    "Ethi": "Ethiopic",
    "Geor": "Georgian",
    "Grek": "Greek",
    "Gujr": "Gujarati",
    "Guru": "Gurmukhi",
    "Hans": "Chinese, simplified",
    "Hant": "Chinese, traditional",
    "Hebr": "Hebrew",
    "Jpan": "Japanese",
    "Khmr": "Khmer",
    "Knda": "Kannada",
    "Kore": "Korean",
    "Laoo": "Lao",
    "Latn": "Latin",
    "Mlym": "Malayalam",
    "Mong": "Mongolian",
    "Mymr": "Burmese",
    "Orya": "Odia",
    "Sinh": "Sinhala",
    "Taml": "Tamil",
    "Telu": "Telugu",
    "Thaa": "Thaana",
    "Tibt": "Tibetan",
    "Zyyy": "unknown script",
}
"""What people call the scripts of the languages here; Thai is Thai."""

_TAG = re.compile(
    r"(?P<base>[a-z]{2,3})(-(?P<extended>[a-z]{3}))?(-(?P<script>[a-z]{4}))?(-(?P<region>[a-z]{2}|[0-9]{3}))?"
    r"(?P<rest>(-([a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*(-[a-wyz0-9](-[a-z0-9]{2,8})+)*(-x(-[a-z0-9]{1,8})+)?)"
)


@dataclass(frozen=True, slots=True)
class Language:
    """One language. Fields that are not known are empty.

    Attributes:
        code: The BCP 47 tag in its usual spelling, such as `zh` or `pt-BR`.
        name: The name in English.
        endonym: The name in the language itself.
        iso639_3: The three-letter code; empty for groups of languages such as Berber.
        script: The ISO 15924 code of the usual script, or of the one that the tag asks for.
        direction: `ltr` or `rtl`.
        family: The language family.
        region: Where it is at home: a region of the United Nations' list, or `World`.
        digits: The usual digits, by Unicode's names (`latn`, `arab`, `deva`, …).
        segmentation: `spaces` between words, `none`, or `mixed` (spaces, but not between words).
    """

    code: str
    name: str = ""
    endonym: str = ""
    iso639_3: str = ""
    script: str = UNKNOWN_SCRIPT
    direction: str = ""
    family: str = ""
    region: str = ""
    digits: str = ""
    segmentation: str = ""

    @property
    def base(self) -> str:
        """The code without script and region: `pt` of `pt-BR`."""
        return self.code.partition("-")[0]

    @property
    def label(self) -> str:
        """What to call the language in a table or plot, in Latin letters: `Portuguese (BR)`."""
        detail = self.code.partition("-")[2].replace("-", ", ")
        name = self.name or ("unknown language" if self.base == UNKNOWN_LANGUAGE else self.base)
        return f"{name} ({detail})" if detail else name


@lru_cache(maxsize=4096)
def find(code: str) -> Language:
    """Returns a language by its BCP 47 tag, its three-letter code, or a spelling of them (`zh-CN`, `pt_BR`, `DEU`).

    A code that is well formed but not known gives a `Language` that knows only its code.

    Args:
        code: The tag. Script and region may follow the language; the script then stands in the answer.

    Raises:
        RecipeError: The text is no language tag.
    """
    match = _TAG.fullmatch(str(code).strip().replace("_", "-").lower())
    if match is None:
        raise _malformed(str(code))
    base = match["extended"] or match["base"]
    values = _known().get(base) or _known().get(_codes().get(base, ""), {"code": base})
    script, region = (match["script"] or "").capitalize(), (match["region"] or "").upper()
    tag = "-".join(part for part in (values["code"], script, region) if part) + match["rest"]
    known = {field.name: values[field.name] for field in fields(Language) if field.name in values}
    language = Language(**{**known, "code": tag})
    script = script or values.get("scripts", {}).get(region, "")
    if not script:
        return language
    return replace(language, script=script, direction="rtl" if script in RIGHT_TO_LEFT else "ltr")


def names() -> list[str]:
    """Returns the codes of all languages that have a file, sorted."""
    return sorted(_known())


def script_name(code: str) -> str:
    """Returns what people call a script: `Latn` is `Latin`; the code itself if that is not known."""
    return SCRIPT_NAMES.get(code, code)


@cache
def _known() -> dict[str, dict[str, Any]]:
    """Returns what the files say, by code."""
    return {
        path.stem: {"code": path.stem, **tomllib.loads(path.read_text(encoding="utf-8"))}
        for path in sorted(FOLDER.glob("*.toml"))
    }


@cache
def _codes() -> dict[str, str]:
    """Returns the code of each language by its other codes: three letters, a former code, a macrolanguage's member."""
    return {
        other: code
        for code, values in _known().items()
        for other in (values["iso639_3"], *values.get("also", ()))
        if other
    }


def _malformed(text: str) -> RecipeError:
    known = {values[key].lower(): code for code, values in _known().items() for key in ("endonym", "name")}
    nearest = difflib.get_close_matches(text.lower(), [*known, *_known()], n=1, cutoff=0.7)
    meant = find(known.get(nearest[0], nearest[0])) if nearest else None
    hint = f"did you mean '{meant.code}' ({meant.name})? " if meant else ""
    return RecipeError(
        f"language {text!r}",
        expected='a BCP 47 language tag, such as "de", "ace", "zh-Hant" or "pt-BR"',
        fix=f"{hint}Write the language's code; `tfxl list languages` shows those that are known.",
    )
