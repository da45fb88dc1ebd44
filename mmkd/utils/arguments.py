"""Checking arguments from configs, with errors that name them."""
import collections.abc
import dataclasses
import inspect
import math
import re
import traceback
from contextlib import contextmanager
from typing import (Any, Dict, Iterable, Iterator, List, Literal, Mapping,
                    Tuple, Type, TypeVar, Union, get_args, get_origin,
                    get_type_hints)

from mmkd.errors import ConfigError, MMKDError
from mmkd.utils.renamed import with_new_names
from mmkd.utils.suggestions import did_you_mean

Options = TypeVar('Options')


def argument_names(cls: type) -> List[str]:
    """Argument names of a class, including those of its dataclass ``Options``
    and, if it has ``**kwargs``, those of its bases."""
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
        if dataclasses.is_dataclass(base.__dict__.get('Options')):
            names += [f.name for f in dataclasses.fields(base.Options)]
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return list(dict.fromkeys(names))


def construct(cls: type, given: Mapping[str, Any], name: str) -> Any:
    """Call a class with the arguments from a config.

    Args:
        cls (type): The class.
        given (Mapping[str, Any]): Its arguments.
        name (str): Name of the part in messages.

    Raises:
        ConfigError: If an argument is unknown, missing, of the wrong type, or
            refused by the class; the message names it.
    """
    given = with_new_names(cls, given, argument_names(cls), name)
    check_types(cls, given, name)
    try:
        return cls(**given)
    except ConfigError as error:
        text = str(error)
        raise type(error)(text if text.startswith(name) else f'{name}: {text}'
                          ) from error.__cause__
    except MMKDError:
        raise
    except Exception as error:
        known = argument_names(cls)
        wrong = [key for key in given if key not in known]
        if wrong and isinstance(error, TypeError):
            raise ConfigError(
                f'{name}: {cls.__name__} has no argument {wrong[0]!r}. '
                f'{did_you_mean(str(wrong[0]), known)} It takes '
                f'{", ".join(known)}.') from error
        raise ConfigError(with_reason(name, error)) from error


def check_types(cls: type, given: Mapping[str, Any], name: str) -> None:
    """Check values of a config against the type hints of a constructor.

    Args:
        cls (type): The class to call. Its dataclass ``Options`` and its bases
            accept the arguments in ``**kwargs``.
        given (Mapping[str, Any]): The arguments from the config.
        name (str): Name of the part in the message.

    Raises:
        ConfigError: If a value has the wrong type, or a number is not finite.
    """
    hints: dict = {}
    for base in reversed(cls.__mro__):
        for owner in (base, base.__dict__.get('Options')):
            init = vars(owner).get('__init__') if owner else None
            try:
                hints.update(get_type_hints(init) if init else {})
            except Exception:  # unresolvable hints of a library
                continue
    for key, value in given.items():
        if key in hints and not _fits(value, hints[key]):
            path, value, hint = _first_misfit(key, value, hints[key])
            raise ConfigError(f'{name}: `{path}` of {cls.__name__} is '
                              f'{_in_words(hint)}, but got {value!r}')


def take_options(options: Type[Options], kwargs: Dict[str, Any]) -> Options:
    """Build an options dataclass from flat keyword arguments.

    Args:
        options (type): The dataclass.
        kwargs (dict): Keyword arguments; those that are fields of the
            dataclass are removed.
    """
    names = [field.name for field in dataclasses.fields(options)]
    return options(**{k: kwargs.pop(k) for k in names if k in kwargs})


def fill_from_preset(method: str, presets: Mapping[str, Mapping[str, Any]],
                     preset: str, **given: Any) -> Dict[str, Any]:
    """Fill what a config leaves out with the values of a preset.

    Args:
        method (str): Name of the method, for messages.
        presets (Mapping[str, Mapping]): Values by preset and argument.
        preset (str): One of them.
        given: What the config gives, by argument; None where it gives
            nothing.

    Returns:
        dict: A value for each argument.

    Raises:
        ConfigError: If there is no such preset.
    """
    if preset not in presets:
        raise ConfigError(f'{method}: preset is one of '
                          f'{", ".join(presets)}, not {preset!r}')
    return {
        name: presets[preset][name] if value is None else value
        for name, value in given.items()
    }


def check_choices(method: str, cls: type, **given: Any) -> None:
    """Check the arguments of a class whose type hint is ``Literal``.

    Args:
        method (str): Name of the method, for messages.
        cls (type): The class.
        given: Values by argument; ``Optional[Literal[...]]`` may be None.

    Raises:
        ConfigError: If a value is not one of the choices.
    """
    hints = get_type_hints(cls.__init__)
    for name, value in given.items():
        hint = hints[name]
        if get_origin(hint) is Union and value is not None:
            hint = next(
                (h for h in get_args(hint) if get_origin(h) is Literal), hint)
        if get_origin(hint) is Literal and value not in get_args(hint):
            known = ', '.join(map(str, get_args(hint)))
            raise ConfigError(
                f'{method}: {name} is one of {known}, not {value!r}')


