"""Suggesting names in error messages."""
import difflib
from typing import Iterable


def did_you_mean(name: str, known: Iterable[str], limit: int = 4) -> str:
    """Suggest the known names most similar to an unknown one.

    Args:
        name (str): The unknown name.
        known (Iterable[str]): The names that exist.
        limit (int): Maximum number of suggestions. Defaults to 4.

    Returns:
        str: ``'Did you mean a, b?'``, or ``''`` if no name is similar.
    """
    known = list(dict.fromkeys(known))
    near = difflib.get_close_matches(name, known, n=limit, cutoff=0.5)
    last = name.rsplit('.', 1)[-1]
    near += [k for k in known if last and k.endswith(last) and k not in near]
    return f'Did you mean {", ".join(near[:limit])}?' if near else ''
