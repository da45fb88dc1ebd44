"""Report what distillation gained: one HTML page and a JSON file.

The runs are work folders of mmkd or of mmengine alone. Runs of one config
with different seeds are one group; the plain runs are the baseline. Runs that
are tested on other data or by other metrics are refused.
"""
import argparse

from mmkd.cli.options import add_device, add_file, quietly


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        'runs', nargs='+', metavar='RUN',
        help='work folder of a run').complete = dict(
            bash='_shtab_compgen_dirs', zsh='_files -/')
    add_file(
        parser,
        '--out',
        help='the page, .html, which must not exist; default: '
        'work_dirs/reports/report.html or the next free number')
    parser.add_argument(
        '--split',
        choices=('val', 'test'),
        default='test',
        help='data to test on; default: test')
    parser.add_argument(
        '--no-evaluate',
        action='store_true',
        help='test nothing: take the last validation from each log')
    parser.add_argument(
        '--metric', help='the metric that decides; default: that of the task')
    parser.add_argument(
        '--images',
        type=int,
        default=4,
        help='number of images to show; default: 4')
    add_device(parser)


def run(args: argparse.Namespace) -> None:
    """Compare, and write the report."""
    from mmkd import report
    out = args.out or report.free_path('work_dirs/reports/report.html')
    report.check_new(out)
    with quietly(args):
        result = report.compare(args.runs, args.split, not args.no_evaluate,
                                args.images, args.metric)
        files = report.write_report(result, out)
    print(report.headline(result)[1], *files, sep='\n')
