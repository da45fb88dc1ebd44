"""Downloading weights: whole, checked, and never those of another address."""
import hashlib
import http.client
import os
import os.path as osp
import re
import tempfile
import time
import urllib.error
import urllib.request
from typing import Dict, Optional, Union
from urllib.parse import unquote, urlsplit

from mmengine.logging import print_log

from mmkd.errors import CheckpointError, ConfigError
from mmkd.utils.files import file_hash

#: Seconds without a byte after which an attempt is given up.
TIMEOUT = 30.
#: Seconds before each further attempt.
PAUSES = (1., 5.)


def local_file(address: Union[str, Dict[str, str]]) -> str:
    """The file of a checkpoint's address, which is downloaded at most once.

    Args:
        address (str | dict): A path, an http(s) address, or
            ``dict(url=..., sha256=...)``; ``sha256`` may be left out, or be
            the first eight or more of its digits.

    Returns:
        str: Path of the file; a path that was given comes back.

    Raises:
        ConfigError: If the dict has other keys.
        CheckpointError: If the address cannot be read, or the file has another
            hash than given, or than the name says: OpenMMLab and torch end
            names in ``-`` and eight digits of it.
    """
    sha256: Optional[str] = None
    if isinstance(address, dict):
        if 'url' not in address or set(address) - {'url', 'sha256'} or not (
                all(isinstance(value, str) for value in address.values())):
            raise ConfigError('a checkpoint is a path, an address or '
                              f'dict(url=..., sha256=...), not {address!r}')
        url, sha256 = address['url'], address.get('sha256', '').lower() or None
        if sha256 and not re.fullmatch('[0-9a-f]{8,64}', sha256):
            raise ConfigError(f'sha256 of {url} has 8 to 64 digits of 0-9 and '
                              f'a-f, not {address["sha256"]!r}')
    else:
        url = address
    if not re.match(r'[\w+.:-]+://', url):
        return url
    if not url.startswith(('http://', 'https://')):
        raise CheckpointError(f'cannot read {url}: addresses are http:// or '
                              'https://; fetch it by other means and give its '
                              'path')
    return _fetch(url, sha256)


def _fetch(url: str, sha256: Optional[str]) -> str:
    """Path of the file of an address."""
    from torch.hub import get_dir
    cache = osp.join(get_dir(), 'checkpoints')
    name = unquote(osp.basename(urlsplit(url).path)) or 'checkpoint'
    name = re.sub(r'[^\w.-]', '_', name)[-100:]
    expected = sha256 or _hash_in(name)
    if expected and _matches(osp.join(cache, name), expected):
        return osp.join(cache, name)  # torch's own, of that very content
    folder = osp.join(cache, hashlib.sha256(url.encode()).hexdigest()[:16])
    target = osp.join(folder, name)
    if osp.isfile(target) and (expected is None or _matches(target, expected)):
        return target
    os.makedirs(folder, exist_ok=True)
    print_log(f'downloading {url} to {target}', 'current')
    for pause in (*PAUSES, None):
        try:
            _download(url, target, expected)
            return target
        except (OSError, http.client.HTTPException, ValueError) as error:
            final = isinstance(error, urllib.error.HTTPError) and (
                error.code < 500 and error.code not in (408, 429))
            if pause is None or final or isinstance(error, ValueError):
                raise CheckpointError(
                    f'cannot download the checkpoint {url} ({error}); fetch '
                    'it by other means and give its path') from None
            time.sleep(pause)
    raise AssertionError


def _download(url: str, target: str, expected: Optional[str]) -> None:
    """Download a file, which is there when it is whole and checked."""
    digest, size = hashlib.sha256(), 0
    handle, part = tempfile.mkstemp(
        suffix='.part', dir=osp.dirname(target), prefix='.')
    try:
        with os.fdopen(handle, 'wb') as file, urllib.request.urlopen(
                url, timeout=TIMEOUT) as answer:
            length = answer.headers.get('Content-Length')
            for chunk in iter(lambda: answer.read(1 << 20), b''):
                file.write(chunk)
                digest.update(chunk)
                size += len(chunk)
        if length is not None and size != int(length):
            raise OSError(f'it ended after {size} of {length} bytes')
        found = digest.hexdigest()
        if expected and not found.startswith(expected):
            raise ValueError(f'its SHA-256 is {found}, and {expected} was '
                             'expected; if the name lies, give sha256=')
        os.replace(part, target)
    finally:
        if osp.exists(part):
            os.remove(part)


def _hash_in(name: str) -> Optional[str]:
    """First digits of the hash that a published file has in its name."""
    match = re.search(r'-([0-9a-f]{8})\.\w+$', name)
    if match is None or re.fullmatch(r'(19|20)\d{6}', match[1]):
        return None  # none, or a date
    return match[1]


def _matches(path: str, expected: str) -> bool:
    return osp.isfile(path) and file_hash(path).startswith(expected)
