"""docs/tools.md describes the command as it is."""
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_reference_is_up_to_date():
    page = runpy.run_path(str(ROOT / 'tools/docs/command_page.py'))
    text = (ROOT / 'docs/tools.md').read_text()
    assert page['BEGIN'] in text and page['END'] in text
    assert page['updated'](text) == text, (
        'run: PYTHONPATH=. python tools/docs/command_page.py')
