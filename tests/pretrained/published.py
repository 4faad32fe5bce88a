"""Tiny random checkpoints of every family, as transformers' own classes make and write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import transformers

from tests.pretrained.checkpoints import FILES
from tfxl.pretrained.families import FAMILIES

WIDE = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
VALUES: dict[str, dict[str, Any]] = {
    "bert": {**WIDE, "pad_token_id": 1},
    "xlm-roberta": {**WIDE, "max_position_embeddings": 42, "type_vocab_size": 1, "layer_norm_eps": 1e-5},
    "roberta": {**WIDE, "max_position_embeddings": 42, "hidden_act": "gelu_new"},
    "camembert": {**WIDE, "max_position_embeddings": 42, "type_vocab_size": 1},
    "electra": {**WIDE, "embedding_size": 16, "pad_token_id": 1},
    "distilbert": {
        "dim": 16,
        "n_layers": 3,
        "n_heads": 2,
        "hidden_dim": 24,
        "max_position_embeddings": 40,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "pad_token_id": 1,
    },
}
"""A configuration of each family, in its own words; the tokenizer of `FILES` goes with all of them."""
assert set(VALUES) == set(FAMILIES)


def tokenizer_size() -> int:
    """The number of ids of the tokenizer in `FILES`."""
    from tfxl.text.tokenizer import from_files

    return from_files(FILES).size


def torch_model(family: str, head: str = "Model", seed: int = 0, **values: Any) -> Any:
    """Returns a random PyTorch model, such as `ForTokenClassification`; every weight is drawn, biases too."""
    import torch

    config = transformers.AutoConfig.for_model(family, vocab_size=tokenizer_size(), **{**VALUES[family], **values})
    model = getattr(transformers, FAMILIES[family].architectures + head)(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            drawn = torch.normal(0.0, 0.3, weight.shape, generator=generator)
            weight.copy_(drawn + 1.0 if "norm" in name.lower() and name.endswith("weight") else drawn)
    return model


def publish(model: Any, folder: Path, **options: Any) -> Path:
    """Writes a model as its library does, and the tokenizer of `FILES` beside it."""
    model.save_pretrained(folder, **options)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


def rows(length: int, count: int = 3, *, types: bool = False, seed: int = 0) -> dict[str, np.ndarray]:
    """Returns rows of random ids, the first of full length, each further one shorter, padded on the right."""
    draw = np.random.default_rng(seed)
    ids = draw.integers(4, tokenizer_size(), (count, length)).astype(np.int32)
    mask = (np.arange(length) < np.maximum(length - 2 * np.arange(count), 1)[:, None]).astype(np.int32)
    second = (np.arange(length) >= length // 2).astype(np.int32) * mask if types else 0 * mask
    return {"input_ids": np.where(mask, ids, 1).astype(np.int32), "token_type_ids": second, "attention_mask": mask}


def torch_output(model: Any, batch: dict[str, np.ndarray], *, types: bool = False) -> Any:
    """Returns what a PyTorch model gives for rows; token types are passed only where they are asked for."""
    import torch

    names = [name for name in batch if types or name != "token_type_ids"]
    with torch.no_grad():
        return model(**{name: torch.from_numpy(batch[name].astype(np.int64)) for name in names})


def largest_difference(ours: Any, theirs: Any, mask: np.ndarray | None = None) -> float:
    """Returns the largest difference, at real tokens where there is a mask `[rows, tokens]`."""
    difference = np.abs(np.asarray(ours) - theirs.numpy())
    return float((difference if mask is None else difference[mask == 1]).max())
