#!/usr/bin/env python
"""What ``loss_weight='auto'`` loses or gains against tuned weights.

    benchmarks/auto_weight.py --iters 100 --seeds 0

For every 2D method of the embedded benchmark, a student is trained alone,
with the weight that was tuned for the method, and with 'auto' at several
ratios. All start equal and see the same batches. The ratio is chosen on the
validation scenes, with a seed that is not reported: the scores of each method
are scaled to [0, 1] over the ratios, and the ratio with the highest mean over
the methods is taken. Then the students are compared on the test scenes.

The runs are much shorter than those of benchmarks/methods.py, and in one
process. Detectors have no mAP yet after so few iterations, so their score is
the task loss on unseen scenes. An interrupted benchmark resumes without
repeating finished runs.
"""
import argparse
import gc
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.entry import Entry, of_student  # noqa: E402
from benchmarks.report import versions, write_result  # noqa: E402
from mmkd.utils.command import run  # noqa: E402

METHODS = ('bpkd', 'cwd', 'logits_kd', 'acam_segmentation', 'transkd', 'fgd',
           'mgd', 'pkd', 'acam')
#: A method with committed results for each family of entries, for the
#: learning rate of the student alone.
TUNED_STUDENTS = {'': 'bpkd', 'segformer_': 'transkd', 'retinanet_': 'fgd'}


def parse_args(argv=None) -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--methods', nargs='+', default=METHODS)
    parser.add_argument('--iters', type=int, default=100)
    parser.add_argument('--batch-size', type=int, default=4)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0])
    parser.add_argument(
        '--ratios', type=float, nargs='+', default=[0.3, 1.0, 3.0])
    parser.add_argument('--preset', default='small')
    parser.add_argument('--work-dir', default='work_dirs/auto_weight')
    parser.add_argument('--out', default='benchmarks/results')
    return parser.parse_args(argv)


class Trainer:
    """Trains short runs, and remembers their results."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.folder = Path(args.work_dir)

    def __call__(self,
                 name: str,
                 config: str,
                 entry: Entry,
                 options: Dict[str, Any],
                 seed: int,
                 split: str,
                 iters: Optional[int] = None) -> Dict[str, Any]:
        """Train, and evaluate on a split.

        Returns:
            dict: ``metric`` in points of 100, ``loss`` (the task loss on the
            split), and ``weight``, if that is automatic.
        """
        folder = self.folder / name
        done = folder / 'result.json'
        if done.is_file():
            return json.loads(done.read_text())
        from mmengine.config import Config

        from mmkd import apis
        iters = iters or self.args.iters
        cfg = Config.fromfile(config)
        cfg.merge_from_dict({
            **entry.data, 'train_cfg.max_iters': iters,
            'train_cfg.val_interval': iters,
            'param_scheduler.1.end': iters,
            'train_dataloader.batch_size': self.args.batch_size,
            'randomness.seed': seed,
            **options
        })
        cfg.custom_hooks = [
            *cfg.get('custom_hooks', []),
            dict(type='mmkd.SelfCheckHook', num_batches=1)
        ]
        if split == 'test':
            cfg.val_dataloader = cfg.test_dataloader
            cfg.val_evaluator = cfg.test_evaluator
        cfg.log_level = 'ERROR'
        cfg.work_dir = str(folder)
        begin = time.perf_counter()
        runner = apis.train(cfg)
        result: Dict[str, Any] = dict(
            metric=entry.scale *
            runner.message_hub.get_scalar(f'val/{entry.metric}').current(),
            loss=_task_loss(runner),
            minutes=(time.perf_counter() - begin) / 60)
        for distiller in getattr(runner.model, 'distillers', {}).values():
            if distiller.balance is not None:
                result['weight'] = float(distiller.balance.weight)
        if name.endswith('teacher'):
            apis.export_student(
                cfg.filename and str(folder / Path(config).name),
                str(folder / f'iter_{iters}.pth'), str(folder / 'export'))
        for file in folder.glob('*.pth'):
            file.unlink()
        del runner
        gc.collect()  # ends the processes of its loaders
        done.write_text(json.dumps(result))
        print(f'{name:<32}{entry.metric} {result["metric"]:.2f}, task loss '
              f'{result["loss"]:.4f}, {result["minutes"]:.1f} min')
        return result


def _task_loss(runner) -> float:
    """The student's task loss on the data that the runner validated on."""
    import torch

    from mmkd.core.terms import total_loss
    model = getattr(runner.model, 'student', runner.model)
    model.eval()
    found: List[float] = []
    with torch.no_grad():
        for data in runner.val_dataloader:
            batch = model.data_preprocessor(data, False)
            found.append(
                float(
                    total_loss(
                        model(
                            batch['inputs'],
                            batch['data_samples'],
                            mode='loss'))))
    return sum(found) / len(found)


