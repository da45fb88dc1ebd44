"""Short configs that apply one method to configs of networks."""
import os.path as osp
import re
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

from mmengine.config import Config

from mmkd.core.class_subset import classes_to_keep
from mmkd.engine.pair import methods
from mmkd.errors import CheckpointError, ConfigError
from mmkd.utils.arguments import argument_names
from mmkd.utils.config import read_config
from mmkd.utils.config_file import literal
from mmkd.utils.download import local_file
from mmkd.utils.files import keep_edited, write_bytes
from mmkd.utils.foundation import absolute
from mmkd.utils.imports import import_method, imported_modules
from mmkd.utils.renamed import with_new_names
from mmkd.utils.suggestions import did_you_mean

#: Config and weights of a teacher; None: it has them.
TeacherFiles = Tuple[str, Optional[str]]


def find_method(method: str) -> str:
    """Find the registered name of a method; case and separators are ignored.

    Raises:
        ConfigError: If there is no such method; suggests similar names.
    """
    known = methods()

    def plain(name: str) -> str:
        return re.sub(r'[^a-z0-9]', '', name.lower())

    for name in known:
        if plain(name) == plain(method):
            return name
    raise ConfigError(f'there is no method {method!r}. '
                      f'{did_you_mean(method.upper(), known)} Known: '
                      f'{", ".join(sorted(known))}')


def method_options(name: str, options: Mapping[str, Any]) -> Dict[str, Any]:
    """Nest the options of a method, and give them their new names.

    Args:
        name (str): Registered name of the method.
        options (Mapping[str, Any]): Its arguments; a dot leads into a dict, as
            in ``'weights.edge'``.

    Raises:
        ConfigError: If an option is not known.
    """
    cls = methods()[name]
    nested = Config()
    nested.merge_from_dict(dict(options))
    known = argument_names(cls)
    found = with_new_names(cls, nested.to_dict(), known,
                           f'the options of {name}')
    for option in found:
        if option not in known:
            raise ConfigError(f'{name} has no option {option!r}. '
                              f'{did_you_mean(option, known)} It takes '
                              f'{", ".join(known)}.')
    return found


def write_distillation_config(student: str,
                              teachers: Mapping[str, TeacherFiles],
                              method: Optional[str],
                              path: str,
                              options: Optional[dict] = None,
                              imports: Sequence[str] = (),
                              cache: Optional[dict] = None,
                              label_free: Optional[dict] = None,
                              unlabelled: Optional[dict] = None,
                              inherit: Optional[dict] = None) -> Config:
    """Write a short config that applies one method to given configs.

    Args:
        student (str): ``'pkg::path'`` or a file.
        teachers (Mapping[str, tuple[str, str | None]]): The same for each
            teacher by name, and its weights; see ``ckpt`` of
            :class:`Teacher`.
        method (str | None): Name of the method; case is ignored. None for
            none, with ``inherit``.
        path (str): The file to write. What is there and differs is kept as
            ``PATH.CRC.old``.
        options (dict, optional): Arguments of the method; a dot leads into a
            dict, as in ``'weights.edge'``. Defaults to None.
        imports (Sequence[str]): Files or modules to import first, for a user's
            own method; see
            :func:`mmkd.utils.imports.import_method`. Defaults to ().
        cache (dict, optional): ``cache`` of each teacher. Defaults to None.
        label_free (dict, optional): Options of a run without labels; see
            :class:`~mmkd.engine.label_free.LabelFree`. Defaults to None.
        unlabelled (dict, optional): The same of unlabelled images beside the
            labelled ones; see :class:`~mmkd.engine.unlabelled.Unlabelled`.
        inherit (dict, optional): Arguments of
            :class:`~mmkd.engine.hooks.InheritTeacherHook`, for a student that
            starts from the teacher's weights. Defaults to None: it does not.

    Returns:
        Config: The written config.

    Raises:
        ConfigError: If a config, the method or an option is not known, or if
            the file is one of the configs.
    """
    configs = [cfg for cfg, _ in teachers.values()]
    if any(
            osp.exists(x) and osp.exists(path) and osp.samefile(x, path)
            for x in (student, *configs)):
        raise ConfigError(f'{path} is one of the configs to read; give '
                          'another --work-dir')
    for cfg in configs:
        read_config(cfg)  # names what is wrong, early
    others = imported_modules(read_config(student).get('custom_imports'))
    folder = osp.dirname(osp.abspath(path))
    modules = [import_method(source, folder) for source in imports]
    frozen = {
        key:
        dict(
            cfg=_reference(cfg),
            **_given(
                ckpt=ckpt and _absolute(ckpt),
                classes=classes_to_keep(student, cfg),
                cache=cache))
        for key, (cfg, ckpt) in teachers.items()
    }
    distillers = {}
    if method is not None:
        name = find_method(method)
        distillers[name.lower()] = dict(
            type=name, **method_options(name, options or {}))
    settings = _given(label_free=label_free, unlabelled=unlabelled)
    if modules:  # the list replaces that of the student's config
        modules = list(dict.fromkeys([*others, *modules]))
        settings['custom_imports'] = dict(imports=modules)
    hooks = '' if inherit is None else _hooks(student, inherit)
    text = _config_text(student, settings, frozen, distillers, hooks)
    keep_edited(path, text.encode())
    write_bytes(path, text.encode())
    return read_config(path)


def _given(**options: Any) -> Dict[str, Any]:
    """The options that are given."""
    return {key: value for key, value in options.items() if value}


def _hooks(student: str, inherit: Dict[str, Any]) -> str:
    """Lines of a config that add the hook to those of the student's."""
    others = read_config(student).get('custom_hooks')
    first = '    *_base_.custom_hooks,\n' if others else ''
    hook = literal(dict(type='mmkd.InheritTeacherHook', **inherit), '', 4, 4)
    return f'custom_hooks = [\n{first}    {hook},\n]\n\n'


def _config_text(student: str, settings: Dict[str, dict], teachers: dict,
                 distillers: dict, hooks: str) -> str:
    """The short config."""
    lines = ''.join(f'{key} = {literal(value, key, 0, len(key) + 3)}\n\n'
                    for key, value in settings.items())
    return (f'_base_ = {literal(_reference(student))}\n\n{lines}{hooks}'
            'model = dict(\n'
            '    _delete_=True,\n'
            "    type='mmkd.DistillationModel',\n"
            '    student={{_base_.model}},\n'
            f'    teachers={literal(teachers, "teachers", 4, 13)},\n'
            f'    distillers={literal(distillers, "distillers", 4, 15)})\n')


def _reference(cfg: str) -> str:
    """A config, as one in another folder names it."""
    return absolute(cfg) if '::' in cfg else osp.abspath(cfg)


def _absolute(ckpt: str) -> str:
    """A teacher's weights, as a config in another folder names them."""
    if ckpt.startswith(
        ('http://', 'https://')) or not (osp.isfile(ckpt) or '/' in ckpt):
        return ckpt
    path = local_file(ckpt)  # refuses other addresses
    if not osp.isfile(path):
        raise CheckpointError(f'there is no checkpoint {ckpt}')
    return osp.abspath(path)
