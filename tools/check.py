"Does what is generated agree with its notebooks? Makes it anew and compares; ends with 1 where anything changed."
import os, subprocess, sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent
steps = { # command: the files that it writes
    'nbdev_export': ['songsep/**/*.py'],
    'nbdev_clean': ['nbs/**/*.ipynb'],
    'python tools/readme.py': ['README.md', 'index_files/*']}

def contents(patterns): return {p: p.read_bytes() for o in patterns for p in root.glob(o)}

def changed(command, patterns):
    "Run `command`; the files among `patterns` that it changed, made or removed"
    before = contents(patterns)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
    done = subprocess.run(command, shell=True, cwd=root, env={**os.environ, 'PATH': path})
    if done.returncode: sys.exit(f'`{command}` failed')
    after = contents(patterns)
    return sorted(str(p.relative_to(root)) for p in before.keys()|after.keys() if before.get(p) != after.get(p))

def main():
    failed = False
    for command, patterns in steps.items():
        if files := changed(command, patterns):
            failed = True
            print(f"`{command}` changed {', '.join(files)}. Look at the difference and commit it.")
        else: print(f'`{command}` changes nothing: good')
    sys.exit(failed)

if __name__ == '__main__': main()
