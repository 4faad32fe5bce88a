"""What every reader must hold; a new file in the drawer is tested with no new test."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfxl import registry
from tfxl.errors import DataError, RecipeError, TfxlError
from tfxl.readers import Reader


@pytest.fixture(params=registry.names("readers"))
def reader(request: pytest.FixtureRequest) -> Reader:
    return registry.build("readers", request.param)


def test_is_documented_and_repeatable(reader: Reader) -> None:
    assert type(reader).__doc__
    assert registry.build("readers", reader.spec()).spec() == reader.spec()
    assert not reader.skipped


def test_refuses_unknown_settings(reader: Reader) -> None:
    with pytest.raises(RecipeError, match="did you mean 'on_error'"):
        type(reader)(on_eror="skip")


def test_streams(reader: Reader) -> None:
    assert inspect.isgenerator(reader.read("any"))


def test_files_that_are_missing_empty_or_folders_are_data_errors(reader: Reader, tmp_path: Path) -> None:
    if not reader.reads_files:
        pytest.skip("its path is a name elsewhere")
    empty = tmp_path / "empty"
    empty.touch()
    for path in (tmp_path / "missing", empty, tmp_path):
        with pytest.raises(DataError) as error:
            list(reader.read(path))
        assert str(path) in error.value.got and error.value.fix


@pytest.mark.parametrize("kind", registry.names("readers"))
@given(content=st.binary(max_size=80) | st.text('a1#\t \n,{}[]:"', max_size=60).map(str.encode))
@settings(max_examples=50, deadline=None)
def test_any_file_is_read_or_refused(kind: str, tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    reader = registry.build("readers", {"kind": kind, "on_error": "skip"})
    if not reader.reads_files:
        pytest.skip("its path is a name elsewhere")
    path = tmp_path_factory.mktemp("any") / "file"
    path.write_bytes(content)
    try:
        examples = list(reader.read(path, language="th"))
    except TfxlError:
        return
    for example in examples:
        assert example.source.startswith(f"{path}:") and example.id
        (example.text + (example.second_text or "") + "".join(example.words)).encode()
