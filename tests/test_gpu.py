"What goes to a machine with a GPU and no network: tools/gpu.py."
import json, runpy, subprocess, sys, tarfile
from pathlib import Path
import numpy as np, pytest, soundfile as sf
from songsep.synth.midi import Part, toy_midi
from songsep.synth.samplers import DrumKit, SoundFont, find_soundfonts

TOOLS = Path(__file__).resolve().parent.parent/'tools'

@pytest.fixture(scope='module', autouse=True)
def beside():
    "Scripts import each other"
    sys.path.insert(0, str(TOOLS))
    yield
    sys.path.remove(str(TOOLS))

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

def test_a_packed_soundfont_is_smaller_and_sounds_the_same(gpu, tmp_path):
    "PCM becomes Ogg, and its loops are counted from another place"
    from fonts import pack_font
    font = next((o for o in find_soundfonts() if o.suffix == '.sf2' and o.stat().st_size < 10<<20), None)
    if font is None: pytest.skip('no small sf2 on this machine')
    pack_font(font, tmp_path/'packed.sf3', worse=.6)
    assert (tmp_path/'packed.sf3').stat().st_size < .7*font.stat().st_size
    for program,key in ((0, 60), (33, 36), (81, 72)): # the last is a loop of a few samples
        a, b = (SoundFont(o).tone(Part(program, ()), key, 100, .5)[0] for o in (font, tmp_path/'packed.sf3'))
        n = min(len(a), len(b), 20000)
        assert np.corrcoef(a[:n], b[:n])[0, 1] > .9

def test_weights_go_to_pytorch_and_back():
    from networks import BINS, FRAMES, keras_numbers, set_weights
    from songsep.unet import tfc_tdf_unet
    a, b = (tfc_tdf_unet(BINS, FRAMES, 2, filters=3, levels=2) for _ in range(2))
    S = np.random.default_rng(0).random((1, BINS, FRAMES, 1), 'float32')
    set_weights(b, keras_numbers(a, 2), 2)
    np.testing.assert_array_equal(a(S), b(S))

def test_the_network_of_pytorch_is_ours():
    torch = pytest.importorskip('torch')
    from networks import BINS, FRAMES, set_weights, torch_net, torch_weights
    from songsep.unet import tfc_tdf_unet
    for output,n in (('mask', 2), ('shares', 5)):
        net, ours = torch_net(4, 3, n, output), tfc_tdf_unet(BINS, FRAMES, n, filters=4, levels=3, output=output)
        numbers = [torch.rand_like(w) - .1*(w.ndim > 1) for w in torch_weights(net)]
        with torch.no_grad():
            for w,v in zip(torch_weights(net), numbers): w.copy_(v)
        set_weights(ours, [v.numpy() for v in numbers], 3)
        S = torch.rand(1, BINS, FRAMES)
        with torch.no_grad(): masked = net.eval()(S)*S[:, None]
        np.testing.assert_allclose(masked.permute(0, 2, 3, 1).numpy(), ours(S.numpy()[..., None]), atol=1e-4)

def test_examples_come_from_where_a_role_sounds():
    torch = pytest.importorskip('torch')
    from device import LENGTH, ROLES, Pool, Studio, draw_kits, draw_songs
    rows = np.zeros((len(ROLES), 8*LENGTH), 'int16')
    rng = np.random.default_rng(0)
    for k in range(len(ROLES)): rows[k, k%3*LENGTH:(k%3 + 4)*LENGTH] = rng.integers(-9999, 9999, 4*LENGTH)
    pool, studio = Pool(torch, 'cpu', .03), Studio(torch, 'cpu')
    for kind in ('song', 'drummer', 'machine'): assert pool.add(rows[:, :5*LENGTH + 7], kind)
    assert pool.add(rows, 'recorded') and not pool.add(np.tile(rows, (1, 30)), 'song')
    pool.refresh()
    start = pool.draw('bass', dict(song=1.), 4)
    sound, ones = pool.read('bass', start, torch.ones(4)), torch.ones(4)
    whole = pool.flat.view(len(ROLES), -1)[ROLES.index('bass')]
    assert torch.equal(sound[1], whole[start[1]:start[1]+LENGTH]/32768) and (sound.square().mean(1) > 1e-3*ones).all()
    for draw in (draw_songs, draw_kits):
        D = draw(pool, studio, 2)
        assert D.shape[:2] == (2, 5) and D.isfinite().all() and D.sum(1).abs().max() > 1

def test_the_loss_counts_decibels():
    torch = pytest.importorskip('torch')
    from device import snr_loss
    D = torch.randn(2, 2, 8, 8, dtype=torch.complex64)
    D[:, 1] = 0
    X, masks = D.sum(1), torch.tensor([1., 0.])[None, :, None, None].expand(2, 2, 8, 8)
    parts = lambda m: snr_loss(m, X, D).item()
    assert abs(parts(masks) + 1) < .05 # one whole: at the floor of 20 dB; one silent that is left empty: 0 dB
    assert abs(parts(masks*.8) + .65) < .05 # a fifth of the amplitude is missing: 14 dB, near the floor
    assert parts(masks + .5) > 0 # what is silent gets a sound

BARE = """
import importlib.abc, sys
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in ABSENT: raise ModuleNotFoundError(f'No module named {name!r}', name=name)
sys.meta_path.insert(0, Absent())
from pathlib import Path
import device
device.HERE, work = Path(sys.argv[1]), Path(sys.argv[2])
device.play_song(0, 'machine', sys.argv[3], work, 1)
import numpy as np
assert np.load(work/'ready/machine-00000.npy').any()
"""

def test_songs_are_played_with_what_is_there(data, tmp_path):
    "Neither FFmpeg nor Keras, librosa or HDF5 are installed there"
    font = min((o for o in find_soundfonts() if o.suffix in ('.sf2', '.sf3')), key=lambda o: o.stat().st_size, default=None)
    if font is None: pytest.skip('no soundfont on this machine')
    absent = {'av', 'keras', 'tensorflow', 'librosa', 'h5py', 'onnxruntime', 'matplotlib', 'pydantic', 'typer'}
    (tmp_path/'here/kits').mkdir(parents=True)
    (tmp_path/'here/kits/electronic').symlink_to(data/'kits')
    for o in ('fonts', 'plates', 'kits/recorded'): (tmp_path/'here'/o).mkdir()
    (tmp_path/'here/fonts/all.sf3').symlink_to(font)
    for o in ('ready', 'played', 'machines'): (tmp_path/o).mkdir()
    drums = tmp_path/'drums.mid'
    toy_midi(drums, 0)
    args = [sys.executable, '-c', BARE.replace('ABSENT', repr(absent)), tmp_path/'here', tmp_path, drums]
    done = subprocess.run(list(map(str, args)), cwd=TOOLS, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
