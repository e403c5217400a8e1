"On genuine data: Slakh tracks, old projects, real recordings."
import json, subprocess, sys
from pathlib import Path
import numpy as np, pytest, soundfile as sf
from conftest import PEAK
from songsep.audio import probe, read_blocks
from songsep.core import Config
from songsep.prepare import prepare
from songsep.store import SpectrogramStore
from songsep.stems import find_tracks, slakh_track
from songsep.recipes import load_recipe, load_targets, submix
from songsep.synth.toy import toy_dataset

ROOT = Path(__file__).resolve().parent.parent

# Slakh as it was published

@pytest.mark.parametrize('folder,sr', [('babyslakh_16k', 16000), ('slakh2100_flac_redux', 44100)])
def test_genuine_slakh_goes_through_reader_recipe_and_store(shared, tmp_path, folder, sr):
    root, said = shared/'data'/'slakh_real'/folder, []
    tracks = find_tracks(root)
    assert [t.name for t in tracks] == ['Track00001']
    assert tracks[0].missing == ('S06',) and len(tracks[0].stems) == 10
    recipe, config = load_recipe('drums'), Config(sr=sr, segment=1., n_fft=1024, hop_length=256)
    with SpectrogramStore.create(tmp_path/'s.h5', config, recipe, keep_phase=False) as store:
        assert prepare(store, tracks, say=said.append) == 1
        assert list(store) == ['Track00001'] and store['Track00001']['drums'].ds.shape[1:] == (513, config.n_frames)
    assert any('S06' in s for s in said)

@pytest.mark.parametrize('folder', ['babyslakh_16k', 'slakh2100_flac_redux/train'])
def test_submixes_of_genuine_slakh_sum_to_its_mix(shared, tmp_path, folder):
    track = slakh_track(shared/'data'/'slakh_real'/folder/'Track00001')
    report = submix(track, load_recipe('band'), tmp_path/'band')
    assert report['missing'] == ['S06']
    assert report['mix_error_db'] < -40 and report['sum_error_db'] < -100
    assert sorted(o.stem for o in (tmp_path/'band').iterdir()) == ['bass', 'drums', 'guitar', 'other', 'piano', 'residuals']

def test_names_map_plain_folders(shared):
    tracks = {t.name: t for t in find_tracks(shared/'data'/'validation')}
    ys, sr, found = load_targets(tracks['mdn_multitrack'], load_recipe('drums'))
    assert sr == 44100 and found['residual_db'] < -100 and found['mix_error_db'] < -60
    assert np.abs(ys['drums']).max() > .01

# An old user's project

def main_py(*args):
    return subprocess.run([sys.executable, ROOT/'main.py', *map(str, args)], capture_output=True, text=True)

def test_main_py_as_an_old_user(tmp_path):
    root = tmp_path/'My Drive'/'project'
    toy_dataset(root/'data'/'training_data', n_tracks=3, seconds=4, sr=16000, fmt='wav')
    song = toy_dataset(tmp_path/'song', n_tracks=1, seconds=5, sr=44100, seed=7, fmt='wav')/'Track00001'/'mix.wav'
    (root/'data'/'song_to_seperate').mkdir()
    song.rename(root/'data'/'song_to_seperate'/'seperateMyTracks.wav')
    res = main_py(root, '1e-3', '0.5', '1e-6', 'adam', 2, 8)
    assert res.returncode == 0, res.stderr
    out = root/'results'/'seperateMyTracks'
    assert sorted(o.name for o in out.iterdir()) == ['accompaniments.wav', 'drums.wav', 'separation.json']
    want, sr = sf.read(root/'data'/'song_to_seperate'/'seperateMyTracks.wav', dtype='int16')
    stems = [sf.read(out/f'{k}.wav', dtype='int16') for k in ('drums', 'accompaniments')]
    assert all(r == sr == 44100 and y.shape == want.shape for y,r in stems)
    assert (stems[0][0] + stems[1][0] == want).all()
    made = [root/'data'/'dictionaries'/'audioData.npy', root/'saved_models'/'modelCheckpoint'/'model.weights.h5']
    before = [o.stat().st_mtime_ns for o in made]
    res = main_py(root, '1e-3', '0.5', '1e-6', 2, 8) # six arguments, and everything is there already
    assert res.returncode == 0, res.stderr
    assert [o.stat().st_mtime_ns for o in made] == before

def test_main_py_explains_its_arguments():
    res = main_py('--help')
    assert res.returncode == 0
    for o in ('projectDataRootPath', 'learningRate', 'alpha', 'weightDecay', 'optimizer', 'epochs', 'batchSize'): assert o in res.stdout

# The shipped models

