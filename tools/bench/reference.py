"""Trains and scores a recipe with plain PyTorch and transformers' own classes: what a model of tfxl is compared with.

    python tools/bench/reference.py nusax 'data.train="DATA/{language_name}.train.jsonl"' … --seeds 0,1,2
    python tools/bench/reference.py ner training.epochs=1 --transformers-head --save published/ner

The recipe and its `section.setting=value` are those of `tfxl train`, and tfxl reads the rows and writes the encoder's
weights as a folder of transformers. Everything else is written here a second time, with other libraries: transformers'
tokenizer and BertModel, torch's AdamW, scikit-learn and seqeval for scores. Printed are the scores of each test
language, mean and standard deviation over the seeds, and the seconds that training took.

Training: cross-entropy (tags: the mean over words; questions: that of start and end; several labels: binary), the
squared error of numbers, and of vectors what the recipe says. AdamW, betas 0.9 and 0.999; matrices but the word
embeddings decay; gradients are clipped; the rate rises from 0 in the first tenth of the steps and falls to 0. Word
embeddings of pieces that the training texts have move at every step, others never. Batches hold rows of similar length:
every epoch is shuffled, each 8 batches are sorted. Forward in bfloat16 where training.precision asks for it: by default
where the machine has it, as in tfxl. With `--label-frequencies` the head of several labels starts from these, as it
does in tfxl; otherwise from even chances.

Heads: one label, several, choices, numbers: the mean of the last hidden states over all real tokens, dropout 0.1, a
dense layer. `--transformers-head` takes the head of the …For… class instead, with its pooler. Tags, questions, hidden
words: always the …For… class. Words are cut one by one, as `is_split_into_words` does it, which is not how tfxl cuts
Chinese.

Covered are the tasks classification, inference, multilabel, multiple_choice, regression, token_classification,
question_answering, similarity, retrieval, and joint of one label and tags; `--fill-mask` trains …ForMaskedLM on the
texts of any recipe instead. What a recipe sets beyond that (heads, tuners, early stopping, class weights) is refused,
not ignored.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from reference_tasks import TASKS, FillMask, Inputs, Item, Multilabel, Task, check_settings
from torch import nn

from tfxl import registry
from tfxl.backend import keras
from tfxl.data import DataReport, read
from tfxl.example import Example
from tfxl.formats import Portable
from tfxl.formats.huggingface import Huggingface
from tfxl.progress import SILENT
from tfxl.recipe import Parts, Run, assemble, resolve
from tfxl.training import precision

POOL, SCORED = 8, 64
"""Batches that are sorted by length together; rows that are scored at once."""

Scores = dict[str, dict[str, float]]
"""By language and name."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("overrides", nargs="*", help="section.setting=value, as for tfxl train")
    parser.add_argument("--seeds", help="such as 0,1,2; the recipe's seed if not given")
    parser.add_argument("--save", type=Path, help="a new folder for the model of the one seed, for tfxl adopt")
    parser.add_argument("--transformers-head", action="store_true", help="the head of the …For… class")
    parser.add_argument("--label-frequencies", action="store_true", help="several labels: the head starts from these")
    parser.add_argument("--fill-mask", action="store_true", help="train BertForMaskedLM on the recipe's texts instead")
    parser.add_argument("--limit", type=int, help="only so many rows of each language and file, to try a recipe")
    parser.add_argument("--test-rows", type=int, help="only the first so many test rows of each language")
    parser.add_argument("--weights", type=Path, help="keeps the encoder's folder of transformers here, for later runs")
    arguments = parser.parse_intermixed_args()
    run = resolve(arguments.recipe, *arguments.overrides)
    seeds = [int(seed) for seed in arguments.seeds.split(",")] if arguments.seeds else [run.seed]
    if arguments.save and len(seeds) > 1:
        raise SystemExit("--save: one seed, please")
    parts = assemble(run)
    check(run, fill_mask=arguments.fill_mask)
    transformers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory(prefix="reference-") as scratch:
        folder = write_encoder(run, parts, arguments.weights or Path(scratch) / "encoder")
        found = [measure(run.model_copy(update={"seed": seed}), parts, folder, arguments) for seed in seeds]
    show(run, [scores for scores, _ in found], [seconds for _, seconds in found])


def check(run: Run, *, fill_mask: bool) -> None:
    """Refuses what would make the two trainings different ones."""
    told, kind = run.training, run.task["kind"]
    usual = {"optimizer": "adamw", "schedule": "linear", "accumulation_steps": 1, "early_stopping": "none"}
    if other := [name for name, value in usual.items() if getattr(told, name) != value]:
        raise SystemExit(f"training.{other[0]} = {getattr(told, other[0])}: not covered here")
    if fill_mask:
        return
    if run.head or run.tuner != {"kind": "full"}:
        raise SystemExit("head and tuner: not covered here")
    if kind not in TASKS:
        raise SystemExit(f"task.kind = {kind}: covered are {', '.join(TASKS)}")
    check_settings("task", run.task, TASKS[kind].understood)
    teacher = run.task.get("teacher")
    if teacher and dict(teacher) != dict(run.encoder):
        raise SystemExit("task.teacher: covered is the encoder itself, before training")


