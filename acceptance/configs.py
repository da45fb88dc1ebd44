#!/usr/bin/env python
"""Mistakes in configs: each must cause a clear error or a valid run.

    acceptance/configs.py                # 360 mistakes, minutes
    acceptance/configs.py --short        # 30
    acceptance/configs.py --show 'tau'   # prints the messages

The set-ups are every method on tiny networks, with the arguments of its
recipes, and a full segmentation run. Each case has one mistake: names, types,
missing and unknown keys, wrong taps, numbers out of range, files, channels,
references between networks. The verdict is

- clear: a `mmkd.errors.MMKDError` before the first step, in a line that names
  the changed value or the part that contains it;
- sane: one training step with finite losses and a gradient, for a change that
  may be intended;
- unclear: such an error that does not name it;
- deep trace: any other error;
- silent nonsense: a training step despite a certain mistake, or without a
  finite loss.
"""
import contextlib
import copy
import functools
import math
import random
import re
import shutil
import sys
import tempfile
import traceback
import warnings
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from acceptance.common import ROOT, finish, make_parser  # noqa: E402

#: A config whose student is a config whose student is the first one.
LOOP = 'loop_a.py'
WRONG_NUMBERS = (-1, -0.5, math.nan, math.inf, 1e30, 0)
WRONG_VALUES = ('abc', None, [], {}, [1, 2, 3], dict(a=1), 'nan')


class Mistake(NamedTuple):
    """One change to a config.

    Attributes:
        base (str): Name of the changed set-up.
        kind (str): Kind of change.
        what (str): Description of the change.
        names (tuple[str]): One of these must be in the message.
        certain (bool): Whether the change is certainly a mistake.
        config (dict): The changed config.
    """
    base: str
    kind: str
    what: str
    names: Tuple[str, ...]
    certain: bool
    config: Any


def misspelt(name: str, rng: random.Random) -> str:
    """A name with two letters swapped, one left out or one doubled."""
    places = [
        i for i in range(len(name) - 1)
        if name[i].isalpha() and name[i + 1].isalpha() and name[i] != name[i +
                                                                           1]
    ]
    if not places:
        return f'{name}x'
    i, how = rng.choice(places), rng.randrange(3)
    if how == 0:
        return name[:i] + name[i + 1] + name[i] + name[i + 2:]
    return name[:i] + name[i + 1:] if how == 1 else name[:i] + name[i:i + 1] \
        + name[i:]


def entries(config: Any, path: Tuple = ()) -> Iterator[Tuple]:
    """Paths of all entries of nested dicts and lists."""
    items = config.items() if isinstance(config, dict) else enumerate(config)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, (dict, list)):
            yield from entries(value, (*path, key))


def get(config: Any, path: Tuple) -> Any:
    for key in path:
        config = config[key]
    return config


def changed(config: Any, path: Tuple, value: Any) -> Any:
    """A copy with one entry replaced."""
    config = copy.deepcopy(config)
    get(config, path[:-1])[path[-1]] = value
    return config


def dotted(path: Tuple) -> str:
    return '.'.join(map(str, path))


# ------------------------------------------------------- what can be wrong


def in_method(base: str, model: dict, rng: random.Random) -> Iterator[Mistake]:
    """Mistakes in the arguments of a distiller."""
    from mmkd.core.model import DistillationModel
    from mmkd.errors import MismatchError
    from mmkd.registry import DISTILLERS
    from mmkd.utils.arguments import argument_names
    name, = model['distillers']
    distiller = model['distillers'][name]
    cls = DISTILLERS.get(distiller['type'])
    at = ('distillers', name)
    known = [n for n in argument_names(cls) if n != 'init_cfg']

    def make(kind, key, value, certain=True, names=()):
        if isinstance(value, dict):
            names = (*names, *value, *map(str, value.values()))
        return Mistake(base, kind, f'{dotted(at)}.{key} = {value!r}',
                       (key, repr(value), *names), certain,
                       changed(model, (*at, key), value))

    wrong = misspelt(distiller['type'], rng)
    yield make('name', 'type', wrong, names=(wrong, ))
    for key in rng.sample(known, min(2, len(known))):
        wrong = misspelt(key, rng)
        if wrong not in known:
            yield make('unknown key', wrong, 1)
    for key in rng.sample(known, min(8, len(known))):
        yield make('number', key, rng.choice(WRONG_NUMBERS), False)
        yield make('type', key, rng.choice(WRONG_VALUES), False)
    for key, value in distiller.items():
        if isinstance(value,
                      str) and key not in ('type', 'student', 'teacher'):
            wrong = misspelt(value, rng)
            yield make('name', key, wrong, names=(wrong, ))
    given = {k: v for k, v in distiller.items() if k != 'type'}
    try:
        built = cls(**given)
    except MismatchError:  # the networks settle an option that it needs
        built = DistillationModel(**copy.deepcopy(model)).distillers[name]
    terms = list(built.weights)
    yield make('unknown key', 'weights', {misspelt(terms[0], rng): 1.})
    for term in (None, *terms):
        for kind, weight in (('weight', -abs(rng.random()) - .1), ('weight',
                                                                   math.nan),
                             ('weight', 'high'), ('schedule',
                                                  dict(value=1., begin=1.5)),
                             ('schedule', dict(value=1., decay='linaer')),
                             ('schedule', dict(value=1., warm_up=10)),
                             ('schedule', dict(value=1.,
                                               begin=-3)), ('schedule',
                                                            dict(
                                                                value=1.,
                                                                decay='linear',
                                                                decay_begin=10,
                                                                end=5))):
            key = 'loss_weight' if term is None else 'weights'
            value = weight if term is None else {term: weight}
            yield make(kind, key, value)


