"""LAD: a teacher of the student's size that sees noisy labels.

Its second stage is :class:`~mmkd.methods.cwd.CWD`, or any other method on
logits, with such a teacher.
"""
from mmkd.registry import MODELS

MODELS.add_lazy('mmkd.methods.lad.segmentor',
                'LabelAssistedSegmentor')  # mmseg
