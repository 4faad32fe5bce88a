"""Full fine-tuning: every weight trains."""

from __future__ import annotations

from tfxl.tuners import Tuner


class Full(Tuner):
    """Trains every weight with one learning rate (Devlin et al. 2019): the best scores where data and memory allow.

    Of the word embeddings only the rows that the data uses move, so pieces that it lacks stay as they were pretrained.
    """
