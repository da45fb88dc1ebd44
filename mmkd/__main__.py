"""``python -m mmkd train CONFIG ...``: the tools of an installed mmkd."""
import sys

from mmkd import cli

TOOLS = ('train', 'test', 'export_student', 'list_taps', 'distill',
         'browse_distillation')

if __name__ == '__main__':
    if len(sys.argv) < 2 or sys.argv[1] not in TOOLS:
        sys.exit(f'usage: python -m mmkd {{{",".join(TOOLS)}}} ...')
    tool = getattr(cli, sys.argv.pop(1))
    cli.run(tool)
