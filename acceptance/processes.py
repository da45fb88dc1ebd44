#!/usr/bin/env python
"""Training in two processes on CPUs with gloo.

    acceptance/processes.py            # all recipes, an hour
    acceptance/processes.py --short    # a method

- Every method on tiny networks, with one sample per process: a step in DDP
  with `find_unused_parameters=False`. The gradient of its terms is compared
  with that of one process with both samples (networks in eval mode, since
  batch normalisation uses the statistics of a process).
- Every embedded recipe, and one recipe of the paper per method with its
  networks on small inputs: two iterations of the run, after which both
  processes have the same weights.
- Accumulated and clipped gradients, and unsupported settings.
- A loss that is NaN in one of two processes; a process that dies.
"""
import copy
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from acceptance.common import ROOT, finish, make_parser  # noqa: E402

#: Maximum relative distance of gradients that differ only by rounding.
ROUNDING = 1e-3


def free_port() -> int:
    with socket.socket() as found:
        found.bind(('127.0.0.1', 0))
        return found.getsockname()[1]


def _entry(rank: int, function: Callable, port: int, queue, args: tuple):
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE='2',
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=str(port))
    try:
        queue.put((rank, True, function(rank, *args)))
    except BaseException as error:
        queue.put((rank, False, f'{type(error).__name__}: {str(error)[:600]}' +
                   ''.join(traceback.format_tb(error.__traceback__)[-1:])))
    import torch
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def two(function: Callable, *args: Any) -> List[Any]:
    """Run a function in two forked processes.

    Returns:
        list: The result of each; the text of the error if it failed.
    """
    from torch import multiprocessing
    context = multiprocessing.get_context('fork')
    queue = context.SimpleQueue()
    port = free_port()
    processes = [
        context.Process(
            target=_entry, args=(rank, function, port, queue, args))
        for rank in range(2)
    ]
    for process in processes:
        process.start()
    found: Dict[int, Any] = {}
    try:
        while len(found) < 2:
            if queue.empty():
                if not any(process.is_alive() for process in processes):
                    raise RuntimeError('the processes have died')
                time.sleep(0.05)
                continue
            rank, good, value = queue.get()
            if not good:
                raise RuntimeError(f'process {rank}: {value}')
            found[rank] = value
    finally:
        for process in processes:
            process.join(5)
            if process.is_alive():
                process.kill()
                process.join()
    return [found[0], found[1]]


# ------------------------------------------------------------ tiny networks


def _part(data: dict, i: int) -> dict:
    """One sample of a raw batch."""

    def cut(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: cut(item) for key, item in value.items()}
        return value[i:i + 1]

    return {key: cut(value) for key, value in data.items()}


def _gradients(model, data) -> Dict[str, Any]:
    """Gradients of the method's terms."""
    model.zero_grad()
    torch_seed()
    losses = model(
        **model.data_preprocessor(copy.deepcopy(data), True), mode='loss')
    sum(value for name, value in losses.items()
        if name.startswith('kd.loss')).backward()
    return {
        name: p.grad.clone()
        for name, p in model.named_parameters() if p.grad is not None
    }


def torch_seed() -> None:
    import torch
    torch.manual_seed(1)


def _method(rank: int, name: str) -> dict:
    import torch
    from mmengine.model import MMDistributedDataParallel
    from mmengine.optim import OptimWrapper

    from mmkd.core.model import DistillationModel
    from mmkd.testing.methods import METHOD_EXAMPLES
    torch.distributed.init_process_group('gloo')
    torch.manual_seed(0)
    example = METHOD_EXAMPLES[name]()
    model = DistillationModel(**copy.deepcopy(example.model)).train()
    data = example.batch(2, seed=0)
    # Before the statistics of batch normalisation diverge.
    probe = copy.deepcopy(model).eval()
    both = _gradients(probe, data)
    mean = _gradients(probe, _part(data, rank))
    distance = total = 0.
    for key, value in both.items():
        other = mean[key]
        torch.distributed.all_reduce(other)
        distance += float((other / 2 - value).double().square().sum())
        total += float(value.double().square().sum())
    ddp = MMDistributedDataParallel(
        model, find_unused_parameters=False, broadcast_buffers=False)
    # Twice: at the second step, DDP reports parameters without a gradient.
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1e-4))
    for _ in range(2):
        log = ddp.train_step(_part(data, rank), optimizer)
    assert log['loss'].isfinite()
    weights = torch.cat(
        [p.detach().double().flatten() for p in model.parameters()])
    return dict(
        weights=float(weights.sum()),
        distance=(distance / max(total, 1e-30))**0.5)


