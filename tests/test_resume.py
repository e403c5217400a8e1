"Killed with no warning, and started again."
import json, os, signal, subprocess, sys, time
from pathlib import Path
import h5py, numpy as np, pytest
from songsep.core import Config
from songsep.prepare import prepare
from songsep.store import SpectrogramStore, verify
from songsep.stems import find_tracks
from songsep.recipes import load_recipe
from songsep.synth.toy import toy_dataset

SONGSEP = Path(sys.executable).with_name('songsep')
SMALL = '--sr 8000 --segment 1 --n-fft 512 --hop-length 128 --no-phase'.split()

def songsep(*args): return [SONGSEP, *map(str, args)]

def run(*args):
    res = subprocess.run(songsep(*args), capture_output=True, text=True)
    assert res.returncode == 0, res.stderr
    return res.stdout

def killed(ready, *args):
    "Start a command, and kill it as soon as `ready()` is true"
    p = subprocess.Popen(songsep(*args), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not ready():
        assert p.poll() is None, 'it ended before it could be killed'
        time.sleep(.02)
    p.kill()
    p.wait()

@pytest.fixture(scope='module')
def toy(tmp_path_factory): return toy_dataset(tmp_path_factory.mktemp('toy'), n_tracks=12, seconds=5, sr=8000)

def arrays(path):
    with h5py.File(path) as h: return {f'{t}/{k}': h[t][k][:] for t in h for k in h[t] if h[t].attrs.get('committed')}

@pytest.mark.parametrize('size', [20_000, 1_000_000])
def test_preparing_goes_on_where_it_was_killed(tmp_path, toy, size):
    whole, cut = tmp_path/'whole.h5', tmp_path/'cut.h5'
    run('prepare', toy, '-o', whole, *SMALL)
    killed(lambda: cut.exists() and cut.stat().st_size > size, 'prepare', toy, '-o', cut, *SMALL)
    assert '12 in all' in run('prepare', toy, '-o', cut, *SMALL)
    want, got = arrays(whole), arrays(cut)
    assert want.keys() == got.keys() and len(want) == 36
    assert all((want[k] == got[k]).all() for k in want)

# Preparing by several processes: a run here, in a process group of its own

CONFIG = Config(sr=8000, segment=1., n_fft=512, hop_length=128)
PREPARE = """
import sys
from songsep.core import Config
from songsep.prepare import prepare
from songsep.store import SpectrogramStore
from songsep.stems import find_tracks
from songsep.recipes import load_recipe
root, out, n_jobs, dask = sys.argv[1:]
with SpectrogramStore.create(out, Config(sr=8000, segment=1., n_fft=512, hop_length=128), load_recipe('drums'), keep_phase=False) as s:
    prepare(s, find_tracks(root), n_jobs=int(n_jobs), dask=dask or None)
"""

def start(root, out, n_jobs=1, dask=''):
    return subprocess.Popen([sys.executable, '-c', PREPARE, root, out, str(n_jobs), dask], start_new_session=True, stderr=subprocess.PIPE)

@pytest.fixture(scope='module')
def whole(toy, tmp_path_factory):
    path = tmp_path_factory.mktemp('whole')/'a.h5'
    start_of = time.perf_counter()
    with SpectrogramStore.create(path, CONFIG, load_recipe('drums'), keep_phase=False) as s: prepare(s, find_tracks(toy), n_jobs=1)
    return path, time.perf_counter() - start_of

def same(path, whole):
    want, got = arrays(whole), arrays(path)
    return verify(path) == [] and want.keys() == got.keys() and all(want[k].tobytes() == got[k].tobytes() for k in want)

def begin(toy, path, n_jobs):
    "Start preparing in a forked process, which needs no time to import, and as the head of a group"
    pid = os.fork()
    if pid: return pid
    try:
        os.setsid()
        with SpectrogramStore.create(path, CONFIG, load_recipe('drums'), keep_phase=False) as s: prepare(s, find_tracks(toy), n_jobs=n_jobs)
    finally: os._exit(0)

def mark(folder):
    try: return folder.stat().st_ino, folder.stat().st_ctime_ns
    except FileNotFoundError: return 0

@pytest.mark.skipif(not hasattr(os, 'fork'), reason='no fork here')
def test_twenty_kills(tmp_path, toy, whole):
    path, parts, rng, had = tmp_path/'a.h5', tmp_path/'.a.h5.parts', np.random.default_rng(0), [0]
    for i in range(20):
        if had[-1] == 12: path.unlink(); had.append(0) # all done: from the start again
        old = mark(parts)
        pid, until = begin(toy, path, 2 if i%5 == 4 else 1), time.monotonic() + 30
        while mark(parts) in (0, old): # from the first work on
            if time.monotonic() > until or os.waitpid(pid, os.WNOHANG)[0]: break
            time.sleep(.002)
        time.sleep(rng.uniform(0, whole[1]/2) + (i%5 == 4))
        try: os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError: pass
        try: os.waitpid(pid, 0)
        except ChildProcessError: pass
        assert verify(path) == []
        with SpectrogramStore(path) as s: n = len(s)
        assert n >= had[-1] # what was committed stays
        had.append(n)
    assert len(set(had)) > 3, had
    with SpectrogramStore.create(path, CONFIG, load_recipe('drums'), keep_phase=False) as s: prepare(s, find_tracks(toy), n_jobs=1)
    assert same(path, whole[0]) and [o.name for o in tmp_path.iterdir()] == ['a.h5']

KILLS = """
import os, signal, sys
from pathlib import Path
import songsep.prepare as p
from songsep.store import SpectrogramStore
from songsep.core import Config
from songsep.stems import find_tracks
from songsep.recipes import load_recipe
root, out, note = map(Path, sys.argv[1:])
part = p._part
def dies_once(song, **kw):
    with open(note, 'a') as f: f.write(f'{song}\\n')
    if str(song) == 'Track00005' and note.read_text().count('Track00005') == 1:
        whole = p.Segments.__iter__
        def half(self):
            for i,ys in enumerate(whole(self)):
                if i == 2: os.kill(os.getpid(), signal.SIGKILL)
                yield ys
        p.Segments.__iter__ = half
    return part(song, **kw)
p._part = dies_once
with SpectrogramStore.create(out, Config(sr=8000, segment=1., n_fft=512, hop_length=128), load_recipe('drums'), keep_phase=False) as s:
    p.prepare(s, find_tracks(root), n_jobs=2)
"""

def test_a_worker_that_is_killed_costs_its_own_track(tmp_path, toy, whole):
    path, note = tmp_path/'a.h5', tmp_path/'note'
    res = subprocess.run([sys.executable, '-c', KILLS, toy, path, note], capture_output=True, text=True, timeout=120)
    assert res.returncode == 0, res.stderr
    assert same(path, whole[0])
    tried = note.read_text().split()
    assert tried.count('Track00005') == 2 and len(tried) <= 12 + 2 # and the one that died with it

def test_on_a_cluster_with_a_worker_killed(tmp_path, toy, whole):
    pytest.importorskip('distributed')
    def dask(*args): return subprocess.Popen([sys.executable, '-m', 'distributed.cli.dask_' + args[0], *map(str, args[1:])], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = tmp_path/'scheduler.json'
    daemons = [dask('scheduler', '--host', '127.0.0.1', '--port', 0, '--no-dashboard', '--scheduler-file', address)]
    try:
        while not address.exists(): time.sleep(.05)
        daemons += [dask('worker', '--scheduler-file', address, '--no-nanny', '--nthreads', 1, '--no-dashboard', '--host', '127.0.0.1') for _ in range(2)]
        p = start(toy, tmp_path/'a.h5', dask=json.loads(address.read_text())['address'])
        while not list(tmp_path.glob('.a.h5.parts/*')) and p.poll() is None: time.sleep(.005)
        daemons[1].kill()
        assert p.wait(100) == 0, p.stderr.read().decode()
    finally:
        for o in reversed(daemons): o.kill(); o.wait()
    assert same(tmp_path/'a.h5', whole[0])

def test_training_goes_on_where_it_was_killed(tmp_path, toy):
    run('prepare', toy, '-o', tmp_path/'a.h5', *SMALL)
    args = [tmp_path/'a.h5', '-o', tmp_path, '--epochs', 3, '--drop-epoch', 2, '--steps', 2, '--batch-size', 2, '--seed', 1, '--architecture', 'strided_unet']
    run('train', *args, '--name', 'whole')
    killed((tmp_path/'cut'/'training.npz').exists, 'train', *args, '--name', 'cut')
    run('train', *args, '--name', 'cut')
    about = [json.loads(str(np.load(tmp_path/o/'training.npz')['about'])) for o in ('whole', 'cut')]
    np.testing.assert_allclose(*[o['history']['learning_rate'] for o in about], rtol=1e-6)
    np.testing.assert_allclose(*[o['history']['val_loss'] for o in about], rtol=1e-4)
    assert len(about[1]['history']['loss']) == 3
    assert sorted(o.name for o in (tmp_path/'cut').iterdir()) == ['README.md', 'history.png', 'model.json', 'model.onnx', 'model.weights.h5', 'training.npz']
