"""The notebook of the documentation runs from top to bottom."""
from pathlib import Path

import nbformat
import pytest

NOTEBOOK = Path(__file__).parents[2] / 'docs/distil_in_python.ipynb'


def test_notebook_runs(tmp_path, monkeypatch):
    matplotlib = pytest.importorskip('matplotlib')
    matplotlib.use('agg')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    names = {}
    for cell in notebook.cells:
        if cell.cell_type == 'code':
            assert not cell.outputs
            exec(compile(cell.source, cell.id, 'exec'), names)
    assert 0 < names['metrics']['mIoU'] <= 100
    assert names['labels'].shape == (32, 64)
