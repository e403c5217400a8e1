"What an install brings: separating works without TensorFlow, whoever lacks an extra reads which, and nothing is reported to anyone."
import os, subprocess, sys
from configparser import ConfigParser
from pathlib import Path
import pytest

ROOT = Path(__file__).resolve().parent.parent
EXTRA = ('tensorflow', 'keras', 'h5py', 'onnx', 'tf2onnx', 'tensorboard', 'museval', 'norbert', 'distributed', 'starlette', 'mido', 'pedalboard', 'pyloudnorm',
         'librosa', 'numba', 'llvmlite', 'sklearn')

def run(code, cwd, *args, missing=EXTRA, **env):
    "Run Python where these libraries are missing, and where nobody has told ONNX Runtime anything"
    hide = f'import sys; sys.modules.update(dict.fromkeys({missing})); sys.argv[1:] = {[str(o) for o in args]}\n'
    own = {k: v for k,v in os.environ.items() if k != 'ORT_DISABLE_TELEMETRY'} | {'PYTHONPATH': str(ROOT)} | env
    return subprocess.run([sys.executable, '-c', hide + code], cwd=cwd, capture_output=True, text=True, env=own)

MAIN = 'from songsep.cli import main; main()'

def test_base_separates_and_reports_nothing(tmp_path):
    done = run(MAIN, tmp_path, 'demo', HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path/'.cache'))
    assert done.returncode == 0 and 'sum to the song' in done.stdout, done.stderr
    assert len(list(tmp_path.glob('results/*/*.wav'))) == 2
    assert not [o for o in tmp_path.rglob('*') if 'microsoft' in o.name.lower() or 'onnxruntime' in o.name]

@pytest.mark.parametrize('args', [['models', 'list'], ['doctor'], ['train', '--help'], ['--help']], ids=' '.join)
def test_base_answers(tmp_path, args):
    done = run(MAIN, tmp_path, *args)
    assert done.returncode == 0 and not done.stderr, done.stderr

@pytest.mark.parametrize('args,library,what', [(['train', 'a.h5'], 'h5py', 'training'), (['prepare', 'songs'], 'h5py', 'training'),
    (['models', 'pull', 'spleeter-2stems'], 'keras', 'importing spleeter-2stems'), (['models', 'export', 'drums'], 'keras', 'training'),
    (['data', 'verify', 'a.h5'], 'h5py', 'training')])
def test_who_lacks_training_reads_one_sentence(tmp_path, args, library, what):
    done = run(MAIN, tmp_path, *args)
    assert (done.returncode, done.stdout) == (2, '')
    assert done.stderr == f'songsep: {what} needs {library}, which is not installed: pip install "songsep[train]".\n'

@pytest.mark.parametrize('args,what', [(['models', 'pull', 'htdemucs'], 'htdemucs'), (['models', 'import', 'a.onnx'], 'a graph')])
def test_who_lacks_onnx_reads_one_sentence(tmp_path, args, what):
    (tmp_path/'a.onnx').touch()
    done = run(MAIN, tmp_path, *args)
    assert (done.returncode, done.stdout) == (2, '')
    assert done.stderr == f'songsep: importing {what} needs onnx, which is not installed: pip install "songsep[graphs]".\n'

def test_so_does_the_original_road(tmp_path):
    done = run('from songsep.cli import old_main; old_main()', tmp_path, '.', '1e-3', '0.5', '1e-6', '1', '8')
    assert done.returncode == 2 and done.stderr.endswith('pip install "songsep[train]".\n') and len(done.stderr.splitlines()) == 1
    done = run('from songsep.pipeline import PipelineHandler', tmp_path)
    assert done.stderr.endswith('MissingExtra: training needs h5py, which is not installed: pip install "songsep[train]".\n')

def test_keras_without_a_backend(tmp_path):
    done = run(MAIN, tmp_path, 'models', 'export', 'drums', missing=('tensorflow',))
    assert done.returncode == 2 and 'training needs tensorflow' in done.stderr and len(done.stderr.splitlines()) == 1

def test_colabs_versions_are_admitted():
    "The table of what Colab has, in CONTRIBUTING, beside the lower bounds in settings.ini"
    from packaging.requirements import Requirement
    cfg = ConfigParser()
    cfg.read(ROOT/'settings.ini', encoding='utf-8')
    asked = [Requirement(o) for k in ('requirements', 'train_requirements', 'eval_requirements') for o in cfg['DEFAULT'][k].split()]
    table = (ROOT/'CONTRIBUTING.md').read_text(encoding='utf-8').split('| Colab has |')[1].split('\n\n')[0]
    rows = [[o.strip().split(', ') for o in line.split('|')[1:3]] for line in table.splitlines()[3:]]
    has = {name: version for names,versions in rows for name,version in zip(names, versions, strict=True)}
    assert {'tensorflow', 'librosa', 'ipywidgets', 'fastcore'} <= has.keys()
    assert not [str(o) for o in asked if o.name in has and not o.specifier.contains(has[o.name])]

def test_extras():
    config = ConfigParser(delimiters=['='])
    config.read(ROOT/'settings.ini', encoding='utf-8')
    c = config['DEFAULT']
    base = [o.split('>=')[0] for o in c['requirements'].split()]
    assert not set(EXTRA) & set(base)
    assert {'tensorflow', 'keras', 'h5py', 'onnx', 'tf2onnx', 'tensorboard'} <= {o.split('>=')[0] for o in c['train_requirements'].split()}
    assert not [o for o in (c['requirements'] + c['train_requirements']).split() if '<' in o or '==' in o] # Colab brings its own

# The scripts that train what ships

def script(name, cwd, *args):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
    return subprocess.run(['bash', ROOT/'tools'/name, *args], cwd=cwd, capture_output=True, text=True, env=os.environ | {'PATH': path, 'PYTHONPATH': str(ROOT)})

@pytest.mark.skipif(os.name == 'nt', reason='needs bash')
@pytest.mark.parametrize('name,takes', [('render', 'DATA WORK'), ('train_drums', 'DATA VALIDATION WORK'), ('train_band', 'MIDI STEMS VALIDATION WORK'), ('train_kit', 'DATA VALIDATION WORK')])
def test_a_script_says_what_it_takes_and_what_is_missing(name, takes, tmp_path):
    "Before it works for half an hour; folders may be named as they lie from here"
    done = script(f'{name}.sh', tmp_path)
    assert done.returncode == 2 and done.stderr.splitlines()[1].strip() == f'tools/{name}.sh {takes}' and 'set -e' not in done.stderr
    folders = takes.lower().split()
    done = script(f'{name}.sh', tmp_path, *folders)
    if 'pip install' not in done.stderr: assert done.returncode == 2 and done.stderr.startswith(f'{folders[0]} is no folder.')
    for o in folders: (tmp_path/o).mkdir(exist_ok=True)
    done = script(f'{name}.sh', tmp_path, *folders)
    assert done.returncode == 2 and ('is missing. The first lines of' in done.stderr and str(tmp_path) in done.stderr or 'pip install' in done.stderr), done.stderr
