"""The error of this package."""


class ScenesError(ValueError):
    """Scenes cannot be generated, read or verified."""
