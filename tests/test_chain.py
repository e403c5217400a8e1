"Models in a row: whatever is behind whatever, the stems sum to the song, memory stays, and a run goes on where it was killed."
import json, signal, subprocess, sys, time
from pathlib import Path
from types import SimpleNamespace
import numpy as np, pytest, soundfile as sf
from conftest import PEAK
from songsep.core import Config, SongsepError, read_json
from songsep.engines import checksum
from songsep.folder import ModelSpec, write_spec
from songsep.models import open_model
from songsep.separation import resume_at, separate_blocks, stems_in_a_row
from songsep.songs import Output, separate_song, separate_songs
from test_kinds import graph
from warm import songsep

STEMS = {'magnitude': ('hits', 'tones'), 'complex': ('voice',), 'waveform': ('drums', 'other', 'vocals')}

@pytest.fixture(scope='module')
def models(tmp_path_factory):
    "A tiny model of each kind, with stems of its own names"
    out = {}
    for kind,stems in STEMS.items():
        folder = tmp_path_factory.mktemp(kind)/kind
        folder.mkdir()
        spec = graph(folder/'model.onnx', kind)
        said = dict(name=kind, targets=stems, weights_sha256='0'*64, onnx_crc32=checksum(folder/'model.onnx'), licence=f'{kind} for friends')
        if kind == 'complex': said['takes_rest'] = 'band'
        write_spec(folder, ModelSpec(**vars(spec) | said))
        out[kind] = folder
    return out

def opened(models, first, **then): return open_model(models[first]), {k: open_model(models[v]) for k,v in then.items()}
def noise(channels, n, seed=0): return np.random.default_rng(seed).normal(size=(channels, n)).astype('float32')*.1
def run(y, sr, model, then=None, first=0, size=1 << 16):
    blocks = (y[:, i:i+size] for i in range(0, y.shape[1], size))
    return np.concatenate([*separate_blocks(blocks, sr, model, first, then)], -1)
def db(x): return 20*np.log10(np.abs(x).max() + 1e-12)

PAIRS = [('waveform', dict(drums='magnitude')), ('magnitude', dict(tones='complex')), ('complex', dict(band='waveform'))]
ROWS = [*PAIRS, ('waveform', dict(vocals='complex', band='magnitude', hits='waveform'))]

# What comes out

@pytest.mark.parametrize('first,then', ROWS)
@pytest.mark.parametrize('sr,channels,n', [(16000, 2, 150_001), (44100, 1, 70_000), (22050, 3, 60_000), (16000, 2, 1), (48000, 2, 300)])
def test_stems_of_all_floors_sum_to_the_song(models, first, then, sr, channels, n):
    model, then = opened(models, first, **then)
    y, stems = noise(channels, n), stems_in_a_row(model, then)[0]
    out = run(y, sr, model, then)
    assert out.shape == (len(stems), channels, n) and db(out.sum(0) - y) < -100

@pytest.mark.parametrize('first,then', PAIRS)
@pytest.mark.parametrize('sr', [16000, 44100])
def test_a_second_model_gives_what_it_gives_for_the_stem_alone(models, first, then, sr):
    (whole, kind), = then.items()
    model, others = opened(models, first, **then)
    y, stems = noise(2, 200_000), stems_in_a_row(model, others)[0]
    alone, out = run(y, sr, model), dict(zip(stems, run(y, sr, model, others)))
    for k,v in zip(model.stems, alone):
        if k != whole: assert db(out[k] - v) < -120
    apart = run(alone[model.stems.index(whole)], sr, others[whole])
    for k,v in zip(stems_in_a_row(model, others)[1][whole], apart): assert db(out[k] - v) < -90, k

def test_names_that_are_taken_and_names_that_are_not_there(models):
    wave, then = opened(models, 'waveform', other='waveform')
    stems, groups = stems_in_a_row(wave, then)
    assert stems == ['drums', 'other_drums', 'other_other', 'other_vocals', 'vocals'] and groups == {'other': stems[1:4]}
    with pytest.raises(SongsepError, match="no stem 'piano' to take apart. Stems here are drums, other, vocals"): stems_in_a_row(wave, {'piano': wave})
    clash = SimpleNamespace(stems=['a', 'b', 'a_b'])
    with pytest.raises(SongsepError, match='the name a_b stands for two stems'): stems_in_a_row(clash, {'a': SimpleNamespace(stems=['b', 'c'])})

# Files

@pytest.mark.parametrize('first,then', PAIRS)
@pytest.mark.parametrize('subtype', ['PCM_16', 'PCM_24', 'FLOAT'])
def test_files_sum_to_the_song_exactly(models, tmp_path, first, then, subtype):
    sf.write(tmp_path/'song.wav', noise(2, 100_000).T, 44100, subtype=subtype)
    model, others = opened(models, first, **then)
    receipt = separate_song(tmp_path/'song.wav', tmp_path/'out', model, then=others)
    dtype = 'int32' if subtype != 'FLOAT' else 'float64'
    parts = [sf.read(tmp_path/'out'/'song'/f, dtype=dtype)[0] for f in receipt['files'].values()]
    error = np.abs(sum(parts) - sf.read(tmp_path/'song.wav', dtype=dtype)[0]).max()
    assert len(parts) == len(stems_in_a_row(model, others)[0]) and error <= (0 if subtype != 'FLOAT' else 2e-7)

