"""Helping the reader of an error message to the right name."""
import difflib
from typing import Iterable


def did_you_mean(name: str, known: Iterable[str], limit: int = 4) -> str:
    """Sentence that offers the known names nearest to a wrong one.

    Args:
        name (str): The name that was not found.
        known (Iterable[str]): The names that exist.
        limit (int): How many to offer. Defaults to 4.

    Returns:
        str: ``'Did you mean a, b?'``, or ``''`` when nothing is near.
    """
    known = list(dict.fromkeys(known))
    near = difflib.get_close_matches(name, known, n=limit, cutoff=0.5)
    last = name.rsplit('.', 1)[-1]
    near += [k for k in known if last and k.endswith(last) and k not in near]
    return f'Did you mean {", ".join(near[:limit])}?' if near else ''
