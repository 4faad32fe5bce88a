"""The model card: what a person finds first in a folder that was written for another toolkit."""

from __future__ import annotations

import json

import tfxl
from tfxl.formats import Portable

PIPELINES = {
    "classification": "text-classification",
    "inference": "text-classification",
    "multilabel": "text-classification",
    "regression": "text-classification",
    "token_classification": "token-classification",
    "question_answering": "question-answering",
    "multiple_choice": "multiple-choice",
    "fill_mask": "fill-mask",
    "retrieval": "sentence-similarity",
    "similarity": "sentence-similarity",
}
"""What the Hub calls each task."""
USES = {
    "transformers": "from transformers import {architecture}, AutoTokenizer\n\n"
    'model = {architecture}.from_pretrained("PATH")\ntokenizer = AutoTokenizer.from_pretrained("PATH")',
    "sentence-transformers": "from sentence_transformers import SentenceTransformer\n\n"
    'model = SentenceTransformer("PATH")',
}


def model_card(model: Portable, architecture: str, *, library: str) -> bytes:
    """Returns the `README.md` of a written model.

    Args:
        model: What was written.
        architecture: The class that loads it.
        library: Whose class that is.
    """
    task = model.task
    labels = [str(name) for name in getattr(task, "tags", getattr(task, "names", ()))]
    lines = ["---", f"library_name: {library}", f"pipeline_tag: {PIPELINES[task.kind]}", "tags:", "- tfxl"]
    lines += ["---", "", f"# {model.name}", "", f"Written by tfxl {tfxl.__version__} as {architecture}."]
    lines += ["", f"- task: {task.kind}", f"- longest row: {task.settings.max_length} tokens"]
    lines += [f"- labels: {', '.join(labels)}"] if labels else []
    lines += [f"- encoder: {json.dumps(dict(model.encoder), ensure_ascii=False)}"]
    lines += ["", "```python", USES[library].format(architecture=architecture), "```", ""]
    return "\n".join(lines).encode()
