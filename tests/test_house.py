"The rules of the house that no single page can prove."
import ast, importlib, inspect, json, re, subprocess, sys, time
from pathlib import Path
import pytest, typer
from songsep._render import comments
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parent.parent
LIB = ROOT/'songsep'

def exported():
    "The number of each module, from the notebook that exports it"
    res = {}
    for p in sorted((ROOT/'nbs').glob('[0-9]*_*.ipynb')):
        if m := re.search(r'#\|\s*default_exp (\w+)', p.read_text(encoding='utf-8')): res[m[1]] = int(p.name.split('_')[0])
    return res

NUMBERS = exported()

# One-way imports

def imported(source):
    "Modules of songsep that `source` imports, wherever in it the import stands"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import): names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = 'songsep.'*bool(node.level) + (node.module or '')
            names = [f"{base.rstrip('.')}.{a.name}" for a in node.names]
        else: continue
        yield from (n.split('.')[1] for n in names if n.startswith('songsep.'))

@pytest.mark.parametrize('line', ['import songsep.unet', 'import os, songsep.unet as u', 'from songsep.unet import UNet',
    'from songsep import unet', 'from .unet import *', 'from . import unet', 'def f():\n  if 1: from songsep.unet import UNet'])
def test_import_is_seen(line): assert list(imported(line)) == ['unet']

def test_no_other_import_is_seen(): assert not list(imported('import songsepx.a, librosa\nfrom keras.songsep import b'))

def test_every_module_has_its_notebook():
    assert {p.stem for p in LIB.glob('*.py') if p.name[0] != '_'} == set(NUMBERS)
    assert len(set(NUMBERS.values())) == len(NUMBERS)

@pytest.mark.parametrize('name', NUMBERS)
def test_imports_go_down(name):
    up = [o for o in imported((LIB/f'{name}.py').read_text(encoding='utf-8')) if o in NUMBERS and NUMBERS[o] >= NUMBERS[name]]
    assert not up, f'songsep.{name} ({NUMBERS[name]:02}) imports {up}, which come after it'

def cells(path):
    "Code cells that the documentation build may run: not exported, not switched off"
    for c in json.loads(path.read_text(encoding='utf-8'))['cells']:
        source = ''.join(c['source'])
        if c['cell_type'] == 'code' and not re.search(r'^#\|\s*(export|default_exp|eval: *false)', source, re.M): yield source

@pytest.mark.parametrize('path', sorted((ROOT/'nbs').rglob('*.ipynb')), ids=lambda p: p.stem)
def test_imports_stand_in_cells_of_their_own(path):
    for source in cells(path):
        body = ast.parse(re.sub(r'^[%!].*$', 'pass', source, flags=re.M)).body
        assert len({isinstance(o, (ast.Import, ast.ImportFrom)) for o in body}) < 2, f'the documentation build would run this whole cell of {path.name}:\n{source}'

# Light imports

LIGHT = [o for o in NUMBERS if NUMBERS[o] < 10] + [o for o in ("separation", "songs", "doctor", "cli") if o in NUMBERS]

def test_import_is_light():
    code = f'''import importlib, sys
for name in {LIGHT}:
    importlib.import_module('songsep.' + name)
    heavy = [o for o in ('tensorflow', 'keras', 'torch', 'jax') if o in sys.modules]
    if heavy: sys.exit(f'importing songsep.{{name}} loads {{heavy}}')'''
    res = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT)
    assert not res.returncode, res.stderr

# The command line

def timed(*args):
    "Seconds that `songsep args` takes as a process of its own"
    start = time.perf_counter()
    subprocess.run([Path(sys.executable).with_name('songsep'), *args], check=True, capture_output=True)
    return time.perf_counter() - start

def test_help_is_quick(): assert min(timed('--help') for _ in range(3)) < 1

def test_every_verb_explains_itself():
    app = importlib.import_module('songsep.cli').app
    verbs = typer.main.get_command(app).commands
    assert verbs.keys() >= {'demo', 'separate', 'submix', 'prepare', 'train', 'synth'}
    for verb in verbs:
        res = CliRunner().invoke(app, [verb, '--help'])
        assert res.exit_code == 0 and verb in res.output, f'songsep {verb} --help\n{res.output}'

# Documented parameters

def callables(module):
    "Public functions and methods that `module` brings, by qualified name; what overrides a method is explained at that method"
    for name in module.__all__:
        obj = getattr(module, name)
        if name[0] == '_' or getattr(obj, '__module__', None) != module.__name__: continue
        if inspect.isfunction(obj): yield name, obj
        if not inspect.isclass(obj): continue
        if '__init__' in vars(obj): yield name, obj
        for k, v in vars(obj).items():
            f = getattr(v, '__func__', v)
            if inspect.isfunction(f) and k[0] != '_' and not any(hasattr(b, k) for b in obj.__bases__): yield f'{name}.{k}', f

def undocumented(f): return [k for k,(_,said) in comments(f).items() if not said and k != 'return']

def test_missing_comment_is_seen():
    def f(a, # Explained
          b, *args, **kwargs): ...
    assert undocumented(f) == ['b', 'args', 'kwargs']

@pytest.mark.parametrize('name', NUMBERS)
def test_every_parameter_is_explained(name):
    missing = {k: o for k,f in callables(importlib.import_module(f'songsep.{name}')) if (o := undocumented(f))}
    assert not missing

# Nothing of one machine

MACHINE = re.compile(rb'(?<![\w.+/=-])/(?:home|root|Users|work|tmp|opt(?!/homebrew))/\w')

@pytest.mark.parametrize('folder', ['home', 'tmp'])
def test_path_is_seen(folder): assert MACHINE.search(f'open("/{folder}/song.wav")'.encode())

def test_no_path_of_a_machine():
    tracked = subprocess.run(['git', 'ls-files', '-z'], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode: pytest.skip('no git checkout')
    files = [ROOT/o for o in tracked.stdout.split('\0') if (ROOT/o).is_file()]
    found = {p.relative_to(ROOT): m[0].decode() for p in files if (m := MACHINE.search(p.read_bytes()))}
    assert not found
