"""Sheets of panels: layout, text, colours and pixels."""
import io
import math
import textwrap
from typing import Any, Tuple

import numpy as np

#: In pixels: longer side of a panel, space to its right and above it, margins
#: at the left and the top of a sheet.
_PANEL, _RIGHT, _ABOVE, _LEFT, _TOP = 320, 58, 26, 38, 24
_DPI = 100
_CMAP = 'viridis'


class Panel:
    """A panel of a sheet.

    Args:
        sheet (Sheet): The sheet.
        box (tuple[int, int, int, int]): Left, top, width and height in
            pixels of the sheet.
    """

    def __init__(self, sheet: 'Sheet', box: Tuple[int, int, int, int]) -> None:
        self.sheet = sheet
        self.box = box

    @property
    def size(self) -> Tuple[int, int]:
        """Height and width in pixels."""
        return self.box[3], self.box[2]

    def show(self, picture: np.ndarray) -> None:
        """Show an image (H, W, 3) of the panel's size, values 0 to 1.

        This is much faster than axes of matplotlib; a sheet can have hundreds
        of panels.
        """
        left, top, width, height = self.box
        self.sheet.canvas[top:top + height, left:left + width] = picture

    def axes(self) -> Any:
        """Axes of matplotlib in the panel, for content other than images."""
        left, top, width, height = self.box
        rows, columns = self.sheet.canvas.shape[:2]
        axes = self.sheet.figure.add_axes(
            (left / columns, 1 - (top + height) / rows, width / columns,
             height / rows))
        axes.set(xticks=[], yticks=[], facecolor='none')
        return axes

    def title(self, text: str) -> None:
        """Write a title above the panel."""
        left, top, width, _ = self.box
        self.sheet.write(
            left + width / 2, top - 4, text, ha='center', va='bottom')

    def label(self, text: str) -> None:
        """Write a vertical label to the left, in several lines if needed."""
        left, top, _, height = self.box
        text = '\n'.join(
            textwrap.fill(line, max(height // 7, 8))
            for line in text.splitlines())
        self.sheet.write(
            left - 6,
            top + height / 2,
            text,
            ha='right',
            va='center',
            rotation=90,
            weight='bold')

    def note(self, text: str) -> None:
        """Write into the lower right corner."""
        left, top, width, height = self.box
        self.sheet.write(
            left + width - 3,
            top + height - 3,
            text,
            fontsize=7,
            color='white',
            ha='right',
            va='bottom',
            bbox=dict(facecolor='black', edgecolor='none', alpha=0.5, pad=1))

    def color_bar(self, norm: Any) -> None:
        """Draw a colour bar to the right."""
        left, top, width, height = self.box
        left += width + 5
        shares = np.linspace(1, 0, height)
        colors = np.repeat(colors_of(shares)[:, None], 9, axis=1)
        self.sheet.canvas[top:top + height, left:left + 9] = colors
        marks = [float(norm.inverse(share)) for share in (0., 0.5, 1.)]
        # As many digits as needed to distinguish them.
        span = math.floor(math.log10(marks[2] - marks[0]))
        kind = '.1e' if not -4 < span < 5 else f'.{max(0, 1 - span)}f'
        if marks[1] - marks[0] < 0.4 * (marks[2] - marks[0]):
            kind = '.2g'  # a logarithmic scale
        for share, mark in zip((0., 0.5, 1.), marks):
            self.sheet.write(
                left + 13,
                top + (1 - share) * (height - 1),
                format(mark, kind),
                fontsize=7,
                va='center')


class Sheet:
    """A figure with panels of equal size in rows and columns.

    Args:
        rows (int): Number of rows.
        columns (int): Number of columns.
        aspect (float): Ratio of a panel's height to its width.
        title (str): Title of the figure. Defaults to ''.
    """

    def __init__(self,
                 rows: int,
                 columns: int,
                 aspect: float,
                 title: str = '') -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        self.width = round(_PANEL * min(1, 1 / aspect))
        self.height = max(round(_PANEL * min(1, aspect)), 40)
        size = (_TOP + rows * (self.height + _ABOVE) + 8,
                _LEFT + columns * (self.width + _RIGHT))
        self.canvas = np.ones((*size, 3), np.float32)
        self.figure = Figure(
            figsize=(size[1] / _DPI, size[0] / _DPI),
            dpi=_DPI,
            facecolor='white')
        FigureCanvasAgg(self.figure)
        self.write(
            _LEFT, 5, title, ha='left', va='top', fontsize=11, weight='bold')

    def panel(self, row: int, column: int) -> Panel:
        """The panel of a row and a column."""
        left = _LEFT + column * (self.width + _RIGHT)
        top = _TOP + _ABOVE + row * (self.height + _ABOVE)
        return Panel(self, (left, top, self.width, self.height))

    def write(self, x: float, y: float, text: str, **kwargs: Any) -> None:
        """Write text at a position in pixels from the left and the top."""
        rows, columns = self.canvas.shape[:2]
        self.figure.text(x / columns, 1 - y / rows, text, **{
            'fontsize': 9,
            **kwargs
        })

    def render(self) -> bytes:
        """The sheet as a PNG."""
        pixels = (255 * self.canvas).round().astype(np.uint8)
        self.figure.figimage(pixels, zorder=-1)
        buffer = io.BytesIO()
        # Little compression: most of the time would go into it.
        self.figure.savefig(
            buffer, format='png', dpi=_DPI, pil_kwargs=dict(compress_level=2))
        self.figure.images.clear()
        return buffer.getvalue()


def colors_of(shares: np.ndarray) -> np.ndarray:
    """Colours (..., 3) for values from 0 to 1; grey where masked."""
    from matplotlib import colormaps

    # Grey: cells that the method does not use.
    cmap = colormaps[_CMAP].with_extremes(bad='0.5')
    return cmap(np.clip(shares, 0, 1))[..., :3]


def stretch(
    picture: np.ndarray,
    size: Tuple[int, int],
    part: Tuple[float, float] = (1., 1.)) -> np.ndarray:
    """Resize an image or its upper left part without interpolation.

    Args:
        picture (np.ndarray): (H, W, ...).
        size (tuple[int, int]): Height and width in pixels.
        part (tuple[float, float]): Fractions of height and width to show.
            Defaults to all.
    """
    rows, columns = (((np.arange(new) + 0.5) / new * share * old).astype(int)
                     for new, share, old in zip(size, part, picture.shape))
    return picture[rows[:, None], columns]


def pixels(png: bytes) -> np.ndarray:
    """The pixels of a PNG, (H, W, 3) in RGB, uint8."""
    from PIL import Image
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert('RGB'))
