# A teacher that sees objects complete (`mmkd complete`).
_base_ = 'pointpillars_w8_scenes-kitti.py'
from mmkd.methods.xray.data.pipelines import \
    with_complete_objects  # noqa: E402

train_dataloader = with_complete_objects(
    _base_.train_dataloader,  # noqa: F821
    keep='teacher')
