"""Teachers of other libraries, as configs name them: ``'timm::NAME'``."""
import os.path as osp
import re
from typing import Any, Dict, NamedTuple, Optional, Tuple

from mmkd.errors import ConfigError
from mmkd.utils.suggestions import did_you_mean

# What a teacher needs of a model on the hub: no code, no tokeniser.
_HUB_FILES = ('config.json', 'preprocessor_config.json', 'README.md',
              'model*.safetensors', 'model.safetensors.index.json')


class Scheme(NamedTuple):
    """What may stand before ``::`` besides the packages of OpenMMLab.

    Attributes:
        type (str): The class of the network.
        argument (str): Its argument that the text after ``::`` is.
        is_path (bool): Whether that is a path.
        has_weights (bool): Whether it has the weights too.
    """
    type: str
    argument: str
    is_path: bool = False
    has_weights: bool = False


SCHEMES: Dict[str, Scheme] = dict(
    timm=Scheme('mmkd.TimmNetwork', 'name'),
    hf=Scheme('mmkd.HFNetwork', 'folder', True, True),
    torch=Scheme('mmkd.FactoryNetwork', 'factory'),
    onnx=Scheme('mmkd.OnnxNetwork', 'file', True, True),
    export=Scheme('mmkd.ExportedNetwork', 'file', True, True),
    torchscript=Scheme('mmkd.TorchScriptNetwork', 'file', True, True))


def foundation_config(cfg: Any) -> Optional[Dict[str, Any]]:
    """The model dict that ``'scheme::what'`` is short for.

    Returns:
        dict | None: None if ``cfg`` is no such text.
    """
    if not isinstance(cfg, str):
        return None
    name, separator, what = cfg.partition('::')
    scheme = SCHEMES.get(name)
    if not separator or scheme is None:
        return None
    if not what:
        raise ConfigError(f'{cfg} names nothing; write {name}::'
                          f'{scheme.argument.upper()}')
    return {'type': scheme.type, scheme.argument: what}


def _scheme_of(cfg: Any) -> Optional[Scheme]:
    """The scheme of a teacher's config, in its short or its long form."""
    model = foundation_config(cfg) or cfg
    kind = model.get('type') if isinstance(model, dict) else None
    return next((x for x in SCHEMES.values() if x.type == kind), None)


def has_weights(cfg: Any) -> bool:
    """Whether a teacher's config names its weights too."""
    scheme = _scheme_of(cfg)
    return scheme is not None and scheme.has_weights


def weights_of(cfg: Any) -> Optional[str]:
    """File of the weights in the folder of an ``hf::`` teacher, or the index
    of several.

    Returns:
        str | None: None for other teachers.
    """
    if _scheme_of(cfg) is not SCHEMES['hf']:
        return None
    folder = (foundation_config(cfg) or cfg)['folder']
    if not osp.isdir(folder):  # building the network says what is missing
        return None
    path = osp.join(folder, 'model.safetensors')
    index = f'{path}.index.json'
    return index if osp.isfile(index) and not osp.isfile(path) else path


def fetched(cfg: Any, ckpt: Any) -> Tuple[Any, Any]:
    """A teacher's config and weights, with a local folder in place of
    ``'hf::ORGANISATION/NAME'`` and ``'official'``, which download it once.

    Returns:
        tuple: Both as they are for other teachers and for local folders.

    Raises:
        ConfigError: If the hub cannot be reached or has no such model.
    """
    if ckpt != 'official' or _scheme_of(cfg) is not SCHEMES['hf']:
        return cfg, ckpt
    model = foundation_config(cfg) or cfg
    name = model['folder']
    if osp.isdir(name):
        return cfg, ckpt
    # Here, since it imports mmengine, which `mmkd --help` does without.
    from mmkd.utils.imports import optional_package
    hub = optional_package('huggingface_hub', f'the teacher hf::{name}')
    try:
        folder = hub.snapshot_download(name, allow_patterns=list(_HUB_FILES))
    except Exception as error:  # also of the hub's own client for HTTP
        raise ConfigError(
            f'hf::{name} cannot be downloaded: {type(error).__name__}: '
            f'{str(error)[:160]}. On a machine with '
            f"the network, 'hf download {name} --local-dir FOLDER' fetches "
            'it; then write hf::FOLDER and leave ckpt out') from error
    return {**model, 'folder': folder}, None


