"""The share of questions whose answer is right word for word."""

from __future__ import annotations

from collections.abc import Sequence

from tfxl.metrics._answers import AnswerMetric


class ExactMatch(AnswerMetric):
    """The share of questions whose answer equals one of the right ones, punctuation, case and articles aside.

    It equals the exact match of MLQA's evaluation script, or of SQuAD's with `normalisation = "squad"`. Gold is
    `{"language": code, "answers": (texts)}`, predicted a text; where there is no right answer, `""` is right. Use it
    with `answer_f1` for question answering.

    Example:
        >>> ExactMatch().score([{"language": "de", "answers": ("der König",)}], ["König."])
        1.0
    """

    def compare(self, right: Sequence[str], answer: Sequence[str]) -> float:
        """Returns 1 if the words are the same, else 0."""
        return float(right == answer)