def in_taps(base: str, model: dict, rng: random.Random) -> Iterator[Mistake]:
    """Wrong taps."""
    from mmkd.registry import DISTILLERS
    name, = model['distillers']
    roles = DISTILLERS.get(model['distillers'][name]['type']).roles
    for side in ('student', 'teacher'):
        for tap in ('backbnoe', 'backbone[9]', 'decode_head', 'bbox_head',
                    'nobody:backbone', 'backbone.', 'back bone', '[0]', '',
                    'data_preprocessor', 'teacher:nothing', 7,
                    dict(module='backbone', calls='twice'),
                    dict(modul='backbone'), ['backbone[0]', 'backbone[0]'],
                    dict(role='backbone'), 'backbone.layer1', 'backbone@input',
                    'backbone[0:0]', 'neck[0]', []):
            value = {r: tap for r in roles} if rng.random() < .3 else tap
            certain = tap not in ('backbone[9]', 'backbone.layer1',
                                  'backbone@input', 'neck[0]', 'decode_head',
                                  'bbox_head', ['backbone[0]', 'backbone[0]'])
            names = (str(tap), side, 'kd', 'role')
            yield Mistake(base, 'tap', f'distillers.{name}.{side} = {value!r}',
                          names, certain,
                          changed(model, ('distillers', name, side), value))


def replaced(base: str,
             model: dict,
             kind: str,
             path: Tuple,
             value: Any,
             *names: str,
             certain: bool = True) -> Mistake:
    """Replace a value of the model."""
    return Mistake(base, kind, f'{dotted(path)} = {value!r}'[:160],
                   (str(path[-1]), *names), certain,
                   changed(model, path, value))


def in_model(base: str, model: dict, rng: random.Random) -> Iterator[Mistake]:
    """Mistakes among student, teachers and distillers."""
    make = functools.partial(replaced, base, model)
    for key in ('student', 'teachers', 'distillers', 'dry_run_size'):
        wrong = misspelt(key, rng)
        config = copy.deepcopy(model)
        config[wrong] = config.pop(key)
        yield Mistake(base, 'unknown key', f'{key} is written {wrong}',
                      (wrong, key), True, config)
        if key != 'dry_run_size':
            config = copy.deepcopy(model)
            del config[key]
            yield Mistake(base, 'missing key', f'no {key}', (key, ), True,
                          config)
        for value in rng.sample(WRONG_VALUES[:6], 2):
            yield make('type', (key, ), value, certain=key == 'student')
    for value in ((0, 0), (-32, 64), (32, ), 'large', (32.5, 64), (32, 64, 3)):
        # Networks for points need no image.
        yield make('number', ('dry_run_size', ), value, certain=False)
    for key in ('cfg', 'ckpt'):
        config = copy.deepcopy(model)
        del config['teachers']['teacher'][key]
        yield Mistake(base, 'missing key', f'no {key} of the teacher',
                      (key, 'weights'), True, config)
        wrong = misspelt(key, rng)
        config = copy.deepcopy(model)
        config['teachers']['teacher'][wrong] = config['teachers'][
            'teacher'].pop(key)
        yield Mistake(base, 'unknown key', f'teacher: {key} is {wrong}',
                      (wrong, key), True, config)
    yield from in_teacher(base, model)
    yield from in_names(base, model)


