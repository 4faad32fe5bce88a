"""A retrieval model with an index answers a query with texts in TensorFlow's C runtime as it does in Python."""

from __future__ import annotations

from pathlib import Path

from tests.serving.c_runtime.test_c_runtime import compare, program, text_ops
from tfxl import registry
from tfxl.serving.answer import Answerer
from tfxl.serving.export import Contents, Settings, export

__all__ = ["program", "text_ops"]  # fixtures


def test_an_index_answers_in_the_c_runtime(
    program: Path, text_ops: list[Path], multilingual_texts: list[str], tmp_path: Path
) -> None:
    encoder, head = registry.build("encoders", "tiny"), registry.build("heads", "embedding")
    task = registry.build("tasks", "retrieval", max_length=32, second_prefix="passage: ", matches=4)
    model, tokenizer = task.model(encoder.build(), head), encoder.tokenizer()
    texts = [text for text in multilingual_texts if text.strip()]
    vectors = Answerer(model, task, tokenizer).function("second_text")(second_text=texts)["embedding"].numpy()
    indexed = task.with_index(vectors, texts, [f"名{number}" for number in range(len(texts))])
    contents = Contents(encoder.spec(), head.spec(), encoder.files())
    answerer = Answerer(model, indexed, tokenizer)
    folder = export(answerer, tmp_path / "name", contents=contents, settings=Settings(warmup=False))
    asked = [*multilingual_texts, "long " * 200, "👩‍👩‍👧🇩🇪"]
    requests = {"serving_default": {"text": asked}, "second_text": {"second_text": asked}}
    compare(folder, program, requests, text_ops)
