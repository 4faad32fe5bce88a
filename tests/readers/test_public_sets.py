"""Every row of the public sets that are tables or lines of JSON is read."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tfxl import registry

SETS = {
    "xed": {"kind": "jsonl", "label": "labels"},
    "nlupp": {"kind": "jsonl", "label": "intents"},
    "xcopa": {"kind": "jsonl", "text": "premise", "second_text": "question", "choices": ["choice1", "choice2"]},
    "xnli": {"kind": "csv", "text": "premise", "second_text": "hypothesis", "domain": "genre"},
    "americasnli": {"kind": "csv", "text": "premise", "second_text": "hypothesis", "language": "language", "id": "id"},
    "pawsx": {"kind": "csv", "text": "sentence1", "second_text": "sentence2"},
    "tatoeba": {"kind": "csv", "second_text": "eng", "label": ""},
    "nusax_sentiment": {"kind": "jsonl", "id": "id"},
    "banking77": {"kind": "jsonl"},
}


@pytest.mark.data
@pytest.mark.parametrize("name", SETS)
def test_every_row_is_read(shared_data: Path, name: str) -> None:
    with (shared_data / "MANIFEST.tsv").open(encoding="utf-8") as stream:
        counts = {row["path"]: int(row["rows"]) for row in csv.DictReader(stream, delimiter="\t")}
    files = [path for path in counts if path.startswith(f"{name}/")]
    assert files
    reader = registry.build("readers", SETS[name])
    for path in files:
        examples = list(reader.read(shared_data / path))
        assert len(examples) == counts[path], path
        assert all((example.label is None) == (name == "tatoeba") for example in examples)
        if name in ("xed", "nlupp"):
            assert all(isinstance(example.label, tuple) for example in examples)
        if name == "xcopa":
            assert all(len(e.choices) == 2 and e.label in "01" for e in examples)
