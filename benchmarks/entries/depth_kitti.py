# How much is the LiDAR, and how much the teacher: MonoTAKD's student with
# depth from the same points, without a teacher.
_base_ = 'monotakd.py'
method = 'depth_kitti'
label = 'depth of the LiDAR, no teacher'
teacher = None
more_teachers = dict(_delete_=True)
distilled = dict(config='configs/demo/bev-residual-depth_scenes-kitti.py')
distilled_grid = {'_delete_': True, 'model.depth_loss_weight': [3.0]}
