# Copyright (c) mmkd contributors. All rights reserved.
"""Show roles in docstrings, such as ``:class:`Tap```, as plain code."""
import re

import griffe

ROLE = re.compile(r':(?:class|func|meth|mod|attr|data):`~?([^`]+)`')


class Roles(griffe.Extension):
    """Replace the roles of Sphinx when a docstring was read."""

    def on_object(self, *, obj, **kwargs):
        """Change the docstring of an object in place."""
        if obj.docstring:
            obj.docstring.value = ROLE.sub(r'`\1`', obj.docstring.value)
