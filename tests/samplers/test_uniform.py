from __future__ import annotations

from tfxl.samplers.uniform import Uniform


def test_each_group_has_the_same_share() -> None:
    assert Uniform().weights({("de",): 1, ("en",): 999, ("zh",): 10, ("th",): 2}) == dict.fromkeys(
        [("de",), ("en",), ("zh",), ("th",)], 0.25
    )
