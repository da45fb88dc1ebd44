# Copyright (c) mmkd contributors. All rights reserved.
"""Hooks of the documentation site (mkdocs.yml).

Pages outside of ``docs/`` (README, data, recipes) join the site, the API
reference gets a page per package, and links between the files of the
repository become links of the site. A link to a file that the site does not
show, such as a module, becomes its text; a link to a missing file is an
error.
"""
import os
import re
from pathlib import Path
from posixpath import dirname, normpath, relpath

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ('mmkd', 'driving_scenes')
LINK = re.compile(r'(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)')
CODE = re.compile(r'^```.*?^```$|^    [^\n]*$', re.M | re.S)
IMAGE = re.compile(r'!\[([^\]]*)\]\(([^)\s]+)\)')


def outside_pages():
    """Pages outside of ``docs/``: place in the site by place in the tree."""
    pages = {
        'README.md': 'index.md',
        'CHANGELOG.md': 'changelog.md',
        'CONTRIBUTING.md': 'contributing.md',
        'data/README.md': 'data.md',
        'driving_scenes/README.md': 'driving_scenes.md',
    }
    for path in sorted((ROOT / 'configs').glob('*/README.md')):
        pages[f'configs/{path.parent.name}/README.md'] = (
            f'recipes/{path.parent.name}.md')
    return {
        path: page
        for path, page in pages.items() if (ROOT / path).exists()
    }


OUTSIDE = outside_pages()


def modules_of(folder):
    """Public modules that lie directly in a package, as dotted names."""
    names = [] if folder.name in PACKAGES else [folder]
    names += [
        path.with_suffix('') for path in sorted(folder.glob('*.py'))
        if not path.name.startswith('_')
    ]
    return ['.'.join(path.relative_to(ROOT).parts) for path in names]


def api_pages():
    """Markdown of the API reference by its place in the site."""
    pages = {}
    for package in PACKAGES:
        for init in sorted((ROOT / package).rglob('__init__.py')):
            names = modules_of(init.parent)
            title = '.'.join(init.parent.relative_to(ROOT).parts)
            if names:
                blocks = [f'# {title}', *(f'::: {name}' for name in names)]
                pages[f'api/{title}.md'] = '\n\n'.join(blocks) + '\n'
    return pages


def on_config(config):
    """Fill the folders of the navigation with their pages."""
    folders = {
        'methods/': [
            f'methods/{p.name}'
            for p in sorted((ROOT / 'docs/methods').glob('*.md'))
        ],
        'results/': [
            f'results/{p.name}'
            for p in sorted((ROOT / 'docs/results').glob('*.md'))
        ],
        'recipes/': [p for p in OUTSIDE.values() if p.startswith('recipes/')],
        'api/':
        list(api_pages()),
    }
    known = {*OUTSIDE.values()}

    def expand(nav):
        filled = []
        for entry in nav:
            if isinstance(entry, str):
                if entry in known or (ROOT / 'docs' / entry).exists():
                    filled.append(entry)
                continue
            (title, value), = entry.items()
            pages = folders[value] if isinstance(value, str) else expand(value)
            filled.append({title: pages})
        return filled

    config.nav = expand(config.nav)
    return config


def on_files(files, config):
    """Add the pages outside of ``docs/`` and the API reference."""
    for path, page in OUTSIDE.items():
        files.append(
            File.generated(
                config,
                page,
                content=(ROOT / path).read_text(encoding='utf-8')))
    for page, text in api_pages().items():
        files.append(File.generated(config, page, content=text))
    return files


def source_of(page):
    """Place of a page in the repository."""
    for path, place in OUTSIDE.items():
        if place == page:
            return path
    return f'docs/{page}'


def on_page_markdown(markdown, page, config, files):
    """Rewrite the links of a page."""
    here = page.file.src_uri
    if here.startswith('api/'):
        return markdown
    source = source_of(here)

    def target_of(link):
        path = normpath(f'{dirname(source)}/{link}').lstrip('/')
        if not (ROOT / path).exists():
            raise PluginError(f'{source}: the link {link} leads nowhere')
        place = OUTSIDE.get(path)
        if place is None and path.startswith('docs/'):
            place = path[len('docs/'):]
        if place is None or os.path.isdir(ROOT / path):
            return None
        return relpath(place, dirname(here) or '.')

    def replace(match):
        text, link = match.groups()
        if re.match(r'\w+:|#', link):
            return match[0]
        link, mark, anchor = link.partition('#')
        target = target_of(link)
        return f'[{text}]({target}{mark}{anchor})' if target else text

    def replace_image(match):
        target = target_of(match[2])
        return f'![{match[1]}]({target})'

    parts, end = [], 0
    for code in re.finditer(CODE, markdown):
        parts += [(markdown[end:code.start()], False), (code[0], True)]
        end = code.end()
    parts.append((markdown[end:], False))
    return ''.join(
        text if is_code else LINK.sub(replace, IMAGE.sub(replace_image, text))
        for text, is_code in parts)
