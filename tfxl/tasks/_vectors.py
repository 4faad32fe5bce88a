"""What tasks about embeddings share: texts with their prefixes as rows, and one vector of length 1 a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tfxl.backend import tf
from tfxl.tasks import Task, Tensors

if TYPE_CHECKING:
    from tfxl.text.tokenizer import Tokenizer


class VectorTask(Task):
    """A task whose logits are embeddings `[rows, dimensions]`, and whose texts are each read alone."""

    class Settings(Task.Settings):
        """What is put before the texts."""

        prefix: str = ""
        """Put before each text, such as `query: ` for models of the E5 family."""
        second_prefix: str | None = None
        """Put before each second text; the same as `prefix` if not set."""

    default_head = "embedding"
    settings: Settings

    @property
    def units(self) -> int:
        """0: the head says how many dimensions there are."""
        return 0

    def encode_rows(self, columns: Sequence[tf.Tensor], batch: Tensors, tokenizer: Tokenizer) -> Tensors:
        """Returns the rows of texts that are read apart, those of one place in the columns beside each other.

        Args:
            columns: Tensors `[texts]` string.
            batch: What `encode` got.
            tokenizer: The encoder's tokenizer.

        Returns:
            What `encode_sides` gives, with `truncated` `[texts]`: whether one of a text's rows was cut.
        """
        rows = tf.reshape(tf.stack(columns, axis=1), [-1])
        window = tf.repeat(batch["window"], len(columns)) if "window" in batch else None
        encoded = self.encode_sides([rows], window, tokenizer)
        truncated = tf.reduce_any(tf.reshape(encoded["truncated"], [-1, len(columns)]), axis=1)
        return {**encoded, "truncated": truncated}

    def prefixed(self, name: str, texts: tf.Tensor) -> tf.Tensor:
        """Returns texts of any shape with the prefix of `text`, or that of everything else."""
        told = self.settings
        prefix = told.prefix if name == "text" or told.second_prefix is None else told.second_prefix
        return tf.strings.join([prefix, texts]) if prefix else texts

    def vectors(self, logits: tf.Tensor, encoded: Tensors) -> tf.Tensor:
        """Returns vectors `[texts, dimensions]` of length 1 of the model's output; a text's windows are averaged."""
        return unit(self.per_text(tf.cast(logits, tf.float32), encoded))


def unit(vectors: tf.Tensor) -> tf.Tensor:
    """Returns vectors `[…, dimensions]` with length 1; a vector of zeros stays."""
    return tf.math.l2_normalize(vectors, axis=-1)
