"""Pure functions on tensors: the losses of the methods."""
from mmkd.losses.boundary import body_loss, edge_loss, edge_masks
from mmkd.losses.channel_wise import (channel_wise_divergence,
                                      spatial_log_softmax)
from mmkd.losses.kd import kl_divergence
from mmkd.losses.utils import full_precision, labelled_cells, zero_like_graph

__all__ = [
    'body_loss', 'channel_wise_divergence', 'edge_loss', 'edge_masks',
    'full_precision', 'kl_divergence', 'labelled_cells', 'spatial_log_softmax',
    'zero_like_graph'
]