def write_encoder(run: Run, parts: Parts, folder: Path) -> Path:
    """Writes the encoder's weights and tokenizer as a folder of transformers, if they are not there."""
    if (folder / "config.json").is_file():
        return folder
    task, head = registry.build("tasks", "retrieval"), registry.build("heads", "embedding")
    portable = Portable(
        name="encoder",
        build=lambda: task.model(parts.encoder.build(), head),
        task=task,
        head=head,
        tokenizer=parts.encoder.tokenizer(),
        config=json.loads(parts.encoder.files()["config.json"]),
        encoder=run.encoder,
    )
    Huggingface().write(portable, folder)
    del portable
    keras.backend.clear_session()
    gc.collect()  # Keras models hold themselves
    return folder


# One seed


def measure(run: Run, parts: Parts, folder: Path, arguments: argparse.Namespace) -> tuple[Scores, float]:
    """Trains a model, scores it on the test rows, and returns the scores and the seconds of training."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    kind = FillMask if arguments.fill_mask else TASKS[run.task["kind"]]
    task = kind(parts.task, folder, tokenizer, transformers_head=arguments.transformers_head)
    torch.manual_seed(run.seed)
    model = task.model()
    if arguments.save and task.published(model) is None:
        raise SystemExit("--save: transformers has no class with this head; see --transformers-head")
    begin = time.perf_counter()
    if run.training.epochs:
        examples = rows(run, parts, "train", arguments.limit)
        if arguments.label_frequencies:
            task.start(model, examples)
        train(task, model, run, parts, examples)
    seconds = time.perf_counter() - begin
    model.eval()
    if isinstance(task, Multilabel) and (validation := rows(run, parts, "validation", arguments.limit)):
        task.tune(validation, answer(task, model, run, validation))
    if arguments.save:
        task.published(model).save_pretrained(arguments.save)
        tokenizer.save_pretrained(arguments.save)
    scores = {}
    for language, examples in by_language(rows(run, parts, "test", arguments.test_rows or arguments.limit)).items():
        scores[language] = task.scores(examples, answer(task, model, run, examples))
        print(f"seed {run.seed}, {language}: {len(examples)} rows, {scores[language]}", flush=True)
    return scores, seconds


def rows(run: Run, parts: Parts, split: str, limit: int | None) -> list[Example]:
    """Returns the rows of a split as tfxl reads them, the first `limit` of each language."""
    examples, seen = [], Counter[str]()
    for example in read(run, parts, split, report=DataReport(), progress=SILENT):
        seen[example.language] += 1
        if not limit or seen[example.language] <= limit:
            examples.append(example)
    return examples


def by_language(examples: Sequence[Example]) -> dict[str, list[Example]]:
    found = defaultdict(list)
    for example in examples:
        found[example.language].append(example)
    return found


def in_bfloat16(run: Run) -> AbstractContextManager[Any]:
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision.resolve(run.training.precision) == "bfloat16")


def padded(batch: Sequence[Item], pad: int) -> Inputs:
    """Returns ids and mask `[rows, tokens]` of all rows of the items, padded to the longest."""
    lists = [row for item in batch for row in item.rows]
    width = max(map(len, lists))
    ids = torch.tensor([row + [pad] * (width - len(row)) for row in lists])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in lists])
    return {"input_ids": ids, "attention_mask": mask}


@torch.no_grad()
def answer(task: Task, model: nn.Module, run: Run, examples: Sequence[Example]) -> list[Any]:
    """Returns the answers to examples."""
    items = task.items(examples)
    order = sorted(range(len(items)), key=lambda place: size(items[place]))
    found: list[Any] = [None] * len(items)
    for places in cut(order, SCORED):
        batch = [items[place] for place in places]
        with in_bfloat16(run) if not task.precise else torch.autocast("cpu", enabled=False):
            answers = task.read(model, padded(batch, task.tokenizer.pad_token_id), batch)
        for place, each in zip(places, answers, strict=True):
            found[place] = each
    return task.answers(items, found)


def size(item: Item) -> int:
    return max(map(len, item.rows))


def cut(order: Sequence[int], number: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(order), number):
        yield order[start : start + number]


# Training


def train(task: Task, model: nn.Module, run: Run, parts: Parts, examples: Sequence[Example]) -> None:
    """Trains a model in place."""
    told, items = run.training, grouped(task, parts, examples)
    small = None if task.moves_all_rows else UsedRows(model, items, task.tokenizer.pad_token_id)
    optimizer = torch.optim.AdamW(groups(model, told.weight_decay), lr=told.learning_rate, fused=True)
    total = told.epochs * math.ceil(len(items) / told.batch_size)
    warmup = math.floor(total * told.warmup + 1e-9)

    def rate(step: int) -> float:
        return step / warmup if step < warmup else (total - step) / max(1, total - warmup)

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    shares, random = parts.sampler.weights(Counter(item.group for item in items)), np.random.default_rng(run.seed)
    model.train()
    for epoch in range(told.epochs):
        losses = []
        for places in batches(items, shares, told.batch_size, random):
            batch = [items[place] for place in places]
            inputs = padded(batch, task.tokenizer.pad_token_id)
            if small is not None:
                inputs["input_ids"] = small.places[inputs["input_ids"]]
            with in_bfloat16(run):
                loss = task.loss(model, inputs, batch)
            loss.backward()
            if told.clip_norm:
                nn.utils.clip_grad_norm_(model.parameters(), told.clip_norm)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        print(f"seed {run.seed}, epoch {epoch + 1} of {told.epochs}: loss {statistics.fmean(losses):.4f}", flush=True)
    if small is not None:
        small.put_back()


def grouped(task: Task, parts: Parts, examples: Sequence[Example]) -> list[Item]:
    """Returns the items of the training rows, each with the group that the sampler counts it in."""
    items = []
    for example in examples:
        for item in task.items([example]):
            item.group = parts.sampler.group(example)
            items.append(item)
    return items


def groups(model: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Returns the parameters for AdamW: matrices but the word embeddings decay, nothing else."""
    named = [(name, each) for name, each in model.named_parameters() if each.requires_grad]
    decays = {name: each.ndim >= 2 and "word_embeddings" not in name for name, each in named}
    return [
        {"params": [each for name, each in named if decays[name]], "weight_decay": decay},
        {"params": [each for name, each in named if not decays[name]], "weight_decay": 0.0},
    ]


