#!/bin/sh
# Build the documentation into site/; warnings and broken links are errors.
# The generator gets an environment of its own in the cache folder.
# Usage: build.sh PYTHON
set -eu
cd "$(dirname "$0")/../.."
cache=${MMKD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mmkd}
key=$(cksum <requirements/docs.txt | cut -d' ' -f1)
env=$cache/docs/$key
if [ ! -e "$env/ready" ]; then
    echo "mmkd: preparing the generator of the documentation in $env" >&2
    "$1" -m venv --clear "$env"
    "$env/bin/python" -m pip install --quiet --disable-pip-version-check \
        -r requirements/docs.txt
    touch "$env/ready"
fi
export NO_MKDOCS_2_WARNING=1  # the pins keep mkdocs 1.6
exec "$env/bin/python" -m mkdocs build --strict
