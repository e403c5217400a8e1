"The tutorials: each runs in minutes, and goes on where it was when its session is cut off. A folder stands in for Drive."
import ast, json, os, re, sys
from collections import Counter
from contextlib import contextmanager
from hashlib import sha256
from importlib import import_module
from pathlib import Path
import pytest
from execnb.nbio import read_nb
from execnb.shell import CaptureShell
from fastcore.xtras import working_directory
from songsep.stems import Track
from songsep.store import SpectrogramStore
from songsep.training import Checkpoint

ROOT = Path(__file__).resolve().parent.parent
TUTORIALS = sorted((ROOT/'nbs'/'tutorials').glob('*.ipynb'))
SECONDS = 120 # that a tutorial may take
NEEDS = {'03_midi': ['mido', 'pygame', 'pedalboard'], '06_kit': ['mido', 'pygame', 'pedalboard'], '05_cluster': ['distributed']}
RESULTS = {'00_original': ['history'], '00_separate': ['done', 'backing'], '01_colab': ['history', 'receipt'], '02_recipe': ['report', 'history', 'receipt', 'scores'],
           '03_midi': ['tracks'], '04_spleeter': ['done'], '05_cluster': ['done'], '06_kit': ['history', 'receipt', 'practice']} # variables that hold what came of it
WORK = {'00_original': (Checkpoint, 'on_epoch_end', 2), '00_separate': ('songs', 'write_json', 2), '01_colab': (Checkpoint, 'on_epoch_end', 8), '02_recipe': (Checkpoint, 'on_epoch_end', 8),
        '03_midi': ('synth.corpus', 'synth_track', 4), '04_spleeter': ('pull', 'import_model', 1), '05_cluster': (SpectrogramStore, 'take', 4), '06_kit': (Checkpoint, 'on_epoch_end', 8)} # what does the work, and how many times

sys.path.insert(0, str(ROOT/'tools'))
from drive import PAGES, fill
from run_notebooks import skipped

NARROW = dict(filters=(2, 4, 4, 8), bottleneck=8) # of the original network; its full size runs with the other pages

@pytest.fixture(scope='module', autouse=True)
def narrow():
    from songsep import pipeline
    with pytest.MonkeyPatch.context() as m:
        m.setattr(pipeline, 'ORIGINAL_NETWORK', pipeline.ORIGINAL_NETWORK | NARROW)
        yield

class Cut(BaseException): "The session is gone"

@contextmanager
def counted(stem, cut_after=None):
    "Count how often the work is done; after so many times the session is cut off"
    where, name, _ = WORK[stem]
    owner, n = import_module(f'songsep.{where}') if isinstance(where, str) else where, Counter()
    work = getattr(owner, name)
    def counting(*args, **kw):
        res = work(*args, **kw)
        n['done'] += 1
        if n['done'] == cut_after: raise Cut
        return res
    with pytest.MonkeyPatch.context() as m:
        m.setattr(owner, name, counting)
        yield n

def run(path, root):
    "Run a notebook as a new session whose Drive is `root`: its variables, and what it printed"
    nb, shell = read_nb(path), CaptureShell(path, mpl_format='png')
    if path.stem in PAGES: fill(root)
    with pytest.MonkeyPatch.context() as m, working_directory(path.parent):
        m.setenv('SONGSEP_ROOT', str(root))
        try: shell.run_all(nb, exc_stop=True, preproc=skipped)
        finally:
            if cluster := shell.user_ns.get('cluster'): cluster.close()
    return shell.user_ns, '\n'.join(''.join(o.get('text', '')) for c in nb.cells if not skipped(c) for o in c.get('outputs', []))

def processor_seconds():
    "Of this process and those it started: what else the machine does is not counted"
    t = os.times()
    return t.user + t.system + t.children_user + t.children_system

def files(root):
    "Each file's content and the time of its last change; a store is opened for adding even where nothing is added, so its time says nothing"
    return {str(p.relative_to(root)): (sha256(p.read_bytes()).hexdigest(), p.suffix != '.h5' and p.stat().st_mtime_ns) for p in root.rglob('*') if p.is_file()}

