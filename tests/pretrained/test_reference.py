from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from tfxl.pretrained import reference

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "das", "gut"]


def test_a_tokenizer_of_the_folders_own_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, marker = tmp_path / "folder", tmp_path / "ran"
    folder.mkdir()
    config = {"tokenizer_class": "MyTok", "auto_map": {"AutoTokenizer": ["evil.MyTok", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY), encoding="utf-8")
    code = f"""
from transformers import BertTokenizer
open({str(marker)!r}, "w").close()
class MyTok(BertTokenizer):
    pass
"""
    (folder / "evil.py").write_text(code, encoding="utf-8")
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    answers = io.StringIO("y\n" * 10)  # what someone would type who is asked
    monkeypatch.setattr(sys, "stdin", answers)
    found = reference.tokenize(folder, ["das gut"])
    assert found is None or found == [[2, 5, 6, 3]]
    assert not marker.exists() and answers.tell() == 0
