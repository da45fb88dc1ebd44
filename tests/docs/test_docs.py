"""The code blocks of README.md and docs/ run; what they name is there."""
import ast
import importlib
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import List, NamedTuple, Optional

import pytest
import torch
from mmengine.config import Config

from mmkd import cli
from mmkd.core.model import DistillationModel
from mmkd.core.network import build_network
from mmkd.errors import ConfigError
from mmkd.families import FAMILIES
from mmkd.methods import METHODS
from mmkd.testing import segmentation_config, segmentor, transformer_segmentor
from mmkd.testing.methods import examples_of
from mmkd.testing.runs import untrained

ROOT = Path(__file__).parents[2]
README = ROOT / 'README.md'
DOCS = ROOT / 'docs'
PAGES = [README, *sorted(DOCS.glob('*.md'))]
METHOD_PAGES = sorted((DOCS / 'methods').glob('*.md'))
TEXTS = [
    *PAGES, *METHOD_PAGES, *sorted((DOCS / 'results').glob('*.md')),
    *sorted(ROOT.glob('C*.md')), ROOT / 'data/README.md', *sorted(
        (ROOT / 'configs').rglob('*.md')), *sorted(
            (ROOT / 'driving_scenes').glob('*.md'))
]
BLOCK = re.compile(
    r'(?:^<!-- (?P<note>[^>]*) -->\n)?'
    r'^```(?P<kind>\w*)\n(?P<text>.*?)^```$', re.M | re.S)
COMMAND = re.compile(r'(?:PYTHONPATH=\. )?mmkd (.*)')
# What the commands of a page leave behind.
WRITTEN = dict(
    distil_your_own_pair=[
        'work_dirs/bpkd_teacher_student/bpkd_teacher_student.py',
        'work_dirs/mine/export/student.pth',
        'work_dirs/mine/export/student.py',
        'work_dirs/mine/safe/student.safetensors',
        'work_dirs/averaged/raw/student.pth',
        'work_dirs/pictures/pictures/bpkd/'
        'tinytown_000000_000019_leftImg8bit/iter_000002.png',
        'work_dirs/drawn/pictures/bpkd/'
        'tinytown_000000_000019_leftImg8bit/strip.png',
        'work_dirs/mine/pictures/bpkd/'
        'tinytown_000001_000019_leftImg8bit/iter_000004.png',
    ],
    foundation=[
        'work_dirs/labels/iter_4.pth',
        'work_dirs/no_labels/export/backbone.pth',
        'work_dirs/tuned/iter_4.pth',
        'work_dirs/mixed/iter_4.pth',
    ],
    get_started=[
        'work_dirs/student/export/student.pth',
    ],
    own_coco=['work_dirs/inherit_teacher_student/iter_300.pth'],
    own_masks=['work_dirs/featurekd_teacher_student/iter_300.pth'],
    own_kitti=['work_dirs/inherit_*_student/iter_300.pth'],
    logs=[
        'work_dirs/tracked/*/vis_data/scalars.json',
        'work_dirs/tracked/*/vis_data/events.out.tfevents.*',
    ],
    add_a_method=['work_dirs/fitnet/export/student.pth'])
# Pages that make their own data.
SCENE_PAGES = ('get_started', 'own_coco', 'own_kitti', 'own_masks')


class Block(NamedTuple):
    """A code block of a page.

    Attributes:
        kind (str): Its language.
        text (str): Its lines.
        file (str | None): Name of the file that it is said to be.
        runs (bool): Whether it can run here.
        needs (str | None): A package without which the page is skipped.
    """
    kind: str
    text: str
    file: Optional[str]
    runs: bool
    needs: Optional[str]


def blocks_of(page: Path) -> List[Block]:
    """The code blocks of a page, in order."""
    found = []
    for match in BLOCK.finditer(page.read_text(encoding='utf-8')):
        note = match['note'] or ''
        file = note[len('file: '):] if note.startswith('file: ') else None
        needs = note[len('needs '):] if note.startswith('needs ') else None
        found.append(
            Block(match['kind'], match['text'], file,
                  not note.startswith('not run: '), needs))
    return found


def commands_of(block: Block) -> List[str]:
    """The commands of a bash block, continued lines joined."""
    text = block.text.replace('\\\n', ' ')
    return [
        line for line in map(str.strip, text.splitlines())
        if line and not line.startswith('#')
    ]


def forget_runs() -> None:
    """Let the next runner of this process begin anew."""
    from mmengine.logging import MessageHub, MMLogger
    from mmengine.registry import DefaultScope
    from mmengine.visualization import Visualizer
    for kind in (MessageHub, MMLogger, DefaultScope, Visualizer):
        for instance in list(kind._instance_dict.values()):
            for handler in getattr(instance, 'handlers', []):
                handler.close()
        kind._instance_dict.clear()


