#!/bin/sh
# All tests, in two processes that take about as long: those that train whole
# runs or start processes in one, units and the 2D recipes in the other. Usage:
# run_tests.sh PYTHON
python=$1
log=$(mktemp)
"$python" -m pytest --durations=10 --ignore=tests/unit/driving_scenes \
    tests/unit tests/integration/test_recipes.py >"$log" 2>&1 &
other=$!
trap 'kill $other 2>/dev/null; rm -f "$log"; exit 130' INT TERM
echo 'units and 2D recipes run beside; their report comes last'
"$python" -m pytest --durations=10 --ignore=tests/integration/test_recipes.py \
    tests/integration tests/docs tests/unit/driving_scenes
first=$?
wait $other
second=$?
cat "$log"
rm -f "$log"
if [ $first -ne 0 ] || [ $second -ne 0 ]; then exit 1; fi
