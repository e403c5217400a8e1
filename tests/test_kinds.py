"Whatever a network hears, magnitudes, complex spectrograms or sound: a song comes back whole, at any rate, in any format, after any kill."
import hashlib, multiprocessing, os, signal, subprocess, sys
from pathlib import Path
import numpy as np, onnx, pytest, soundfile as sf
from onnx import helper, numpy_helper
from songsep import pull
from songsep.core import Config, SongsepError, read_json, sha256
from songsep.engines import checksum, find_device
from songsep.folder import ModelSpec, write_spec
from songsep.graphs import DEMUCS_LICENCE, MDX_PUBLISHED, demucs_spec, import_graph, mdx_fingerprint, mdx_spec
from songsep.kinds import KINDS, Inner
from songsep.models import Model, open_model
from songsep.separation import resume_at, separate_blocks
from songsep.songs import Output, separate_song, separate_songs

SPECS = {
    'magnitude': ModelSpec('m', ['drums', 'rest'], Config(16000, 1., 1024, 256), 'graph'),
    'complex': ModelSpec('c', ['vocals'], Config(16000, 63*256/16000, 1024, 256), 'graph', kind='complex', takes_rest='band'),
    'waveform': ModelSpec('w', ['drums', 'other', 'vocals'], Config(16000, 1., 1024, 256), 'graph', kind='waveform', takes_rest='other')}
SHAPES = {'magnitude': ('n', 513, 63, 1), 'complex': (1, 4, 513, 64), 'waveform': (1, 2, 16000)}

def graph(path, kind):
    "Each target gets a half of what there is, and of magnitudes the second an eighth"
    spec, shape = SPECS[kind], SHAPES[kind]
    info = lambda name, shape: helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
    if kind == 'magnitude': factor, out = np.float32([.5, .125]), (*shape[:3], 2)
    elif kind == 'complex': factor, out = np.float32([.5]), shape
    else: factor, out = np.full((1, 3, 1, 1), .5, 'float32'), (1, 3, 2, 16000)
    nodes = [helper.make_node('Mul', ['wide' if kind == 'waveform' else 'x', 'factor'], ['y'])]
    constants = [numpy_helper.from_array(factor, 'factor'), numpy_helper.from_array(np.int64([1]), 'axis')]
    if kind == 'waveform': nodes.insert(0, helper.make_node('Unsqueeze', ['x', 'axis'], ['wide']))
    g = helper.make_graph(nodes, kind, [info('x', shape)], [info('y', out)], constants)
    onnx.save(helper.make_model(g, opset_imports=[helper.make_opsetid('', 18)], ir_version=9), path)
    return spec

