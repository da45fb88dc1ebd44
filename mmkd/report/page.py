"""The report as one HTML file and one JSON file."""
import json
import os.path as osp
from datetime import datetime
from typing import Any, Dict, List, Optional, Sequence, Tuple

from mmkd.engine.records import check_free
from mmkd.errors import ConfigError
from mmkd.report.charts import Line, line_chart, mean_line, seed_chart, smooth
from mmkd.report.comparison import Comparison, as_json
from mmkd.report.evaluation import Evaluation
from mmkd.report.groups import Group
from mmkd.report.metrics import Metric, describe, is_main
from mmkd.report.runs import Curve
from mmkd.report.statistics import Gain
from mmkd.utils.files import write_bytes

#: Longest table of classes that is shown as a whole.
_MOST_CLASSES = 24


def write_report(result: Comparison, path: str) -> Tuple[str, str]:
    """Write a comparison as a page that needs no other file, and as JSON.

    Args:
        result (Comparison): The comparison.
        path (str): The page, ``.html``; the JSON has the same name.

    Returns:
        tuple[str, str]: Paths of both files.

    Raises:
        ConfigError: If one of them exists.
    """
    import jinja2
    check_new(path)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader('mmkd.report'),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined)
    page = environment.get_template('report.html').render(_view(result))
    data = json.dumps(as_json(result), indent=2) + '\n'
    beside = json_of(path)
    write_bytes(beside, data.encode())
    write_bytes(path, page.encode())
    return path, beside


def json_of(path: str) -> str:
    """The JSON of a page."""
    return osp.splitext(path)[0] + '.json'


def check_new(path: str) -> None:
    """Refuse to overwrite a report.

    Raises:
        ConfigError: If the page or its JSON exists, or the page is no
            ``.html``.
    """
    if not path.endswith('.html'):
        raise ConfigError(f'{path}: the report is a file .html')
    for file in (path, json_of(path)):
        check_free(file)


def free_path(path: str) -> str:
    """The path itself, or the first with a number that does not exist."""
    name, number = osp.splitext(path)[0], 1
    while osp.lexists(path) or osp.lexists(json_of(path)):
        number += 1
        path = f'{name}_{number}.html'
    return path


def headline(result: Comparison) -> Tuple[str, str, str]:
    """What a comparison shows: its kind, the title, and an explanation.

    The kind is ``'gain'``, ``'loss'`` or ``'open'``.
    """
    group, metric = result.best, describe(result.metric)
    found = result.gain(group, result.metric)
    if not metric.lower and not any(
            _means(result, each, metric.key) for each in result.groups):
        return 'open', f'{metric.label} is 0 in all runs', (
            'No student has found anything yet. Train for longer, or check '
            'that the warm-up of the learning rate ends before the training '
            'does.')
    name = 'Distillation' if group.distils else group.name
    if len([g for g in result.groups if g.distils]) > 1:
        name = group.name
    amount = f'{_signed(metric.scale * found.mean)} {metric.label}'
    better = (found.mean < 0) == metric.lower and found.mean != 0
    if found.error is None:
        title = (amount if better else f'No gain: {amount}') + ', one seed'
        return 'open', title, (
            'One seed cannot tell a gain from chance: the same student varies '
            'from seed to seed. Train both with further seeds and compare all '
            'folders.')
    amount += f' ± {_number(metric.scale * found.error)}'
    how = ('paired by seed, with its standard error'
           if found.paired else 'not paired, with its standard error')
    text = f'Mean over {found.seeds} seeds, {how}. '
    if found.significant:
        text += 'The 95 % confidence interval excludes zero.'
        return ('gain', f'{name} paid: {amount}',
                text) if better else ('loss', f'{name} hurt: {amount}', text)
    return 'open', f'No clear gain: {amount}', (
        text + 'The 95 % confidence interval includes zero, so this may be '
        'chance.')


def _number(value: float) -> str:
    text = f'{value:.2f}' if abs(value) < 1000 else f'{value:,.0f}'
    return text.replace('-', '−')


def _signed(value: float) -> str:
    return ('+' if value > 0 else '') + _number(value)


def _change(found: Gain, metric: Optional[Metric] = None) -> Dict[str, str]:
    """A difference as text, with a class of the style sheet."""
    scale = metric.scale if metric else 1.0
    text = _signed(scale * found.mean)
    if found.error is not None:
        text += f' ± {_number(scale * found.error)}'
    better = (found.mean < 0) == bool(metric and metric.lower)
    kind = 'same'
    if found.significant:
        kind = 'better' if better else 'worse'
    return dict(text=text, kind=kind)


