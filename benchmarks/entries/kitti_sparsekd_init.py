# Without the losses: the student starts from the teacher's weights and then
# trains alone.
_base_ = 'kitti_sparsekd.py'
method = 'kitti_sparsekd_init'
label = "Teacher's weights, narrowed"
distilled = dict(
    options={
        'model.distillers.sparsekd.weights.cls': 0.,
        'model.distillers.sparsekd.weights.reg': 0.,
        'model.distillers.sparsekd.weights.label': 0.
    })
distilled_grid = {'_delete_': True, 'optim_wrapper.optimizer.lr': [3e-3, 1e-2]}
