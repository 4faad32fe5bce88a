"""The certificate: how a model that was adopted answers beside transformers' own class, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfxl import memory
from tfxl.backend import tf
from tfxl.encoders import INPUTS
from tfxl.errors import ModelError
from tfxl.formats import Portable
from tfxl.formats.huggingface import CLASSES
from tfxl.pretrained import reference
from tfxl.pretrained.configuration import parse_json
from tfxl.pretrained.families import FAMILIES
from tfxl.pretrained.folder import TOKENIZER_FILES, weights_files
from tfxl.pretrained.selftest import PROBES
from tfxl.pretrained.source import find_folder
from tfxl.progress import Progress
from tfxl.tasks import POSITIONS

FILE = "certificate.json"
"""The file in a saved model's assets.extra."""
LARGEST = 1e-4
"""The difference of logits from which on a model is refused."""
TEXTS: Mapping[str, str] = {
    **{probe.script: probe.text for probe in PROBES},
    "Georgian": "ოთახი სუფთა იყო და საჭმელი კარგი",
    "Ethiopic": "ክፍሉ ንጹህ ነበር ምግቡም ጥሩ ነበር",
}
"""A text in each script on which a model is compared with its original, alone and as a pair with the next one."""


@dataclass(frozen=True)
class Certificate:
    """How a model was found to answer beside its original.

    Attributes:
        source: Where it is from.
        architecture: transformers' class that it was compared with.
        library: What computed that class.
        task: What it answers.
        labels: Its labels, if it has any.
        texts: The probe texts, by script.
        rows: Rows of tokens that were compared: texts alone, and pairs.
        logits: The largest difference of logits at real tokens; of hidden states for a bare encoder.
        hidden: The largest difference of hidden states, after the embeddings and each layer.
        other_ids: The scripts whose texts transformers' tokenizer cuts otherwise; None where it cannot be loaded.
        reads_text: Whether the SavedModel reads raw text; else it reads tokens only, and `remarks` say why.
        remarks: What a person should know, each a sentence.
        trimmed: What was cut of the vocabulary after the comparison, and on how many texts whole and trimmed model then
            answered alike to the last bit; None where it is whole.
    """

    source: str
    architecture: str
    library: str
    task: str
    labels: tuple[str, ...]
    texts: Mapping[str, str]
    rows: int
    logits: float
    hidden: tuple[float, ...]
    other_ids: tuple[str, ...] | None
    reads_text: bool
    remarks: tuple[str, ...]
    trimmed: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """Returns the certificate as plain values."""
        return {**asdict(self), "allowed": LARGEST}

    def show(self, progress: Progress) -> None:
        """Shows the certificate."""
        cut = "not loaded" if self.other_ids is None else ", ".join(self.other_ids) or "equal"
        rows = [
            ("class", self.architecture),
            ("compared with", self.library),
            ("task", self.task),
            ("labels", ", ".join(self.labels[:12]) or "none"),
            ("texts", f"{len(self.texts)} scripts, {self.rows} rows"),
            ("largest difference of logits", f"{self.logits:.1e}"),
            ("largest difference of hidden states", f"{max(self.hidden):.1e}"),
            ("transformers' tokenizer", cut),
            ("the server reads", "text" if self.reads_text else "tokens only"),
        ]
        progress.table(f"Certificate of {self.source}", ("", ""), rows)
        for remark in self.remarks:
            progress.say(remark)


def compare(source: str, portable: Portable, progress: Progress) -> Certificate:
    """Compares a model with its original, layer by layer.

    Args:
        source: Where the model was read from.
        portable: The model.
        progress: Is told what happens.

    Raises:
        ModelError: The logits differ by more than `LARGEST`.
    """
    folder = _original(source)
    values = parse_json((folder / "config.json").read_bytes(), where=str(folder / "config.json"))
    architecture = _architecture(values, portable)
    rows = _rows(portable)
    progress.say(f"comparing with {architecture} on {len(rows['input_ids'])} rows")
    other_ids = _other_ids(folder, portable)
    memory.give_back()
    theirs = reference.outputs(
        folder,
        architecture,
        {name: rows[name] for name in INPUTS},
        token_types=_has_types(values),
        positions=rows.get(POSITIONS),
    )
    memory.give_back()
    ours = _outputs(portable, rows)
    hidden = tuple(_difference(mine, other, rows) for mine, other in zip(ours.hidden, theirs.hidden, strict=True))
    logits = hidden[-1] if theirs.logits is None else _of_logits(ours.logits, theirs.logits, rows)
    if not (logits <= LARGEST and hidden[-1] <= LARGEST):  # put so that what is no number is refused
        raise _parted(source, architecture, hidden, logits)
    return Certificate(
        source=source,
        architecture=architecture,
        library=theirs.library,
        task=portable.task.kind,
        labels=tuple(getattr(portable.task, "tags", getattr(portable.task, "names", ()))),
        texts=TEXTS,
        rows=len(rows["input_ids"]),
        logits=logits,
        hidden=hidden,
        other_ids=other_ids,
        reads_text=portable.tokenizer.in_graph,
        remarks=(*portable.remarks, *_about_tokens(portable)),
    )


