"""Methods that serve several tasks."""
from mmkd.distillers.generic.acam import ACAM
from mmkd.distillers.generic.cwd import CWD
from mmkd.distillers.generic.logits_kd import LogitsKD
from mmkd.distillers.generic.mgd import MGD

__all__ = ['ACAM', 'CWD', 'LogitsKD', 'MGD']
