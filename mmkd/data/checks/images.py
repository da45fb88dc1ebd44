"""Sizes of images as they are loaded, from their headers."""
from typing import List, Mapping, Optional, Sequence, Set, Tuple, TypeVar

from mmengine.logging import print_log
from PIL import Image

#: Number of images of a data set whose headers are read before training.
_SAMPLES = 100
_ORIENTATION = 0x0112

Record = TypeVar('Record')


def some_of(records: Sequence[Record]) -> List[Record]:
    """At most 100 records, evenly spaced."""
    return list(records[::max(1, len(records) // _SAMPLES)][:_SAMPLES])


def loaded_sizes(path: str, options: Mapping[str,
                                             str]) -> Set[Tuple[int, int]]:
    """Sizes that an image may have when it is loaded.

    OpenCV turns JPEG files by their EXIF orientation, which annotations may
    not take into account. Of other formats, it depends on the decoder.

    Args:
        path (str): The image.
        options (Mapping[str, str]): Arguments of ``LoadImageFromFile``.

    Returns:
        set[tuple[int, int]]: Height and width; empty if unknown.
    """
    try:
        with Image.open(path) as image:
            stored, kind = image.size[::-1], image.format
            orientation = _orientation(image)
    except Exception:
        return set()
    color_type = options.get('color_type', 'color')
    if orientation < 5 or color_type == 'color_ignore_orientation':
        return {stored}
    if kind == 'JPEG' and color_type == 'color' and options.get(
            'imdecode_backend', 'cv2') in ('cv2', 'pillow'):
        return {stored[::-1]}
    return {stored, stored[::-1]}


def warn_of_turned(paths: Sequence[str], options: Mapping[str, str]) -> None:
    """Log which images are turned without a change of their size.

    Nobody can tell whether their annotations are turned as well.

    Args:
        paths (Sequence[str]): Images.
        options (Mapping[str, str]): Arguments of ``LoadImageFromFile``.
    """
    if options.get('color_type', 'color') != 'color':
        return
    found = [
        path for path in paths
        if exif_orientation(path) > 1 and len(_both_sizes(path)) == 1
    ]
    if found:
        print_log(
            f'{found[0]} (and {len(found) - 1} of {len(paths) - 1} other '
            f'images) is turned by its EXIF orientation '
            f'{exif_orientation(found[0])} when it is loaded; check that its '
            "annotations are, or set color_type='color_ignore_orientation' "
            'of LoadImageFromFile', 'current', 30)


def _both_sizes(path: str) -> Set[Tuple[int, int]]:
    """The size of an image as stored and as turned by its orientation."""
    with Image.open(path) as image:
        turned = image.size[::-1 if _orientation(image) >= 5 else 1]
        return {image.size, turned}


def size_remedy(path: str) -> Optional[str]:
    """What to do if an image is turned, or None if it is not."""
    orientation = exif_orientation(path)
    if orientation < 5:
        return None
    return (f'the image has the EXIF orientation {orientation}, by which '
            'LoadImageFromFile turns it unless '
            "color_type='color_ignore_orientation'; or save it without that "
            'tag')


def exif_orientation(path: str) -> int:
    """EXIF orientation of an image file; 1 if it has none."""
    try:
        with Image.open(path) as image:
            return _orientation(image)
    except Exception:
        return 1


def _orientation(image: Image.Image) -> int:
    value = image.getexif().get(_ORIENTATION, 1)
    return value if value in range(1, 9) else 1
