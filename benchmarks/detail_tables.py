"""The long tables of docs/results, each out of a result file."""
from functools import partial
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence

from benchmarks.published import (RESULTS, TASKS, Gain, data_of, entry_of,
                                  files, label_of, metric_name, modes_of,
                                  page_of, pages, read, student_of, task_of)

LINK = '../../benchmarks/results'


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table of Markdown."""
    lines = [header, ['---'] * len(header), *rows]
    return '\n'.join('| ' + ' | '.join(map(str, line)) + ' |'
                     for line in lines) + '\n'


def _numbers(values: Sequence[float]) -> str:
    return ', '.join(f'{x:.2f}' for x in values)


def _gain(summary: Dict[str, Any]) -> str:
    return str(Gain(summary['gain'], summary['standard_error']))


def _percent(share: Optional[float]) -> str:
    return '-' if share is None else f'{100 * share:.0f} %'


def _results(task: str) -> List[str]:
    return [name for name in files() if task_of(read(name)['task']) == task]


def _label(result: Dict[str, Any]) -> str:
    student = student_of(entry_of(result['method'])) or result['preset']
    return f'{label_of(result["method"])}{modes_of(result)} ({student})'


def scores(task: str) -> str:
    """All scores of a task: a line a method and metric."""
    rows = []
    for name in _results(task):
        result = read(name)
        parts = [x for x in result.values() if isinstance(x, dict)]
        for part in (result, *(x for x in parts if 'summary' in x)):
            rows.append([
                _label(result),
                metric_name(part['metric']),
                '-' if part['teacher'] is None else f'{part["teacher"]:.2f}',
                _numbers(part['baseline']),
                _numbers(part['equal_time']),
                _numbers(part['distilled']),
                _gain(part['summary']),
                _gain(part['summary_at_equal_time']),
                _percent(part['summary']['gap_closed'])
            ])
    return table([
        'method', 'metric', 'teacher', 'alone', 'alone, equal time',
        'distilled', 'gain', 'gain, equal time', 'gap closed'
    ], rows)


def runs(task: str) -> str:
    """How the results of a task were made: a line a result file."""
    rows = []
    for name in _results(task):
        result = read(name)
        iters = result['iters']
        tuned = [
            f'{choice["key"].split(".", 1)[-1]} {choice["chosen"]:g} '
            f'of {len(choice["values"])}'
            for choice in result['tuned'].values()
        ]
        rows.append([
            f'[{_label(result)}]({LINK}/{name})', ' / '.join(
                str(iters[key] or '-')
                for key in ('teacher', 'student', 'equal_time')),
            '; '.join(tuned), f'{data_of(result)} `{result["data"][:8]}`',
            result['versions']['commit'], result['date'],
            f'`{result["command"].split("/", 1)[-1]}`'
        ])
    return table([
        'method', 'iterations: teacher / student / equal time', 'tuned',
        'data, checksum', 'code', 'date', 'command'
    ], rows)


def quick_demo() -> str:
    """The scores of the quick demo."""
    return table(['metric', 'student alone', 'MGD and LogitsKD', 'gain'], ([
        key,
        _numbers(found['alone']),
        _numbers(found['distilled']),
        Gain(found['gain']['mean'], found['gain']['standard_error'])
    ] for key, found in read('quick_demo.json')['metrics'].items()))


def label_free() -> str:
    """Fine-tuning after training without labels, and from scratch."""
    rows = []
    for path in sorted(RESULTS.glob('label_free*.json')):
        result = read(path.name)
        for part in result.get('rows', []):
            ways = part['scratch'], part['distilled']
            rows += [[
                f'[{result["epochs"]} epochs]({LINK}/{path.name})' +
                modes_of(result), f'{part["images"]} images',
                key.replace('/', ', '), *(_numbers(x[key]) for x in ways),
                Gain(gain['mean'], gain['standard_error']),
                ' / '.join(f'{sum(x["processor_minutes"]) / len(x[key]):.1f}'
                           for x in ways)
            ] for key, gain in part['gain'].items()]
    return table([
        'without labels', 'labels', 'metric', 'from scratch',
        'distilled without labels', 'gain', 'processor minutes'
    ], rows)


def auto_ratio() -> str:
    """The ratio of `loss_weight='auto'`, on the validation scenes."""
    result = read('auto_weight.json')
    found = result['ratio']
    return table(
        ['validation', 'alone', *(f'ratio {x:g}' for x in found['ratios'])], ([
            f'{_named(name)}, '
            f'{"mIoU" if found["alone"][name] > 0 else "task loss"}',
            *(f'{abs(x):.2f}' if x > 0 else f'{abs(x):.3f}'
              for x in (found['alone'][name], *values))
        ] for name, values in found['scores'].items()))


def auto_weight() -> str:
    """`loss_weight='auto'` beside tuned weights, on the test scenes."""
    rows = []
    for name, found in read('auto_weight.json')['methods'].items():
        scores = [
            f'{found[f"metric_{kind}"][0]:.2f}'
            if found['metric'] == 'mIoU' else ''
            for kind in ('alone', 'tuned', 'auto')
        ]
        losses = [
            f'{found[f"loss_{kind}"][0]:.3f}'
            for kind in ('alone', 'tuned', 'auto')
        ]
        rows.append([
            _named(name), f'{found["tuned_weight"]:g}',
            f'{found["auto_weight"]:.3g}', *scores, *losses
        ])
    return table([
        'method', 'tuned weight', 'automatic', 'mIoU: alone', 'tuned',
        'automatic', 'task loss: alone', 'tuned', 'automatic'
    ], rows)


def _named(entry: str) -> str:
    return pages()[page_of(entry)] + (', segmentation'
                                      if 'segmentation' in entry else '')


def overhead() -> str:
    """mmkd beside the same distillation written by hand."""
    rows = []
    for name, found in read('overhead.json')['methods'].items():
        ratio = found['mmkd_over_direct_cpu']
        memory = [
            found['memory'][way]['saved_for_backward_bytes']
            for way in ('mmkd', 'direct')
        ]
        size = found['checkpoint'][name]['over_student_and_connectors']
        rows.append([
            _named(name), f'{ratio["paired"]:.3f} ± '
            f'{ratio["paired_error"]:.3f}', f'{memory[0] / memory[1]:.3f}',
            f'{size:.4f}'
        ])
    return table([
        'method', 'step time, mmkd / by hand',
        'saved for backward, mmkd / by hand',
        'checkpoint, mmkd / student and connectors'
    ], rows)


def step_time() -> str:
    """Steps of all modes beside the student's own."""
    ways = {
        'alone fast': 'alone, fast',
        'direct': 'by hand',
        'mmrazor': 'mmrazor',
        'as it is': 'mmkd as it is',
        'default': 'mmkd',
        'cached': 'mmkd cached',
        'fast': 'mmkd `--fast`',
        'cached fast': '`--fast`, cached',
        'weight 0': 'weight 0'
    }
    rows = []
    for name, pair in read('step_time.json')['pairs'].items():
        found = pair['over']['alone']
        rows.append([
            f'{name}, {pair["place"]}',
            *(f'{found[way]["paired"]:.2f}' if way in found else ''
              for way in ways)
        ])
    return table(['pair', *ways.values()], rows)


