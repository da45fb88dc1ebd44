"""The results that are published: a row a method, with a verdict each."""
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import fmean
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from benchmarks.entry import Entry, names

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / 'benchmarks/results'

#: What each verdict means; the first that fits is taken.
VERDICTS = {
    'one seed only':
    'A single seed has no standard error. Nothing follows from it.',
    'too early to say':
    'The student alone, at equal time, has less than a tenth of the score of '
    'the teacher, which learnt from the same data: it has hardly begun to '
    'learn. Train longer, then compare.',
    'pays at equal time':
    'At equal time, the gain exceeds two standard errors. Use it.',
    'train longer instead':
    'At equal time, the student alone is better by more than two standard '
    'errors.',
    'equals longer training':
    'At equal iterations the gain exceeds two standard errors, at equal time '
    'it does not: more iterations of the student alone do as much.',
    'within the noise':
    'The gain is within two standard errors of zero.',
}

#: Share of the teacher's score below which a student has hardly learnt.
LEARNT = 0.1

# How the metrics of the libraries are called in a table.
_METRICS = (
    (r'coco/bbox_mAP_50', 'AP50'),
    (r'coco/bbox_mAP', 'mAP'),
    (r'.*NuScenes/(mAP|NDS)', r'\1'),
    (r'.*NuScenes/car_AP_dist_2\.0', 'Car AP, 2 m'),
    (r'.*KITTI/Overall_(3D|BEV)_AP40_moderate', r'\1 AP'),
    (r'.*KITTI/(\w+)_(3D|BEV)_AP40_moderate_strict', r'\1 \2 AP'),
    (r'.*KITTI/(\w+)_(3D|BEV)_AP40_moderate_loose', r'\1 \2 AP, loose IoU'),
    (r'(?:.*/)?([^/]+)', r'\1'),
)
_NETWORKS = {
    'deeplabv3plus': 'DeepLabV3+',
    'segformer': 'SegFormer',
    'retinanet': 'RetinaNet',
    'gfl': 'GFL',
    'faster-rcnn': 'Faster R-CNN',
    'yolox': 'YOLOX',
    'pointpillars': 'PointPillars',
    'centerpoint-pillar': 'CenterPoint',
    'bev-camera': 'BEV, camera',
    'bev-lidar': 'BEV, LiDAR',
    'bev-fusion': 'BEV, both',
    'bev-residual': 'BEV, camera',
}
_DATA = dict(
    camvid='CamVid',
    bccd='BCCD',
    kitti_lidar='KITTI',
    kitti='KITTI',
    coco_small='small COCO')
# Methods that share a page with another.
_PAGES = dict(
    dist='logits_kd', label_free='feature_kd', sparsekd_init='inherit')


class Gain(NamedTuple):
    """A difference of two students, with its standard error.

    Attributes:
        mean (float): In points of 100.
        error (float, optional): None for a single seed.
    """
    mean: float
    error: Optional[float]

    def __str__(self) -> str:
        error = '' if self.error is None else f' ± {self.error:.2f}'
        return f'{self.mean:+.2f}{error}'

    @property
    def sign(self) -> int:
        """1 or -1 if it exceeds two standard errors, else 0."""
        if self.error is None or abs(self.mean) <= 2 * self.error:
            return 0
        return 1 if self.mean > 0 else -1


def verdict_of(equal_iters: Optional[Gain], equal_time: Gain) -> str:
    """A key of :data:`VERDICTS`."""
    if equal_time.error is None:
        return 'one seed only'
    gained = equal_iters is not None and equal_iters.sign > 0
    if equal_time.sign == 0 and gained:
        return 'equals longer training'
    return {
        1: 'pays at equal time',
        0: 'within the noise',
        -1: 'train longer instead'
    }[equal_time.sign]


