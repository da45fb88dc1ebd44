# Copyright (c) mmkd contributors. All rights reserved.
"""Build a wheel of mmcv, with its compiled operators, in about a minute.

mmcv comes as a source archive. Its own build compiles 77 small files, and
nearly all of the time goes into parsing PyTorch's headers 77 times. This
script runs mmcv's ``setup.py``, but hands it a few generated files, each of
which includes many of mmcv's (a "unity build"), so the headers are parsed a
handful of times.

* No file of mmcv is changed: the generated files lie beside its tree, and
  the C++ standard is raised from 17 to 20, which the headers of torch need,
  while ``setup.py`` runs.
* Files that define the same names must not meet in one unit. The known
  cases are listed below; should a unit fail all the same (another mmcv,
  another compiler), it is cut in two and tried again, down to single files,
  which is mmcv's plain build.
* Finished objects stay in the build tree, so a build that was interrupted
  goes on where it stopped.

Run it with the interpreter that the wheel is meant for; torch, setuptools,
wheel and ninja must be installed there.
"""
import argparse
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

SOURCES = 'mmcv/ops/csrc/pytorch'
# Each of these defines templates with the same names, or macros that break the
# torch headers: no two of them share a unit, and the last ones come last in
# theirs.
APART = ('cpu/bezier_align.cpp', 'cpu/roi_align.cpp',
         'cpu/roi_align_rotated.cpp', 'cpu/rotated_feature_align.cpp')
LAST = ('cpu/psamask.cpp', )
ALONE = ('pybind.cpp', )

# The headers of torch need it; mmcv's setup.py asks for C++17.
STANDARD = 'c++20'
# Replaces the list of C++ files in mmcv's setup.py.
WRAPPER = """\
import glob, os, sys
units = {units!r}
plain = glob.glob
def unity(pattern, *args, **kwargs):
    if pattern == './{sources}/*.cpp':
        return list(units)
    if pattern == './{sources}/cpu/*.cpp':
        return []
    return plain(pattern, *args, **kwargs)
glob.glob = unity
sys.path.insert(0, os.getcwd())
sys.argv = ['setup.py'] + sys.argv[1:]
with open('setup.py', encoding='utf-8') as file:
    text = file.read().replace('-std=c++17', '-std={standard}')
exec(compile(text, 'setup.py', 'exec'),
     dict(__name__='__main__', __file__='setup.py'))
"""


def plan(names):
    """Divide mmcv's C++ files into units that compile.

    Args:
        names (list[str]): Paths below mmcv's ``csrc/pytorch``.

    Returns:
        list[list[str]]: The units, the longest to compile first.
    """
    names = sorted(names)
    alone = [[n] for n in names if n in ALONE]
    top = [n for n in names if '/' not in n and n not in ALONE]
    cpu = [n for n in names if '/' in n]
    apart = [n for n in cpu if n in APART]
    rest = [n for n in cpu if n not in APART and n not in LAST]
    count = max(1, len(apart))
    units = [[] for _ in range(count)]
    for i, name in enumerate(apart):
        units[i].append(name)
    for i, name in enumerate(rest):
        units[i % count].append(name)
    units[-1].extend(n for n in cpu if n in LAST)
    return [u for u in alone + [top] + units if u]


def split(unit):
    """Cut a unit that does not compile in two."""
    half = len(unit) // 2
    return [unit[:half], unit[half:]]


def write_unit(tree, unit):
    """Write one generated file and return its path within the tree."""
    text = ''.join(f'#include "../{SOURCES}/{name}"\n' for name in unit)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    path = tree / 'unity' / f'u{len(unit):02d}_{digest}.cpp'
    if not path.exists():  # a new time stamp would trigger recompilation
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return path


def failed_units(log, paths):
    """Units whose object ninja (or setuptools) reports as failed."""
    names = set(re.findall(r'FAILED: .*?(u\d\d_[0-9a-f]{8})\.o', log))
    return [i for i, p in enumerate(paths) if p.stem in names]


def clock(seconds):
    """Minutes and seconds as text."""
    return f'{int(seconds) // 60}:{int(seconds) % 60:02d}'


