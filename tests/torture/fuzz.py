"""Everything that reads a stranger's file is given thousands of changed ones: each is read, or refused in one sentence.

    python tests/torture/fuzz.py                      # 60 seconds for each reader whose libraries are here
    python tests/torture/fuzz.py recipe store --seconds 600 --seed 3 --keep failed

Bytes are flipped, cut, doubled, moved, and replaced by words that such files know. Files that fail are kept, and become tests.
"""
import argparse, asyncio, io, json, shutil, sys, tarfile, tempfile, time, traceback, warnings, zipfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote
import numpy as np

WORDS = [o.encode() for o in ('{', '}', '[', ']', ':', ',', '"', '\n', '- ', '  ', 'null', 'true', '-1', '0', '1e999', 'NaN', '99999999999999999999', '[]', '{}', '""',
    "'", '&a', '*a', '!!python/object:os.system', '../', '/', '\0', 'é', '2026-99-99', 'name', 'targets', 'config', 'Recipes', 'stems')] + [b'\xff\xfe', b'\x00\x00\x00\x00', b'\xff'*8]

def changed(b, rng):
    "Bytes with something wrong in them"
    b = bytearray(b)
    for _ in range(int(rng.integers(1, 5))):
        at, n = int(rng.integers(len(b) + 1)), int(rng.integers(1, 12))
        kind = rng.integers(6)
        if kind == 0 and b: b[min(at, len(b)-1)] ^= 1 << int(rng.integers(8))
        if kind == 1: del b[at:at+n]
        if kind == 2: b[at:at+int(rng.integers(0, 12))] = WORDS[rng.integers(len(WORDS))]
        if kind == 3: b[at:at] = b[at:at+n]*int(rng.integers(1, 30))
        if kind == 4 and rng.random() < .2: del b[at:]
        if kind == 5: b[at:at+n] = rng.bytes(n)
    return bytes(b)

# Readers: a healthy file, and what reads it

@cache
def songs():
    from songsep.synth.toy import toy_dataset
    return toy_dataset(Path(tempfile.mkdtemp())/'toy', n_tracks=1, seconds=1, sr=8000)

def config():
    from songsep.core import Config
    return Config(sr=8000, segment=.5, n_fft=256, hop_length=128)

def recipe(path):
    from songsep.recipes import load_recipe
    if path is None: return '.yaml', b'Mixing key: inst_class\nRecipes:\n  drums: [Drums]\n  rest:\n    - Bass\n    - Piano\nNames:\n  drums: [S01, kick]\n'
    load_recipe(path)

def metadata(path):
    from songsep.stems import find_tracks
    track = next(songs().rglob('metadata.yaml')).parent
    if path is None: return '.yaml', (track/'metadata.yaml').read_bytes()
    root = path.parent/'dataset'
    shutil.copytree(track, root/'Track00001', dirs_exist_ok=True)
    shutil.copy(path, root/'Track00001'/'metadata.yaml')
    find_tracks(root)

def table(path):
    from songsep.stems import find_tracks
    track = next(songs().rglob('metadata.yaml')).parent/'stems'
    if path is None: return '.csv', ('song,stem,path,split\n' + ''.join(f'a,{o.stem},{o.name},train\n' for o in sorted(track.iterdir()))).encode()
    for o in track.iterdir(): shutil.copy(o, path.parent/o.name)
    find_tracks(path)

def description(path):
    from songsep import models
    from songsep.folder import read_spec
    from songsep.models import find_model
    folder = find_model('drums')
    if path is None: return '.json', (folder/'model.json').read_bytes()
    target = path.parent/'model'
    target.mkdir(exist_ok=True)
    shutil.copy(path, target/'model.json')
    read_spec(target)

def store(path):
    from songsep.prepare import prepare
    from songsep.recipes import load_recipe
    from songsep.stems import find_tracks
    from songsep.store import SpectrogramStore, verify
    if path is None:
        made = Path(tempfile.mkdtemp())/'x.h5'
        with SpectrogramStore.create(made, config(), load_recipe('drums')) as s: prepare(s, find_tracks(songs()), say=lambda s: None, n_jobs=1)
        return '.h5', made.read_bytes()
    with SpectrogramStore(path) as s:
        for t in s:
            for k in s[t]: s[t][k][0]
    verify(path)

