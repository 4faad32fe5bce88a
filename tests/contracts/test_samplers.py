"""What every sampler must hold; a new file in the drawer is tested with no new test."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tfxl import registry
from tfxl.errors import RecipeError
from tfxl.example import Example
from tfxl.samplers import Sampler, expected_epochs

COUNTS = st.dictionaries(st.tuples(st.sampled_from("abcdefgh")), st.integers(1, 10**7), min_size=1)


@pytest.fixture(params=registry.names("samplers"))
def sampler(request: pytest.FixtureRequest) -> Sampler:
    return registry.build("samplers", request.param)


def test_is_documented_and_repeatable(sampler: Sampler) -> None:
    assert type(sampler).__doc__
    assert registry.build("samplers", sampler.spec()).spec() == sampler.spec()


def test_groups_by_language_domain_and_task(sampler: Sampler) -> None:
    example = Example("x", language="de", domain="hotel")
    assert sampler.group(example) == ("de",)
    assert type(sampler)(by=("language", "domain")).group(example) == ("de", "hotel")
    joint = Example("x", language="de", label={"intent": "book", "slots": ("O",)})
    assert type(sampler)(by=("language", "task")).group(joint) == ("de", "intent+slots")
    with pytest.raises(RecipeError):
        type(sampler)(by=("label",))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(counts=COUNTS)
def test_shares_add_up_and_leave_nobody_out(sampler: Sampler, counts: dict) -> None:
    weights = sampler.weights(counts)
    assert list(weights) == list(counts)
    assert sum(weights.values()) == pytest.approx(1)
    assert all(weight > 0 for weight in weights.values())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(counts=COUNTS)
def test_a_larger_group_never_gets_less_and_a_row_of_it_never_more(sampler: Sampler, counts: dict) -> None:
    weights = sampler.weights(counts)
    epochs = expected_epochs(counts, weights)
    for one in counts:
        for other in counts:
            if counts[one] <= counts[other]:
                assert weights[one] <= weights[other] * (1 + 1e-9)
                assert epochs[one] * (1 + 1e-9) >= epochs[other]


def test_no_groups_have_no_shares(sampler: Sampler) -> None:
    assert sampler.weights({}) == {}