def in_teacher(base: str, model: dict) -> Iterator[Mistake]:
    """Wrong values of the teacher's arguments."""
    teacher = ('teachers', 'teacher')
    make = functools.partial(replaced, base, model)
    for value in ('/nowhere/t.pth', 'official', 'https://localhost:1/t.pth', 3,
                  'rnadom', {}, str(ROOT / 'README.md')):
        yield make('file', (*teacher, 'ckpt'), value, str(value), 'cfg')
    for value in ('/nowhere/cfg.py', 'mmseg::pspnet/pspnet_r18.py',
                  'nolib::a/b.py', 3, [], {}, dict(type='Nothing'),
                  str(ROOT / 'README.md')):
        yield make('file', (*teacher, 'cfg'), value, str(value), 'teacher')
    for key, values in dict(
            precision=('fp8', 16, ['fp16']),
            mode=('train', None),
            input_map=({
                'inputs.points': 'inputs.nothing'
            }, 'points', ['a']),
            trusted=('maybe', ),
            strict=('maybe', )).items():
        for value in values:
            yield make(
                'type', (*teacher, key),
                value,
                'nothing',
                certain=key != 'input_map')


def in_names(base: str, model: dict) -> Iterator[Mistake]:
    """Wrong names of parts, and wrong references among them."""
    for name in ('student', 'a.b', 'two words', 'keys', 3, ''):
        config = copy.deepcopy(model)
        config['distillers'] = {name: config['distillers']['kd']}
        yield Mistake(base, 'name', f'a distiller called {name!r}',
                      (repr(name), ), True, config)
        config = copy.deepcopy(model)
        config['teachers'][name] = config['teachers'].pop('teacher')
        yield Mistake(base, 'name', f'a teacher called {name!r}',
                      (repr(name), ), True, config)
    config = copy.deepcopy(model)
    config['distillers'] = dict(my_loss=config['distillers']['kd'])
    yield Mistake(base, 'name', 'a distiller called my_loss', ('my_loss', ),
                  False, config)
    # References among the networks.
    config = copy.deepcopy(model)
    config['teachers']['teacher']['cfg'] = config['student']
    yield Mistake(base, 'reference', 'the teacher has the config of the '
                  'student', ('teacher', 'student'), False, config)
    config = copy.deepcopy(model)
    config['teachers']['other'] = copy.deepcopy(config['teachers']['teacher'])
    config['teachers']['third'] = config['teachers'].pop('teacher')
    if 'assistant' not in model['teachers']:
        yield Mistake(base, 'reference', 'two teachers, and no tap says which',
                      ('teacher', ), True, config)
    config = copy.deepcopy(model)
    config['teachers'] = {}
    yield Mistake(base, 'reference', 'a method and no teacher', ('teacher', ),
                  True, config)
    for name, path in (('teacher', ('teachers', 'teacher', 'cfg')),
                       ('student', ('student', ))):
        yield replaced(base, model, 'reference', path, LOOP, 'itself', name)


def in_networks(base: str, model: dict,
                rng: random.Random) -> Iterator[Mistake]:
    """Mistakes in the config of a network."""
    for side, root in (('student', ('student', )),
                       ('teacher', ('teachers', 'teacher', 'cfg'))):
        network = get(model, root)
        paths = [
            path for path in entries(network) if path[0] == 'model'
            and 'test_cfg' not in path and 'train_cfg' not in path
        ]
        for path in rng.sample(paths, 6):
            value, full = get(network, path), (*root, *path)
            names = (str(path[-1]), str(value), side)
            if isinstance(path[-1], str):
                config = copy.deepcopy(model)
                part = get(config, full[:-1])
                wrong = misspelt(path[-1], rng)
                part[wrong] = part.pop(path[-1])
                yield Mistake(base, 'network',
                              f'{dotted(full)} is written {wrong}',
                              (wrong, *names), False, config)
            if isinstance(value, bool):
                continue
            if isinstance(value, (int, float)):
                wrong = rng.choice([value + 1, -value, 'abc', 0])
            elif isinstance(value, str):
                wrong = misspelt(value, rng)
            else:
                wrong = rng.choice([None, 3, 'abc'])
            yield Mistake(base, 'network', f'{dotted(full)} = {wrong!r}',
                          (str(wrong), *names), False,
                          changed(model, full, wrong))


