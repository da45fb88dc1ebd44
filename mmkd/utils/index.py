"""Index files of data sets that are pickles, read as plain data."""
from typing import IO, Any

from mmengine.fileio import PickleHandler, register_handler

from mmkd.errors import DataError
from mmkd.utils.reading import HEAD, Fault, read_index, read_index_from, shown


def read_index_file(path: str) -> Any:
    """Read an index file, such as the infos of mmdet3d.

    Args:
        path (str): A ``.pkl`` file.

    Returns:
        Any: Dicts, lists, numbers, texts and arrays.

    Raises:
        DataError: If it cannot be read, or holds anything else.
    """
    try:
        return read_index(path)
    except OSError as error:
        raise DataError(f'cannot read {shown(path, 4096)}: '
                        f'{error.strerror or error}') from None
    except Fault as error:
        raise DataError(
            f'{shown(path, 4096)}: cannot be read ({error})') from None


class IndexHandler(PickleHandler):
    """mmengine's reading of ``.pkl`` files, without running their code."""

    def load_from_fileobj(self, file: IO[bytes], **kwargs: Any) -> Any:
        """Read an open file, of which mmengine does not tell the name.

        Raises:
            Fault: If it is damaged, or holds more than plain data.
        """
        head = file.read(HEAD)
        return read_index_from(file, file.seek(0, 2), head)


def read_indices_as_data() -> None:
    """Let mmengine read index files as :func:`read_index_file` does."""
    register_handler(['pkl', 'pickle'])(IndexHandler)
