"""Every Python that can be had, with the oldest and newest libraries that `settings.ini` admits: does songsep separate?

    python tools/matrix.py                              # Python 3.10 to 3.13, both ends, what separating needs
    python tools/matrix.py --python 3.11 --ends lowest-direct --extra train --tests tests/test_formats.py

Each combination gets an environment of its own (uv makes it, and fetches the Python where that can be had), runs
`songsep doctor` and `songsep demo`, and the tests that are named. A Python that can't be had is said, and is no failure.
A gigabyte and a minute each.
"""
import argparse, subprocess, sys, tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

def run(*command, cwd=ROOT):
    "The last line of an error, or nothing"
    done = subprocess.run([str(o) for o in command], cwd=cwd, capture_output=True, text=True)
    said = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return (said or [f'exit code {done.returncode}'])[-1] if done.returncode else ''

def tried(python, end, extra, tests, folder):
    "What came of one combination, in words"
    uv = sys.executable, '-m', 'uv'
    venv, work = folder/f'{python}-{end}', folder/'work'
    work.mkdir(exist_ok=True)
    if why := run(*uv, 'venv', '--quiet', '--python', python, venv): return f'not to be had ({why})'
    install = *uv, 'pip', 'install', '--quiet', '--python', venv
    steps = {'install': (*install, '--resolution', end, f'.[{extra}]' if extra else '.'),
             'doctor': (venv/'bin'/'songsep', 'doctor', '--json'),
             'demo': (venv/'bin'/'songsep', 'demo', '-o', work/f'{python}-{end}')}
    pytest = venv/'bin'/'python', '-m', 'pytest', '-o', 'addopts=', '-q', '-x'
    if tests: steps |= {'pytest': (*install, 'pytest'), 'tests': (*pytest, *(ROOT/o for o in tests))}
    for name,command in steps.items():
        if why := run(*command, cwd=ROOT if name in ('install', 'pytest') else work): return f'FAILED at {name}: {why}'
    return 'separates' + (', and the tests pass' if tests else '')

def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument('--python', nargs='*', default=['3.10', '3.11', '3.12', '3.13'])
    args.add_argument('--ends', nargs='*', default=['lowest-direct', 'highest'], choices=['lowest-direct', 'highest'])
    args.add_argument('--extra', default='', help='Extras, such as train,app')
    args.add_argument('--tests', nargs='*', default=[])
    a, bad = args.parse_args(), 0
    if why := run(sys.executable, '-m', 'uv', '--version'): sys.exit(f'this needs uv: pip install uv ({why})')
    with tempfile.TemporaryDirectory(prefix='matrix-') as d:
        for python in a.python:
            for end in a.ends:
                said = tried(python, end, a.extra, a.tests, Path(d))
                bad += said.startswith('FAILED')
                print(f'Python {python}, {end}: {said}', flush=True)
    sys.exit(bool(bad))

if __name__ == '__main__': main()
