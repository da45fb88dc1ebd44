"""CWD: channel-wise distillation."""
from mmkd.methods.cwd.distiller import CWD

__all__ = ['CWD']
