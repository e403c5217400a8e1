"What training promises: the same again, on where it stopped, and a plain word when it goes wrong."
import importlib.util, json, os, socket, subprocess, sys
from dataclasses import replace
from functools import partial
from pathlib import Path
import keras, numpy as np, pytest
from songsep.core import Config, SongsepError, read_json
from songsep.dataset import Batches, py_dataset
from songsep.evaluation import _separated, evaluate_tracks, means, song_judge
from songsep.prepare import prepare
from songsep.store import SpectrogramStore, add_track
from songsep.stems import find_tracks
from songsep.recipes import load_recipe, recipe_from
from songsep.synth.toy import toy_dataset
from songsep.training import (Checkpoint, OtherSettings, average_models, check_training, find_batch_size, make_optimizer, start_from,
                              train)
from songsep.folder import ModelSpec, build_model, load_model, read_spec, save_model
from songsep.models import open_model

ROOT = Path(__file__).resolve().parent.parent
CONFIG = Config(sr=8000, segment=1., n_fft=512, hop_length=128)
SMALL = dict(architecture='strided_unet', remixed=0., arguments=dict(filters=(4, 8), dropout=.2), batch_size=4, verbose=0, validation=.2)

@pytest.fixture(scope='module')
def store(tmp_path_factory):
    root = toy_dataset(tmp_path_factory.mktemp('toy'), n_tracks=5, seconds=4, sr=8000)
    with SpectrogramStore.create(root/'a.h5', CONFIG, load_recipe('drums'), keep_phase=True) as s: prepare(s, find_tracks(root))
    return root/'a.h5'

def weights(folder): return load_model(folder)[0].get_weights()
def equal(a, b): return all((x == y).all() for x,y in zip(a, b, strict=True))

# The same again

FULL = SMALL | dict(remixed=True, n_batches=2, ema=.9, schedule='plateau', clipnorm=1., keep='last')

@pytest.fixture(scope='module')
def whole(store):
    "A model that was trained undisturbed"
    train(store, store.parent/'whole', epochs=3, **FULL)
    return store.parent/'whole'

def state(folder):
    with np.load(folder/'training.npz', allow_pickle=False) as f: return json.loads(str(f['about'])), [f[f'v{i}'] for i in range(len(f.files)-1)]

def test_continued_is_undisturbed(tmp_path, store, whole):
    train(store, tmp_path/'cut', epochs=1, **FULL)
    train(store, tmp_path/'cut', epochs=3, **FULL)
    (a, want), (b, got) = state(whole), state(tmp_path/'cut')
    assert a == b and equal(want, got) # optimizer, averages and dropout included
    assert equal(weights(whole), weights(tmp_path/'cut'))

def test_same_seed_same_weights(tmp_path, store):
    for k,seed in dict(a=0, b=0, c=1).items(): train(store, tmp_path/k, epochs=1, seed=seed, **SMALL | dict(n_batches=1))
    a, b, c = (weights(tmp_path/o) for o in 'abc')
    assert equal(a, b) and not equal(a, c)

def test_keras_reads_each_epoch_in_order(store, monkeypatch):
    "It may look at the first batch once more before it begins"
    with SpectrogramStore(store) as s: batches = Batches(store, list(s), 4)
    model, read, seen = keras.Sequential([keras.Input((257, 63, 1)), keras.layers.Conv2D(2, 1)]), Batches._read, []
    monkeypatch.setattr(Batches, '_read', lambda self, store, epoch, i: (seen.append((epoch, i)), read(self, store, epoch, i))[1])
    model.compile('sgd', 'mae')
    model.fit(py_dataset(batches), epochs=5, initial_epoch=3, verbose=0, shuffle=False, callbacks=[Checkpoint(store.parent/'x', {}, {}, batches=batches, monitor='loss', writes=False)])
    assert {e for e,_ in seen if e} == {3, 4}
    for e in (3, 4): assert sorted(i for o,i in seen if o == e) == list(range(len(batches)))

# Settings

def test_settings_are_compared_both_ways(store, whole):
    for kw in (dict(ema=None), dict(schedule='cosine'), dict(clipnorm=2.), dict(precision='mixed_bfloat16')):
        with pytest.raises(OtherSettings, match=next(iter(kw))): train(store, whole, epochs=4, **FULL | kw)

