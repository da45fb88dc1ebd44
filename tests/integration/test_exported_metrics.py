"""An exported config names nothing of mmkd, its metrics included."""
from mmkd.apis import student_only

BPKD = ('configs/demo/bpkd_deeplabv3plus-r18w32_deeplabv3plus-r18w8_scenes'
        '.py')


def test_metrics_of_mmkd_leave_the_exported_config():
    plain = student_only(BPKD)
    assert [m['type'] for m in plain.test_evaluator] == ['IoUMetric']
    assert 'mmkd' not in plain.dump()
    kept = student_only(BPKD, keep_metrics=True)
    assert [m['type'] for m in kept.test_evaluator
            ] == ['IoUMetric', 'mmkd.BoundaryIoUMetric']
