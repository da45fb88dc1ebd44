"""The checkpoints in a work folder."""
import glob
import os
import os.path as osp
import re
from typing import Any, List, Optional, Tuple

from mmkd.errors import BrokenCheckpointError, CheckpointError
from mmkd.utils.checkpoint import read_file


def last_checkpoint(folder: str) -> Optional[str]:
    """Find the checkpoint to resume from, even if ``last_checkpoint`` is
    damaged.

    Args:
        folder (str): Work folder of a run.

    Returns:
        str | None: Path of the checkpoint; None if there is none.
    """
    return next(iter(checkpoints(folder)), None)


def checkpoints(folder: str) -> List[str]:
    """List the checkpoints of a run, the last one first.

    The file ``last_checkpoint`` names the last one, unless a checkpoint has
    been written since. Checkpoints with higher numbers that are older than
    this file belong to another run in the same folder and come last.

    Args:
        folder (str): Work folder of the run.

    Returns:
        list[str]: Their paths.
    """
    noted, written = _noted_checkpoint(folder)
    numbered = {}
    for place in {folder, osp.dirname(noted) if noted else folder}:
        for path in glob.glob(osp.join(glob.escape(place), '*.pth')):
            match = re.fullmatch(r'(?:iter|epoch)_(\d+)\.pth',
                                 osp.basename(path))
            if match:
                numbered[path] = int(match[1])
    ordered = sorted(numbered, key=numbered.get, reverse=True)
    if noted is None:
        return ordered
    later = [
        path for path in ordered
        if path != noted and os.stat(path).st_mtime_ns > written
    ]
    limit = numbered.get(noted, float('inf'))
    before = [path for path in ordered if numbered[path] < limit]
    return list(dict.fromkeys([*later, noted, *before, *ordered]))


def read_last_checkpoint(folder: str,
                         logger: Any) -> Optional[Tuple[str, dict]]:
    """Read the last checkpoint of a run that is intact.

    Args:
        folder (str): Work folder of the run.
        logger (Logger): Logs a warning for each broken checkpoint.

    Returns:
        tuple[str, dict] | None: Its path and content; None if there are no
        checkpoints.

    Raises:
        CheckpointError: If all are broken.
    """
    broken = []
    for path in checkpoints(folder):
        try:
            content = read_file(path)
        except BrokenCheckpointError as error:
            logger.warning(f'{error}; the one before is tried')
            broken.append(path)
            continue
        if broken:
            logger.warning(f'the run resumes from {path}, the last '
                           'checkpoint that is intact')
        return path, content
    if broken:
        raise CheckpointError(
            f'all checkpoints in {folder} are broken ({broken[0]} is the '
            'last one); remove them to start anew')
    return None


def _noted_checkpoint(folder: str) -> Tuple[Optional[str], int]:
    """The checkpoint that ``last_checkpoint`` names, if it exists, and when
    this file was written, in nanoseconds."""
    note = osp.join(folder, 'last_checkpoint')
    if osp.isfile(note):
        with open(note, 'rb') as file:
            path = os.fsdecode(file.read().strip(b'\0\n '))
        for found in (path, osp.join(folder, osp.basename(path))):
            if osp.isfile(found):
                return found, os.stat(note).st_mtime_ns
    return None, 0
