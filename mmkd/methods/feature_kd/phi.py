"""PHI-S: a rotation after which all channels have the same variance."""
import torch
from mmengine.dist import all_reduce
from torch import Tensor, nn

from mmkd.errors import ConfigError
from mmkd.ops.precision import full_precision


def hadamard(order: int) -> Tensor:
    """A Hadamard matrix: entries 1 and -1, orthogonal rows.

    It is built by Paley's two constructions and by doubling, which covers the
    widths of common models.

    Args:
        order (int): Number of rows.

    Returns:
        Tensor: (order, order), float64.

    Raises:
        ConfigError: If these constructions do not give the order.
    """
    if order == 1:
        return torch.ones(1, 1, dtype=torch.float64)
    half = order // 2
    if order % 4 == 0 and _is_prime(order - 1):
        core = torch.ones(order, order, dtype=torch.float64)
        core[1:, 0] = -1
        core[1:, 1:] = _residues(order - 1)
        return core + torch.eye(order) - torch.diag(core.diag())
    if order % 4 == 0 and half % 4 == 2 and _is_prime(half - 1):
        core = torch.ones(half, half, dtype=torch.float64)
        core[0, 0] = 0
        core[1:, 1:] = _residues(half - 1)
        return torch.kron(core, _pair(1, 1, 1, -1)) + torch.kron(
            torch.eye(half, dtype=torch.float64), _pair(1, -1, -1, -1))
    if order % 2:
        raise ConfigError('there is no Hadamard matrix of that order')
    return torch.kron(_pair(1, 1, 1, -1), hadamard(half))


def phi_matrix(covariance: Tensor) -> Tensor:
    r"""The map of PHI-S, :math:`\bar\lambda^{-1/2} H U^T`.

    The columns of U are the eigenvectors of the covariance,
    :math:`\bar\lambda` is the mean of its eigenvalues and H the orthonormal
    Hadamard matrix. Afterwards each channel has variance 1, and the ratios of
    distances are as before.

    Args:
        covariance (Tensor): (C, C), float64.

    Returns:
        Tensor: (C, C), float64.
    """
    values, vectors = torch.linalg.eigh(covariance)
    mean = values.clamp(min=0).mean().clamp(min=1e-12)
    size = len(values)
    own = hadamard(size).to(covariance.device) / size**.5
    return own @ vectors.T / mean.sqrt()


class PhiStatistics(nn.Module):
    """Mean and covariance over all batches that were seen, of all processes.

    Until :meth:`settle`, the map is divided by one deviation for all
    channels, and from then on it is rotated as well.

    Args:
        channels (int): Channels of the map.

    Raises:
        ConfigError: If there is no rotation for this number of channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        try:
            hadamard(channels)
        except ConfigError:
            raise ConfigError(
                f"standardise='phi' has no Hadamard matrix for {channels} "
                "channels; take standardise='global', which has the same "
                'optimum') from None
        # Of the channels and a constant 1: count, sums and products.
        self.register_buffer(
            'sums',
            torch.zeros(channels + 1, channels + 1, dtype=torch.float64))
        self.register_buffer('rotation', torch.eye(channels))

    @torch.no_grad()
    def add(self, feat: Tensor) -> None:
        """Add a map (N, C, H, W)."""
        cells = feat.double().movedim(1, -1).flatten(0, -2)
        cells = torch.cat([cells, torch.ones_like(cells[:, :1])], dim=1)
        sums = cells.T @ cells
        all_reduce(sums)
        self.sums += sums

    @property
    def cells(self) -> int:
        """Number of cells that were seen; the host waits for it."""
        return int(self.sums[-1, -1])

    @torch.no_grad()
    def settle(self) -> None:
        """Compute the rotation; the host waits for it."""
        mean, covariance = self._moments()
        self.rotation.copy_(
            phi_matrix(covariance) * covariance.diag().mean().sqrt())

    def standardise(self, feat: Tensor) -> Tensor:
        """A map (N, C, H, W) with mean 0 and deviation 1."""
        mean, covariance = self._moments()
        std = covariance.diag().mean().sqrt() + 1e-6
        std = torch.where(self.sums[-1, -1] > 0, std, 1.)
        centred = (feat.float() - mean.float().view(1, -1, 1, 1)) / std.float()
        return _rotated(self.rotation, centred)

    def _moments(self) -> tuple:
        """Mean (C, ) and covariance (C, C)."""
        count = self.sums[-1, -1].clamp(min=1)
        mean = self.sums[-1, :-1] / count
        return mean, self.sums[:-1, :-1] / count - torch.outer(mean, mean)


@full_precision
def _rotated(rotation: Tensor, feat: Tensor) -> Tensor:
    return torch.einsum('dc,nchw->ndhw', rotation, feat)


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % i
                              for i in range(2,
                                             int(number**.5) + 1))


def _residues(prime: int) -> Tensor:
    """1 where the difference of row and column is a square modulo a prime,
    -1 where it is not, and 0 on the diagonal."""
    numbers = torch.arange(prime)
    character = torch.full((prime, ), -1, dtype=torch.float64)
    character[numbers.square() % prime] = 1
    character[0] = 0
    return character[(numbers[:, None] - numbers) % prime]


def _pair(*entries: float) -> Tensor:
    return torch.tensor(entries, dtype=torch.float64).view(2, 2)
