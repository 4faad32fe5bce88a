"""Progress: the one interface through which work that takes more than two seconds tells how far it is.

Library calls are silent. The command line passes a `Progress` of its own that draws on a terminal or writes lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")


class Progress:
    """Says nothing. Derive from it to show progress."""

    def say(self, text: str) -> None:
        """Tells one fact in one line."""

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Shows a table; cells are shown with `str`."""

    def track(self, items: Iterable[Item], *, what: str, total: int | None = None) -> Iterator[Item]:
        """Yields the items, counting them under the name `what`; `total` is their number where it is known."""
        yield from items


SILENT = Progress()
