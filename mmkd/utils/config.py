"""Finding and reading configs of the libraries."""
import difflib
import glob
import os
import os.path as osp
from importlib.util import find_spec
from typing import Any, Dict, Optional, Tuple, Union

from mmengine.config import Config, ConfigDict
from mmengine.fileio import load

from mmkd.errors import ConfigError
from mmkd.utils.config_file import quoted_file_names
from mmkd.utils.foundation import (check_fetched, foundation_config,
                                   timm_weights)
from mmkd.utils.imports import import_custom
from mmkd.utils.suggestions import did_you_mean

ConfigLike = Union[str, dict, Config]


def read_config(cfg: ConfigLike) -> Config:
    """Read a config given as ``pkg::path``, as a file or as a dict.

    Args:
        cfg (str | dict | Config): ``'mmseg::pspnet/...py'``, a file, the
            content of one, or a network of another library such as
            ``'timm::NAME'`` (:mod:`mmkd.utils.foundation`).

    Returns:
        Config: A copy; a bare model dict becomes its ``model``.
        The ``custom_imports`` of a file are imported.

    Raises:
        ConfigError: If it cannot be found or read.
    """
    if isinstance(cfg, Config):
        return Config(cfg.to_dict(), cfg_text=cfg.text, filename=cfg.filename)
    if isinstance(cfg, dict):
        cfg = ConfigDict(cfg).to_dict()
        return Config(cfg if 'model' in cfg else dict(model=cfg))
    model = foundation_config(cfg)
    if model is not None:
        return Config(dict(model=model))
    path = _packaged_file(cfg)[1] if '::' in cfg else cfg
    if not osp.isfile(path):
        beside = glob.glob(osp.join(glob.escape(osp.dirname(path)), '*.py'))
        near = did_you_mean(path, beside)
        raise ConfigError(f'there is no config file {cfg}; configs of the '
                          "libraries are written 'mmseg::pspnet/...py'" +
                          f'. {near}' * bool(near))
    try:
        with quoted_file_names():
            found = Config.fromfile(path, import_custom_modules=False)
    except Exception as error:
        lines = str(error).strip().splitlines() or ['']
        raise ConfigError(f'cannot read the config {cfg}: '
                          f'{type(error).__name__}: {lines[0]}') from error
    import_custom(found.get('custom_imports'), osp.dirname(path))
    return found


def parts_of(path: str, *names: str) -> Dict[str, Any]:
    """Read parts of the model of another config file.

    For a config that already has a ``_base_``, since mmengine cannot merge
    two base files that both have a ``model``::

        _base_ = 'camera.py'
        from mmkd.utils.config import parts_of

        model = parts_of('{{fileDirname}}/lidar.py', 'pts_voxel_encoder')

    Args:
        path (str): The file.
        names (str): Keys of its ``model``.

    Returns:
        dict: These keys with their values.

    Raises:
        ConfigError: If the file or a part does not exist.
    """
    model = read_config(path).model.to_dict()
    missing = [name for name in names if name not in model]
    if missing:
        raise ConfigError(f'the model of {path} has no {missing[0]!r}, but '
                          f'{", ".join(model)}')
    return {name: model[name] for name in names}


def official_weights(cfg: Any) -> str:
    """URL of the weights that a library publishes for one of its configs.

    Args:
        cfg (str | dict): ``'pkg::path'``, or a teacher of timm.

    Raises:
        ConfigError: If the library's model index lists none, or timm's.
    """
    url = timm_weights(cfg)
    if url is not None:
        return url
    check_fetched(cfg)
    if not isinstance(cfg, str) or '::' not in cfg:
        found = repr(cfg) if isinstance(cfg, str) else type(cfg).__name__
        raise ConfigError("ckpt='official' needs a config of a library, cfg="
                          f"'mmseg::...', not {found}; give the file")
    root, path = _packaged_file(cfg)
    for index in load(osp.join(root, 'model-index.yml'))['Import']:
        for model in load(osp.join(root, index)).get('Models', []):
            if osp.join(root, model.get('Config',
                                        '')) == path and model.get('Weights'):
                return model['Weights']
    raise ConfigError(f'{cfg.split("::")[0]} publishes no weights for {cfg}; '
                      'train it, and give the file as ckpt')


_library_path = Config._get_cfg_path


def _find_base(path: str, filename: str) -> Tuple[str, Optional[str]]:
    """Find a base file and the scope of its types.

    mmengine reads all the metafiles of a package for each base, which takes
    seconds, to arrive at the same file. Recipes of mmkd name the scope of
    their types themselves (``default_scope``).
    """
    package = path.partition('::')[0]
    if package == path:
        return _library_path(path, filename)
    try:
        return _packaged_file(path)[1], package if package != 'mmkd' else None
    except ConfigError:
        if package == 'mmkd':
            raise
        return _library_path(path, filename)


# So that `_base_ = 'mmkd::...'` works in every config that mmengine reads.
Config._get_cfg_path = staticmethod(_find_base)


def _packaged_file(cfg: str) -> Tuple[str, str]:
    """Folder of a library's configs and index, and the file in it."""
    package, path = cfg.split('::', 1)
    path = path if path.endswith('.py') else f'{path}.py'
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None or spec.origin is None:
        raise ConfigError(f'{cfg}: the package {package} is not installed')
    root = osp.join(osp.dirname(spec.origin), '.mim')
    folder = osp.join(root, 'configs')
    if not osp.isfile(osp.join(folder, path)):
        known = [
            osp.relpath(osp.join(base, file), folder)
            for base, _, files in os.walk(folder) for file in files
            if file.endswith('.py')
        ]
        near = difflib.get_close_matches(path, known, n=2, cutoff=0.6)
        hint = f'. Did you mean {" or ".join(near)}?' if near else ''
        raise ConfigError(f'{package} has no config {path}{hint}')
    return root, osp.join(folder, path)