def demucs_graph(path, n, samples=44100, bins=512):
    "Of HTDemucs' form: each stem is a tenth of the song, half of it as sound and half as spectrogram"
    info = lambda name, *shape: helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
    frames, node = -(-samples//(bins//2)), helper.make_node
    nodes = [o for k in ('sound', 'picture') for o in (node('Mul', [k, 'part'], [f'{k}_part']), node('Unsqueeze', [f'{k}_part', 'axis'], [f'{k}_one']),
                                                       node('Concat', [f'{k}_one']*n, [f'{k}s'], axis=1))]
    constants = [numpy_helper.from_array(np.float32([.05]), 'part'), numpy_helper.from_array(np.int64([1]), 'axis')]
    g = helper.make_graph(nodes, 'demucs', [info('sound', 1, 2, samples), info('picture', 1, 4, bins, frames)],
                          [info('pictures', 1, n, 4, bins, frames), info('sounds', 1, n, 2, samples)], constants)
    onnx.save(helper.make_model(g, opset_imports=[helper.make_opsetid('', 18)], ir_version=9), path)
    return path

@pytest.fixture(scope='module', params=KINDS)
def model(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    spec = graph(folder/'model.onnx', request.param)
    write_spec(folder, ModelSpec(**vars(spec) | dict(weights_sha256='0'*64, onnx_crc32=checksum(folder/'model.onnx'))))
    return open_model(folder)

def test_memory_does_not_grow_with_the_processors(model, monkeypatch):
    at_once, ours = [], {'magnitude': 4, 'complex': 2, 'waveform': 2}[model.spec.kind]
    monkeypatch.setattr('songsep.models.onnx_engine', lambda path, device, n: at_once.append(n))
    for n in 1, 2, 64:
        monkeypatch.setattr('songsep.models.processors', lambda: n)
        assert open_model(model.folder).threads == min(n, ours)
    assert at_once == [1, 2, ours]

def noise(channels, n, seed=0): return np.random.default_rng(seed).normal(size=(channels, n)).astype('float32')*.1
def whole(y, sr, model, size=1 << 16): return np.concatenate([*separate_blocks((y[:, i:i+size] for i in range(0, y.shape[1], size)), sr, model)], -1)
def db(x): return 20*np.log10(np.abs(x).max() + 1e-12)

# Whole, and summing to the song

@pytest.mark.parametrize('sr', [16000, 8000, 22050, 44100, 48000])
@pytest.mark.parametrize('channels', [1, 2, 3, 6])
@pytest.mark.parametrize('n', [1, 5000, 70_001])
def test_a_song_comes_back_whole(model, sr, channels, n):
    y = noise(channels, n)
    stems = whole(y, sr, model)
    assert stems.shape == (len(model.stems), channels, n) and db(stems.sum(0) - y) < -100

def test_half_is_half(model):
    "The first target of each toy is a half, or of magnitudes four fifths"
    y = np.sin(2*np.pi*440*np.arange(100_000)/16000)[None].repeat(2, 0).astype('float32')
    share = .8 if model.spec.kind == 'magnitude' else .5
    assert db((whole(y, 16000, model)[0] - share*y)[:, 2000:-2000]) < -60

def test_the_rest_may_be_no_target():
    "A network of sound whose two targets are thirds leaves a third"
    spec = ModelSpec('w', ['a', 'b'], Config(16000, 1., 1024, 256), 'graph', kind='waveform', takes_rest='left')
    model = Model(Path('w'), spec, 'onnx', lambda x: np.stack([x, x], 1)/3)
    y = noise(2, 50_000)
    stems = whole(y, 16000, model)
    assert spec.stems == ['a', 'b', 'left'] and db(stems - y/3) < -90

def test_what_all_stems_miss_is_shared_out():
    "Three targets of a quarter each miss a quarter; an odd channel is heard twice, and its share is its own"
    spec = ModelSpec('w', ['a', 'other', 'b'], Config(16000, 1., 1024, 256), 'graph', dict(shares=[.5, .3, .2]), kind='waveform', takes_rest='other')
    model = Model(Path('w'), spec, 'onnx', lambda x: np.stack([x]*3, 1)/4)
    y = noise(3, 50_000)
    for stem,share in zip(whole(y, 16000, model), (.5, .3, .2)): assert db(stem - y*np.float32(.25 + share/4)) < -90

@pytest.mark.parametrize('sr', [16000, 44100])
def test_the_block_size_leaves_no_trace(model, sr):
    y = noise(2, 150_001)
    assert db(whole(y, sr, model) - whole(y, sr, model, 10_007)) < -90

def test_a_run_goes_on_in_the_middle(model):
    y = noise(2, 400_000)
    first, start = resume_at(300_000, 16000, model)
    late = np.concatenate([*separate_blocks([y], 16000, model, first)], -1)
    assert 0 < start <= 300_000 and late.shape[-1] == y.shape[1] - start
    assert db(late - whole(y, 16000, model)[..., start:]) < -90

def test_a_song_that_is_resampled_begins_anew(model):
    if model.spec.kind != 'magnitude': assert resume_at(300_000, 44100, model) == (0, 0)

# Files

@pytest.mark.parametrize('fmt,depth', [('wav', '16'), ('wav', '24'), ('wav', 'float32'), ('flac', '16'), ('ogg', 'same'), ('mp3', 'same')])
def test_every_format(model, tmp_path, fmt, depth):
    sf.write(tmp_path/'song.wav', noise(2, 44100).T, 44100, subtype='PCM_16')
    receipt = separate_song(tmp_path/'song.wav', tmp_path/'out', model, Output(fmt=fmt, bit_depth=depth))
    assert set(receipt['files']) == set(model.stems) and receipt['device'] == model.device == find_device()
    parts = [sf.read(tmp_path/'out'/'song'/f)[0] for f in receipt['files'].values()]
    assert all(abs(len(p) - 44100) < 3000*(fmt == 'mp3') + 1 for p in parts)
    if fmt in ('wav', 'flac'): assert receipt['sum_error_db'] < -90

@pytest.mark.parametrize('sr', [16000, 44100])
def test_stopped_and_started_again(model, tmp_path, sr):
    sf.write(tmp_path/'song.wav', noise(2, 30*sr).T, sr)
    separate_song(tmp_path/'song.wav', tmp_path/'whole', model)
    class Stop(BaseException): "As Ctrl-C would, it leaves everything where it is"
    def stop(share, stage):
        if share > .5: raise Stop
    with pytest.raises(Stop): separate_song(tmp_path/'song.wav', tmp_path/'cut', model, progress=stop)
    assert not list((tmp_path/'cut').rglob('*.wav'))
    seen = []
    separate_song(tmp_path/'song.wav', tmp_path/'cut', model, progress=lambda share, stage: seen.append(share))
    if model.spec.kind == 'magnitude' or sr == 16000: assert seen[0] > .4
    files = [{p.name: p.read_bytes() for p in (tmp_path/k).rglob('*.wav')} for k in ('whole', 'cut')]
    assert files[0] == files[1] and len(files[0]) == len(model.stems)

def dies(song, out, folder):
    "Separate, and be killed in the middle: no handler runs, nothing is tidied up"
    separate_song(song, out, open_model(folder), progress=lambda share, stage: share > .5 and os.kill(os.getpid(), signal.SIGKILL))

@pytest.fixture(scope='module')
def server():
    "Processes that begin with the libraries imported"
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['songsep.songs', 'onnxruntime', 'soxr'])
    return context

@pytest.mark.skipif(not hasattr(os, 'fork'), reason='no fork here')
def test_killed_and_started_again(model, server, tmp_path):
    sf.write(tmp_path/'song.wav', noise(2, 30*16000).T, 16000)
    separate_song(tmp_path/'song.wav', tmp_path/'whole', model)
    p = server.Process(target=dies, args=(tmp_path/'song.wav', tmp_path/'cut', model.folder))
    p.start()
    p.join()
    assert p.exitcode == -signal.SIGKILL and list(tmp_path.glob('cut/.*.part/outputs.f32')) and not list((tmp_path/'cut').rglob('*.wav'))
    seen = []
    separate_song(tmp_path/'song.wav', tmp_path/'cut', model, progress=lambda share, stage: seen.append(share))
    files = [{p.name: p.read_bytes() for p in (tmp_path/k).rglob('*.wav')} for k in ('whole', 'cut')]
    assert seen[0] > .4 and files[0] == files[1] and len(files[0]) == len(model.stems)

# Workers of a cluster

@pytest.fixture(scope='module')
def cluster():
    distributed = pytest.importorskip('distributed')
    with distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=None, host='127.0.0.1', protocol='tcp') as cluster: yield cluster

