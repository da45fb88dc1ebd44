"""The subcommands of ``mmkd``, one module each; see :mod:`mmkd.cli`."""
