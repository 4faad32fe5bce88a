"""The verbs. What they do is done by plain functions; here their words are read and their results shown."""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import tfxl
from tfxl import packages, recipes
from tfxl.cli import terminal
from tfxl.cli.output import new_file
from tfxl.errors import RecipeError, TfxlError, did_you_mean

if TYPE_CHECKING:
    from tfxl.evaluation.compare import Difference

app = typer.Typer(
    name="tfxl",
    add_completion=False,
    help="Cross-lingual models in TensorFlow: from text in many languages to a measured, served model.",
    epilog="Settings are KEY=VALUE, with the value in TOML: tfxl train sentiment training.epochs=3",
)

Recipe = Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe's name (tfxl list), or a TOML file.")]
ModelFolder = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="A saved model, saved_models/NAME, or a version of it, saved_models/NAME/1."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", show_default=False, help="Settings, such as training.epochs=3."),
]

TEMPLATE = "This text is about {}."
"""What `serving.zero_shot` takes by default, which is not imported before the words of a command are read."""
COMPARED = ("rows of", "first", "second", "change", "p", "n")
COMPARISONS = ("table", "json")


def _version(wanted: bool) -> None:
    if wanted:
        terminal.write(f"tfxl {tfxl.__version__}")
        terminal.write(f"python {sys.version.partition(' ')[0]}")
        found = packages.versions()
        for name in packages.NAMES:
            terminal.write(f"{name} {found.get(name, 'absent')}")
        raise typer.Exit


@app.callback()
def tfxl_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the versions and leave.")
    ] = False,
) -> None:
    """Holds what belongs to no verb; its text is that of the app."""


@app.command()
def train(recipe: Recipe, overrides: Overrides = None) -> None:
    """Train, measure and save a model as a recipe says."""
    terminal.load_tensorflow()
    from tfxl import run

    model = run.train(recipe, *overrides or [], progress=terminal.progress())
    terminal.write(f"{model.folder}")


@app.command()
def check(recipe: Recipe, overrides: Overrides = None) -> None:
    """Check a recipe without training, and print it with every setting."""
    import tomli_w

    terminal.load_tensorflow()
    from tfxl import run

    resolved = run.resolve(recipe, *overrides or [])
    parts = run.started(resolved, run.assemble(resolved))
    files = run.check(resolved, parts)
    parts.encoder.tokenizer()
    terminal.write(tomli_w.dumps(resolved.as_toml()).rstrip("\n"))
    terminal.progress().say(f"{recipe}: every part and setting is right, and all {len(files)} data files are there")


@app.command()
def evaluate(
    model: ModelFolder,
    overrides: Overrides = None,
    matrix: Annotated[
        bool,
        typer.Option(
            help="MODEL is a recipe: train it on each of its languages alone, and on all, and test each on all."
        ),
    ] = False,
    shots: Annotated[
        list[int] | None,
        typer.Option(help="With --matrix: also train with so many examples of each other language; may be repeated."),
    ] = None,
    consistency: Annotated[
        bool, typer.Option(help="How often the answer changes with the language of the same item; needs no labels.")
    ] = False,
) -> None:
    """Measure a saved model on its test data, or on other data (data.test=…)."""
    if matrix and consistency:
        raise TfxlError("--matrix and --consistency", expected="one of them", fix="Call tfxl evaluate twice.")
    if shots and not matrix:
        raise TfxlError("--shots without --matrix", expected="--matrix, and a recipe", fix="Add --matrix.")
    terminal.load_tensorflow()
    from tfxl import crosslingual, run

    progress, told = terminal.progress(), overrides or []
    if matrix:
        crosslingual.matrix(model, *told, shots=shots or (), progress=progress)
    elif consistency:
        crosslingual.consistency(model, *told, progress=progress)
    else:
        run.evaluate(model, *told, progress=progress)


