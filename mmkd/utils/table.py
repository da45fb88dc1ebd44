"""Tables as text."""
from typing import Sequence


def format_table(header: Sequence[str],
                 rows: Sequence[Sequence[object]]) -> str:
    """Format a table with aligned columns; numbers are right-aligned.

    Args:
        header (Sequence[str]): Names of the columns.
        rows (Sequence[Sequence]): The cells; None shows as '-'.

    Returns:
        str: The table, one line per row, without a final line break.
    """
    cells = [['-' if cell is None else str(cell) for cell in row]
             for row in rows]
    columns = list(zip(header, *cells)) if cells else [(h, ) for h in header]
    widths = [max(map(len, column)) for column in columns]
    numeric = [
        len(column) > 1 and all(_is_number(cell) for cell in column[1:])
        for column in columns
    ]

    def line(row: Sequence[str]) -> str:
        return '  '.join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric)).rstrip()

    rule = '  '.join('-' * width for width in widths)
    return '\n'.join([line(header), rule, *map(line, cells)])


def _is_number(cell: str) -> bool:
    return cell.strip('+-%')[:1].isdigit() or cell == '-'
