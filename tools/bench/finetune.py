#!/usr/bin/env python
"""Compares the speed of fine-tuning: tfxl against what people run otherwise.

    python tools/bench/finetune.py --shape e5 --rounds 7 --steps 20

Each peer trains a two-label classifier with random weights in a process of its own. The processes take turns, a few
steps each, every round on the same texts; the numbers to read are the ratios. The first steps of a turn are not timed:
a process that has waited finds its memory and the caches cold, and that is no part of training. Counted are real tokens
a second, without padding. Texts are as long as short messages: 25 tokens in the median, 95 % at most 60, none above
128, drawn from the whole vocabulary by Zipf's law. tfxl starts from raw text; the peers get ready ids. tfxl clips
gradients and decays weights; the peers do not clip. What is measured is the speed of a long run, so tfxl has its layers
fused, which `auto` does from 5,000 batches on; `tfxl-unfused` is a short run.

On a machine that does other work at the same time, read the ratio of the fastest rounds, and use `--threads 1` with the
ratio by processor time: threads of one peer wait for each other, so one that has lost its core holds up the rest.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

BATCH, LONGEST, POOL = 32, 128, 50
COLD = 3
"""The steps at the beginning of each turn that are not timed."""
E5 = {"num_hidden_layers": 12, "hidden_size": 384, "intermediate_size": 1536, "num_attention_heads": 12}
MINI = {"num_hidden_layers": 4, "hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 4}
SHAPES = {
    "e5": {**E5, "vocab_size": 250037},
    "mini": {**MINI, "vocab_size": 30000},
}
COMMON = {"max_position_embeddings": 512, "type_vocab_size": 2, "pad_token_id": 1}


class Work(NamedTuple):
    """What a peer is told: the shape, how many rounds there are and how many batches a round has."""

    config: dict[str, Any]
    rounds: int
    steps: int
    threads: int


# Data


def make_rows(work: Work) -> list[np.ndarray]:
    """Draws texts as arrays of ids, the two special tokens apart."""
    random = np.random.default_rng(0)
    count = BATCH * work.steps
    lengths = np.clip(np.round(25 * np.exp(random.normal(0, 0.53, count))), 4, LONGEST).astype(int)
    ranks = np.arange(work.config["vocab_size"] - 10)
    chances = 1 / (ranks + 3.0)
    order = random.permutation(ranks)
    ids = 5 + order[random.choice(ranks, p=chances / chances.sum(), size=lengths.sum() - 2 * count)]
    return np.split(ids, np.cumsum(lengths - 2)[:-1])


def padded(rows: list[np.ndarray], length: int | None = None) -> dict[str, np.ndarray]:
    """Returns ids and mask `[batch, tokens]` of rows with the special tokens around them."""
    length = length or max(len(row) for row in rows) + 2
    ids, mask = np.ones((len(rows), length), np.int32), np.zeros((len(rows), length), np.int32)
    for index, row in enumerate(rows):
        ids[index, : len(row) + 2] = [0, *row, 2]
        mask[index, : len(row) + 2] = 1
    return {"input_ids": ids, "token_type_ids": 0 * ids, "attention_mask": mask}


def random_batches(rows: list[np.ndarray]) -> Iterator[list[np.ndarray]]:
    while True:
        for start in range(0, len(rows) - BATCH + 1, BATCH):
            yield rows[start : start + BATCH]


def sorted_batches(rows: list[np.ndarray]) -> Iterator[list[np.ndarray]]:
    random = np.random.default_rng(1)
    batches = []
    for start in range(0, len(rows), BATCH * POOL):
        pool = sorted(rows[start : start + BATCH * POOL], key=len)
        batches += [pool[place : place + BATCH] for place in range(0, len(pool) - BATCH + 1, BATCH)]
    while True:
        for index in random.permutation(len(batches)):
            yield batches[index]


def word(number: int) -> str:
    """Returns a word of its own for each number, seven letters long."""
    return "".join(chr(97 + number // 26**place % 26) for place in range(6)) + "q"


# The protocol between this script and its peers: a line in, a line out


class Clock:
    """Measures rounds, reports each, and waits for the next; ends the process when there is none."""

    def take_turn(self, tokens: float = 0.0) -> None:
        if tokens:
            seconds, processor = time.perf_counter() - self.since, time.process_time() - self.processor_since
            report = {"wall": tokens / seconds, "processor": tokens / processor}
        else:
            report = {}
        sys.__stdout__.write(json.dumps(report) + "\n")
        sys.__stdout__.flush()
        if not sys.stdin.readline():
            os._exit(0)  # the runtimes' threads have nothing left to do

    def start(self) -> None:
        """Times from here."""
        self.since, self.processor_since = time.perf_counter(), time.process_time()


def turns(work: Work, step: Callable[[], int]) -> None:
    """Runs a peer's steps round by round; `step` returns the real tokens that it trained on."""
    for _ in range(work.steps):
        step()
    clock = Clock()
    clock.take_turn()
    while True:
        for _ in range(COLD):
            step()
        clock.start()
        clock.take_turn(sum(step() for _ in range(work.steps - COLD)))