#: Paths in a run's config, with wrong values; KeyError removes the key.
RUN_MISTAKES = (
    ('model.type', 'mmkd.DistilationModel'), ('model.type', 'Nothing'),
    ('model', None), ('default_scope', 'mmsge'), ('optim_wrapper.type',
                                                  'OptimWraper'),
    ('optim_wrapper.optimizer.type',
     'SDG'), ('optim_wrapper.optimizer.lr',
              -1.), ('optim_wrapper.optimizer.lr',
                     'fast'), ('optim_wrapper.optimizer.momentm', .9),
    ('optim_wrapper.optimizer.weight_decay',
     -1.), ('optim_wrapper.optimizer', KeyError), ('optim_wrapper', None),
    ('optim_wrapper.accumulative_counts',
     0), ('optim_wrapper.accumulative_counts',
          'two'), ('optim_wrapper.clip_grad', dict(max_nrom=1.)),
    ('optim_wrapper.paramwise_cfg',
     dict(custom_keys=3)), ('optim_wrapper.constructor',
                            'Nothing'), ('param_scheduler.0.type', 'PloyLR'),
    ('param_scheduler.0.end', -4), ('param_scheduler.0.powre',
                                    2), ('param_scheduler', 'poly'),
    ('train_cfg.type', 'IterBasedTranLoop'), ('train_cfg.max_iters', -1),
    ('train_cfg.max_iters', 'many'), ('train_cfg.max_iter',
                                      3), ('train_cfg',
                                           None), ('train_dataloader', None),
    ('train_dataloader.batch_size',
     0), ('train_dataloader.batch_size',
          'big'), ('train_dataloader.num_workers',
                   -1), ('train_dataloader.batchsize',
                         2), ('train_dataloader.sampler.type',
                              'InfinitSampler'),
    ('train_dataloader.dataset.type',
     'CitiscapesDataset'), ('train_dataloader.dataset.data_root', '/nowhere'),
    ('train_dataloader.dataset.data_prefix.img_path',
     'nothing'), ('train_dataloader.dataset.data_prefix.seg_map_path',
                  'nothing'), ('train_dataloader.dataset.ann_file',
                               '/nowhere/train.txt'),
    ('train_dataloader.dataset.img_sufix',
     '.png'), ('train_dataloader.dataset.pipeline.0.type',
               'LoadImage'), ('train_dataloader.dataset.pipeline.1',
                              dict(type='Resize')),
    ('train_dataloader.dataset.pipeline.2.prob',
     7.), ('train_dataloader.dataset.pipeline.0', KeyError),
    ('train_dataloader.dataset.pipeline',
     []), ('val_evaluator.type', 'IuoMetric'), ('val_evaluator.iou_metrics', [
         'mIuo'
     ]), ('val_evaluator',
          None), ('val_dataloader.dataset.data_root',
                  '/nowhere'), ('default_hooks.checkpoint.type',
                                'CheckpointHok'),
    ('default_hooks.checkpoint.intervall',
     5), ('default_hooks.checkpoint.interval', 'often'), ('custom_hooks', [
         dict(type='mmkd.SelfChekHook')
     ]), ('custom_hooks',
          [dict(type='mmkd.SelfCheckHook', num_batches=0)]), ('custom_hooks', [
              dict(type='mmkd.SelfCheckHook', batches=1)
          ]), ('custom_hooks',
               [dict(type='EMAHook', momentum=7.)]), ('custom_hooks', [
                   dict(type='mmkd.InheritTeacherHook', teacher='x')
               ]), ('custom_hooks',
                    [dict(type='mmkd.InheritTeacherHook', modules='x')
                     ]), ('custom_hooks',
                          [dict(type='mmkd.FiniteLossHook',
                                action='go')]), ('custom_hooks', 'EMAHook'),
    ('load_from', '/nowhere/a.pth'), ('load_from', str(ROOT / 'README.md')),
    ('resume', 'maybe'), ('runner_type',
                          'FastRunner'), ('launcher', 'ssh'), ('randomness',
                                                               dict(sead=3)),
    ('randomness',
     dict(seed='x')), ('log_level',
                       'LOUD'), ('visualizer',
                                 dict(type='Nothing')), ('log_processor',
                                                         dict(by_epok=False)),
    ('env_cfg', dict(dist_cfg=3)), ('work_dir', str(ROOT / 'README.md')),
    ('work_dir', KeyError), ('auto_scale_lr',
                             dict(enable=True)), ('model_wrapper_cfg',
                                                  dict(type='Nothing')),
    ('model.student.decode_head.num_classes',
     3), ('model.student.data_preprocessor.mean',
          [0., 0.]), ('model.teachers.teacher.cfg.model.data_preprocessor.std',
                      [0., 0., 0.]))