def run_setup(tree, units, jobs, log_file, started):
    """Run mmcv's setup.py once.

    Returns:
        tuple: Its return code, the paths of the units, and what it printed.
    """
    paths = [write_unit(tree, unit) for unit in units]
    wrapper = tree / 'unity' / 'setup_wrapper.py'
    wrapper.write_text(
        WRAPPER.format(
            units=[str(p.relative_to(tree)) for p in paths],
            sources=SOURCES,
            standard=STANDARD))
    env = dict(os.environ, MAX_JOBS=str(jobs), MMCV_WITH_OPS='1')
    env.setdefault('CFLAGS', '-O2 -g0')
    env['NINJA_STATUS'] = '@[%f/%t] '
    env['PATH'] = os.path.dirname(sys.executable) + os.pathsep + env['PATH']
    process = subprocess.Popen(
        [
            sys.executable, '-u',
            str(wrapper), 'bdist_wheel', '--dist-dir', 'unity/dist'
        ],
        cwd=tree,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors='replace',
        close_fds=False,  # the job inherits a lock of the caller
        start_new_session=True)
    lines = []
    total = len(units)
    try:
        for line in process.stdout:
            lines.append(line)
            log_file.write(line)
            log_file.flush()
            match = re.match(r'@\[(\d+)/(\d+)\]', line)
            if match:
                report(int(match[1]), int(match[2]), total, jobs, started)
    except BaseException:
        # ninja removes partial outputs of its compilers
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        raise
    return process.wait(), paths, ''.join(lines)


def report(done, todo, total, jobs, started):
    """One line of progress; objects of an earlier try count as done."""
    elapsed = time.time() - started
    half_way = (min(jobs, todo - done + 1) - 1) / 2
    kept = max(0, total - todo)
    line = f'mmcv: {kept + done} of {max(total, todo)} objects, ' \
           f'{clock(elapsed)} elapsed'
    if 0 < done < todo:
        share = (done + half_way) / todo
        line += f', about {clock(elapsed / share * (1 - share))} to go'
    print(line, flush=True)


def build(tree, out, jobs):
    """Build the wheel in ``tree`` and put it into ``out``.

    Returns:
        Path: The wheel.
    """
    started = time.time()
    root = tree / SOURCES
    names = [
        p.relative_to(root).as_posix() for pattern in ('*.cpp', 'cpu/*.cpp')
        for p in root.glob(pattern)
    ]
    if not names:
        sys.exit(f'no sources of operators in {tree}')
    units = plan(names)
    print(
        f'mmcv: {len(names)} source files in {len(units)} units, '
        f'{jobs} at a time',
        flush=True)
    log_path = tree / 'build.log'
    with open(log_path, 'a', encoding='utf-8') as log_file:
        while True:
            code, paths, log = run_setup(tree, units, jobs, log_file, started)
            if code == 0:
                break
            failed = failed_units(log, paths)
            again = [i for i in failed if len(units[i]) > 1]
            if not again or len(again) < len(failed):
                sys.stderr.write(log[-3000:])
                sys.exit(f'building mmcv failed; all output is in {log_path}')
            print(
                f'mmcv: {len(again)} unit(s) do not compile as one; '
                'trying their halves',
                flush=True)
            units = [
                part for i, unit in enumerate(units)
                for part in (split(unit) if i in again else [unit])
            ]
    wheels = sorted((tree / 'unity' / 'dist').glob('mmcv-*.whl'))
    if len(wheels) != 1:
        sys.exit(f'expected one wheel of mmcv, found {wheels}; see {log_path}')
    out.mkdir(parents=True, exist_ok=True)
    target = out / wheels[0].name
    part = out / (wheels[0].name + '.part')
    shutil.copyfile(wheels[0], part)
    os.replace(part, target)
    print(
        f'mmcv: built in {clock(time.time() - started)} min '
        f'({target.stat().st_size / 2**20:.1f} MiB)',
        flush=True)
    return target


def cores():
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def main():
    parser = argparse.ArgumentParser(description='Build a wheel of mmcv.')
    parser.add_argument('tree', type=Path, help='unpacked source archive')
    parser.add_argument('out', type=Path, help='folder for the wheel')
    parser.add_argument('--jobs', type=int, default=cores())
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    build(args.tree.resolve(), args.out.resolve(), max(1, args.jobs))


if __name__ == '__main__':
    main()
