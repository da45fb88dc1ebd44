"""mmkd: knowledge distillation for dense vision on the OpenMMLab stack."""
from mmkd.utils.compat import check_versions
from mmkd.version import __version__

check_versions()

__all__ = ['__version__']
