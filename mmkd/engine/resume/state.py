"""What a checkpoint stores of each process, beside mmengine's entries.

For each process: its RNG state, the state of its data loader, gradients that
still accumulate, and the buffers that processes do not share.
"""
from typing import Any, Dict, Iterable, List, Optional

from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.model import is_model_wrapper
from torch import nn

from mmkd.engine.resume.loader import ResumableLoader

#: Key of a checkpoint's entry.
STATE_KEY = 'resume'


def gather_states(model: nn.Module, loader: Any, rng: Dict[str, Any],
                  validated: bool) -> Dict[str, Any]:
    """Gather the states of all processes; each has to call this.

    Args:
        model (nn.Module): The model, possibly wrapped.
        loader (DataLoader): The training loader; its state is saved if it is
            a :class:`ResumableLoader`.
        rng (dict): RNG state of this process.
        validated (bool): Whether the validation of this iteration has begun.

    Returns:
        dict: The entry for a checkpoint.
    """
    gradients = [
        None if parameter.grad is None else parameter.grad.cpu()
        for parameter in model.parameters()
    ]
    own = dict(
        random=rng,
        loader=loader.state_dict()
        if isinstance(loader, ResumableLoader) else None,
        # They accumulate over iterations.
        gradients=None if all(g is None for g in gradients) else gradients,
        # Running statistics differ between processes.
        buffers=[buffer.cpu() for buffer in model.buffers()]
        if get_world_size() > 1 else None)
    return dict(processes=all_gather_object(own), validated=validated)


def own_state(states: Optional[Dict[str, Any]],
              logger: Any) -> Optional[Dict[str, Any]]:
    """The state that this process resumes from.

    Args:
        states (dict, optional): A checkpoint's entry.
        logger (Logger): Takes a warning where the number of processes has
            changed. RNG states are then left out.

    Returns:
        dict | None: The state; None if the loader's was not saved.
    """
    if states is None or states['processes'][0]['loader'] is None:
        return None
    count = len(states['processes'])
    if count == get_world_size():
        return states['processes'][get_rank()]
    logger.warning(
        f'the checkpoint was saved by {count} process(es), and this run has '
        f'{get_world_size()}: training continues after the same number of '
        'batches, but not bit for bit as without the interruption')
    return dict(states['processes'][0], random=None)


def restore_tensors(model: nn.Module, states: Dict[str, Any]) -> None:
    """Restore accumulated gradients, and the buffers of this process.

    Args:
        model (nn.Module): The model, possibly wrapped.
        states (dict): A checkpoint's entry. It is ignored if the number of
            processes has changed.

    Raises:
        ValueError: If they are not of this model.
    """
    if len(states['processes']) != get_world_size():
        return
    own = states['processes'][get_rank()]
    gradients: List[Any] = own.get('gradients') or []
    buffers: List[Any] = own.get('buffers') or []
    _check_shapes(gradients, model.parameters(), 'gradients')
    _check_shapes(buffers, model.buffers(), 'buffers')
    for parameter, gradient in zip(model.parameters(), gradients):
        if gradient is not None:
            parameter.grad = gradient.to(parameter.device)
    if gradients and is_model_wrapper(model):
        # As DDP is after an iteration without synchronization.
        model.require_forward_param_sync = False
    for buffer, saved in zip(model.buffers(), buffers):
        buffer.copy_(saved)


def _check_shapes(saved: List[Any], own: Iterable[Any], name: str) -> None:
    own = list(own)
    if saved and (len(saved) != len(own)
                  or any(a is not None and a.shape != b.shape
                         for a, b in zip(saved, own))):
        raise ValueError(f'its {name} are of other shapes than the model\'s')
