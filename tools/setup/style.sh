#!/bin/sh
# Check the style of the code, or bring it into the house style.
# Usage: style.sh PYTHON check|format
python=$1
job=$2
code=
folders='mmkd driving_scenes tools tests configs benchmarks acceptance'
for path in setup.py $folders; do
    [ -e "$path" ] && code="$code $path"
done
if [ "$job" = format ]; then
    "$python" -m isort $code && "$python" -m yapf -i -r -p $code
    exit
fi
failed=0
"$python" -m isort --check-only --diff $code || failed=1
"$python" -m yapf --diff -r -p $code || failed=1
"$python" -m flake8 $code || failed=1
"$python" -m mypy || failed=1
[ $failed = 0 ] && echo 'style: good' || echo 'style: make format mends most of it'
exit $failed