def methods(names: Iterable[str]) -> List[dict]:
    """A step of each method, and its gradient compared with one process."""
    from mmkd.testing.methods import METHOD_EXAMPLES
    cases = []
    for name in names:
        case = dict(case=f'method: {name}', passed=False)
        cases.append(case)
        try:
            first, second = two(_method, name)
        except RuntimeError as error:
            case['message'] = str(error)[:400]
            continue
        distance = max(first['distance'], second['distance'])
        same = first['weights'] == second['weights']
        reason = METHOD_EXAMPLES[name]().depends_on_batch
        case.update(
            distance=float(f'{distance:.2g}'),
            equal=distance < ROUNDING,
            passed=same and (distance < ROUNDING or bool(reason)))
        if reason and distance >= ROUNDING:
            case['reason'] = reason
        print(case, flush=True)
    return cases


# ------------------------------------------------------------- whole runs


def _run(rank: int, cfg: dict) -> dict:
    import torch
    from mmengine.config import Config

    from mmkd import apis
    cfg = Config(copy.deepcopy(cfg))
    cfg.launcher = 'pytorch'
    cfg.find_unused_parameters = False
    runner = apis.build_runner(apis.prepare_training(cfg))
    assert type(runner.model).__name__ == 'MMDistributedDataParallel'
    assert not runner.model.find_unused_parameters
    runner.train()
    parameters = [p.detach() for p in runner.model.module.parameters()]
    return dict(
        iter=runner.iter,
        finite=bool(all(p.isfinite().all() for p in parameters)),
        weights=float(
            torch.cat([p.double().flatten() for p in parameters]).sum()))


def run_case(name: str, cfg: dict, refused: str = '') -> dict:
    """Train a config in two processes, or check that it is refused with a
    message."""
    case = dict(case=name, passed=False)
    try:
        first, second = two(_run, cfg)
        case['passed'] = (
            first == second and first['finite'] and first['iter'] > 0
            and not refused)
    except RuntimeError as error:
        text = case['message'] = str(error)[:600]
        case['passed'] = bool(
            refused) and 'ConfigError' in text and refused in text
    print(case, flush=True)
    return case


def segmentation(folder: str, **options: Any) -> Any:
    """A run of tiny networks."""
    from mmkd.testing import (distillation_config, segmentation_config,
                              write_cityscapes)
    root = write_cityscapes(f'{folder}/cityscapes', 8, 2)
    cfg = segmentation_config(
        root, f'{folder}/work', max_iters=2, train_dataloader__batch_size=1)
    cfg = distillation_config(
        cfg,
        dict(
            cwd=dict(
                type='CWD',
                place='stages',
                student='backbone[2]',
                teacher='backbone[2]'),
            kd=dict(type='LogitsKD', loss_weight=dict(value=1., begin=1))))
    cfg.log_level = 'ERROR'
    cfg.merge_from_dict(options)
    return cfg


def settings(folder: str) -> List[dict]:
    """Options of a run, and unsupported settings."""
    cases = []
    for name, options in {
            'accumulated gradients': {
                'optim_wrapper.accumulative_counts': 2
            },
            'clipped gradients': {
                'optim_wrapper.clip_grad': dict(max_norm=.1)
            },
            'mixed precision': {
                'optim_wrapper.type': 'mmkd.CPUAmpOptimWrapper'
            },
            'moving average': {
                'custom_hooks': [dict(type='EMAHook')]
            }
    }.items():
        cases.append(
            run_case(f'run: {name}',
                     segmentation(folder, **options).to_dict()))
    for name, options, words in (('SyncBN', {
            'model.student.backbone.norm_cfg':
            dict(type='SyncBN')
    }, 'is a SyncBN'), ('sync_bn', {
            'sync_bn': 'torch'
    }, 'to be a SyncBN'), ('FSDP', {
            'model_wrapper_cfg':
            dict(type='MMFullyShardedDataParallel')
    }, '`model_wrapper_cfg` asks for MMFullyShardedDataParallel'), (
            'a strategy', {
                'strategy': dict(type='DeepSpeedStrategy')
            }, '`strategy` asks for DeepSpeedStrategy'), ('DeepSpeed', {
                'optim_wrapper.type':
                'DeepSpeedOptimWrapper'
            }, '`optim_wrapper` asks for DeepSpeedOptimWrapper')):
        cases.append(
            run_case(f'refused: {name}',
                     segmentation(folder, **options).to_dict(), words))
    return cases


