"""Without TensorFlow, Keras runs on JAX or PyTorch, and songsep on Keras: everything but the export to ONNX.

Where the backend is installed beside TensorFlow, TensorFlow is hidden. SONGSEP_JAX_VENV names a folder for an environment that truly lacks it
(600 MB; made there, and found again), as one job of the workflow does. SONGSEP_BACKEND=torch takes PyTorch instead.
"""
import configparser, os, re, subprocess, sys, venv
from importlib.util import find_spec
from pathlib import Path
import pytest

ROOT = Path(__file__).resolve().parent.parent
BACKEND = os.environ.get('SONGSEP_BACKEND', 'jax')

HIDE = '''
import importlib.machinery
find = importlib.machinery.PathFinder.find_spec
def without(name, *args): return None if name.partition('.')[0] in ('tensorflow', 'tf2onnx', 'tensorboard') else find(name, *args)
importlib.machinery.PathFinder.find_spec = without
'''

LIFE = '''
import importlib, importlib.util, sys, tempfile
from pathlib import Path
import keras, numpy as np, soundfile as sf
assert importlib.util.find_spec('tensorflow') is None
for p in sorted(Path(sys.argv[1], 'songsep').rglob('[a-z]*.py')):
    importlib.import_module('.'.join(p.relative_to(sys.argv[1]).with_suffix('').parts))
from songsep.core import Config, SongsepError
from songsep.dataset import Batches, make_dataset
from songsep.export import export_model, finish_model
from songsep.models import open_model
from songsep.prepare import prepare
from songsep.songs import separate_song
from songsep.store import SpectrogramStore
from songsep.stems import find_tracks
from songsep.recipes import load_recipe
from songsep.synth.toy import toy_dataset
from songsep.training import check_training, train

root = toy_dataset(Path(tempfile.mkdtemp())/'toy', n_tracks=3, seconds=3, sr=8000, fmt='wav')
with SpectrogramStore.create(root/'a.h5', Config(sr=8000, segment=1., n_fft=512, hop_length=128), load_recipe('drums'), keep_phase=True) as store:
    prepare(store, find_tracks(root))
    tracks = list(store)

batches, data = Batches(root/'a.h5', tracks, 4, remixed=True), make_dataset(Batches(root/'a.h5', tracks, 4, remixed=True))
assert isinstance(data, keras.utils.PyDataset)
for (x,y),(x2,y2) in zip(batches, data, strict=True): assert (x == x2).all() and (y == y2).all()

kw = dict(architecture='strided_unet', arguments=dict(filters=(4, 8), dropout=.2), batch_size=3, remixed=True, n_batches=2, ema=.9, verbose=0)
whole = train(root/'a.h5', root/'whole', epochs=2, **kw)
train(root/'a.h5', root/'cut', epochs=1, **kw)
assert train(root/'a.h5', root/'cut', epochs=2, **kw) == whole
with np.load(root/'whole'/'training.npz') as a, np.load(root/'cut'/'training.npz') as b: assert all((a[k] == b[k]).all() for k in a)

try: export_model(root/'whole')
except SongsepError as e: print(e)
else: raise AssertionError('exported without TensorFlow')
finish_model(root/'whole')
song = next(root.glob('*/mix.wav'))
model = open_model(root/'whole')
assert model.engine == 'keras'
receipt = separate_song(song, root/'out', model)
stems = [sf.read(root/'out'/song.stem/o, dtype='int16')[0].astype(int) for o in receipt['files'].values()]
assert (sum(stems) == sf.read(song, dtype='int16')[0]).all()
print(keras.backend.backend(), 'prepared, trained, went on and separated')
'''

def requirements():
    "What songsep and its training ask for, with another backend in TensorFlow's place"
    cfg = configparser.ConfigParser(interpolation=None)
    cfg.read(ROOT/'settings.ini')
    names = f"{cfg['DEFAULT']['requirements']} {cfg['DEFAULT']['train_requirements']}".split()
    return [o for o in names if not re.match('tensorflow|tf2onnx', o)] + {'jax': ['jax', 'jaxlib'], 'torch': ['torch']}[BACKEND]

@pytest.fixture(scope='module')
def python(tmp_path_factory):
    "Python without TensorFlow, and what it runs first"
    own = os.environ.get('SONGSEP_JAX_VENV')
    if find_spec(BACKEND) and not own: return sys.executable, HIDE
    folder = Path(own or tmp_path_factory.mktemp('venv'))
    exe = folder/('Scripts/python.exe' if os.name == 'nt' else 'bin/python')
    if not (folder/'ready').exists():
        venv.create(folder, with_pip=True)
        done = subprocess.run([exe, '-m', 'pip', 'install', '-q', '--disable-pip-version-check', '--retries', '1', *requirements()], capture_output=True, text=True)
        if done.returncode: pytest.skip(f'pip could not install Keras with {BACKEND} here: {done.stderr.strip().splitlines()[-1]}')
        (folder/'ready').touch()
    return exe, ''

def test_life_without_tensorflow(python, tmp_path):
    env = {**os.environ, 'KERAS_BACKEND': BACKEND, 'PYTHONPATH': str(ROOT), 'MPLBACKEND': 'Agg'}
    exe, hide = python
    done = subprocess.run([exe, '-c', hide + LIFE, ROOT], env=env, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f'{BACKEND} prepared, trained, went on and separated' in done.stdout
    assert 'separating will use Keras' in done.stdout
