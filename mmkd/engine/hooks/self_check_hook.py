"""Checking teachers and losses before training starts."""
import copy
import logging
import math
import traceback
from typing import Any, Dict, List, Tuple

import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from torch import Tensor, nn

from mmkd.core.mixed import pick_images
from mmkd.core.model import DistillationModel
from mmkd.core.terms import total_loss
from mmkd.engine.gradients import MethodGradient, measure_gradients
from mmkd.engine.sampling import batch_size, training_batches
from mmkd.engine.shuffled import shuffled_losses
from mmkd.errors import ConfigError, MMKDError
from mmkd.families.foundation import FoundationNetwork
from mmkd.registry import HOOKS
from mmkd.utils.arguments import error_context, with_reason
from mmkd.utils.rng import preserve_rng
from mmkd.utils.table import format_table


@HOOKS.register_module()
class SelfCheckHook(Hook):
    """Check teachers and losses on a few training batches, before training.

    - Does each teacher work? Its task loss on real images must be clearly
      below that on blank ones. A wrong checkpoint or normalisation is the
      most common reason why distillation does not help. A blank image has
      the mean colour everywhere; a blank scan has as many points as before,
      all at their mean.
    - Does a teacher without a task, such as a foundation model, tell images
      apart? The means of its maps must differ between up to eight images.
      They hardly do with random weights, or where the images are divided by
      255 twice. A wrong mean or std of the normalisation cannot be found out.
    - Does the student learn what such a teacher says of an image? After 200
      iterations, the loss must be lower than against what it says of other
      images of the batch.
    - How large are each distillation loss and its gradient at the student's
      taps, compared with the task loss?

    The check does not affect the run: weights, buffers, RNG state and the
    order of the data stay the same. A resumed run is not checked again.

    Args:
        num_batches (int): Number of training batches to use, at most: the
            first that shows clearly whether a teacher works is the last.
            Defaults to 2.
        teacher_margin (float): Maximum ratio of a teacher's loss on real
            images or scans to its loss on blank ones. Defaults to 0.8.
        gradient_band (tuple[float, float]): Expected range of the gradient of
            a method at its taps, as a multiple of the task loss's. Defaults
            to (1e-3, 1e2).
        most_similar (float): Mean cosine between the features of different
            images above which a teacher without a task is suspicious. It was
            0.2 for a trained EfficientNet-Lite0 and 0.99 for a random one; it
            has not been verified for transformers. Defaults to 0.95.
    """
    priority = 'LOW'

    def __init__(self,
                 num_batches: int = 2,
                 teacher_margin: float = 0.8,
                 gradient_band: Tuple[float, float] = (1e-3, 1e2),
                 most_similar: float = 0.95) -> None:
        if num_batches < 1:
            raise ConfigError('SelfCheckHook: num_batches must be at least '
                              f'1, but got {num_batches}')
        self.num_batches = num_batches
        self.teacher_margin = teacher_margin
        self.gradient_band = gradient_band
        self.most_similar = most_similar
        #: The results, in more detail than in the log.
        self.report: Dict[str, dict] = {}
        #: What may be wrong, as in the log.
        self.warnings: List[str] = []

    def before_train(self, runner) -> None:
        """Run the checks and log them.

        Raises:
            ConfigError: If the networks do not run on the data, or if a loss
                is not finite.
            DataError: If a file cannot be loaded.
        """
        model = runner.model
        if is_model_wrapper(model):
            model = model.module
        if not isinstance(model, DistillationModel) or runner.iter > 0:
            return
        with preserve_rng():
            # A copy, so that statistics, counters and caches stay unchanged.
            model = copy.deepcopy(model)
            with error_context('the training data cannot be loaded'):
                batches = self._batches(runner, model)
            self.check_teachers(model, batches)
            self._check_losses(model, batches)

    def before_train_iter(self,
                          runner,
                          batch_idx: int,
                          data_batch: Any = None) -> None:
        """After 200 iterations, compare losses with those against shuffled
        images.

        An iteration changes data samples of its batch, so this takes the next
        one.
        """
        if runner.iter != _LEARNT:
            return
        model = getattr(runner.model, 'module', runner.model)
        if not isinstance(model, DistillationModel):
            return
        try:
            with preserve_rng():
                losses = shuffled_losses(model, data_batch)
        except Exception as error:  # no reason to end the training
            _say_why('losses against shuffled images', error)
            return
        for name, (loss, wrong) in losses.items():
            self.report[f'{name} shuffled'] = dict(loss=loss, shuffled=wrong)
            text = (f'loss {loss:.4g} after {_LEARNT} iterations; {wrong:.4g} '
                    'against the features of other images')
            if loss < wrong:
                print_log(f'self-check: {name}: {text}', 'current')
            else:
                self._warn(f'{name} does not learn to tell images apart: '
                           f"{text}. Check the teacher's mean and std, the "
                           'taps, and the learning rate')

    def _batches(self, runner, model: DistillationModel) -> List[dict]:
        """A few training batches, without changing the order of the loader."""
        loader = runner.train_dataloader
        size, total = batch_size(loader), len(loader.dataset)
        count = self.num_batches * size
        if any(
                isinstance(teacher.network, FoundationNetwork)
                for teacher in model.teachers.values()):
            count = max(count, _IMAGES)
        count = min(count, total)
        indices = [i * total // count for i in range(count)]
        return list(training_batches(loader, indices, size))

    def check_teachers(self, model: DistillationModel,
                       batches: List[dict]) -> None:
        """Compare each teacher's task loss on real and on blank data, or the
        features of one without a task between images.

        Args:
            model (DistillationModel): The model.
            batches (list[dict]): Batches of the data loader.

        Raises:
            ConfigError: If features are not finite.
        """
        for name, teacher in model.teachers.items():
            if isinstance(teacher.network, FoundationNetwork):
                self._check_features(model, name, batches)
                continue
            real, blank, sensors = [], [], ''
            try:
                for data in batches[:self.num_batches]:
                    batch = _teacher_batch(model, name, data)
                    real.append(_task_loss(teacher.network, batch))
                    sensors = _sensors(batch['inputs'])
                    if sensors:
                        batch = _teacher_batch(model, name, _blank_scans(data))
                        batch['inputs'] = _blank_images(batch['inputs'])
                        blank.append(_task_loss(teacher.network, batch))
                        if self._is_clear(real[-1], blank[-1]):
                            break
            except Exception as error:  # of another library, for instance
                _say_why(f'the task loss of teacher {name!r}', error)
                continue
            loss = sum(r['loss'] for r in real) / len(real)
            extra = ''.join(
                f', {key} {sum(r[key] for r in real) / len(real):.1f}'
                for key in real[0] if key != 'loss')
            found = dict(loss=loss, blank=None, ok=math.isfinite(loss))
            text = f'task loss {loss:.4g}{extra}'
            if blank:
                found['blank'] = sum(b['loss'] for b in blank) / len(blank)
                found['ok'] = loss <= self.teacher_margin * found['blank']
                text += f'; {found["blank"]:.4g} on blank {sensors}'
            self.report[f'teacher {name}'] = found
            if found['ok']:
                print_log(f'self-check: teacher {name!r}: {text}', 'current')
            else:
                self._warn(
                    f'teacher {name!r} does not seem to do its job: {text}. '
                    'Is its checkpoint of this config, and its '
                    f'{_INPUT_SETTINGS.get(sensors, "input")} right?')

    def _check_features(self, model: DistillationModel, name: str,
                        batches: List[dict]) -> None:
        """Check that a teacher's features differ between images."""
        try:
            vectors = _image_means(model, name, batches)
        except Exception as error:  # of another library, for instance
            _say_why(f'the features of teacher {name!r}', error)
            return
        if not vectors.isfinite().all():
            raise ConfigError(
                f'self-check: teacher {name!r} gives features that are not '
                "finite; with precision='fp16', try 'bf16' or 'fp32', and "
                'check its weights')
        cosines = nn.functional.normalize(vectors, dim=1)
        cosines = cosines @ cosines.T
        count = len(vectors)
        if count < 2:
            return
        mean = float((cosines.sum() - cosines.trace()) / (count * (count - 1)))
        self.report[f'features of {name}'] = dict(cosine=mean)
        text = f'cosine {mean:.3f} between the features of {count} images'
        if mean > self.most_similar:
            self._warn(f'teacher {name!r} looks untrained, or its images are '
                       f'divided by 255 twice: {text}. Check its weights, and '
                       'the mean and std that the log prints')
        else:
            print_log(f'self-check: teacher {name!r}: {text}', 'current')

    def _is_clear(self, real: Dict[str, float], blank: Dict[str,
                                                            float]) -> bool:
        """Whether more batches are unlikely to change the verdict."""
        limit = self.teacher_margin * blank['loss']
        return not .8 * limit <= real['loss'] <= 1.2 * limit

    def _check_losses(self, model: DistillationModel,
                      batches: List[dict]) -> None:
        rows, warnings = [], []
        try:
            measured = measure_gradients(model, batches[0])
        except MMKDError:
            raise
        except Exception as error:
            part = failing_module(model, error)
            raise ConfigError(
                with_reason(
                    'the model does not run on the training data' +
                    (f'; the error is in {part}' if part else ''),
                    error)) from error
        low, high = self.gradient_band
        for method in measured:
            ratio = method.gradient
            far = ratio is not None and not low <= ratio <= high
            if far:
                warnings.append(_advice(method, low, high))
            for term in method.terms:
                self.report[term.term] = dict(
                    vars(term), task=method.task, method=ratio)
                rows.append([
                    term.term, f'{term.loss:.4g}',
                    f'{term.loss / method.task:.3g}' if method.task else None,
                    None if term.gradient is None else f'{term.gradient:.3g}'
                ])
                if not math.isfinite(method.task):
                    raise ConfigError(
                        "self-check: the student's own loss is "
                        f'{method.task} on the first training batch; are its '
                        'config and the annotations right?')
                if not math.isfinite(term.loss):
                    raise ConfigError(f'self-check: {term.term} is '
                                      f'{term.loss} on the first training '
                                      'batch; are its options right?')
                if term.own:
                    continue
                if term.reaches is False:
                    warnings.append(
                        f'{term.term} gives the student no gradient: its '
                        'taps lie in frozen or checkpointed layers')
                elif not far and (term.gradient is not None
                                  and term.gradient < low):
                    warnings.append(
                        f'the gradient of {term.term} at its taps is '
                        f'{term.gradient:.3g} times that of the task loss, '
                        f'which is below {low:g}')
        print_log(
            'self-check: losses at full weight beside the task loss\n' +
            format_table(['term', 'loss', 'of task', 'gradient'], rows),
            'current')
        for warning in warnings:
            self._warn(warning)

    def _warn(self, text: str) -> None:
        self.warnings.append(text)
        print_log(f'self-check: {text}', 'current', logging.WARNING)


def _advice(method: MethodGradient, low: float, high: float) -> str:
    """What to do about a gradient that is out of all proportion."""
    weight = '' if method.balanced_weight is None else (
        f'; loss_weight={method.balanced_weight:.3g} would make them equal, '
        "and loss_weight='auto' finds a weight during training")
    return (f'the gradient of {method.name} at its taps is '
            f'{method.gradient:.3g} times that of the task loss, outside of '
            f'{low:g} to {high:g}{weight}')


#: Iterations after which a student knows something of its teacher.
_LEARNT = 200

#: Number of images whose features are compared.
_IMAGES = 8

#: Likely causes if a trained teacher does not work.
_INPUT_SETTINGS = {
    'images':
    'normalisation (mean, std, channel order)',
    'scans':
    'input (range, columns of the points, sweeps)',
    'images and scans':
    'input (normalisation of the images; range, columns '
    'and sweeps of the points)'
}


def _image_means(model: DistillationModel, name: str,
                 batches: List[dict]) -> Tensor:
    """Mean of the cells of a teacher's last map, (N, C), of some images."""
    teacher, found = model.teachers[name], []
    for data in batches:
        total = len(data['inputs'])
        count = min(total, -(-_IMAGES // len(batches)))
        part = pick_images(data, [i * total // count for i in range(count)])
        inputs = _teacher_batch(model, name, part)['inputs']
        with torch.no_grad(), teacher.autocast(features=True):
            found.append(teacher.network(inputs)[-1].float().mean(dim=(2, 3)))
    return torch.cat(found)[:_IMAGES]


def _say_why(what: str, error: Exception) -> None:
    print_log(
        f'self-check: {what} cannot be had on this data '
        f'({type(error).__name__}: {str(error)[:120]})', 'current')


def _teacher_batch(model: DistillationModel, name: str, data: dict) -> dict:
    """A batch for a teacher, with copied data samples that it may change."""
    samples = copy.deepcopy(data.get('data_samples'))
    batch = model.prepare_batch(dict(data, data_samples=samples), [name])
    return model.teachers[name].bring(dict(batch['teacher_batches'][name]))


def _sensors(inputs: Any) -> str:
    """Name the inputs that can be blank: images, scans or both."""
    if isinstance(inputs, Tensor):
        return 'images'
    if not isinstance(inputs, dict):
        return ''
    return ' and '.join(word for key, word in (('imgs', 'images'), ('points',
                                                                    'scans'))
                        if inputs.get(key) is not None)


def _blank_images(inputs: Any) -> Any:
    """Prepared inputs with images of zeros, which is their mean."""
    if isinstance(inputs, Tensor):
        return torch.zeros_like(inputs)
    if isinstance(inputs.get('imgs'), Tensor):
        return dict(inputs, imgs=torch.zeros_like(inputs['imgs']))
    return inputs


def _blank_scans(data: dict) -> dict:
    """A batch of the loader with the points of each scan at their mean.

    This happens before the preprocessor, which voxelises them. The mean lies
    in every range that contains all points.
    """
    inputs = data['inputs']
    if not isinstance(inputs, dict):
        return data
    blank = dict(inputs)
    for key, scans in inputs.items():
        if isinstance(scans, (list, tuple)) and all(
                isinstance(scan, Tensor) and scan.dim() == 2
                for scan in scans):
            blank[key] = [
                scan.mean(0, keepdim=True).expand_as(scan).clone()
                if len(scan) else scan for scan in scans
            ]
    return dict(data, inputs=blank)


def failing_module(model: nn.Module, error: BaseException) -> str:
    """Name the innermost module of a model in which an error occurred, such
    as ``'student.neck (FPN)'``; ``''`` if it was outside all of them."""
    names = {
        id(module): name
        for name, module in model.named_modules() if name
    }
    for teacher, part in getattr(model, 'teachers', {}).items():
        names.update({
            id(module): f'teacher {teacher!r}: {name}'
            for name, module in part.network.named_modules()
        })
    found = ''
    for frame, _ in traceback.walk_tb(error.__traceback__):
        module = frame.f_locals.get('self')
        if id(module) in names:
            found = f'{names[id(module)]} ({type(module).__name__})'
    return found


def _task_loss(network: nn.Module, batch: dict) -> Dict[str, float]:
    """Task loss of a frozen network, and its accuracies."""
    with torch.no_grad():
        losses = network(batch['inputs'], batch['data_samples'], mode='loss')
    accuracies = {
        key: float(value)
        for key, value in losses.items()
        if 'acc' in key and isinstance(value, Tensor) and value.numel() == 1
    }
    return dict(loss=float(total_loss(losses)), **accuracies)