def in_run(base: str, config: Any, rng: random.Random) -> Iterator[Mistake]:
    """Mistakes in the rest of a run."""

    def make(path, value, *names, certain=True, kind='run'):
        keys = path.split('.')
        copied = copy.deepcopy(config)
        part = copied
        for key in keys[:-1]:
            part = part[int(key) if isinstance(part, list) else key]
        last = int(keys[-1]) if isinstance(part, list) else keys[-1]
        if value is KeyError:
            del part[last]
        else:
            part[last] = value
        shown = 'missing' if value is KeyError else repr(value)
        # The path names the part, such as the student.
        return Mistake(base, kind, f'{path} = {shown}',
                       (*path.split('.')[1:], keys[0], *names), certain,
                       copied)

    for path, value in RUN_MISTAKES:
        # May be intended: no validation, and settings for several processes.
        certain = path not in ('resume', 'model_wrapper_cfg', 'work_dir',
                               'train_dataloader.dataset.data_prefix.img_path',
                               'env_cfg')
        if value == dict(type='EMAHook', momentum=7.):
            certain = False
        more = [str(value), 'scale', 'class by class', 'training data']
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict):
                more += [*part, *map(str, part.values())]
        yield make(path, value, *more, certain=certain)


# ------------------------------------------------------------- trying them


def bases(recipes: bool) -> Dict[str, Tuple[dict, Callable]]:
    """Tiny set-ups of all methods, also with the arguments of the recipes."""
    from mmengine.config import Config

    from mmkd.testing.methods import METHOD_EXAMPLES
    found = {
        name: (example.model, example.batch)
        for name, example in ((k, f()) for k, f in METHOD_EXAMPLES.items())
    }
    if not recipes:
        return found
    # Arguments that depend on the networks keep their tiny values.
    own = ('student', 'teacher', 'point_cloud_range', 'teacher_range', 'path',
           'head', 'place', 'preset', 'num_centres', 'num_neighbours', 'masks')
    seen = set()
    for path in sorted((ROOT / 'configs').glob('*/*.py')):
        if path.parent.name == '_base_':
            continue
        model = Config.fromfile(path).get('model') or {}
        for distiller in (model.get('distillers') or {}).values():
            options = {k: v for k, v in distiller.items() if k not in own}
            if repr(options) in seen:
                continue
            seen.add(repr(options))
            for name, (example, batch) in list(found.items()):
                inner = example['distillers']['kd']
                if '/' in name or inner['type'] != options['type']:
                    continue
                found[f'{name}/{path.stem}'] = (changed(
                    example, ('distillers', 'kd'), {
                        **inner,
                        **Config(dict(x=options)).to_dict()['x']
                    }), batch)
                break
    return found


def judge(mistake: Mistake, run: Callable[[], Dict[str, Any]]) -> dict:
    """Run a mistake and classify the outcome."""
    from mmkd.errors import MMKDError
    text = ''
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            problem = run()
        verdict = 'silent nonsense' if problem or mistake.certain else 'sane'
        text = problem or ''
    except MMKDError as error:
        text = ' '.join(str(error).split())
        # Or a loss that it spoils.
        named = any(
            name in text for name in ('kd.loss', *mistake.names) if name)
        verdict = 'clear' if named and len(text) < 900 else 'unclear'
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f'{Path(last.filename).name}:{last.lineno}'
        text = f'{type(error).__name__}: {str(error)[:200]} ({where})'
        verdict = 'deep trace'
    # The table must not contain paths of this machine.
    text = text.replace(str(ROOT), '.').replace(tempfile.gettempdir(), 'tmp')
    text = re.sub(r'\S*/site-packages/', '', text)
    return dict(
        case=f'{mistake.base}: {mistake.what.replace(str(ROOT), ".")}',
        kind=mistake.kind,
        verdict=verdict,
        passed=verdict in ('clear', 'sane'),
        message=text[:300])


