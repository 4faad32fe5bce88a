"""Trains a recipe with several seeds, in several variants, and compares the scores per language.

    python tools/bench/seeds.py sentiment --seeds 0 1 2 \
        --variant fast --variant "plain training.precision=float32 training.lazy_embeddings=false"

A variant is a name and overrides of the recipe. Every run is a process of its own; the variants take turns, so that a
drift of the machine meets all of them. With one variant the table shows mean and standard deviation over the seeds;
with two it adds the difference of the means.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tfxl.evaluation.record import Evaluation

TFXL = Path(sys.executable).with_name("tfxl")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("overrides", nargs="*", help="section.setting=value, for every variant")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--variant", action="append", help='"NAME section.setting=value …"', default=[])
    parser.add_argument("--metric", help="the metric of the table; the recipe's main one if not given")
    parser.add_argument("--output", default="saved_models/seeds", help="where the models go")
    arguments = parser.parse_intermixed_args()
    variants = {name: rest for name, *rest in (variant.split() for variant in arguments.variant or ["run"])}
    found: dict[str, list[Evaluation]] = {name: [] for name in variants}
    for seed in arguments.seeds:
        for name, overrides in variants.items():
            found[name].append(train(arguments, name, seed, overrides))
    show(found, arguments.metric)


def train(arguments: argparse.Namespace, variant: str, seed: int, overrides: list[str]) -> Evaluation:
    name = f"{variant}-{seed}"
    command = [TFXL, "train", arguments.recipe, *arguments.overrides, *overrides]
    command += [f"seed={seed}", f"name={name}", f"output={arguments.output}", "evaluation.before=false"]
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    print(f"{name}: {time.perf_counter() - begin:.0f} s", flush=True)
    return Evaluation.read(Path(arguments.output) / name / "training" / "report.json")


def show(found: dict[str, list[Evaluation]], metric: str | None) -> None:
    first = next(iter(found.values()))[0]
    head = "".join(f"{name:>20}" for name in found)
    print(f"\n{metric or first.main}, mean ± standard deviation over seeds\n{'language':<12}{head}{'difference':>14}")
    groups = {code: [code] for code in first.languages}
    groups["trained"] = [code for code in first.languages if first.is_trained(code)]
    groups["others"] = [code for code in first.languages if not first.is_trained(code)]
    for name, codes in groups.items():
        if codes:
            show_line(name, [[mean(one, codes, metric) for one in runs] for runs in found.values()])


def mean(evaluation: Evaluation, codes: list[str], metric: str | None) -> float:
    scores = evaluation.by("language", metric)
    return 100 * statistics.fmean(scores[code].value for code in codes)


def show_line(name: str, columns: list[list[float]]) -> None:
    means = [statistics.fmean(values) for values in columns]
    spreads = [statistics.stdev(values) if len(values) > 1 else 0.0 for values in columns]
    cells = "".join(f"{value:>13.2f} ±{spread:5.2f}" for value, spread in zip(means, spreads, strict=True))
    print(f"{name:<12}{cells}" + (f"{means[0] - means[1]:>+14.2f}" if len(means) == 2 else ""))


if __name__ == "__main__":
    main()
