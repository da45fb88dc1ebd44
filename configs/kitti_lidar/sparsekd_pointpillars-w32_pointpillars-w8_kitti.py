_base_ = '_base_/pointpillars-w32_pointpillars-w8.py'
model = dict(
    distillers=dict(sparsekd=dict(type='SparseKD', weights=dict(cls=15.))))
custom_hooks = [
    dict(type='mmkd.InheritTeacherHook', modules='all', narrow=True)
]
