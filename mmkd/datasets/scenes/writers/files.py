"""Files that are whole or not there."""
import json
import os
from typing import Any

import cv2
import numpy as np


def write_bytes(path: str, content: bytes) -> None:
    """Write a file under another name first, then give it its own."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    part = f'{path}.part'
    with open(part, 'wb') as file:
        file.write(content)
    os.replace(part, path)


def write_png(path: str, picture: np.ndarray) -> None:
    """Write a picture: (H, W) of uint8 or uint16, or RGB (H, W, 3)."""
    if picture.ndim == 3:
        picture = picture[..., ::-1]
    write_bytes(path, cv2.imencode('.png', picture)[1].tobytes())


def write_json(path: str, content: Any) -> None:
    """Write compact JSON with sorted keys."""
    text = json.dumps(content, sort_keys=True, separators=(',', ':'))
    write_bytes(path, text.encode())


def read_json(path: str) -> Any:
    """Read JSON."""
    with open(path, encoding='utf-8') as file:
        return json.load(file)
