"""The table of taps of a distillation model."""
from typing import List, Mapping, Sequence

from mmkd.core.distiller import Distiller
from mmkd.core.step import TapPlan
from mmkd.core.taps.tap import TapSpec
from mmkd.utils.table import format_table


def summary_table(distillers: Mapping[str, Distiller], plan: TapPlan) -> str:
    """Taps, shapes, own modules and weights of each distiller.

    Args:
        distillers (Mapping[str, Distiller]): All distillers by name.
        plan (TapPlan): Their taps, after the dry run.
    """
    rows: List[List[str]] = []
    for name, distiller in distillers.items():
        specs_s, specs_t = plan.specs_of(name)
        weights = {
            term: weight.value * distiller.loss_weight.value
            for term, weight in distiller.weights.items()
        }
        auto = '' if distiller.balance is None else 'auto x '
        method = f'{name} ({type(distiller).__name__})'
        for role in dict.fromkeys([*specs_s, *specs_t]):
            levels_s, levels_t = specs_s.get(role, []), specs_t.get(role, [])
            for i in range(max(len(levels_s), len(levels_t))):
                rows.append([
                    method, role, *_tap_cells(levels_s, i),
                    *_tap_cells(levels_t, i)
                ])
                method = ''
        rows.append([
            '', 'weights',
            auto + ', '.join(f'{term} {weight:g}'
                             for term, weight in weights.items()), '', '', ''
        ])
        count = sum(p.numel() for p in distiller.parameters())
        if count:
            rows.append(
                ['', 'own modules', f'{count:,} parameters', '', '', ''])
    return format_table(
        ['distiller', 'role', 'student tap', 'shape', 'teacher tap', 'shape'],
        rows)


def _tap_cells(levels: Sequence[TapSpec], level: int) -> List[str]:
    if level >= len(levels):
        return ['', '']
    spec = levels[level]
    stride = f' /{spec.stride:g}' if spec.stride else ''
    return [spec.path, 'x'.join(map(str, spec.shape[1:])) + stride]
