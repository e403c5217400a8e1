"The store under damage: flipped bytes, full disks, interrupted copies; and what old stores hold is still read."
import errno, io, os, resource, shutil, subprocess, sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier
import h5py, numpy as np, pytest
from songsep.core import Config, SongsepError
from songsep.prepare import prepare, repair, stale_tracks
from songsep.spectrogram import stft
from songsep.store import SpectrogramStore, _journal, _replay, add_track, stage, verify
from songsep.stems import find_tracks
from songsep.recipes import load_recipe
from songsep.synth.toy import toy_dataset

CONFIG = Config(sr=8000, segment=1., n_fft=512, hop_length=128)

@pytest.fixture(scope='module')
def toy(tmp_path_factory): return toy_dataset(tmp_path_factory.mktemp('toy'), n_tracks=4, seconds=5, sr=8000)

def make(path, root, keep_phase=False, **kw):
    with SpectrogramStore.create(path, CONFIG, load_recipe('drums'), keep_phase) as store: prepare(store, find_tracks(root), **kw)
    return path

@pytest.fixture(scope='module')
def whole(toy): return make(toy/'whole.h5', toy)

def content(path):
    "All that a store says: numbers and notes"
    with h5py.File(path) as h:
        return {f'{t}/{k}': h[t][k][:].tobytes() + repr([(a, np.asarray(v).tolist()) for a,v in sorted(h[t][k].attrs.items())]).encode()
                for t in h for k in h[t]} | {t: repr(sorted((a, str(v)) for a,v in g.attrs.items())) for t,g in h.items()} | {'': h.attrs['songsep']}

def flipped(path, at):
    b = bytearray(path.read_bytes())
    b[at] ^= 1 << at % 8
    path.write_bytes(b)

def test_texts_lie_in_no_heap(whole):
    "In which HDF5 went round for ever where a byte was changed, found by guided fuzzing; uuids are texts as before"
    assert b'GCOL' not in whole.read_bytes()
    with SpectrogramStore(whole) as s: assert all(isinstance(o['uuid'], str) and o['uuid'] for o in s.songs())

# Threads

@pytest.mark.parametrize('windows', [False, True])
def test_threads_that_read_first_all_get_their_segments(whole, windows, monkeypatch):
    if windows: monkeypatch.delattr(os, 'preadv', raising=False) # reads by a position that threads share
    interval, n = sys.getswitchinterval(), 4
    with SpectrogramStore(whole) as s: right = [s.fetch(t, 'mix', [0, 1]) for t in s]
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(n) as pool:
            for _ in range(100):
                with SpectrogramStore(whole, check=False) as s:
                    together = Barrier(n)
                    def read(t): together.wait(); return s.fetch(t, 'mix', [0, 1])
                    for a,b in zip(right, pool.map(read, s)): np.testing.assert_array_equal(a, b)
    finally: sys.setswitchinterval(interval)

# Damage

def test_a_flipped_byte_in_the_sound_names_its_segment(whole, tmp_path):
    path, rng = tmp_path/'a.h5', np.random.default_rng(0)
    with SpectrogramStore(whole) as s: places = {(t, k): s._place(t, k) for t in s for k in ('mix', *s.targets)}
    keys = list(places)
    for _ in range(60):
        (track, target), i = keys[rng.integers(len(keys))], int(rng.integers(5))
        p = places[track, target]
        shutil.copy(whole, path)
        flipped(path, int(p.at[i] + rng.integers(p.nbytes)))
        assert verify(path) == [(track, target, i)]
        with SpectrogramStore(path) as s:
            with pytest.raises(SongsepError, match=f'segment {i} of {target} in {track}'): s[track][target][i]
            with pytest.raises(SongsepError, match='damaged'): s.fetch(track, target, [i])
            s[track][target][(i+1)%5]

