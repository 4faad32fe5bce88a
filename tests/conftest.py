"""Fixtures for every test; there is no other conftest."""

from __future__ import annotations

from pathlib import Path

import pytest

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
