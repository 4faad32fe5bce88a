"""What a `config.json` asks: its labels, and the task of tfxl that answers as the checkpoint's class does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tfxl.errors import WeightsError

MANY, NUMBER, ONE = "multi_label_classification", "regression", "single_label_classification"
ENTAILS, CONTRADICTS = ("entailment", "entail"), ("contradiction", "contradict")


class Labels(NamedTuple):
    """The names of logits, in their order, and a remark where the configuration has none."""

    names: tuple[str, ...]
    remark: str = ""


def labels(config: Mapping[str, Any], count: int, *, given: Sequence[str] = (), where: str) -> Labels:
    """Returns the names of a checkpoint's logits.

    Args:
        config: Has `id2label` as a table or a list, or `label2id`, or neither.
        count: How many logits the weights give.
        given: Names to be used instead.
        where: The checkpoint, for the error.

    Raises:
        WeightsError: There are names, and they are not as many as the logits, or two are alike.
    """
    named = dict(enumerate(given)) if given else _named(config, where)
    if not named:
        names = tuple(f"LABEL_{number}" for number in range(count))
        return Labels(names, f"config.json has no names of labels; they are called {', '.join(names[:3])}, ….")
    missing = [number for number in range(count) if number not in named]
    if missing or len(named) != count or len(set(named.values())) != count:
        listed = ", ".join(f"{number} {name}" for number, name in sorted(named.items())[:20])
        raise WeightsError(
            f"{where}: the labels {listed} for {count} logits",
            expected=f"{count} names, each different, numbered from 0 to {count - 1}",
            fix="Name them in the order of the logits with the setting labels.",
        )
    return Labels(tuple(named[number] for number in range(count)))


def _named(config: Mapping[str, Any], where: str) -> dict[int, str]:
    forward, backward = config.get("id2label"), config.get("label2id")
    try:
        if isinstance(forward, Mapping) and forward:
            return {int(number): str(name) for number, name in forward.items()}
        if isinstance(forward, list) and forward:
            return dict(enumerate(map(str, forward)))
        if isinstance(backward, Mapping) and backward:
            return {int(number): str(name) for name, number in backward.items()}
    except (TypeError, ValueError):
        raise WeightsError(
            f"{where}: id2label is {forward!r}, label2id {backward!r}"[:300],
            expected='names by number, such as {"0": "negative"}',
            fix="Name them in the order of the logits with the setting labels.",
        ) from None
    return {}


def sequence_task(config: Mapping[str, Any], names: Sequence[str], *, second_text: bool) -> dict[str, Any]:
    """Returns the spec of the task that answers as …ForSequenceClassification does.

    As in transformers, `problem_type` decides; where it is not said, one logit is a number and more are labels of which
    one is right. Labels of inference make the task `inference`, which reads pairs.
    """
    problem = config.get("problem_type") or (NUMBER if len(names) == 1 else ONE)
    if problem == NUMBER:
        return {"kind": "regression", "second_text": second_text}
    if problem == MANY:
        return {"kind": "multilabel", "labels": list(names)}
    entails, contradicts = (_first(names, known) for known in (ENTAILS, CONTRADICTS))
    if entails:
        return {"kind": "inference", "labels": list(names), "entailment": entails, "contradiction": contradicts}
    return {"kind": "classification", "labels": list(names), "second_text": second_text}


def _first(names: Sequence[str], known: Sequence[str]) -> str:
    return next((name for name in names if name.lower() in known), "")


def problem_of(task: str, count: int) -> str:
    """Returns the `problem_type` of a task."""
    return {"multilabel": MANY, "regression": NUMBER}.get(task, ONE)
