"""Initialising parts of the student from its teacher."""
from typing import Dict, List, Optional, Sequence, Tuple

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from torch import nn

from mmkd.core.model import DistillationModel
from mmkd.errors import ConfigError
from mmkd.registry import HOOKS


@HOOKS.register_module()
class InheritTeacherHook(Hook):
    """Initialise the student's neck and heads from the teacher.

    This is the inheriting strategy of FGD, MGD and ACAM-KD: if the networks
    differ only in their backbones, the student's neck and heads start with
    the teacher's weights.

    The hook runs after the student's own initialisation and does nothing if a
    checkpoint was loaded (``load_from``, ``resume``). Tensors with different
    names or shapes are skipped; the log reports how many were copied.

    Args:
        modules (list[str], optional): Submodules to fill, such as
            ``['neck', 'bbox_head']``. Defaults to None: every direct child
            of the student whose name ends with ``neck`` or ``head``, or
            nothing if the classes of the networks differ (such as Cascade
            R-CNN and Faster R-CNN), since their parts have different roles.
        teacher (str, optional): The teacher to copy from. Defaults to None,
            the only one, or the one called ``teacher``.

    Raises:
        ConfigError: When the run starts, if there is no such teacher or
            module, or if a named module has nothing in common with the
            teacher's.
    """
    # Before the self-check, which measures the losses.
    priority = 'HIGH'

    def __init__(self,
                 modules: Optional[Sequence[str]] = None,
                 teacher: Optional[str] = None) -> None:
        if isinstance(modules, str):
            modules = [modules]
        self.modules = None if modules is None else list(modules)
        self.teacher = teacher
        #: Number of copied tensors and of all tensors, by module.
        self.report: Dict[str, Tuple[int, int]] = {}

    def before_train(self, runner) -> None:
        """Copy the weights and log the result."""
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
        name = self._find_teacher(model)
        self.report = {}
        with model.teachers[name].as_loaded() as teacher:
            self._inherit(model.student, teacher, name)

    def _inherit(self, student: nn.Module, teacher: nn.Module,
                 name: str) -> None:
        for path in self._find_modules(student, teacher, name):
            target = _submodule(student, path, 'the student')
            source = _submodule(teacher, path, f'teacher {name!r}')
            copied, total = _copy(source, target)
            if not copied and total and self.modules is not None:
                raise ConfigError(
                    f'InheritTeacherHook: {path!r} of the student '
                    f'({type(target).__name__}) shares no tensor with that '
                    f'of teacher {name!r} ({type(source).__name__}); leave '
                    'it out of `modules`')
            self.report[path] = (copied, total)
            print_log(
                f'{path}: {copied} of {total} tensors start as those of '
                f'teacher {name!r}', 'current')

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
        if self.modules is not None:
            return self.modules
        if type(student) is not type(teacher):
            print_log(
                f'nothing is inherited: the student is a '
                f'{type(student).__name__} and teacher {name!r} a '
                f"{type(teacher).__name__}; InheritTeacherHook's `modules` "
                'copies parts nevertheless', 'current')
            return []
        theirs = dict(teacher.named_children())
        return [
            path for path, _ in student.named_children()
            if path.endswith(('neck', 'head')) and path in theirs
        ]


def _submodule(network: nn.Module, path: str, name: str) -> nn.Module:
    try:
        return network.get_submodule(path)
    except AttributeError:
        known = ', '.join(child for child, _ in network.named_children())
        raise ConfigError(f'InheritTeacherHook: {name} '
                          f'({type(network).__name__}) has no module '
                          f'{path!r}; it has {known}') from None


def _copy(source: nn.Module, target: nn.Module) -> Tuple[int, int]:
    """Copy tensors with equal names and shapes; returns the number of copied
    tensors and of all tensors."""
    given, own = source.state_dict(), target.state_dict()
    matching = {
        key: given[key]
        for key, value in own.items()
        if key in given and given[key].shape == value.shape
    }
    target.load_state_dict(matching, strict=False)
    return len(matching), len(own)
