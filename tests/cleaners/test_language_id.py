from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from tfxl.cleaners.language_id import LanguageId
from tfxl.errors import InstallationError, RecipeError
from tfxl.example import Example

lingua = pytest.importorskip("lingua")

CODES = ("de", "en", "zh", "hi", "th", "nb", "ar")
TEXTS = {
    "de": "Das Zimmer war sauber, aber die Heizung ging die ganze Nacht nicht aus.",
    "en": "The parcel came two days late and nobody answered the phone.",
    "zh": "这家酒店很吵，早餐也不好吃。",
    "hi": "कमरा साफ़ था और खाना अच्छा था।",
    "th": "ห้องพักสะอาดมาก พนักงานใจดี",
    "ar": "الغرفة نظيفة والخدمة ممتازة",
}


@pytest.fixture(scope="module")
def cleaner() -> LanguageId:
    return LanguageId(languages=CODES)


@pytest.mark.parametrize("code", TEXTS)
def test_keeps_what_is_right_drops_what_is_wrong_names_what_is_unknown(cleaner: LanguageId, code: str) -> None:
    example = Example(TEXTS[code], language=code)
    assert cleaner.clean(example) is example
    assert cleaner.clean(replace(example, language="und")) == example
    assert cleaner.clean(replace(example, language="en" if code != "en" else "de")) is None


def test_script_region_and_other_codes_are_understood(cleaner: LanguageId) -> None:
    for code in ("zh-Hans", "zh-TW", "zho"):
        assert cleaner.clean(Example(TEXTS["zh"], language=code)) is not None
    norwegian = "Rommet var rent og pent, men frokosten var dessverre ikke noe å skryte av."
    assert cleaner.clean(Example(norwegian, language="no")) is not None
    assert cleaner.clean(Example(TEXTS["de"], language="no")) is None


def test_believes_languages_that_it_does_not_know_and_unsure_guesses(cleaner: LanguageId) -> None:
    assert cleaner.clean(Example(TEXTS["en"], language="ace")) is not None
    for text in ("ok", "👍", "123", ""):
        example = Example(text, language="und")
        assert cleaner.clean(example) == example


def test_renames_when_told() -> None:
    cleaner = LanguageId(languages=("de", "en"), mismatch="rename")
    assert cleaner.clean(Example(TEXTS["de"], language="en")) == Example(TEXTS["de"], language="de")


@pytest.mark.parametrize(
    ("codes", "code"), [(("de", "no"), "no"), (("de", "nor"), "no"), (("de", "no", "nb"), "nb"), ((), "nb")]
)
def test_a_language_is_called_what_the_settings_call_it(codes: tuple[str, ...], code: str) -> None:
    text = "Rommet var rent og pent, men frokosten var dessverre ikke noe å skryte av."
    cleaner = LanguageId(languages=codes, mismatch="rename", confidence=0.5)
    for claimed in ("und", "de"):
        named = cleaner.clean(Example(text, language=claimed))
        assert named is not None and named.language == code


def test_serbo_croatian_is_called_so_where_the_settings_do() -> None:
    cleaner = LanguageId(languages=("de", "sh"), confidence=0.3)
    named = cleaner.clean(Example("Soba je bila čista, ali doručak nije bio dobar.", language="und"))
    assert named is not None and named.language == "sh"


@pytest.mark.parametrize(("codes", "got"), [(("de", "ace"), "'ace'"), (("de",), "only 'de'"), (("de", "??"), "??")])
def test_refuses_languages_that_it_cannot_tell_apart(codes: tuple[str, ...], got: str) -> None:
    with pytest.raises(RecipeError) as error:
        LanguageId(languages=codes).clean(Example("Hallo", language="und"))
    assert got in error.value.got


def test_names_the_extra_when_the_package_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lingua", None)
    with pytest.raises(InstallationError) as error:
        LanguageId().clean(Example("Hallo"))
    assert 'pip install "tfxl[language_id]"' in error.value.fix
