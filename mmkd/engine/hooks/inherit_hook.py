"""Initialising the student, or parts of it, from its teacher."""
from typing import Dict, List, Literal, Optional, Sequence, Union

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from torch import nn

from mmkd.core.model import DistillationModel
from mmkd.core.narrowing import Inherited, Narrowing, inherit
from mmkd.errors import ConfigError
from mmkd.registry import HOOKS
from mmkd.utils.arguments import check_choices


@HOOKS.register_module()
class InheritTeacherHook(Hook):
    """Initialise the student's neck and heads, or all of it, from the teacher.

    This is the inheriting strategy of FGD, MGD and ACAM-KD: if the networks
    differ only in their backbones, the student's neck and heads start with
    the teacher's weights. With ``modules='all', narrow=True``, it is the
    teacher-guided initialisation of SparseKD: all weights start as those of
    the teacher, of which a narrower student takes a part
    (:class:`~mmkd.core.narrowing.Narrowing`).

    The hook runs after the student's own initialisation and does nothing if a
    checkpoint was loaded (``load_from``, ``resume``). Tensors with different
    names or shapes are skipped; the log reports how many were copied.

    Args:
        modules (list[str] | str, optional): Submodules to fill, such as
            ``['neck', 'bbox_head']``; ``'all'`` is every direct child of
            the student. Defaults to None: those children whose name ends with
            ``neck`` or ``head``, or nothing if the classes of the networks
            differ (such as Cascade R-CNN and Faster R-CNN), since their parts
            have different roles.
        teacher (str, optional): The teacher to copy from. Defaults to None,
            the only one, or the one called ``teacher``.
        narrow (bool): Whether a tensor of a narrower layer starts as a part
            of the teacher's. Defaults to False: it is skipped.
        select (str): The output channels that ``narrow`` keeps: the
            ``'first'``, or those with the largest ``'l1'`` norm of their
            weights. Defaults to ``'first'``.
        bev_order (str): Which channels ``narrow`` keeps of a voxel network's
            map in bird's-eye view: ``'channel'``, those of the kept channels
            of its volume; or ``'slice'``, as in SparseKD's release, which
            mixes them. Defaults to ``'channel'``.

    Raises:
        ConfigError: When the run starts, if there is no such teacher or
            module, or if a named module has nothing in common with the
            teacher's.
    """
    # Before the self-check, which measures the losses.
    priority = 'HIGH'

    def __init__(self,
                 modules: Union[Sequence[str], str, None] = None,
                 teacher: Optional[str] = None,
                 narrow: bool = False,
                 select: Literal['first', 'l1'] = 'first',
                 bev_order: Literal['channel', 'slice'] = 'channel') -> None:
        check_choices(
            'InheritTeacherHook',
            InheritTeacherHook,
            select=select,
            bev_order=bev_order)
        self.all_modules = modules == 'all'
        if isinstance(modules, str):
            modules = [modules]
        self.modules = None if modules is None else list(modules)
        self.teacher = teacher
        self.narrow, self.select, self.bev_order = narrow, select, bev_order
        #: Number of tensors by module.
        self.report: Dict[str, Inherited] = {}
        #: What the student started from; ``''`` if nothing was inherited.
        self.account = ''

    def before_train(self, runner) -> None:
        """Fill a student that no checkpoint was loaded into."""
        model = runner.model
        if is_model_wrapper(model):
            model = model.module
        if not isinstance(model, DistillationModel):
            return
        if runner.iter > 0 or runner._has_loaded:
            print_log(
                'nothing is inherited: the student comes from a checkpoint',
                'current')
            return
        self.fill(model)

    def fill(self, model: DistillationModel) -> None:
        """Copy the weights and log the result, whatever the student has.

        Args:
            model (DistillationModel): Student and teachers.

        Raises:
            ConfigError: See above.
        """
        name = self._find_teacher(model)
        self.report = {}
        with model.teachers[name].as_loaded() as teacher:
            self._inherit(model.student, teacher, name)
        total = sum(self.report.values(), Inherited(0, 0, 0))
        if total.whole + total.narrowed:
            self.account = (f'{total.whole + total.narrowed} of {sum(total)} '
                            f'tensors from teacher {name!r}')

    def _inherit(self, student: nn.Module, teacher: nn.Module,
                 name: str) -> None:
        paths = self._find_modules(student, teacher, name)
        for path in paths:
            _check_module(student, path, 'the student')
            _check_module(teacher, path, f'teacher {name!r}')
        narrowing = Narrowing(student, teacher, self.select,
                              self.bev_order) if self.narrow else None
        for path in paths:
            found = inherit(student, teacher, path, narrowing)
            self.report[path] = found
            if found.left and not found.whole + found.narrowed and (
                    self.modules is not None and not self.all_modules):
                raise ConfigError(
                    f'InheritTeacherHook: {path!r} of the student '
                    f'({type(student.get_submodule(path)).__name__}) shares '
                    f'no tensor with that of teacher {name!r} '
                    f'({type(teacher.get_submodule(path)).__name__}); leave '
                    'it out of `modules`')
            print_log(
                f'{path}: of {sum(found)} tensors, {found.whole} start as '
                f'those of teacher {name!r}, {found.narrowed} as parts of '
                f'them, and {found.left} as initialised', 'current')
        if self.all_modules and not any(x.whole + x.narrowed
                                        for x in self.report.values()):
            raise ConfigError(
                f'InheritTeacherHook: the student ({type(student).__name__}) '
                f'shares no tensor with teacher {name!r} '
                f'({type(teacher).__name__}); leave the hook out')

    def _find_teacher(self, model: DistillationModel) -> str:
        name = self.teacher
        if name is None:
            name = next(iter(model.teachers)) if len(
                model.teachers) == 1 else 'teacher'
        if name not in model.teachers:
            raise ConfigError(
                f'InheritTeacherHook: there is no teacher {name!r}; `teacher` '
                f'is one of {", ".join(model.teachers)}')
        return name

    def _find_modules(self, student: nn.Module, teacher: nn.Module,
                      name: str) -> List[str]:
        theirs = dict(teacher.named_children())
        if self.all_modules:
            return [
                path for path, child in student.named_children()
                if path in theirs and child.state_dict()
            ]
        if self.modules is not None:
            return self.modules
        if type(student) is not type(teacher):
            print_log(
                f'nothing is inherited: the student is a '
                f'{type(student).__name__} and teacher {name!r} a '
                f"{type(teacher).__name__}; InheritTeacherHook's `modules` "
                'copies parts nevertheless', 'current')
            return []
        return [
            path for path, _ in student.named_children()
            if path.endswith(('neck', 'head')) and path in theirs
        ]


def _check_module(network: nn.Module, path: str, name: str) -> None:
    try:
        network.get_submodule(path)
    except AttributeError:
        known = ', '.join(child for child, _ in network.named_children())
        raise ConfigError(f'InheritTeacherHook: {name} '
                          f'({type(network).__name__}) has no module '
                          f'{path!r}; it has {known}') from None
