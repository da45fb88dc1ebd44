"""Small modules that match channels and sizes."""
from mmkd.connectors.connector import (build_connector, match_size,
                                       ConvConnector)

__all__ = ['ConvConnector', 'build_connector', 'match_size']