@pytest.mark.parametrize('kw', [dict(schedule='magic'), dict(precision='float8'), dict(clipnorm=0), dict(ema=1), dict(keep='some')])
def test_wrong_values_are_refused(tmp_path, store, kw):
    with pytest.raises(SongsepError, match=next(iter(kw))): train(store, tmp_path/'m', epochs=1, **SMALL | kw)

def test_phase_sensitive_targets_are_learned_and_kept_to(tmp_path, store):
    settings = SMALL | dict(n_batches=2, seed=1, phase_sensitive=True)
    train(store, tmp_path/'a', epochs=1, **settings)
    assert read_spec(tmp_path/'a').training['phase_sensitive'] is True
    with pytest.raises(OtherSettings, match='phase_sensitive'):
        train(store, tmp_path/'a', epochs=2, **settings | dict(phase_sensitive=False))
    plain, aligned = (Batches(store, ['Track00001'], 4, shuffle=False, phase_sensitive=o)[0] for o in (False, True))
    assert np.abs(plain[0] - aligned[0]).max() < 1e-3*plain[0].max() # the same mixture
    assert (aligned[1] <= plain[1] + 1e-3*plain[0].max()).all() and aligned[1].sum() < .99*plain[1].sum()

def test_songs_are_noted(whole):
    songs = read_spec(whole).training_songs
    assert len(songs) == 4 and all(o.keys() == {'name', 'uuid'} and o['uuid'] for o in songs)

def test_batch_size_is_found_and_kept(store, whole, monkeypatch):
    spec = read_spec(whole)
    assert find_batch_size(spec, [.5, .5], most=2) in (1, 2)
    monkeypatch.setattr('songsep.training.find_batch_size', lambda *a: 1/0)
    assert len(train(store, whole, epochs=3, **FULL | dict(batch_size='auto'))['loss']) == 3

# The average, and the judge

def test_what_is_kept_is_the_average(whole):
    model = build_model(read_spec(whole))
    model.compile(make_optimizer('adam', clipnorm=1., ema=.9), 'mae')
    model.optimizer.build(model.trainable_variables)
    saved = {id(v): a for v,a in zip([*model.variables, *model.optimizer.variables], state(whole)[1], strict=True)}
    for v,mean,k in zip(model.trainable_variables, model.optimizer._model_variables_moving_average, load_model(whole)[0].trainable_variables):
        assert (saved[id(mean)] == np.array(k)).all() and not (saved[id(v)] == np.array(k)).all()

def test_judge_chooses(tmp_path, store):
    scores = iter([1., 3., 2.])
    kw = SMALL | dict(n_batches=1, judge=lambda net: {'sdr': next(scores)})
    assert train(store, tmp_path/'m', epochs=3, monitor='sdr', **kw)['sdr'] == [1, 3, 2]
    about = read_json(tmp_path/'m'/'model.json')['training']
    assert (about['epochs'], about['sdr']) == (2, 3)
    scores = iter([1.])
    with pytest.raises(SongsepError, match='no number sir to watch.*sdr, val_loss'): train(store, tmp_path/'n', epochs=1, monitor='sir', **kw)

# When it goes wrong

def noise_store(path):
    rng = np.random.default_rng(0)
    with SpectrogramStore.create(path, CONFIG, load_recipe('drums'), keep_phase=False) as s:
        for t in range(4):
            parts = {k: .1*rng.normal(size=(4, 8000)).astype('float32') for k in ('drums', 'accompaniments')}
            add_track(s, f'Track{t}', parts | {'mix': sum(parts.values())}, {'residual_db': -100.})
    return path

@pytest.mark.parametrize('value', [np.nan, 3e38])
def test_ruined_loss_names_the_segment(tmp_path, store, monkeypatch, value):
    path = noise_store(tmp_path/'a.h5')
    read = SpectrogramStore.fetch
    def fetch(self, track, target, indices, *args):
        S = read(self, track, target, indices, *args)
        if track == 'Track2' and target == 'drums' and list(indices) == [1]: S[:] = value
        return S
    monkeypatch.setattr(SpectrogramStore, 'fetch', fetch)
    seed = next(s for s in range(9) if 'Track2' in split(path, s))
    with pytest.raises(SongsepError, match='Track2 segment 1'): train(path, tmp_path/'m', epochs=1, seed=seed, alphas=[1e3, 1], **SMALL | dict(validation=.3))

def split(path, seed):
    from songsep.dataset import split_tracks
    with SpectrogramStore(path) as s: return split_tracks(s, .3, seed)[0]

