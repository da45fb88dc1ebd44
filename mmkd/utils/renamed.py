"""Old names of config arguments, which work for one more version."""
import logging
from typing import Any, Container, Dict, Mapping, Tuple, Union

from mmengine.logging import print_log

from mmkd.errors import ConfigError

# yapf: disable
#: New name of an argument by class and old name. A dot separates the levels of
#: a dict; several new names get the same value.
RENAMED: Dict[Tuple[str, str], Union[str, Tuple[str, ...]]] = {
    ('ACAM', 'alpha'): ('weights.spatial', 'weights.channel'),
    ('ACAM', 'lambda_div'): 'weights.div',
    ('BPKD', 'alpha'): 'edge_class_weights',
    ('BPKD', 'lambda_body'): 'weights.body',
    ('BPKD', 'lambda_edge'): 'weights.edge',
    ('BPKD', 'tau_body'): 'body_tau',
    ('BPKD', 'tau_edge'): 'edge_tau',
    ('FGD', 'family'): 'preset',
    ('FGD', 'lambda_att'): 'weights.att',
    ('FGD', 'lambda_bg'): 'weights.bg',
    ('FGD', 'lambda_fg'): 'weights.fg',
    ('FGD', 'lambda_global'): 'weights.global_',
    ('MGD', 'family'): 'preset',
    ('MonoTAKD', 'head_weights.loss_box'): 'weights.box',
    ('MonoTAKD', 'head_weights.loss_cls'): 'weights.cls',
    ('MonoTAKD', 'head_weights.loss_dir'): 'weights.dir',
    ('MonoTAKD', 'normalize'): 'normalise',
    ('MonoTAKD', 'weight_intra'): 'weights.intra',
    ('MonoTAKD', 'weight_residual'): 'weights.residual',
    ('MonoTAKDAssistant', 'head_weights.loss_box'): 'weights.box',
    ('MonoTAKDAssistant', 'head_weights.loss_cls'): 'weights.cls',
    ('MonoTAKDAssistant', 'head_weights.loss_dir'): 'weights.dir',
    ('MonoTAKDAssistant', 'weight_feature'): 'weights.feature',
    ('PointDistiller', 'family'): 'preset',
    ('PointDistiller', 'source'): 'variant',
    ('SimilarityKD', 'weights.global'): 'weights.global_',
    ('TransKD', 'alpha'): 'embedding_weights',
    ('TransKD', 'lambda_embedding'): 'weights.embedding',
    ('TransKD', 'lambda_feature'): 'weights.feature',
    ('TransKD', 'lambda_logits'): 'weights.logits',
    ('UniDistill', 'adapter'): 'connector',
    ('UniDistill', 'weight_feature'): 'weights.feature',
    ('UniDistill', 'weight_relation'): 'weights.relation',
    ('UniDistill', 'weight_response'):
    ('weights.response_cls', 'weights.response_reg'),
    ('XRay', 'lambda_cls'): 'weights.cls',
    ('XRay', 'lambda_emb'): 'weights.emb',
    ('XRay', 'lambda_reg'): 'weights.reg',
    ('XRay', 'lambda_response'): 'weights.response',
}
#: New values of an argument by class, argument and old value.
RENAMED_VALUES: Dict[Tuple[str, str, str], str] = {
    ('MonoTAKD', 'preset', 'release'): 'released',
}
# yapf: enable


def with_new_names(cls: type, given: Mapping[str, Any], known: Container[str],
                   part: str) -> Dict[str, Any]:
    """Rename old arguments and values of a config, with a warning.

    Args:
        cls (type): The class to call. Old names of its bases apply as well.
        given (Mapping[str, Any]): The arguments from the config.
        known (Container[str]): Arguments of the class, which are never old
            names; a key of one may be.
        part (str): Name of the part in messages.

    Raises:
        ConfigError: If the config has a value under both names.
    """
    given = dict(given)
    owners = {base.__name__ for base in cls.__mro__}
    for (owner, old), new in RENAMED.items():
        names = (new, ) if isinstance(new, str) else new
        argument = old.split('.')[0]
        is_key = names[0].split('.')[0] == argument
        if (owner not in owners or (argument in known and not is_key)
                or not _has(given, old)):
            continue
        value = _take(given, old)
        shown = ' and '.join(f'`{name}`' for name in names)
        warn_of_old_name(f'{part}: `{old}` of {owner} is now called {shown}; '
                         'the old name will not work in the next version')
        for name in names:
            if _has(given, name):
                raise ConfigError(f'{part}: `{old}` is the old name of '
                                  f'`{name}`; give one of them')
            # None meant the default, and a weight is never None.
            if value is not None or not name.startswith('weights.'):
                _put(given, name, value)
    for (owner, name, old), new in RENAMED_VALUES.items():
        if owner in owners and given.get(name) == old:
            warn_of_old_name(
                f'{part}: {name}={old!r} of {owner} is now called {new!r}; '
                'the old name will not work in the next version')
            given[name] = new
    return given


def warn_of_old_name(text: str) -> None:
    """Warn that something will stop working in the next version."""
    print_log(text, 'current', logging.WARNING)


def _has(given: Mapping[str, Any], name: str) -> bool:
    outer, _, inner = name.partition('.')
    if not inner:
        return outer in given
    return isinstance(given.get(outer), Mapping) and inner in given[outer]


def _take(given: Dict[str, Any], name: str) -> Any:
    outer, _, inner = name.partition('.')
    if not inner:
        return given.pop(outer)
    given[outer] = dict(given[outer])
    value = given[outer].pop(inner)
    if not given[outer]:
        del given[outer]
    return value


def _put(given: Dict[str, Any], name: str, value: Any) -> None:
    outer, _, inner = name.partition('.')
    given[outer] = {
        **(given.get(outer) or {}), inner: value
    } if inner else value
