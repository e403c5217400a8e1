"""Preparing and reading: songsep against the original's method, side by side.

    python benchmarks/prepare.py            ten songs of three minutes, and thirty for the memory: some minutes
    python benchmarks/prepare.py --quick    two songs of half a minute

Songs are noise, made here: three files each (mix, drums, accompaniments), 16 kHz mono, 16 bit. Each contender prepares
in a process of its own, started in turn, and its time is that of the whole process, with imports; where other work
disturbs the clock, the processors' seconds say more. Memory is the largest
sum of what all processes of the tree hold (RSS, so shared pages count more than once). Readers take turns on warm files:
shuffled batches of 8 examples of three float32 arrays. Needs psutil.
"""
import argparse, os, shutil, subprocess, sys, tempfile, time
from pathlib import Path
import numpy as np

SETTINGS = dict(sr=16000, segment=2., n_fft=2048, hop_length=512)
TRACKS = ('mix', 'drums', 'accompaniments')

def make_songs(root, n, seconds, sr=16000):
    import soundfile as sf
    for i in range(n):
        folder, rng = root/f'Song{i:03}', np.random.default_rng(i)
        if folder.exists(): continue
        folder.mkdir(parents=True)
        ys = {k: rng.normal(scale=.1, size=seconds*sr).astype('float32') for k in TRACKS[1:]}
        for k,y in (ys | {'mix': sum(ys.values())}).items(): sf.write(folder/f'{k}.wav', y, sr)

def run_songsep(root, out, n_jobs=None, keep_phase=False):
    from songsep.core import Config
    from songsep.prepare import prepare
    from songsep.store import SpectrogramStore
    from songsep.stems import find_tracks
    from songsep.recipes import load_recipe
    with SpectrogramStore.create(out/'store.h5', Config(**SETTINGS), load_recipe('drums'), keep_phase) as store:
        prepare(store, find_tracks(root), n_jobs=n_jobs)

def run_original(root, out):
    import original
    original.prepare(root, out, **SETTINGS)

CONTENDERS = {'original': run_original, 'songsep': run_songsep, 'songsep, one process': lambda *o: run_songsep(*o, n_jobs=1),
              'songsep, with phase': lambda *o: run_songsep(*o, keep_phase=True)}

def measured(contender, root, out):
    "Seconds, peak MB of the process tree, seconds of processors"
    import psutil
    out.mkdir(parents=True)
    start, cpu = time.perf_counter(), cpu_seconds()
    p = subprocess.Popen([sys.executable, __file__, '--run', contender, str(root), str(out)])
    me, peak = psutil.Process(p.pid), 0
    while p.poll() is None:
        held = 0
        for o in [me, *children(me)]:
            try: held += o.memory_info().rss
            except psutil.Error: pass
        peak = max(peak, held)
        time.sleep(.02)
    if p.returncode: sys.exit(f'{contender} failed')
    return time.perf_counter() - start, peak/1e6, cpu_seconds() - cpu

def cpu_seconds():
    t = os.times()
    return t.children_user + t.children_system

def children(me):
    import psutil
    try: return me.children(recursive=True)
    except psutil.Error: return []

def bare(root, out):
    "Seconds of one processor a song for what no way of preparing is spared: decode, transform, magnitudes, half precision, checksums, bytes on the disk"
    import soundfile as sf, zlib
    from scipy.fft import rfft
    n, hop, window = SETTINGS['n_fft'], SETTINGS['hop_length'], np.hanning(SETTINGS['n_fft'] + 1)[:-1].astype('f4')
    songs, start = sorted(o for o in root.iterdir()), time.process_time()
    for song in songs:
        with open(out, 'wb', buffering=0) as f:
            frames = [np.lib.stride_tricks.sliding_window_view(sf.read(song/f'{k}.wav', dtype='float32')[0], n)[::hop] for k in TRACKS[1:]]
            for i in range(0, len(frames[0]), 16):
                D = [rfft(o[i:i+16]*window, overwrite_x=True) for o in frames]
                h = np.concatenate([np.abs(d) for d in (*D, sum(D))]).astype('<f2')
                zlib.crc32(h)
                f.write(h)
            os.fsync(f.fileno())
    return (time.process_time() - start)/len(songs)

def start_up():
    "Seconds until Python has what those operations need"
    start = time.perf_counter()
    subprocess.run([sys.executable, '-c', 'import numpy, scipy.fft, soundfile, h5py'], check=True)
    return time.perf_counter() - start

