from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from tfxl import registry
from tfxl.cleaners.duplicates import Duplicates
from tfxl.errors import RecipeError
from tfxl.example import Example

LONG = "Das Zimmer war sauber und ruhig, das Frühstück reichlich, und die Leute am Empfang halfen uns bei allem."


def kept(texts: Iterable[str], language: str = "de", **settings: object) -> list[int]:
    cleaner = Duplicates(**settings)
    return [number for number, text in enumerate(texts) if cleaner.clean(Example(text, language=language))]


@pytest.mark.parametrize("near", [True, False])
def test_same_text_but_for_space_case_and_spelling(near: bool) -> None:
    texts = ["Très  bien", "très bien ", "TRE\u0300S BIEN", "Ｔrès\u3000bien", "Pas bien"]
    assert kept(texts, near=near) == [0, 4]


def test_nearly_the_same_text() -> None:
    texts = [LONG, LONG + "!", LONG.replace("ruhig", "ruhrig"), LONG.replace("sauber und ruhig", "dreckig"), LONG[::-1]]
    assert kept(texts) == [0, 3, 4]
    assert kept(texts, near=False) == [0, 1, 2, 3, 4]
    assert kept(texts, threshold=0.5) == [0, 4]


def test_needs_no_spaces_between_words() -> None:
    chinese = "这家酒店的房间非常干净，早餐种类也很多，前台的工作人员一直耐心地帮助我们解决各种问题，下次还会再来。"
    thai = "ห้องพักสะอาดมาก พนักงานใจดีและช่วยเหลือเราทุกอย่าง อาหารเช้าก็อร่อยและมีให้เลือกหลายอย่าง จะกลับมาพักอีกแน่นอน"
    for text in (chinese, thai):
        assert kept([text, text + "！", "x" + text, text[: len(text) // 2]]) == [0, 3]


def test_languages_are_apart() -> None:
    cleaner = Duplicates()
    assert cleaner.clean(Example("Hotel", language="de")) and cleaner.clean(Example("Hotel", language="en"))
    assert cleaner.clean(Example("Hotel", language="de")) is None


def test_pairs_are_compared_as_pairs() -> None:
    cleaner = Duplicates()
    assert cleaner.clean(Example("a", "b")) and cleaner.clean(Example("a", "c")) and cleaner.clean(Example("ab"))
    assert cleaner.clean(Example("a", "b")) is None


def test_questions_about_one_long_text_are_not_alike() -> None:
    cleaner = Duplicates()
    questions = ["Wer half?", "War es ruhig?", "Was gab es?"]
    assert all(cleaner.clean(Example(question, LONG)) for question in questions)
    assert cleaner.clean(Example("Wer  half?", LONG)) is None
    assert all(cleaner.clean(Example(LONG, choices=(choice, "sonst"))) for choice in questions)
    assert cleaner.clean(Example(LONG, choices=("Wer half?", "SONST"))) is None


def test_tasks_of_a_joint_run_are_apart() -> None:
    cleaner = Duplicates()
    rows = [Example(LONG, label={"intent": "praise"}), Example(LONG, label={"slots": ("O",)})]
    assert all(map(cleaner.clean, rows))
    assert not any(map(cleaner.clean, rows))


def test_short_and_empty_texts() -> None:
    assert kept(["", "a", "b", "ab", "", "a"]) == [0, 1, 2, 3]


def test_choices_are_the_same_in_each_run() -> None:
    texts = [LONG[:size] for size in range(len(LONG), 20, -1)]
    assert kept(texts) == kept(texts)


@pytest.mark.parametrize("settings", [{"threshold": 1.0}, {"threshold": 0}, {"ngram": 0}, {"permutations": 1}])
def test_refuses_impossible_settings(settings: dict) -> None:
    with pytest.raises(RecipeError):
        Duplicates(**settings)


@pytest.mark.data
def test_finds_planted_duplicates_in_real_text(shared_data: Path) -> None:
    rows = registry.build("readers", "jsonl").read(shared_data / "nusax_sentiment" / "indonesian.train.jsonl")
    texts = [example.text for example in rows]
    fresh = kept(texts, "id")
    assert len(fresh) >= 0.97 * len(texts)
    long = [text for text in texts if len(text) > 100]
    both = kept([*texts, *(text.replace(".", " .") + " ok" for text in long)], "id")
    assert len(both) - len(fresh) <= 0.02 * len(long)