def dictionary(path):
    from songsep.preprocessing import load_audio_dict, save_audio_dict
    from songsep.recipes import load_recipe
    from songsep.stems import find_tracks
    if path is None:
        made = Path(tempfile.mkdtemp())/'x.npy'
        save_audio_dict(made, find_tracks(songs()), load_recipe('drums'), config())
        return '.npy', made.read_bytes()
    load_audio_dict(path)['mix'][0].sum()

def receipt(path):
    from songsep.console import result_page
    import soundfile as sf
    if path is None: return '.json', json.dumps(dict(song='a.wav', sr=8000, gain=1., samples=800, files=dict(drums='drums.wav', rest='rest.wav'))).encode()
    for o in ('drums', 'rest'): sf.write(path.parent/f'{o}.wav', np.zeros(800), 8000)
    result_page(path)

def graph(path):
    from songsep.graphs import graph_shapes
    from songsep.models import find_model
    if path is None: return '.onnx', (find_model('drums')/'model.onnx').read_bytes()
    graph_shapes(path)

def midi(path):
    from songsep.synth.midi import read_midi
    import mido
    if path is None:
        song, made = mido.MidiFile(), Path(tempfile.mkdtemp())/'x.mid'
        song.tracks.append(mido.MidiTrack([mido.Message('note_on', note=60, time=0), mido.Message('note_off', note=60, time=480), mido.MetaMessage('set_tempo', tempo=400000)]))
        song.save(made)
        return '.mid', made.read_bytes()
    read_midi(path)

def history(path):
    from songsep.app import read_history
    if path is None:
        made = Path(tempfile.mkdtemp())/'training.npz'
        np.savez(made, about=json.dumps(dict(history=dict(loss=[1., .5]), settings=dict(epochs=2))))
        return '.npz', made.read_bytes()
    (path.parent/'m').mkdir(exist_ok=True)
    shutil.copy(path, path.parent/'m'/'training.npz')
    read_history(path.parent/'m')

def kit(path):
    from songsep.synth.samplers import DrumKit
    if path is None:
        layer = '<layer><min>0</min><max>1</max><gain>1</gain><filename>a.wav</filename></layer>'
        drums = ''.join(f'<instrument><name>{o}</name>{layer}</instrument>' for o in ('Kick', 'Snare', 'Closed Hat'))
        return '.xml', f'<?xml version="1.0"?><drumkit_info><instrumentList>{drums}</instrumentList></drumkit_info>'.encode()
    (path.parent/'a.wav').touch()
    shutil.copy(path, path.parent/'drumkit.xml')
    DrumKit(path.parent)

def split(path):
    from songsep.check import splits_of
    from songsep.stems import Track
    tracks = [Track(f'Track0000{i}', Path('x'), ()) for i in range(1, 4)]
    if path is None: return '.json', json.dumps({o.name: dict(action='move', source_split='train', destination_split='test') for o in tracks}).encode()
    splits_of(tracks, path)

def names(path):
    "The names of streams in a stem.mp4"
    from songsep.stems import _stream_names
    box = lambda name, body: (len(body) + 8).to_bytes(4, 'big') + name + body
    said = json.dumps({'stems': [{'name': o} for o in ('Drums', 'Bass', 'Synth', 'Vox')]}).encode()
    if path is None: return '.stem.mp4', box(b'ftyp', b'isom') + box(b'moov', box(b'udta', box(b'stem', said)))
    _stream_names(path, 4)

def archive(path):
    "What is fetched, packed"
    from songsep.pull import unpack_checkpoint
    if path is None:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode='w') as t:
            for o in ('checkpoint', 'model.index', 'model.data-00000-of-00001'):
                (info := tarfile.TarInfo(f'2stems/{o}')).size = 300
                t.addfile(info, io.BytesIO(bytes(300)))
        return '.tar', packed.getvalue()
    (path.parent/'out').mkdir(exist_ok=True)
    unpack_checkpoint(path, path.parent/'out')
    if {o.name for o in path.parent.iterdir()} - {path.name, 'out'}: raise RuntimeError('something left the folder')

def wheel(path):
    "The same in a zip"
    if path is None:
        with zipfile.ZipFile(packed := io.BytesIO(), 'w', zipfile.ZIP_DEFLATED) as z:
            for o in ('checkpoint', 'model.index', 'model.data-00000-of-00001'): z.writestr(f'2stems/{o}', bytes(300))
        return '.zip', packed.getvalue()
    archive(path)

