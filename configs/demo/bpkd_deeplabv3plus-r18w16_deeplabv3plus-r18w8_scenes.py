_base_ = 'deeplabv3plus_r18w8-d16_scenes.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='{{fileDirname}}/deeplabv3plus_r18w16-d16_scenes.py',
            ckpt='{{fileDirname}}/weights/deeplabv3plus_r18w16.safetensors')),
    # The paper's 50 and 20 outweigh the task by far in so short a training;
    # with these, the gradients at the logits are about as large as the task's.
    distillers=dict(bpkd=dict(type='BPKD', weights=dict(edge=0.05, body=2.0))))