def test_a_cluster_gives_the_same(model, cluster, tmp_path):
    (tmp_path/'a').mkdir()
    for i in range(2): sf.write(tmp_path/'a'/f'{i}.wav', noise(1 + i, 40_000, i).T, 16000)
    for out,dask in (('here', None), ('there', cluster.scheduler_address)):
        separate_songs([tmp_path/'a'], tmp_path/out, model.folder, dask=dask, say=lambda s: None, quiet=True)
    files = [{p.relative_to(tmp_path/k): p.read_bytes() for p in (tmp_path/k).rglob('*.wav')} for k in ('here', 'there')]
    assert files[0] == files[1] and len(files[0]) == 2*len(model.stems)

def test_names_that_meet_by_the_template_are_refused_on_a_cluster_too(model, cluster, tmp_path):
    "With --overwrite the file of one song was lost to the other, whichever was later"
    (tmp_path/'a').mkdir()
    for i,name in enumerate(('x', 'x_no')): sf.write(tmp_path/'a'/f'{name}.wav', noise(1, 20_000, i).T, 16000)
    first = model.stems[0]
    output = Output(two_stems=first, filename='{song}_{stem}.{ext}')
    done = separate_songs([tmp_path/'a'], tmp_path/'out', model.folder, output, overwrite=True, dask=cluster.scheduler_address, say=lambda s: None)
    assert isinstance(done['x'], dict) and 'is a file of x too' in str(done['x_no'])
    assert {o.name for o in (tmp_path/'out').iterdir()} == {f'x_{first}.wav', f'x_no_{first}.wav', 'x_separation.json'}

