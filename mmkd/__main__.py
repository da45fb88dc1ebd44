"""``python -m mmkd``: the command ``mmkd``."""
from mmkd.cli import main

if __name__ == '__main__':
    main()
