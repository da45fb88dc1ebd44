"""The features that a method reads, as colours."""
from typing import Dict, List

from torch import Tensor

from mmkd.core.taps.tap import TapSpec
from mmkd.core.visuals import Colours, Visual, principal_colours

#: Tensors and specs of a side by role.
Levels = Dict[str, List[Tensor]]
Specs = Dict[str, List[TapSpec]]


def feature_visuals(student: Levels, teacher: Levels, specs_s: Specs,
                    specs_t: Specs) -> List[Visual]:
    """Maps of both sides by their principal components, level by level.

    Each map has its own components, since the networks have different
    channels: shapes can be compared between panels, colours cannot. Logits
    and maps in bird's-eye view are left out.

    Args:
        student (dict[str, list[Tensor]]): The student's tensors by role.
        teacher (dict[str, list[Tensor]]): The teachers' tensors by role.
        specs_s (dict[str, list[TapSpec]]): Specs of the student's.
        specs_t (dict[str, list[TapSpec]]): Specs of the teachers'.
    """
    visuals: List[Visual] = []
    roles = list(dict.fromkeys([*student, *teacher]))
    for name, tensors, specs in (('student', student, specs_s),
                                 ('teacher', teacher, specs_t)):
        for role in roles:
            for i, (feat, spec) in enumerate(
                    zip(tensors.get(role, []), specs.get(role, []))):
                if feat.dim() != 4 or spec.input_size is None or spec.branch \
                        or spec.kind == 'logits':
                    continue
                group = 'level' if len(roles) == 1 else role
                visuals.append(
                    Colours(f'features of the {name}',
                            principal_colours([feat])[0], f'{group} {i}'))
    return visuals