# HTDemucs' inner spectrogram, as its own code has it

def test_the_inner_spectrogram_is_demucs():
    torch = pytest.importorskip('torch')
    n, hop, n_fft = 343980, 1024, 4096
    y = noise(2, n)
    le, pad = -(-n//hop), hop//2*3
    padded = torch.nn.functional.pad(torch.from_numpy(y), (pad, pad + le*hop - n), mode='reflect')
    z = torch.stft(padded, n_fft, hop, window=torch.hann_window(n_fft), normalized=True, center=True, return_complex=True, pad_mode='reflect')
    z = z[..., :-1, 2:2+le]
    inner = Inner(Config(44100, 7.8))
    got = inner.see(y)
    want = torch.view_as_real(z).permute(0, 3, 1, 2).reshape(4, *z.shape[1:]).numpy()
    assert got.shape == want.shape and np.abs(got - want).max() < 1e-5
    z = torch.nn.functional.pad(torch.nn.functional.pad(z, (0, 0, 0, 1)), (2, 2))
    x = torch.istft(z, n_fft, hop, window=torch.hann_window(n_fft), normalized=True, length=hop*le + 2*pad, center=True)[..., pad:pad+n]
    assert np.abs(inner.say(got[None, None], np.zeros((1, 1, 2, n), 'float32'))[0] - x.numpy()).max() < 1e-5

# Graphs

def test_graphs_are_known_by_their_shapes(tmp_path):
    spec = demucs_spec(([(1, 2, 343980), (1, 4, 2048, 336)], [(1, 6, 4, 2048, 336), (1, 6, 2, 343980)]))
    assert spec.stems == ['drums', 'bass', 'other', 'vocals', 'guitar', 'piano'] and spec.rest == 'other' and spec.config.segment == 7.8
    spec = mdx_spec(([(1, 4, 3072, 256)], [(1, 4, 3072, 256)]), 'm', 'vocals', n_fft=7680)
    assert (spec.config.n_bins, spec.config.n_frames, spec.stems) == (3072, 256, ['vocals', 'instrumental'])
    with pytest.raises(SongsepError, match='--n-fft'): mdx_spec(([(1, 4, 3072, 256)],)*2, 'm', n_fft=4096)

def test_an_imported_graph_says_its_licence(tmp_path):
    graph(tmp_path/'g.onnx', 'complex')
    folder = import_graph(tmp_path/'g.onnx', tmp_path, 'mine', ['vocals', 'band'], 'For my friends only.', n_fft=1024, hop_length=256)
    assert open_model(folder).spec.licence == 'For my friends only.' and 'For my friends only.' in (folder/'README.md').read_text()
    sf.write(tmp_path/'song.wav', noise(2, 44100).T, 44100)
    assert separate_song(tmp_path/'song.wav', tmp_path/'out', open_model(folder))['licence'] == 'For my friends only.'
    assert read_json(tmp_path/'out'/'song'/'separation.json')['licence'] == 'For my friends only.'
    with pytest.raises(SongsepError, match='exists already'): import_graph(tmp_path/'g.onnx', tmp_path, 'mine', n_fft=1024, hop_length=256)
    with pytest.raises(SongsepError, match='--engine onnx'): open_model(folder, 'keras')
    (tmp_path/'bad.onnx').write_bytes((tmp_path/'g.onnx').read_bytes()[:60])
    with pytest.raises(SongsepError): import_graph(tmp_path/'bad.onnx', tmp_path)
    assert not list(tmp_path.glob('.*'))

SHAPES_PUBLISHED = { # (bins, frames) that the registry of Ultimate Vocal Remover says of them
    **dict.fromkeys(['UVR_MDXNET_1_9703', 'UVR_MDXNET_2_9682', 'UVR_MDXNET_3_9662', 'UVR_MDXNET_9482', 'UVR_MDXNET_KARA', 'UVR_MDXNET_KARA_2',
                     'kuielab_b_vocals', 'kuielab_b_bass', 'kuielab_b_other'], (2048, 256)),
    **dict.fromkeys(['UVR-MDX-NET-Inst_HQ_3', 'UVR-MDX-NET-Voc_FT', 'Kim_Vocal_1', 'Kim_Vocal_2', 'Kim_Inst'], (3072, 256)),
    **dict.fromkeys(['UVR-MDX-NET-Inst_HQ_4', 'UVR-MDX-NET-Inst_HQ_5', 'UVR-MDX-NET_Crowd_HQ_1'], (2560, 256)),
    **dict.fromkeys(['kuielab_a_vocals', 'kuielab_a_drums', 'kuielab_a_bass', 'kuielab_a_other'], (2048, 512)),
    'Reverb_HQ_By_FoxJoy': (3072, 512), 'kuielab_b_drums': (2048, 128)}

def whole_graph(path, bins, frames):
    "The song as it is, in a graph of MDX-Net's form"
    info = lambda name: helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ['batch', 4, bins, frames])
    g = helper.make_graph([helper.make_node('Mul', ['x', 'one'], ['y'])], 'whole', [info('x')], [info('y')], [numpy_helper.from_array(np.float32([1]), 'one')])
    onnx.save(helper.make_model(g, opset_imports=[helper.make_opsetid('', 18)], ir_version=9), path)
    return path