# Checkpoints of others; the network is made once

@cache
def networks():
    from songsep import checkpoints
    checkpoints.build_model = cache_by_shape(checkpoints.build_model)
    return checkpoints

def cache_by_shape(build):
    made = {}
    def built(spec):
        key = spec.architecture, len(spec.targets), repr(sorted(spec.arguments.items())), repr(spec.config)
        if key not in made: made[key] = build(spec)
        return made[key]
    return built

def original(path):
    if path is None:
        import h5py
        from songsep.folder import ModelSpec
        c, made = networks(), Path(tempfile.mkdtemp())/'x.h5'
        spec = ModelSpec('original', ['drums', 'accompaniments'], c.ORIGINAL, 'unet', {'scale': 'db', 'centred': True})
        c.save_original(made, c.build_model(spec), spec)
        with h5py.File(made) as a, h5py.File(small := made.with_name('small.h5'), 'w') as b: # zeros take little room
            for k,v in a.attrs.items(): b.attrs[k] = v
            def copied(name, o):
                if isinstance(o, h5py.Dataset): b.create_dataset(name, data=np.zeros(o.shape, o.dtype), compression='gzip', chunks=True)
                else: b.require_group(name).attrs.update(o.attrs)
            a.visititems(copied)
        return '.h5', small.read_bytes()
    networks().load_original(path)

@cache
def spleeter_folder():
    import tensorflow as tf
    folder, arrays = Path(tempfile.mkdtemp()), {}
    filters, numbered = (16, 32, 64, 128, 256, 512), lambda kind, i: f'{kind}_{i}' if i else kind
    for s in range(2):
        down = [(5, 5, a, b) for a,b in zip((2, *filters[:-1]), filters)] + [(4, 4, 1, 2)]
        up = [(5, 5, b, a) for a,b in zip((512, 512, 256, 128, 64, 32), (*filters[-2::-1], 1))]
        for j,shape in enumerate(down): arrays |= {f"{numbered('conv2d', 7*s+j)}/{k}": o for k,o in (('kernel', shape), ('bias', shape[3:]))}
        for j,shape in enumerate(up):
            arrays |= {f"{numbered('conv2d_transpose', 6*s+j)}/{k}": o for k,o in (('kernel', shape), ('bias', shape[2:3]))}
        for j,n in enumerate((*filters, *filters[-2::-1], 1)):
            arrays |= {f"{numbered('batch_normalization', 12*s+j)}/{k}": (n,) for k in ('gamma', 'beta', 'moving_mean', 'moving_variance')}
    tensors = [tf.fill(o, np.float32(.01)) for o in arrays.values()]
    tf.raw_ops.SaveV2(prefix=str(folder/'model'), tensor_names=list(arrays), shape_and_slices=['']*len(arrays), tensors=tensors)
    return folder

def spleeter(path):
    "The index of a TensorFlow checkpoint, beside its data"
    if path is None: return '.index', (spleeter_folder()/'model.index').read_bytes()
    data = path.with_name(f'{path.stem}.data-00000-of-00001')
    if not data.exists(): data.symlink_to(spleeter_folder()/'model.data-00000-of-00001')
    networks().load_spleeter(path.parent)

@cache
def small_demucs():
    import torch
    from fractions import Fraction
    from demucs.htdemucs import HTDemucs
    torch.manual_seed(0)
    return HTDemucs(['drums', 'rest'], channels=4, depth=2, t_layers=1, t_heads=1, nfft=512, segment=Fraction(1))

def pickled(path):
    "A checkpoint of Demucs, `.th`"
    import torch
    if path is None:
        net, packed = small_demucs(), io.BytesIO()
        args, kwargs = net._init_args_kwargs
        torch.save(dict(klass=type(net), args=args, kwargs=kwargs, state=net.state_dict()), packed)
        return '.th', packed.getvalue()
    from songsep.demucs import load_demucs
    load_demucs(path)

def tensors(path):
    "The same, `.safetensors`"
    if path is None:
        from safetensors.torch import save
        net = small_demucs()
        args, kwargs = net._init_args_kwargs
        said = json.dumps(kwargs, default=lambda f: dict(_type='fraction', numerator=f.numerator, denominator=f.denominator))
        about = dict(klass='demucs.htdemucs.HTDemucs', args=json.dumps(args), kwargs=said)
        return '.safetensors', save({k: v.contiguous() for k,v in net.state_dict().items()}, about)
    pickled(path)

