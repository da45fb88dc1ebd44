"""Reports that compare students with and without distillation."""
from mmkd.report.comparison import Comparison, as_json, compare
from mmkd.report.page import check_new, free_path, headline, write_report
from mmkd.report.runs import RecordedRun, read_run

__all__ = [
    'Comparison', 'RecordedRun', 'as_json', 'check_new', 'compare',
    'free_path', 'headline', 'read_run', 'write_report'
]