def test_a_flipped_byte_anywhere_is_found_or_harmless(whole, tmp_path):
    path, want, rng = tmp_path/'a.h5', content(whole), np.random.default_rng(1)
    with SpectrogramStore(whole) as s: sound = np.sort(np.concatenate([s._place(t, k).at for t in s for k in ('mix', *s.targets)])); n = s._place('Track00001', 'mix').nbytes
    index = np.ones(whole.stat().st_size, bool)
    for at in sound: index[at:at+n] = False
    index, told = np.flatnonzero(index), 0
    for at in [*range(96), *rng.choice(index, 250)]:
        shutil.copy(whole, path)
        flipped(path, int(at))
        try: found = verify(path)
        except SongsepError as e:
            assert len(str(e).split()) > 5
            found = True
        told += bool(found)
        assert found or content(path) == want
    assert told > 100

def test_what_is_damaged_is_made_again(whole, toy, tmp_path):
    path, want, rng = tmp_path/'a.h5', content(whole), np.random.default_rng(2)
    shutil.copy(whole, path)
    with SpectrogramStore(whole) as s: hurt = [(t, k, int(i)) for t in s for k,i in (('mix', rng.integers(5)), ('drums', rng.integers(5)))]; at = [int(s._place(t, k).at[i]) for t,k,i in hurt]
    for o in at: flipped(path, o + 77)
    assert sorted(repair(path, find_tracks(toy), say=str)) == sorted(hurt)
    assert verify(path) == [] and content(path) == want
    flipped(path, at[0])
    with pytest.raises(SongsepError, match='Track00001, which this data lacks'): repair(path, find_tracks(toy)[1:])

def test_repair_refuses_songs_that_changed(whole, toy, tmp_path):
    path = tmp_path/'a.h5'
    shutil.copy(whole, path)
    with SpectrogramStore(path) as s: at = int(s._place('Track00002', 'mix').at[3])
    flipped(path, at)
    others = toy_dataset(tmp_path/'others', n_tracks=4, seconds=5, sr=8000, seed=9)
    with pytest.raises(SongsepError, match='has changed since'): repair(path, find_tracks(others))

def test_repair_of_chosen_segments(toy, tmp_path):
    path = make(tmp_path/'few.h5', toy, most=2)
    want = content(path)
    with SpectrogramStore(path) as s: at = int(s._place('Track00003', 'drums').at[1])
    flipped(path, at)
    repair(path, find_tracks(toy), say=str)
    assert content(path) == want

@pytest.mark.parametrize('share', [.1, .5, .99])
def test_a_store_that_is_cut_off_says_so(whole, tmp_path, share):
    path = tmp_path/'a.h5'
    path.write_bytes(whole.read_bytes()[:int(whole.stat().st_size*share)])
    with pytest.raises(SongsepError): assert not verify(path), 'damage is told'; raise AssertionError('a cut was not noticed')

# The journal

def killed_between(path, change, n):
    "What a kill leaves after `n` of the writes that put the journal in place"
    class Dies(io.FileIO):
        left = n
        def write(self, b):
            if self.left == 0: raise KeyboardInterrupt
            self.left -= 1
            return super().write(b)
    import songsep.store as m
    before = m._replay
    def replay(f, path):
        with Dies(path, 'r+') as d: before(d, path)
    m._replay = replay
    try:
        with SpectrogramStore(path, 'r+') as s: change(s)
    except KeyboardInterrupt: pass
    finally: m._replay = before

def test_an_index_that_was_half_changed_is_finished(whole, tmp_path):
    rng = np.random.default_rng(0)
    parts = {k: rng.normal(size=(2, 8000)).astype('f4') for k in ('mix', 'drums', 'accompaniments')}
    seen = set()
    for n in range(6):
        path = tmp_path/f'{n}.h5'
        shutil.copy(whole, path)
        killed_between(path, lambda s: add_track(s, 'New', parts), n)
        seen.add(_journal(path).exists())
        with SpectrogramStore(path) as s: assert len(s) == 5 and s['New']['mix'][1].shape == (257, 63)
        assert verify(path) == [] and not _journal(path).exists()
    assert True in seen

