"""Mean and standard deviation of the channels of a teacher's map."""
import torch
from mmengine.dist import all_reduce
from torch import Tensor, nn

_EPS = 1e-6


class ChannelStatistics(nn.Module):
    """Statistics over all batches that were seen, of all processes.

    They are buffers, so that a resumed run goes on with them.

    Args:
        channels (int): Channels of the map.
        whole (bool): Whether all channels are divided by one number, which
            keeps the ratios of distances, instead of each by its own.
            Defaults to False.
    """

    def __init__(self, channels: int, whole: bool = False) -> None:
        super().__init__()
        self.whole = whole
        # float64, since thousands of batches are added up.
        self.register_buffer('sums',
                             torch.zeros(3, channels, dtype=torch.float64))

    @torch.no_grad()
    def add(self, feat: Tensor) -> None:
        """Add a map (N, C, H, W)."""
        var, mean = torch.var_mean(feat.float(), dim=(0, 2, 3), correction=0)
        var, mean = var.double(), mean.double()
        count = torch.full_like(mean, feat[:, 0].numel())
        sums = torch.stack(
            [count, count * mean, count * (var + mean.square())])
        all_reduce(sums)
        self.sums += sums

    @property
    def cells(self) -> int:
        """Number of cells that were seen; the host waits for it."""
        return int(self.sums[0, 0])

    def standardise(self, feat: Tensor) -> Tensor:
        """A map (N, C, H, W) with mean 0 and, on average, standard deviation
        1."""
        count = self.sums[0].clamp(min=1)
        mean = self.sums[1] / count
        var = (self.sums[2] / count - mean.square()).clamp(min=0)
        std = (var.mean() if self.whole else var).sqrt()
        # As they are until something was added.
        std = torch.where(self.sums[0] > 0, std, 1 - _EPS)

        def row(values: Tensor) -> Tensor:
            return values.to(torch.float32).view(1, -1, 1, 1)

        return (feat.float() - row(mean)) / (row(std) + _EPS)
