"""Object-complete frames in a config, from one of ordinary frames."""
import os.path as osp
from copy import deepcopy
from typing import Any, Dict, List

from mmkd.errors import ConfigError

Step = Dict[str, Any]


def _find(steps: List[Step], kinds: tuple) -> List[int]:
    return [i for i, x in enumerate(steps) if x['type'] in kinds]


def _columns(steps: List[Step]) -> Dict[str, Any]:
    """Columns of the points, from the steps that load them."""
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
        columns['time_dim'] = 4  # which mmdet3d writes the age into
    return columns


def _complete(steps: List[Step], keep: str, options: Dict[str, Any]) -> None:
    columns = _columns(steps)
    load = dict(type='mmkd.LoadCompleteObjects', **{**columns, **options})
    split = dict(type='mmkd.SplitCompletePoints', keep=keep)
    # Where points and boxes have been loaded.
    place = 1 + _find(steps,
                      ('LoadPointsFromFile', 'LoadPointsFromMultiSweeps',
                       'LoadAnnotations3D'))[-1]
    for index in _find(steps, ('ObjectSample', )):
        sampler = dict(steps[index]['db_sampler'])
        sampler.update(
            type='mmkd.CompleteDataBaseSampler',
            columns=columns,
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
    """Make a data loader of mmdet3d one of object-complete frames.

    In a config, behind its ``_base_``::

        from mmkd.methods.xray.data import with_complete_objects
        train_dataloader = with_complete_objects(_base_.train_dataloader)

    The index file becomes that of ``mmkd complete``; points are
    completed after they have been loaded, before anything random, and taken
    apart in front of ``PointShuffle``; ``ObjectSample`` pastes the same
    objects into both clouds.

    Args:
        dataloader (dict): Of a LiDAR data set, which may lie in others
            (``RepeatDataset``, ``CBGSDataset``, ``ConcatDataset``).
        keep (str): ``'both'`` for distillation: the student's input is as
            before, the teacher's is ``points_teacher``; ``'teacher'`` to
            train or evaluate a teacher. Defaults to ``'both'``.
        tag (str): That of the tool. Defaults to ``'complete'``.
        database (bool): Whether ``ObjectSample`` takes the database that
            ``mmkd complete --database`` makes, so that the
            teacher sees pasted objects complete too. Defaults to False.
        options: Arguments of
            :class:`LoadCompleteObjects`.

    Returns:
        dict: The whole data loader.

    Raises:
        ConfigError: If the pipeline is of another kind.
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