def loss_time() -> str:
    """The losses alone, beside their formulas and mmrazor."""
    rows = []
    for name, found in read('loss_time.json')['methods'].items():
        ratios = [
            found[x]['ratio'] if x in found else None
            for x in ('formula', 'mmrazor')
        ]
        difference = max(found[x]['difference_of_losses']
                         for x in ('formula', 'mmrazor') if x in found)
        rows.append([
            name, f'{found["cpu_seconds"]["mmkd"]:.3f}',
            *(x and f'{x["paired"]:.2f} ± {x["paired_error"]:.2f}' or ''
              for x in ratios),
            ', '.join(f'{x:.1f}' for x in found['saved_mib'].values()),
            f'{difference:.0g}'
        ])
    return table([
        'method', 'CPU s', '/ formula', '/ mmrazor',
        'kept for backward, MiB: mmkd, formula, mmrazor', 'values differ by'
    ], rows)


def method_cost() -> str:
    """Time and memory of every method, a column a pair."""
    pairs = read('method_cost.json')['pairs']
    costs = {
        pair: {
            x['method']: f'{x["time"]:.1f} / {x["memory"]:.1f}'
            for x in found
        }
        for pair, found in pairs.items()
    }
    methods = sorted({name for found in costs.values() for name in found})
    return table(['method', *costs],
                 [[name, *(found.get(name, '') for found in costs.values())]
                  for name in methods])


_PLAIN = (quick_demo, label_free, auto_ratio, auto_weight, overhead, step_time,
          method_cost, loss_time)
TABLES: Dict[str, Callable[[], str]] = {
    **{
        function.__name__: function
        for function in _PLAIN
    },
    **{
        f'{kind.__name__} {slug}': partial(kind, task)
        for task, slug in TASKS.items()
        for kind in (scores, runs)
    }
}