def _nan_in_one(rank: int, cfg: dict) -> str:
    from mmengine.hooks import Hook
    from mmengine.registry import HOOKS

    from mmkd.errors import NonFiniteLossError

    @HOOKS.register_module(force=True)
    class SpoilOne(Hook):
        priority = 'VERY_HIGH'

        def before_train_iter(self, runner, batch_idx, data_batch=None):
            if batch_idx == 1 and rank == 1:
                for image in range(len(data_batch['inputs'])):
                    data_batch['inputs'][image] = (
                        data_batch['inputs'][image].float() * float('nan'))

    try:
        found = _run(rank, cfg)
    except NonFiniteLossError as error:
        return str(error)
    return f'{found["iter"]} iterations, finite {found["finite"]}'


def nan_in_one(
    folder: str, actions: Iterable[str] = ('stop', 'skip')) -> List[dict]:
    """One process has a NaN: both stop, or both skip."""
    cases = []
    for action in actions:
        cfg = segmentation(folder, **{'train_cfg.max_iters': 4})
        cfg.custom_hooks = [
            dict(type='mmkd.FiniteLossHook', action=action),
            dict(type='SpoilOne', _scope_='mmengine')
        ]
        case = dict(case=f'NaN in one process: {action}', passed=False)
        try:
            first, second = two(_nan_in_one, cfg.to_dict())
            wanted = 'iteration 2: process 1: ' if action == 'stop' \
                else '4 iterations, finite True'
            case.update(
                message=first.replace(f'{folder}/', '')[:300],
                passed=first == second and first.startswith(wanted))
        except RuntimeError as error:
            case['message'] = str(error)[:400]
        print(case, flush=True)
        cases.append(case)
    return cases


# -------------------------------------------------------------- by command


def launched(folder: str) -> List[dict]:
    """`tools/dist_train.sh`: two machines, and a process that dies."""
    cfg = segmentation(folder)
    cfg.dump(f'{folder}/run.py')
    Path(f'{folder}/dies.py').write_text('''
import os
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class Dies(Hook):

    def before_train_iter(self, runner, batch_idx, **kwargs):
        if os.environ['RANK'] == '1' and batch_idx == 1:
            raise RuntimeError('the disk of this machine is on fire')
''')
    cfg.custom_imports = dict(imports=['dies'])
    cfg.custom_hooks = [dict(type='Dies', _scope_='mmengine')]
    cfg.dump(f'{folder}/dying.py')
    env = dict(
        os.environ,
        PYTHON=sys.executable,
        PORT=str(free_port()),
        PYTHONPATH=f'{ROOT}:{folder}')

    def start(config: str, count: int, **more: str) -> subprocess.Popen:
        return subprocess.Popen([
            'bash', f'{ROOT}/tools/dist_train.sh', f'{folder}/{config}',
            str(count), '--work-dir', f'{folder}/launched'
        ],
                                env={
                                    **env,
                                    **more
                                },
                                text=True,
                                stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)

    began = time.time()
    process = start('dying.py', 2)
    text = process.communicate(timeout=1200)[0]
    seconds = time.time() - began
    cases = [
        dict(
            case='a process dies',
            passed=process.returncode != 0 and 'is on fire' in text
            and 'imed out' not in text and 'imeout' not in text,
            seconds=round(seconds))
    ]
    print(cases[-1], flush=True)
    nodes = [
        start('run.py', 1, NNODES='2', NODE_RANK=str(rank)) for rank in (0, 1)
    ]
    texts = [node.communicate(timeout=1200)[0] for node in nodes]
    cases.append(
        dict(
            case='two machines with one process each',
            passed=all(node.returncode == 0 for node in nodes)
            and Path(f'{folder}/launched/iter_2.pth').is_file()))
    if not cases[-1]['passed']:
        cases[-1]['message'] = ' '.join(texts)[-600:]
    print(cases[-1], flush=True)
    return cases


