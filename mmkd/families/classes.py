"""How many classes the heads of a network tell apart."""
from typing import Dict, Optional

from torch import nn

#: What the name or the class of a head contains whose number of classes is not
#: that of the data set: proposals, semantic maps beside objects, and
#: boundaries of regions.
_OTHER = ('rpn_head', 'RPN', 'semantic_head', 'STDCHead')


def head_classes(network: nn.Module) -> Dict[str, int]:
    """Find the number of classes of each head.

    Args:
        network (nn.Module): A network of mmseg, mmdet or mmdet3d.

    Returns:
        dict[str, int]: By the path of the head, such as ``'bbox_head'``. A
        head that divides its classes into tasks has the sum.
    """
    found = {}
    for path, module in network.named_modules():
        # `roi_head.bbox_head.0` is the first stage of a cascade.
        name = path.rstrip('.0123456789').rpartition('.')[2]
        classes = getattr(module, 'num_classes', None)
        if not name.endswith('head') or any(
                other in f'{name} {type(module).__name__}'
                for other in _OTHER):
            continue
        if isinstance(classes, (list, tuple)):
            classes = sum(classes)
        if isinstance(classes, int) and classes > 0:
            found[path] = classes
    return found


def pixel_labels(network: nn.Module) -> Optional[int]:
    """Number of labels of pixels that a segmentation head knows.

    Returns:
        int, optional: None if the network has no such head.
    """
    head = getattr(network, 'decode_head', None)
    heads = head if isinstance(head, nn.ModuleList) else [head]
    # A single output channel tells two classes apart.
    return max(2 if getattr(each, 'out_channels', 0) ==
               1 else getattr(each, 'num_classes', 0)
               for each in heads) or None
