"""SentencePiece (Kudo and Richardson 2018) as XLM-R uses it: unigram pieces with scores, in the checkpoint's order."""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError
from sentencepiece import sentencepiece_model_pb2

from tfxl.backend import text_ops, tf
from tfxl.errors import WeightsError
from tfxl.text import published
from tfxl.text.detokenizer import Spelling
from tfxl.text.tokenizer import Offsets, SpecialIds, Tokenizer, added_pieces, damaged, special_ids, special_names

NAMES = {"cls": "<s>", "sep": "</s>", "pad": "<pad>", "unk": "<unk>", "mask": "<mask>"}
proto: Any = sentencepiece_model_pb2
"""The format; its classes are made while it is imported, so type checkers do not know them."""
Kind = proto.ModelProto.SentencePiece
SPACE = r"[\s\p{Z}\p{Cc}\p{Cf}\p{Co}\x{FFFD}]+"
"""What the normaliser may turn into a space or drop, and private characters, which stand for nothing that it knows."""


class Piece(NamedTuple):
    """One row of the vocabulary; `kind` is a type of SentencePiece's format."""

    text: str
    score: float
    kind: int = Kind.NORMAL


@dataclass(frozen=True)
class _Parts:
    """Plain data, held in one object so that `tf.Module` does not wrap 250,000 strings for tracking."""

    pieces: Sequence[Piece]
    special: SpecialIds
    settings: Any
    config: Mapping[str, Any]


_ops: Any = importlib.import_module("tensorflow_text.python.ops.sentencepiece_tokenizer")


class _NamedModel(_ops._SentencepieceModelResource):
    """A model that belongs to the process by the name of its content.

    One without a name belongs to TensorFlow's cache of kernels, and is gone when `tf.random.set_seed` or
    `keras.backend.clear_session` empties it.
    """

    def _create_resource(self) -> tf.Tensor:
        name = f"sentencepiece_{hashlib.sha256(self._model).hexdigest()}"
        return _ops.gen_sentencepiece_tokenizer.sentencepiece_op(self._model, shared_name=name)