# ---------------------------------------------------------------- recipes


def scenes(folder: str) -> str:
    """A few small frames in all layouts."""
    from driving_scenes.generate import generate
    from driving_scenes.infos import make_nuscenes_infos
    from driving_scenes.kitti import KITTI_SIZES, KittiSize
    from driving_scenes.nuscenes import NUSCENES_SIZES, NuScenesSize
    from driving_scenes.presets import PRESETS, Preset
    from mmkd.methods.xray.data import build, infos
    root = f'{folder}/scenes'
    PRESETS['processes'] = Preset(2, 1, 1, 1, 64, 128, 1)
    KITTI_SIZES['processes'] = KittiSize(1, 1, 1, 2, 48, 156, 360)
    NUSCENES_SIZES['processes'] = NuScenesSize(1, 1, 1, 2, 1, 24, 42, 240)
    generate(
        'processes',
        root,
        formats=('cityscapes', 'kitti', 'nuscenes'),
        workers=1)
    make_nuscenes_infos(f'{root}/nuscenes')
    content = infos.load_infos(f'{root}/nuscenes/nuscenes_infos_train.pkl')
    infos.add_identities(content, 'nuscenes', f'{root}/nuscenes')
    content, _ = build.complete(
        content,
        f'{root}/nuscenes',
        infos.POINTS_FOLDER['nuscenes'],
        progress=False)
    infos.save_infos(content,
                     f'{root}/nuscenes/nuscenes_infos_train_complete.pkl')
    return root


def embedded(folder: str, match: str = '') -> List[dict]:
    """Every recipe of the driving scenes, on a few small frames."""
    from mmengine.config import Config

    from benchmarks.entry import Entry
    from mmkd.testing.runs import untrained
    root, cases = scenes(folder), []
    families = ('retinanet', 'gfl', 'faster-rcnn', 'pointpillars',
                'centerpoint', 'bev')
    for path in sorted((ROOT / 'configs/demo').glob('*.py')):
        if not re.search(match, path.stem):
            continue
        name = next((x for x in families if x in path.stem), 'deeplabv3plus')
        name = name.replace('-', '_')
        if path.stem.endswith('kitti'):
            name = 'pointpillars'
        cfg = Config.fromfile(path)
        cfg.merge_from_dict(Entry.load(f'{name}_scenes', root).data)
        cfg.train_dataloader.update(
            batch_size=2, num_workers=0, persistent_workers=False)
        cfg.train_cfg.update(max_iters=2)
        for key in ('val', 'test'):
            for part in ('dataloader', 'evaluator', 'cfg'):
                cfg.pop(f'{key}_{part}', None)
        for key in ('val_interval', 'val_begin', 'dynamic_intervals'):
            cfg.train_cfg.pop(key, None)
        cfg.default_hooks.pop('visualization', None)
        cfg.default_hooks.checkpoint.pop('save_best', None)
        cfg.work_dir, cfg.log_level = f'{folder}/work', 'ERROR'
        untrained(cfg.model)
        cases.append(run_case(f'recipe: {path.stem}', cfg.to_dict()))
    return cases