@pytest.fixture
def folder(tmp_path, monkeypatch, cityscapes):
    """A user's folder: two tiny configs, weights of both, and images."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'photos').symlink_to(f'{cityscapes}/leftImg8bit')
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, width in (('student', 4), ('teacher', 8)):
        cfg = segmentation_config(
            cityscapes, 'none', model=segmentor(width)['model'])
        cfg.pop('work_dir')
        cfg.dump(f'{name}.py')
        network = build_network(cfg, name)
        torch.save(dict(state_dict=network.state_dict()), f'{name}.pth')
    before = set(sys.modules)
    families = list(FAMILIES)
    yield tmp_path
    for name in set(sys.modules) - before:
        path = getattr(sys.modules[name], '__file__', None) or ''
        if path.startswith(str(tmp_path)):
            del sys.modules[name]
    from mmengine.registry import MODELS

    from mmkd.registry import DISTILLERS
    DISTILLERS.module_dict.pop('FitNet', None)
    MODELS.module_dict.pop('TileNet', None)
    FAMILIES[:] = families


@pytest.fixture(scope='session')
def scenes(tmp_path_factory):
    """The scenes of the pages, but fewer and smaller."""
    from driving_scenes.generate import generate
    from driving_scenes.kitti import KITTI_SIZES, KittiSize
    from driving_scenes.presets import PRESETS, Preset
    root = str(tmp_path_factory.mktemp('docs') / 'scenes')
    PRESETS['docs'] = Preset(2, 1, 1, 1, 64, 128, 1)
    KITTI_SIZES['docs'] = KittiSize(1, 1, 1, 2, 48, 156, 360)
    try:
        generate(
            'docs', root, formats=('cityscapes', 'coco', 'kitti'), workers=1)
    finally:
        del PRESETS['docs'], KITTI_SIZES['docs']
    return root


@pytest.fixture
def short_runs(scenes, monkeypatch):
    """`mmkd scenes` gives the scenes above, and a training has one step, on
    two samples; its checkpoint has the name of the last iteration."""
    from mmkd import apis
    from mmkd.cli.commands import scenes as command

    def link(args):
        out = Path(args.out or f'data/scenes/{args.preset}')
        out.parent.mkdir(parents=True)
        out.symlink_to(scenes)

    plain = apis.train

    def train(cfg):
        last = cfg.train_cfg.max_iters
        cfg.train_cfg.update(max_iters=1, val_begin=2)
        for split in ('train', 'val', 'test'):
            cfg[f'{split}_dataloader'].update(
                batch_size=2, num_workers=0, persistent_workers=False)
        runner = plain(cfg)
        work = Path(runner.work_dir)
        shutil.copy(work / 'iter_1.pth', work / f'iter_{last}.pth')
        return runner

    monkeypatch.setattr(command, 'run', link)
    monkeypatch.setattr(apis, 'train', train)


def run_page(page: Path, folder: Path) -> None:
    """Run the blocks of a page in order, in a user's folder."""
    names: dict = {}
    for block in blocks_of(page):
        if not block.runs or block.kind not in ('python', 'bash'):
            continue
        if block.needs:
            pytest.importorskip(block.needs)
        if block.kind == 'bash':
            for command in commands_of(block):
                match = COMMAND.fullmatch(command)
                assert match, (
                    f'{page.name}: say why this is not run: {command}')
                forget_runs()
                cli.call(shlex.split(match[1]))
        elif block.file is None:
            exec(compile(block.text, str(page), 'exec'), names)
        else:
            (folder / block.file).write_text(block.text, encoding='utf-8')
            if '_base_' in block.text:
                check_config(folder / block.file)
            else:
                check_module(block.file)


def check_config(path: Path) -> None:
    """Read a config, and build its model without weights."""
    config = Config.fromfile(path)
    model = config.model.to_dict()
    if 'teachers' not in model:
        build_network(config, 'the student')
        return
    model.pop('type')
    for teacher in model['teachers'].values():
        teacher['ckpt'] = 'random'
    model['student'] = dict(
        default_scope=config.default_scope, model=model['student'])
    DistillationModel(**model, dry_run_size=(64, 64))


def check_module(name: str) -> None:
    """Import a file, and call the tests that it holds."""
    importlib.invalidate_caches()
    module = importlib.import_module(Path(name).stem)
    for key, function in list(vars(module).items()):
        if key.startswith('test_'):
            function()


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.stem)
def test_page_runs(page, folder, request):
    if page.stem in SCENE_PAGES:
        request.getfixturevalue('short_runs')
    run_page(page, folder)
    missing = [
        path for path in WRITTEN.get(page.stem, [])
        if not any(folder.glob(path))
    ]
    assert missing == []


@pytest.mark.parametrize('method', METHODS)
def test_distillers_of_a_method_page(method):
    """Its blocks are parts of configs: ``distillers=dict(...)``."""
    page = DOCS / f'methods/{method}.md'
    found = 0
    for block in blocks_of(page):
        if block.kind != 'python' or not block.runs:
            continue
        names: dict = {}
        for node in ast.parse(block.text).body:
            assert isinstance(node, ast.Assign), block.text
            exec(compile(ast.Module([node], []), str(page), 'exec'), names)
            if node.targets[0].id == 'distillers':
                check_distillers(method, names['distillers'])
                found += 1
    assert found


