"""Bert: a pretrained multilingual encoder, transformers' TFBertModel (Devlin et al. 2019)."""

from __future__ import annotations

import functools
import json
import warnings
from typing import Any

from pydantic import Field

from tfxl.backend import keras
from tfxl.encoders import Encoder
from tfxl.pretrained import selftest
from tfxl.pretrained.network import load, network
from tfxl.pretrained.source import Checkpoint, open_checkpoint
from tfxl.text.tokenizer import Tokenizer, from_files

__all__ = ["Bert", "network"]


class Bert(Encoder):
    """BERT with pretrained weights, for every task; `[batch, tokens, hidden]` out.

    Weights are opened and tested at the first call of a method and then kept open; arrays are read at each `build`.

    Example:
        >>> encoder = Bert(weights="offline:multilingual-e5-small")
        >>> model = encoder.build()
        >>> encoded = encoder.tokenizer().encode(tf.constant(["Guten Tag", "नमस्ते"]), max_length=64)
        >>> model({name: encoded[name] for name in ("input_ids", "token_type_ids", "attention_mask")})
    """

    class Settings(Encoder.Settings):
        """What `bert` can be told."""

        weights: str = Field(min_length=1)
        """An offline source, a folder, a saved tfxl model, or a name on the Hugging Face Hub."""
        hidden_dropout: float | None = Field(default=None, ge=0, lt=1)
        """Dropout of embeddings and sublayers in training; the checkpoint's if not set."""
        attention_dropout: float | None = Field(default=None, ge=0, lt=1)
        """Dropout of attention weights in training; the checkpoint's if not set."""

    def build(self) -> keras.Model:
        """Returns a functional model over the three inputs, filled with the pretrained weights.

        Raises:
            WeightsError: The weights are missing or damaged, or do not belong to the tokenizer.
            InstallationError: The package of an offline source is absent.
        """
        checkpoint, _, _ = self._opened
        return load(self._config, checkpoint.arrays)

    def tokenizer(self) -> Tokenizer:
        """Returns the tokenizer that the weights were trained with."""
        return self._opened[1]

    def files(self) -> dict[str, bytes]:
        """Returns `config.json` (with this encoder's dropout) and the tokenizer's files."""
        return {"config.json": json.dumps(self._config, indent=2).encode(), **self.tokenizer().files()}

    def report(self) -> selftest.Report:
        """Returns what the self-test found: which scripts the vocabulary reads, and remarks."""
        return self._opened[2]

    @functools.cached_property
    def _opened(self) -> tuple[Checkpoint, Tokenizer, selftest.Report]:
        checkpoint = open_checkpoint(self.settings.weights)
        tokenizer = from_files(checkpoint.tokenizer_files)
        report = selftest.check(checkpoint.config, checkpoint.arrays, tokenizer, where=checkpoint.name)
        for remark in report.remarks:
            warnings.warn(
                f"{checkpoint.name}: {remark}", stacklevel=4
            )  # past cached_property, to the caller of a method
        return checkpoint, tokenizer, report

    @property
    def _config(self) -> dict[str, Any]:
        config = dict(self._opened[0].config)
        if self.settings.hidden_dropout is not None:
            config["hidden_dropout_prob"] = self.settings.hidden_dropout
        if self.settings.attention_dropout is not None:
            config["attention_probs_dropout_prob"] = self.settings.attention_dropout
        return config
