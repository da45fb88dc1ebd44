"""X-Ray: a teacher that sees complete objects."""
from mmkd.methods.xray.distiller import XRay

__all__ = ['XRay']
