"""Small modules that match channels and sizes."""
from mmkd.connectors.connector import (build_connector, match_size,
                                       ConvConnector)
from mmkd.connectors.generation import GenerationBlock

__all__ = [
    'ConvConnector', 'GenerationBlock', 'build_connector', 'match_size'
]
