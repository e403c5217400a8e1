"A dataset from a stranger is data: whatever stands in it, reading ends with one sentence, soon, in little memory, and nothing leaves its folder."
import os, subprocess, sys
from pathlib import Path
import numpy as np, pytest, soundfile as sf, yaml
from conftest import PEAK
from songsep.check import check_dataset
from songsep.core import SongsepError
from songsep.stems import MAX_STEMS, Stem, find_tracks
from songsep.recipes import load_recipe, load_targets
from songsep.synth.toy import toy_dataset
from warm import songsep

pytestmark = pytest.mark.skipif(os.name != 'posix', reason='links, pipes and sparse files')

def one_sentence(error, words):
    text = str(error.value)
    assert '\n' not in text and len(text) < 600 and words in text, text

def sparse(path, size=200<<20):
    with open(path, 'wb') as f: f.truncate(size)

def files(folder): return sorted(str(o.relative_to(folder)) for o in folder.rglob('*'))

@pytest.fixture
def toy(tmp_path): return toy_dataset(tmp_path/'data', n_tracks=1, seconds=2)

LAUGHS = 'a: &a [lol, lol, lol]\n' + ''.join(f'{b}: &{b} [' + ', '.join([f'*{a}']*9) + ']\n' for a,b in zip('abcdefgh', 'bcdefghi'))
YAMLS = {'runs code': ('stems: !!python/object/apply:os.system ["touch harm"]\n', 'not valid YAML'),
    'new object': ('stems: !!python/object/new:type [x, [], {}]\n', 'not valid YAML'),
    'billion laughs': (LAUGHS + 'stems: {S00: *i}\nMixing key: inst_class\nRecipes: *i\n', 'aliases'),
    'a ring': ('stems: &a {S00: *a}\n', 'aliases'),
    'nests deep': ('stems: ' + '['*100_000 + ']'*100_000, 'levels'),
    'blocks nest deep': (''.join(' '*i + 'a:\n' for i in range(200)), 'levels'),
    'a huge number': ('stems: ' + '9'*100_000, 'not valid YAML'),
    'an impossible day': ('stems: 2026-99-99', 'not valid YAML'),
    'bytes': (b'\xff\xfe\x00stems', 'not valid YAML'),
    'nothing': ('', 'lists no stems'), 'a list': ('[stems]', 'lists no stems'), 'a word': ('stems: many', 'lists no stems'),
    'stems that are words': ('stems: {S00: loud}', "'loud'"),
    'a key that climbs': ('stems: {../../x: {inst_class: Bass}}', "can't be used as a file name"),
    'a key from the root': ('stems: {/etc/passwd: {inst_class: Bass}}', "can't be used as a file name"),
    'ten thousand stems': ('stems: {' + ', '.join(f'S{i:05d}: {{}}' for i in range(10000)) + '}', '10000 stems')}

@pytest.mark.parametrize('what', YAMLS)
def test_metadata(tmp_path, toy, what):
    text, words = YAMLS[what]
    (toy/'Track00001'/'metadata.yaml').write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SongsepError) as e: find_tracks(toy)
    one_sentence(e, words)
    assert 'harm' not in files(tmp_path)

@pytest.mark.parametrize('what', ['runs code', 'billion laughs', 'nests deep', 'bytes'])
def test_recipes(tmp_path, what):
    text = YAMLS[what][0]
    (tmp_path/'mine.yaml').write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SongsepError) as e: load_recipe(tmp_path/'mine.yaml')
    one_sentence(e, YAMLS[what][1])

@pytest.mark.parametrize('recipe', [{'Recipes': {'../../x': ['Bass']}}, {'Recipes': {'/etc/x': ['Bass']}}, {'Recipes': {'..': ['Bass']}}, {'Recipes': {'a\0b': ['Bass']}},
    {'Recipes': {'a': [['Bass']]}}, {'Recipes': {'a': {'b': 1}}}, {'Recipes': []}, {'Recipes': {'a': ['Bass']}, 'Names': {'../b': ['x']}}, {'Recipes': {'a': ['Bass']}, 'Run': 'x'}])
def test_recipes_whose_names_lead_elsewhere(tmp_path, recipe):
    (tmp_path/'mine.yaml').write_text(yaml.safe_dump({'Mixing key': 'inst_class'} | recipe))
    with pytest.raises(SongsepError) as e: load_recipe(tmp_path/'mine.yaml')
    one_sentence(e, '')