@dataclass(frozen=True)
class Row:
    """What a result file says about a method.

    Attributes:
        source (str): Name of the result file.
        task (str): A key of :data:`TASKS`.
        label (str): Name of the method.
        page (str, optional): The method's page, a key of :func:`pages`.
        student (str): The student.
        data (str): The data, with their version.
        real (bool): Whether these are real data.
        metric (str): Name of the metric.
        seeds (int): Number of seeds.
        equal_time (Gain): Over the student alone that trained for as long.
        cost (tuple[float, float | None]): Time of a step beside the student's
            own, and its error.
        alone (float): Mean score of the student alone.
        equal_iters (Gain, optional): None if not measured.
        longer (float, optional): The same as ``alone``, where the student
            trains for equal time; None if ``alone`` is that.
        teacher (float, optional): Score of the teacher, if it was trained
            for this.
    """
    source: str
    task: str
    label: str
    page: Optional[str]
    student: str
    data: str
    real: bool
    metric: str
    seeds: int
    equal_time: Gain
    cost: Tuple[float, Optional[float]]
    alone: float
    equal_iters: Optional[Gain] = None
    longer: Optional[float] = None
    teacher: Optional[float] = None

    @property
    def is_early(self) -> bool:
        """Whether the student alone has hardly begun to learn."""
        score = self.alone if self.longer is None else self.longer
        return (self.equal_time.error is not None and self.teacher is not None
                and score < LEARNT * self.teacher)

    @property
    def sign(self) -> int:
        """1 for a gain that says something, -1 for a loss, else 0."""
        return 0 if self.is_early else self.equal_time.sign

    @property
    def verdict(self) -> str:
        """A key of :data:`VERDICTS`."""
        if self.is_early:
            return 'too early to say'
        return verdict_of(self.equal_iters, self.equal_time)


#: Titles of the tasks, and the pages of docs/results with their details.
TASKS = {
    'Segmentation': 'segmentation',
    'Detection in images': 'detection',
    'LiDAR detection': 'lidar',
    'Cameras, and across sensors': 'sensors',
    'Without labels': 'unlabelled',
}


def task_of(text: str) -> str:
    """The key of :data:`TASKS` for the task of an entry."""
    for word, task in (('segmentation', 'Segmentation'), ('lidar',
                                                          'LiDAR detection'),
                       ('camera', 'Cameras, and across sensors'),
                       ('bird', 'Cameras, and across sensors')):
        if word in text.lower():
            return task
    return 'Detection in images'


def metric_name(key: str) -> str:
    """A metric of the libraries by the name that tables give it."""
    for pattern, name in _METRICS:
        match = re.fullmatch(pattern, key)
        if match:
            return match.expand(name)
    return key


def read(name: str) -> Dict[str, Any]:
    """The content of a result file."""
    return json.loads((RESULTS / name).read_text(encoding='utf-8'))


def files() -> List[str]:
    """Names of the result files of benchmarks/methods.py."""
    return sorted(
        path.name for path in RESULTS.glob('*.json')
        if 'summary' in read(path.name))


@lru_cache(None)
def pages() -> Dict[str, str]:
    """The names of the methods, by their pages in docs/methods, and that of
    weights from the teacher."""
    found = {}
    for path in (*sorted(
        (ROOT / 'docs/methods').glob('*.md')), ROOT / 'docs/inherit.md'):
        title = path.read_text(encoding='utf-8').splitlines()[0]
        found[path.stem] = re.split(r':| and ', title[2:])[0].replace(
            'Logits KD', 'LogitsKD')
    return found


def link_of(page: str) -> str:
    """A key of :func:`pages` as a page in docs names the file."""
    folder = '' if (ROOT / f'docs/{page}.md').is_file() else 'methods/'
    return f'{folder}{page}.md'


@lru_cache(None)
def entry_of(name: str) -> Optional[Entry]:
    """An entry by its name; None if it is gone."""
    if not (ROOT / f'benchmarks/entries/{name}.py').is_file():
        return None
    return Entry.load(name, 'data')


def page_of(name: str) -> Optional[str]:
    """The page of an entry's method in docs/methods."""
    found = [key for key in (*pages(), *_PAGES) if f'_{key}_' in f'_{name}_']
    longest = max(found, key=len, default=None)
    return _PAGES.get(longest, longest)


