"The rules of the house that no single page can prove."
import ast, builtins, importlib, inspect, json, os, re, subprocess, symtable, sys
from pathlib import Path
import pytest, typer
from songsep._render import WIDTH as PAGE, TableRenderer, comments
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parent.parent
LIB = ROOT/'songsep'

def number_of(name):
    "The number that a notebook's name begins with, in a form that sorts: 6 and 6a come before 6b, and all of them before 7"
    digits, letter = re.match(r'(\d+)([a-z]?)_', name).groups()
    return int(digits), letter

def exported(folder=ROOT/'nbs'):
    "The number of each module, from the notebook that exports it; `synth.slakh` is a module of the sub-package `synth`"
    res = {}
    for p in sorted(folder.glob('[0-9]*_*.ipynb')):
        if m := re.search(r'#\|\s*default_exp ([\w.]+)', p.read_text(encoding='utf-8')): res[m[1]] = number_of(p.name)
    return res

def source_of(name, lib=LIB): return lib.joinpath(*name.split('.')).with_suffix('.py')

NUMBERS = exported()

def test_numbers_sort():
    names = ['06_a.ipynb', '06a_b.ipynb', '06b_c.ipynb', '07_d.ipynb', '10_synth.e.ipynb']
    assert sorted(reversed(names), key=number_of) == names

# One-way imports

def imported(source, name='a'):
    "Modules of songsep that `source`, the text of the module `name`, imports, wherever in it the import stands"
    package = ['songsep', *name.split('.')[:-1]]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import): names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = [*package[:len(package) + 1 - node.level]]*bool(node.level) + [node.module]*bool(node.module)
            names = ['.'.join([*base, a.name]) for a in node.names]
        else: continue
        yield from (n.removeprefix('songsep.') for n in names if n.startswith('songsep.'))

def rooms(names, known=NUMBERS):
    "Which of the `known` modules stand in dotted names: `unet.UNet` is of `unet`; a sub-package stands for all of its modules"
    for n in names:
        parts = n.split('.')
        within = [o for o in known if o.startswith(f'{n}.')]
        yield from within or [o for o in ('.'.join(parts[:i]) for i in range(len(parts), 0, -1)) if o in known][:1]

@pytest.mark.parametrize('line', ['import songsep.unet', 'import os, songsep.unet as u', 'from songsep.unet import UNet',
    'from songsep import unet', 'from .unet import *', 'from . import unet', 'def f():\n  if 1: from songsep.unet import UNet'])
def test_import_is_seen(line): assert list(rooms(imported(line), ['unet'])) == ['unet']

@pytest.mark.parametrize('line', ['import songsep.synth.midi', 'from songsep.synth.midi import f', 'from songsep.synth import midi',
    'from songsep import synth', 'from .midi import f', 'from . import midi', 'from ..synth.midi import *', 'from ..synth import midi'])
def test_import_of_a_sub_package_is_seen(line):
    assert list(rooms(imported(line, 'synth.toy'), ['core', 'synth.midi'])) == ['synth.midi']

def test_no_other_import_is_seen(): assert not list(imported('import songsepx.a, librosa\nfrom keras.songsep import b'))

def test_every_module_has_its_notebook():
    files = {p.relative_to(LIB).with_suffix('') for p in LIB.rglob('*.py') if p.name[0] != '_'}
    assert {'.'.join(p.parts) for p in files} == set(NUMBERS)
    assert len(set(NUMBERS.values())) == len(NUMBERS)

def test_packages_are_all_installed():
    found = {'.'.join(p.relative_to(ROOT).parent.parts) for p in LIB.rglob('*.py')}
    script = (ROOT/'setup.py').read_text(encoding='utf-8').replace('setup(', 'made = dict(', 1)
    code = script + "\nprint(*made['packages'])"
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert set(done.stdout.split()) == found

@pytest.mark.parametrize('name', NUMBERS)
def test_imports_go_down(name):
    names = imported(source_of(name).read_text(encoding='utf-8'), name)
    up = [o for o in rooms(names) if NUMBERS[o] >= NUMBERS[name]]
    assert not up, f'songsep.{name} ({NUMBERS[name]}) imports {up}, which come after it'

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

# Names that are there

def scopes(table):
    "A module's table of names, and those of its functions and classes"
    yield table
    for o in table.get_children(): yield from scopes(o)

def undefined(source):
    "Names that code asks the module for, and neither the module nor Python has"
    top, *inner = scopes(symtable.symtable(source, 'module', 'exec'))
    known = {'__file__', '__name__', *dir(builtins)}
    known |= {o.get_name() for o in top.get_symbols() if o.is_assigned() or o.is_imported() or o.is_namespace()}
    known |= {o.get_name() for t in inner for o in t.get_symbols() if o.is_declared_global()}
    asked = {o.get_name() for t in inner for o in t.get_symbols() if o.is_global() and o.is_referenced()}
    return sorted((asked | {o.get_name() for o in top.get_symbols() if o.is_referenced()}) - known)