class Method:
    """The runs of one method.

    Args:
        name (str): Its entry.
        trainer (Trainer): Trains.
        root (str): Folder of the scenes.
    """

    def __init__(self, name: str, trainer: Trainer, root: str) -> None:
        self.name = name
        self.trainer = trainer
        self.entry = entry = Entry.load(name, root)
        tuned = _committed(TUNED_STUDENTS[entry.family])
        self.rate = {
            entry.student_grid.key: tuned['student']['chosen'],
        }
        self.teacher = f'{entry.family}teacher'
        trainer(
            self.teacher,
            entry.teacher.config,
            entry,
            entry.teacher.options,
            0,
            'val',
            iters=2 * trainer.args.iters)

    def alone(self, seed: int, split: str) -> Dict[str, Any]:
        """Train the student without a teacher."""
        student = self.entry.student
        return self.trainer(f'{self.entry.family}student_{seed}_{split}',
                            student.config, self.entry, {
                                **student.options,
                                **self.rate
                            }, seed, split)

    def distilled(self,
                  weight: Any,
                  tag: str,
                  seed: int,
                  split: str,
                  options: Optional[dict] = None) -> Dict[str, Any]:
        """Train the student with this ``loss_weight``, and more settings of
        the config."""
        entry = self.entry
        folder = self.trainer.folder / self.teacher / 'export'
        return self.trainer(
            f'{self.name}_{tag}_{seed}_{split}', entry.distilled.config, entry,
            {
                **of_student(entry.student.options),
                **entry.distilled.options,
                **self.rate, 'model.teachers.teacher.ckpt':
                str(folder / 'student.pth'),
                entry.distilled_grid.key:
                weight,
                **(options or {})
            }, seed, split)

    def auto(self, ratio: float, seed: int, split: str) -> Dict[str, Any]:
        """Train it with an automatic weight, calibrated in a third of the
        run."""
        weight = dict(
            type='auto', ratio=ratio, iters=self.trainer.args.iters // 3)
        return self.distilled(weight, f'auto{ratio:g}', seed, split)

    def tune(self) -> float:
        """The weight that is best on validation scenes: that of the full
        benchmark, or without one, of short runs."""
        committed = _committed(self.name)
        if committed:
            return committed['distilled']['chosen']
        seed = self.entry.tuning_seed
        return max(
            self.entry.distilled_grid.values,
            key=lambda w: self.score(self.distilled(w, f'{w:g}', seed, 'val')))

    def score(self, result: Dict[str, Any]) -> float:
        """What decides between settings; more is better."""
        detection = self.entry.task == 'detection'
        return -result['loss'] if detection else result['metric']


def _committed(name: str) -> Optional[dict]:
    path = ROOT / f'benchmarks/results/{name}.json'
    return json.loads(path.read_text())['tuned'] if path.is_file() else None


def choose_ratio(methods: List[Method], ratios: List[float]) -> Dict[str, Any]:
    """Measure each ratio on the validation scenes.

    Returns:
        dict: ``chosen``, the ``scores`` by method, those of the student
        ``alone``, and the ``mean`` of the scaled scores.
    """
    scores, alone = {}, {}
    for method in methods:
        seed = method.entry.tuning_seed
        alone[method.name] = method.score(method.alone(seed, 'val'))
        scores[method.name] = [
            method.score(method.auto(ratio, seed, 'val')) for ratio in ratios
        ]
    means = [0.] * len(ratios)
    for found in scores.values():
        low, span = min(found), max(found) - min(found)
        for i, value in enumerate(found):
            means[i] += (value - low) / span / len(scores) if span else 0.
    return dict(
        ratios=ratios,
        scores=scores,
        alone=alone,
        mean=means,
        chosen=ratios[means.index(max(means))])


def compare(method: Method, ratio: float, seeds: List[int]) -> Dict[str, Any]:
    """Compare the student alone, tuned and automatic on the test scenes."""
    tuned = method.tune()
    kinds = dict(alone=[], tuned=[], auto=[])
    for seed in seeds:
        kinds['alone'].append(method.alone(seed, 'test'))
        kinds['tuned'].append(
            method.distilled(tuned, f'{tuned:g}', seed, 'test'))
        kinds['auto'].append(method.auto(ratio, seed, 'test'))
    weight = kinds['auto'][0]['weight']
    return dict(
        metric=method.entry.metric,
        tuned_weight=tuned,
        auto_weight=weight,
        # The gradients' ratio that the tuned weight amounts to.
        ratio_of_tuned=ratio * tuned / weight,
        **{
            f'{key}_{kind}': [run[key] for run in runs]
            for kind, runs in kinds.items()
            for key in ('metric', 'loss')
        })


def as_table(result: Dict[str, Any]) -> str:
    """The comparison as text, a line a method."""
    from mmkd.utils.table import format_table

    def mean(values):
        return sum(values) / len(values)

    rows = []
    for name, found in result['methods'].items():
        rows.append([
            name, f'{found["tuned_weight"]:g}', f'{found["auto_weight"]:.3g}',
            f'{found["ratio_of_tuned"]:.2g}', *[
                f'{mean(found[f"{key}_{kind}"]):.{digits}f}'
                for key, digits in (('metric', 2), ('loss', 3))
                for kind in ('alone', 'tuned', 'auto')
            ]
        ])
    return format_table([
        'method', 'tuned', 'auto', 'ratio of tuned', 'alone', 'tuned', 'auto',
        'loss alone', 'tuned', 'auto'
    ], rows)


def main(argv=None) -> None:
    """Run the benchmark."""
    args = parse_args(argv)
    os.chdir(ROOT)
    root = f'data/scenes/{args.preset}'
    trainer = Trainer(args)
    methods = []
    for name in args.methods:
        if not methods:
            Entry.load(name, root).make_data(args.preset)
        methods.append(Method(name, trainer, root))
    ratio = choose_ratio(methods, args.ratios)
    result = dict(
        preset=args.preset,
        iters=args.iters,
        batch_size=args.batch_size,
        seeds=args.seeds,
        ratio=ratio,
        methods={
            method.name: compare(method, ratio['chosen'], args.seeds)
            for method in methods
        },
        versions=versions(),
        date=time.strftime('%Y-%m-%d'))
    print(as_table(result))
    write_result(f'{args.out}/auto_weight.json', result)


if __name__ == '__main__':
    run(main)
