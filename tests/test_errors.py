"A user's mistake: one sentence, exit code 2, nothing left behind."
import subprocess, sys
from pathlib import Path
import numpy as np, pytest, soundfile as sf, yaml
from songsep.synth.toy import toy_dataset
from warm import songsep

def fails(res, *words):
    "One sentence on the error stream, exit code 2, no traceback"
    lines = [o for o in res.stderr.splitlines() if o.strip()]
    assert res.returncode == 2, res.stderr
    assert len(lines) == 1 and lines[0].startswith('songsep: '), res.stderr
    for w in words: assert w in lines[0]

@pytest.fixture(scope='module')
def toy(tmp_path_factory): return toy_dataset(tmp_path_factory.mktemp('toy'), n_tracks=2, seconds=2)

def files(folder): return sorted(str(o.relative_to(folder)) for o in folder.rglob('*'))

def noise(seconds=2): return np.random.default_rng(0).normal(size=(int(44100*seconds), 2))*.1

def cut(path, share=.5):
    "A sound file that ends too early"
    sf.write(path, noise(), 44100)
    path.write_bytes(path.read_bytes()[:int(path.stat().st_size*share)])

def lying(path, n_bytes):
    "A WAV whose header claims `n_bytes` of sound"
    sf.write(path, noise(), 44100)
    b = path.read_bytes()
    path.write_bytes(b[:40] + n_bytes.to_bytes(4, 'little') + b[44:])

def floats(path, value):
    y = noise().astype('float32')
    y[50000] = value
    sf.write(path, y, 44100, subtype='FLOAT')

def a_year(path):
    "A FLAC whose header claims the most samples that it can"
    sf.write(path, noise(), 44100)
    b = bytearray(path.read_bytes())
    b[21] |= 15; b[22:26] = b'\xff'*4 # 36 bits of STREAMINFO
    path.write_bytes(b)

@pytest.mark.parametrize('name,make,words', [
    ('missing.wav', lambda p: None, ['missing.wav does not exist']),
    ('empty.wav', lambda p: p.touch(), ['empty.wav is an empty file']),
    ('text.wav', lambda p: p.write_text('this is no sound'), ['text.wav', 'no sound file']),
    ('text.mp3', lambda p: p.write_text('this is no sound'), ['text.mp3', 'no sound file']),
    ('silent.wav', lambda p: sf.write(p, np.zeros((0, 2)), 44100), ['silent.wav has no samples']),
    ('cut.wav', cut, ['cut.wav is damaged', 'promises']),
    ('cut.flac', cut, ['cut.flac is damaged']),
    ('cut.mp3', cut, ['cut.mp3 is damaged', 'promises 2.00 s']),
    ('long.wav', lambda p: lying(p, 10**9), ['long.wav is damaged', '1000000000']),
    ('short.wav', lambda p: lying(p, 1000), ['short.wav is damaged', 'goes on after it']),
    ('year.flac', a_year, ['year.flac claims', 'hours']),
    ('nan.wav', lambda p: floats(p, np.nan), ['nan.wav', 'is not a number']),
    ('infinite.wav', lambda p: floats(p, np.inf), ['infinite.wav', 'is infinite']),
    ('folder', lambda p: p.mkdir(), ['folder holds no sound files'])])
def test_songs_that_cannot_be_separated(tmp_path, name, make, words):
    make(tmp_path/name)
    fails(songsep('separate', name, '-o', 'results', cwd=tmp_path), *words)
    assert not (tmp_path/'results').exists()

def test_one_broken_song_does_not_stop_the_others(tmp_path):
    sf.write(tmp_path/'good.wav', noise(.5), 44100)
    (tmp_path/'bad.wav').write_text('this is no sound')
    res = songsep('separate', 'bad.wav', 'good.wav', cwd=tmp_path)
    assert res.returncode == 2 and '1 of 2 songs failed' in res.stderr and 'bad.wav' in res.stdout
    assert (tmp_path/'results'/'good'/'drums.wav').exists() and not (tmp_path/'results'/'bad').exists()

def test_an_output_folder_that_cannot_be_written(tmp_path):
    sf.write(tmp_path/'good.wav', noise(.5), 44100)
    (tmp_path/'results').write_text('a file where the folder should be')
    fails(songsep('separate', 'good.wav', cwd=tmp_path), 'results')
    if Path('/proc/version').exists(): fails(songsep('separate', 'good.wav', '-o', '/proc/results', cwd=tmp_path), '/proc/results')

@pytest.fixture
def small_disk(tmp_path):
    "A file system of 3 MB"
    folder = tmp_path/'small'
    folder.mkdir()
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', folder], capture_output=True).returncode: pytest.skip('needs the right to mount a file system')
    yield folder
    subprocess.run(['umount', '-l', folder], check=True)

def test_a_disk_that_is_too_small_is_seen_before_the_work(tmp_path, small_disk):
    sf.write(tmp_path/'song.wav', noise(20), 44100)
    fails(songsep('separate', 'song.wav', '-o', small_disk/'results', cwd=tmp_path), 'MB left', 'takes')
    assert files(small_disk) == []

def test_a_disk_that_fills_up_is_called_by_its_name_and_the_run_goes_on(tmp_path, small_disk):
    sf.write(tmp_path/'song.wav', noise(15), 44100)
    code = "import shutil, sys; from songsep import songs; songs._check_space = lambda *a: 20_000_000; from songsep.cli import main; main()"
    res = subprocess.run([sys.executable, '-c', code, 'separate', 'song.wav', '-o', small_disk/'results'], capture_output=True, text=True, cwd=tmp_path)
    fails(res, f'the disk {small_disk} is full', 'MB more', 'goes on where it stopped')
    assert not [o for o in files(small_disk) if o.endswith(('.wav', '.json'))]
    subprocess.run(['mount', '-o', 'remount,size=100m', small_disk], check=True)
    assert songsep('separate', 'song.wav', '-o', small_disk/'results', cwd=tmp_path).returncode == 0
    assert files(small_disk) == ['results', 'results/song', 'results/song/accompaniments.wav', 'results/song/drums.wav', 'results/song/separation.json']

