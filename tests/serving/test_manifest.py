from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tfxl import packages
from tfxl.errors import ModelError
from tfxl.serving import manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "variables").mkdir()
    (tmp_path / "saved_model.pb").write_bytes(b"graph")
    (tmp_path / "variables" / "variables.index").write_bytes(b"index")
    made = manifest.Manifest(
        name="sentiment",
        created="2026-01-01T00:00:00+00:00",
        packages=packages.versions(),
        encoder={"kind": "tiny"},
        task={"kind": "classification", "labels": ["消极", "إيجابي"]},
        head={"kind": "pooled"},
        signatures={"tokens": {"inputs": {}, "outputs": {}}},
        variables=(manifest.Variable(name="head/kernel", shape=(8, 2), dtype="float32"),),
        files=manifest.digests(tmp_path),
    )
    manifest.write(tmp_path, made)
    return tmp_path


def test_what_is_written_is_read(folder: Path) -> None:
    found = manifest.verify(folder)
    assert found.task["labels"] == ["消极", "إيجابي"] or found.task["labels"] == ("消极", "إيجابي")
    assert sorted(found.files) == ["saved_model.pb", "variables/variables.index"]
    assert found.packages["tfxl"]
    assert "إيجابي" in (folder / manifest.PLACE).read_text(encoding="utf-8")


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_flipped_bit_is_found_wherever_it_is(folder: Path, data: st.DataObject) -> None:
    names = [manifest.PLACE, "saved_model.pb", "variables/variables.index"]
    path = folder / data.draw(st.sampled_from(names))
    before = path.read_bytes()
    place, bit = data.draw(st.integers(0, len(before) - 1)), data.draw(st.integers(0, 7))
    path.write_bytes(before[:place] + bytes([before[place] ^ (1 << bit)]) + before[place + 1 :])
    try:
        with pytest.raises(ModelError):
            manifest.verify(folder)
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize(("change", "said"), [("missing", "missing: saved_model.pb"), ("unknown", "unknown: more.py")])
def test_missing_and_unknown_files_are_named(folder: Path, change: str, said: str) -> None:
    if change == "missing":
        (folder / "saved_model.pb").unlink()
    else:
        (folder / "more.py").write_text("")
    with pytest.raises(ModelError, match=said):
        manifest.verify(folder)


def test_a_foreign_folder_is_told_apart_from_a_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no assets\.extra/manifest\.json"):
        manifest.verify(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", "{", '{"sha256": "0"}', "\xff"])
def test_any_other_file_as_manifest_is_damage(folder: Path, text: str) -> None:
    (folder / manifest.PLACE).write_text(text, encoding="latin-1")
    with pytest.raises(ModelError, match="was changed after it was written"):
        manifest.verify(folder)


def test_a_later_format_is_named(folder: Path) -> None:
    found = manifest.read(folder)
    manifest.write(folder, found.model_copy(update={"format": 2, "packages": {"tfxl": "9.0"}}))
    with pytest.raises(ModelError, match=r"has format 2 and was written by tfxl 9\.0"):
        manifest.verify(folder)
