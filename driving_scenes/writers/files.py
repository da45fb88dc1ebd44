"""Atomic writing of files, with a record of the written files."""
import json
import os
import zlib
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Optional

import cv2
import numpy as np

_written: Optional[Dict[str, List[int]]] = None


@contextmanager
def written_files() -> Iterator[Dict[str, List[int]]]:
    """Context that records the files written in it.

    Yields:
        dict[str, list[int]]: Path -> size in bytes and CRC-32.
    """
    global _written
    before, _written = _written, {}
    try:
        yield _written
    finally:
        _written = before


def write_bytes(path: str, content: bytes) -> None:
    """Write a file under a temporary name, then rename it.

    A file with the same content is not touched, so that files derived from it
    stay newer.
    """
    if not _holds(path, content):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        part = f'{path}.part'
        with open(part, 'wb') as file:
            file.write(content)
        os.replace(part, path)
    if _written is not None:
        _written[path] = [len(content), zlib.crc32(content)]


def _holds(path: str, content: bytes) -> bool:
    if not os.path.isfile(path) or os.path.getsize(path) != len(content):
        return False
    with open(path, 'rb') as file:
        return file.read() == content


def write_png(path: str, picture: np.ndarray) -> None:
    """Write an image: (H, W) of uint8 or uint16, or RGB (H, W, 3)."""
    if picture.ndim == 3:
        picture = picture[..., ::-1]
    write_bytes(path, cv2.imencode('.png', picture)[1].tobytes())


def write_jpg(path: str, picture: np.ndarray, quality: int = 95) -> None:
    """Write an image, RGB (H, W, 3)."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    write_bytes(path,
                cv2.imencode('.jpg', picture[..., ::-1], options)[1].tobytes())


def write_json(path: str, content: Any) -> None:
    """Write compact JSON with sorted keys."""
    text = json.dumps(content, sort_keys=True, separators=(',', ':'))
    write_bytes(path, text.encode())


def read_json(path: str) -> Any:
    """Read JSON."""
    with open(path, encoding='utf-8') as file:
        return json.load(file)
