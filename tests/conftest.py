"""Fixtures for every test; there is no other conftest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tfxl.serving.answer import Answerer
    from tfxl.serving.export import Contents

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data sets that may stand beside the project."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the public data sets are not at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def multilingual_texts() -> list[str]:
    """Short texts in many scripts, with what usually breaks: emoji, combining marks, right-to-left, no spaces."""
    return [
        "The room was clean, but the bus was late.",
        "Das Zimmer war groß und süß.",
        "这家酒店很吵，早餐也不好吃。",
        "الغرفة نظيفة والخدمة ممتازة",
        "कमरा साफ़ था और खाना अच्छा था।",
        "ห้องพักสะอาดมาก พนักงานใจดี",
        "Phòng rất sạch sẽ, nhân viên thân thiện.",
        "Номер был чистым, но шумным.",
        "部屋はきれいでした。",
        "방이 깨끗했어요.",
        "Chumba kilikuwa safi sana.",
        "Great service 👍🏽👩‍👩‍👧 🇩🇪",
        "e\u0301te\u0301 naïve ﬁne ＡＢＣ",
        "",
        "   ",
    ]


@pytest.fixture(scope="session")
def tiny_answerer() -> Answerer:
    """A classifier with three labels on the random tiny encoder."""
    from tfxl import registry
    from tfxl.serving.answer import Answerer

    encoder = registry.build("encoders", "tiny")
    task = registry.build("tasks", "classification", labels=["negative", "neutral", "positive"], max_length=64)
    return Answerer(task.model(encoder.build()), task, encoder.tokenizer())


@pytest.fixture(scope="session")
def tiny_contents() -> Contents:
    """What belongs beside `tiny_answerer` in a saved model."""
    from tfxl import registry
    from tfxl.serving.export import Contents

    encoder, head = registry.build("encoders", "tiny"), registry.build("heads", "pooled")
    return Contents(
        encoder.spec(), head.spec(), encoder.files(), run_toml='name = "tiny"\n', files={"report.json": b"{}"}
    )


@pytest.fixture(scope="session")
def tiny_model_folder(
    tmp_path_factory: pytest.TempPathFactory, tiny_answerer: Answerer, tiny_contents: Contents
) -> Path:
    """Version 1 of `tiny_answerer` as a saved model named `tiny`. Do not write in it; copy it."""
    from tfxl.serving.export import export

    return export(tiny_answerer, tmp_path_factory.mktemp("saved_models") / "tiny", contents=tiny_contents)
