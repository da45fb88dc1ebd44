"""Small modules that match channels and sizes."""
from mmkd.connectors.connector import (ConvConnector, build_connector,
                                       match_size)
from mmkd.connectors.generation import GenerationBlock

__all__ = ['ConvConnector', 'GenerationBlock', 'build_connector', 'match_size']
