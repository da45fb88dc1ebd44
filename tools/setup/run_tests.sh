#!/bin/sh
# All tests, in two processes that take about as long: the pages, those that
# train whole runs and the 2D recipes in one, the rest in the other. Usage:
# run_tests.sh PYTHON
python=$1
log=$(mktemp)
"$python" -m pytest --durations=10 tests/unit \
    tests/integration/test_*_recipes.py >"$log" 2>&1 &
other=$!
trap 'kill $other 2>/dev/null; rm -f "$log"; exit 130' INT TERM
echo 'units and recipes run beside; their report comes last'
"$python" -m pytest --durations=10 --ignore-glob='*/test_*_recipes.py' \
    tests/integration tests/docs
first=$?
wait $other
second=$?
cat "$log"
rm -f "$log"
if [ $first -ne 0 ] || [ $second -ne 0 ]; then exit 1; fi