def test_hdf5_changes_its_index_when_told_only(whole, tmp_path):
    path, early = tmp_path/'a.h5', []
    shutil.copy(whole, path)
    with SpectrogramStore(path, 'r+') as s:
        f, write = s._file, type(s._file).write
        class Watched(type(f)):
            def write(self, b):
                if self.changes is None and self.tell() < self.old: early.append(self.tell())
                return write(self, b)
        f.__class__ = Watched
        rng = np.random.default_rng(0)
        for i in range(40): add_track(s, f'New{i:02}', {k: rng.normal(size=(2, 8000)).astype('f4') for k in ('mix', 'drums', 'accompaniments')})
    assert not early and verify(path) == []

def test_two_writers_are_one_too_many(whole, tmp_path):
    path = tmp_path/'a.h5'
    shutil.copy(whole, path)
    with SpectrogramStore(path, 'r+'):
        with pytest.raises(SongsepError, match='in use'): SpectrogramStore(path, 'r+')

# A full disk

FULL = '''
import sys
from pathlib import Path
from songsep.core import Config, SongsepError
from songsep.prepare import prepare
from songsep.store import SpectrogramStore
from songsep.stems import find_tracks
from songsep.recipes import load_recipe
try:
    with SpectrogramStore.create(sys.argv[2], Config(sr=8000, segment=1., n_fft=512, hop_length=128), load_recipe('drums'), keep_phase=False) as s:
        prepare(s, find_tracks(sys.argv[1]), n_jobs=int(sys.argv[3]))
except SongsepError as e: sys.exit(f'told: {e}')
'''

def fills(path, toy, n_jobs, *words, **kw):
    res = subprocess.run([sys.executable, '-c', FULL, toy, path, str(n_jobs)], capture_output=True, text=True, timeout=120, **kw)
    assert res.returncode == 1 and res.stderr.startswith('told: '), res.stderr
    for o in words: assert o in res.stderr
    assert verify(path) == []
    with SpectrogramStore(path) as s: return len(s)

@pytest.mark.parametrize('n_jobs', [1, 2])
@pytest.mark.parametrize('size', [300_000, 1_000_000])
def test_a_file_that_may_not_grow(toy, whole, tmp_path, size, n_jobs):
    path = tmp_path/'a.h5'
    small = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    have = fills(path, toy, n_jobs, 'may be so large', 'another folder', preexec_fn=small)
    assert have == size//(5*3*257*63*2)
    make(path, toy)
    assert {k: v for k,v in content(path).items() if k} == {k: v for k,v in content(whole).items() if k}

@pytest.mark.parametrize('n_jobs', [1, 2])
def test_a_disk_that_is_full(toy, whole, tmp_path, n_jobs):
    disk = tmp_path/'disk'
    disk.mkdir()
    mount = shutil.which('mount')
    if not mount or subprocess.run([mount, '-t', 'tmpfs', '-o', 'size=1600k', 'tmpfs', disk], capture_output=True).returncode: pytest.skip('a small disk can be mounted by root only')
    try:
        assert fills(disk/'a.h5', toy, n_jobs, f'the disk {disk} is full', 'MB more', 'goes on where it stopped') < 4
        assert [o.name for o in disk.iterdir()] == ['a.h5']
        shutil.copy(disk/'a.h5', tmp_path/'a.h5')
    finally: subprocess.run(['umount', disk], check=True)
    make(tmp_path/'a.h5', toy)
    assert content(tmp_path/'a.h5').keys() == content(whole).keys() and verify(tmp_path/'a.h5') == []

# Staging

def test_a_copy_goes_on_where_it_was_interrupted(whole, tmp_path):
    import songsep.store as m
    size, said = whole.stat().st_size, []
    def stop(done, size):
        if done >= size//2: raise KeyboardInterrupt
    class Slow:
        "A file read in small blocks"
        def __init__(self, f): self.f = f
        def __getattr__(self, k): return getattr(self.f, k)
        def __enter__(self): return self
        def __exit__(self, *exc): self.f.close()
        def read(self, n): return self.f.read(10_000)
    real = open
    m.open = lambda p, mode='r', *a, **k: Slow(real(p, mode, *a, **k)) if mode == 'rb' and Path(p) == whole and not k else real(p, mode, *a, **k)
    try:
        with pytest.raises(KeyboardInterrupt): stage(whole, tmp_path, stop)
        assert not (tmp_path/whole.name).exists()
        copy = stage(whole, tmp_path, lambda done, size: said.append(done))
    finally: del m.open
    assert said[0] > size//2 and said[-1] == size
    assert copy.read_bytes() == whole.read_bytes() and len(list(tmp_path.iterdir())) == 1

