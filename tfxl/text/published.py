"""What a published `tokenizer.json` says: its special tokens, how texts stand between them, what no op can do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tfxl.errors import WeightsError

PAIR = "tfxl_pair"
"""The entry of `tokenizer_config.json` that keeps a `Pair` which is not the usual one of its kind."""
KNOWN = {
    "cls": ("[CLS]", "<s>"),
    "sep": ("[SEP]", "</s>"),
    "pad": ("[PAD]", "<pad>"),
    "unk": ("[UNK]", "<unk>"),
    "mask": ("[MASK]", "<mask>"),
}
"""What special tokens are usually called, for files that list them without saying what each is for."""
SPACES = ({"Regex": " {2,}"}, {"Regex": r"\s+"}, {"String": "  "})
"""What a normaliser may make one space of: SentencePiece does so anyway."""


class Pair(NamedTuple):
    """How two texts stand in a row: separators between them, and the token type of the second."""

    separators: int
    second_type: int


def names(whole: Mapping[str, Any]) -> dict[str, str]:
    """Returns what the special tokens are called, as `tokenizer_config.json` would say it: `cls_token` and so on."""
    listed = {token["content"] for token in whole.get("added_tokens") or ()}
    found = {f"{role}_token": next((name for name in known if name in listed), "") for role, known in KNOWN.items()}
    model, row = whole.get("model") or {}, _single(whole)
    told = {"cls_token": row[0], "sep_token": row[-1]} if len(row) == 3 else {}
    if model.get("type") == "Unigram":
        told["unk_token"] = str(model["vocab"][model["unk_id"]][0]) if model.get("unk_id") is not None else ""
    else:
        told["unk_token"] = model.get("unk_token") or ""
    told["pad_token"] = (whole.get("padding") or {}).get("pad_token") or ""
    return {name: value for name, value in {**found, **{k: v for k, v in told.items() if v}}.items() if value}


def pair(whole: Mapping[str, Any]) -> Pair | None:
    """Returns how pairs are read; None if the file does not say it."""
    for step in _steps(whole.get("post_processor"), "processors"):
        if step.get("type") == "BertProcessing":
            return Pair(1, 1)
        if step.get("type") == "RobertaProcessing":
            return Pair(2, 0)
        if step.get("type") == "TemplateProcessing":
            entries = [next(iter(entry.items())) for entry in step["pair"]]
            first, second = (place for place, (kind, _) in enumerate(entries) if kind == "Sequence")
            return Pair(second - first - 1, int(entries[second][1]["type_id"]))
    return None


def kept(config: Mapping[str, Any], usual: Pair) -> Pair:
    """Returns how pairs are read by a tokenizer of a configuration.

    Raises:
        WeightsError: The configuration's entry is none that a tokenizer can have.
    """
    value = config.get(PAIR, usual)
    if isinstance(value, Sequence) and list(value) in [[count, type] for count in (0, 1, 2, 3) for type in (0, 1)]:
        return Pair(*value)
    raise WeightsError(
        f"tokenizer_config.json: {PAIR} = {value!r}"[:200],
        expected="the number of separators between two texts and the token type of the second, such as [2, 0]",
        fix="Copy tokenizer_config.json again from its source.",
    )


def obstacle(whole: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Returns why TensorFlow's ops cannot cut texts as the file says; an empty text if they can."""
    model = whole.get("model") or {}
    row = _single(whole)
    own = {token["content"] for token in whole.get("added_tokens") or () if not token.get("special", True)}
    if written := sorted(own - {name for known in KNOWN.values() for name in known}):
        return f"the added token {written[0]!r} is cut out of texts before anything else"
    if row and (len(row) != 3 or row[1]):
        return f"a text stands as {' '.join(name or 'TEXT' for name in row)}, not between two special tokens"
    if model.get("type") == "WordPiece":
        return _against_wordpiece(whole, config)
    if model.get("type") == "Unigram":
        return _against_unigram(whole)
    kinds = {step.get("type") for step in _steps(whole.get("pre_tokenizer"), "pretokenizers")}
    return "byte-level BPE has no op" if "ByteLevel" in kinds else f"{model.get('type')} has no op"


def _against_wordpiece(whole: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    normalizer, before = whole.get("normalizer") or {}, whole.get("pre_tokenizer") or {}
    if (whole["model"].get("continuing_subword_prefix") or "##") != "##":
        return "pieces inside of words do not begin with ##"
    if normalizer.get("type", "BertNormalizer") != "BertNormalizer":
        return f"the normaliser {normalizer['type']} is not BERT's"
    if before.get("type", "BertPreTokenizer") != "BertPreTokenizer":
        return f"words are found by {before['type']}, not as in BERT"
    if not config.get("tokenize_chinese_chars", normalizer.get("handle_chinese_chars", True)):
        return "Chinese characters are not cut apart"
    return "" if normalizer.get("clean_text", True) else "control characters are not dropped"


def _against_unigram(whole: Mapping[str, Any]) -> str:
    if whole["model"].get("byte_fallback"):
        return "unknown characters become bytes"
    for step in _steps(whole.get("normalizer"), "normalizers"):
        is_space = step.get("content") in (" ", "▁")  # transformers 4.40 and later write the second
        joins_spaces = step.get("type") == "Replace" and step.get("pattern") in SPACES and is_space
        if step.get("type") not in ("Precompiled", "Strip") and not joins_spaces:
            return f"the normaliser has the step {step.get('type')}, which SentencePiece has not"
    kinds = [step.get("type") for step in _steps(whole.get("pre_tokenizer"), "pretokenizers")]
    if other := [kind for kind in kinds if kind not in ("WhitespaceSplit", "Metaspace")]:
        return f"words are found by {other[0]}, not as in SentencePiece"
    return ""


def _single(whole: Mapping[str, Any]) -> list[str]:
    """What a single text stands between: the names of special tokens, and an empty name for the text."""
    for step in _steps(whole.get("post_processor"), "processors"):
        if step.get("type") in ("BertProcessing", "RobertaProcessing"):
            return [step["cls"][0], "", step["sep"][0]]
        if step.get("type") == "TemplateProcessing":
            entries = [next(iter(entry.items())) for entry in step["single"]]
            return ["" if kind == "Sequence" else str(value["id"]) for kind, value in entries]
    return []


def _steps(part: Mapping[str, Any] | None, several: str) -> Iterator[Mapping[str, Any]]:
    """The steps of a part of the file, which may be one step or a sequence of them."""
    if part and part.get("type") == "Sequence":
        yield from part.get(several) or ()
    elif part:
        yield part