def check_in_use(method: str, options: Any, names: Iterable[str],
                 disabled_by: str, needed: str) -> None:
    """Check that options which another one disables have their defaults.

    Args:
        method (str): Name of the method, for messages.
        options (Any): An instance of a dataclass.
        names (Iterable[str]): Fields of it that have no effect.
        disabled_by (str): The option that disables them, such as
            ``"variant='base'"``.
        needed (str): The option with which they have an effect.

    Raises:
        ConfigError: If one of them differs from its default.
    """
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        # Lists of a config stand for tuples.
        plain = tuple(value) if isinstance(value, list) else value
        if field.name in names and plain != field.default:
            raise ConfigError(
                f'{method}: {field.name}={value!r} has no effect with '
                f'{disabled_by}; leave it out, or set {needed}')


def _fits(value: Any, hint: Any) -> bool:
    """Whether a plain value matches a type; True if that cannot be decided."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Union:
        return any(_fits(value, arg) for arg in args)
    if origin is Literal:
        return value in args
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(
            value, bool) and math.isfinite(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if origin in (list, tuple, collections.abc.Sequence):
        if not isinstance(value, (list, tuple)):
            return False
        if origin is tuple and args and args[-1] is not Ellipsis:
            return len(value) == len(args) and all(map(_fits, value, args))
        return not args or all(_fits(item, args[0]) for item in value)
    if origin in (dict, collections.abc.Mapping):
        return isinstance(value, Mapping) and (not args or all(
            _fits(item, args[1]) for item in value.values()))
    return not isinstance(hint, type) or isinstance(value, hint)


def _first_misfit(path: str, value: Any, hint: Any) -> Tuple[str, Any, Any]:
    """Path, value and type of the first entry of a dict that does not fit, or
    of the value itself."""
    for option in get_args(hint) if get_origin(hint) is Union else (hint, ):
        args = get_args(option)
        if get_origin(option) is dict and args and isinstance(value, Mapping):
            for key, item in value.items():
                if not _fits(item, args[1]):
                    return _first_misfit(f'{path}.{key}', item, args[1])
    return path, value, hint


def _in_words(hint: Any) -> str:
    """Describe a type in words."""
    words = {
        float: 'a number',
        int: 'an integer',
        bool: 'True or False',
        str: 'text',
        dict: 'a dict',
        type(None): 'None'
    }
    origin, args = get_origin(hint), get_args(hint)
    if origin is Union:
        found = list(dict.fromkeys(map(_in_words, args)))
        return ' or '.join(found)
    if origin is Literal:
        return ' or '.join(map(repr, args))
    if origin is tuple and args and args[-1] is not Ellipsis:
        return f'a list of {len(args)}, each {_in_words(args[0])}'
    if origin in (list, tuple, collections.abc.Sequence):
        inner = f', each {_in_words(args[0])}' if args else ''
        return f'a list{inner}'
    if origin in (dict, collections.abc.Mapping):
        return 'a dict'
    return words.get(hint, getattr(hint, '__name__', str(hint)))


@contextmanager
def error_context(part: str) -> Iterator[None]:
    """Context for building a part of a config; errors name the part.

    Args:
        part (str): Name of the part, such as ``'`optim_wrapper`'``.

    Raises:
        ConfigError: Instead of any error that is not an ``MMKDError``, which
            becomes its cause.
    """
    try:
        yield
    except MMKDError:
        raise
    except Exception as error:
        raise ConfigError(with_reason(part, error)) from error


def with_reason(part: str, error: Exception) -> str:
    """Message with the name of a part and the first line of an error."""
    lines = [line.strip() for line in str(error).splitlines()]
    reason = next(filter(None, lines), '')
    unknown = re.match(r"['\"]?(\S+) is not in the (\S+?)(::[\w ]+)? registry",
                       reason)
    if unknown:
        return (f'{part}: there is no {unknown[1]!r} in {unknown[2]}; check '
                'the name and `default_scope`; if it is your own, import the '
                'module that registers it by '
                "`custom_imports=dict(imports=['my_module'])`")
    if not reason and error.__traceback__:  # an assertion without a message
        frame = traceback.extract_tb(error.__traceback__)[-1]
        reason = f'{frame.line} (in {frame.name})'
    return f'{part}: {type(error).__name__}: {reason[:400]}'
