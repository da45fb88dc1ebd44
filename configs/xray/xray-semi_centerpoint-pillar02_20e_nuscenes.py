# The semi-supervised student: labelled frames, and four times as many that a
# teacher of object-complete frames has labelled (mmkd pseudo-label). It
# starts from a detector of labelled frames; nothing of a teacher runs here.
_base_ = 'mmdet3d::centerpoint/centerpoint_pillar02_second_secfpn_head-circlenms_8xb4-cyclic-20e_nus-3d.py'
labelled = _base_.train_dataloader.dataset.dataset  # noqa: F821
# Objects are pasted into labelled frames only.
unlabelled = dict(
    labelled,
    ann_file='nuscenes_infos_unlabelled_pseudo.pkl',
    pipeline=[
        step for step in labelled['pipeline'] if step['type'] != 'ObjectSample'
    ])
train_dataloader = dict(
    _delete_=True,
    batch_size=5,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(
        type='mmdet.MultiSourceSampler', batch_size=5, source_ratio=[1, 4]),
    dataset=dict(type='ConcatDataset', datasets=[labelled, unlabelled]))
load_from = 'work_dirs/centerpoint-pillar02_labelled/epoch_20.pth'