def label_of(name: str) -> str:
    """The name of an entry's method in a table: its label, or the title of
    its page and the words of its name that are not of the data."""
    entry = entry_of(name)
    if entry is not None and entry.label:
        return entry.label
    page = page_of(name)
    known = {'segmentation', 'detection', *(page or '').split('_'), 'dist'}
    for data in (*_DATA, entry.real_data if entry and entry.real_data else ''):
        known.update(data.split('_'))
    variant = ' '.join(word for word in name.split('_') if word not in known)
    if page is None:
        return variant or name
    return pages()[page] + (f', {variant}' if variant else '')


def modes_of(result: Dict[str, Any]) -> str:
    """The modes of a result, as they follow the method's name in a table."""
    fast = ', `--fast`' if result.get('fast') else ''
    return fast + (', cached' if result.get('views') else '')


def student_of(entry: Optional[Entry]) -> str:
    """The name of an entry's student in a table."""
    if entry is None:
        return ''
    name = Path(entry.student.config).stem
    first = name.split('_')[0].replace('-slim', '')
    return ('slim ' if '-slim' in name else '') + _NETWORKS.get(first, first)


def data_of(result: Dict[str, Any]) -> str:
    """The data of a result, with the version of the scenes."""
    preset = result['preset']
    entry = entry_of(result['method'])
    if preset in _DATA or (entry is not None and entry.real_data):
        return _DATA.get(preset, preset)
    return f'scenes v{result.get("scenes_version") or 4}'


def row_of(source: str) -> Row:
    """The row of a result file of benchmarks/methods.py."""
    result = read(source)
    name = result['method']
    entry = entry_of(name)

    def gain(key: str) -> Gain:
        return Gain(result[key]['gain'], result[key]['standard_error'])

    data = data_of(result)
    return Row(
        source,
        task_of(result['task']),
        label_of(name) + modes_of(result),
        page_of(name),
        student_of(entry),
        data,
        real='scenes' not in data,
        metric=metric_name(result['metric']),
        seeds=len(result['seeds']),
        equal_iters=gain('summary'),
        equal_time=gain('summary_at_equal_time'),
        cost=(result['cost']['ratio'], result['cost']['error']),
        alone=fmean(result['baseline']),
        longer=fmean(result['equal_time']),
        teacher=result['teacher'])


def label_free_rows() -> List[Row]:
    """The rows of benchmarks/label_free.py, a row a share of the labels."""
    found = []
    for path in sorted(RESULTS.glob('label_free*.json')):
        result = read(path.name)
        for part in result.get('rows', []):
            gain = part['gain']['mIoU']
            first = Path(result['student']).stem.split('_')[0]
            found.append(
                Row(path.name,
                    'Without labels',
                    f'{result["epochs"]} unlabelled epochs, then '
                    f'{part["images"]} labelled images{modes_of(result)}',
                    'feature_kd',
                    _NETWORKS.get(first, first),
                    'CamVid',
                    real=True,
                    metric='mIoU',
                    seeds=len(result['seeds']),
                    equal_time=Gain(gain['mean'], gain['standard_error']),
                    cost=(result['costs']['ratio'], None),
                    alone=fmean(part['scratch']['mIoU'])))
    return found


def rows() -> List[Row]:
    """All rows, in the order of the page: real data first."""
    found = [*map(row_of, files()), *label_free_rows()]
    order = list(TASKS)
    return sorted(
        found,
        key=lambda x:
        (order.index(x.task), not x.real, x.data, -x.equal_time.mean))


def unmeasured(found: Sequence[Row]) -> Dict[str, List[str]]:
    """By task, the pages of methods that have an entry but no row."""
    measured = {(row.task, row.page) for row in found}
    missing: Dict[str, List[str]] = {}
    for name in names('method'):
        task, page = task_of(entry_of(name).task), page_of(name)
        if page and (task, page) not in measured:
            missing.setdefault(task, []).append(page)
    return {task: sorted(set(x)) for task, x in missing.items()}
