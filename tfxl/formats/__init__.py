"""Formats: models come in from other toolkits, and go out to them."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfxl import registry
from tfxl.backend import keras
from tfxl.heads import Head
from tfxl.registry import Part
from tfxl.serving.model import Model
from tfxl.tasks import Task
from tfxl.text.tokenizer import Tokenizer, read_json


@dataclass(frozen=True)
class Portable:
    """A model on its way between toolkits.

    Attributes:
        name: What it is called.
        build: Makes `model`; weights are read only then.
        task: What is asked.
        head: What stands on the encoder.
        tokenizer: The encoder's tokenizer.
        config: The encoder's configuration, values of a BertConfig.
        encoder: The encoder's spec, which names where the weights are from.
        remarks: What a person should know of what was read, each a sentence.
    """

    name: str
    build: Callable[[], keras.Model]
    task: Task
    head: Head
    tokenizer: Tokenizer
    config: Mapping[str, Any]
    encoder: Mapping[str, Any]
    remarks: tuple[str, ...] = ()

    @functools.cached_property
    def model(self) -> keras.Model:
        """The Keras model over what the task's `inputs` names, with its weights; it gives the task's logits."""
        return self.build()

    @classmethod
    def of(cls, saved: Model) -> Portable:
        """Returns a model that tfxl saved.

        Raises:
            ModelError: Its variables do not fit the network of its manifest.
        """
        contents, rebuilt = saved.contents(), saved.rebuild()
        return cls(
            name=saved.name,
            build=lambda: rebuilt.model,
            task=rebuilt.task,
            head=registry.build("heads", saved.manifest.head),
            tokenizer=rebuilt.tokenizer,
            config=read_json(contents.encoder_files, "config.json"),
            encoder=contents.encoder,
        )


class Format(Part):
    """One toolkit's way to keep a model in a folder."""

    @abstractmethod
    def read(self, path: str) -> Portable:
        """Returns the model in a folder, or of a name on the Hugging Face Hub; its weights are not read yet.

        Raises:
            WeightsError: Something is missing, damaged, left over, or asks for what tfxl does not have. What is wrong
                inside of the weights is found when the model is built.
        """

    @abstractmethod
    def write(self, model: Portable, path: str | Path) -> Path:
        """Writes a model into a new folder, whole or not at all, and returns the folder.

        Raises:
            ModelError: The other toolkit has nothing that answers as this model does.
            WeightsError: The folder exists already.
        """