def check_distillers(method: str, distillers: dict) -> None:
    """Build distillers on one of the method's examples, at least."""
    types = {cfg['type'] for cfg in distillers.values()}
    errors = []
    for name, make in examples_of(method).items():
        model = make().model
        if model['distillers']['kd']['type'] not in types:
            continue
        model = {**model, 'distillers': distillers}
        untrained(model)
        try:
            DistillationModel(**model)
            return
        except ConfigError as error:
            errors.append(f'{name}: {error}')
    pytest.fail('\n'.join([str(distillers), *errors]))


@pytest.mark.parametrize(
    'page', TEXTS, ids=lambda page: f'{page.parent.name}-{page.stem}')
def test_what_a_page_names_is_there(page):
    text = page.read_text(encoding='utf-8')
    prose = BLOCK.sub('', text)
    links = re.findall(r'\]\(([^)#\s]+)(#[^)\s]*)?\)', prose)
    missing = [
        link for link, _ in links
        if not link.startswith('http') and not link.endswith('demo.png')
        and not (page.parent / link).exists()
    ]
    named = re.findall(
        r'`((?:mmkd|tools|tests|configs|benchmarks|acceptance|docs|'
        r'driving_scenes)/[\w./-]*\w/?)`', prose)
    missing += [name for name in named if not (ROOT / name).exists()]
    assert missing == []
    anchors = [(link, anchor) for link, anchor in re.findall(
        r'\]\(([\w./-]*\.md)?(#[^)\s]+)\)', prose) if anchor]
    for link, anchor in anchors:
        target = (page.parent /
                  link if link else page).read_text(encoding='utf-8')
        headings = [
            re.sub(r'[^\w\- ]', '', h.lower()).replace(' ', '-')
            for h in re.findall(r'^#+ (.*)$', target, re.M)
        ]
        assert anchor[1:] in headings, (link, anchor)


@pytest.mark.parametrize('page', ['own_coco', 'own_masks', 'own_kitti'])
def test_config_of_own_data_is_short(page):
    student = next(
        x for x in blocks_of(DOCS / f'{page}.md') if x.file == 'student.py')
    assert len(student.text.splitlines()) <= 15


def test_readme_fits_on_a_page():
    assert len(README.read_text(encoding='utf-8').splitlines()) <= 150


def test_tests_that_the_architecture_names_exist():
    page = (DOCS / 'architecture.md').read_text(encoding='utf-8')
    named = set(re.findall(r'`(test_\w+)`', page))
    exist = {
        name
        for path in (ROOT / 'tests').rglob('test_*.py')
        for name in re.findall(r'^ *def (test_\w+)', path.read_text(), re.M)
    }
    assert len(named) > 20
    assert named <= exist, named - exist


class Unknown:
    """Nothing that a file of weights has."""


def test_messages_that_a_page_quotes(folder):
    """The refusals in the table are what mmkd says."""
    from mmkd.errors import MMKDError

    def refusal(distiller: dict, size=(128, 128), **teacher) -> str:
        teacher = {**dict(cfg='teacher.py', ckpt='teacher.pth'), **teacher}
        with pytest.raises(MMKDError) as caught:
            DistillationModel(
                'student.py',
                dict(teacher=teacher),
                dict(own=distiller),
                dry_run_size=size)
        return str(caught.value)

    # Not weights alone: a class of this file.
    torch.save(dict(state_dict={}, meta=Unknown()), 'unknown.pth')

    said = [
        refusal(dict(type='BPKD', student='decode_head.conv_sge')),
        refusal(dict(type='CWD', student='decode_head')),
        refusal(dict(type='BPKD', edge_widht=7)),
        refusal(dict(type='BPKD'), cfg=segmentor(8, 7), ckpt='random'),
        refusal(dict(type='BPKD'), ckpt='nowhere.pth'),
        refusal(dict(type='BPKD'), cfg=segmentor(8, 7)),
        refusal(dict(type='CWD', place='stages', student='backbone[3]')),
        refusal(dict(type='BPKD'), ckpt='unknown.pth'),
        refusal(
            dict(type='BPKD'),
            size=(4, 4),
            cfg=transformer_segmentor(),
            ckpt='random'),
    ]
    quoted = [
        "has no module 'decode_head.conv_sge'",
        'Tap a module inside of it, such as decode_head.conv_seg',
        "has no argument 'edge_widht'. Did you mean edge_width",
        'compares logits class by class, but the student has 19 channels',
        'there is no checkpoint',
        "does not fit teacher 'teacher'",
        'has 1 level(s) in the student (backbone[3]) but 4 in the teacher',
        'holds more than weights and plain data, and was not loaded',
        'does not run on a ',
    ]
    page = (DOCS / 'distil_your_own_pair.md').read_text(encoding='utf-8')
    for message, part in zip(said, quoted):
        assert part in message
        assert part in page