@app.command()
def predict(
    model: ModelFolder,
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", show_default=False, help="Texts to answer; - stands for the lines of stdin."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="A .txt (a text a line), .csv, .tsv or .jsonl, also with .gz.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="A column of the file: text=NAME, second_text=NAME, choices=NAME,NAME or id=NAME."),
    ] = None,
    task: Annotated[str, typer.Option(help="One task of a model of several; all of them if left out.")] = "",
    labels: Annotated[
        str | None, typer.Option(help='Sort texts by these labels, as in "a,b,c", with a model of inference.')
    ] = None,
    template: Annotated[str, typer.Option(help="With --labels: the sentence that {} puts a label in.")] = TEMPLATE,
    several: Annotated[bool, typer.Option(help="With --labels: several labels may apply, or none.")] = False,
    output: Annotated[Path | None, typer.Option(help="The file to write; standard output if left out.")] = None,
    format: Annotated[str, typer.Option(help="table or jsonl; jsonl unless it goes to a terminal.")] = "",
) -> None:
    """Answer raw texts with a saved model, in their order. For a model of pairs, texts go two by two.

    With --labels, a model of natural-language inference sorts them by labels that it was never trained on.
    """
    from tfxl.cli import texts as reading

    style = reading.style(format, default="table" if output is None and sys.stdout.isatty() else "jsonl")
    columns = reading.columns(column or [])
    if not texts and file is None:
        raise TfxlError("no texts", expected='"a text", --file FILE, or - for standard input', fix="Add one of these.")
    if labels is None and (several or template != TEMPLATE):
        raise TfxlError(
            "--template or --several", expected="--labels too", fix='Add --labels "sport,politics,weather".'
        )
    with ExitStack() as stack:
        stream = stack.enter_context(new_file(output, read=file)) if output else sys.stdout
        terminal.load_tensorflow()
        from tfxl.serving.model import load
        from tfxl.serving.zero_shot import ZeroShot

        loaded = load(model)
        asked = loaded.find_task(task)
        layout = reading.layout(asked.text_inputs, asked.num_choices)
        answer: reading.Predict = partial(loaded.predict, task=task)
        if labels is not None:
            zero_shot = ZeroShot(loaded, reading.listed(labels), template=template, several=several)
            answer, layout = zero_shot.predict, ("text",)
        rows = reading.chunks(texts or [], file, columns=columns, layout=layout, stdin=reading.standard_input())
        failed, total = reading.write_answers(answer, rows, stream, style=style)
    reading.check_answered(failed, total)


@app.command()
def export(model: ModelFolder, overrides: Overrides = None) -> None:
    """Write a saved model again as the next version, with other export settings (export.…)."""
    terminal.load_tensorflow()
    from tfxl import run

    terminal.write(f"{run.export(model, *overrides or [], progress=terminal.progress())}")


