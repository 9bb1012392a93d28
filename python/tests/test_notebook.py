"""docs/python.ipynb runs, and is stored without outputs."""

import json

import pytest
from conftest import ROOT

PATH = ROOT / "docs" / "python.ipynb"


def test_outputs_are_stripped():
    cells = [c for c in json.loads(PATH.read_text())["cells"] if c["cell_type"] == "code"]
    assert len(cells) >= 5 and all(c["outputs"] == [] and c["execution_count"] is None for c in cells)


def test_it_runs(tmp_path):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    for name in ("matplotlib", "pandas", "ipykernel"):
        pytest.importorskip(name)
    notebook = nbformat.read(PATH, as_version=4)
    # Every cell must succeed: an error in one is raised here.
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(PATH.parent)}}).execute()
    code = [c for c in notebook.cells if c.cell_type == "code"]
    texts = [o.get("text", "") for c in code for o in c.outputs]
    assert any("nuclei_hff: " in t and "nuclei_u2os: " in t for t in texts)
    assert any("image/png" in o.get("data", {}) for c in code for o in c.outputs), "the figure is drawn"
    assert "['nuclei.csv', 'nuclei.png']" in code[-1].outputs[-1]["data"]["text/plain"]
