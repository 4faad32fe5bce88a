"""Model: a saved model read back from disk, always through its manifest."""

from __future__ import annotations

import functools
import re
import tomllib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tfxl import registry
from tfxl.backend import keras, tf
from tfxl.encoders import INPUTS
from tfxl.errors import ModelError, did_you_mean
from tfxl.example import Prediction
from tfxl.pretrained.families import is_of_encoder
from tfxl.progress import SILENT, Progress
from tfxl.serving import answer, manifest, publish, warmup, zero_shot
from tfxl.serving.export import ENCODER, PARITY, RUN, Contents
from tfxl.tasks import Task
from tfxl.text.tokenizer import Tokenizer, from_files


class Rebuilt(NamedTuple):
    """A model as it was trained: to be trained on, explained or converted."""

    model: keras.Model
    task: Task
    tokenizer: Tokenizer


class Model:
    """A saved model; get one from `load`.

    Attributes:
        folder: Where it lies.
        manifest: What it is made of.
        name: The model's name.
        version: Its version; None for a folder whose name is not a number.
        task: What it answers; its weights are not needed for this.
    """

    def __init__(self, folder: Path, contents: manifest.Manifest, saved: Any) -> None:
        self.folder, self.manifest, self._saved = folder, contents, saved
        self.name = contents.name
        self.version = int(folder.name) if folder.name.isascii() and folder.name.isdigit() else None
        self.task: Task = registry.build("tasks", contents.task)

    def __repr__(self) -> str:
        return f"Model({str(self.folder)!r}, task={self.task.kind!r})"

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels as they are served; none for tasks without labels."""
        return tuple(getattr(self.task, "names", ()))

    @property
    def recipe(self) -> dict[str, Any]:
        """The resolved recipe that the model was trained with; empty if it came about otherwise."""
        return tomllib.loads((self.folder / manifest.EXTRA / RUN).read_text(encoding="utf-8"))

    @property
    def signatures(self) -> Mapping[str, answer.Function]:
        """The SavedModel's functions by name."""
        return self._saved.signatures

    def predict(
        self,
        texts: Sequence[str],
        second_texts: Sequence[str] | None = None,
        *,
        choices: Sequence[Sequence[str]] | None = None,
        task: str = "",
        batch_size: int = 32,
        progress: Progress = SILENT,
    ) -> list[Prediction]:
        """Answers texts, or pairs of texts, in their order.

        Args:
            texts: The texts; for questions about contexts, the questions.
            second_texts: The second texts, for a task about pairs; the contexts of questions.
            choices: The choices of each text, for a task that chooses.
            task: The name of one task of a joint model; all of them if empty.
            batch_size: Texts a call.
            progress: Is told of every batch.

        Raises:
            ModelError: The task reads pairs and got texts, or the other way round, the texts are not strings, or there
                is no such task.

        Example:
            >>> load("saved_models/sentiment").predict(["这家酒店很吵"])[0].label
        """
        asked = self.find_task(task)
        columns = {"text": texts, "second_text": second_texts, "choices": choices}
        given = {name: column for name, column in columns.items() if column is not None}
        if set(given) != set(asked.text_inputs):
            raise ModelError(
                f"{' and '.join(given)} for {self.name}",
                expected=" and ".join(asked.text_inputs),
                fix="Give second_texts and choices if and only if the model was trained with them.",
            )
        return answer.predict(self.function(task or "text"), asked, given, batch_size=batch_size, progress=progress)

    def find_task(self, task: str = "") -> Task:
        """Returns the task that answers: the model's own, or, by its name, one of those that it is made of.

        Raises:
            ModelError: It is not made of a task of this name, or answers tokens, which are read for all tasks at once.
        """
        if not task:
            return self.task
        alone = {} if self._reads_tokens else dict(self.task.tasks)
        # What answers no `text`, such as the second texts of retrieval, is not a task of its own.
        names = [name for name, part in alone.items() if part.text_inputs[0] == "text"]
        if task not in names:
            raise ModelError(
                f"the task {task!r} of {self.name}",
                expected=f"one of {', '.join(names)}" if names else "no name: the model answers as one",
                fix=f"{did_you_mean(task, names)}Leave it out, or name one of the tasks.",
            )
        return alone[task]

    @property
    def _reads_tokens(self) -> bool:
        return "input_ids" in self.manifest.signatures["serving_default"]["inputs"]

    def zero_shot(
        self,
        texts: Sequence[str],
        labels: Sequence[str],
        *,
        template: str | Mapping[str, str] = zero_shot.TEMPLATE,
        several: bool = False,
        languages: Sequence[str] | None = None,
    ) -> list[Prediction]:
        """Sorts texts by labels that it was never trained on, where the model's task is `inference`.

        Args:
            texts: The texts.
            labels: The labels, in any language.
            template: A sentence in which `{}` stands for the label, or one for each language of the texts.
            several: Whether labels apply each by itself: several of them, or none.
            languages: The language of each text, where each language has its template.

        Raises:
            ModelError: The model is of another task.
            DataError: The labels, a template or the languages are wrong.

        Example:
            >>> load("saved_models/inference").zero_shot(["Morgen schneit es."], ["sport", "weather"])[0].label
        """
        return zero_shot.ZeroShot(self, labels, template=template, several=several).predict(texts, languages=languages)

    def contents(self) -> Contents:
        """Returns what stands beside the SavedModel, for exporting the rebuilt model again."""
        extra = self.folder / manifest.EXTRA
        made_by_export = {manifest.NAME, RUN, PARITY, warmup.FILE}
        paths = [path for path in extra.iterdir() if path.is_file() and path.name not in made_by_export]
        return Contents(
            encoder=self.manifest.encoder,
            head=self.manifest.head,
            encoder_files=self._encoder_files,
            run_toml=(extra / RUN).read_text(encoding="utf-8"),
            files={path.name: path.read_bytes() for path in paths},
        )

    def rebuild(self) -> Rebuilt:
        """Returns the Keras model with the saved weights, the task and the tokenizer.

        Raises:
            ModelError: The variables do not fit the rebuilt network.
        """
        from tfxl.pretrained.network import network  # imports transformers, which answering does not need
        from tfxl.text.tokenizer import read_json

        head = registry.build("heads", self.manifest.head)
        with tf.variable_creator_scope(_zeros):
            model = self.task.model(network(read_json(self._encoder_files, "config.json")), head)
        saved = zip(self.manifest.variables, self._saved.model_variables, strict=True)
        _assign(model.variables, [(entry.name, variable) for entry, variable in saved], where=self.folder)
        # Models of earlier versions have no such attribute.
        return Rebuilt(model, self.task.with_resources(getattr(self._saved, "resources", {})), self.tokenizer)

    def give_head(self, model: keras.Model) -> None:
        """Gives the head of another model, which was built for the same task, the saved weights.

        Raises:
            ModelError: The heads differ.
        """
        saved = zip(self.manifest.variables, self._saved.model_variables, strict=True)
        mine = [(entry.name, variable) for entry, variable in saved if not is_of_encoder(entry.name)]
        _assign([each for each in model.variables if not is_of_encoder(each.name)], mine, where=self.folder)

    @functools.cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that the encoder was trained with."""
        return from_files(self._encoder_files)

    @property
    def _encoder_files(self) -> dict[str, bytes]:
        folder = self.folder / manifest.EXTRA / ENCODER
        return {path.name: path.read_bytes() for path in sorted(folder.glob("*"))}

    @property
    def text(self) -> answer.Function:
        """The function of raw texts; for a model that was exported for tokens only, the texts are encoded here."""
        return self.function("text")

    def function(self, name: str) -> answer.Function:
        """Returns a function of raw texts: `text`, or what `Task.tasks` names so."""
        if not self._reads_tokens:
            return self.signatures["serving_default" if name == "text" else name]
        task = self.task.tasks.get(name, self.task)
        if task.answers_tokens:
            return self._through_tokens(task)
        return functools.partial(self._answerer.layer_by_layer, name)

    @functools.cached_property
    def _answerer(self) -> answer.Answerer:
        """The network rebuilt, for answers with places in a text, which the saved functions of tokens cannot give."""
        return answer.Answerer(*self.rebuild(), reads_text=False)

    def _through_tokens(self, task: Task) -> answer.Function:
        function = self.signatures["tokens"]

        def answers(**texts: tf.Tensor) -> Mapping[str, tf.Tensor]:
            encoded = answer.encode_as_tokens(texts, task, self.tokenizer)
            return {**function(**{name: encoded[name] for name in INPUTS}), "truncated": encoded["truncated"]}

        return answers


def load(path: str | Path) -> Model:
    """Returns a saved model. Every file is compared with the manifest first.

    A SavedModel is a program: load only models from people whom you trust.

    Args:
        path: A version, such as `saved_models/sentiment/3`, or a model's folder, for its latest version.

    Raises:
        ModelError: There is no model, tfxl did not export it, or a file is missing, changed or unknown.
    """
    folder = find(path)
    contents = manifest.verify(folder)
    try:
        saved = tf.saved_model.load(str(folder))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise ModelError(
            f"{folder} is complete, but TensorFlow {tf.__version__} cannot read it: {error}"[:500],
            expected=f"TensorFlow {contents.packages.get('tensorflow')}, which wrote it, or a later one",
            fix=f'pip install "tensorflow=={contents.packages.get("tensorflow")}"',
        ) from None
    return Model(folder, contents, saved)


def find(path: str | Path) -> Path:
    """Returns the folder of a version: `path` itself, or the latest version in it.

    Raises:
        ModelError: There is no such folder, or it holds neither a model nor versions of one.
    """
    path = Path(path)
    if not path.is_dir():
        near = sorted(folder.name for folder in path.parent.glob("*") if folder.is_dir() and folder.name[0] != ".")
        raise ModelError(
            f"{path} is {'a file' if path.exists() else 'not there'}",
            expected="a folder that tfxl exported, such as saved_models/NAME or saved_models/NAME/1",
            fix=f"{path.parent} holds {', '.join(near[:10]) or 'no folders'}. Name one of them, or train a model.",
        )
    if (path / manifest.PLACE).exists() or (path / "saved_model.pb").exists():
        return path
    found = publish.versions(path)
    return path / str(found[-1]) if found else path


def _zeros(next_creator: Any, **arguments: Any) -> Any:
    """Creates a variable as zeros: drawing 100 million random numbers only to overwrite them takes seconds."""
    shape, dtype = arguments.get("shape"), arguments.get("dtype")
    if shape is not None and dtype is not None:
        arguments["initial_value"] = lambda: tf.zeros(shape, dtype)
    return next_creator(**arguments)


def _assign(variables: Sequence[tf.Variable], saved: Sequence[tuple[str, Any]], *, where: Path) -> None:
    """Gives variables the saved values, by name; variables of one name are taken in order.

    A frozen layer changes the order of a Keras model's variables, so the order alone tells too little.
    """
    waiting: dict[tuple[str, tuple[int, ...]], list[Any]] = defaultdict(list)
    for name, value in saved:
        waiting[_plain(name), tuple(value.shape)].append(value)
    pairs = []
    for variable in variables:
        values = waiting.get((_plain(variable.name), tuple(variable.shape)))
        if not values:
            raise _misfit(where, f"nothing was saved for {variable.name} {tuple(variable.shape)}")
        pairs.append((variable, values.pop(0)))
    if left := [f"{name} {shape}" for (name, shape), values in waiting.items() if values]:
        raise _misfit(where, f"the rebuilt network has no place for {', '.join(left[:3])}")
    for variable, value in pairs:
        variable.assign(value)


def _plain(name: str) -> str:
    """A variable's name without what Keras adds when a second model of one kind is built: `bert_1/…` is `bert/…`."""
    return re.sub(r"^([^/]*?)_\d+/", r"\1/", name.removesuffix(":0"))


def _misfit(folder: Path, what: str) -> ModelError:
    return ModelError(
        f"{folder}: {what}",
        expected="the variables of the encoder, task and head in the manifest, with their shapes",
        fix="Rebuild with the tfxl that wrote the model; a tuner's layers must be merged before export.",
    )
