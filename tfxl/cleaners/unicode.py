"""Mends what goes wrong with characters: wrong decoding, control characters, several spellings of one letter."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

import ftfy

from tfxl.cleaners import Cleaner, on_texts
from tfxl.example import Example

# Control characters other than tab and line breaks, byte order marks inside text, and code points that are no
# characters. Joiners (emoji, Persian, Indic scripts), zero-width spaces (Khmer, Thai) and direction marks (Arabic,
# Hebrew) stay: they mean something.
_UNWANTED = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ufdd0-\ufdef\ufeff\ufff9-\ufffb\ufffe\uffff]")
# Control characters that divide words: ends of pages (from PDFs), of records and of lines.
_SPACES = re.compile("[\x0b\x0c\x1c-\x1f\x85]")


class Unicode(Cleaner):
    """Mends mojibake, removes control characters, and brings text into one normal form. Drops nothing.

    Use it first. `form = "NFKC"` also replaces full-width letters, ligatures and superscripts with plain ones, which
    loses meaning in some texts (m² becomes m2). Offsets into a text do not survive a change of the text.
    """

    class Settings(Cleaner.Settings):
        """Which of the three are done."""

        form: Literal["NFC", "NFKC", "none"] = "NFC"
        mojibake: bool = True
        control_characters: bool = True

    settings: Settings

    def clean(self, example: Example) -> Example:
        """Returns the example with mended texts."""
        return on_texts(self._mend, example)

    def _mend(self, text: str) -> str:
        if text.isascii() and not (_UNWANTED.search(text) or _SPACES.search(text)):
            return text
        if self.settings.mojibake:
            text = ftfy.fix_encoding(text)  # first: what was decoded wrongly looks like control characters
        if self.settings.control_characters:
            text = _UNWANTED.sub("", _SPACES.sub(" ", text))
        return text if self.settings.form == "none" else unicodedata.normalize(self.settings.form, text)