def test_a_song_shorter_than_a_segment_works(tmp_path):
    y = np.random.default_rng(0).uniform(-.3, .3, (1000, 2))
    sf.write(tmp_path/'short.wav', y, 44100)
    res = songsep('separate', 'short.wav', '-o', 'results', cwd=tmp_path)
    assert res.returncode == 0, res.stderr
    stems = [sf.read(p, dtype='int16')[0] for p in sorted((tmp_path/'results'/'short').glob('*.wav'))]
    assert (sum(stems) == sf.read(tmp_path/'short.wav', dtype='int16')[0]).all()

def test_an_unknown_model_names_the_nearest(tmp_path):
    sf.write(tmp_path/'a.wav', np.zeros(1000), 44100)
    fails(songsep('separate', 'a.wav', '--model', 'drumms', cwd=tmp_path), 'Did you mean drums?')

def test_an_unknown_stem_names_those_there_are(tmp_path):
    sf.write(tmp_path/'a.wav', np.zeros(1000), 44100)
    fails(songsep('separate', 'a.wav', '--stems', 'flute', cwd=tmp_path), 'flute', 'drums, accompaniments')

@pytest.mark.parametrize('recipes,words', [
    ({'a': ['Bass'], 'b': ['Bass']}, ["'Bass'", "'a'", "'b'"]),
    ({'residuals': ['Bass']}, ['residuals', 'reserved']),
    ({'My Bass': ['Bass'], 'my_bass': ['Piano']}, ['my_bass', 'one file name']),
    ({'../../bass': ['Bass']}, ["can't be used as a file name"]),
    ({'bass': 'Bass'}, ['must be a list'])])
def test_recipes_that_cannot_be_meant(tmp_path, toy, recipes, words):
    (tmp_path/'mine.yaml').write_text(yaml.safe_dump({'Mixing key': 'inst_class', 'Recipes': recipes}))
    before = files(toy)
    fails(songsep('submix', toy, '--recipe', 'mine.yaml', cwd=tmp_path), *words)
    fails(songsep('prepare', toy, '--recipe', 'mine.yaml', '-o', 'out.h5', cwd=tmp_path), *words)
    assert files(toy) == before and files(tmp_path) == ['mine.yaml']

def test_a_recipe_whose_key_no_stem_has(tmp_path, toy):
    (tmp_path/'mine.yaml').write_text(yaml.safe_dump({'Mixing key': 'colour', 'Recipes': {'a': ['red']}}))
    fails(songsep('prepare', toy, '--recipe', 'mine.yaml', '-o', 'out.h5', cwd=tmp_path), "'colour'", 'inst_class')
    assert files(tmp_path) == ['mine.yaml']

def test_a_recipe_that_would_run_code(tmp_path, toy):
    (tmp_path/'mine.yaml').write_text('Mixing key: inst_class\nRecipes: !!python/object/apply:os.system ["touch harm"]\n')
    fails(songsep('submix', toy, '--recipe', 'mine.yaml', cwd=tmp_path), 'not valid YAML')
    assert files(tmp_path) == ['mine.yaml']

def test_a_store_of_other_settings_is_refused(tmp_path, toy):
    small = ['--sr', 8000, '--segment', 1, '--hop-length', 128]
    assert songsep('prepare', toy, '-o', 'a.h5', *small, '--n-fft', 512, cwd=tmp_path).returncode == 0
    fails(songsep('prepare', toy, '-o', 'a.h5', *small, '--n-fft', 1024, cwd=tmp_path), 'n_fft is 512 there and 1024 here')

@pytest.mark.parametrize('args,words', [
    (['prepare', 'nowhere'], ['nowhere is not a folder']),
    (['train', 'nowhere.h5'], ['nowhere.h5 does not exist']),
    (['synth', 'nowhere'], ['nowhere'])])
def test_what_is_not_there(tmp_path, args, words):
    fails(songsep(*args, cwd=tmp_path), *words)
    assert files(tmp_path) == []

def test_a_single_song_cannot_be_split(tmp_path):
    toy_dataset(tmp_path/'one', n_tracks=1, seconds=2)
    assert songsep('prepare', 'one', '-o', 'a.h5', '--sr', 8000, '--segment', 1, '--n-fft', 512, '--hop-length', 128, cwd=tmp_path).returncode == 0
    fails(songsep('train', 'a.h5', cwd=tmp_path), 'holds 1 song(s)')
    assert not (tmp_path/'saved_models').exists()

@pytest.mark.parametrize('args', [('separate', 'a.wav'), ('synth', 'a.mid'), ('train', 'a.h5', '--name', 'a'), ('demo',)])
def test_a_folder_that_is_a_file(tmp_path, args):
    (tmp_path/'taken').touch()
    fails(songsep(*args, '-o', 'taken', cwd=tmp_path), 'taken', 'is a file')

@pytest.mark.parametrize('args', [('prepare', 'songs'), ('evaluate', 'songs')])
def test_a_file_that_is_a_folder(tmp_path, args):
    (tmp_path/'songs').mkdir()
    fails(songsep(*args, '-o', 'songs', cwd=tmp_path), 'songs', 'is a directory')