def test_published_graphs_have_settings_that_fit_their_shapes():
    assert {o[0] for o in MDX_PUBLISHED.values()} == set(SHAPES_PUBLISHED)
    for name,target,rest,n_fft,gain in MDX_PUBLISHED.values():
        bins, frames = SHAPES_PUBLISHED[name]
        spec = mdx_spec(([(1, 4, bins, frames)],)*2, name, target, rest, n_fft, compensate=gain)
        assert (spec.config.n_bins, spec.config.n_frames, spec.stems) == (bins, frames, [target, rest]) and 1 <= gain < 1.1

@pytest.mark.parametrize('name', ['kuielab_b_drums', 'UVR-MDX-NET-Inst_HQ_4'])
def test_a_published_graph_needs_no_options(tmp_path, monkeypatch, name):
    "Generated graphs of their shapes: the answer is the song below its topmost bin, louder by the gain"
    _, target, rest, n_fft, gain = published = next(o for o in MDX_PUBLISHED.values() if o[0] == name)
    path = whole_graph(tmp_path/'g.onnx', *SHAPES_PUBLISHED[name])
    with pytest.raises(SongsepError, match='--n-fft'): import_graph(path, tmp_path)
    monkeypatch.setitem(MDX_PUBLISHED, mdx_fingerprint(path), published)
    model = open_model(import_graph(path, tmp_path/'models'))
    y = np.sin(2*np.pi*1000*np.arange(100_000)/44100)[None].repeat(2, 0).astype('float32')
    got = whole(y, 44100, model)
    assert model.spec.stems == [target, rest] and db((got[0] - gain*y)[:, 10_000:-10_000]) < -60 and db(got.sum(0) - y) < -100
    louder = open_model(import_graph(path, tmp_path/'models', 'other', ['a', 'b'], compensate=1.5)).spec # what is said comes first
    assert louder.stems == ['a', 'b'] and louder.arguments['compensate'] == 1.5 and louder.config.n_fft == n_fft

