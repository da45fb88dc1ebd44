"""Building blocks for the ``examples.py`` of a method."""
from typing import Any, Callable, Dict, NamedTuple, Optional, Sequence

from mmkd.testing.batches import detection_batch, segmentation_batch
from mmkd.testing.networks import detector, segmentor

#: Options of a teacher that runs as its library runs it.
PLAIN: Dict[str, Any] = dict(fold=False, channels_last=False, precision=None)


class MethodExample(NamedTuple):
    """A method with networks whose training step takes milliseconds.

    Attributes:
        model (dict): Arguments of :class:`~mmkd.core.DistillationModel`.
        batch (Callable): Makes a raw batch, from a number of samples and the
            ``seed`` of the random numbers.
        depends_on_batch (str): The reason why the losses of a batch are not
            the means of its samples' losses, so that training differs
            between one process and two. Empty if there is none.
        not_zero (dict[str, str]): Why a term is above zero for a teacher
            equal to the student; all others are exact zeros.
        zero_without_objects (Sequence[str]): Terms that are exact zeros for a
            batch without objects and labels; all others are above zero.
    """
    model: Dict[str, Any]
    batch: Callable[..., dict]
    depends_on_batch: str = ''
    not_zero: Dict[str, str] = {}
    zero_without_objects: Sequence[str] = ()


def example(student: dict,
            teacher: dict,
            distiller: dict,
            batch: Callable[..., dict],
            dry_run_size: tuple = (32, 64),
            assistant: Optional[dict] = None,
            depends_on_batch: str = '',
            not_zero: Optional[Dict[str, str]] = None,
            zero_without_objects: Sequence[str] = (),
            **teacher_options: Any) -> MethodExample:
    """Distil a random teacher, and an assistant if there is one.

    Args:
        student (dict): Its model.
        teacher (dict): Its model.
        distiller (dict): The method, with its options.
        batch (Callable): See :class:`MethodExample`.
        dry_run_size (tuple): Height and width of the dry run's images.
            Defaults to (32, 64).
        assistant (dict, optional): Model of a teacher named ``assistant``.
        depends_on_batch (str): See :class:`MethodExample`.
        not_zero (dict[str, str], optional): See :class:`MethodExample`.
        zero_without_objects (Sequence[str]): See :class:`MethodExample`.
        teacher_options: More options of the teacher, such as ``input_map``;
            :data:`PLAIN` is among them.
    """
    teachers = dict(
        teacher=dict(cfg=teacher, ckpt='random', **PLAIN, **teacher_options))
    if assistant:
        teachers['assistant'] = dict(cfg=assistant, ckpt='random', **PLAIN)
    return MethodExample(
        dict(
            student=student,
            teachers=teachers,
            distillers=dict(kd=distiller),
            dry_run_size=dry_run_size), batch, depends_on_batch, not_zero
        or {}, zero_without_objects)


def segmentors(distiller: dict, **kwargs: Any) -> MethodExample:
    """Two segmentors, the teacher twice as wide; see :func:`example`."""
    return example(
        segmentor(4), segmentor(8), distiller, segmentation_batch, **kwargs)


def detectors(distiller: dict,
              channels: int = 16,
              kind: str = 'retinanet',
              **kwargs: Any) -> MethodExample:
    """Two detectors, the teacher twice as wide; see :func:`example`.

    Args:
        distiller (dict): The method, with its options.
        channels (int): Channels of the teacher's neck; the student's has 8.
            Defaults to 16.
        kind (str): See :func:`~mmkd.testing.networks.detector`. Defaults to
            ``'retinanet'``.
        kwargs: See :func:`example`.
    """
    return example(
        detector(4, channels=8, kind=kind),
        detector(8, channels=channels, kind=kind),
        distiller,
        detection_batch,
        dry_run_size=(64, 64),
        **kwargs)
