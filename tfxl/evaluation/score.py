"""Score: the one record of a number that is shown to a person."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Score:
    """A number with what it was measured on and how sure it is.

    Tables, JSON, plots, TensorBoard and model cards all show this record, so they all show the same.

    Attributes:
        metric: The kind of the metric.
        value: The score; nan if it is not defined.
        low: The lower end of the confidence interval.
        high: The upper end.
        rows: How many rows it was measured on.
        group: Which rows, such as `{"language": "de"}`; empty for all of them.
    """

    metric: str
    value: float
    low: float
    high: float
    rows: int
    group: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{number(self.value)} [{number(self.low)}, {number(self.high)}] (n = {self.rows})"

    @property
    def name(self) -> str:
        """The score's place in a log: `accuracy/language/de`."""
        return "/".join([self.metric, *(part for item in self.group.items() for part in item)])

    def as_json(self) -> dict[str, Any]:
        """Returns the record as JSON values; nan becomes null."""
        return {
            key: None if isinstance(value, float) and math.isnan(value) else value
            for key, value in {**asdict(self), "group": dict(self.group)}.items()
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Returns the record that `as_json` wrote."""
        numbers = {key: math.nan if values[key] is None else float(values[key]) for key in ("value", "low", "high")}
        return cls(metric=values["metric"], rows=values["rows"], group=dict(values["group"]), **numbers)


def metric_name(kind: str) -> str:
    """Returns what people call a metric: `macro_f1` is `macro F1`."""
    return " ".join("F1" if word == "f1" else word for word in kind.split("_"))


def p_number(value: float) -> str:
    """Returns a p-value as people read it: three decimals, or a dash if it is not defined."""
    return "<0.001" if value < 0.001 else number(value)


def number(value: float, *, signed: bool = False) -> str:
    """Returns a score as people read it: three decimals, or a dash if it is not defined.

    Args:
        value: The score.
        signed: Whether a plus is shown, as differences want it.
    """
    if math.isnan(value):
        return "–"
    shown = f"{value:+.3f}" if signed else f"{value:.3f}"
    # -0.0004 is no different from 0 at three decimals.
    return shown.replace("-0.000", "0.000").replace("+0.000", "0.000").replace("-", "−")
