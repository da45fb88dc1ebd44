"""The error of this package."""


class ScenesError(ValueError):
    """The scenes that were asked for cannot be made, read or checked."""
