"""Tests lie where their modules lie."""
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / 'tests/unit'
#: Modules without a test file of their own, and why: what tests them instead,
#: or that nothing is in them. A test file of a package stands for its modules.
UNTESTED = {
    'mmkd/apis.py':
    'tests/integration/test_tools.py',
    'mmkd/core/cache/opening.py':
    'tests/unit/core/cache/test_teacher_cache.py',
    'mmkd/core/summary.py':
    'tests/unit/core/test_model.py',
    'mmkd/engine/cache/folders.py':
    'tests/unit/engine/cache/test_filling.py',
    'mmkd/engine/gradients.py':
    'tests/unit/engine/hooks/test_self_check_hook.py',
    'mmkd/engine/hooks/student_ema_hook.py':
    'tests/integration/test_training.py',
    'mmkd/engine/replay.py':
    'tests/unit/engine/hooks/test_finite_loss_hook.py',
    'mmkd/engine/records.py':
    'tests/integration/test_user_files.py',
    'mmkd/errors.py':
    'names alone',
    'mmkd/evaluation/kitti_by_points.py':
    'tests/unit/evaluation/test_kitti_metric.py',
    'mmkd/evaluation/kitti_matching.py':
    'tests/unit/evaluation/test_kitti.py',
    'mmkd/evaluation/kitti_precision.py':
    'tests/unit/evaluation/test_kitti.py',
    'mmkd/families/taps.py':
    'tests/unit/core/taps/test_recognise.py',
    'mmkd/methods/*/examples.py':
    'tests/unit/methods/test_contracts.py',
    'mmkd/methods/xray/data/placement.py':
    'tests/unit/methods/xray/data/test_transforms.py',
    'mmkd/methods/xray/data/pseudo_labels.py':
    'tests/integration/test_xray_recipes.py',
    'mmkd/registry.py':
    'tests/unit/test_methods.py',
    'mmkd/testing/*.py':
    'the tests are made of it',
    'mmkd/utils/runs.py':
    'tests/integration/test_benchmarks.py',
    # Each file that is read goes through all of them.
    'mmkd/utils/reading/*.py':
    'tests/unit/utils/reading/test_crafted.py',
    'mmkd/version.py':
    'tests/unit/test_setup.py',
    'driving_scenes/assets/buildings.py':
    'tests/unit/driving_scenes/test_world.py',
    'driving_scenes/contact_sheet.py':
    'tests/unit/driving_scenes/test_generate.py',
    'driving_scenes/errors.py':
    'names alone',
    'driving_scenes/groups.py':
    'tests/unit/driving_scenes/test_generate.py',
    'driving_scenes/infos.py':
    'tests/unit/driving_scenes/writers/test_nuscenes.py',
    'driving_scenes/kitti.py':
    'tests/unit/driving_scenes/writers/test_kitti.py',
    'driving_scenes/nuscenes.py':
    'tests/unit/driving_scenes/writers/test_nuscenes.py',
    # Parts of a plan, each drawn apart, are checked as the world they make.
    'driving_scenes/plan/*.py':
    'tests/unit/driving_scenes/plan/test_build.py',
    'driving_scenes/presets.py':
    'tests/unit/driving_scenes/test_generate.py',
    'driving_scenes/seeds.py':
    'tests/unit/driving_scenes/plan/test_build.py',
    'driving_scenes/sensors/geometry.py':
    'tests/unit/driving_scenes/sensors/test_lidar.py',
}
#: Test files of no single module.
OF_NO_MODULE = ('test_imports.py', 'test_layout.py', 'test_methods.py',
                'test_setup.py', 'test_sizes.py', 'methods/test_contracts.py',
                'utils/test_crafted_files.py', 'utils/reading/test_crafted.py',
                'utils/reading/test_equal.py')


def modules():
    """Paths of the modules that ought to have a test file."""
    return [
        path.relative_to(ROOT) for package in ('mmkd', 'driving_scenes')
        for path in sorted((ROOT / package).rglob('*.py'))
        if not path.name.startswith('__')
    ]


def places_of(module):
    """Where the tests of a module, or of its package, may lie."""
    inside = module.relative_to('mmkd') if module.parts[0] == 'mmkd' \
        else module
    folder = inside.parent
    return [
        folder / f'test_{inside.name}',
        folder.parent / f'test_{folder.name}.py'
    ]


def reasons(module):
    """Why a module has no test file of its own."""
    return [
        reason for key, reason in UNTESTED.items()
        if fnmatch(module.as_posix(), key)
    ]


def has_test(module):
    return any((TESTS / file).is_file() for file in places_of(module))


def test_every_module_has_its_test_file():
    assert [
        str(module) for module in modules()
        if not has_test(module) and not reasons(module)
    ] == []


def test_every_test_file_has_its_module():
    known = {file for module in modules() for file in places_of(module)}
    assert [
        str(path) for path in sorted(TESTS.rglob('test_*.py'))
        if path.relative_to(TESTS) not in known
        and path.relative_to(TESTS).as_posix() not in OF_NO_MODULE
    ] == []


@pytest.mark.parametrize('pattern, reason', UNTESTED.items())
def test_the_table_is_needed(pattern, reason):
    matched = [x for x in modules() if fnmatch(x.as_posix(), pattern)]
    assert any(not has_test(module) for module in matched)
    assert not reason.startswith('tests/') or (ROOT / reason).is_file()