def test_an_undefined_name_is_seen(): assert undefined('import re\ndef f(x): return re.sub(x, y), tempfile, len(x)') == ['tempfile', 'y']

@pytest.mark.parametrize('folder', ['songsep', 'benchmarks', 'tools', 'tests'])
def test_every_name_is_defined(folder):
    "Also in code that no test runs here, because what it needs is missing"
    found = {p.name: o for p in (ROOT/folder).rglob('*.py') if (o := undefined(p.read_text(encoding='utf-8')))}
    assert not found

# Light imports

LIGHT = [o for o in NUMBERS if NUMBERS[o] < (10, '')] + [o for o in ("folder", "engines", "models", "separation", "songs", "doctor", "cli") if o in NUMBERS]

STATE = '''
import locale, logging, os, signal, socket, sys, threading, warnings
def state():
    env = {k: v for k,v in os.environ.items() if k != 'ORT_DISABLE_TELEMETRY'}
    signals = [signal.getsignal(o) for o in sorted(signal.valid_signals())]
    logs, spoken = logging.getLogger(), (warnings.showwarning, warnings.formatwarning, sys.excepthook)
    return (env, signals, spoken, list(warnings.filters), list(logs.handlers), logs.level, locale.setlocale(locale.LC_ALL), os.getcwd(),
            list(sys.path), socket.getdefaulttimeout(), sys.getrecursionlimit(), threading.active_count())
import numpy # sets filters of its own
before = state()
'''

def test_import_is_light():
    "And leaves the process as it was"
    code = f'''import importlib, sys
for name in {LIGHT}:
    importlib.import_module('songsep.' + name)
    heavy = [o for o in ('tensorflow', 'keras', 'torch', 'jax') if o in sys.modules]
    if heavy: sys.exit(f'importing songsep.{{name}} loads {{heavy}}')
    if (now := state()) != before: sys.exit(f'importing songsep.{{name}} changes the process: {{[(a, b) for a,b in zip(before, now) if a != b]}}')
from songsep.jobs import keep_memory, one_heap
for o in (keep_memory, one_heap):
    if o.cache_info().currsize: sys.exit(f'{{o.__name__}} ran when it was imported')'''
    res = subprocess.run([sys.executable, '-c', STATE + code], capture_output=True, text=True, cwd=ROOT)
    assert not res.returncode, res.stderr

def acts(source):
    "Lines that a module runs when it is imported, beside those that import or define something or give it a name"
    for node in ast.parse(source).body:
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)): continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant): continue # a docstring
        if isinstance(node, ast.Assign) and all(isinstance(o, (ast.Name, ast.Tuple)) for o in node.targets): continue
        if isinstance(node, ast.With) and all(isinstance(o, (ast.Import, ast.ImportFrom)) for o in node.body): continue
        yield ast.unparse(node).splitlines()[-1].strip()

@pytest.mark.parametrize('line', ["warnings.filterwarnings('ignore')", "os.environ['A'] = '1'", 'warnings.formatwarning = f', "matplotlib.use('Agg')",
                                  'if one_heap():\n    mallopt()'])
def test_what_an_import_does_is_seen(line): assert list(acts('"A module."\nimport a\nb = 1\n' + line)) == [line.splitlines()[-1].strip()]

def test_an_import_changes_nothing_of_the_process():
    "But that ONNX Runtime reports nothing, which it must be told before it is loaded; the other line joins songsep's own commands"
    found = {p.name: list(acts(p.read_text(encoding='utf-8'))) for p in LIB.rglob('*.py')}
    assert {k: v for k,v in found.items() if v} == {
        'core.py': ["os.environ.setdefault('ORT_DISABLE_TELEMETRY', '1')"],
        'cli.py': ['app.add_typer(group, name=name, rich_help_panel=KEEPING)']}
    assert not [p.name for p in LIB.rglob('*.py') if 'matplotlib.use(' in p.read_text(encoding='utf-8')] # a notebook would lose its plots

# The command line

def busy(*args):
    "Seconds of a processor that `songsep args` takes as a process of its own; what else the machine does makes no difference"
    def spent(): t = os.times(); return t.children_user + t.children_system
    start = spent()
    subprocess.run([Path(sys.executable).with_name('songsep'), *args], check=True, capture_output=True)
    return spent() - start

def test_help_is_quick(): assert min(busy('--help') for _ in range(3)) < 1

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

def test_signatures_fit_on_a_page_and_defaults_stand_in_the_table():
    def example(first, # What it takes
                *, then:list[Path]|None=None, # Or not
                done=lambda: 0, folder=ROOT/'results', a_very_long_name_for_a_number=440.) -> float: "Does it."
    page = TableRenderer(example, name='example')._repr_markdown_()
    code = re.search(r'```python\n(.*?)\n```', page, re.S)[1].splitlines()
    assert max(map(len, code)) <= PAGE and ' '.join(o.strip() for o in code) == (
        f"example(first, *, then=None, done=..., folder='{ROOT/'results'}', a_very_long_name_for_a_number=440.0)")
    assert '|  | type | default |  |' in page and r'| `then` | list[Path] \| None | `None` | Or not |' in page
    def stars(n): # `a*b` is code, a*b and c*d are not
        "Counts."
    assert r'`a*b` is code, a\*b and c\*d are not' in TableRenderer(stars, name='stars')._repr_markdown_()
    class Has:
        @property
        def size(self): "How large it is."
    assert '(' not in re.search(r'```python\n(.*?)\n```', TableRenderer(Has.size, name='Has.size')._repr_markdown_(), re.S)[1]

