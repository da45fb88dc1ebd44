"""The keys of a checkpoint: the student's own, and ``distill.`` for the
connectors."""
from torch import nn

from mmkd.errors import CheckpointError

STUDENT_PREFIX = 'student.'
DISTILLERS_PREFIX = 'distillers.'
#: Prefix of the connectors in a checkpoint.
DISTILL_KEY = 'distill.'


def prefix_student(student: nn.Module, state_dict: dict, prefix: str) -> None:
    """Rename the keys of a checkpoint, in place, to those of a
    :class:`~mmkd.core.model.DistillationModel`.

    Args:
        student (nn.Module): The student of the model.
        state_dict (dict): Weights as in a checkpoint: those of the student
            unprefixed, those of the connectors under ``distill.``.
        prefix (str): Prefix of the model in ``state_dict``.

    Raises:
        CheckpointError: If no key is one of the student's.
    """
    own = set(student.state_dict())

    def rename(name: str) -> str:
        if name.startswith(DISTILL_KEY):
            return DISTILLERS_PREFIX + name[len(DISTILL_KEY):]
        # Some hooks name parameters as `named_modules()` does.
        if name not in own and name.startswith(
            (STUDENT_PREFIX, DISTILLERS_PREFIX)):
            return name
        return STUDENT_PREFIX + name

    given = [k[len(prefix):] for k in state_dict if k.startswith(prefix)]
    renamed = {name: rename(name) for name in given}
    state_dict.update({
        prefix + new: value
        for new, value in [(renamed[name], state_dict.pop(prefix + name))
                           for name in given]
    })
    metadata = getattr(state_dict, '_metadata', None) or {}
    for key, value in list(metadata.items()):
        if key.startswith(prefix) and key != prefix[:-1]:
            new = rename(f'{key[len(prefix):]}.')[:-1]
            metadata.setdefault(prefix + new, value)
    if not {STUDENT_PREFIX + key for key in own} & set(renamed.values()):
        some = ', '.join(given[:2])
        raise CheckpointError(
            'the checkpoint matches no weight of the student '
            f'({type(student).__name__}); it holds {some}, ...')


def unprefix_student(model: nn.Module, state_dict: dict, prefix: str,
                     local_metadata: dict) -> None:
    """Remove the student's prefix and move the connectors to ``distill.``; a
    state-dict hook of :class:`~mmkd.core.model.DistillationModel`."""
    pairs = ((STUDENT_PREFIX, ''), (DISTILLERS_PREFIX, DISTILL_KEY))
    metadata = getattr(state_dict, '_metadata', None)
    for names, tail in ((state_dict, ''), (metadata, '.')):
        if names is None:
            continue
        # Remove all keys before adding one, since an old name of one may be
        # the new name of another.
        for key, value in [(key, names.pop(key)) for key in list(names)]:
            for old, new in pairs:
                if (key + tail).startswith(prefix + old):
                    key = prefix + new + (key + tail)[len(prefix + old):]
                    key = key[:len(key) - len(tail)]
                    break
            names[key] = value