def test_a_fingerprint_is_of_the_end_of_a_file(tmp_path):
    (tmp_path/'a').write_bytes(b'x' + b'y'*10_240_000)
    (tmp_path/'b').write_bytes(b'z'*99 + b'y'*10_240_000)
    (tmp_path/'c').write_bytes(b'y')
    assert mdx_fingerprint(tmp_path/'a') == mdx_fingerprint(tmp_path/'b') == hashlib.md5(b'y'*10_240_000).hexdigest()
    assert mdx_fingerprint(tmp_path/'c') == hashlib.md5(b'y').hexdigest()

def test_a_checkpoint_becomes_a_model_by_way_of_a_graph(tmp_path, monkeypatch):
    "With Demucs' own part replaced, so that it runs where Demucs is missing"
    def export(path, out):
        demucs_graph(out, 2)
        return ['vocals', 'band']
    monkeypatch.setattr(pull, 'export_demucs', export)
    for name,licence in (('mine.th', None), ('955717e8-8726e21a.safetensors', DEMUCS_LICENCE)):
        (tmp_path/name).write_bytes(b'weights')
        spec = open_model(pull.import_model(tmp_path/name, tmp_path/'models')).spec
        assert spec.stems == ['vocals', 'band'] and spec.licence == licence
        assert spec.imported == {'from': 'a checkpoint of Demucs', 'file': name, 'sha256': sha256(tmp_path/name)}

def test_an_unknown_device_is_a_sentence():
    with pytest.raises(SongsepError, match='device must be one of auto'): find_device('abacus')

GROWS = """
import sys
import numpy as np
from pathlib import Path
from songsep import engines
if sys.argv[2] == 'by array': engines._ONE_REGION = engines._BY_ARRAY
run = engines.onnx_engine(sys.argv[1])
assert run(np.ones((1, 1 << 20), 'float32')).sum() > 0
print(next(int(o.split()[1]) for o in Path('/proc/self/status').read_text().splitlines() if o.startswith('VmHWM')))
"""

@pytest.mark.skipif(not Path('/proc/self/status').exists(), reason='needs Linux')
def test_arrays_of_many_sizes_share_a_region(tmp_path):
    "An array that is larger than every free one takes new memory, but in one region free neighbours are joined"
    make, width, nodes, last = helper.make_node, 1 << 20, [], 'x'
    for i in range(12): # 4 MB, 8 MB, ..., 52 MB
        nodes += [make('Concat', [last, 'x'], [f'c{i}'], axis=0), make('Cos', [f'c{i}'], [f's{i}'])]
        last = f's{i}'
    nodes.append(make('ReduceMean', [last], ['y'], keepdims=1))
    info = lambda k,shape: helper.make_tensor_value_info(k, onnx.TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, 'grows', [info('x', [1, width])], [info('y', [1, 1])])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8), tmp_path/'grows.onnx')
    peak = lambda how: int(subprocess.run([sys.executable, '-c', GROWS, tmp_path/'grows.onnx', how], check=True, text=True,
                                          capture_output=True).stdout)/1024
    by_array, in_a_region = peak('by array'), peak('in a region')
    assert in_a_region < by_array - 40, (by_array, in_a_region)
