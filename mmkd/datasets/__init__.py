"""Data sets, transforms and the embedded driving scenes of mmkd."""
