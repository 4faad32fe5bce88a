"""The command line in this process, through `main`; what only a process or a terminal shows, in few subprocesses."""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import json
import os
import pty
import re
import socket
import subprocess
import sys
import textwrap
import time
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

import tfxl
from tests.evaluation.toy_answers import evaluated_spans
from tfxl import recipes, registry
from tfxl.cli import failures, main, parts, terminal, texts, verbs
from tfxl.cli.output import new_file
from tfxl.errors import ModelError, TfxlError
from tfxl.example import Match, Prediction, Span

RECIPE = """# A tiny model.
name = "tiny"
output = "{folder}/out"
[data]
train = "{folder}/{{language}}.jsonl"
test = "{folder}/{{language}}.jsonl"
languages = ["en", "zh"]
[encoder]
kind = "tiny"
[task]
kind = "classification"
labels = ["bad", "good"]
max_length = 16
[training]
epochs = 1
precision = "float32"
[evaluation]
before = false
samples = 20
[export]
warmup_batch_sizes = [1]
"""
ROWS = {"en": ("bad room", "good room"), "zh": ("房间不好", "房间很好")}
LABELS = ("bad", "good")

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tfxl_command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command; returns the exit code, standard output and standard error."""

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe over a few rows in two languages."""
    folder = tmp_path_factory.mktemp("cli")
    for language, sides in ROWS.items():
        rows = [{"text": f"{sides[n % 2]} {n}", "label": LABELS[n % 2]} for n in range(4)]
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        (folder / f"{language}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    path = folder / "tiny.toml"
    path.write_text(RECIPE.format(folder=folder), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def trained(recipe: Path) -> tuple[str, str]:
    """What `tfxl train` wrote to standard output and standard error."""
    shown, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(said):
        assert main(["train", str(recipe), "training.epochs=2"]) == 0
    return shown.getvalue(), said.getvalue()


@pytest.fixture(scope="module")
def model(recipe: Path, trained: tuple[str, str]) -> Path:
    """The model that the command line trained from the recipe."""
    return recipe.parent / "out" / "tiny"


def refused(result: tuple[int, str, str]) -> str:
    """Asserts that a command was refused in words; returns the words."""
    code, _, said = result
    assert code == 2
    assert re.search(r"got: .+\nexpected: .+\nfix: .+", said)
    assert "Traceback" not in said
    return said


class TestWords:
    def test_every_verb_has_help(self, tfxl_command: Command) -> None:
        _, shown, _ = tfxl_command("--help")
        names = [command.name or command.callback.__name__ for command in verbs.app.registered_commands]
        assert sorted(names) == sorted(
            [
                *[
                    "train",
                    "evaluate",
                    "predict",
                    "adopt",
                    "export",
                    "trim",
                    "compare",
                    "check",
                    "list",
                    "show",
                    "copy",
                    "index",
                    "search",
                ]
            ]
        )
        for name in names:
            assert re.search(rf"\b{name}\b", shown)
            code, told, _ = tfxl_command(name, "--help")
            assert code == 0
            assert f"tfxl {name} " in told

    def test_no_words_show_the_help(self, tfxl_command: Command) -> None:
        assert tfxl_command() == tfxl_command("--help")

    def test_version_names_what_shapes_the_numbers(self, tfxl_command: Command) -> None:
        code, shown, _ = tfxl_command("--version")
        assert code == 0
        assert shown.splitlines()[0] == f"tfxl {tfxl.__version__}"
        assert {line.partition(" ")[0] for line in shown.splitlines()} >= {"python", "tensorflow", "transformers"}

    def test_unknown_verb(self, tfxl_command: Command) -> None:
        assert "did you mean 'train'?" in refused(tfxl_command("trian", "sentiment"))

    @pytest.mark.parametrize(
        "words",
        [("train", "sentiment", "--training.epochs=3"), ("train", "sentiment", "--epochs", "3"), ("check", "-e")],
    )
    def test_flags_are_answered_with_how_settings_are_given(self, tfxl_command: Command, words: Sequence[str]) -> None:
        assert "as KEY=VALUE, such as training.epochs=3" in refused(tfxl_command(*words))

    def test_flags_that_are_nearly_right(self, tfxl_command: Command) -> None:
        assert "did you mean '--output'?" in refused(tfxl_command("predict", "m", "x", "--outptu", "y"))

    @pytest.mark.parametrize("words", [("train",), ("predict",), ("compare", "one"), ("show",), ("list", "a", "b")])
    def test_missing_and_extra_words(self, tfxl_command: Command, words: Sequence[str]) -> None:
        assert f"tfxl {words[0]}" in refused(tfxl_command(*words))


class TestRecipes:
    def test_list_shows_every_recipe_with_what_it_does(self, tfxl_command: Command) -> None:
        code, shown, _ = tfxl_command("list")
        assert code == 0
        for name in recipes.names():
            assert re.search(rf"^{name} +{re.escape(recipes.comment(name).splitlines()[0])}$", shown, re.MULTILINE)

    def test_show_prints_the_file(self, tfxl_command: Command, recipe: Path) -> None:
        assert tfxl_command("show", recipe)[1] == recipe.read_text(encoding="utf-8")
        assert tfxl_command("show", "sentiment")[1] == recipes.find("sentiment").read_text(encoding="utf-8")

    def test_copy_writes_a_recipe_that_reads_the_same(
        self, tfxl_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert tfxl_command("copy", "sentiment")[:2] == (0, "sentiment.toml\n")
        (tmp_path / "folder").mkdir()
        assert tfxl_command("copy", "sentiment", "folder")[:2] == (0, "folder/sentiment.toml\n")
        assert tfxl_command("copy", "sentiment", "mine.toml")[0] == 0
        for copied in ("sentiment.toml", "folder/sentiment.toml", "mine.toml"):
            assert recipes.read(tmp_path / copied) == recipes.read("sentiment")

    def test_copy_never_writes_over_a_file(self, tfxl_command: Command, tmp_path: Path) -> None:
        mine = tmp_path / "mine.toml"
        mine.write_text("my own words")
        assert "mine.toml exists" in refused(tfxl_command("copy", "sentiment", mine))
        assert mine.read_text() == "my own words"
        assert "no/mine.toml" in refused(tfxl_command("copy", "sentiment", tmp_path / "no" / "mine.toml"))

    def test_check_prints_a_recipe_that_means_the_same(
        self, tfxl_command: Command, recipe: Path, tmp_path: Path
    ) -> None:
        code, shown, said = tfxl_command("check", recipe, "training.epochs=7")
        assert code == 0
        assert "all 4 data files are there" in said
        resolved = tomllib.loads(shown)
        assert resolved["training"]["epochs"] == 7
        assert resolved["training"]["batch_size"]
        (tmp_path / "again.toml").write_text(shown, encoding="utf-8")
        assert tfxl_command("check", tmp_path / "again.toml")[1] == shown

    @pytest.mark.parametrize("name", recipes.names())
    def test_the_recipes_of_tfxl_name_known_parts_and_settings(self, name: str) -> None:
        from tfxl.recipe import assemble, resolve

        assert assemble(resolve(name))


class TestParts:
    def test_every_drawer_lists_every_part_with_its_settings(self, tfxl_command: Command) -> None:
        assert {"tasks", "encoders", "readers", "samplers", "tuners"} <= set(parts.drawers())
        for drawer in parts.drawers():
            code, shown, _ = tfxl_command("list", drawer)
            assert code == 0
            for kind in registry.names(drawer):
                assert re.search(rf"^{kind}: \S.*$", shown, re.MULTILINE)
                for setting in registry.find(drawer, kind).Settings.model_fields:
                    assert f"    {setting}" in shown

    def test_languages(self, tfxl_command: Command) -> None:
        _, shown, _ = tfxl_command("list", "languages")
        assert re.search(r"^no +Norwegian\b.* Latn +ltr ", shown, re.MULTILINE)
        assert re.search(r"^ar +Arabic +Arab +rtl ", shown, re.MULTILINE)

    def test_show_explains_a_part(self, tfxl_command: Command) -> None:
        _, shown, _ = tfxl_command("show", "tasks.classification")
        assert shown.startswith("One label a text")
        assert re.search(r"^labels +array of text, length >= 2 +must be set +The labels as", shown, re.MULTILINE)
        assert re.search(r"^max_length +whole number, >= 4 +128 +Tokens of a text", shown, re.MULTILINE)
        assert re.search(r'^activation +"softmax" \| "sigmoid" +"softmax" ', shown, re.MULTILINE)

    def test_show_explains_sections(self, tfxl_command: Command) -> None:
        assert re.search(r"^epochs +whole number, >= 0 +3", tfxl_command("show", "training")[1], re.MULTILINE)
        assert re.search(r"^keep\.min_count +whole number, >= 1 +1 ", tfxl_command("show", "trim")[1], re.MULTILINE)

    @pytest.mark.parametrize(
        ("words", "hint"),
        [
            (("list", "recipe"), "did you mean 'recipes'?"),
            (("list", "layers"), "Name one of these."),
            (("show", "sentimant"), "did you mean 'sentiment'?"),
            (("show", "encoder"), "tfxl list encoders"),
            (("show", "tasks.clasification"), "did you mean 'classification'?"),
            (("show", "traning"), "did you mean 'training'?"),
            (("show", "nowhere/mine.toml"), "Name a recipe that exists"),
        ],
    )
    def test_what_is_not_there(self, tfxl_command: Command, words: Sequence[str], hint: str) -> None:
        assert hint in refused(tfxl_command(*words))


class TestModels:
    def test_train_prints_the_folder_and_the_scores(self, trained: tuple[str, str], model: Path) -> None:
        shown, said = trained
        assert shown.splitlines()[-1] == f"{model}/1"
        assert re.search(r"^English +yes +\d\.\d{3} \[\d\.\d{3}, \d\.\d{3}\] \(n = 4\)", shown, re.MULTILINE)
        assert re.search(r"^\d\d:\d\d:\d\d epoch 2 of 2: loss ", said, re.MULTILINE)

    def test_evaluate_shows_the_scores(self, tfxl_command: Command, model: Path) -> None:
        code, shown, said = tfxl_command("evaluate", model, "data.test_languages=['zh']")
        assert code == 0
        assert "Chinese" in shown and "English" not in shown
        assert "report.html" in said

    def test_export_then_compare(self, tfxl_command: Command, model: Path) -> None:
        code, shown, _ = tfxl_command("export", model / "1", "export.warmup=false")
        assert code == 0
        again = Path(shown.strip())
        assert again.parent == model and not (again / "assets.extra" / "tf_serving_warmup_requests").exists()
        code, shown, _ = tfxl_command("compare", model / "1", again)
        assert code == 0
        lines = shown.splitlines()
        assert lines[0] == f"accuracy: {again} compared with {model}/1"
        assert [line.split()[0] for line in lines[2:]] == ["en", "zh", "mean", "all"]
        assert all("0.000 [0.000, 0.000]" in line and line.split()[-2] == "1.000" for line in lines[2:])

    def test_compare_as_json(self, tfxl_command: Command, model: Path) -> None:
        report = model / "1" / "assets.extra" / "report.json"
        code, shown, _ = tfxl_command("compare", report, report, "--format", "json")
        assert code == 0
        assert shown.rstrip("\n") == json.dumps(tfxl.compare(report, report).as_json(), indent=2)
        assert [one["group"] for one in json.loads(shown)["languages"]] == [{"language": "en"}, {"language": "zh"}]
        assert "did you mean 'json'?" in refused(tfxl_command("compare", report, report, "--format", "jsonl"))

    def test_compare_names_languages_without_a_score(self, tfxl_command: Command, tmp_path: Path) -> None:
        report = evaluated_spans({"en": "B-PER", "hi": "O"}).write(tmp_path / "report.json")
        code, shown, _ = tfxl_command("compare", report, report)
        assert code == 0
        lines = shown.splitlines()
        assert lines[3].split() == ["hi", "–", "–", "–", "[–,", "–]", "–", "6"]
        assert lines[4].startswith("mean of languages") and lines[4].split()[-1] == "6"
        assert lines[-1] == "not in the mean, since a model has no score there: hi"

    def test_trim_shows_what_it_cost(self, tfxl_command: Command, recipe: Path, model: Path, tmp_path: Path) -> None:
        data = recipe.parent / "{language}.jsonl"
        words = [f'texts="{data}"', 'languages=["en", "zh"]', f'output="{tmp_path}/small"']
        code, shown, said = tfxl_command("trim", model, *words)
        assert code == 0
        assert shown.splitlines()[-1] == f"{tmp_path}/small/1"
        assert re.search(r"^before +\d+", shown, re.MULTILINE)
        assert "equal to the last bit" in said


class TestPredict:
    def answers(self, result: tuple[int, str, str]) -> list[dict[str, Any]]:
        assert result[0] == 0, result[2]
        return [json.loads(line) for line in result[1].split("\n")[:-1]]

    def test_texts_are_answered_in_their_order(
        self, tfxl_command: Command, tiny_model_folder: Path, multilingual_texts: list[str]
    ) -> None:
        found = self.answers(tfxl_command("predict", tiny_model_folder, *multilingual_texts))
        assert [answer["text"] for answer in found] == multilingual_texts
        for answer in found:
            assert answer["label"] == max(answer["scores"], key=answer["scores"].get)
            assert answer["truncated"] is False

    def test_standard_input_stands_where_the_dash_stands(
        self, tfxl_command: Command, tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stdin(monkeypatch, "\ufeffzwei\r\n\r\nvier\u2028vier\n".encode())
        found = self.answers(tfxl_command("predict", tiny_model_folder, "eins", "-", "fünf"))
        assert [answer["text"] for answer in found] == ["eins", "zwei", "", "vier\u2028vier", "fünf"]

    def test_standard_input_may_be_closed(
        self, tfxl_command: Command, tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "stdin", None)  # as Python sets it where the descriptor is closed
        assert len(self.answers(tfxl_command("predict", tiny_model_folder, "gut", "好"))) == 2
        assert "standard input is closed" in refused(tfxl_command("predict", tiny_model_folder, "gut", "-"))

    def test_a_bad_text_does_not_lose_the_others(
        self, tfxl_command: Command, tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stdin(monkeypatch, b"gut\n\xff\xfe\n" + "शुभ\n".encode())
        code, shown, said = tfxl_command("predict", tiny_model_folder, "bad \udcff bytes", "-")
        assert code == 2
        assert "2 of 4 texts could not be answered" in said
        found = [json.loads(line) for line in shown.splitlines()]
        assert [answer.get("error") for answer in found] == ["not UTF-8", None, "line 2: byte 0 is not UTF-8", None]
        assert found[3]["text"] == "शुभ"

    @pytest.mark.parametrize("name", ["texts.txt", "texts.txt.gz", "texts.csv", "texts.tsv.gz", "texts.jsonl"])
    def test_files(self, tfxl_command: Command, tiny_model_folder: Path, tmp_path: Path, name: str) -> None:
        lines = {"txt": "好\ngut", "csv": 'nr,text\n7,好\n8,"gut"', "tsv": "nr\ttext\n7\t好\n8\tgut"}
        lines["jsonl"] = '{"nr": 7, "text": "好"}\n{"nr": 8, "text": "gut"}'
        kind = name.split(".")[1]
        content = lines[kind].encode()
        path = tmp_path / name
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        columns = [] if kind == "txt" else ["--column", "id=nr"]
        found = self.answers(tfxl_command("predict", tiny_model_folder, "--file", path, *columns))
        assert [answer["text"] for answer in found] == ["好", "gut"]
        assert kind == "txt" or [answer["id"] for answer in found] == ["7", "8"]

    @pytest.mark.parametrize("style", ["table", "jsonl"])
    def test_bad_lines_of_a_file_keep_their_place(
        self, tfxl_command: Command, tiny_model_folder: Path, tmp_path: Path, style: str
    ) -> None:
        path = tmp_path / "texts.txt"
        path.write_bytes(b"Nzuri sana!\n\xff\xfe\x00\nSujo.")
        code, shown, said = tfxl_command("predict", tiny_model_folder, "--file", path, "--format", style)
        assert code == 2
        assert "1 of 3 texts could not be answered" in said
        assert ["error" in line for line in shown.splitlines()] == [False, True, False]

    def test_bad_rows_of_a_file_keep_their_place(
        self, tfxl_command: Command, tiny_model_folder: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "texts.jsonl"
        path.write_text('{"review": "a"}\n{"review"\n{"review": "b"}\n{"other": "c"}\n')
        code, shown, _ = tfxl_command("predict", tiny_model_folder, "--file", path, "--column", "text=review")
        assert code == 2
        found = [json.loads(line) for line in shown.splitlines()]
        assert [answer["text"] for answer in found] == ["a", "", "b", ""]
        assert ["line 2" in found[1]["error"], "line 4" in found[3]["error"]] == [True, True]

    def test_more_texts_than_a_chunk(self, tfxl_command: Command, tiny_model_folder: Path, tmp_path: Path) -> None:
        path = tmp_path / "many.txt"
        path.write_text("\n".join(f"text {number}" for number in range(2 * texts.CHUNK + 3)))
        found = self.answers(tfxl_command("predict", tiny_model_folder, "--file", path))
        assert [answer["text"] for answer in found] == path.read_text().splitlines()

    def test_output_appears_when_it_is_whole(
        self, tfxl_command: Command, tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        output = tmp_path / "answers.jsonl"
        assert tfxl_command("predict", tiny_model_folder, "gut", "--output", output)[:2] == (0, "")
        before = output.read_bytes()
        assert json.loads(before)["text"] == "gut"

        def fail(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(texts, "answers", fail)
        assert "No space left" in refused(tfxl_command("predict", tiny_model_folder, "x", "--output", output))
        assert output.read_bytes() == before
        assert list(tmp_path.iterdir()) == [output]

    def test_output_to_a_device_or_a_pipe_is_written_to_directly(
        self, tfxl_command: Command, tiny_model_folder: Path, tmp_path: Path
    ) -> None:
        # A terminal of its own and a pipe: a mistake could not replace a device that the machine needs.
        words = ("predict", tiny_model_folder, "gut", "--output")
        parent, child = pty.openpty()
        assert tfxl_command(*words, os.ttyname(child))[:2] == (0, "")
        assert json.loads(os.read(parent, 65536))["text"] == "gut"
        os.close(child)
        os.close(parent)
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        assert tfxl_command(*words, pipe)[0] == 0
        with os.fdopen(reading, encoding="utf-8") as stream:
            assert json.loads(stream.read())["text"] == "gut"
        assert pipe.is_fifo() and list(tmp_path.iterdir()) == [pipe]

    def test_output_to_a_link_is_written_to_its_target(self, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        for name in ("old", "new"):
            link, target = tmp_path / f"{name} link", tmp_path / "folder" / name
            link.symlink_to(target)
            with new_file(link) as file:
                file.write(name)
            assert link.is_symlink() and not target.is_symlink()
            assert target.read_text() == name
            with new_file(link) as file:
                file.write("again")
            assert target.read_text() == "again"
        (tmp_path / "broken").symlink_to(tmp_path / "absent" / "file")
        with pytest.raises(TfxlError, match="broken"), new_file(tmp_path / "broken"):
            pass

    def test_two_that_write_one_output_do_not_mix(self, tmp_path: Path) -> None:
        path = tmp_path / "answers"
        with new_file(path) as one, new_file(path) as other:
            one.write("one\n")
            other.write("the other, which is done first\n")
        assert path.read_text() == "one\n"
        assert list(tmp_path.iterdir()) == [path]

    def test_output_to_standard_output_adds_to_what_stands_there(self, tmp_path: Path) -> None:
        program = """
            from pathlib import Path
            from tfxl.cli.output import new_file

            for word in ("eins", "zwei"):
                with new_file(Path("/proc/self/fd/1")) as file:  # what /dev/stdout leads to
                    file.write(f"{word}\\n")
        """
        command = [sys.executable, "-c", textwrap.dedent(program)]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "eins\nzwei\n"
        path = tmp_path / "answers"
        path.write_text("before\n")
        with path.open("a") as file:
            subprocess.run(command, stdout=file, check=True)
        assert path.read_text() == "before\neins\nzwei\n"

    def test_a_table_is_for_people(self, tfxl_command: Command, tiny_model_folder: Path) -> None:
        code, shown, _ = tfxl_command("predict", tiny_model_folder, "gut\nso", "好", "--format", "table")
        assert code == 0
        assert re.fullmatch(r"\w+ +\d+\.\d%  gut so\n\w+ +\d+\.\d%  好\n", shown)

    @pytest.mark.parametrize(
        ("words", "got"),
        [
            ([], "no texts"),
            (["x", "--format", "xml"], "--format xml"),
            (["x", "--column", "txt=a"], "--column txt=a"),
            (["x", "--output", "no/such/folder/a"], "--output no/such/folder/a"),
            (["x", "--output", "/"], "--output /"),
            (["--file", "texts.docx"], "texts.docx"),
            (["--file", "absent.txt"], "absent.txt"),
            (["--file", "absent.csv"], "absent.csv"),
        ],
    )
    def test_what_cannot_be_read_or_written(
        self, tfxl_command: Command, tiny_model_folder: Path, words: list[str], got: str
    ) -> None:
        assert got in refused(tfxl_command("predict", tiny_model_folder, *words))

    def test_a_file_is_not_written_over_while_it_is_read(
        self, tfxl_command: Command, tiny_model_folder: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "texts.txt"
        path.write_text("gut")
        words = ["predict", tiny_model_folder, "--file", path, "--output", path]
        assert "is the file that is read" in refused(tfxl_command(*words))
        assert path.read_text() == "gut"


def stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Puts bytes on standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


PAIR = ("text", "second_text")


class Fussy:
    """A model that fails where a batch holds a text that it does not like."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def predict(self, texts: Sequence[str], second_texts: Sequence[str] | None = None) -> list[Prediction]:
        """Returns the text, and second text, as the label."""
        if any(text.startswith("bad") for text in texts):
            raise self.error
        return [Prediction(label="|".join(pair)) for pair in zip(texts, second_texts or texts, strict=True)]


@pytest.fixture(scope="module")
def pairs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of inference that knows nothing."""
    from tfxl.serving.answer import Answerer
    from tfxl.serving.export import Contents, Settings, export

    encoder, head = registry.build("encoders", "tiny"), registry.build("heads", "pooled")
    task = registry.build("tasks", "inference", max_length=32)
    answerer = Answerer(task.model(encoder.build(), head), task, encoder.tokenizer())
    contents = Contents(encoder.spec(), head.spec(), encoder.files())
    return export(
        answerer, tmp_path_factory.mktemp("pairs") / "pairs", contents=contents, settings=Settings(warmup=False)
    )


class TestTexts:
    @given(st.lists(st.booleans(), max_size=20))
    def test_each_text_gets_its_own_answer(self, good: list[bool]) -> None:
        rows = [texts.Row(f"{'good' if fine else 'bad'} {number}") for number, fine in enumerate(good)]
        found = texts.answers(Fussy(ModelError("no", expected="yes", fix="Say yes.")).predict, rows)
        for row, fine, answer in zip(rows, good, found, strict=True):
            assert answer == (Prediction(f"{row.text}|{row.text}") if fine else "no")

    def test_what_fails_for_every_text_is_no_matter_of_texts(self) -> None:
        rows = [texts.Row("bad 1"), texts.Row("bad 2")]
        with pytest.raises(ZeroDivisionError):
            texts.answers(Fussy(ZeroDivisionError("a bug")).predict, rows)
        assert texts.answers(Fussy(ZeroDivisionError("x\ny")).predict, rows[:1]) == ["ZeroDivisionError: x"]

    def test_pairs(self) -> None:
        rows = list(texts.from_arguments(["a", "b", "c", "d"], PAIR))
        assert [(row.text, row.second_text) for row in rows] == [("a", "b"), ("c", "d")]
        assert [answer.label for answer in texts.answers(Fussy(ValueError()).predict, rows)] == ["a|b", "c|d"]
        with pytest.raises(TfxlError, match="3 texts"):
            list(texts.from_arguments(["a", "b", "c"], PAIR))
        lines = list(texts.from_lines(io.BytesIO(b"a\tb\nno pair\n"), PAIR))
        assert (lines[0].text, lines[0].second_text) == ("a", "b")
        assert "line 2: no tab" in lines[1].error
        assert texts.as_line(rows[0], Prediction("yes", {"yes": 1.0})) == "yes  100.0%  a | b"
        assert json.loads(texts.as_json(rows[0], Prediction("yes")))["second_text"] == "b"

    def test_answers_of_every_kind(self) -> None:
        row = texts.Row("Ana lives in Lima", id="7")
        span = Span("Lima", 13, 17, 13, 17, label="LOC")
        assert texts.as_line(row, Prediction(labels=("a", "b"))) == "a, b  Ana lives in Lima"
        assert texts.as_line(row, Prediction(spans=(span,))) == "LOC Lima  Ana lives in Lima"
        assert texts.as_line(row, Prediction(truncated=True)).startswith("–  Ana lives in Lima  [cut")
        assert texts.as_line(row, "no") == "error: no  Ana lives in Lima"
        found = json.loads(texts.as_json(row, Prediction(spans=(span,))))
        assert found["spans"][0]["start"] == 13
        assert set(found) == {"text", "id", "spans", "truncated"}
        found = json.loads(texts.as_json(texts.Row(""), Prediction("no", {"no": 1.0})))
        assert found == {"text": "", "label": "no", "scores": {"no": 1.0}, "truncated": False}
        bare = json.loads(texts.as_json(row, Prediction(spans=(Span("Ana", 0, 3, 0, 3, score=0.0),))))["spans"]
        assert bare == [{"text": "Ana", "start": 0, "end": 3, "start_byte": 0, "end_byte": 3, "score": 0.0}]

    def test_pairs_of_a_table(self, tmp_path: Path) -> None:
        path = tmp_path / "pairs.csv"
        path.write_text("premise,hypothesis\na,b\n")
        columns = texts.columns(["text=premise", "second_text=hypothesis"])
        assert [(row.text, row.second_text) for row in texts.from_file(path, columns, PAIR)] == [("a", "b")]

    def test_choices(self, tmp_path: Path) -> None:
        layout = texts.layout(("text", "choices"), 2)
        expected = [texts.Row("a", choices=("b", "c"))]
        assert list(texts.from_arguments(["a", "b", "c"], layout)) == expected
        lines = list(texts.from_lines(io.BytesIO(b"a\tb\tc\na\tb\n"), layout))
        assert lines[:1] == expected
        assert lines[1].error == "line 2: 2 of 3 texts"
        path = tmp_path / "rows.jsonl"
        path.write_text('{"premise": "a", "one": "b", "two": "c", "choices": ["b", "c"]}\n')
        for choices in ([], ["choices=one,two"]):
            columns = texts.columns(["text=premise", *choices])
            assert [row.choices for row in texts.from_file(path, columns, layout)] == [("b", "c")]
        answer = Prediction("1", {"0": 0.25, "1": 0.75}, matches=(Match("c", 0.75, "1"),))
        assert texts.as_line(expected[0], answer) == "1   75.0%  a | c"
        assert json.loads(texts.as_json(expected[0], answer))["choices"] == ["b", "c"]

    def test_labels_of_ones_own(self, tfxl_command: Command, pairs_folder: Path, tiny_model_folder: Path) -> None:
        words = ("predict", pairs_folder, "Morgen schneit es.", "--labels", "sport, weather", "--template", "{}")
        code, shown, _ = tfxl_command(*words)
        assert code == 0
        found = json.loads(shown)
        assert list(found["scores"]) == ["sport", "weather"]
        assert sum(found["scores"].values()) == pytest.approx(1.0)
        code, shown, _ = tfxl_command(*words, "--several", "--format", "table")
        assert code == 0
        assert shown.rstrip().endswith("Morgen schneit es.")
        assert "a model of classification" in refused(
            tfxl_command("predict", tiny_model_folder, "a", "--labels", "a,b")
        )
        assert "--labels too" in refused(tfxl_command("predict", pairs_folder, "a", "--several"))

    def test_a_pipe_that_stays_open_is_answered_at_once(self) -> None:
        end, start = os.pipe()
        with os.fdopen(end, "rb") as reading, os.fdopen(start, "wb", buffering=0) as writing:
            chunks = texts.as_they_come(texts.from_lines(reading))
            for text in ("eins", "zwei"):
                writing.write(f"{text}\n".encode())
                assert [row.text for row in next(chunks)] == [text]
            writing.close()
            assert [row for chunk in chunks for row in chunk] == []

    def test_who_stops_reading_before_the_pipe_ends_leaves_in_peace(self) -> None:
        program = """
            import sys
            from tfxl.cli import texts

            chunks = texts.chunks(["-"], None, columns={}, layout=("text",), stdin=sys.stdin.buffer)
            print(next(chunks)[0].text)
        """
        command = [sys.executable, "-c", textwrap.dedent(program)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
            process.stdin.write("eins\n")
            process.stdin.flush()
            assert process.wait(timeout=100) == 0, process.stderr.read()
            assert process.stdout.read() == "eins\n"

    def test_what_breaks_a_stream_is_raised(self) -> None:
        def broken() -> Any:
            yield texts.Row("one")
            raise OSError("broken")

        found = []
        with pytest.raises(OSError, match="broken"):
            for rows in texts.as_they_come(broken()):
                found += rows
        assert [row.text for row in found] == ["one"]


class TestFailures:
    def fail(self, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
        def failing() -> list[str]:
            raise error

        monkeypatch.setattr(recipes, "names", failing)

    def test_interrupts(self, tfxl_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fail(monkeypatch, KeyboardInterrupt())
        assert tfxl_command("list") == (130, "", "\ninterrupted\n")

    def test_bugs_keep_their_traceback(self, tfxl_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fail(monkeypatch, ZeroDivisionError("a bug"))
        with pytest.raises(ZeroDivisionError):
            tfxl_command("list")

    @pytest.mark.parametrize(
        ("error", "told"),
        [
            (OSError(errno.ENOSPC, "No space left on device", "out/x"), "out/x: No space left on device"),
            (PermissionError(errno.EACCES, "Permission denied", "a"), "Change its permissions"),
            (OSError(errno.EXDEV, "Invalid cross-device link", "a", None, "b"), "a -> b: Invalid cross-device link"),
            (ConnectionError("no network"), "no network"),
            (OSError(), "OSError"),
        ],
    )
    def test_disks_and_permissions(
        self, tfxl_command: Command, monkeypatch: pytest.MonkeyPatch, error: OSError, told: str
    ) -> None:
        self.fail(monkeypatch, error)
        assert told in refused(tfxl_command("list"))

    def test_what_tensorflow_raises(self) -> None:
        from tfxl.backend import tf

        space = tf.errors.ResourceExhaustedError(None, None, "out/x; No space left on device")
        assert "Free some space" in failures.explain(space).fix
        memory = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        assert "training.batch_size" in failures.explain(memory).fix
        denied = tf.errors.PermissionDeniedError(None, None, "out/x; Permission denied")
        assert "permissions" in failures.explain(denied).fix
        assert failures.explain(tf.errors.InvalidArgumentError(None, None, "a bug")) is None


class TestTerminal:
    @given(
        st.lists(
            st.tuples(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"])), st.integers()), max_size=5
        )
    )
    def test_columns_stay_aligned_in_any_script(self, rows: list[tuple[str, int]]) -> None:
        lines = terminal.plain_table("", ("語", "n"), rows)
        assert len(lines) == len(rows) + 1
        assert len({cell_len(line) for line in lines}) == 1 or not rows

    def test_lines_are_rare_and_say_how_far_it_is(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = iter(range(0, 1000, 2))
        monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
        assert list(terminal.Lines().track(range(10), what="steps", total=10)) == list(range(10))
        said = [line.partition(" ")[2] for line in capsys.readouterr().err.splitlines()]
        assert said[0] == "steps: 3 of 10 (30%), about 14 s left"
        assert 3 <= len(said) <= 5
        assert said[-1].startswith("steps: 10 in ")

    def test_quick_work_says_nothing(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert list(terminal.Lines().track("abc", what="letters")) == ["a", "b", "c"]
        assert list(terminal.Lines().track([], what="nothing", total=0)) == []
        assert capsys.readouterr() == ("", "")

    def test_tables_go_to_standard_output_and_are_never_cut(self, capsys: pytest.CaptureFixture[str]) -> None:
        terminal.Lines().table("Title", ("a", "b"), [("x" * 300, 1)])
        shown = capsys.readouterr().out.splitlines()
        assert shown[0] == "Title"
        assert shown[2] == "x" * 300 + "  1"


@pytest.mark.parametrize("code", [0, 3])
def test_noise_of_starting_is_dropped_and_errors_are_shown(code: int) -> None:
    """In a process of its own, because the file behind standard error is what is changed."""
    script = f"""
import os, sys
from tfxl.cli import terminal
try:
    with terminal.quiet_start():
        os.write(2, b"I0000 00:00:1 port.cc:153] oneDNN\\nE0000 00:00:1 real trouble\\n")
        if {code}:
            raise OSError
except OSError:
    sys.exit({code})
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, "E0000 00:00:1 real trouble\n")


def test_a_reader_that_leaves_is_no_error() -> None:
    command = [sys.executable, "-c", "import sys; from tfxl.cli import main; sys.exit(main())", "list", "languages"]
    end, start = os.pipe()
    os.close(end)
    done = subprocess.run(command, stdout=start, stderr=subprocess.PIPE, text=True, check=False)
    os.close(start)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.slow
def test_workers_are_joined_before_anything_else(recipe: Path, tmp_path: Path) -> None:
    """In a process of its own: TensorFlow joins workers only before it does anything else."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        worker = f"localhost:{free.getsockname()[1]}"
    cluster = json.dumps({"cluster": {"worker": [worker]}, "task": {"type": "worker", "index": 0}})
    command = [sys.executable, "-c", "import sys; from tfxl.cli import main; sys.exit(main())", "train", str(recipe)]
    command += [f"output={tmp_path}", "training.strategy=multi_worker"]
    environment = {**os.environ, "TF_CONFIG": cluster}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{tmp_path}/tiny/1"


def test_on_a_terminal_there_are_frames_bars_and_colours() -> None:
    script = """
from tfxl.cli import main, terminal
main(["list"])
main(["trian"])
progress = terminal.progress()
for outer in progress.track("ab", what="[epochs]", total=2):
    for inner in progress.track(range(3), what="steps", total=3):
        progress.say(f"at [b]{outer}{inner}")
progress.table("Scores", ("語", "score"), [("中文", "0.5")])
"""
    parent, child = pty.openpty()
    environment = {**os.environ, "COLUMNS": "60", "TERM": "xterm"}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=child, stderr=child, stdin=child, env=environment, close_fds=True
    )
    os.close(child)
    shown = b""
    while True:
        try:
            read = os.read(parent, 65536)
        except OSError:  # how a terminal ends on Linux
            break
        if not read:
            break
        shown += read
    os.close(parent)
    assert process.wait() == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert "┃ recipe" in text
    assert "expected one of adopt" in " ".join(text.split())
    assert "[epochs]" in text and "2/2" in text and "at [b]a0" in text
    assert "│ 中文 │" in text
    assert b"\x1b[1;31mgot" in shown