class SentencePiece(Tokenizer):
    """Unigram pieces over normalised text. Use `from_files`, `from_model` or `from_json`.

    The graph's model holds the pieces in the order of the checkpoint's ids, so that what it returns is an id.

    Args:
        pieces: The vocabulary in the order of the ids.
        settings: A model without pieces: its normaliser and its trainer's flags.
        config: What `tokenizer_config.json` says.
    """

    separators_between = 2
    second_type = 0

    def __init__(self, pieces: Sequence[Piece], settings: Any, config: Mapping[str, Any]) -> None:
        super().__init__(name="sentencepiece")
        names = special_names(config, NAMES)
        special = special_ids(names, {piece.text: id for id, piece in enumerate(pieces)}, file="SentencePiece model")
        self.separators_between, self.second_type = published.kept(config, published.Pair(2, 0))
        self._parts = _Parts(pieces, special, settings, config)
        model = self.model()
        self._tokenizer = text_ops.SentencepieceTokenizer(model, out_type=tf.int32)
        self._tokenizer._model_resource = _NamedModel(model, None)

    @classmethod
    def from_model(cls, model: bytes, config: Mapping[str, Any]) -> SentencePiece:
        """Returns the tokenizer of a `sentencepiece.bpe.model`, whose ids XLM-R and CamemBERT shift."""
        whole = proto.ModelProto()
        try:
            whole.ParseFromString(model)
        except DecodeError as error:
            raise damaged("sentencepiece.bpe.model", error) from None
        own = [Piece(piece.piece, piece.score, piece.type) for piece in whole.pieces]
        if [piece.kind for piece in own[:3]] != [Kind.UNKNOWN, Kind.CONTROL, Kind.CONTROL]:
            raise damaged("sentencepiece.bpe.model", "its first pieces are not <unk>, <s> and </s>")
        del whole.pieces[:]
        pieces = _layout(config)(own)
        return cls([*pieces, *map(_control, added_pieces(config, len(pieces)))], whole, config)

    @classmethod
    def from_json(cls, whole: Mapping[str, Any], config: Mapping[str, Any]) -> SentencePiece:
        """Returns the tokenizer of a `tokenizer.json` of kind Unigram, with its own normaliser table."""
        added = {token["content"]: token for token in whole.get("added_tokens", ())}
        try:
            listed = [(str(text), float(score)) for text, score in whole["model"]["vocab"]]
            unknown = int(whole["model"]["unk_id"])
        except (KeyError, TypeError, ValueError) as error:
            raise damaged("tokenizer.json", f"{type(error).__name__} {error}") from None
        for token in sorted(added.values(), key=lambda token: token["id"]):
            if token["id"] == len(listed):
                listed.append((token["content"], 0.0))
        kinds = dict.fromkeys([*added, *special_names(config, NAMES).values()], Kind.CONTROL)
        pieces = [Piece(text, score, kinds.get(text, Kind.NORMAL)) for text, score in listed]
        pieces[unknown] = pieces[unknown]._replace(kind=Kind.UNKNOWN)
        return cls(pieces, _settings(_charsmap(whole.get("normalizer"))), config)

    @property
    def special(self) -> SpecialIds:
        """The ids of the special tokens."""
        return self._parts.special

    def vocabulary(self) -> list[str]:
        """Returns every piece in the order of the ids."""
        return [piece.text for piece in self._parts.pieces]

    def scores(self) -> list[float]:
        """Returns the pieces' log probabilities."""
        return [piece.score for piece in self._parts.pieces]

    def kinds(self) -> list[int]:
        """Returns the pieces' types in SentencePiece's format."""
        return [piece.kind for piece in self._parts.pieces]

    @property
    def size(self) -> int:
        """The number of ids."""
        return len(self._parts.pieces)

    @property
    def charsmap(self) -> bytes:
        """The compiled table of the normaliser; empty if text is not normalised."""
        return self._parts.settings.normalizer_spec.precompiled_charsmap

    def model(self) -> bytes:
        """Returns the model that runs in the graph: the format wants one unknown piece, and what no text can produce.

        Its ids are the checkpoint's, so it is not the `sentencepiece.bpe.model` of `files`.
        """
        special = self.special
        roles = {special.unknown: Kind.UNKNOWN} | dict.fromkeys(special[:3], Kind.CONTROL)
        pieces = [piece._replace(kind=roles.get(id, piece.kind)) for id, piece in enumerate(self._parts.pieces)]
        return _model(pieces, self._parts.settings).SerializeToString()

    def files(self) -> dict[str, bytes]:
        """Returns `sentencepiece.bpe.model` if the ids are XLM-R's, else `tokenizer.json`; and the configuration."""
        pieces = self._parts.pieces
        config = {"tokenizer_class": "XLMRobertaTokenizer", **self._parts.config}
        own = [Piece("<unk>", 0.0, Kind.UNKNOWN), Piece("<s>", 0.0, Kind.CONTROL), Piece("</s>", 0.0, Kind.CONTROL)]
        own += pieces[4:-1]
        files = {"tokenizer.json": b""}
        if [piece[:1] for piece in _xlm_roberta(own)] == [piece[:1] for piece in pieces]:
            # The class says how the ids are laid out; a general one, which goes with a tokenizer.json, does not.
            config["tokenizer_class"] = "XLMRobertaTokenizer"
            files = {"sentencepiece.bpe.model": _model(own, self._parts.settings).SerializeToString()}
        else:
            files["tokenizer.json"] = self._as_json()
        return {**files, "tokenizer_config.json": json.dumps(config, ensure_ascii=False, indent=2).encode()}

    def _unwritten(self) -> set[int]:
        """The pieces that no text is cut into: the special tokens, and further ones of their kind."""
        control = {id for id, piece in enumerate(self._parts.pieces) if piece.kind == Kind.CONTROL}
        return control | set(self.special.present)

    def _as_json(self) -> bytes:
        """Writes what `from_json` reads, in the form of the `tokenizers` library."""
        vocabulary = [[piece.text, piece.score] for piece in self._parts.pieces]
        charsmap = base64.b64encode(self.charsmap).decode()
        return json.dumps(
            {
                "version": "1.0",
                "added_tokens": [_added(id, self.piece(id)) for id in sorted(self._unwritten())],
                "normalizer": {"type": "Precompiled", "precompiled_charsmap": charsmap} if charsmap else None,
                "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
                "post_processor": None,
                "model": {
                    "type": "Unigram",
                    "unk_id": self.special.unknown,
                    "vocab": vocabulary,
                    "byte_fallback": False,
                },
            },
            ensure_ascii=False,
        ).encode()

    def spelling(self) -> Spelling:
        """Returns how pieces are written: `▁` is a space, but not at the beginning of a text."""
        pieces = self.vocabulary()
        return Spelling(
            first=[piece.replace("▁", "").encode() for piece in pieces],
            inner=[piece.replace("▁", " ").encode() for piece in pieces],
            names=pieces,
            hidden=self.special.present,
            cleaned=bool(self._parts.config.get("clean_up_tokenization_spaces", False)),
        )

    def keep(self, ids: list[int]) -> SentencePiece:
        """Returns a tokenizer with these pieces alone; the normaliser stays as it is."""
        return SentencePiece([self._parts.pieces[id] for id in ids], self._parts.settings, self._parts.config)

    def _pieces(self, texts: tf.Tensor) -> tf.RaggedTensor:
        return self._tokenizer.tokenize(texts)

    def _pieces_with_offsets(self, texts: tf.Tensor) -> Offsets:
        ids, starts, ends = self._tokenizer.tokenize_with_offsets(texts)
        first, last = (tf.cast(part.flat_values, tf.int32) for part in (starts, ends))
        # A piece that begins a word covers the space before it.
        covered = tf.strings.substr(tf.gather(texts, ids.value_rowids()), first, last - first)
        length = tf.strings.length(covered)
        without_end = tf.strings.regex_replace(covered, SPACE + "$", "", replace_global=False)
        last = last - (length - tf.strings.length(without_end))
        bare = tf.strings.regex_replace(without_end, "^" + SPACE, "", replace_global=False)
        first = last - tf.strings.length(bare)
        return Offsets(ids, starts.with_flat_values(first), ends.with_flat_values(last))


