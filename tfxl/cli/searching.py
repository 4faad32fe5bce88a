"""The verbs about texts that are searched: `index` and `search`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tfxl.cli import terminal
from tfxl.cli.verbs import ModelFolder, app
from tfxl.example import Match


@app.command()
def index(
    model: ModelFolder,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .txt (a text a line), .csv, .tsv or .jsonl.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", show_default=False, help="Settings, such as id=label (tfxl show index)."),
    ] = None,
) -> None:
    """Give a retrieval model the texts that it is to find: inside its next version, or beside it (kind=approximate)."""
    terminal.load_tensorflow()
    from tfxl import indexing

    terminal.write(f"{indexing.index(model, file, *overrides or [], progress=terminal.progress())}")


@app.command()
def search(
    model: ModelFolder,
    texts: Annotated[list[str], typer.Argument(metavar="TEXT", help="What is looked for; - for the lines of stdin.")],
    index: Annotated[
        str, typer.Option(help="The folder of an approximate index; MODEL/index, or what is inside, if left out.")
    ] = "",
    most: Annotated[int, typer.Option(help="How many texts to find.", min=1)] = 10,
    format: Annotated[str, typer.Option(help="table or jsonl; jsonl unless it goes to a terminal.")] = "",
) -> None:
    """Find the texts of an index that are nearest to each text."""
    from tfxl.cli import texts as reading

    style = format or ("table" if sys.stdout.isatty() else "jsonl")
    terminal.check_format(style, reading.FORMATS)
    chunks = reading.chunks(texts, None, columns={}, layout=("text",), stdin=reading.standard_input())
    rows = [row for chunk in chunks for row in chunk]
    terminal.load_tensorflow()
    from tfxl import indexing

    asked = [row.text for row in rows if not row.error]
    found = iter(indexing.search(model, asked, index=index, most=most))
    for row in rows:
        if row.error:
            terminal.write(reading.FORMATS[style](row, row.error))
        else:
            _show(row.text, next(found), style)
    reading.check_answered(len(rows) - len(asked), len(rows))


def _show(text: str, matches: Sequence[Match], style: str) -> None:
    """Shows what was found for a text."""
    if style == "table":
        rows = [(f"{match.score:.3f}", match.id, match.text) for match in matches]
        terminal.show_table(text, ("score", "id", "text"), rows)
    else:
        listed = [{"text": match.text, "score": round(match.score, 6), "id": match.id} for match in matches]
        terminal.write(json.dumps({"text": text, "matches": listed}, ensure_ascii=False))