@app.command()
def adopt(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A folder or Hub name of transformers or sentence-transformers.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", show_default=False, help="Settings, such as name=NAME (tfxl show adopt)."),
    ] = None,
    name: Annotated[str, typer.Option(help="The model's name; the last part of SOURCE if left out.")] = "",
    languages: Annotated[
        str, typer.Option(help="With --texts: the languages that the vocabulary is trimmed to, as in de,hi,zh.")
    ] = "",
    texts: Annotated[
        list[str] | None,
        typer.Option(help="With --languages: a file of texts, such as 'reviews/{language}.csv'; may be repeated."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only compare with the original; write nothing.")] = False,
) -> None:
    """Make a published checkpoint a saved model, proved equal to the original, without training.

    With --languages and --texts its vocabulary is trimmed after the comparison, and that is proved too.
    """
    if bool(languages) != bool(texts):
        got, missing = ("--languages", "--texts FILE") if languages else ("--texts", "--languages de,hi,zh")
        raise TfxlError(
            f"{got} without {missing.partition(' ')[0]}",
            expected="both of them, to trim the vocabulary, or neither",
            fix=f"Add {missing}. The languages alone, for tfxl evaluate, are the setting languages=[…].",
        )
    # oneDNN's allocator keeps all that was ever in use; without it the original, the model and what was saved can
    # follow each other in the same memory. Read when TensorFlow starts.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    terminal.load_tensorflow()
    from tfxl import adopting

    codes = [code.strip() for code in languages.split(",") if code.strip()]
    options = {"name": name, "languages": codes, "texts": texts}
    told = [f"{key}={json.dumps(value)}" for key, value in options.items() if value] + (overrides or [])
    if check:
        adopting.check(source, *told, progress=terminal.progress())
    else:
        terminal.write(f"{adopting.adopt(source, *told, progress=terminal.progress()).folder}")


@app.command()
def trim(
    weights: Annotated[
        str, typer.Argument(metavar="WEIGHTS", help="Weights as encoder.weights names them, or a MODEL.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE", show_default=False, help="Settings, such as output=FOLDER (tfxl show trim)."
        ),
    ] = None,
) -> None:
    """Cut a vocabulary down to what some languages need, and prove that nothing else changed."""
    terminal.load_tensorflow()
    from tfxl import trimming

    terminal.write(f"{trimming.trim_with_files(weights, *overrides or [], progress=terminal.progress()).folder}")


@app.command()
def compare(
    model: ModelFolder,
    other: Annotated[str, typer.Argument(metavar="OTHER", help="The model to compare with.")],
    format: Annotated[str, typer.Option(help="table or json.")] = "table",
) -> None:
    """Say which of two models is better, per language, and whether that may be chance."""
    terminal.check_format(format, COMPARISONS)
    terminal.load_tensorflow()
    from tfxl import run

    comparison = run.compare(model, other)
    if format == "json":
        terminal.write(json.dumps(comparison.as_json(), ensure_ascii=False, allow_nan=False, indent=2))
        return
    rows = [("mean of languages", comparison.mean), ("all rows", comparison.overall)]
    rows = [*((one.group["language"], one) for one in comparison.languages), *rows]
    terminal.show_table(
        f"{comparison.mean.metric}: {other} compared with {model}",
        COMPARED,
        [(name, *_cells(one)) for name, one in rows],
    )
    if comparison.left_out:
        terminal.write(f"not in the mean, since a model has no score there: {', '.join(comparison.left_out)}")


def _cells(difference: Difference) -> tuple[object, ...]:
    from tfxl.evaluation.score import number, p_number

    low, high = number(difference.low, signed=True), number(difference.high, signed=True)
    change = f"{number(difference.value, signed=True)} [{low}, {high}]"
    p_value = p_number(difference.corrected)
    return number(difference.first), number(difference.second), change, p_value, difference.rows


@app.command("list")
def list_things(
    what: Annotated[
        str, typer.Argument(metavar="WHAT", help="recipes, languages, or a drawer such as tasks.")
    ] = "recipes",
) -> None:
    """List the recipes, the languages, or the parts of a drawer with their settings."""
    from tfxl.cli import parts

    if what == "recipes":
        rows = [(name, recipes.comment(name).partition("\n")[0]) for name in recipes.names()]
        terminal.show_table("", ("recipe", "what it does"), rows)
    elif what == "languages":
        terminal.show_table("", parts.LANGUAGE_COLUMNS, parts.languages_as_rows())
    elif what in parts.drawers():
        with terminal.quiet_start():
            lines = list(parts.describe_drawer(what))
        for line in lines:
            terminal.write(line)
    else:
        known = ["recipes", "languages", *parts.drawers()]
        raise RecipeError(
            f"list {what}", expected=f"one of {', '.join(known)}", fix=f"{did_you_mean(what, known)}Name one of these."
        )


@app.command()
def show(
    thing: Annotated[
        str, typer.Argument(metavar="THING", help="A recipe, a part (tasks.classification) or a section (training).")
    ],
) -> None:
    """Print a recipe, or what a part or a section of a recipe can be told."""
    from tfxl.cli import parts

    if thing in recipes.names() or Path(thing).is_file():
        terminal.write(recipes.text(thing).rstrip("\n"))
        return
    with terminal.quiet_start():
        text, settings = parts.describe(thing)
    terminal.write(f"{text}\n")
    terminal.show_table("", ("setting", "type", "default", "meaning"), settings)


@app.command()
def copy(
    recipe: Recipe,
    path: Annotated[Path | None, typer.Argument(metavar="PATH", help="Where to; ./RECIPE.toml if left out.")] = None,
) -> None:
    """Write a copy of a recipe, to be edited; never over a file that exists."""
    source, content = recipes.find(recipe), recipes.text(recipe)
    target = path or Path(source.name)
    if target.is_dir():
        target /= source.name
    try:
        with target.open("x", encoding="utf-8", newline="\n") as file:
            file.write(content)
    except FileExistsError:
        raise RecipeError(
            f"{target} exists", expected="the name of a new file", fix="Choose another name, or remove the file."
        ) from None
    terminal.write(f"{target}")