def plain(o):
    "A result without what tells one run from another: the time it took, that it was there already, and the hash of weights, whose file has the layers' names with Keras' counter in them"
    if isinstance(o, Track): return o.name, [s.meta for s in o.stems]
    if isinstance(o, dict): return {k: plain(v) for k,v in o.items() if k not in ('seconds', 'times_real_time', 'skipped', 'weights_sha256')}
    return [plain(x) for x in o] if isinstance(o, list) else o

def stems(root): return {k: v[0] for k,v in files(root/'results').items() if not k.endswith('.json')}

@pytest.fixture(scope='module', params=TUTORIALS, ids=lambda p: p.stem)
def whole(request, tmp_path_factory):
    "A tutorial that ran from top to bottom: its path, its root, what came of it, the seconds it took"
    path, root, begin = request.param, tmp_path_factory.mktemp('drive'), processor_seconds()
    for o in NEEDS.get(path.stem, []): pytest.importorskip(o)
    with counted(path.stem) as n: ns, said = run(path, root)
    assert n['done'] == WORK[path.stem][-1]
    assert not re.search('already|^0 songs', said, re.M)
    return path, root, {k: plain(ns[k]) for k in RESULTS[path.stem]}, processor_seconds() - begin

def test_runs_in_two_minutes(whole): assert whole[-1] < SECONDS

def test_second_run_repeats_nothing(whole):
    path, root, results, _ = whole
    before = files(root)
    with counted(path.stem) as n: ns, said = run(path, root)
    assert not n['done']
    assert files(root) == before
    assert {k: plain(ns[k]) for k in results} == results
    source = path.read_text(encoding='utf-8')
    for call,words in ((r'\(describe\(|\.predict\(', 'were there already'), (r' prepare\(', '0 songs are new')):
        assert bool(re.search(call, source)) == (words in said)

def test_goes_on_where_it_was_cut_off(whole, tmp_path):
    path, root, results, _ = whole
    total = WORK[path.stem][-1]
    cut_after = (total + 1)//2
    with counted(path.stem, cut_after):
        with pytest.raises(Cut): run(path, tmp_path)
    with counted(path.stem) as n: ns, _ = run(path, tmp_path)
    assert n['done'] == total - cut_after
    assert {k: plain(ns[k]) for k in results} == results
    assert stems(tmp_path) == stems(root)

# What a reader in Colab meets

def source(cell): return ''.join(cell['source'])

@pytest.mark.parametrize('path', TUTORIALS, ids=lambda p: p.stem)
def test_begins_as_colab_wants_it(path):
    cells = json.loads(path.read_text(encoding='utf-8'))['cells']
    code = [source(c) for c in cells if c['cell_type'] == 'code']
    assert f'(https://colab.research.google.com/github/songsep/songsep/blob/main/{path.relative_to(ROOT).as_posix()})' in source(cells[1])
    assert code[0] == 'import sys'
    assert re.fullmatch(r'''#\| eval: false\nif 'google.colab' in sys.modules: get_ipython\(\).system\('pip install -q "songsep(\[\w+\])? @ git\+https://github.com/songsep/songsep".*'\)''', code[1])
    assert ('[train]' in code[1]) == ('"onnx<1.23"' in code[1]) # a newer one replaces the protobuf that Colab's own pages need
    work = [o for o in code[2:] if not re.search(r'^#\| (hide|code-summary: Imports)', o, re.M)] # the first real cell says what is there and what to expect
    assert 'versions()' in work[0] and ('list_gpus()' in work[0] or 'nvidia-smi' in work[0])
    assert work[1:3] == ['#| eval: false\nfrom google.colab import drive', "#| eval: false\ndrive.mount('/content/drive')"]
    assert "os.environ.get('SONGSEP_ROOT')" in work[3] and '/content/drive/MyDrive/songsep' in work[3]
    assert not [o for o in work[4:] if '/content' in o or 'MyDrive' in o] # one root
    for o in code: ast.parse(o) # those that run in Colab alone as well

@pytest.mark.parametrize('path', TUTORIALS, ids=lambda p: p.stem)
def test_page_is_small_and_names_no_place(path):
    text = path.read_text(encoding='utf-8')
    assert len(text) < 300_000
    assert not re.search(r'/(tmp|root|home|work)/', text)