# Weights, and graphs that name other files

@cache
def small_model():
    "A model folder with a small network"
    from songsep.folder import ModelSpec, build_model, save_model
    spec = ModelSpec('small', ['drums', 'rest'], config(), 'strided_unet', arguments=dict(filters=(4, 8, 8)))
    save_model(folder := Path(tempfile.mkdtemp())/'small', build_model(spec), spec)
    return folder

def weights(path):
    "`model.weights.h5`; the description has the checksum of what is there, as a stranger's would"
    from songsep import folder as module
    from songsep.core import sha256
    if path is None: return '.h5', (small_model()/'model.weights.h5').read_bytes()
    if not hasattr(module.build_model, 'made'): # the network is made once
        module.build_model = cache_by_shape(module.build_model)
        module.build_model.made = True
    shutil.copytree(small_model(), target := path.parent/'small', dirs_exist_ok=True)
    shutil.copy(path, target/'model.weights.h5')
    said = json.loads((target/'model.json').read_text())
    (target/'model.json').write_text(json.dumps(said | dict(weights_sha256=sha256(path))))
    module.load_model(target)

def external(path):
    "A graph whose weights lie in another file, which its description leads to; it runs beside a secret and a file of weights"
    from onnx import TensorProto, helper
    from songsep.core import Config
    from songsep.engines import checksum
    from songsep.folder import ModelSpec, write_spec
    from songsep.models import open_model
    if path is None:
        info = lambda name, n: helper.make_tensor_value_info(name, TensorProto.FLOAT, ('n', 129, 32, n))
        halves = TensorProto(name='halves', data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
        for k,v in dict(location='weights.bin', offset='0', length='8').items(): halves.external_data.add(key=k, value=v)
        nodes = [helper.make_node('Mul', ['x', 'halves'], ['y'])]
        graph = helper.make_graph(nodes, 'halver', [info('x', 1)], [info('y', 2)], [halves])
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=9).SerializeToString()
        other = made.replace(b'weights.bin', b'../x/secret') # as long
        return '.onnx', [made, other, made.replace(b'weights.bin', b'/etc/passwd')]
    (target := path.parent/'halver').mkdir(exist_ok=True)
    (path.parent/'x').mkdir(exist_ok=True)
    for o,value in ((path.parent/'x'/'secret', .25), (target/'weights.bin', .5)): o.write_bytes(np.float32([value]*2).tobytes())
    shutil.copy(path, target/'model.onnx')
    sums = dict(weights_sha256='0'*64, onnx_crc32=checksum(target/'model.onnx'))
    write_spec(target, ModelSpec('halver', ['drums', 'rest'], Config(8000, .5, 256, 128), 'graph', **sums))
    said = np.asarray(open_model(target).forward(np.ones((1, 129, 32, 1), 'float32')))
    if said.ravel()[0] == .25: raise RuntimeError('a file outside the model folder was read')

# What a browser sends

@cache
def site():
    from songsep.server import Site, make_app
    s = Site(tempfile.mkdtemp(), (songs(),), upload_mb=1)
    s.start = lambda visitor, job, work, pool=None: None # nothing is computed
    return make_app(s), f'{s.cookie}={s.welcome()}'.encode()

def request(path):
    "A request to the app: a line of method, address and headers, a body in as many parts as there are lines"
    if path is None: return '.http', REQUESTS
    line, *body = path.read_bytes().split(b'\n')
    method, address, *headers = line.split(b' ') + [b'']*(line.count(b' ') < 1)
    app, cookie = site()
    address, _, query = address.partition(b'?')
    headers = [(b'host', b'127.0.0.1'), (b'cookie', cookie), *(tuple(o.split(b':', 1)) for o in headers if o.count(b':'))]
    scope = dict(type='http', http_version='1.1', method=method.decode('latin-1') or 'GET', path=unquote(address.decode('latin-1')),
                 raw_path=address, query_string=query, root_path='', scheme='http', headers=headers, server=('127.0.0.1', 80))
    parts = [o + b'\n' for o in body[:-1]] + body[-1:]
    status = asyncio.run(answered(app, scope, parts))
    if status >= 500: raise RuntimeError(f'the answer is {status}')
    from songsep.core import SongsepError
    if status >= 400: raise SongsepError(f'{status}')