def test_huge_text_files(tmp_path, toy):
    sparse(toy/'Track00001'/'metadata.yaml')
    sparse(tmp_path/'t.csv')
    sparse(tmp_path/'mine.yaml')
    for call,words in ((lambda: find_tracks(toy), 'metadata.yaml is larger'), (lambda: find_tracks(tmp_path/'t.csv'), 't.csv is larger'), (lambda: load_recipe(tmp_path/'mine.yaml'), 'mine.yaml is larger')):
        with pytest.raises(SongsepError) as e: call()
        one_sentence(e, words)

@pytest.mark.parametrize('row,words', [('../../x,drums,a.wav', "can't be used"), ('a,../../x,a.wav', "can't be used"), ('a,drums,../b.wav', 'leaves'), ('a,drums,x/../../b.wav', 'leaves'),
    ('a,drums,/etc/passwd', 'must be relative'), ('a,drums,C:\\x.wav', 'must be relative'), ('a,drums,link.wav', 'leaves'), ('a,drums,' + 'x'*200_000, 'table'), ('a,drums,"x', 'table'),
    ('a\0b,drums,a.wav', ''), ('a,drums,a\0b.wav', '')])
def test_tables(tmp_path, row, words):
    (tmp_path/'data').mkdir()
    (tmp_path/'data'/'link.wav').symlink_to('/etc/passwd')
    (tmp_path/'data'/'t.csv').write_text('song,stem,path\n' + row + '\n')
    with pytest.raises(SongsepError) as e: find_tracks(tmp_path/'data'/'t.csv')
    one_sentence(e, words)

# Links, pipes, depth, number

def outside(tmp_path):
    sf.write(tmp_path/'secret.flac', np.zeros(800)+.1, 8000)
    (tmp_path/'elsewhere').mkdir()
    return tmp_path/'secret.flac', tmp_path/'elsewhere'

LINKS = {'a stem': lambda t, file, folder: (t/'stems'/'S00.flac', file), 'the metadata': lambda t, file, folder: (t/'metadata.yaml', file), 'the mix': lambda t, file, folder: (t/'mix.flac', file),
    'the stems': lambda t, file, folder: (t/'stems', folder), 'a track': lambda t, file, folder: (t.parent/'Track00002', folder), 'the root of all': lambda t, file, folder: (t.parent/'more', Path('/'))}

@pytest.mark.parametrize('what', LINKS)
def test_links_that_leave(tmp_path, toy, what):
    link, to = LINKS[what](toy/'Track00001', *outside(tmp_path))
    if link.exists(): link.rename(tmp_path/'moved')
    link.symlink_to(to)
    with pytest.raises(SongsepError) as e: find_tracks(toy)
    one_sentence(e, 'link to a place outside')
    report = check_dataset(toy, n_jobs=1)
    assert any('link to a place outside' in p['value'] for p in report['problems'])

def test_links_to_nothing_and_in_rings(toy):
    (toy/'Track00001'/'stems'/'S00.flac').unlink()
    (toy/'Track00001'/'stems'/'S00.flac').symlink_to('gone.flac')
    with pytest.raises(SongsepError, match='link to nothing'): find_tracks(toy)
    (toy/'Track00001'/'stems'/'S00.flac').unlink()
    (toy/'Track00001'/'stems'/'S00.flac').symlink_to('S00.flac')
    with pytest.raises(SongsepError, match='link to nothing'): find_tracks(toy)

def test_links_within_are_welcome_and_folders_are_seen_once(toy):
    stems = toy/'Track00001'/'stems'
    (stems/'S00.flac').rename(toy/'one.flac')
    (stems/'S00.flac').symlink_to(toy/'one.flac')
    (toy/'again').symlink_to(toy)
    assert [len(t.stems) for t in find_tracks(toy)] == [5]

def test_pipes_are_no_files(toy):
    t = toy/'Track00001'
    for o in ('metadata.yaml', 'stems/S00.flac'):
        (t/o).unlink()
        os.mkfifo(t/o)
    with pytest.raises(SongsepError) as e: find_tracks(toy)
    one_sentence(e, 'is not a file')

def test_folders_in_folders(tmp_path):
    d = tmp_path/'data'
    for _ in range(300): d = d/'a'
    os.makedirs(d)
    with pytest.raises(SongsepError) as e: find_tracks(tmp_path/'data')
    assert 'folders deep' in str(e.value)
    assert check_dataset(tmp_path/'data', n_jobs=1)['tracks'] == 0

def test_a_track_of_ten_thousand_stems(tmp_path):
    (tmp_path/'data'/'a').mkdir(parents=True)
    for i in range(10000): (tmp_path/'data'/'a'/f'{i}.wav').touch()
    (tmp_path/'t.csv').write_text('song,stem,path\n' + ''.join(f'a,s{i},data/a/{i}.wav\n' for i in range(10000)))
    for root in (tmp_path/'data', tmp_path/'t.csv'):
        with pytest.raises(SongsepError) as e: find_tracks(root)
        one_sentence(e, f'10000 stems, more than {MAX_STEMS}')

