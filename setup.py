# Copyright (c) mmkd contributors. All rights reserved.
import os.path as osp
import re

from setuptools import find_packages, setup

HERE = osp.dirname(osp.abspath(__file__))


def read(*parts):
    """Text of a file of the repository."""
    with open(osp.join(HERE, *parts), encoding='utf-8') as f:
        return f.read()


def get_version():
    """Version as written in mmkd/version.py."""
    pattern = r"^__version__\s*=\s*['\"]([^'\"]+)['\"]"
    return re.search(pattern, read('mmkd', 'version.py'), re.M).group(1)


def requirements(*names):
    """Requirements of some of the lists in requirements/, without doubles."""
    lines = []
    for name in names:
        for line in read('requirements', f'{name}.txt').splitlines():
            line = line.split('#')[0].strip()
            if line and line not in lines:
                lines.append(line)
    return lines


def long_description():
    """The README, if it is there."""
    path = osp.join(HERE, 'README.md')
    return read('README.md') if osp.exists(path) else ''


setup(
    name='mmkd',
    version=get_version(),
    description='Knowledge distillation for dense vision on the OpenMMLab '
    'stack',
    long_description=long_description(),
    long_description_content_type='text/markdown',
    author='mmkd contributors',
    license='Apache-2.0',
    keywords='knowledge distillation, semantic segmentation, object '
    'detection, 3D object detection, OpenMMLab',
    classifiers=[
        'Development Status :: 3 - Alpha',
        'Intended Audience :: Science/Research',
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
    packages=find_packages(
        include=['mmkd', 'mmkd.*', 'driving_scenes', 'driving_scenes.*']),
    include_package_data=True,
    package_data={
        'mmkd': [
            'py.typed', 'report/templates/*', '.mim/model-index.yml',
            '.mim/configs/**/*.py', '.mim/configs/demo/weights/*'
        ]
    },
    entry_points={'console_scripts': ['mmkd = mmkd.cli:main']},
    python_requires='>=3.10',
    # mmcv is missing here on purpose, as in all packages of OpenMMLab: pip
    # would fetch its source and, in an isolated build, make it without its
    # compiled operators. It is checked when mmkd is imported.
    install_requires=requirements('runtime'),
    extras_require={
        'seg': requirements('seg'),
        'det': requirements('det'),
        'det3d': requirements('det3d'),
        'scenes': requirements('scenes'),
        'onnx': requirements('onnx'),
        'foundation': requirements('foundation'),
        'dev': requirements('dev'),
        'all': requirements('seg', 'det', 'det3d', 'scenes'),
    },
    zip_safe=False)
