"""The interface of a distillation method."""
from abc import abstractmethod
from typing import (Any, Callable, ClassVar, Dict, Iterable, Iterator, List,
                    Mapping, Optional, Sequence, Tuple, Union)

import torch
from mmengine.model import BaseModule
from torch import Tensor

from mmkd.core.balance import (GradientBalance, LossWeightLike, Measured,
                               calibrate, read_loss_weight)
from mmkd.core.batch import StepBatch
from mmkd.core.schedule import (Progress, WeightLike, WeightSchedule,
                                build_weight)
from mmkd.core.taps.tap import Tap, TapLike, TapSpec
from mmkd.core.visuals import Visual
from mmkd.errors import ConfigError
from mmkd.utils.arguments import argument_names
from mmkd.utils.renamed import warn_of_old_name

TapsLike = Union[TapLike, Sequence[TapLike],
                 Mapping[str, Union[TapLike, Sequence[TapLike]]], None]


class Distiller(BaseModule):
    """Base class of methods: computes losses from tapped tensors.

    A method is a subclass that declares the places it reads (:attr:`roles`),
    builds its trainable modules in :meth:`setup`, once the shapes are known,
    and computes its terms in :meth:`losses`. It has no access to a whole
    model, a runner or a file.

    Args:
        student (str | dict | list, optional): Taps in the student: a tap, a
            list of taps (levels), or a dict from role to either. Defaults to
            None: the standard place of the network's family for every role.
        teacher (str | dict | list, optional): The same for the teacher. With
            several teachers, a tap can name its network, as in
            ``'assistant:neck'``. Defaults to None.
        weights (dict[str, float | dict], optional): Weight of some or all
            terms, a number or the arguments of :class:`WeightSchedule`.
            Other terms have their :attr:`default_weights`. Defaults to None.
        loss_weight (float | str | dict): Weight of the whole method, which
            multiplies those of the terms: a number, the arguments of
            :class:`WeightSchedule`, ``'auto'``
            (:class:`~mmkd.core.balance.GradientBalance`), or
            ``dict(type='gam')``
            (:class:`~mmkd.core.gradient_share.GradientShare`). Defaults to
            1.0.
        init_cfg (dict, optional): Initialisation of the method's modules.
            Defaults to None.

    Raises:
        ConfigError: If a weight or a role is invalid.
    """

    #: Roles of the tensors that the method reads in the student.
    roles: ClassVar[Tuple[str, ...]] = ('logits', )
    #: Roles in the teacher; None means the same roles.
    teacher_roles: ClassVar[Optional[Tuple[str, ...]]] = None
    #: Whether it uses the student's 3D detection head (``batch.head``) or RoIs
    #: (``batch.roi_samples``). Both networks' heads must then mean the same.
    #: An option may decide, as for the dense heads.
    needs_head: bool = False
    needs_rois: bool = False
    #: Names of the dense 2D heads that it serves, if it uses the heads
    #: (``batch.dense_head``). Those of both networks must then be alike.
    dense_heads: Tuple[str, ...] = ()
    #: Whether it reads a teacher's inputs (``batch.inputs_of``).
    needs_inputs: ClassVar[bool] = False
    #: Whether it compares the weights of its teachers with those of a file
    #: (``TapSpec.weights_hash``).
    needs_weights_hash: bool = False
    #: Whether it reads ground truth; an option may decide.
    needs_labels: bool = False
    #: All terms that :meth:`losses` may return, with their default weights.
    default_weights: Mapping[str, WeightLike] = {'loss': 1.0}
    #: Values for the log that :meth:`losses` may return as well.
    figures: Tuple[str, ...] = ()
    #: Options to try where the choice is left to mmkd, the default ones first.
    trials: ClassVar[Tuple[Mapping[str, Any], ...]] = ({}, )
    #: Defaults in a config for students that are detectors of two stages.
    two_stage_options: ClassVar[Mapping[str, Any]] = {}
    #: Terms that only train the method's modules, not the student.
    own_terms: Tuple[str, ...] = ()

    def __init__(self,
                 student: TapsLike = None,
                 teacher: TapsLike = None,
                 weights: Optional[Dict[str, WeightLike]] = None,
                 loss_weight: LossWeightLike = 1.0,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        self.weights: Dict[str, WeightSchedule] = {
            term: _read_weight(self, f'the weight of {term}', weight,
                               build_weight)
            for term, weight in self._all_weights(weights or {}).items()
        }
        self.loss_weight, self.balance = _read_weight(self, 'loss_weight',
                                                      loss_weight,
                                                      read_loss_weight)
        name = type(self).__name__
        self.student_taps = _taps_by_role(name, student, self.roles, 'student')
        self.teacher_taps = _taps_by_role(name, teacher, self.teacher_roles
                                          or self.roles, 'teacher')

    @classmethod
    def settled_options(
            cls, student: Mapping[str, Any],
            teachers: Mapping[str, Mapping[str, Any]]) -> Dict[str, Any]:
        """Options that the networks settle, for a config that leaves them out.

        Args:
            student (Mapping[str, Any]): What the student's family reads from
                it (:meth:`mmkd.families.Family.traits`).
            teachers (Mapping[str, Mapping[str, Any]]): The same of each
                teacher, by name.

        Returns:
            dict: By default, those traits of the student that are names of
            arguments, and :attr:`two_stage_options`.
        """
        known = argument_names(cls)
        options = {key: x for key, x in student.items() if key in known}
        if student.get('two_stage'):
            options.update(cls.two_stage_options)
        return options

    def _all_weights(
            self, given: Mapping[str, WeightLike]) -> Mapping[str, WeightLike]:
        """The weights of all terms: the given ones and the defaults."""
        unknown = [term for term in given if term not in self.default_weights]
        if not unknown:
            return {**self.default_weights, **given}
        if self.default_weights is Distiller.default_weights and all(
                term.startswith('loss') for term in given):
            warn_of_old_name(
                f'{type(self).__name__} declares its terms by `weights`; from '
                'the next version on it must do so by the class attribute '
                '`default_weights`')
            return given
        raise ConfigError(f'{type(self).__name__} has no term {unknown[0]!r}; '
                          '`weights` takes the keys '
                          f'{", ".join(self.default_weights)}')

    def before_training(self, batches: Iterator[Dict[str, List[Tensor]]],
                        images: int) -> None:
        """Learn of the training data; by default, there is nothing to learn.

        :class:`~mmkd.engine.hooks.StatisticsHook` calls it at the start of a
        run, in all processes; of a resumed run, after its state is loaded.

        Args:
            batches (Iterator): The teachers' tensors by role, as in
                :meth:`losses`, for batches of training images without end.
            images (int): Number of training images, unlabelled ones
                included.
        """

    def setup(self, student: Dict[str, List[TapSpec]],
              teacher: Dict[str, List[TapSpec]]) -> None:
        """Build everything that depends on shapes, once, after the dry run.

        Args:
            student (dict[str, list[TapSpec]]): Specs of the student's taps
                from the dry run, by role, one per level.
            teacher (dict[str, list[TapSpec]]): The same for the teacher.

        Raises:
            ConfigError: If the two sides cannot be matched.
        """
        self.check_levels(student, teacher)

    def check_levels(self, student: Dict[str, List[TapSpec]],
                     teacher: Dict[str, List[TapSpec]]) -> None:
        """Check that both sides have the same number of levels per role."""
        for role in set(student) & set(teacher):
            levels_s, levels_t = student[role], teacher[role]
            if len(levels_s) != len(levels_t):
                raise ConfigError(
                    f'{type(self).__name__}: {role!r} has {len(levels_s)} '
                    f'level(s) in the student ({levels_s[0].path}) but '
                    f'{len(levels_t)} in the teacher ({levels_t[0].path}); '
                    "choose levels with an index, such as 'neck[0:3]'")

    @abstractmethod
    def losses(self, student: Dict[str, List[Tensor]],
               teacher: Dict[str, List[Tensor]],
               batch: StepBatch) -> Dict[str, Tensor]:
        """Compute the terms of the method, unweighted.

        Args:
            student (dict[str, list[Tensor]]): The student's tensors by role,
                one per level.
            teacher (dict[str, list[Tensor]]): The teachers' tensors by role,
                detached.
            batch (StepBatch): Ground truth, progress and active terms.

        Returns:
            dict[str, Tensor]: One scalar for each term, at least for the
            active ones, and for any of the :attr:`figures`.
        """

    def visuals(self, student: Dict[str, List[Tensor]],
                teacher: Dict[str,
                              List[Tensor]], batch: StepBatch) -> List[Visual]:
        """Report the method's masks, attention or distances for visualization.

        :class:`mmkd.engine.hooks.DistillationVisualizationHook` and
        ``mmkd browse`` call it on a copy in eval mode
        without gradients, independently of training. By default, there is
        nothing to draw.

        Args:
            student (dict[str, list[Tensor]]): As in :meth:`losses`.
            teacher (dict[str, list[Tensor]]): As in :meth:`losses`.
            batch (StepBatch): Ground truth and progress; no term is active.

        Returns:
            list[Visual]: The visuals in drawing order; names are unique within
            a group.
        """
        return []

    def term_weights(self, progress: Progress) -> Dict[str, float]:
        """Weight of each term at ``progress``, without terms of weight 0."""
        whole = self.loss_weight(progress)
        weights = {
            term: whole * weight(progress)
            for term, weight in self.weights.items()
        } if whole else {}
        return {term: weight for term, weight in weights.items() if weight}

    def peak_weights(self) -> Dict[str, float]:
        """Maximum weight of each term, without terms of weight 0."""
        weights = {
            term: weight.peak * self.loss_weight.peak
            for term, weight in self.weights.items()
        }
        return {term: weight for term, weight in weights.items() if weight}

    def forward(self,
                student: Dict[str, List[Tensor]],
                teacher: Dict[str, List[Tensor]],
                batch: StepBatch,
                weights: Optional[Mapping[str, float]] = None,
                weigh: bool = True) -> Dict[str, Tensor]:
        """Compute the weighted terms; see :meth:`losses` for the others.

        Args:
            weights (Mapping[str, float], optional): Weight of each active
                term. Defaults to None: those at ``batch.progress``.
            weigh (bool): Whether to apply the weights; see :meth:`weigh`.
                Defaults to True.

        Returns:
            dict[str, Tensor]: One weighted scalar for each declared term; an
            inactive term is an exact zero. Values for the log follow,
            unweighted and detached. Without ``weigh``, the results of
            :meth:`losses`.
        """
        if weights is None:
            weights = self.term_weights(batch.progress)
        terms = self.losses(student, teacher,
                            batch.for_terms(frozenset(weights)))
        _check_terms(self, terms, weights)
        if not weigh:
            return terms
        if isinstance(self.balance, GradientBalance):
            calibrate(
                {type(self).__name__: measured(self, student, terms, weights)},
                batch.task_losses)
        return self.weigh(terms, weights)

    def weigh(self, terms: Mapping[str, Tensor],
              weights: Mapping[str, float]) -> Dict[str, Tensor]:
        """Turn the results of :meth:`losses` into those of
        :meth:`forward`."""
        weighted = {term: terms[term] * weights[term] for term in weights}
        automatic = {}
        if self.balance is not None:
            weight = automatic['weight'] = self.balance()
            weighted = {term: weighted[term] * weight for term in weights}
        if len(weights) < len(self.weights):
            device = next(iter(weighted.values())).device
            weighted = {**self.idle_losses(device), **weighted}
        figures = {
            key: value.detach()
            for key, value in terms.items() if key not in self.weights
        }
        return {**weighted, **figures, **automatic}

    def idle_losses(self, device: torch.device) -> Dict[str, Tensor]:
        """Exact zeros for every term, attached to the method's parameters.

        Distributed training needs every parameter in the graph, even in
        iterations in which the method does not run.

        Args:
            device (torch.device): Device of the zeros.
        """
        zero = torch.zeros((), device=device)
        own = [p for p in self.parameters() if p.requires_grad]
        if own:
            zero = _AttachedZero.apply(zero, *own)
        return {term: zero for term in self.weights}


def _taps_by_role(name: str, taps: TapsLike, roles: Tuple[str, ...],
                  side: str) -> Dict[str, Optional[List[Tap]]]:
    """Parse the taps of a config; None stands for the standard place."""
    given: Mapping[str, Any]
    if taps is None:
        given = {}
    elif isinstance(taps, Mapping) and 'module' not in taps:
        given = taps
    else:
        if len(roles) != 1:
            raise ConfigError(
                f'{name} reads several places; give '
                f'`{side}` as a dict with the keys {", ".join(roles)}')
        given = {roles[0]: taps}
    unknown = [role for role in given if role not in roles]
    if unknown:
        raise ConfigError(f'{name} has no role {unknown[0]!r}; `{side}` '
                          f'takes the keys {", ".join(roles)}')
    by_role: Dict[str, Optional[List[Tap]]] = {}
    for role in roles:
        value: Any = given.get(role)
        if value is None:
            by_role[role] = None
        elif isinstance(value, (list, tuple)):
            if not value:
                raise ConfigError(f'{name}: `{side}` '
                                  f'lists no tap for {role!r}')
            by_role[role] = [Tap.parse(tap) for tap in value]
        else:
            by_role[role] = [Tap.parse(value)]
    return by_role


def flat_levels(tensors: Mapping[str, List[Tensor]]) -> List[Tensor]:
    """The tensors of all roles."""
    return [tensor for levels in tensors.values() for tensor in levels]


def _check_terms(distiller: Distiller, terms: Mapping[str, Tensor],
                 active: Iterable[str]) -> None:
    """Check that a method returned its active terms, and nothing unknown."""
    name = type(distiller).__name__
    for term in active:
        if term not in terms:
            raise RuntimeError(f'{name}.losses did not return the active '
                               f'term {term!r}')
    for key in terms:
        if key not in distiller.weights and key not in distiller.figures:
            raise RuntimeError(
                f'{name}.losses returned {key!r}, which is neither one of '
                f'its terms ({", ".join(distiller.weights)}) nor of its '
                'figures; declare it in `default_weights` or `figures`')


def measured(distiller: Distiller, student: Dict[str, List[Tensor]],
             terms: Mapping[str, Tensor], active: Iterable[str]) -> Measured:
    """What calibrates the automatic weight of a method: its active terms at
    their largest weights, and the student's taps."""
    assert isinstance(distiller.balance, GradientBalance)
    values = [terms[term] * distiller.weights[term].peak for term in active]
    return Measured(distiller.balance, sum(values[1:], values[0]),
                    flat_levels(student))


def _read_weight(distiller: Distiller, name: str, weight: LossWeightLike,
                 read: Callable[[Any], Any]) -> Any:
    """Read a weight; errors name the method."""
    try:
        return read(weight)
    except ConfigError as error:
        raise ConfigError(
            f'{type(distiller).__name__}, {name}: {error}') from None


class _AttachedZero(torch.autograd.Function):
    """A zero with parameters in its graph, but without gradients for them.

    Distributed training would also accept zero gradients. However, weight
    decay and momentum would then change idle parameters, and the zeros would
    be part of the norm for gradient clipping, whose last bit depends on how
    many numbers are summed.
    """

    @staticmethod
    def forward(ctx, zero: Tensor, *parameters: Tensor) -> Tensor:
        """Return the zero."""
        return zero.clone()

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tuple[None, ...]:
        """Return no gradient."""
        return (None, ) * len(ctx.needs_input_grad)