def with_trust(cfg: Any, trusted: bool) -> Any:
    """A teacher's config, with the word that its file may run code."""
    if not trusted or _scheme_of(cfg) not in (SCHEMES['export'],
                                              SCHEMES['torchscript']):
        return cfg
    return dict(foundation_config(cfg) or cfg, trusted=True)


def absolute(cfg: str) -> str:
    """``'scheme::path'``, as a config in another folder names it; a model on
    the hub has no path."""
    name, _, path = cfg.partition('::')
    scheme = SCHEMES.get(name)
    is_path = scheme is not None and scheme.is_path and osp.exists(path)
    return f'{name}::{osp.abspath(path)}' if is_path else cfg


def plain_name(cfg: str) -> str:
    """``NAME`` of ``'timm::NAME.tag'`` and the like, for names of files;
    ``''`` for a config of OpenMMLab."""
    model = foundation_config(cfg)
    if model is None:
        return ''
    last = re.split('[/:]', cfg.rstrip('/'))[-1]
    return last.partition('.')[0] or 'teacher'


def timm_weights(cfg: Any) -> Optional[str]:
    """URL of the weights that timm publishes for a teacher.

    Returns:
        str | None: None for a teacher that is not of timm.

    Raises:
        ConfigError: If timm publishes none, or has no such model.
    """
    if _scheme_of(cfg) is not SCHEMES['timm']:
        return None
    # Here, since it imports mmengine, which `mmkd --help` does without.
    from mmkd.utils.imports import optional_package
    name = (foundation_config(cfg) or cfg)['name']
    timm = optional_package('timm', f'the teacher timm::{name}')
    try:
        card = timm.get_pretrained_cfg(name, allow_unregistered=False)
    except RuntimeError as error:
        raise unknown_timm_model(timm, name) from error
    if not card.hf_hub_id:
        raise ConfigError(f'timm publishes no weights for {name!r}; give a '
                          'file as ckpt')
    from huggingface_hub import hf_hub_url
    return hf_hub_url(card.hf_hub_id, card.hf_hub_filename
                      or 'model.safetensors')


def unknown_timm_model(timm: Any, name: str) -> ConfigError:
    """The error that timm, a module, has no such model or tag."""
    plain = name.partition('.')[0]
    known = timm.list_models()
    hint = did_you_mean(plain, known) if plain not in known else (
        'Tags: ' + ', '.join(timm.list_pretrained(f'{plain}*')[:4]))
    return ConfigError(f'timm {timm.__version__} has no model {name!r}. '
                       f'{hint}')


def check_fetched(cfg: Any) -> None:
    """Tell how to get the weights of a network of another library.

    Raises:
        ConfigError: If it is such a network.
    """
    scheme = _scheme_of(cfg)
    if scheme is None:
        return
    what = (foundation_config(cfg) or cfg)[scheme.argument]
    if scheme.has_weights:
        raise ConfigError(f'{what} has its weights; leave ckpt out, or give a '
                          'file')
    if scheme is SCHEMES['timm']:
        raise ConfigError(
            f"timm::{what} needs weights; ckpt='official' downloads them. Or "
            f"fetch them with 'hf download timm/{what} model.safetensors "
            "--local-dir FOLDER' and give FOLDER/model.safetensors as ckpt")
    raise ConfigError(f'nobody publishes weights for torch::{what}; give a '
                      "file as ckpt, or 'random' for the network as it is "
                      'built')