def _layout(config: Mapping[str, Any]) -> Callable[[Sequence[Piece]], list[Piece]]:
    """Returns how the ids of a class of tokenizers are made of a model's own.

    Raises:
        WeightsError: It is not known for this class.
    """
    name = str(config.get("tokenizer_class") or "XLMRobertaTokenizer").removesuffix("Fast")
    layouts = {"XLMRobertaTokenizer": _xlm_roberta, "CamembertTokenizer": _camembert}
    if name in layouts:
        return layouts[name]
    raise WeightsError(
        f"sentencepiece.bpe.model of the class {name}",
        expected=f"{' or '.join(layouts)}: how other classes number the pieces is not known",
        fix="Use a folder that also has a tokenizer.json, which holds every id.",
    )


def _xlm_roberta(own: Sequence[Piece]) -> list[Piece]:
    """XLM-R's ids: four special tokens, then a model's pieces after its own three, the mask last."""
    first = [_control("<s>"), _control("<pad>"), _control("</s>"), Piece("<unk>", 0.0, Kind.UNKNOWN)]
    return [*first, *own[3:], _control("<mask>")]


def _camembert(own: Sequence[Piece]) -> list[Piece]:
    """CamemBERT's ids: a model's ids + 4, with the first four and the second <unk> renamed."""
    names = ["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>"]
    first = [_control(name) for name in names]
    first[3] = Piece("<unk>", 0.0, Kind.UNKNOWN)
    return [*first, *own[3:], _control("<mask>")]


def _control(text: str) -> Piece:
    return Piece(text, 0.0, Kind.CONTROL)


def _added(id: int, text: str) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": id, "content": text, **flags, "special": True}


def _model(pieces: Sequence[Piece], settings: Any) -> Any:
    model = proto.ModelProto()
    model.CopyFrom(settings)
    for piece in pieces:
        model.pieces.add(piece=piece.text, score=piece.score, type=piece.kind)
    return model


def _settings(charsmap: bytes) -> Any:
    """A unigram model without pieces, as XLM-R's is set."""
    model = proto.ModelProto()
    model.trainer_spec.model_type = proto.TrainerSpec.UNIGRAM
    model.normalizer_spec.name = "nmt_nfkc" if charsmap else "identity"
    model.normalizer_spec.precompiled_charsmap = charsmap
    model.normalizer_spec.add_dummy_prefix = True
    model.normalizer_spec.remove_extra_whitespaces = True
    model.normalizer_spec.escape_whitespaces = True
    return model


def _charsmap(normalizer: Mapping[str, Any] | None) -> bytes:
    """Finds the compiled table in a normaliser, which may be a sequence."""
    for step in (normalizer or {}).get("normalizers", [normalizer or {}]):
        if step.get("type") == "Precompiled":
            return base64.b64decode(step["precompiled_charsmap"])
    return b""
