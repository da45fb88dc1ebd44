"""Pure functions on tensors: the losses of the methods."""
from .boundary import body_loss, edge_loss, edge_masks
from .channel_wise import channel_wise_divergence, spatial_log_softmax
from .kd import kl_divergence
from .utils import full_precision, zero_like_graph

__all__ = [
    'body_loss', 'channel_wise_divergence', 'edge_loss', 'edge_masks',
    'full_precision', 'kl_divergence', 'spatial_log_softmax',
    'zero_like_graph'
]