def _paper(rank: int, recipe: str) -> dict:
    """A step with a paper's networks on small inputs."""
    import torch
    from mmengine.config import Config
    from mmengine.model import MMDistributedDataParallel, revert_sync_batchnorm
    from mmengine.optim import OptimWrapper

    from mmkd.registry import MODELS
    from mmkd.testing import bev_batch, detection_batch, segmentation_batch
    from mmkd.testing.bev import (bev_on_a_small_region, in_sight,
                                  kitti_bev_batch)
    from mmkd.testing.lidar import lidar_batch, on_a_small_region
    from mmkd.testing.runs import untrained
    from mmkd.utils.config import read_config
    torch.distributed.init_process_group('gloo')
    torch.manual_seed(0)
    cfg = Config.fromfile(ROOT / 'configs' / recipe)
    model = cfg.model
    if cfg.get('data_preprocessor'):
        model.setdefault('data_preprocessor', cfg.data_preprocessor)
    size = (128, 128)
    model.dry_run_size = size
    bev = model.student.type == 'mmkd.BEVDetector'
    lidar = not bev and re.search('kitti|nuscenes', recipe)
    untrained(model)
    for teacher in model.teachers.values():
        if lidar or bev:
            teacher.cfg = read_config(teacher.cfg)
    if bev:
        for config in (model.student, *(t.cfg.model
                                        for t in model.teachers.values())):
            bev_on_a_small_region(config)
        model.student._scope_ = 'mmdet3d'
        model.dry_run_size = (32, 64)
        data = in_sight(
            bev_batch(1, num_classes=10,
                      seed=rank)) if 'nuscenes' in recipe else kitti_bev_batch(
                          num_samples=1, seed=rank)
    elif lidar:
        on_a_small_region(model.student)
        data = lidar_batch(1, boxes=2, seed=rank)
        inputs = data['inputs']
        inputs['points_complete'] = inputs['points']
        for teacher in model.teachers.values():
            on_a_small_region(teacher.cfg.model)
            for source in (teacher.get('input_map') or {}).values():
                inputs[source.split('.')[-1]] = inputs['points']
    elif 'cityscapes' in recipe:
        for part in (model.get('data_preprocessor'),
                     model.student.get('data_preprocessor')):
            if part:
                part['size'] = size
        data = segmentation_batch(2, size, seed=rank)
    else:
        data = detection_batch(1, size, num_classes=80, seed=rank)
    network = MODELS.build(model)
    network.student = revert_sync_batchnorm(network.student)
    network.distillers = revert_sync_batchnorm(network.distillers)
    network.train()
    ddp = MMDistributedDataParallel(network, find_unused_parameters=False)
    optimizer = OptimWrapper(torch.optim.SGD(network.parameters(), lr=1e-6))
    for _ in range(2):
        log = ddp.train_step(data, optimizer)
    weights = torch.cat(
        [p.detach().double().flatten() for p in network.parameters()])
    return dict(
        finite=bool(log['loss'].isfinite() and weights.isfinite().all()),
        weights=float(weights.sum()))


def papers(match: str = '') -> List[dict]:
    """A recipe of the paper per method, on small inputs."""
    from mmkd.methods import METHODS
    from mmkd.testing.methods import recipe_of
    cases = []
    for recipe in map(recipe_of, METHODS):
        if not re.search(match, recipe):
            continue
        case = dict(case=f'paper: {Path(recipe).stem}', passed=False)
        try:
            first, second = two(_paper, recipe)
            case['passed'] = first == second and first['finite']
        except RuntimeError as error:
            case['message'] = str(error)[:600]
        print(case, flush=True)
        cases.append(case)
    return cases


def main(argv=None) -> int:
    parser = make_parser('processes', __doc__)
    parser.add_argument(
        '--parts',
        nargs='+',
        choices=[
            'methods', 'settings', 'nan', 'launched', 'embedded', 'papers'
        ],
        help='by default all of them; --short: methods and nan')
    parser.add_argument(
        '--match', default='', help='methods and recipes with this name only')
    args = parser.parse_args(argv)
    import torch

    import mmkd.registry  # noqa: F401
    from mmkd.testing.methods import METHOD_EXAMPLES
    torch.set_num_threads(1)
    # Imported before forking, so that the processes need not.
    import mmseg.models  # noqa: F401
    names = ['fgd'] if args.short else [
        name for name in METHOD_EXAMPLES if re.search(args.match, name)
    ]
    parts = args.parts or (['methods', 'nan'] if args.short else [
        'methods', 'settings', 'nan', 'launched', 'embedded', 'papers'
    ])
    cases: List[dict] = []
    with tempfile.TemporaryDirectory() as folder:
        tried = dict(
            methods=lambda: methods(names),
            settings=lambda: settings(folder),
            nan=lambda: nan_in_one(folder, ['skip']
                                   if args.short else ['stop', 'skip']),
            launched=lambda: launched(folder),
            embedded=lambda: embedded(folder, args.match),
            papers=lambda: papers(args.match))
        for part in parts:
            cases += tried[part]()
        for case in cases:
            if 'message' in case:
                case['message'] = case['message'].replace(folder,
                                                          'tmp').replace(
                                                              str(ROOT), '.')
    return finish(args, cases)


if __name__ == '__main__':
    sys.exit(main())