async def answered(app, scope, parts):
    "The status of an answer; the browser goes away when it has said all"
    said = []
    async def receive(): return dict(type='http.request', body=parts.pop(0), more_body=bool(parts)) if parts else dict(type='http.disconnect')
    async def send(message): said.append(message)
    await app(scope, receive, send)
    return said[0]['status']

def sound():
    "A short song"
    import soundfile as sf
    sf.write(packed := io.BytesIO(), np.zeros(800), 8000, format='WAV')
    return packed.getvalue()

REQUESTS = [b'PUT /songs?name=a.wav content-length:1644\n' + sound(), b'PUT /songs?name=caf%C3%A9.wav content-length:9\nno sound',
    b'POST /separate\n{"song": "a.wav", "model": "drums", "format": "wav"}', b'POST /remove\n{"song": "a.wav"}', b'POST /remove\n{"number": 1}',
    b'POST /fetch\n{"model": "spleeter-2stems"}', b'POST /cancel\n{}', b'GET /page\n', b'GET /news\n', b'GET /instruments?dataset=toy&key=inst_class\n',
    b'POST /measure\n{"dataset": "toy", "key": "inst_class", "name": "mine", "targets": {"drums": ["Drums"]}}', b'GET /results/1/stem?stem=drums\n',
    b'GET /results/1/mix?drums=0.5\n', b'GET /training?model=a&width=900\n', b'GET /assets/console.css\n', b'POST /listen\n{"model": "a", "song": "b"}']

READERS = {o.__name__: o for o in (recipe, metadata, table, description, store, dictionary, receipt, graph, midi, history, kit, split, names,
                                   archive, wheel, original, spleeter, pickled, tensors, weights, external, request)}
NEEDS = dict(store='h5py', dictionary='h5py', original='keras', spleeter='keras', pickled='demucs', tensors='demucs', weights='keras', external='onnx',
             request='starlette')

def fuzz(name, seconds, seed=0, keep=None, most=None):
    "Change a reader's file again and again: how many were read, how many refused, and what failed"
    from songsep.core import SongsepError
    read, rng, counts = READERS[name], np.random.default_rng(seed), dict(read=0, refused=0)
    suffix, healthy = read(None)
    healthy = healthy if isinstance(healthy, list) else [healthy]
    failed = []
    with tempfile.TemporaryDirectory() as d, warnings.catch_warnings():
        warnings.simplefilter('ignore')
        (path := Path(d)/f'x{suffix}').write_bytes(healthy[0])
        read(path) # which also loads what takes seconds to load
        end = time.time() + seconds
        while time.time() < end and (most is None or sum(counts.values()) < most):
            path.write_bytes(changed(healthy[rng.integers(len(healthy))], rng))
            try:
                read(path)
                counts['read'] += 1
            except SongsepError as e:
                counts['refused'] += 1
                if '\n' in str(e) or len(str(e)) > 700: failed.append((f'no clear sentence: {e!r}', path.read_bytes()))
            except Exception as e: failed.append((f'{type(e).__name__}: {e}'[:200] + ' | ' + ' < '.join(f'{o.name}:{o.lineno}' for o in traceback.extract_tb(e.__traceback__)[:0:-1][:4]), path.read_bytes()))
            if len(failed) >= 5: break
    for i,(_,b) in enumerate(failed if keep else ()):
        Path(keep).mkdir(parents=True, exist_ok=True)
        (Path(keep)/f'{name}-{seed}-{i}{suffix}').write_bytes(b)
    return counts, failed

def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument('readers', nargs='*', choices=[*READERS, []], default=[])
    args.add_argument('--seconds', type=float, default=60)
    args.add_argument('--seed', type=int, default=0)
    args.add_argument('--keep', default='fuzz-failed')
    a, bad = args.parse_args(), 0
    for name in a.readers or READERS:
        if not find_spec(NEEDS.get(name, 'json')):
            print(name, f'is left out: it needs {NEEDS[name]}')
            continue
        counts, failed = fuzz(name, a.seconds, a.seed, a.keep)
        bad += len(failed)
        print(name, json.dumps(counts), f'{len(failed)} failed', *[f'\n  {o}' for o,_ in failed], flush=True)
    sys.exit(bool(bad))

if __name__ == '__main__': main()
