"Killed, started twice, spread over workers: songs come out whole and once."
import os, signal, subprocess, sys, time
from pathlib import Path
import numpy as np, pytest, soundfile as sf
from conftest import PEAK
from songsep.core import SongsepError
from songsep.models import open_model
from songsep.songs import Output, separate_song, separate_songs

def write_song(path, seconds, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, np.random.default_rng(seed).normal(size=(int(44100*seconds), 2))*.1, 44100)
    return path

def command(*args): return [Path(sys.executable).with_name('songsep'), *map(str, args)]

def contents(folder): return {str(o.relative_to(folder)): o.read_bytes() for o in sorted(folder.rglob('*')) if o.suffix == '.wav'}

def spooled(folder): return sum(o.stat().st_size for o in folder.glob('.*.part/outputs.f32'))

def test_killed_and_started_again_it_continues(tmp_path):
    song = write_song(tmp_path/'song.wav', 50)
    separate_song(song, tmp_path/'whole', open_model())
    for at in (1, 3): # times a piece is about 8 MB
        p = subprocess.Popen(command('separate', song, '-o', tmp_path/'killed'))
        while spooled(tmp_path/'killed') < at*5_000_000 and p.poll() is None: time.sleep(.01)
        p.send_signal(signal.SIGKILL)
        assert p.wait() == -signal.SIGKILL
        assert not list((tmp_path/'killed').rglob('*.wav')) and not list((tmp_path/'killed').rglob('*.json'))
    before = spooled(tmp_path/'killed')
    seen = []
    separate_song(song, tmp_path/'killed', open_model(), progress=lambda f, stage: seen.append(f))
    assert before > 10_000_000 and seen[0] > .3
    assert contents(tmp_path/'killed') == contents(tmp_path/'whole')
    assert sorted(o.name for o in (tmp_path/'killed').iterdir()) == ['song']

@pytest.mark.parametrize('bit_depth', ['16', 'float32'])
def test_killed_between_the_stems_and_their_receipt(tmp_path, monkeypatch, bit_depth):
    class Killed(BaseException): "As SIGKILL would, it leaves everything where it is"
    def killed(*_): raise Killed
    song, output = write_song(tmp_path/'song.wav', 3), Output(bit_depth=bit_depth)
    with monkeypatch.context() as m:
        m.setattr('songsep.songs.write_json', killed)
        with pytest.raises(Killed): separate_song(song, tmp_path/'killed', open_model(), output)
    first = contents(tmp_path/'killed')
    assert first and not list((tmp_path/'killed').rglob('*.json'))
    with pytest.raises(SongsepError, match='other settings'): separate_song(song, tmp_path/'killed', open_model(), Output(stems=('drums',))) # these are not its files
    time.sleep(1.1) # the clock of a file's header goes by seconds
    assert not separate_song(song, tmp_path/'killed', open_model(), output).get('skipped')
    assert contents(tmp_path/'killed') == first
    assert sorted(o.name for o in (tmp_path/'killed').iterdir()) == ['song']