def test_a_copy_of_another_state_begins_anew(whole, tmp_path):
    src = tmp_path/'drive'/'a.h5'
    src.parent.mkdir()
    shutil.copy(whole, src)
    copy = stage(src, tmp_path/'local', lambda *o: None)
    with SpectrogramStore(src, 'r+') as s: s.drop(['Track00001'])
    os.utime(src, (1e9, 1e9))
    assert stage(src, tmp_path/'local', lambda *o: None) == copy
    with SpectrogramStore(copy) as s: assert len(s) == 3

def test_a_damaged_copy_does_not_count(whole, tmp_path):
    src = tmp_path/'a.h5'
    shutil.copy(whole, src)
    with SpectrogramStore(src) as s: at = int(s._place('Track00001', 'mix').at[0])
    flipped(src, at)
    with pytest.raises(SongsepError, match='damaged in 1 places'): stage(src, tmp_path/'local', lambda *o: None)
    assert list((tmp_path/'local').iterdir()) == []

# Stores of the first version, stale tracks, loud songs

def test_a_store_of_the_first_version_is_read_and_continued(toy, tmp_path):
    path, new = tmp_path/'old.h5', make(tmp_path/'new.h5', toy)
    with h5py.File(new) as n, h5py.File(path, 'w') as h:
        h.attrs['songsep'] = n.attrs['songsep']
        for t in list(n)[:2]:
            for k in n[t]:
                ds = h.create_dataset(f'{t}/{k}', data=n[t][k], chunks=(1, 257, 63), fletcher32=True)
                ds.attrs['mean_norm'] = n[t][k].attrs['mean_norm']
            h[t].attrs['committed'] = True
    assert verify(path) == []
    with SpectrogramStore(path) as s, SpectrogramStore(new) as n:
        assert (s['Track00002']['drums'][:] == n['Track00002']['drums'][:]).all()
        at = int(s._place('Track00002', 'drums').at[3])
    make(path, toy)
    with SpectrogramStore(path) as s: assert len(s) == 4
    flipped(path, at + 5)
    assert verify(path) == [('Track00002', 'drums', 3)]
    repair(path, find_tracks(toy), say=str)
    assert verify(path) == []

def test_songs_that_are_gone_are_told(toy, tmp_path):
    path, said = make(tmp_path/'a.h5', toy), []
    with SpectrogramStore(path, 'r+') as s:
        prepare(s, find_tracks(toy)[1:], say=said.append)
        assert 'Track00001' in said[0] and stale_tracks(s, find_tracks(toy)[1:]) == ['Track00001']
        s.drop(['Track00001'])
        assert 'Track00001' not in s
        with pytest.raises(SongsepError, match='no track Track00001'): s.drop(['Track00001'])

@pytest.mark.parametrize('gain,ok', [(1, True), (1e-7, True), (300, False), (np.inf, False), (np.nan, False)])
@pytest.mark.parametrize('keep_phase', [False, True])
def test_nothing_becomes_infinite(tmp_path, gain, ok, keep_phase):
    rng = np.random.default_rng(0)
    ys = {k: (rng.normal(size=(2, 8000))*10*gain).astype('f4') for k in ('mix', 'drums', 'accompaniments')}
    ys['drums'][1, 100:400] *= 10
    with SpectrogramStore.create(tmp_path/'a.h5', CONFIG, load_recipe('drums'), keep_phase) as s:
        if not ok:
            with pytest.raises(SongsepError, match='65504'): add_track(s, 'Loud', ys)
            assert len(s) == 0
            return
        add_track(s, 'Loud', ys)
        got, want = s['Loud']['drums'][:], np.abs(stft(ys['drums'], 512, 128))
        assert np.isfinite(got).all() and np.abs(got - want).max() <= max(want.max()*2**-11, 2**-24)