def test_a_receipt_names_all_models_and_is_recognised(models, tmp_path):
    sf.write(tmp_path/'song.wav', noise(2, 50_000).T, 44100)
    model, then = opened(models, 'waveform', drums='magnitude')
    receipt = separate_song(tmp_path/'song.wav', tmp_path/'out', model, then=then)
    assert receipt['model'] == 'waveform' and receipt['then']['drums']['model'] == 'magnitude'
    assert receipt['then']['drums']['stems'] == ['hits', 'tones'] and receipt['then']['drums']['licence'] == 'magnitude for friends'
    assert read_json(tmp_path/'out'/'song'/'separation.json') == receipt
    assert separate_song(tmp_path/'song.wav', tmp_path/'out', model, then=then)['skipped']
    with pytest.raises(SongsepError, match='other settings'): separate_song(tmp_path/'song.wav', tmp_path/'out', model)

def test_a_stem_that_was_taken_apart_can_still_be_asked_for(models, tmp_path):
    sf.write(tmp_path/'song.wav', noise(2, 50_000).T, 44100, subtype='PCM_24')
    model, then = opened(models, 'waveform', drums='magnitude')
    output = Output(stems=('drums', 'hits'), mixes=('practice=mix-hits',), two_stems='drums')
    receipt = separate_song(tmp_path/'song.wav', tmp_path/'out', model, output, then=then)
    assert list(receipt['files']) == ['drums', 'hits', 'no_drums', 'practice']
    y = {k: sf.read(tmp_path/'out'/'song'/f)[0] for k,f in receipt['files'].items()}
    song = sf.read(tmp_path/'song.wav')[0]
    assert np.abs(y['drums'] + y['no_drums'] - song).max() < 3e-7 and np.abs(y['hits'] + y['practice'] - song).max() < 3e-7
    with pytest.raises(SongsepError, match="no stem 'toms'. This model gives hits, tones, other, vocals, drums"): Output(stems=('toms',)).weights(*stems_in_a_row(model, then))

@pytest.mark.parametrize('fmt', ['flac', 'ogg', 'mp3'])
def test_formats(models, tmp_path, fmt):
    sf.write(tmp_path/'song.wav', noise(2, 50_000).T, 44100)
    model, then = opened(models, 'complex', band='waveform')
    receipt = separate_song(tmp_path/'song.wav', tmp_path/'out', model, Output(fmt=fmt), then=then)
    assert list(receipt['files']) == ['voice', 'drums', 'other', 'vocals'] and all((tmp_path/'out'/'song'/f).stat().st_size > 999 for f in receipt['files'].values())

# Stopped and started again

@pytest.mark.parametrize('first,then', ROWS)
@pytest.mark.parametrize('share', [.1, .5, .9])
def test_a_run_goes_on_in_the_middle(models, first, then, share):
    model, then = opened(models, first, **then)
    y = noise(2, 500_000)
    start, done = resume_at(int(share*500_000), 16000, model, then)
    late = run(y, 16000, model, then, start)
    assert late.shape[-1] == 500_000 - done and (share < .5 or done > 0) and db(late - run(y, 16000, model, then)[..., done:]) < -90

def test_another_rate_begins_anew(models):
    assert resume_at(400_000, 44100, *opened(models, 'magnitude', tones='waveform')) == (0, 0)

@pytest.mark.parametrize('first,then', PAIRS)
def test_stopped_at_ten_moments(models, tmp_path, first, then):
    sf.write(tmp_path/'song.wav', noise(2, 60*16000).T, 16000)
    model, others = opened(models, first, **then)
    separate_song(tmp_path/'song.wav', tmp_path/'whole', model, then=others)
    class Stop(BaseException): "As SIGKILL would, it leaves everything where it is"
    seen, late = [], []
    for at in np.linspace(.05, .95, 10):
        def stop(share, stage):
            seen.append(share)
            if stage == 'writing' or share > at: raise Stop
        with pytest.raises(Stop): separate_song(tmp_path/'song.wav', tmp_path/'cut', model, progress=stop, then=others)
    assert seen[-1] > .9 and not list((tmp_path/'cut').rglob('*.wav'))
    separate_song(tmp_path/'song.wav', tmp_path/'cut', model, then=others, progress=lambda f, stage: late.append((stage, f)))
    assert min(f for stage,f in late if stage == 'separating') > .5 # it did not begin anew
    files = [{p.name: p.read_bytes() for p in (tmp_path/k).rglob('*.wav')} for k in ('whole', 'cut')]
    assert files[0] == files[1] and len(files[0]) == len(stems_in_a_row(model, others)[0])