def test_two_at_the_same_song_make_it_once(tmp_path):
    song = write_song(tmp_path/'song.wav', 10)
    both = [subprocess.Popen(command('separate', song, '-o', tmp_path/'out'), stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = sorted('were there already' in p.communicate()[0] for p in both)
    assert said == [False, True] and all(p.returncode == 0 for p in both)
    assert sorted(o.name for o in (tmp_path/'out').iterdir()) == ['song']

def test_blocks_can_be_heard_before_the_end():
    from songsep.separation import separate_blocks
    read = []
    def blocks():
        for i in range(40):
            read.append(i)
            yield np.random.default_rng(i).normal(size=(2, 44100)).astype('float32')*.1
    first = next(separate_blocks(blocks(), 44100, open_model()))
    assert first.shape[:2] == (2, 2) and first.shape[2] > 44100 and len(read) < 40

def test_the_block_size_leaves_no_trace():
    from songsep.separation import separate_blocks
    y = np.random.default_rng(0).normal(size=(2, 44100*25)).astype('float32')*.1
    a, b = (np.concatenate(list(separate_blocks((y[:, i:i+n] for i in range(0, y.shape[1], n)), 44100, open_model())), -1) for n in (1 << 18, 10_007))
    assert 20*np.log10(np.abs(a - b).max() + 1e-12) < -90

def test_separating_loads_no_tensorflow(tmp_path):
    code = "import sys; from songsep.songs import separate_songs; separate_songs([sys.argv[1]], sys.argv[2], quiet=True); sys.exit(' '.join(o for o in ('tensorflow', 'keras', 'librosa', 'matplotlib') if o in sys.modules) or 0)"
    res = subprocess.run([sys.executable, '-c', code, write_song(tmp_path/'song.wav', 1), tmp_path/'out'], capture_output=True, text=True)
    assert not res.stderr and not res.returncode

MEMORY = PEAK + '''
import sys, numpy as np
from songsep.models import open_model
from songsep.separation import separate_blocks
rng, n = np.random.default_rng(0), int(sys.argv[1])
blocks = (rng.standard_normal((2, 1 << 18), 'float32')*np.float32(.1) for _ in range(n))
for _ in separate_blocks(blocks, 44100, open_model()): pass
print(peak())
'''

def test_memory_does_not_know_the_length():
    def peak(n): return int(subprocess.run([sys.executable, '-c', MEMORY, str(n)], capture_output=True, text=True, check=True).stdout)
    short, long = peak(20), peak(60)
    print(f'peak memory: {short//1024} MB for {20*6} s, {long//1024} MB for {60*6} s')
    assert long < short + 60_000 and long < 500_000 # kB; the song alone is 84 MB longer, its stems twice that

# A cluster

@pytest.fixture
def cluster(tmp_path):
    distributed = pytest.importorskip('distributed')
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host='127.0.0.1', local_directory=str(tmp_path/'dask')) as c: yield c

def test_a_worker_that_dies_loses_no_song_and_doubles_none(tmp_path, cluster):
    for i in range(4): write_song(tmp_path/'album'/f'{i}.wav', 12, i)
    separate_songs([tmp_path/'album'], tmp_path/'here', quiet=True, say=lambda s: None)
    said, victim = [], next(iter(cluster.workers.values())).pid
    def say(s):
        said.append(s)
        if len(said) == 1: os.kill(victim, signal.SIGKILL)
    done = separate_songs([tmp_path/'album'], tmp_path/'there', dask=cluster.scheduler_address, say=say)
    assert sorted(done) == ['0', '1', '2', '3'] and len(said) == 4 and all(isinstance(r, dict) for r in done.values())
    assert contents(tmp_path/'there') == contents(tmp_path/'here')

def test_a_result_that_is_lost_with_its_worker_is_made_again(monkeypatch):
    "The worker is lost after its work and before its result was taken"
    distributed = pytest.importorskip('distributed')
    from songsep import jobs
    class Lost:
        status, exception, result = 'lost', lambda self: None, lambda self: (0, 'done')
    class Client:
        def __enter__(self): return self
        def __exit__(self, *args): pass
        def map(self, *args, **kw): return [Lost()]
    monkeypatch.setattr(jobs, '_client', lambda address: Client())
    monkeypatch.setattr(distributed, 'as_completed', iter)
    assert list(jobs.run_jobs(str, ['a'], dask='tcp://x')) == [(0, 'done')]

def test_no_scheduler_is_a_sentence(tmp_path):
    pytest.importorskip('distributed')
    song = write_song(tmp_path/'song.wav', 1)
    res = subprocess.run(command('separate', song, '-o', tmp_path/'out', '--dask', 'tcp://127.0.0.1:9'), capture_output=True, text=True)
    assert res.returncode == 2 and 'no Dask scheduler answers at tcp://127.0.0.1:9' in res.stderr and 'Traceback' not in res.stderr
