"""Small modules between student and teacher."""
from mmkd.connectors.connector import (ConvConnector, build_connector,
                                       match_size)
from mmkd.connectors.edge_conv import EdgeConv
from mmkd.connectors.generation import GenerationBlock

__all__ = [
    'ConvConnector', 'EdgeConv', 'GenerationBlock', 'build_connector',
    'match_size'
]
