# How much is the LiDAR, and how much the teacher: UniDistill's camera student
# with depth from the same points, without a teacher.
_base_ = 'unidistill_lidar_camera.py'
method = 'depth_nuscenes'
label = 'depth of the LiDAR, no teacher'
teacher = None
distilled = dict(config='configs/demo/bev-camera-depth_scenes-nuscenes.py')
distilled_grid = {'_delete_': True, 'model.depth_loss_weight': [3.0]}
