"""Takes the text out of HTML."""

from __future__ import annotations

import html
import re

from tfxl.cleaners import Cleaner, on_texts
from tfxl.example import Example

_BREAKING = (
    "address article aside blockquote body br caption center dd details dialog div dl dt fieldset figcaption figure "
    "footer form h1 h2 h3 h4 h5 h6 head header hgroup hr html legend li main menu nav ol option p pre section select "
    "summary table tbody textarea tfoot thead title tr ul"
)
_INLINE = (
    "a abbr acronym applet area audio b base basefont bdi bdo big button canvas cite code col colgroup data datalist "
    "del dfn em embed font frame frameset i iframe img input ins kbd label link map mark meta meter noframes noscript "
    "object optgroup output param picture progress q rp rt ruby s samp script slot small source span strike strong "
    "style sub sup svg template time track tt u var video wbr"
)
_INSTEAD = dict.fromkeys(_BREAKING.split(), "\n") | dict.fromkeys(("td", "th"), " ")
_NAMES = "|".join(sorted({*_INSTEAD, *_INLINE.split()}, key=len, reverse=True))

_HIDDEN = re.compile(r"<(script|style|template)\b[^<>]*>.*?</\1\s*>|<!--.*?-->|<!doctype[^<>]*>", re.I | re.S)
_ATTRIBUTE = r"\s+[^\s\"'<>/=]+(?:\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s\"'<>]+))?"
_TAG = re.compile(rf"</?({_NAMES})(?:{_ATTRIBUTE})*\s*/?>", re.I)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});", re.I)
_SPACES_AT_BREAK = re.compile(r"[^\S\n]*\n\s*")


class Html(Cleaner):
    """Removes tags, comments, scripts and styles, and replaces entities with their characters. Drops nothing.

    Only names that HTML knows are tags, so `2 < 3`, `<3`, `List<String>` and `<your name>` stay as they are. A block
    (`<p>`, `<br>`, `<li>`) becomes a line break, a table's cell a space.
    """

    def clean(self, example: Example) -> Example:
        """Returns the example with the text of its texts."""
        return on_texts(_strip, example)


def _strip(text: str) -> str:
    shown = _HIDDEN.sub("", text) if "<" in text else text
    shown = _TAG.sub(_instead, shown) if "<" in shown else shown
    if shown != text:
        shown = _SPACES_AT_BREAK.sub("\n", shown).strip()
    return _ENTITY.sub(_character, shown)


def _instead(tag: re.Match[str]) -> str:
    instead = _INSTEAD.get(tag[1].lower(), "")
    return "" if instead == " " and tag[0].startswith("</") else instead  # a cell's space stands before it


def _character(entity: re.Match[str]) -> str:
    character = html.unescape(entity[0])
    return " " if character == "\xa0" else character  # &nbsp; is layout