def _view(result: Comparison) -> Dict[str, Any]:
    """What the template shows."""
    kind, title, text = headline(result)
    seeds = max(len(group.runs) for group in result.groups)
    return dict(
        kind=kind,
        title=title,
        text=text,
        equal_time=_equal_time(result),
        label=describe(result.metric).label,
        split=result.split,
        date=datetime.now().strftime('%Y-%m-%d'),
        version=as_json(result)['mmkd'],
        seeds=seeds,
        groups=[
            dict(name=group.name, color=_color(result, group))
            for group in result.groups
        ],
        best=result.best.name,
        baseline=result.baseline.name,
        tiles=_tiles(result),
        teachers=list(result.teachers),
        metrics=_metrics(result),
        seed_chart=_seeds(result),
        classes=_parts(result, 'per_class'),
        most_classes=_MOST_CLASSES,
        sizes=_parts(result, 'per_size'),
        charts=_charts(result),
        pictures=result.pictures,
        networks=_networks(result),
        training=_training(result),
        runs=[(group.name, run) for group in result.groups
              for run in group.runs],
        settings=_settings(result),
        notes=result.notes)


def _color(result: Comparison, group: Group) -> int:
    return result.groups.index(group) % 6


def _equal_time(result: Comparison) -> Optional[str]:
    """The gain over a student that trained alone for as long."""
    metric = describe(result.metric)
    for group in result.groups[1:]:
        if not group.distils and 'same training time' in group.name:
            both = Comparison([group, result.best], result.split,
                              result.metric)
            change = _change(both.gain(result.best, result.metric), metric)
            return f'{change["text"]} {metric.label}'
    return None


def _means(result: Comparison, group: Group, key: str) -> float:
    values = [metrics[key] for metrics in group.metrics()]
    return describe(key).scale * sum(values) / len(values)


def _tiles(result: Comparison) -> List[Dict[str, Any]]:
    key = result.metric
    tiles = [
        dict(
            name=group.name,
            color=_color(result, group),
            value=_number(_means(result, group, key)))
        for group in (result.baseline, result.best)
    ]
    scale = describe(key).scale
    tiles += [
        dict(name=name, color='t', value=_number(scale * found.metrics[key]))
        for name, found in result.teachers.items() if key in found.metrics
    ]
    return tiles


def _metrics(result: Comparison) -> Dict[str, List[Dict[str, Any]]]:
    """Rows of the table of metrics: the main ones and the others."""
    found: Dict[str, List[Dict[str, Any]]] = dict(main=[], others=[])
    for key in sorted(result.keys, key=lambda key: key != result.metric):
        metric = describe(key)
        row = dict(
            label=metric.label,
            lower=metric.lower,
            baseline=_number(_means(result, result.baseline, key)),
            groups=[
                dict(
                    value=_number(_means(result, group, key)),
                    change=_change(result.gain(group, key), metric))
                for group in result.groups[1:]
            ],
            teachers=[
                _number(metric.scale *
                        tested.metrics[key]) if key in tested.metrics else '–'
                for tested in result.teachers.values()
            ])
        main = key == result.metric or is_main(key)
        found['main' if main else 'others'].append(row)
    return found


def _seeds(result: Comparison) -> str:
    """A chart of the paired values, if there are several seeds."""
    metric = describe(result.metric)
    base, other = (
        group.by_seed([
            metric.scale * metrics[metric.key] for metrics in group.metrics()
        ]) for group in (result.baseline, result.best))
    common = [seed for seed in base if seed in other]
    if len(common) < 2:
        return ''
    return seed_chart([base[seed] for seed in common],
                      [other[seed] for seed in common],
                      [f'seed {seed}' for seed in common],
                      _color(result,
                             result.best), f'{metric.label} of each seed')


def _parts(result: Comparison, kind: str) -> List[Dict[str, Any]]:
    """Rows of the table of classes or sizes."""
    rows = []
    baseline, best = result.baseline, result.best
    if not best.evaluations:
        return []
    for name in getattr(baseline.evaluations[0], kind):
        change = result.gain_of_part(best, kind, name)
        if change is None:
            continue
        rows.append(
            dict(
                name=name,
                mean=change.mean,
                change=_change(change),
                values=[
                    _number(
                        sum(getattr(e, kind)[name]
                            for e in group.evaluations) /
                        len(group.evaluations)) for group in (baseline, best)
                ],
                teachers=[
                    _number(getattr(tested, kind)[name]) if name in getattr(
                        tested, kind) else '–'
                    for tested in result.teachers.values()
                ]))
    largest = max((abs(row['mean']) for row in rows), default=0) or 1
    for row in rows:
        row['share'] = round(100 * abs(row['mean']) / largest, 1)
    if kind == 'per_class':
        rows.sort(key=lambda row: -row['mean'])
    return rows


