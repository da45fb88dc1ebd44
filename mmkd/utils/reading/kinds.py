"""Recognising files that are not checkpoints."""
import struct
from typing import Iterable, Optional

from .faults import Damaged, Forbidden

#: Bytes of a file that tell what it is.
HEAD = 1024
_DOWNLOAD = 'download the file itself'
_SIGNS = (
    (b'version https://git-lfs', 'is a pointer of git-LFS and not the file it '
     'stands for; fetch that with `git lfs pull`'),
    (b'\x1f\x8b', 'is compressed by gzip; unpack it with `gunzip` (or `tar '
     '-xzf`)'),
    (b'BZh', 'is compressed by bzip2; unpack it with `bunzip2`'),
    (b'\xfd7zXZ\0', 'is compressed by xz; unpack it with `unxz`'),
    (b'\x28\xb5\x2f\xfd', 'is compressed by zstd; unpack it with `unzstd`'),
    (b'7z\xbc\xaf\x27\x1c', 'is an archive of 7-Zip; unpack it first'),
    (b'Rar!', 'is an archive of RAR; unpack it first'),
    (b'\x93NUMPY', 'is a numpy array, not a torch checkpoint'),
    (b'\x89HDF', 'is an HDF5 file (of Keras, for instance), not a torch '
     'checkpoint'),
    (b'GGUF', 'is a GGUF file, not a torch checkpoint'),
    (b'\x89PNG', 'is a PNG image'),
    (b'\xff\xd8\xff', 'is a JPEG image'),
    (b'GIF8', 'is a GIF image'),
    (b'%PDF', 'is a PDF document'),
    (b'\x7fELF', 'is a program or library'),
    (b'#!', 'is a script'),
)


def refuse_other(head: bytes, size: int) -> None:
    """Refuse a file that is not a checkpoint by its first bytes.

    Args:
        head (bytes): The first :data:`HEAD` bytes.
        size (int): Size of the file in bytes.

    Raises:
        Damaged: If it is empty.
        Forbidden: If it is another kind of file.
    """
    if not size:
        raise Damaged('it is empty')
    if not head.strip(b'\0'):
        raise Damaged('it starts with zeros only, as files do that were not '
                      'written to their end')
    for sign, words in _SIGNS:
        if head.startswith(sign):
            raise Forbidden(words)
    if head[257:262] == b'ustar' or head.startswith(b'sys_info\0'):
        raise Forbidden('is a tar archive; unpack it, or, if torch before 0.1.'
                        '13 wrote it, load and save it with torch 0.4 to 2.5')
    text = head.lstrip(b'\xef\xbb\xbf \t\r\n').lower()
    if text.startswith((b'<!doctype html', b'<html', b'<head', b'<!--')):
        raise Forbidden(f'is a web page (HTML); {_DOWNLOAD}, not the '
                        'page about it')
    if text.startswith((b'<?xml', b'<error')):
        raise Forbidden('is an XML text, such as servers send in place of a '
                        f'file; {_DOWNLOAD}')
    if text.startswith((b'{"', b'{\n', b'{ ', b'[{', b'{}')):
        raise Forbidden('is a JSON text, not a checkpoint')
    if _is_text(head):
        raise Forbidden('is a text, not a checkpoint')


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode('ascii')
    except UnicodeDecodeError:
        return False
    return all(char.isprintable() or char in '\t\r\n\f' for char in text)


def is_safetensors(head: bytes, size: int) -> bool:
    """Whether a file starts as safetensors do."""
    if len(head) < 10:
        return False
    length, = struct.unpack('<Q', head[:8])
    return length + 8 <= size and head[8:9] == b'{'


def is_torch(head: bytes) -> bool:
    """Whether a file starts as torch's (or another pickle) do."""
    return head[:4] == b'PK\x03\x04' or (head[:1] == b'\x80'
                                         and head[1:2] in b'\2\3\4\5')


def other_archive(names: Iterable[str]) -> Optional[str]:
    """Say what an archive is, if it is known not to be a checkpoint.

    Args:
        names (Iterable[str]): Of its entries, below their common folder.
    """
    names = set(names)
    if 'constants.pkl' in names or any(x.startswith('code/') for x in names):
        return ('is a TorchScript model (`torch.jit.save`) in place of '
                'weights; load it with `torch.jit.load` and save its '
                '`state_dict()`')
    if 'archive_format' in names or any(
            x.endswith(('serialized_exported_program.json',
                        'models/model.json')) for x in names):
        return ('is an exported program (`torch.export.save`) in place of '
                'weights; load it with `torch.export.load` and save its '
                '`state_dict`')
    if 'data.pkl' in names:
        return None
    if any(name.endswith('.npy') for name in names):
        return 'holds numpy arrays (.npz) and is not a torch checkpoint'
    if any(name.endswith(('.pth', '.pt', '.safetensors')) for name in names):
        return 'is a zip archive with checkpoints in it; unpack it first'
    return 'is a zip archive without a checkpoint in it (no `data.pkl`)'