def test_check_says_what_is_wrong(tmp_path):
    rng, path = np.random.default_rng(0), tmp_path/'b.h5'
    with SpectrogramStore.create(path, CONFIG, load_recipe('drums'), keep_phase=False) as s:
        for t in 'abc':
            parts = {k: rng.normal(size=(2, 8000)).astype('float32') for k in ('drums', 'accompaniments')}
            add_track(s, t, parts | {'mix': 3*rng.normal(size=(2, 8000)).astype('float32')}, {'residual_db': -100.})
    with pytest.raises(SongsepError, match='the targets differ from the mixture by'): check_training(path, 'strided_unet', dict(filters=(4, 8)), batch_size=2, steps=2)

# From another model

@pytest.mark.parametrize('architecture', ['unet', 'strided_unet'])
def test_channels_follow_their_names(tmp_path, architecture):
    args = dict(filters=(4, 8)) | (dict(bottleneck=8) if architecture == 'unet' else {})
    spec = lambda *targets: ModelSpec('m', targets, CONFIG, architecture, args)
    parent, X = build_model(spec('a', 'b')), np.random.default_rng(0).uniform(size=(1, 257, 63, 1)).astype('float32')
    save_model(tmp_path/'p', parent, spec('a', 'b'))
    want = np.asarray(parent(X))
    for targets in (('b', 'a'), ('c', 'b', 'd')):
        child = build_model(spec(*targets))
        known = start_from(child, spec(*targets), tmp_path/'p')
        assert known == [t for t in targets if t in 'ab']
        got = np.asarray(child(X))
        for t in known: np.testing.assert_allclose(got[..., targets.index(t)], want[..., 'ab'.index(t)], rtol=1e-4, atol=1e-6)
    other = replace(spec('a', 'b'), arguments=args | dict(filters=(4, 6)))
    with pytest.raises(SongsepError, match='same architecture'): start_from(build_model(other), other, tmp_path/'p')

# The judge

TWO = {'name': 'two', 'Mixing key': 'program_num', 'Recipes': {'bass': [*range(32, 40)], 'drums': [128]}}

@pytest.mark.parametrize('recipe', [load_recipe('bass'), load_recipe('piano'), recipe_from(TWO, 'two')], ids=lambda r: r.name)
def test_the_judge_hears_the_model_that_ships(tmp_path, recipe):
    "Also where targets leave something over, and where there is one target"
    learned, heard = (toy_dataset(tmp_path/k, n_tracks=2, seconds=4, sr=8000, seed=i) for i,k in enumerate(('learned', 'heard')))
    with SpectrogramStore.create(tmp_path/'a.h5', CONFIG, recipe) as s: prepare(s, find_tracks(learned))
    train(tmp_path/'a.h5', tmp_path/'model', epochs=1, n_batches=1, **SMALL | dict(validation=.5))
    net, spec = load_model(tmp_path/'model')
    assert spec.stems == [*recipe.targets, 'residuals']
    ships = evaluate_tracks(partial(_separated, open_model(tmp_path/'model', 'keras')), find_tracks(heard), recipe, quick=True)
    judged = song_judge(tmp_path/'a.h5', [heard])(net)
    for t,want in means(ships).items(): assert judged[f'sdr_{t}'] == pytest.approx(want['sdr'], abs=1e-3)

def test_an_average_lies_between_two_models(tmp_path):
    spec = ModelSpec('m', ('a', 'b'), CONFIG, 'strided_unet', dict(filters=(4, 8)))
    X = np.random.default_rng(0).uniform(size=(1, 257, 63, 1)).astype('float32')
    for name in ('before', 'after'): save_model(tmp_path/name, build_model(spec), spec)
    out = {share: np.asarray(load_model(average_models(tmp_path/'before', tmp_path/'after', tmp_path/'mean', share))[0](X)) for share in (0, .5, 1)}
    for share,name in ((0, 'before'), (1, 'after')): np.testing.assert_allclose(out[share], np.asarray(load_model(tmp_path/name)[0](X)), atol=1e-5)
    assert np.abs(out[.5] - out[0]).max() > 1e-3 and read_spec(tmp_path/'mean').training['averaged'] == 1
    other = replace(spec, arguments=dict(filters=(4, 6)))
    save_model(tmp_path/'other', build_model(other), other)
    with pytest.raises(SongsepError, match="can't be averaged"): average_models(tmp_path/'other', tmp_path/'after', tmp_path/'mean')
    with pytest.raises(SongsepError, match='between 0 and 1'): average_models(tmp_path/'before', tmp_path/'after', tmp_path/'mean', 2)