# Sound that lies

def claim(path, samples): # in the header of a FLAC
    b = bytearray(path.read_bytes())
    b[18:26] = ((int.from_bytes(b[18:26], 'big')>>36<<36) | samples).to_bytes(8, 'big')
    path.write_bytes(b)

def short_flac(path, claims): claim(path, claims)
def short_wav(path, claims):
    sf.write(path.with_suffix('.wav'), sf.read(path)[0], 16000)
    path.unlink()
    b = bytearray(path.with_suffix('.wav').read_bytes())
    at = b.index(b'data') + 4
    b[at:at+4], b[4:8] = [min(2*claims, 2**32-2).to_bytes(4, 'little')]*2
    path.with_suffix('.wav').write_bytes(b)

MEMORY = PEAK + '''
import sys
from songsep.core import SongsepError
from songsep.check import check_dataset
from songsep.stems import find_tracks
from songsep.recipes import load_recipe, load_targets
import librosa, soxr
before = peak()
try: load_targets(find_tracks(sys.argv[1])[0], load_recipe('drums'), 16000)
except SongsepError as e: print(e)
print([p['value'] for p in check_dataset(sys.argv[1], n_jobs=1)['problems'] if p['level']=='error'])
print(peak() - before)
'''

@pytest.mark.parametrize('lie,claims', [(short_flac, 365*24*3600*16000), (short_flac, 6*3600*16000), (short_wav, 2**31), (short_wav, 3600*16000)],
    ids=['flac of a year', 'flac of six hours', 'wav of a day', 'wav of an hour'])
def test_headers_that_lie(toy, lie, claims):
    lie(toy/'Track00001'/'stems'/'S00.flac', min(claims, 2**36-1))
    res = subprocess.run([sys.executable, '-c', MEMORY, toy], capture_output=True, text=True, timeout=60)
    assert res.returncode == 0, res.stderr
    said, checked, grown = res.stdout.splitlines()
    assert 'S00.' in said and 'S00.' in checked and int(grown) < 50_000 # kB

def test_mp4_that_is_none(tmp_path):
    pytest.importorskip('av')
    for what in (b'', b'#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n', b'\0\0\0\x20ftypM4A ' + b'\0'*64, os.urandom(5000)):
        (tmp_path/'a.stem.mp4').write_bytes(what)
        with pytest.raises(SongsepError) as e: find_tracks(tmp_path)
        one_sentence(e, 'a.stem.mp4')

def test_sound_that_is_none(tmp_path):
    (tmp_path/'a').mkdir()
    for k in ('drums', 'bass'): (tmp_path/'a'/f'{k}.wav').write_bytes(os.urandom(3000))
    with pytest.raises(SongsepError, match='bass.wav'): load_targets(find_tracks(tmp_path)[0], load_recipe('drums'))
    assert {p['what'] for p in check_dataset(tmp_path, n_jobs=1)['problems']} == {'cannot be read'}

# The same through the command

def spoil_yaml(toy): (toy/'Track00001'/'metadata.yaml').write_text(LAUGHS + 'stems: {S00: *i}\n')
def spoil_link(toy):
    (toy/'Track00001'/'stems'/'S00.flac').unlink()
    (toy/'Track00001'/'stems'/'S00.flac').symlink_to('/etc/passwd')
def spoil_size(toy): sparse(toy/'Track00001'/'metadata.yaml')
def spoil_key(toy): (toy/'Track00001'/'metadata.yaml').write_text('stems: {../../x: {program_num: 0}}')
def spoil_length(toy): claim(toy/'Track00001'/'stems'/'S00.flac', 2**36-1)

@pytest.mark.parametrize('spoil,verb', [(spoil_yaml, 'submix'), (spoil_link, 'prepare'), (spoil_size, 'prepare'), (spoil_key, 'submix'), (spoil_length, 'submix'), (spoil_length, 'prepare')])
def test_the_command_says_one_sentence(tmp_path, toy, spoil, verb):
    spoil(toy)
    before = files(toy)
    res = songsep(verb, 'data', *(['-o', 'a.h5'] if verb == 'prepare' else []), cwd=tmp_path)
    lines = [o for o in res.stderr.splitlines() if o.startswith('songsep: ')]
    assert res.returncode == 2 and len(lines) == 1 and 'Traceback' not in res.stderr, res.stderr
    assert files(toy) == before and set(files(tmp_path)) <= {'a.h5', 'data', *('data/'+o for o in before)}
