"""Files of the scenes."""
import json
import os

from driving_scenes.writers.files import write_json


def test_files_are_written_where_they_change(tmp_path):
    path = str(tmp_path / 'list.json')
    write_json(path, [1])
    os.utime(path, (0, 0))
    write_json(path, [1])
    assert os.stat(path).st_mtime == 0
    write_json(path, [2])
    assert os.stat(path).st_mtime > 0 and json.load(open(path)) == [2]