def limit_threads(tf: Any, threads: int) -> None:
    if threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)


# Peers


def tfxl(work: Work, **options: str) -> None:
    """The real path: raw text, `text.dataset`, `training.fit` with clipping, decay and the lazy optimizer."""
    from tfxl.backend import keras, tf
    from tfxl.encoders.bert import network
    from tfxl.example import Example
    from tfxl.pretrained import unigram
    from tfxl.tasks.classification import Classification
    from tfxl.text.dataset import Batches, Rows
    from tfxl.text.tokenizer import from_files
    from tfxl.training.fit import Settings, fit

    limit_threads(tf, work.threads)
    pieces = ["▁", *(f"▁{word(number)}" for number in range(work.config["vocab_size"] - 5))]
    files = {
        "sentencepiece.bpe.model": unigram.unigram_model(pieces, [-10.0] * len(pieces)),
        "tokenizer_config.json": unigram.tokenizer_config(512),
    }
    tokenizer, task = from_files(files), Classification(labels=["0", "1"], max_length=LONGEST)
    texts = (" ".join(word(number) for number in row) for row in make_rows(work))
    examples = (Example(text, label=str(index % 2)) for index, text in enumerate(texts))

    clock = Clock()

    class Turns(keras.callbacks.Callback):
        _supports_tf_logs = True

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.epoch = epoch

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch + 1 == COLD:
                self.cold = float(logs["tokens"])
                clock.start()
            if batch + 1 == work.steps:
                clock.take_turn(float(logs["tokens"]) - self.cold if self.epoch else 0.0)

    with tempfile.TemporaryDirectory() as folder:
        rows = Rows.write(examples, Path(folder) / "rows.jsonl", group=lambda example: example.language)
        batches = Batches(rows, task, tokenizer, batch_size=BATCH, seed=0)
        settings = Settings(epochs=work.rounds + 2, batch_size=BATCH, **{"fuse_layers": "on", **options})
        model = task.model(network({**work.config, **COMMON}))
        fit(model, task, batches, settings, callbacks=[Turns()])


def keras_fixed(work: Work) -> None:
    """The transformers recipe for TensorFlow: TFBertModel in a functional model, padded to 128, Adam, Keras fit."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import tensorflow as tf
    import tf_keras as keras
    from transformers import BertConfig, TFBertModel

    limit_threads(tf, work.threads)
    names = ("input_ids", "token_type_ids", "attention_mask")
    inputs = {name: keras.Input([LONGEST], dtype="int32", name=name) for name in names}
    hidden = TFBertModel(BertConfig(**work.config, **COMMON), add_pooling_layer=False)(inputs).last_hidden_state
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Dropout(0.1)(hidden[:, 0])))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-4), loss=loss)
    rows = make_rows(work)
    arrays = padded(rows, LONGEST)
    tokens = float(arrays["attention_mask"][COLD * BATCH :].sum())
    target = np.arange(len(rows)) % 2
    dataset = tf.data.Dataset.from_tensor_slices((arrays, target)).batch(BATCH, drop_remainder=True).prefetch(2)

    clock = Clock()

    class Turns(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.epoch = epoch

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch + 1 == COLD:
                clock.start()
            if batch + 1 == work.steps:
                clock.take_turn(tokens if self.epoch else 0.0)

    model.fit(dataset, epochs=work.rounds + 2, verbose=0, callbacks=[Turns()])


def pytorch(work: Work, *, tuned: bool) -> None:
    """PyTorch's BertModel; tuned: batches of similar length, fused AdamW, bfloat16 where the processor has it."""
    import torch
    from transformers import BertConfig, BertModel

    half = tuned and has_bfloat16()

    if work.threads:
        torch.set_num_threads(work.threads)
    bert = BertModel(BertConfig(**work.config, **COMMON), add_pooling_layer=False).train()
    head = torch.nn.Linear(work.config["hidden_size"], 2)
    parameters = [*bert.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.01, fused=tuned)
    rows = make_rows(work)
    batches = sorted_batches(rows) if tuned else random_batches(rows)
    target = torch.arange(BATCH) % 2

    def step() -> int:
        arrays = padded(next(batches))
        inputs = {name: torch.from_numpy(array.astype(np.int64)) for name, array in arrays.items()}
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            hidden = bert(**inputs).last_hidden_state[:, 0]
            logits = head(torch.nn.functional.dropout(hidden, 0.1))
        torch.nn.functional.cross_entropy(logits.float(), target).backward()
        optimizer.step()
        optimizer.zero_grad()
        return int(arrays["attention_mask"].sum())

    turns(work, step)


