"""Configs with object-complete frames, derived from ordinary ones."""
import os.path as osp
from copy import deepcopy
from typing import Any, Dict, List

from mmkd.errors import ConfigError

Step = Dict[str, Any]


def _find(steps: List[Step], kinds: tuple) -> List[int]:
    return [i for i, x in enumerate(steps) if x['type'] in kinds]


def _columns(steps: List[Step]) -> Dict[str, Any]:
    """Columns of the points, from the loading transforms."""
    loaders = _find(steps, ('LoadPointsFromFile', ))
    if not loaders:
        raise ConfigError('the pipeline has no LoadPointsFromFile, whose '
                          'points could be completed')
    loader = steps[loaders[0]]
    columns = {
        name: loader[name]
        for name in ('use_dim', 'norm_intensity', 'norm_elongation')
        if name in loader
    }
    if _find(steps, ('LoadPointsFromMultiSweeps', )):
        columns['time_dim'] = 4  # mmdet3d writes the time lag into it
    return columns


def _complete(steps: List[Step], keep: str, options: Dict[str, Any]) -> None:
    columns = _columns(steps)
    load = dict(type='mmkd.LoadCompleteObjects', **{**columns, **options})
    split = dict(type='mmkd.SplitCompletePoints', keep=keep)
    # After points and boxes are loaded.
    place = 1 + _find(steps,
                      ('LoadPointsFromFile', 'LoadPointsFromMultiSweeps',
                       'LoadAnnotations3D'))[-1]
    for index in _find(steps, ('ObjectSample', )):
        sampler = dict(steps[index]['db_sampler'])
        sampler.update(
            type='mmkd.CompleteDataBaseSampler',
            columns={
                **columns,
                **{
                    name: options[name]
                    for name in ('time_dim', 'time_value') if name in options
                }
            },
            paste='complete')
        steps[index]['db_sampler'] = sampler
    if keep == 'both':
        end = _find(steps, ('PointShuffle', 'Pack3DDetInputs'))
        if not end or steps[-1]['type'] != 'Pack3DDetInputs':
            raise ConfigError('the pipeline must end with Pack3DDetInputs')
        pack = dict(steps[-1], type='mmkd.PackCompleteInputs')
        pack['keys'] = [*pack['keys'], 'points_teacher']
        steps[-1] = pack
        steps.insert(end[0], split)
    else:
        pasted = _find(steps, ('ObjectSample', ))
        steps.insert(max([place, *(i + 1 for i in pasted)]), split)
    steps.insert(place, load)


def _tagged(path: str, tag: str) -> str:
    stem, ending = osp.splitext(path)
    return f'{stem}_{tag}{ending}'


def with_complete_objects(dataloader: Dict[str, Any],
                          keep: str = 'both',
                          tag: str = 'complete',
                          database: bool = False,
                          **options: Any) -> Dict[str, Any]:
    """Convert a data loader of mmdet3d to object-complete frames.

    In a config, after its ``_base_``::

        from mmkd.methods.xray.data import with_complete_objects
        train_dataloader = with_complete_objects(_base_.train_dataloader)

    The index file is replaced by that of ``mmkd complete``. Points
    are completed after loading, before any random transform, and separated
    before ``PointShuffle``. ``ObjectSample`` pastes the same objects into both
    clouds.

    Args:
        dataloader (dict): Data loader of a LiDAR data set, possibly wrapped
            (``RepeatDataset``, ``CBGSDataset``, ``ConcatDataset``).
        keep (str): ``'both'`` for distillation: the student's input does not
            change, the teacher's is ``points_teacher``; ``'teacher'`` to
            train or evaluate a teacher. Defaults to ``'both'``.
        tag (str): Tag of the tool. Defaults to ``'complete'``.
        database (bool): Whether ``ObjectSample`` uses the database of
            ``mmkd complete --database``, so that pasted objects
            are also complete for the teacher. Defaults to False.
        options: Arguments of
            :class:`LoadCompleteObjects`.

    Returns:
        dict: The data loader.

    Raises:
        ConfigError: If the pipeline is not supported.
    """
    dataloader = deepcopy(dataloader)

    def visit(dataset: Dict[str, Any]) -> None:
        if 'datasets' in dataset:
            for part in dataset['datasets']:
                visit(part)
        elif 'dataset' in dataset:
            visit(dataset['dataset'])
        else:
            dataset['ann_file'] = _tagged(dataset['ann_file'], tag)
            _complete(dataset['pipeline'], keep, options)
            for step in dataset['pipeline']:
                sampler = step.get('db_sampler')
                if sampler and database:
                    sampler['info_path'] = _tagged(sampler['info_path'], tag)

    visit(dataloader['dataset'])
    return dataloader
