"What goes to a machine with a GPU and no network: tools/gpu.py."
import json, runpy, tarfile, threading
from pathlib import Path
import numpy as np, pytest, soundfile as sf
from songsep.synth.midi import Part, toy_midi
from songsep.synth.samplers import DrumKit

TOOLS = Path(__file__).resolve().parent.parent/'tools'

@pytest.fixture(scope='module')
def gpu(): return runpy.run_path(str(TOOLS/'gpu.py'))

@pytest.fixture(scope='module')
def data(tmp_path_factory):
    "A little of everything that is packed"
    root = tmp_path_factory.mktemp('data')
    runpy.run_path(str(TOOLS/'machines.py'))['machine'](root/'kits'/'one', 0)
    for name in ('midi/freedoom/a.mid', 'midi/openmsx/tests.mid', 'drum_midi/b.mid'):
        (root/name).parent.mkdir(parents=True, exist_ok=True)
        toy_midi(root/name, 0)
    about = dict(file='b.mid', split='train', kind='beat', seconds=20)
    (root/'drum_midi/index.json').write_text(json.dumps([about, about | dict(split='test', file='c.mid')]))
    (root/'cc0_stems/sodium').mkdir(parents=True)
    noise = .1*np.random.default_rng(0).standard_normal((44100, 2))
    sf.write(root/'cc0_stems/sodium/drums.ogg', noise, 44100)
    return root

def test_packed_sounds_are_counted_and_fit(gpu, data, tmp_path):
    taken, left_out = gpu['pack_sounds'](data, tmp_path, 1<<20, Path('/nowhere'))
    assert set(taken) == {'midi.tar.xz', 'drummers.tar.xz', 'kits/recorded/one', 'songs/sodium/drums.ogg'}
    assert sum(taken.values()) == sum(o.stat().st_size for o in tmp_path.rglob('*') if o.is_file())
    assert any('sf_GMbank' in o and 'missing' in o for o in left_out)
    with tarfile.open(tmp_path/'midi.tar.xz') as tar: assert tar.getnames() == ['freedoom/a.mid'] # what tests stays here
    with tarfile.open(tmp_path/'drummers.tar.xz') as tar: assert tar.getnames() == ['b.mid']
    i = sf.info(tmp_path/'songs/sodium/drums.ogg')
    assert (i.samplerate, i.channels, i.format) == (24000, 1, 'OGG') and abs(i.duration - 1) < .01

def test_a_packed_kit_plays_the_same_drums(gpu, data, tmp_path):
    gpu['pack_kit'](data/'kits/one', tmp_path/'one')
    before, after, drums = DrumKit(data/'kits/one'), DrumKit(tmp_path/'one'), Part(128, ())
    assert after.keys.keys() == before.keys.keys()
    (a, *_), (b, *_) = (o.tone(drums, 36, 100, 1) for o in (before, after))
    assert np.corrcoef(a[:len(b)], b[:len(a)])[0, 1] > .95

def test_what_has_no_room_stays_here(gpu, data, tmp_path):
    taken, left_out = gpu['pack_sounds'](data, tmp_path, 2000, Path('/nowhere'))
    assert 'kits/recorded/one' not in taken and not (tmp_path/'kits/recorded/one').exists()
    assert any('more than there is room for' in o for o in left_out)

def test_weights_are_brought_home_whole(gpu, tmp_path):
    "Weights and description are written one after the other; a pair that does not agree is not copied"
    from hashlib import sha256
    folder, out, stop = tmp_path/'model', tmp_path/'out', threading.Event()
    folder.mkdir()
    (folder/'model.weights.h5').write_bytes(b'new')
    (folder/'model.json').write_text(json.dumps(dict(weights_sha256=sha256(b'old').hexdigest())))
    stop.set()
    gpu['keep_copying'](folder, out, stop)
    assert not out.exists()
    (folder/'model.json').write_text(json.dumps(dict(weights_sha256=sha256(b'new').hexdigest())))
    gpu['keep_copying'](folder, out, stop)
    assert gpu['whole'](out)