def has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16; emulated, it is many times slower than float32."""
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.exists() and bool({"avx512_bf16", "amx_bf16", "bf16"} & set(cpuinfo.read_text().split()))


PEERS: dict[str, Callable[[Work], None]] = {
    "tfxl": tfxl,
    "tfxl-float32": lambda work: tfxl(work, precision="float32"),
    "tfxl-unfused": lambda work: tfxl(work, fuse_layers="off"),
    "keras": keras_fixed,
    "pytorch": lambda work: pytorch(work, tuned=False),
    "pytorch-tuned": lambda work: pytorch(work, tuned=True),
}
WHAT = {
    "tfxl": "tfxl: fit() from raw text",
    "tfxl-float32": "tfxl without bfloat16",
    "tfxl-unfused": "tfxl as in short runs",
    "keras": "TFBertModel functional, fixed 128, Adam, Keras fit",
    "pytorch": "PyTorch BertModel, dynamic padding, float32, AdamW",
    "pytorch-tuned": "PyTorch BertModel, sorted, bf16 or float32, fused AdamW",
}
TARGETS = {"keras": 7.0, "pytorch": 5.0, "pytorch-tuned": 1.5}


# The referee


class Peer:
    """A process that trains when it is told to."""

    def __init__(self, name: str, arguments: list[str]) -> None:
        self.name = name
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TRANSFORMERS_VERBOSITY": "error"}
        command = [sys.executable, __file__, "--peer", name, *arguments]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.speeds: list[dict[str, float]] = []
        self._read()

    def round(self) -> None:
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        self.speeds.append(self._read())

    def _read(self) -> dict[str, float]:
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended with code {self.process.wait()}")
        return json.loads(line)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def show(peers: list[Peer], arguments: argparse.Namespace) -> None:
    threads = f", {arguments.threads} thread(s)" if arguments.threads else ""
    print(
        f"shape {arguments.shape}, batch {BATCH}, {arguments.rounds} rounds of {arguments.steps} steps in turn{threads}"
    )
    print(f"{'':66}{peers[0].name} is faster by")
    print(f"{'peer':55}{'tokens/s':11}{'wall-clock':24}{'fastest rounds':16}{'processor time':24}target")
    ours = peers[0]
    for peer in peers:
        speed = statistics.median(each["wall"] for each in peer.speeds)
        best = max(each["wall"] for each in ours.speeds) / max(each["wall"] for each in peer.speeds)
        columns = f"{ratio(ours, peer, 'wall'):24}{best:<16.2f}{ratio(ours, peer, 'processor'):24}"
        target = TARGETS.get(peer.name, "") if arguments.shape == "e5" else ""
        print(f"{WHAT[peer.name]:55}{speed:<11.0f}{columns}{target}")


def ratio(ours: Peer, theirs: Peer, by: str) -> str:
    """Returns the median over rounds, and the lowest and highest."""
    ratios = [mine[by] / other[by] for mine, other in zip(ours.speeds, theirs.speeds, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="e5")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=0, help="of each peer; 0 leaves it to the libraries")
    parser.add_argument("--peers", default="tfxl,keras,pytorch,pytorch-tuned", help="the first is compared with all")
    parser.add_argument("--peer", choices=PEERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.steps <= COLD:
        parser.error(f"--steps {arguments.steps}: the first {COLD} of a turn are not timed")
    work = Work(SHAPES[arguments.shape], arguments.rounds, arguments.steps, arguments.threads)
    if arguments.peer:
        sys.stdout = sys.stderr  # the pipe belongs to the protocol
        PEERS[arguments.peer](work)
        return
    names = ("shape", "rounds", "steps", "threads")
    options = [part for name in names for part in (f"--{name}", str(getattr(arguments, name)))]
    peers = [Peer(name, options) for name in arguments.peers.split(",")]
    for number in range(arguments.rounds):
        for peer in peers[number % len(peers) :] + peers[: number % len(peers)]:
            peer.round()
    show(peers, arguments)
    for peer in peers:
        peer.close()


if __name__ == "__main__":
    main()
