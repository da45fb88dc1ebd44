#!/bin/sh
# All tests, in two processes: networks of papers and whole runs in one, the
# rest in the other. Usage: run_tests.sh PYTHON
python=$1
log=$(mktemp)
"$python" -m pytest tests/integration >"$log" 2>&1 &
other=$!
trap 'kill $other 2>/dev/null; rm -f "$log"; exit 130' INT TERM
echo 'tests/integration runs beside; its report comes last'
"$python" -m pytest --ignore=tests/integration
first=$?
wait $other
second=$?
cat "$log"
rm -f "$log"
if [ $first -ne 0 ] || [ $second -ne 0 ]; then exit 1; fi