class UsedRows:
    """Trains only the rows of the word embeddings that the items have. Others would get no gradient: they never move.

    Args:
        model: Its word embeddings are replaced until `put_back`.
        items: What is trained on.
        pad: The id that fills rows up.
    """

    def __init__(self, model: Any, items: Sequence[Item], pad: int) -> None:
        self.embeddings = model.bert.embeddings
        self.whole = self.embeddings.word_embeddings
        self.used = torch.tensor(sorted({pad}.union(*(row for item in items for row in item.rows))))
        self.places = torch.full([len(self.whole.weight)], -1)
        """`[pieces]`, the row of each id."""
        self.places[self.used] = torch.arange(len(self.used))
        rows = self.whole.weight.detach()[self.used].clone()
        padding = int(self.places[pad])
        self.embeddings.word_embeddings = nn.Embedding.from_pretrained(rows, freeze=False, padding_idx=padding)

    @torch.no_grad()
    def put_back(self) -> None:
        """Puts the trained rows into the whole table, and the table into the model."""
        self.whole.weight[self.used] = self.embeddings.word_embeddings.weight
        self.embeddings.word_embeddings = self.whole


def batches(
    items: Sequence[Item], shares: dict[tuple[str, ...], float], batch_size: int, random: np.random.Generator
) -> list[Sequence[int]]:
    """Returns the batches of an epoch: as many rows as there are, of each group its share."""
    order = random.permutation(np.concatenate(list(drawn(items, shares, random)))).tolist()
    found: list[Sequence[int]] = []
    for pool in cut(order, POOL * batch_size):
        found += cut(sorted(pool, key=lambda place: size(items[place])), batch_size)
    return [found[place] for place in random.permutation(len(found))]


def drawn(
    items: Sequence[Item], shares: dict[tuple[str, ...], float], random: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yields the places of each group's rows; a small group's come again, each as often as the others."""
    edges = np.round(np.cumsum([0.0, *shares.values()]) * len(items)).astype(int)
    for group, count in zip(shares, np.diff(edges), strict=True):
        members = np.array([place for place, item in enumerate(items) if item.group == group])
        rounds = [random.permutation(members) for _ in range(math.ceil(count / len(members)))]
        yield np.concatenate([members[:0], *rounds])[:count]


# The table


def show(run: Run, found: Sequence[Scores], seconds: Sequence[float]) -> None:
    print(f"\ntraining: {spread(seconds)} seconds")
    if not found[0]:
        return
    names, width = list(next(iter(found[0].values()))), 20
    head = "".join(f"{name:>{width}}" for name in names)
    print(f"{run.name}: mean ± standard deviation over {len(found)} seeds\n{'language':<12}{head}")
    lines = {code: [code] for code in found[0]}
    lines["trained"] = [code for code in found[0] if run.training.epochs and code in run.data.languages]
    lines["others"] = [code for code in found[0] if code not in lines["trained"]]
    for line, codes in lines.items():
        if codes:
            values = [[statistics.fmean(100 * one[code][name] for code in codes) for one in found] for name in names]
            print(f"{line:<12}" + "".join(f"{spread(each):>{width}}" for each in values))


def spread(values: Sequence[float]) -> str:
    deviation = f" ± {statistics.stdev(values):5.2f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.2f}{deviation}"


if __name__ == "__main__":
    main()