def _original(source: str) -> Path:
    """The folder that transformers loads: that of the encoder, where it stands in one of its own."""
    files = ["config.json", *TOKENIZER_FILES, *weights_files(), *(f"{name}.index.json" for name in weights_files())]
    folder = find_folder(source, files)
    inner = folder / "0_Transformer"
    return inner if (inner / "config.json").is_file() else folder


def _architecture(values: Mapping[str, Any], portable: Portable) -> str:
    """The class that answers as the model does; of a bare encoder the one without a head."""
    return f"{FAMILIES[values['model_type']].architectures}{CLASSES[portable.task.kind]}"


def _has_types(values: Mapping[str, Any]) -> bool:
    """Whether the original reads token types and has more than one."""
    return values["model_type"] != "distilbert" and values.get("type_vocab_size", 2) > 1


def _rows(portable: Portable) -> dict[str, np.ndarray]:
    """Rows of the texts alone and as pairs, padded on the right to the longest, as the model reads them."""
    texts = list(TEXTS.values())
    length = min(64, int(portable.config["max_position_embeddings"]))
    alone = portable.tokenizer.encode(tf.constant(texts), max_length=length)
    pairs = portable.tokenizer.encode(tf.constant(texts), tf.constant([*texts[1:], texts[0]]), max_length=length)
    longest = max(int(each["input_ids"].shape[1]) for each in (alone, pairs))
    padding = {"input_ids": portable.tokenizer.special.pad, "token_type_ids": 0, "attention_mask": 0}
    rows = {
        name: np.concatenate([_padded(each[name].numpy(), longest, padding[name]) for each in (alone, pairs)])
        for name in INPUTS
    }
    task = portable.task.with_tokenizer(portable.tokenizer)
    return {name: np.asarray(values) for name, values in task.inputs(task.probe(rows)).items()}


def _padded(ids: np.ndarray, longest: int, value: int) -> np.ndarray:
    return np.pad(ids, [(0, 0), (0, longest - ids.shape[1])], constant_values=value)


def _outputs(portable: Portable, rows: Mapping[str, np.ndarray]) -> reference.Outputs:
    encoder = portable.model.get_layer("encoder")
    tokens = {name: rows[name] for name in INPUTS}
    hidden = encoder(tokens, output_hidden_states=True, training=False).hidden_states
    return reference.Outputs([each.numpy() for each in hidden], portable.model(dict(rows)).numpy(), "tfxl")


def _difference(ours: np.ndarray, theirs: np.ndarray, rows: Mapping[str, np.ndarray]) -> float:
    """The largest difference of `[rows, tokens, …]` at real tokens."""
    return float(np.abs(ours - theirs)[rows["attention_mask"] == 1].max())


def _of_logits(ours: Any, theirs: np.ndarray, rows: Mapping[str, np.ndarray]) -> float:
    if POSITIONS in rows:
        return float(np.abs(ours - theirs)[rows[POSITIONS] >= 0].max())
    if theirs.ndim == 3:  # of tokens; tags that the original does not have are left out
        return _difference(ours[:, :, : theirs.shape[-1]], theirs, rows)
    return float(np.abs(ours - theirs.reshape(ours.shape)).max())


def _parted(source: str, architecture: str, hidden: Sequence[float], logits: float) -> ModelError:
    wrong = [place for place, difference in enumerate(hidden) if not difference <= LARGEST]
    where = "the head" if not wrong else "the embeddings" if wrong[0] == 0 else f"layer {wrong[0]} of {len(hidden) - 1}"
    return ModelError(
        f"{source}: logits differ from {architecture}'s by up to {logits:.1e}; the two part ways in {where} "
        f"(hidden states differ by {', '.join(f'{each:.0e}' for each in hidden)})",
        expected=f"at most {LARGEST:.0e}",
        fix="Nothing was written. Report this with the checkpoint's name: such a checkpoint is not BERT in structure.",
    )


def _other_ids(folder: Path, portable: Portable) -> tuple[str, ...] | None:
    theirs = reference.tokenize(folder, list(TEXTS.values()))
    if theirs is None:
        return None
    encoded = portable.tokenizer.encode(tf.constant(list(TEXTS.values())), max_length=100_000)
    ids, mask = encoded["input_ids"].numpy(), encoded["attention_mask"].numpy()
    ours = [row[keep == 1].tolist() for row, keep in zip(ids, mask, strict=True)]
    return tuple(script for script, mine, other in zip(TEXTS, ours, theirs, strict=True) if mine != other)


def _about_tokens(portable: Portable) -> list[str]:
    if portable.tokenizer.in_graph:
        return []
    return [
        f"The server reads tokens, not text: a SavedModel cannot hold this tokenizer ({portable.tokenizer.reason}). "
        "Callers make the ids with the tokenizer.json in assets.extra/encoder."
    ]
