"""The language files and how they are found."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfxl import languages
from tfxl.errors import RecipeError

FILES = sorted(languages.FOLDER.glob("*.toml"))
FIELDS = {"name", "endonym", "iso639_3", "script", "direction", "family", "region", "digits", "segmentation"}
MBERT = """af sq ar an hy ast az ba eu bar be bn bpy bs br bg my ca ceb ce zh cv hr cs da nl en et fi fr gl ka de el gu
ht he hi hu is io id ga it ja jv kn kk ky ko la lv lt lmo nds lb mk mg ms ml mr min ne new nb nn oc fa pms pl pt pa ro
ru sco sr sh scn sk sl azb es su sw sv tl tg ta tt te th mn tr uk ur uz vi vo war cy fy pnb yo"""
UNICODE_NAMES = {
    "Hans": "CJK",
    "Hant": "CJK",
    "Jpan": "CJK",
    "Kore": "HANGUL",
    "Latn": "LATIN",
    "Cyrl": "CYRILLIC",
    "Arab": "ARABIC",
    "Hebr": "HEBREW",
    "Deva": "DEVANAGARI",
    "Beng": "BENGALI",
    "Thai": "THAI",
    "Ethi": "ETHIOPIC",
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file_is_complete(path: Path) -> None:
    values = tomllib.loads(path.read_text(encoding="utf-8"))
    assert FIELDS <= set(values) <= FIELDS | {"also", "scripts"}
    assert values["name"] and values["endonym"] and values["family"] and values["region"]
    assert values["direction"] == ("rtl" if values["script"] in languages.RIGHT_TO_LEFT else "ltr")
    assert values["segmentation"] in ("spaces", "none", "mixed")
    assert values["digits"] in ("latn", "arab", "arabext", "beng", "deva", "mymr", "tibt")
    assert len(values["iso639_3"]) in (0, 3)
    assert languages.find(path.stem).code == path.stem
    assert languages.find(values["iso639_3"] or path.stem).code == path.stem
    letters = [letter for letter in values["endonym"] if letter.isalpha() and letter not in "ʼʻ"]
    expected = UNICODE_NAMES.get(values["script"], "")
    assert all(unicodedata.name(letter).startswith(expected) for letter in letters)


def test_other_codes_are_unambiguous() -> None:
    others = [code for path in FILES for code in tomllib.loads(path.read_text(encoding="utf-8")).get("also", ())]
    assert len(others) == len(set(others))
    assert not set(others) & set(languages.names())


def test_every_language_of_multilingual_bert_has_a_file() -> None:
    assert set(MBERT.split()) <= set(languages.names())


@pytest.mark.data
def test_every_language_of_the_public_data_sets_is_known(shared_data: Path) -> None:
    codes = {path.name.split("-")[0] for path in (shared_data / "tatoeba").glob("*.tsv")}
    for folder in ("afriqa", "americasnli", "masakhaner2", "panx", "pawsx", "xcopa", "xed", "xnli", "xsid"):
        codes |= {path.name.split(".")[0] for path in (shared_data / folder).iterdir()}
    codes |= {path.name.split(".")[0] for path in (shared_data / "ntrex").iterdir()} - {"document_ids"}
    codes -= {"cn"}  # one set's own name for Chinese: no such language exists
    assert len(codes) > 150
    assert [code for code in sorted(codes) if not languages.find(code).name] == []
    names = {path.name.split(".")[0] for path in (shared_data / "nusax_sentiment").iterdir()}
    assert names <= {languages.find(code).name.lower() for code in languages.names()}


@pytest.mark.parametrize(
    ("text", "code", "script", "direction"),
    [
        ("de", "de", "Latn", "ltr"),
        ("DEU", "de", "Latn", "ltr"),
        ("ger", "de", "Latn", "ltr"),
        ("no", "no", "Latn", "ltr"),
        ("zh-CN", "zh-CN", "Hans", "ltr"),
        ("zho-CN", "zh-CN", "Hans", "ltr"),
        ("ZH_tw", "zh-TW", "Hant", "ltr"),
        ("zh-yue", "yue", "Hant", "ltr"),
        ("pt_BR", "pt-BR", "Latn", "ltr"),
        ("es-419", "es-419", "Latn", "ltr"),
        ("sr-latn", "sr-Latn", "Latn", "ltr"),
        ("uz-CYRL-uz", "uz-Cyrl-UZ", "Cyrl", "ltr"),
        ("pa-PK", "pa-PK", "Arab", "rtl"),
        ("iw", "he", "Hebr", "rtl"),
        ("arb", "ar", "Arab", "rtl"),
        ("xyz", "xyz", "Zyyy", ""),
        ("xyz-Arab", "xyz-Arab", "Arab", "rtl"),
        ("und", "und", "Zyyy", ""),
    ],
)
def test_find(text: str, code: str, script: str, direction: str) -> None:
    language = languages.find(text)
    assert (language.code, language.script, language.direction) == (code, script, direction)


def test_scripts_have_names() -> None:
    scripts = {languages.find(code).script for code in languages.names()}
    assert scripts <= set(languages.SCRIPT_NAMES) | {"Thai"}
    assert languages.script_name("Cyrl") == "Cyrillic"
    assert languages.script_name("Nkoo") == "Nkoo"


def test_labels_are_readable() -> None:
    assert languages.find("pt_br").label == "Portuguese (BR)"
    assert languages.find("pt-BR").base == "pt"
    assert languages.find("qqq").label == "qqq"
    assert languages.find("und").label == "unknown language"


def test_a_language_name_is_answered_with_its_code() -> None:
    for name, code in {"German": "de", "acehnese": "ace", "deutsch": "de", "中文": "zh", "portugese": "pt"}.items():
        with pytest.raises(RecipeError, match=f"did you mean '{code}'"):
            languages.find(name)


@pytest.mark.parametrize(
    "text", ["", " ", "e", "zh--CN", "-", "12", "de\n-AT", "en/us", "../en", "de-", "deutsche sprache"]
)
def test_malformed(text: str) -> None:
    with pytest.raises(RecipeError, match="BCP 47"):
        languages.find(text)


@given(st.text(max_size=12))
def test_any_text_is_a_language_or_an_error_and_tags_are_stable(text: str) -> None:
    try:
        language = languages.find(text)
    except RecipeError:
        return
    assert languages.find(language.code) == language


@given(st.from_regex(r"[A-Za-z]{2,3}([-_][A-Za-z]{4})?([-_]([A-Za-z]{2}|[0-9]{3}))?", fullmatch=True))
def test_every_well_formed_tag_is_found(text: str) -> None:
    assert languages.find(text) == languages.find(languages.find(text).code)


def test_no_tensorflow() -> None:
    code = "import sys; from tfxl import languages; languages.find('de'); sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
