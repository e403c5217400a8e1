"""The readers of `fuzz.py`, led by coverage: what reaches a new line of songsep is kept and changed further.

    pip install atheris
    python tests/torture/guided.py                                # 60 seconds for each reader whose libraries are here
    python tests/torture/guided.py recipe store --seconds 600 --corpus corpus

Each reader runs in a process of its own and ends at its first fault; the file is kept beside the corpus.
"""
import argparse, re, subprocess, sys, tempfile, warnings
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from fuzz import NEEDS, READERS, WORDS

def run(name, seconds, seed, corpus):
    "Fuzz one reader; does not return"
    import atheris
    warnings.simplefilter('ignore')
    read, work = READERS[name], Path(tempfile.mkdtemp())
    with atheris.instrument_imports(include=['songsep', 'yaml']): # all that is imported by now, and by reading once
        from songsep.core import SongsepError
        suffix, healthy = read(None)
        path = work/f'x{suffix}'
        for i,b in enumerate(healthy if isinstance(healthy, list) else [healthy]):
            for o in (corpus/f'healthy{i}', path): o.write_bytes(b)
            with suppress(SongsepError): read(path) # some are refused
    words = corpus.parent/f'{name}.dict'
    words.write_text('\n'.join('"' + ''.join(f'\\x{o:02x}' for o in w) + '"' for w in WORDS))
    def one(b):
        path.write_bytes(b)
        try: read(path)
        except SongsepError as e: assert '\n' not in str(e) and len(str(e)) <= 700, f'no clear sentence: {e!r}'
    atheris.Setup([sys.argv[0], str(corpus), f'-max_total_time={seconds}', f'-seed={seed}', f'-dict={words}', '-rss_limit_mb=8000',
                   '-timeout=60', f'-artifact_prefix={corpus.parent}/{name}-', '-print_final_stats=1', '-verbosity=0'], one)
    atheris.Fuzz()

def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument('readers', nargs='*', choices=[*READERS, []], default=[])
    args.add_argument('--seconds', type=int, default=60)
    args.add_argument('--seed', type=int, default=1)
    args.add_argument('--corpus', type=Path, default=Path('fuzz-corpus'))
    args.add_argument('--here', action='store_true', help=argparse.SUPPRESS)
    a, bad = args.parse_args(), 0
    for name in a.readers or READERS:
        (folder := a.corpus.resolve()/name).mkdir(parents=True, exist_ok=True)
        if a.here: run(name, a.seconds, a.seed, folder)
        if not find_spec(NEEDS.get(name, 'json')):
            print(name, f'is left out: it needs {NEEDS[name]}')
            continue
        again = [sys.executable, __file__, name, '--here', '--seconds', a.seconds, '--seed', a.seed, '--corpus', a.corpus]
        done = subprocess.run([str(o) for o in again], capture_output=True, text=True, errors='replace')
        tried = re.search(r'number_of_executed_units: (\d+)', done.stderr)
        bad += bool(done.returncode)
        print(name, f"{tried[1] if tried else 0} tried, {len(list(folder.iterdir()))} kept,", 'failed:' if done.returncode else 'none failed', flush=True)
        if done.returncode: print(done.stderr[-3000:])
    sys.exit(bool(bad))

if __name__ == '__main__': main()
