"""Pure functions on tensors: the losses of the methods."""
from mmkd.losses.adaptive_masks import (channel_mask_loss, channel_masks,
                                        mask_diversity, mask_statistics,
                                        spatial_mask_loss, spatial_masks)
from mmkd.losses.attention import cross_attention
from mmkd.losses.bev_foreground import (box_gaussian_mask, box_key_points,
                                        class_heat, gaussian_radius,
                                        key_point_distance,
                                        key_point_relations, masked_distance,
                                        points_in_range, relation_distance,
                                        sample_bev)
from mmkd.losses.boundary import body_loss, edge_loss, edge_masks
from mmkd.losses.channel_wise import (channel_wise_divergence,
                                      spatial_log_softmax)
from mmkd.losses.features import squared_distance
from mmkd.losses.focal_global import (attention_loss, attention_maps,
                                      box_masks, focal_distances)
from mmkd.losses.hierarchical_context import (embedding_loss,
                                              hierarchical_context_loss)
from mmkd.losses.kd import kl_divergence
from mmkd.losses.masked_generation import random_cells
from mmkd.losses.point_graphs import (centre_weights, choose_centres,
                                      match_voxels, nearest_nodes,
                                      points_per_voxel)
from mmkd.losses.residual import (center_box_distance, center_class_distance,
                                  map_distance, min_max, residual_target,
                                  soft_anchor_weights, soft_box_distance,
                                  soft_class_distance, soft_direction_distance)
from mmkd.losses.utils import full_precision, labelled_cells, zero_like_graph

__all__ = [
    'attention_loss', 'attention_maps', 'body_loss', 'box_gaussian_mask',
    'box_key_points', 'box_masks', 'center_box_distance',
    'center_class_distance', 'centre_weights', 'channel_mask_loss',
    'channel_masks', 'channel_wise_divergence', 'choose_centres', 'class_heat',
    'cross_attention', 'edge_loss', 'edge_masks', 'embedding_loss',
    'focal_distances', 'full_precision', 'gaussian_radius',
    'hierarchical_context_loss', 'key_point_distance', 'key_point_relations',
    'kl_divergence', 'labelled_cells', 'map_distance', 'mask_diversity',
    'mask_statistics', 'masked_distance', 'match_voxels', 'min_max',
    'nearest_nodes', 'points_in_range', 'points_per_voxel', 'random_cells',
    'relation_distance', 'residual_target', 'sample_bev',
    'soft_anchor_weights', 'soft_box_distance', 'soft_class_distance',
    'soft_direction_distance', 'spatial_log_softmax', 'spatial_mask_loss',
    'spatial_masks', 'squared_distance', 'zero_like_graph'
]
