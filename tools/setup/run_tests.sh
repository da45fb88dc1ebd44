#!/bin/sh
# All tests, in two processes: those that train whole runs or recipes in one,
# and the rest in the other. Usage: run_tests.sh PYTHON
python=$1
log=$(mktemp)
"$python" -m pytest --durations=10 tests/unit tests/docs >"$log" 2>&1 &
other=$!
trap 'kill $other 2>/dev/null; rm -f "$log"; exit 130' INT TERM
echo 'tests/unit and tests/docs run beside; their report comes last'
"$python" -m pytest --durations=10 tests/integration
first=$?
wait $other
second=$?
cat "$log"
rm -f "$log"
if [ $first -ne 0 ] || [ $second -ne 0 ]; then exit 1; fi