def one_step(model: dict, batch: Callable) -> str:
    """Build and train one step; returns the problem, if there is one."""
    import torch

    from mmkd.core.model import DistillationModel
    from mmkd.engine.hooks import SelfCheckHook
    from mmkd.utils.arguments import error_context
    torch.manual_seed(0)
    with error_context('`model`'):  # as the runner does
        network = DistillationModel(**copy.deepcopy(model)).train()
    SelfCheckHook(num_batches=1)._check_losses(
        copy.deepcopy(network), [batch()])
    data = network.data_preprocessor(batch(), True)
    loss, log = network.parse_losses(network(**data, mode='loss'))
    loss.backward()
    for name, value in log.items():
        if not math.isfinite(float(value.detach())):
            return f'{name} is {float(value)}'
    if not any(p.grad is not None and p.grad.any()
               for p in network.student.parameters()):
        return 'the student has no gradient'
    return ''


def one_run(config: Any, folder: str) -> str:
    """Train one iteration with the runner, in an empty work folder."""
    from mmengine.config import Config

    from mmkd import apis
    shutil.rmtree(f'{folder}/work', ignore_errors=True)
    config = Config(copy.deepcopy(config))
    runner = apis.train(config)
    return '' if runner.iter == 1 else f'{runner.iter} iterations'


def clean_process() -> None:
    """Reset the global state that a runner leaves in the process."""
    from mmengine.logging import MessageHub, MMLogger
    from mmengine.registry import DefaultScope
    from mmengine.visualization import Visualizer
    for kind in (MessageHub, MMLogger, DefaultScope, Visualizer):
        for instance in list(kind._instance_dict.values()):
            for handler in getattr(instance, 'handlers', []):
                handler.close()
        kind._instance_dict.clear()


def run_config(folder: str) -> dict:
    """A whole distillation run of one iteration."""
    from mmkd.testing import (distillation_config, segmentation_config,
                              write_cityscapes)
    root = write_cityscapes(f'{folder}/cityscapes', 4, 1)
    cfg = segmentation_config(root, f'{folder}/work', max_iters=1)
    cfg = distillation_config(cfg, dict(kd=dict(type='CWD')))
    cfg.log_level = 'ERROR'
    return cfg.to_dict()


def mistakes(count: int, seed: int, folder: str,
             recipes: bool) -> List[Tuple[Mistake, Any]]:
    """A number of mistakes, rotating over kinds and bases."""
    rng = random.Random(seed)
    kinds = (in_method, in_taps, in_model, in_networks)
    queues = []
    for name, (model, batch) in bases(recipes).items():
        for kind in kinds if '/' not in name else (in_method, ):
            found = [(mistake, batch) for mistake in kind(name, model, rng)]
            rng.shuffle(found)
            queues.append(found)
    found = [(mistake, None)
             for mistake in in_run('run', run_config(folder), rng)]
    rng.shuffle(found)
    # A run has more settings that can be wrong than a method.
    queues += [found[i::6] for i in range(6)]
    rng.shuffle(queues)
    chosen: List[Tuple[Mistake, Any]] = []
    while queues and len(chosen) < count:
        queues = [queue for queue in queues if queue]
        for queue in queues:
            chosen.append(queue.pop())
    return chosen[:count]


def main(argv=None) -> int:
    parser = make_parser('configs', __doc__)
    parser.add_argument('--count', type=int, help='number of mistakes')
    parser.add_argument('--seed', type=int, default=0, help='of the choice')
    parser.add_argument(
        '--show', help='run only matching cases and print all messages')
    args = parser.parse_args(argv)
    import torch
    from mmengine.logging import MMLogger

    import mmkd.registry  # noqa: F401
    torch.set_num_threads(1)
    count = args.count or (30 if args.short else 360)
    cases = []
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for this, other in (LOOP, 'loop_b.py'), ('loop_b.py', LOOP):
            Path(this).write_text("model = dict(type='mmkd.DistillationModel',"
                                  f" student='{other}')")
        for mistake, batch in mistakes(count, args.seed, folder,
                                       not args.short):
            if args.show and not re.search(args.show, str(mistake[:3])):
                continue
            clean_process()
            MMLogger.get_instance('trust', log_level='CRITICAL')
            # Names that are not known are logged as warnings.
            case = judge(
                mistake,
                (lambda: one_run(mistake.config, folder)) if batch is None else
                (lambda: one_step(mistake.config, batch)))
            cases.append(case)
            if args.show:
                print(case, flush=True)
    clean_process()
    verdicts = {}
    for case in cases:
        verdicts[case['verdict']] = verdicts.get(case['verdict'], 0) + 1
    print(', '.join(f'{count} {name}' for name, count in verdicts.items()))
    return finish(args, cases, seed=args.seed, verdicts=verdicts)


if __name__ == '__main__':
    sys.exit(main())
