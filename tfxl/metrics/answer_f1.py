"""How much the words of an answer and those of the right one overlap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tfxl.metrics._answers import AnswerMetric


class AnswerF1(AnswerMetric):
    """The F1 score of an answer's words against those of the best right answer, averaged over questions.

    It equals the F1 of MLQA's evaluation script, or of SQuAD 2.0's with `normalisation = "squad"`. Gold is
    `{"language": code, "answers": (texts)}`, predicted a text; where there is no right answer, `""` is right.

    Example:
        >>> AnswerF1().score([{"language": "zh", "answers": ("北京市",)}], ["北京"])
        0.8
    """

    def compare(self, right: Sequence[str], answer: Sequence[str]) -> float:
        """Returns the F1 score of two bags of words; 0 if one is empty."""
        both = sum((Counter(right) & Counter(answer)).values())
        return 2 * both / (len(right) + len(answer)) if both else 0.0
