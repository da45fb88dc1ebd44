# The teacher's layer is frozen: if trained, as in the released code, it learns
# encodings that are easy to match, and the loss vanishes.
_base_ = 'pointdistiller.py'
method = 'pointdistiller_frozen'
label = "PointDistiller, teacher's layer frozen"
distilled = dict(
    options={'model.distillers.pointdistiller.teacher_layer': 'frozen'})
distilled_grid = {'model.distillers.pointdistiller.loss_weight': [0.5, 3.0]}
