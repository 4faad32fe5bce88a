"""Tiny: a random encoder of a few thousand weights, for tests and trials."""

from __future__ import annotations

import functools
import json
import math
import zlib
from collections import Counter
from typing import Any, Literal

import numpy as np
from pydantic import Field

from tfxl.backend import keras
from tfxl.encoders import Encoder
from tfxl.pretrained import families, unigram
from tfxl.pretrained.configuration import check_config
from tfxl.pretrained.network import load
from tfxl.text.tokenizer import Tokenizer, from_files

SENTENCES = (
    "the room was clean and the food was good but the train was late",
    "I like this book ; she does not like it . Is it true ? Yes , in 2019 !",
    "das Zimmer war groß und das Essen war gut aber der Zug kam spät",
    "la chambre était très propre et le repas était bon",
    "phòng rất sạch sẽ nhưng đồ ăn không ngon",
    "chumba kilikuwa safi na chakula kilikuwa kizuri sana",
    "комната была чистой но поезд опоздал",
    "το δωμάτιο ήταν καθαρό και το φαγητό καλό",
    "الغرفة نظيفة والطعام جيد لكن القطار متأخر",
    "החדר היה נקי והאוכל היה טוב",
    "कमरा साफ़ था और खाना अच्छा था",
    "ঘরটি পরিষ্কার ছিল এবং খাবার ভালো ছিল",
    "அறை சுத்தமாக இருந்தது உணவு நன்றாக இருந்தது",
    "ห้องพัก สะอาด มาก และ อาหาร อร่อย พนักงาน ใจดี",
    "房间 很 干净 ， 饭菜 也 很 好吃 。 酒店 吵 ， 这 家 早餐 不 好",
    "部屋 は きれい でした 。 食べ物 も おいしかった です 。 いい ところ な の で",
    "방이 깨끗하고 음식이 맛있었어요",
    "ოთახი სუფთა იყო და საჭმელი კარგი",
    "አዳሩ ንጹህ ነበር ምግቡም ጥሩ ነበር",
    "👍 ❤ 😀",
)
ASCII = "".join(chr(code) for code in range(33, 127))


class Tiny(Encoder):
    """BERT's architecture with two layers, width 8 and random weights: builds in a second, knows nothing.

    Its vocabulary holds the words and characters of twenty sentences in many scripts. Weights and vocabulary depend
    on the settings alone, on every machine; nothing is fetched.
    """

    class Settings(Encoder.Settings):
        """What `tiny` can be told."""

        seed: int = Field(default=0, ge=0)
        vocabulary: Literal["sentencepiece", "wordpiece"] = "sentencepiece"
        layers: int = Field(default=2, ge=1)
        width: int = Field(default=8, ge=2, multiple_of=2)
        hidden_dropout: float = Field(default=0.0, ge=0, lt=1)
        attention_dropout: float = Field(default=0.0, ge=0, lt=1)

    def build(self) -> keras.Model:
        """Returns a functional model over the three inputs; every call builds new variables with the same values."""
        shapes = families.expected_shapes(self._config)
        return load(self._config, {name: self._array(name, shape) for name, shape in shapes.items()})

    def tokenizer(self) -> Tokenizer:
        """Returns the tokenizer."""
        return self._tokenizer

    def files(self) -> dict[str, bytes]:
        """Returns `config.json` and the tokenizer's files."""
        return {"config.json": json.dumps(self._config, indent=2).encode(), **self._tokenizer.files()}

    @functools.cached_property
    def _tokenizer(self) -> Tokenizer:
        return from_files(_sentencepiece() if self.settings.vocabulary == "sentencepiece" else _wordpiece())

    @functools.cached_property
    def _config(self) -> dict[str, Any]:
        settings = self.settings
        values = {
            "vocab_size": self._tokenizer.size,
            "hidden_size": settings.width,
            "num_hidden_layers": settings.layers,
            "num_attention_heads": 2,
            "intermediate_size": 2 * settings.width,
            "hidden_dropout_prob": settings.hidden_dropout,
            "attention_probs_dropout_prob": settings.attention_dropout,
            "pad_token_id": self._tokenizer.special.pad,
        }
        return check_config(values, where="tiny")

    def _array(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Draws one tensor; its values do not depend on which other tensors there are."""
        if len(shape) == 1:
            return np.full(shape, float(name.endswith("LayerNorm.weight")), np.float32)
        generator = np.random.default_rng([self.settings.seed, zlib.crc32(name.encode())])
        return generator.normal(0, 1 / math.sqrt(shape[-1]), shape).astype(np.float32)


@functools.cache
def _counts() -> tuple[Counter[str], Counter[str]]:
    """Words and characters of the sentences; every character of ASCII is among them."""
    words = Counter(word for sentence in SENTENCES for word in sentence.split())
    characters = Counter(ASCII)
    for word, count in words.items():
        characters.update(dict.fromkeys(word, count))
    return words, characters


def _sentencepiece() -> dict[str, bytes]:
    words, characters = _counts()
    counts = Counter({"▁": sum(words.values())}) + characters + Counter({f"▁{w}": n for w, n in words.items()})
    pieces = sorted(counts, key=lambda piece: (-counts[piece], piece))
    total = sum(counts.values())
    model = unigram.unigram_model(pieces, [math.log(counts[piece] / total) for piece in pieces])
    return {"sentencepiece.bpe.model": model, "tokenizer_config.json": unigram.tokenizer_config(512)}


def _wordpiece() -> dict[str, bytes]:
    words, characters = _counts()
    ends = [f"##{character}" for character in characters]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted({*words, *characters, *ends})]
    config = {"do_lower_case": False, "tokenizer_class": "BertTokenizer", "model_max_length": 512}
    return {"vocab.txt": "\n".join(pieces).encode(), "tokenizer_config.json": json.dumps(config).encode()}
