#!/bin/sh
# Print a Python 3.11: the one named as $1, else python3.11, else python3.
fits='import sys; sys.exit(sys.version_info[:2] != (3, 11))'
out='install python3.11 (Debian, Ubuntu: apt-get install python3.11 python3.11-venv python3.11-dev), or name one: make env PYTHON=/path/to/python3.11'
if [ -n "$1" ]; then
    set -- "$1"
else
    set -- python3.11 python3
fi
seen=
for python in "$@"; do
    if version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null); then
        if "$python" -c "$fits" 2>/dev/null; then
            command -v "$python"
            exit 0
        fi
        seen="$seen, $python is $version"
    else
        seen="$seen, no $python that runs"
    fi
done
echo "mmkd: Python 3.11 is needed (${seen#, }); $out" >&2
exit 1
