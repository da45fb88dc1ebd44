"""Saying which argument of a config is wrong."""
import inspect
from typing import Any, Iterable, List

from mmkd.errors import ConfigError
from mmkd.utils.naming import did_you_mean


def argument_names(cls: type) -> List[str]:
    """Names that a class takes, those of its bases behind ``**kwargs`` too.
    """
    names: List[str] = []
    for base in cls.__mro__:
        init = base.__dict__.get('__init__')
        if init is None:
            continue
        parameters = list(inspect.signature(init).parameters.values())[1:]
        names += [
            p.name for p in parameters
            if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        ]
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return list(dict.fromkeys(names))


def unknown_argument(cls: type, given: Iterable[str], name: str,
                     error: Exception) -> Exception:
    """What to raise for a ``TypeError`` of a constructor.

    Args:
        cls (type): The class that was called.
        given (Iterable[str]): The arguments that the config names.
        name (str): What to call the part in the message.
        error (Exception): What the constructor raised.

    Returns:
        Exception: A :class:`~mmkd.errors.ConfigError` that names the wrong
        or missing argument, or the error itself if the arguments are not to
        blame.
    """
    known = argument_names(cls)
    wrong: List[Any] = [key for key in given if key not in known]
    if wrong:
        return ConfigError(
            f'{name}: {cls.__name__} has no argument {wrong[0]!r}. '
            f'{did_you_mean(wrong[0], known)} It takes {", ".join(known)}.')
    if 'missing' in str(error) and 'required' in str(error):
        return ConfigError(f'{name}: {error}')
    return error