@pytest.mark.parametrize('name', NUMBERS)
def test_every_parameter_is_explained(name):
    missing = {k: o for k,f in callables(importlib.import_module(f'songsep.{name}')) if (o := undocumented(f))}
    assert not missing

# How the pages read

DIVIDED = ['03d_synth.samplers', '04_stems', '04a_recipes', '05_preprocessing', '06_spectrogram', '06a_store', '07_prepare', '09_kinds',
           '10_dataset', '13_training', '21_separation', '23_songs', '29_app', '31_cli']
WIDE, LARGE, NEAR = 120, 50, 3 # characters of a line, lines of a cell, cells from a name to where it is shown
WIDE_SHARE, LARGE_CELLS, SHOWN_SHARE = .012, 0, .82 # as measured; they may only get better

def is_export(source): return re.search(r'^#\| *export', source, re.M)

def public(source):
    "Names of the functions and classes that a cell brings"
    return [o.name for o in ast.parse(source).body if isinstance(o, (ast.FunctionDef, ast.ClassDef)) and o.name[0] != '_']

def figures(cells):
    "What a page counts: `lines` of its exported cells, `wide` ones, `large` cells, public `names` and those `shown` within three cells"
    res = dict.fromkeys(('lines', 'wide', 'large', 'names', 'shown'), 0)
    for i,(kind,source) in enumerate(cells):
        if kind != 'code' or not is_export(source): continue
        lines, names = source.splitlines()[1:], public(source)
        near = ' '.join(s for k,s in cells[i+1:i+1+NEAR] if k == 'code' and not is_export(s))
        shown = [o for o in names if re.search(rf'\b{o}\b', near)]
        found = len(lines), sum(len(o) > WIDE for o in lines), len(lines) > LARGE, len(names), len(shown)
        for k,n in zip(res, found): res[k] += n
    return res

def page_figures(path):
    return figures([(c['cell_type'], ''.join(c['source'])) for c in json.loads(path.read_text(encoding='utf-8'))['cells']])

def test_figures_of_a_page_are_counted():
    f, g = '#| export\ndef f(): return 1', f'#| export\ndef g(): "{"x"*WIDE}"\ndef _h(): pass' + '\n'*LARGE
    cells = [('code', f), ('markdown', 'f is'), ('code', 'f() == 1'), ('code', g), ('markdown', 'g'), ('code', 'f()')]
    assert figures(cells) == dict(lines=2 + LARGE, wide=1, large=1, names=2, shown=1)

@pytest.mark.parametrize('name', DIVIDED)
def test_a_divided_page_stays_easy_to_read(name):
    found = page_figures(ROOT/'nbs'/f'{name}.ipynb')
    assert found['wide'] == found['large'] == 0 and found['shown'] >= .8*found['names'], found

def test_pages_grow_no_harder_to_read():
    found = [page_figures(p) for p in sorted((ROOT/'nbs').glob('[0-9]*_*.ipynb'))]
    total = {k: sum(o[k] for o in found) for k in found[0]}
    assert total['wide'] <= WIDE_SHARE*total['lines'], total
    assert total['large'] <= LARGE_CELLS, total
    assert total['shown'] >= SHOWN_SHARE*total['names'], total

# Plain English

MANNERED = re.compile('|'.join([r'\bmend(?:s|ed|ing)?\b', r'\b[Ww]hoever\b', r'\brumour', 'slip of the pen', 'stops nobody', r'\blikewise\b',
    r'\bknows nothing\b', 'not know how long', r'\bNot the \w+ is\b', r'\bits kin\b', r'\b[Ff]iles? from strangers',
    r'\bthe doors?\b', 'original road']))
AS_EXAMPLE = {'CONTRIBUTING.md', '29_app.ipynb', '25_console.ipynb'}

def prose(path):
    "What people read of a file: of a notebook, text and code without outputs"
    text = path.read_text(encoding='utf-8')
    if path.suffix != '.ipynb': return text
    return '\n'.join(''.join(c['source']) for c in json.loads(text)['cells'])

def test_mannered_english_is_seen():
    assert [m[0] for m in MANNERED.finditer('You can mend it, whoever you are. Amend the recommended.')] == ['mend', 'whoever']

def test_english_is_plain():
    pages = [*(ROOT/'nbs').rglob('*.ipynb'), *ROOT.glob('*.md'), *(LIB/'weights').glob('*/README.md')]
    found = {p.name: m[0] for p in pages if p.name not in AS_EXAMPLE and (m := MANNERED.search(prose(p)))}
    assert not found

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
