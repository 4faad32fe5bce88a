"""The notebook for Colab runs from top to bottom on a processor."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

NOTEBOOK = Path(__file__).parents[2] / "tools" / "colab_tpu.ipynb"


def test_the_notebook_runs_on_a_processor(tmp_path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cells = {tag: cell for cell in notebook.cells for tag in cell.metadata.get("tags", ())}
    cells[
        "parameters"
    ].source += (
        f'\nOVERRIDES = ["encoder.kind=tiny", "training.epochs=1", "evaluation.samples=50"]\nOUTPUT = {str(tmp_path)!r}'
    )
    # TensorBoard would stay behind as a server.
    notebook.cells.remove(cells["interactive"])
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ()))
    assert "transfer gap" in printed
    assert "sw  " in printed
    assert (tmp_path / "sentiment" / "1" / "saved_model.pb").exists()


def test_without_the_project_the_first_cell_says_what_to_do(tmp_path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    absent = nbformat.v4.new_code_cell('import sys\n\nsys.modules["tfxl"] = None  # as if it were not installed')
    notebook.cells = [absent, next(cell for cell in notebook.cells if cell.cell_type == "code")]
    (tmp_path / "tfxl").mkdir()
    with pytest.raises(CellExecutionError, match=r"has no setup\.py\. Clone the project into the working directory"):
        NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()


def test_the_notebook_holds_no_output_and_asks_for_a_tpu():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert notebook.metadata["accelerator"] == "TPU"
    assert not any(cell.get("outputs") for cell in notebook.cells)
