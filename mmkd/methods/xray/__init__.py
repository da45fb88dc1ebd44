"""X-Ray: distillation from a teacher with object-complete frames."""
from mmkd.methods.xray.distiller import XRay

__all__ = ['XRay']