def command(*args): return [Path(sys.executable).with_name('songsep'), *map(str, args)]

def test_killed_on_the_command_line(models, tmp_path):
    sf.write(tmp_path/'song.wav', noise(2, 240*16000).T, 16000)
    line = command('separate', tmp_path/'song.wav', '-q', '-m', models['waveform'], '--then', f"drums={models['magnitude']}", '--then', f"vocals={models['complex']}")
    subprocess.run([*line, '-o', tmp_path/'whole'], check=True)
    spooled = lambda: sum(o.stat().st_size for o in (tmp_path/'cut').glob('.*.part/outputs.f32'))
    p = subprocess.Popen([*line, '-o', tmp_path/'cut'])
    while spooled() < 20_000_000 and p.poll() is None: time.sleep(.01)
    p.send_signal(signal.SIGKILL)
    assert p.wait() == -signal.SIGKILL and spooled() and not list((tmp_path/'cut').rglob('*.wav'))
    subprocess.run([*line, '-o', tmp_path/'cut'], check=True)
    files = [{p.name: p.read_bytes() for p in (tmp_path/k).rglob('*.wav')} for k in ('whole', 'cut')]
    assert files[0] == files[1] and sorted(files[0]) == ['band.wav', 'hits.wav', 'other.wav', 'tones.wav', 'voice.wav']

# The command line

@pytest.mark.parametrize('then,said', [(['toms=magnitude'], "no stem 'toms' to take apart"), (['drums=nothing'], 'there is no model nothing'),
    (['drums'], '--then drums is not understood. Write it as STEM=MODEL'), (['drums=magnitude', 'drums=complex'], '--then takes drums apart twice')])
def test_mistakes_end_in_one_sentence(models, tmp_path, then, said):
    sf.write(tmp_path/'song.wav', noise(1, 9000).T, 16000)
    options = [o for t in then for o in ('--then', t.replace('=magnitude', f"={models['magnitude']}").replace('=complex', f"={models['complex']}"))]
    res = songsep('separate', 'song.wav', '-m', models['waveform'], '-o', 'out', *options, cwd=tmp_path)
    assert res.returncode == 2 and said in res.stderr and 'Traceback' not in res.stderr and not (tmp_path/'out'/'song').exists()

def test_json_and_many_songs(models, tmp_path):
    for i in range(2): sf.write(tmp_path/f'{i}.wav', noise(1, 20_000, i).T, 16000)
    res = songsep('separate', '0.wav', '1.wav', '-m', models['waveform'], '--then', f"other={models['waveform']}", '-o', 'out', '--json', '-q', cwd=tmp_path)
    assert not res.returncode
    songs = json.loads(res.stdout)['songs']
    assert set(songs) == {'0', '1'} and all(list(o['files']) == ['drums', 'other_drums', 'other_other', 'other_vocals', 'vocals'] for o in songs.values())

def test_a_cluster_gives_the_same(models, tmp_path):
    distributed = pytest.importorskip('distributed')
    (tmp_path/'a').mkdir()
    sf.write(tmp_path/'a'/'song.wav', noise(1, 40_000).T, 16000)
    then = {'drums': models['magnitude']}
    separate_songs([tmp_path/'a'], tmp_path/'here', models['waveform'], then=then, say=lambda s: None, quiet=True)
    with distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster:
        separate_songs([tmp_path/'a'], tmp_path/'there', models['waveform'], then=then, dask=cluster.scheduler_address, say=lambda s: None)
    files = [{p.name: p.read_bytes() for p in (tmp_path/k).rglob('*.wav')} for k in ('here', 'there')]
    assert files[0] == files[1] and sorted(files[0]) == ['hits.wav', 'other.wav', 'tones.wav', 'vocals.wav']

# Memory

MEMORY = PEAK + '''
import sys, numpy as np
from songsep.models import open_model
from songsep.separation import separate_blocks
rng, n, names = np.random.default_rng(0), int(sys.argv[1]), sys.argv[2:]
blocks = (rng.standard_normal((2, 1 << 18), 'float32')*np.float32(.1) for _ in range(n))
model, then = open_model(names[0]), dict(o.split('=') for o in names[1:])
for _ in separate_blocks(blocks, 44100, model, 0, {k: open_model(v) for k,v in then.items()}): pass
print(peak())
'''

def test_memory_is_that_of_the_larger_model_and_a_little():
    def peak(n, *names): return int(subprocess.run([sys.executable, '-c', MEMORY, str(n), *names], capture_output=True, text=True, check=True).stdout)
    alone, both, longer = peak(12, 'band'), peak(12, 'drums', 'accompaniments=band'), peak(30, 'drums', 'accompaniments=band')
    print(f'peak memory: band {alone//1024} MB, drums and band in a row {both//1024} MB, {longer//1024} MB for a longer song')
    assert both < 1.1*alone + 100_000 and longer < both + 60_000 # kB
