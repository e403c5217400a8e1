"""Everything that reads a stranger's file is given thousands of changed ones: each is read, or refused in one sentence.

    python tests/torture/fuzz.py                      # 60 seconds for each reader
    python tests/torture/fuzz.py recipe store --seconds 600 --seed 3 --keep failed

Bytes are flipped, cut, doubled, moved, and replaced by words that such files know. Files that fail are kept, and become tests.
"""
import argparse, json, shutil, sys, tempfile, time, traceback, warnings
from functools import cache
from pathlib import Path
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

READERS = dict(recipe=recipe, metadata=metadata, table=table, description=description, store=store, dictionary=dictionary, receipt=receipt, graph=graph, midi=midi, history=history)

def fuzz(name, seconds, seed=0, keep=None, most=None):
    "Change a reader's file again and again: how many were read, how many refused, and what failed"
    from songsep.core import SongsepError
    read, rng, counts = READERS[name], np.random.default_rng(seed), dict(read=0, refused=0)
    suffix, healthy = read(None)
    failed, end = [], time.time() + seconds
    with tempfile.TemporaryDirectory() as d, warnings.catch_warnings():
        warnings.simplefilter('ignore')
        while time.time() < end and (most is None or sum(counts.values()) < most):
            path = Path(d)/f'x{suffix}'
            path.write_bytes(changed(healthy, rng))
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
        counts, failed = fuzz(name, a.seconds, a.seed, a.keep)
        bad += len(failed)
        print(name, json.dumps(counts), f'{len(failed)} failed', *[f'\n  {o}' for o,_ in failed], flush=True)
    sys.exit(bool(bad))

if __name__ == '__main__': main()
