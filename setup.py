"Everything is said in settings.ini; edit there, not here."
from configparser import ConfigParser
from pathlib import Path
from setuptools import find_packages, setup

config = ConfigParser(delimiters=['='])
config.read('settings.ini', encoding='utf-8')
cfg = config['DEFAULT']

extras = {k.removesuffix('_requirements'): v.split() for k,v in cfg.items() if k.endswith('_requirements')}
extras['dev'] = sum(extras.values(), [])
pkg = cfg['lib_path']

setup(
    name=cfg['lib_name'], version=cfg['version'], description=cfg['description'], keywords=cfg['keywords'],
    author=cfg['author'], author_email=cfg['author_email'], license='Apache-2.0', license_files=['LICENSE'],
    long_description=Path('README.md').read_text(encoding='utf-8'), long_description_content_type='text/markdown',
    url=cfg['git_url'], project_urls={'Documentation': cfg['doc_host'] + cfg['doc_baseurl']},
    classifiers=['Intended Audience :: ' + cfg['audience'], 'Natural Language :: ' + cfg['language'],
                 'Programming Language :: Python :: 3', 'Topic :: Multimedia :: Sound/Audio :: Analysis'],
    python_requires='>=' + cfg['min_python'], install_requires=cfg['requirements'].split(), extras_require=extras,
    packages=find_packages(include=[pkg, f'{pkg}.*']), package_data={pkg: cfg['package_data'].split()}, include_package_data=False, zip_safe=False,
    entry_points={'console_scripts': cfg['console_scripts'].split(), 'nbdev': [f'{pkg}={pkg}._modidx:d']})
