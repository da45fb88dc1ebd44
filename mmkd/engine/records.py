"""Configs in work folders, and protection of a run's files."""
import glob
import os.path as osp
from typing import Optional

from mmengine.config import Config

from mmkd.engine.configs import is_distillation
from mmkd.errors import ConfigError
from mmkd.utils.config import read_config
from mmkd.utils.config_file import write_config


def record_config(cfg: Config, work_dir: str, timestamp: str) -> Optional[str]:
    """Write the full config of a run into its work folder.

    If the config file is in that folder itself, it is not changed, and the
    full config is written next to it as ``NAME_full.py``.

    Args:
        cfg (Config): Config of the run.
        work_dir (str): The folder.
        timestamp (str): Name of the file if the config comes from none.

    Returns:
        str | None: The file; None if the config is there already.
    """
    source = cfg.filename
    name = osp.splitext(osp.basename(source))[0] if source else timestamp
    path = osp.join(work_dir, f'{name}.py')
    if source and osp.isfile(source) and osp.exists(path) and osp.samefile(
            source, path):
        if read_config(source).to_dict() == cfg.to_dict():
            return None
        path = osp.join(work_dir, f'{name}_full.py')
    write_config(path, cfg)
    return path


def check_not_lost(cfg: Config) -> None:
    """Refuse a plain config from the folder of a distillation run.

    Up to mmkd 0.1, ``tools/test.py`` wrote the config of the student alone
    there.

    Args:
        cfg (Config): Config to train with.

    Raises:
        ConfigError: If its own folder or its work folder is that of a
            distillation, and the config is not.
    """
    if is_distillation(cfg):
        return
    folders = {cfg.get('work_dir') or ''}
    if cfg.filename:
        folders.add(osp.dirname(cfg.filename))
    for folder in sorted(folders):
        for record in glob.glob(
                osp.join(glob.escape(folder), '*', 'vis_data', 'config.py')):
            with open(record, encoding='utf-8', errors='replace') as file:
                if 'DistillationModel' not in file.read():
                    continue
            raise ConfigError(
                f'{folder or "."} is the folder of a distillation (see '
                f'{record}), and the config {cfg.filename or ""} distils '
                'nothing: train by the config of the distillation; to train '
                'the student alone, copy the config elsewhere and give '
                'another --work-dir')


def check_free(path: str) -> None:
    """Refuse to overwrite a file.

    Raises:
        ConfigError: If it exists.
    """
    if osp.lexists(path):
        raise ConfigError(f'{path} exists; choose another file with --out, or '
                          'remove it')


def check_output(path: str, *inputs: str) -> None:
    """Refuse to overwrite the inputs of a command or the files of a run.

    Args:
        path (str): The file to write.
        inputs (str): Inputs of the command; those that are files count.

    Raises:
        ConfigError: If ``path`` is one of them, or a config or checkpoint in
            the folder of a run.
    """
    if not osp.exists(path):
        return
    if any(
            osp.exists(given) and osp.samefile(given, path)
            for given in inputs):
        raise ConfigError(f'{path} is read by this command; write to another '
                          'file')
    note = osp.join(osp.dirname(path), 'last_checkpoint')
    if path.endswith(('.py', '.pth')) and osp.exists(note):
        raise ConfigError(f'{path} belongs to a run; write to another file '
                          'or folder')