# Several processes

def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]

TRAIN = '''
import json, sys
from songsep.training import train
train(sys.argv[1], sys.argv[2], epochs=1, remixed=True, n_batches=3, architecture='strided_unet', arguments=dict(filters=(4,)), batch_size=4, verbose=0, validation=.2, clipnorm=1.)
'''

def test_two_processes_end_as_one(tmp_path, store):
    if importlib.util.find_spec('jax') is None: pytest.skip('needs jax')
    env = {**os.environ, 'KERAS_BACKEND': 'jax', 'PYTHONPATH': str(ROOT), 'JAX_PLATFORMS': 'cpu'}
    start = lambda folder, **kw: subprocess.Popen([sys.executable, '-c', TRAIN, store, tmp_path/folder], env=env | kw, stderr=subprocess.PIPE, text=True)
    address = dict(KERAS_DISTRIBUTION_JOB_ADDRESSES=f'127.0.0.1:{free_port()}', KERAS_DISTRIBUTION_NUM_PROCESSES='2')
    runs = [start('one'), *(start('two', **address, KERAS_DISTRIBUTION_PROCESS_ID=str(i)) for i in range(2))]
    for p in runs:
        try: said = p.communicate(timeout=300)[1]
        except subprocess.TimeoutExpired:
            for o in runs: o.kill()
            raise
        assert p.returncode == 0, said
    for a,b in zip(weights(tmp_path/'one'), weights(tmp_path/'two'), strict=True): np.testing.assert_allclose(a, b, atol=1e-5)

def test_tensorflow_says_that_it_trains_on_one_machine(tmp_path, store, monkeypatch):
    monkeypatch.setenv('TF_CONFIG', json.dumps({'cluster': {'worker': ['127.0.0.1:1', '127.0.0.1:2']}, 'task': {'type': 'worker', 'index': 0}}))
    with pytest.raises(SongsepError, match='KERAS_BACKEND=jax'): train(store, tmp_path/'m', epochs=1, **SMALL)

def test_check_tries_what_the_training_will_learn(store, monkeypatch):
    "`songsep train --check --phase-sensitive` tried whole magnitudes"
    from songsep import cli, training
    seen, settings = [], dict(batch_size=2, architecture='strided_unet', learning_rate=1e-3, seed=0, remixed=0., phase_sensitive=True)
    class Spy(training.Batches):
        def __init__(self, *args, **kw):
            seen.append(kw.get('phase_sensitive'))
            super().__init__(*args, **kw)
    monkeypatch.setattr(training, 'Batches', Spy)
    monkeypatch.setattr(training, 'check_training', partial(check_training, steps=1))
    try: cli._try(store, settings, print)
    except SongsepError as e: assert 'should not be trained on like this' in str(e) # after one step
    assert seen == [True, True]

# Defaults, and what a recipe leaves over

def test_defaults_are_what_the_benchmark_found_best(store):
    import inspect
    for f in (train, check_training):
        p = inspect.signature(f).parameters
        assert (p['architecture'].default, p['remixed'].default) == ('tfc_tdf_unet', None)
    from songsep.training import REMIXED, _remixed
    assert _remixed(store, None) == REMIXED > 0 and _remixed(store, 0.) == 0

def test_what_a_recipe_leaves_over_stays_in_the_mixture(tmp_path):
    rng = np.random.default_rng(0)
    with SpectrogramStore.create(tmp_path/'a.h5', CONFIG, load_recipe('bass')) as s:
        for t in 'abc':
            bass, rest = rng.normal(size=(2, 2, 8000)).astype('float32')*[[[.02]], [[.1]]]
            add_track(s, t, {'bass': bass.astype('float32'), 'mix': (bass + rest).astype('float32')}, {'residual_db': -.2})
    (as_is, _), (taken, Y), (mixed, Z) = (Batches(tmp_path/'a.h5', list('abc'), 6, shuffle=False, remixed=o)[0] for o in (0, 1e-9, 1))
    np.testing.assert_allclose(taken, as_is, atol=.02*as_is.max()) # nothing is remixed, and nothing is missing
    assert Y.shape[-1] == Z.shape[-1] == 1 and (mixed**2).sum() > 3*(Z**2).sum()
    assert 'residuals of' in Batches(tmp_path/'a.h5', list('abc'), 6, remixed=1).names(0, 0)[0] + Batches(tmp_path/'a.h5', list('abc'), 6, remixed=1).names(0, 0)[1]
