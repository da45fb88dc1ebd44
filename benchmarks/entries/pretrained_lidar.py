# Teacher and student were trained on the driving scenes before.
pretrained = dict(
    entry='pointpillars_kitti_pretraining', root='data/scenes/bench')
prepare = [[
    'scenes', '--preset', 'bench', '--out', 'data/scenes/bench', '--infos',
    '--formats', 'kitti'
]]