def readers(store_path, original_path, rows):
    "Each reads the same shuffled rows as batches"
    import original
    from songsep.store import SpectrogramStore
    def of_store(check):
        with SpectrogramStore(store_path, check=check) as s:
            for b in range(0, len(rows), 8):
                X = {k: np.empty((8, s.config.n_bins, s.config.n_frames), 'f4') for k in TRACKS}
                for j,(song,i) in enumerate(rows[b:b+8]):
                    for k,x in X.items(): s.fetch(song, k, [i], out=x[j:j+1])
                yield X
    with SpectrogramStore(store_path) as s:
        shape = (s.config.n_bins, s.config.n_frames)
        maps = {(song, k): np.memmap(store_path, 'f2', 'r', int(s._place(song, k).at[0]), (len(s[song][k]), *shape)) for song in s for k in TRACKS}
    def of_memmap(dtype):
        for b in range(0, len(rows), 8):
            X = {k: np.empty((8, *shape), dtype) for k in TRACKS}
            for j,(song,i) in enumerate(rows[b:b+8]):
                for k,x in X.items(): x[j] = maps[song, k][i]
            yield X
    return {'original': lambda: original.batches(original_path, rows), 'songsep, every segment checked': lambda: of_store(True),
            'songsep, check=False': lambda: of_store(False), 'np.memmap, to float32': lambda: of_memmap('f4'), 'np.memmap, bytes as they are': lambda: of_memmap('f2')}

def race(contenders, n_rows, rounds=5):
    "Examples a second, the median of rounds in which all take turns"
    took = {k: [] for k in contenders}
    for _ in range(rounds + 1): # the first warms up
        for k,f in contenders.items():
            start = time.perf_counter()
            for _ in f(): pass
            took[k].append(time.perf_counter() - start)
    return {k: n_rows/np.median(v[1:]) for k,v in took.items()}

def main(n, many, seconds, rounds):
    with tempfile.TemporaryDirectory() as d:
        d = Path(d)
        make_songs(d/'few', 3, seconds); make_songs(d/'songs', n, seconds)
        minutes, took, size = n*seconds/60, {}, {}
        print(f'{n} songs of {seconds} s, three tracks each\n\n| prepared by | songs a minute | times the original | processor seconds a song | peak memory, MB | store, MB a minute of song |\n|---|---|---|---|---|---|', flush=True)
        for r in range(rounds):
            for k in CONTENDERS:
                out = d/f'{k} {r}'.replace(', ', '-')
                took.setdefault(k, []).append(measured(k, d/'songs', out))
                size[k] = next(out.glob('*.h5')).stat().st_size/1e6/minutes
                if r < rounds-1: shutil.rmtree(out)
        base = np.median([o[0] for o in took['original']])
        for k,v in took.items():
            s = np.median([o[0] for o in v])
            print(f'| {k} | {n*60/s:.0f} | {base/s:.1f} | {np.median([o[2] for o in v])/n:.2f} | {max(o[1] for o in v):.0f} | {size[k]:.1f} |', flush=True)
        floor, cores = bare(d/'songs', d/'bare'), os.cpu_count() or 1
        least = (begin := min(start_up() for _ in range(3))) + n*floor/cores
        print(f'\nthe bare operations take {floor:.2f} s of a processor a song, and Python starts in {begin:.2f} s: with {cores} processors that begin at once and do nothing else {n*60/least:.0f} songs a minute, {base/least:.1f} times the original\n')
        few = measured('songsep', d/'few', d/'out-few')[1]
        make_songs(d/'many', many, seconds)
        make_songs(d/'long', 1, seconds*10)
        print(f'\nsongsep, peak memory: {few:.0f} MB for 3 songs, {measured("songsep", d/"many", d/"out-many")[1]:.0f} MB for {many}, {measured("songsep", d/"long", d/"out-long")[1]:.0f} MB for one ten times as long\n')
        store, old = (next((d/f'{k} {rounds-1}').glob('*.h5')) for k in ('songsep', 'original'))
        rows = [(o.name, i) for o in sorted((d/'songs').iterdir()) for i in range(seconds//2)]
        rows = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
        rates = race(readers(store, old, rows), len(rows))
        print('| shuffled batches of 8 by | examples a second | times the original | share of np.memmap to float32 |\n|---|---|---|---|')
        for k,v in rates.items(): print(f"| {k} | {v:.0f} | {v/rates['original']:.1f} | {v/rates['np.memmap, to float32']:.0%} |")

if __name__ == '__main__':
    if sys.argv[1:2] == ['--run']:
        name, root, out = sys.argv[2:]
        CONTENDERS[name](Path(root), Path(out))
    else:
        parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
        parser.add_argument('--quick', action='store_true', help='two songs of half a minute instead of ten of three minutes')
        quick = parser.parse_args().quick
        main(*((2, 6, 30, 1) if quick else (10, 30, 180, 2)))