def _charts(result: Comparison) -> List[Dict[str, Any]]:
    """Curves of validation, task losses and distillation losses."""
    metric = describe(result.metric)
    charts = []

    def add(title: str, lines: List[Line], from_zero: bool) -> None:
        svg = line_chart(lines, title, from_zero)
        if svg:
            legend = {line.color: line.name for line in lines}
            charts.append(dict(title=title, svg=svg, legend=legend))

    validation, task = [], []
    for group in result.groups:
        color = _color(result, group)
        curves = [
            Line(group.name, color, run.validation[metric.key].iters, [
                metric.scale * value
                for value in run.validation[metric.key].values
            ]) for run in group.runs if metric.key in run.validation
        ]
        validation += _with_mean(curves)
        task += _with_mean([
            Line(group.name, color, run.task_loss.iters,
                 smooth(run.task_loss.values)) for run in group.runs
        ])
    if any(len(line.x) > 1 for line in validation):
        add(f'{metric.label}, validation', validation, False)
    add('Loss of the task, training', task, False)
    best = result.best
    add(f'Losses of {best.name}, training',
        _lines([run.distillation_losses for run in best.runs]), True)
    add(f'Shares of the gradients of {best.name}',
        _lines([run.shares for run in best.runs]), True)
    return charts


def _lines(runs: Sequence[Dict[str, Curve]]) -> List[Line]:
    """Lines of named curves of several seeds."""
    found: Dict[str, List[Line]] = {}
    for curves in runs:
        for name, curve in curves.items():
            found.setdefault(name, [])
            color = list(found).index(name) % 5 + 1
            found[name].append(
                Line(name, color, curve.iters, smooth(curve.values)))
    return [line for lines in found.values() for line in _with_mean(lines)]


def _with_mean(lines: List[Line]) -> List[Line]:
    """Lines of several seeds behind their mean; a single one as it is."""
    mean = mean_line(lines) if lines else None
    if mean is None:
        return lines
    return [*(line._replace(faint=True) for line in lines), mean]


def _networks(result: Comparison) -> List[Dict[str, str]]:
    """Rows of the table of what networks cost to run."""
    shown: Dict[str, Evaluation] = {}
    for group in (result.best, result.baseline):
        for evaluation in group.evaluations[:1]:
            same = [
                other for other in shown.values()
                if other.cost.flops == evaluation.cost.flops
                and other.cost.parameters == evaluation.cost.parameters
            ]
            if not same:
                shown['student' if not shown else group.name] = evaluation
    shown.update(result.teachers)
    rows = []
    for name, evaluation in shown.items():
        cost = evaluation.cost
        flops = '–' if cost.flops is None else f'{cost.flops / 1e9:.2f} G'
        size = '–'
        if cost.input_size:
            size = ' × '.join(map(str, cost.input_size[-2:]))
        rows.append(
            dict(
                name=name,
                parameters=f'{cost.parameters / 1e6:.2f} M',
                flops=flops,
                latency=f'{1000 * cost.latency:.1f} ms',
                size=size))
    return rows


def _training(result: Comparison) -> List[Dict[str, str]]:
    """Rows of the table of what trainings cost."""
    rows = []
    base = result.baseline.seconds
    for group in result.groups:
        memory = [run.memory for run in group.runs if run.memory]
        steps = [run.step_seconds for run in group.runs if run.step_seconds]
        rows.append(
            dict(
                name=group.name,
                iterations=f'{group.runs[0].iterations:,}',
                time=_duration(group.seconds),
                share=f'{group.seconds / base:.2f} ×' if base else '–',
                step=f'{sum(steps) / len(steps):.3f} s' if steps else '–',
                memory=f'{max(memory) / 1024:.1f} GiB' if memory else '–'))
    return rows


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f'{seconds:.0f} s'
    if seconds < 6000:
        return f'{seconds / 60:.1f} min'
    return f'{seconds / 3600:.1f} h'


def _settings(result: Comparison) -> List[Tuple[str, List[Any]]]:
    """Settings in which groups differ from the baseline, for each group."""
    return [(group['name'], group['settings'])
            for group in as_json(result)['groups'] if group.get('settings')]
