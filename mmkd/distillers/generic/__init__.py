"""Methods that serve several tasks."""
from mmkd.distillers.generic.cwd import CWD
from mmkd.distillers.generic.logits_kd import LogitsKD

__all__ = ['CWD', 'LogitsKD']
