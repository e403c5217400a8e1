"Checkpoints of HTDemucs: read as data, and separated as Demucs' own code does. Runs where `demucs` is installed."
import json, sys
from fractions import Fraction
from pathlib import Path
import numpy as np, onnx, pytest
torch = pytest.importorskip('torch')
pytest.importorskip('demucs.htdemucs')
from dataclasses import replace
from demucs.apply import apply_model
from demucs.htdemucs import HTDemucs
from songsep.core import SongsepError
from songsep.demucs import load_demucs
from songsep.folder import read_spec
from songsep.models import open_model
from songsep.pull import import_model
from songsep.separation import separate_blocks

SMALL = dict(channels=8, depth=4, t_layers=2, t_heads=2, segment=Fraction(1))

def network(sources, **other):
    "Random weights, and every scale and shift a random one"
    torch.manual_seed(0)
    net = HTDemucs(sources, **SMALL | other).eval()
    with torch.no_grad():
        for p in net.parameters():
            if p.ndim == 1: p += .2*torch.randn(p.shape)
    return net

def package(net, **other):
    args, kwargs = net._init_args_kwargs
    return dict(klass=type(net), args=args, kwargs=kwargs, state=net.state_dict(), training_args={}) | other

def save_safetensors(net, path):
    from safetensors.torch import save_file
    args, kwargs = net._init_args_kwargs
    said = json.dumps(kwargs, default=lambda f: dict(_type='fraction', numerator=f.numerator, denominator=f.denominator))
    save_file({k: v.contiguous() for k,v in net.state_dict().items()}, path, dict(klass='demucs.htdemucs.HTDemucs', args=json.dumps(args), kwargs=said))

@pytest.mark.parametrize('sources', [['drums', 'bass', 'other', 'vocals'], ['drums', 'bass', 'other', 'vocals', 'guitar', 'piano']], ids=len)
def test_the_same_stems_as_demucs(tmp_path, sources):
    net = network(sources)
    torch.save(package(net), tmp_path/'mine.th')
    model = open_model(import_model(tmp_path/'mine.th', tmp_path/'models'))
    model = replace(model, spec=replace(model.spec, takes_rest='left')) # all of its own stems, and what they leave
    y = np.random.default_rng(0).normal(size=(2, 3*44100 + 777)).astype('float32')*np.float32(.1)
    want = apply_model(net, torch.from_numpy(y)[None], shifts=0, overlap=.25)[0].numpy()
    got = np.concatenate([*separate_blocks([y], 44100, model)], -1)
    assert model.targets == sources and got.shape == (len(sources)+1, *y.shape)
    assert np.abs(got[:-1] - want).max() < 1e-4*np.abs(want).max()
    kinds = [n.op_type for n in onnx.load(model.folder/'model.onnx').graph.node]
    assert kinds.count('MultiHeadAttention') == 2*SMALL['t_layers'] and 'Softmax' not in kinds and kinds.count('BatchNormalization') > 30

def test_both_formats_hold_the_same(tmp_path):
    net = network(['drums', 'rest'])
    torch.save(package(net), tmp_path/'a.th')
    save_safetensors(net, tmp_path/'b.safetensors')
    for path in (tmp_path/'a.th', tmp_path/'b.safetensors'):
        found = load_demucs(path)
        assert found.sources == ['drums', 'rest'] and all(torch.equal(a, b) for a,b in zip(found.state_dict().values(), net.state_dict().values()))

def test_the_licence_comes_with_what_meta_published(tmp_path):
    net = network(['drums', 'rest'], t_layers=0)
    torch.save(package(net), tmp_path/'955717e8-8726e21a.th')
    spec = read_spec(import_model(tmp_path/'955717e8-8726e21a.th', tmp_path/'models', 'ht'))
    assert 'research use only' in spec.licence and spec.imported['from'] == 'a checkpoint of Demucs'

ran = []
class Evil:
    def __reduce__(self): return ran.append, (1,)
class Quiet: pass

def refused(path, says):
    with pytest.raises(SongsepError, match=says): load_demucs(path)

@pytest.mark.parametrize('bad', [Evil(), dict(klass=Evil()), dict(klass=eval), dict(klass=HTDemucs, state=Quiet()), dict(state=sys.exit)],
                         ids=['call', 'nested call', 'function', 'class', 'exit'])
def test_a_pickle_runs_nothing(tmp_path, bad):
    torch.save(bad, tmp_path/'bad.th')
    refused(tmp_path/'bad.th', 'is not read')
    assert not ran

def test_what_is_no_checkpoint_is_a_sentence(tmp_path):
    net, path = network(['a', 'b'], t_layers=0), tmp_path/'bad.th'
    path.write_bytes(b'nothing of the kind')
    refused(path, 'no checkpoint of PyTorch')
    (tmp_path/'bad.safetensors').write_bytes(b'neither')
    refused(tmp_path/'bad.safetensors', 'no model as Demucs')
    for what,says in (([1, 2], 'does not say which'), (dict(klass='HDemucs'), 'holds HDemucs'), (package(net, state=3), 'lacks state'),
                      (package(net, state=net.state_dict() | dict(__quantized=True)), 'quantised'), (package(net, state={}), 'do not fit'),
                      (package(net, kwargs=dict(channels='many')), 'do not fit'), (package(network(['a', 'b'], t_layers=0, samplerate=48000)), 'of another kind')):
        torch.save(what, path)
        refused(path, says)
