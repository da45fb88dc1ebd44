"""Names of a distiller's terms and log values in the losses of a step.

mmengine sums every entry with ``loss`` in its name and only logs the others.
This module translates to that convention; mmkd's other interfaces do not
depend on the spelling of names.
"""
from typing import Any, Container, Dict, Mapping

from torch import Tensor

from mmkd.errors import ConfigError


def term_name(distiller: str, term: str) -> str:
    """Name under which mmengine sums and logs a term.

    Args:
        distiller (str): Name of the distiller in the model.
        term (str): Name of the term in the distiller.

    Returns:
        str: ``'bpkd.loss_body'`` for ``'body'``. A term that begins with
        ``loss`` keeps its name, and the underscore after a Python keyword
        (``'global_'``) is dropped.
    """
    term = term.rstrip('_')
    return f'{distiller}.{term if term.startswith("loss") else f"loss_{term}"}'


def figure_name(distiller: str, figure: str) -> str:
    """Name under which mmengine logs a value without adding it to the loss:
    ``cost`` replaces ``loss``."""
    return f'{distiller}.{figure}'.replace('loss', 'cost')


def total_loss(losses: Mapping[str, Any]) -> Tensor:
    """The sum of a network's losses, as mmengine's ``parse_losses`` forms it.

    Args:
        losses (Mapping[str, Tensor | list[Tensor]]): Losses and values for
            the log, by name.

    Returns:
        Tensor: A scalar.

    Raises:
        ConfigError: If there is no loss among them.
    """
    values = [
        sum(part.mean()
            for part in value) if isinstance(value,
                                             (list, tuple)) else value.mean()
        for value in summed_entries(losses).values()
    ]
    if not values:
        raise ConfigError('the network returned no loss, but '
                          f'{", ".join(losses) or "nothing"}')
    return sum(values[1:], values[0])


def log_entries(distiller: str, values: Mapping[str, Tensor],
                terms: Container[str]) -> Dict[str, Tensor]:
    """Rename the outputs of a distiller to the names that mmengine expects.

    Args:
        distiller (str): Its name in the model.
        values (Mapping[str, Tensor]): Its terms and figures by name.
        terms (Container[str]): Names of its terms.

    Raises:
        ConfigError: If two of them would have the same name.
    """
    entries: Dict[str, Tensor] = {}
    for name, value in values.items():
        entry = (term_name if name in terms else figure_name)(distiller, name)
        if entry in entries:
            raise ConfigError(f'distiller {distiller!r}: {name!r} and another '
                              f'term or figure are both logged as {entry!r}; '
                              'rename one of them')
        entries[entry] = value
    return entries


def summed_entries(outputs: Mapping[str, Any]) -> Dict[str, Any]:
    """The entries of a step's losses that mmengine adds up, by name."""
    return {name: value for name, value in outputs.items() if 'loss' in name}
