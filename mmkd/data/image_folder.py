"""Images and video frames without labels."""
import hashlib
import os
import os.path as osp
from typing import Any, Dict, Iterable, List, Optional, Sequence, Set, Union

import cv2
from mmcv.transforms import BaseTransform
from mmengine.dataset import BaseDataset

from mmkd.errors import ConfigError, DataError
from mmkd.registry import DATASETS, TRANSFORMS

IMAGES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff')
VIDEOS = ('.mp4', '.avi', '.mov', '.mkv', '.webm')


@DATASETS.register_module()
class ImageFolder(BaseDataset):
    """All images of a folder, and frames of its videos, in the order of their
    paths.

    A sample has ``img_path``, ``img_id``, ``labelled=False`` and, for a
    video, the index of its ``frame``. :class:`LoadImage` loads it.

    Args:
        root (str | list[str]): A folder, an image, a video, or a text file
            with a path in each line, relative to the file, where lines may
            repeat; or several of them.
        recursive (bool): Whether subfolders belong to it. Defaults to True.
        every (int): Of a video, each how many frames one is taken. Defaults
            to 25.
        held_out (float): Share of the files, chosen by a hash of their names
            in the folder, that are for validation; of each ``root`` at least
            one. Defaults to 0.
        validation (bool): Whether to take those instead of the others.
            Defaults to False.
        labels (str, optional): ``'folders'`` takes the folders in ``root``,
            in alphabetical order, as the classes of their images, whose
            index is ``label``. Defaults to None: no labels.
        **kwargs: Arguments of mmengine's ``BaseDataset``, such as
            ``pipeline``.

    Raises:
        ConfigError: If there is no image, or a path does not exist.
    """

    def __init__(self,
                 root: Union[str, Sequence[str]],
                 recursive: bool = True,
                 every: int = 25,
                 held_out: float = 0.,
                 validation: bool = False,
                 labels: Optional[str] = None,
                 **kwargs: Any) -> None:
        if every < 1 or not 0 <= held_out < 1:
            raise ConfigError('ImageFolder: every is at least 1 and held_out '
                              f'in [0, 1), not {every} and {held_out}')
        self.roots = [root] if isinstance(root, str) else list(root)
        self.recursive = recursive
        self.every = every
        self.held_out = held_out
        self.validation = validation
        if labels not in (None, 'folders'):
            raise ConfigError("ImageFolder: labels is None or 'folders', not "
                              f'{labels!r}')
        self.labels = labels
        super().__init__(**kwargs)

    def load_data_list(self) -> List[Dict[str, Any]]:
        """List the images and frames."""
        samples: List[Dict[str, Any]] = []
        for root in self.roots:
            files = [(osp.relpath(path, root), path)
                     for path in self._files(root)]
            held_out = self._held_out(name for name, _ in files)
            for name, path in files:
                if (name in held_out) == self.validation:
                    samples += [
                        dict(
                            sample, folder=osp.dirname(name).split(os.sep)[0])
                        for sample in self._samples(path)
                    ]
        if not samples:
            part = ' held out for validation' if self.validation else ''
            raise ConfigError(
                f'there is no image{part} in {", ".join(self.roots)} '
                f'(of {", ".join(IMAGES + VIDEOS)})')
        folders = sorted({sample['folder'] for sample in samples})
        if self.labels and (folders[0] == '' or len(folders) < 2):
            raise ConfigError(f'{", ".join(self.roots)}: the images of each '
                              'class have to be in a folder of its own, and '
                              'there are at least two classes')
        for i, sample in enumerate(samples):
            folder = sample.pop('folder')
            sample.update(img_id=i, labelled=self.labels is not None)
            if self.labels:
                sample['label'] = folders.index(folder)
        return samples

    def _files(self, root: str) -> List[str]:
        if osp.isfile(root) and root.endswith('.txt'):
            with open(root, encoding='utf-8') as file:
                names = [line.strip() for line in file if line.strip()]
            paths = [osp.join(osp.dirname(root), name) for name in names]
        elif osp.isfile(root):
            paths = [root]
        elif osp.isdir(root):
            paths = []
            for folder, folders, names in os.walk(root):
                folders[:] = sorted(folders) if self.recursive else []
                paths += [
                    osp.join(folder, name) for name in sorted(names)
                    if name.lower().endswith(IMAGES + VIDEOS)
                ]
            return paths
        else:
            raise ConfigError(f'there is no file or folder {root}')
        for path in paths:
            if not osp.isfile(path):
                raise ConfigError(f'there is no file {path}, which {root} '
                                  'names')
        return paths

    def _held_out(self, names: Iterable[str]) -> Set[str]:
        """The files for validation, at least one of several."""
        order = {
            name:
            int.from_bytes(
                hashlib.sha256(name.encode()).digest()[:8], 'little') / 2**64
            for name in names
        }
        chosen = {name for name in order if order[name] < self.held_out}
        if self.held_out and not chosen and len(order) > 1:
            chosen = {min(order, key=order.__getitem__)}
        return chosen

    def _samples(self, path: str) -> List[Dict[str, Any]]:
        if not path.lower().endswith(VIDEOS):
            return [dict(img_path=path)]
        video = cv2.VideoCapture(path)
        count = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
        video.release()
        return [
            dict(img_path=path, frame=i) for i in range(0, count, self.every)
        ]


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Load an image, or a frame of a video, as BGR of uint8, (H, W, 3).

    Required keys: ``img_path``, and ``frame`` for a video. Added keys:
    ``img``, ``img_shape``, ``ori_shape``.
    """

    def transform(self, results: dict) -> dict:
        """Load it.

        Raises:
            DataError: If it cannot be decoded.
        """
        path, frame = results['img_path'], results.get('frame')
        image = _frame(path, frame) if frame is not None else cv2.imread(
            path, cv2.IMREAD_COLOR)
        if image is None:
            part = '' if frame is None else f'frame {frame} of '
            raise DataError(f'{part}{path} cannot be decoded; remove it')
        return dict(
            results,
            img=image,
            img_shape=image.shape[:2],
            ori_shape=image.shape[:2])


def _frame(path: str, index: int) -> Optional[Any]:
    video = cv2.VideoCapture(path)
    try:
        video.set(cv2.CAP_PROP_POS_FRAMES, index)
        found, image = video.read()
        return image if found else None
    finally:
        video.release()