def test_demo(tmp_path):
    res = subprocess.run([Path(sys.executable).with_name('songsep'), 'demo', '-o', tmp_path], capture_output=True, text=True)
    assert res.returncode == 0, res.stderr
    folder = next(tmp_path.iterdir())
    receipt = json.loads((folder/'separation.json').read_text())
    assert receipt['engine'] == 'onnx' and receipt['sum_error_db'] < -90
    assert 'sum to the song' in res.stdout and (folder/'spectrograms.png').stat().st_size > 10_000
    assert f"{folder/'console.html'}: open it" in res.stdout and (folder/'console.html').stat().st_size > 500_000

@pytest.mark.parametrize('name', ['drums', 'band'])
def test_shipped_models_are_the_same_on_both_engines(name):
    from songsep.export import TOLERANCE, example_input
    from songsep.models import open_model
    fast, slow = open_model(name, 'onnx'), open_model(name, 'keras')
    X = example_input(fast.config)
    want = slow.forward(X)
    assert np.abs(fast.forward(X) - want).max() < TOLERANCE*np.abs(want).max()

def test_the_default_model_is_the_best_of_what_ships_on_real_songs(shared):
    "By the mean over nine songs; and no song is worse than untouched"
    from songsep.evaluation import evaluate_tracks, hpss_baseline, mixture_baseline
    from songsep.models import open_model
    from songsep.recipes import load_recipe
    from songsep.separation import separate_blocks
    from songsep.stems import find_tracks
    recipe, tracks = load_recipe('drums'), find_tracks(shared/'data'/'validation')
    def by(name):
        m = open_model(name)
        def separate(y, sr):
            got = dict(zip(m.stems, np.concatenate(list(separate_blocks([y], sr, m)), -1)))
            return {'drums': got['drums'], 'accompaniments': y - got['drums']}
        return separate
    ways = dict(mixture=lambda y, sr: mixture_baseline(y, recipe.targets), hpss=lambda y, sr: hpss_baseline(y, recipe.targets),
                band=by('band'), drums=by('drums'))
    scores = {k: evaluate_tracks(f, tracks, recipe, say=lambda s: None) for k,f in ways.items()}
    si_sdr = {k: np.array([o['drums']['si_sdr'] for o in v.values()]) for k,v in scores.items()}
    assert len(si_sdr['drums']) == 9 and (si_sdr['drums'] > si_sdr['mixture']).all()
    assert si_sdr['drums'].mean() > max(si_sdr[k].mean() for k in ('mixture', 'hpss', 'band'))

def test_band_brings_drums_and_bass_of_a_real_song_nearer(shared):
    from songsep.evaluation import si_sdr
    from songsep.models import open_model
    from songsep.separation import separate_blocks
    from songsep.stems import find_tracks
    from songsep.recipes import load_targets
    track = next(t for t in find_tracks(shared/'data'/'validation') if t.name=='trackswitch_demo')
    ys, sr, _ = load_targets(track, load_recipe('band'), mono=False)
    band = open_model('band')
    got = dict(zip(band.stems, np.concatenate(list(separate_blocks([ys['mix']], sr, band)), -1)))
    np.testing.assert_allclose(sum(got.values()), ys['mix'], atol=1e-5)
    for k in ('drums', 'bass'): assert si_sdr(ys[k], got[k]) > si_sdr(ys[k], ys['mix']) + 3

@pytest.mark.parametrize('name', ['karissa_hobbs_lets_go_fishin.ogg', 'mdn_viper.mp3'])
def test_real_songs_come_back_whole(shared, tmp_path, name):
    from songsep.models import open_model
    from songsep.songs import Output, separate_song
    song = shared/'data'/'realsongs'/name
    receipt = separate_song(song, tmp_path, open_model('drums'), Output(fmt='flac'))
    samples = sum(y.shape[1] for y in read_blocks(song))
    info = probe(song)
    for f in receipt['files'].values():
        stem = sf.info(tmp_path/song.stem/f)
        assert (stem.frames, stem.samplerate, stem.channels) == (samples, info.sr, info.channels)
    assert receipt['sum_error_db'] < -90

# Memory

MEMORY = PEAK + '''
import sys
from pathlib import Path
from songsep.core import Config
from songsep.prepare import prepare
from songsep.store import SpectrogramStore
from songsep.stems import find_tracks
from songsep.recipes import load_recipe
root, n = Path(sys.argv[1]), int(sys.argv[2])
with SpectrogramStore.create(root/f'{n}.h5', Config(sr=16000, segment=2., n_fft=2048, hop_length=512), load_recipe('drums'), keep_phase=False) as store:
    prepare(store, find_tracks(root/'songs')[:n])
print(peak())
'''

def test_memory_of_preparing_is_flat(tmp_path):
    toy_dataset(tmp_path/'songs', n_tracks=20, seconds=12)
    def peak(n): return int(subprocess.run([sys.executable, '-c', MEMORY, tmp_path, str(n)], capture_output=True, text=True, check=True).stdout.split()[-1])
    two, twenty = peak(2), peak(20)
    print(f'peak memory: {two//1024} MB for 2 songs, {twenty//1024} MB for 20')
    assert twenty < 1.1*two
