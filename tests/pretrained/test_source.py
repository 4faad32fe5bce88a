"""One text names the weights, whatever they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pretrained.checkpoints import arrays, same, write_folder
from tfxl.errors import WeightsError
from tfxl.pretrained import hub
from tfxl.pretrained.source import open_checkpoint


def test_a_folder_wins_over_a_hub_name(tmp_path, monkeypatch):
    write_folder(tmp_path / "lab" / "random", arrays())
    monkeypatch.chdir(tmp_path)
    assert same(open_checkpoint("lab/random").arrays, arrays())


@pytest.mark.parametrize("weights", ["./nowhere", "/no/where", "~/nowhere", "a/b/c", "a b", "x\0y", "a" * 5000 + "/"])
def test_no_such_folder(weights):
    with pytest.raises(WeightsError, match="no such folder"):
        open_checkpoint(weights)


def test_an_unknown_offline_source_suggests_the_nearest():
    with pytest.raises(WeightsError, match="did you mean 'multilingual-e5-small'"):
        open_checkpoint("offline:multilingual-e5-smal")


def test_any_text_is_refused_in_the_same_way():
    @given(st.text(max_size=30))
    def check(text):
        with pytest.raises(WeightsError):
            open_checkpoint(f"./nowhere/{text}")
            open_checkpoint(f"offline:{text}")

    check()


@pytest.mark.parametrize(
    "name", ["bert-base-multilingual-cased", "lab/model.v2", "lab/model@main", "lab/model@refs/pr/1"]
)
def test_hub_names(name):
    assert hub.NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["lab/model@", "@main", "lab//model", "lab/model\n", "läb/../x/y"])
def test_not_hub_names(name):
    assert hub.NAME.fullmatch(name) is None
