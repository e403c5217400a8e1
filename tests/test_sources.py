"Datasets as people have them: every form, on genuine data where there is some; splits, twins, reports."
import csv, json, shutil, subprocess, sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
import numpy as np, pytest, soundfile as sf
from conftest import PEAK
from songsep.audio import load_audio, write_audio
from songsep.check import (check_dataset, check_text, lint_recipe, original_split, recipe_report, recipe_text, refuse_leak, scan_track,
    song_list, splits_of, twins_between)
from songsep.core import Config, SongsepError
from songsep.stems import Stem, Track, find_tracks, identity, musdb_track
from songsep.prepare import prepare
from songsep.recipes import check_recipe, load_recipe, load_targets, recipe_from, refuse_empty, submix, target_of
from songsep.store import SpectrogramStore
from songsep.synth.toy import toy_dataset, toy_song

ROOT = Path(__file__).resolve().parent.parent

@pytest.fixture(scope='module')
def toy(tmp_path_factory): return toy_dataset(tmp_path_factory.mktemp('toy'), n_tracks=2, seconds=3)

def stem_mp4(path, ys, sr=44100):
    "A song as MUSDB18 has it: streams of AAC, the mixture first"
    av = pytest.importorskip('av')
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), 'w', format='mp4') as c:
        for s,y in [(c.add_stream('aac', rate=sr, layout='stereo', bit_rate=256000), y) for y in ys]:
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(y, 'float32'), format='fltp', layout='stereo')
            frame.sample_rate, frame.pts = sr, 0
            for p in [*s.encode(frame), *s.encode(None)]: c.mux(p)
    return path

@pytest.fixture(scope='module')
def musdb(tmp_path_factory):
    root, ys = tmp_path_factory.mktemp('musdb'), toy_song(3, 2, 44100)[0]
    stems = [np.stack([ys[k], .8*ys[k]])*.3 for k in ('drums', 'bass', 'strings', 'piano')]
    for split,name in (('train', 'A - One'), ('test', 'B - Two')): stem_mp4(root/split/f'{name}.stem.mp4', [sum(stems), *stems])
    return root, stems

# MUSDB18

def test_musdb_mp4(musdb):
    root, stems = musdb
    tracks = find_tracks(root)
    assert [(t.name, t.split, t.kind) for t in tracks] == [('B - Two', 'test', 'musdb'), ('A - One', 'train', 'musdb')]
    t = tracks[1]
    assert [s.name for s in t.stems] == ['drums', 'bass', 'other', 'vocals']
    for s,want in zip(t.stems, stems):
        y, sr = s.load(mono=False)
        assert sr == 44100 and abs(y.shape[1] - want.shape[1]) <= 1024 and y.shape[1] == s.info().samples
        n = min(y.shape[1], want.shape[1])
        assert np.mean((y[:,:n]-want[:,:n])**2) < .05*np.mean(want**2)
    ys, sr, found = load_targets(t, load_recipe('drums'), mono=False)
    assert np.allclose(ys['drums'] + ys['accompaniments'], ys['mix'], atol=1e-6) and not ys['residuals'].any()
    assert -60 < found['mix_error_db'] < -10 # the mixture is a stream of its own, and lossy

def test_musdb_blocks_and_rates(musdb):
    t = find_tracks(musdb[0])[0]
    blocks = list(t.stems[0].blocks(block_samples=10000))
    assert {b.shape for b in blocks[:-1]} == {(2, 10000)} and sum(b.shape[1] for b in blocks) == t.stems[0].info().samples
    assert (np.concatenate(blocks, 1) == t.stems[0].load(mono=False)[0]).all()
    low = np.concatenate(list(t.stems[0].blocks(16000, 5000)), 1)
    want = t.stems[0].load(16000, mono=False)[0]
    assert abs(low.shape[1] - want.shape[1]) <= 2 and np.abs(low[:,100:20000] - want[:,100:20000]).max() < 1e-3

def test_submixes_of_musdb_lie_beside_the_file(musdb, tmp_path):
    root = shutil.copytree(musdb[0], tmp_path/'musdb')
    for t in find_tracks(root): assert submix(t, load_recipe('drums'))['sum_error_db'] < -100
    assert [t.kind for t in find_tracks(root)] == ['musdb', 'musdb']
    made = find_tracks(root, submix='drums')
    assert [t.name for t in made] == ['B - Two', 'A - One'] and [s.name for s in made[0].stems] == ['accompaniments', 'drums', 'residuals']

def test_a_genuine_stem_file():
    "The sample that comes with stempeg; its own box names the streams, and calls the vocals Vox"
    spec = find_spec('stempeg')
    song = next(Path(spec.origin).parent.glob('data/*.stem.mp4'), None) if spec else None
    if not song or not find_spec('av'): pytest.skip('needs stempeg and av')
    t = musdb_track(song)
    assert [s.name for s in t.stems] == ['drums', 'bass', 'other', 'vocals']
    ys, sr, found = load_targets(t, load_recipe('drums'), mono=False)
    assert ys['mix'].shape == (2, 268288) and not ys['residuals'].any() and found['mix_error_db'] < -15

def test_another_stem_file_keeps_its_own_names(musdb, tmp_path):
    song = find_tracks(musdb[0])[0].mix_path.read_bytes()
    box = lambda name, body: (len(body)+8).to_bytes(4, 'big') + name + body
    names = json.dumps({'stems': [{'name': n} for n in ('Kick', 'Synth', 'Lead', 'Vox')]}).encode()
    at = song.index(b'moov') - 4
    size = int.from_bytes(song[at:at+4], 'big')
    more = box(b'udta', box(b'stem', names))
    old = song.index(b'udta') # ffmpeg's own, renamed so that ours is the first
    song = song[:old] + b'free' + song[old+4:]
    (tmp_path/'x.stem.mp4').write_bytes(song[:at] + (size+len(more)).to_bytes(4, 'big') + song[at+4:at+size] + more + song[at+size:])
    assert [s.name for s in musdb_track(tmp_path/'x.stem.mp4').stems] == ['kick', 'synth', 'lead', 'vocals']

def test_musdb_hq(tmp_path, toy):
    for split,song in (('train', 'A'), ('test', 'B')):
        for k,s in zip(('drums', 'bass', 'other', 'vocals'), find_tracks(toy)[0].stems): write_audio(tmp_path/split/song/f'{k}.wav', load_audio(s.path)[0], 16000)
        write_audio(tmp_path/split/song/'mixture.wav', load_audio(find_tracks(toy)[0].mix_path)[0], 16000)
    tracks = find_tracks(tmp_path)
    assert [(t.name, t.split, t.mix_path.name, len(t.stems)) for t in tracks] == [('B', 'test', 'mixture.wav', 4), ('A', 'train', 'mixture.wav', 4)]

# Plain folders and tables

def test_a_folder_a_stem_with_a_song_missing_in_one(tmp_path):
    y = np.random.default_rng(0).normal(size=4000)*.1
    for k,songs in {'drums': ('a', 'b'), 'Vox': ('a_vox', 'b_vox'), 'mix': ('a',)}.items():
        for s in songs: write_audio(tmp_path/'train'/k/f'{s}.wav', y, 8000)
    (tmp_path/'train'/'drums'/'b.wav').unlink()
    tracks = find_tracks(tmp_path)
    assert [(t.name, [s.name for s in t.stems], t.missing, bool(t.mix), t.split) for t in tracks] == [
        ('a', ['Vox', 'drums'], (), True, 'train'), ('b', ['Vox'], ('drums', 'mix'), False, 'train')]

def test_a_table(tmp_path):
    for k in ('a', 'b', 'm'): write_audio(tmp_path/'x y'/f'{k}.wav', np.zeros(800)+.1, 8000)
    rows = [('song', 'stem', 'path', 'split'), ('Ünder, "it"'.replace('"', ''), 'drums', 'x y/a.wav', 'val'), ('Ünder, it', 'voice', 'x y/b.wav', 'val'),
            ('Ünder, it', 'mix', 'x y/m.wav', 'val'), ('Ünder, it', 'bass', 'x y/gone.wav', 'val')]
    with open(tmp_path/'t.csv', 'w', newline='', encoding='utf-8-sig') as f: csv.writer(f).writerows(rows)
    t, = find_tracks(tmp_path/'t.csv')
    assert (t.name, t.split, t.kind, [s.name for s in t.stems], t.mix_path.name, t.missing) == ('Ünder, it', 'validation', 'csv', ['drums', 'voice'], 'm.wav', ('bass',))

@pytest.mark.parametrize('text,words', [
    ('song,stem\na,b\n', 'expected the columns'), ('song,stem,path,colour\n', 'colour'), ('song,stem,path\na,drums\n', 'row 2'), ('song,stem,path\na,drums,x.wav,y\n', 'row 2'),
    ('song,stem,path\na,drums,x.wav\na,drums,y.wav\n', 'drums twice'), ('song,stem,path,split\na,drums,x.wav,train\na,bass,y.wav,test\n', 'two splits'),
    ('song,stem,path,split\na,drums,x.wav,tset\n', 'tset'), ('', 'expected the columns')])
def test_tables_that_cannot_be_meant(tmp_path, text, words):
    (tmp_path/'t.csv').write_text(text)
    with pytest.raises(SongsepError, match=words): find_tracks(tmp_path/'t.csv')

def test_two_files_of_one_name(tmp_path):
    for o in ('drums.wav', 'drums.flac', 'bass.wav'): write_audio(tmp_path/'a'/o, np.zeros(800)+.1, 8000)
    with pytest.raises(SongsepError, match='both drums.flac and drums.wav'): find_tracks(tmp_path)

@pytest.mark.parametrize('name,want', [('DRUMS', 'drums'), ('02 - Bass (DI)', 'bass'), ('gtr_L', 'guitar'), ('Hi-Hat', 'drums'), ('bass drum', 'drums'), ('Synth Bass 2', 'bass'),
    ('lead vocals', 'other'), ('Rhodes', 'piano'), ('drum & bass', 'residuals'), ('without drums', 'residuals'), ('S01', 'residuals'), ('Kitten', 'residuals')])
def test_names_of_home(name, want): assert target_of(load_recipe('band'), Stem(name, Path(name))) == want

def test_a_name_that_another_instrument_owns(): assert target_of(load_recipe('bass'), Stem('bass drum', Path('x'))) == 'residuals'

@pytest.mark.parametrize('recipe', ['drums', 'band', 'bass', 'guitar', 'piano'])
def test_shipped_names_are_reached_by_themselves(recipe):
    r = load_recipe(recipe)
    assert {n: target_of(r, Stem(n, Path(n))) for ns in r.names.values() for n in ns} == {n: t for t,ns in r.names.items() for n in ns}

# Genuine data

def test_genuine_slakh(shared):
    said = []
    tracks = find_tracks(shared/'data'/'slakh_real', say=said.append)
    slakh = [t for t in tracks if t.kind == 'slakh']
    assert [t.split for t in slakh] == ['', 'train'] and len({t.uuid for t in slakh}) == 1 # one song, 16 and 44.1 kHz
    assert len(said) == 1 and 'two tracks called Track00001' in said[0]
    assert twins_between(song_list(slakh[:1]), song_list(slakh[1:])) == [('Track00001', 'Track00001', 'MIDI file')]

def test_check_of_genuine_slakh(shared):
    report = check_dataset(shared/'data'/'slakh_real'/'slakh2100_flac_redux', load_recipe('drums'), n_jobs=1)
    assert (report['tracks'], report['stems'], report['rates'], report['splits']) == (1, 10, {44100: 1}, {'train': 1})
    what = {p['what']: p for p in report['problems']}
    assert 'S06' in what['listed without a file']['value'] and 'silent stems' in what and not [p for p in report['problems'] if p['level'] == 'error']

def test_check_of_real_recordings(shared):
    folder = shared/'data'/'validation'
    report = check_dataset(folder, load_recipe('drums'), n_jobs=2)
    assert report['tracks'] == len(list(folder.iterdir())) == 11 and not [p for p in report['problems'] if p['level'] == 'error'], check_text(report)
    shares = report['recipe']['targets']
    assert (shares['drums']['tracks'], shares['accompaniments']['tracks']) == (9, 11) and shares['residuals']['share'] < 1e-6

def test_cc0_stems_have_names_that_every_recipe_knows(shared):
    tracks = find_tracks(shared/'data'/'cc0_stems')
    assert len(tracks) == 5 and all(target_of(load_recipe('band'), s) != 'residuals' for t in tracks for s in t.stems)

def test_loading_is_what_librosa_loads(shared):
    import librosa
    path = shared/'data'/'validation'/'mdn_multitrack'/'bass.flac'
    for sr,mono in ((None, True), (16000, True), (22050, False)):
        want, r = librosa.load(path, sr=sr, mono=mono)
        got, rate = Stem('bass', path).load(sr, mono)
        assert rate == r and got.shape == want.shape and np.abs(got - want).max() < 1e-6

def test_mono_beside_stereo_and_short_stems_sum(tmp_path):
    y = np.random.default_rng(0).uniform(-.1, .1, (2, 9000)).astype('float32')
    write_audio(tmp_path/'a'/'drums.wav', y, 8000, 'FLOAT')
    write_audio(tmp_path/'a'/'bass.wav', y[0,:5000], 8000, 'FLOAT')
    ys, _, _ = load_targets(find_tracks(tmp_path)[0], load_recipe('band'), mono=False)
    assert {v.shape for v in ys.values()} == {(2, 9000)} and (ys['bass'][1,:5000] == y[0,:5000]).all() and not ys['bass'][:,5000:].any()
    assert (ys['mix'] == ys['drums'] + ys['bass']).all()

# Splits and twins

@pytest.fixture(scope='module')
def slakh2100():
    "All numbers of Slakh2100, and twins: 1710 songs, some of them on both sides of the original split"
    rng = np.random.default_rng(0)
    return [Track(f'Track{i+1:05d}', Path(f'Track{i+1:05d}'), (), uuid=str(u)) for i,u in enumerate(rng.permutation(np.arange(2100)%1710))]

def count(splits): return [list(splits.values()).count(o) for o in ('train', 'validation', 'test', 'omitted')]

def crossing(tracks, splits):
    sides = {}
    for t in tracks: sides.setdefault(t.uuid, set()).add(splits[t.name])
    return sum(len(s - {'omitted'}) > 1 for s in sides.values())

def test_splits_of_slakh(slakh2100):
    original, redux, split2 = (splits_of(slakh2100, o) for o in ('original', 'redux', 'split2'))
    assert count(original) == [1500, 375, 225, 0] and crossing(slakh2100, original) > 50
    assert crossing(slakh2100, redux) == 0 and count(redux)[3] == 390
    assert crossing(slakh2100, split2) == 0 and sum(count(split2)[:3]) == 2100
    assert [original_split(o) for o in ('Track01500', 'Track01501', 'Track01875', 'Track01876', 'Track02101', 'mine')] == ['train', 'validation', 'validation', 'test', '', '']

def test_official_splits_are_read(tmp_path, slakh2100):
    moves = {t.name: {'action': None} for t in slakh2100} | {'Track00003': {'action': 'omit', 'source_split': 'train'},
        'Track00004': {'action': 'move', 'source_split': 'train', 'destination_split': 'test'}}
    (tmp_path/'splits_v2.json').write_text(json.dumps(moves))
    got = splits_of(slakh2100, tmp_path/'splits_v2.json')
    assert count(got) == [1498, 375, 226, 1] and (got['Track00003'], got['Track00004']) == ('omitted', 'test')
    for bad in ({'action': 'eat'}, [], None, {'action': 'move', 'destination_split': '../x'}):
        (tmp_path/'bad.json').write_text(json.dumps(moves | {'Track00009': bad}))
        with pytest.raises(SongsepError, match='Track00009'): splits_of(slakh2100, tmp_path/'bad.json')
    with pytest.raises(SongsepError, match='redux'): splits_of(slakh2100, 'redux3')

def test_a_song_is_known_by_its_sound(tmp_path, toy):
    t = find_tracks(toy)[0]
    for i,s in enumerate(t.stems):
        y = load_audio(s.path)[0]
        write_audio(tmp_path/'a'/'One Song'/f'{i}.wav', y, 16000)
        write_audio(tmp_path/'b'/'other name'/f'track {9-i}.flac', y, 16000)
        write_audio(tmp_path/'c'/'one_song'/f'{i}.wav', .9*y, 16000)
    a, b, c = (find_tracks(tmp_path/o) for o in 'abc')
    assert identity(a[0]).startswith('sound:') and identity(a[0]) == identity(b[0]) != identity(c[0])
    assert [o[2] for o in twins_between(song_list(a), song_list(b + c))] == ['sound', 'name']
    assert twins_between(song_list(a), song_list([t])) == [] # a MIDI file says nothing about a recording

def test_a_leaky_evaluation_is_refused(tmp_path, toy):
    from songsep.evaluation import evaluate_model
    from songsep.models import find_model
    folder = shutil.copytree(find_model('drums'), tmp_path/'leaky')
    spec = json.loads((folder/'model.json').read_text())
    for songs,words in ((song_list(find_tracks(toy)[:1]), 'Track00001'), ('all', 'training_songs'), ([{'name': 'a'}], 'training_songs')):
        (folder/'model.json').write_text(json.dumps(spec | {'training_songs': songs}))
        with pytest.raises(SongsepError, match=words): evaluate_model(folder, [toy])
    (folder/'model.json').write_text(json.dumps(spec | {'training_songs': song_list(find_tracks(toy)[:1])}))
    scores = evaluate_model(folder, [toy], say=lambda _: None, n_jobs=1, quick=True, held_out=True)
    assert {tuple(o) for o in scores.values()} == {('Track00002',)}

def test_twins_across_splits_are_found(tmp_path, toy):
    root = tmp_path/'slakh'
    for split,name in (('train', 'Track00001'), ('test', 'Track02000')): shutil.copytree(toy/'Track00001', root/split/name)
    report = check_dataset(root, n_jobs=1)
    assert [(p['level'], p['what']) for p in report['problems']] == [('error', 'twins in two splits')]
    assert 'Track00001 (train)' in check_text(report) and 'Track02000 (test)' in check_text(report)

# Reports

def test_recipe_report_adds_up(toy):
    tracks, recipe = find_tracks(toy), load_recipe('band')
    report = recipe_report(recipe, tracks, n_jobs=2)
    assert report == recipe_report(recipe, tracks, n_jobs=1)
    assert abs(sum(r['share'] for r in report['targets'].values()) - 1) < 1e-9 and report['targets']['drums']['tracks'] == 2
    want = np.array([[np.sum(load_targets(t, recipe)[0][k]**2) for k in ('drums', 'bass')] for t in tracks]).sum(0)
    assert abs(report['targets']['drums']['share']/report['targets']['bass']['share'] - want[0]/want[1]) < 1e-4
    assert 'drums' in recipe_text(report)

@pytest.mark.parametrize('recipe,words', [
    ({'Mixing key': 'inst_class', 'Recipes': {'a': ['strings (Continued)', 'Drums', 'Bass', 'Piano', 'Guitar']}}, 'other capitals'),
    ({'Mixing key': 'inst_class', 'Recipes': {'a': ['Drums', 'Bas', 'Piano', 'Guitar', 'Strings (continued)']}}, 'did you mean'),
    ({'Mixing key': 'program_num', 'Recipes': {'a': ['128', 33, 0, 25, 48]}}, 'in quotes never matches'),
    ({'Mixing key': 'inst_class', 'Recipes': {'a': ['Drums', 'Bass'], 'b': ['drums', 'Piano', 'Guitar', 'Strings (continued)']}}, "'Drums' stands in a and 'drums' in b"),
    ({'Mixing key': 'inst_class', 'Recipes': {'a': ['Drums', 'Bass', 'Piano', 'Guitar', 'Strings (continued)', 'Theremin']}}, "'Theremin' matches nothing"),
    ({'Mixing key': 'inst_class', 'Recipes': {'a': ['Drums']}}, 'fall to the residual'),
    ({'Mixing key': 'colour', 'Recipes': {'a': ['red']}}, "no key 'colour'")])
def test_slips_in_recipes(toy, recipe, words): assert any(words in o for o in lint_recipe(recipe_from(recipe, 'mine'), find_tracks(toy)))

def test_slips_in_names(tmp_path):
    for o in ('drumms', 'drums and bass', 'Vocals'): write_audio(tmp_path/'a'/f'{o}.wav', np.zeros(800)+.1, 8000)
    said = lint_recipe(load_recipe('band'), find_tracks(tmp_path))
    assert any('drumms' in o and "'drums'" in o for o in said) and any('drums and bass' in o and 'several' in o for o in said) and not any('Vocals' in o and 'goes to' in o for o in said)

def test_every_fault_is_named(tmp_path):
    rng = np.random.default_rng(0)
    def song(name, sr=8000, **ys):
        for k,v in ys.items(): write_audio(tmp_path/name/f'{k}.wav', v, sr)
    noise = lambda s=1: rng.uniform(-.2, .2, int(8000*s)).astype('float32')
    song('rates', drums=noise())
    song('rates', 16000, bass=noise(2))
    song('hot', drums=np.sign(noise()), bass=noise())
    song('nosum', drums=noise(), bass=noise(), mix=noise())
    song('lengths', drums=noise(), bass=noise(.5))
    song('silence', drums=0*noise(), bass=0*noise())
    song('twice', drums=(y := noise()), bass=(z := noise()), all_of_it=y+z)
    song('empty', drums=noise(), bass=noise())
    (tmp_path/'empty'/'bass.wav').write_bytes(b'')
    song('damaged', drums=noise())
    sf.write(tmp_path/'damaged'/'bass.flac', noise(4), 8000)
    with open(tmp_path/'damaged'/'bass.flac', 'rb+') as f: f.truncate(30000)
    song('single', vocals=noise())
    found = {(p['track'], p['what'], p['level']) for p in check_dataset(tmp_path, n_jobs=2)['problems']}
    assert found == {('rates', 'several sample rates', 'error'), ('hot', 'clipping', 'warning'), ('nosum', 'mix is not the sum', 'error'), ('lengths', 'unequal lengths', 'warning'),
        ('silence', 'no sound', 'error'), ('twice', 'mixture among the stems', 'error'), ('empty', 'cannot be read', 'error'), ('damaged', 'cannot be read', 'error'),
        ('', 'sound that no track takes', 'warning'), ('', 'tracks of several rates', 'warning')}

MEMORY = PEAK + '''
import sys
from pathlib import Path
import numpy as np, soundfile as sf
from songsep.check import scan_track
from songsep.stems import find_tracks
from songsep.recipes import load_recipe
root, seconds, rng = Path(sys.argv[1])/sys.argv[2], int(sys.argv[2]), np.random.default_rng(0)
(root/'a').mkdir(parents=True)
for k in ('drums', 'bass'):
    with sf.SoundFile(root/'a'/f'{k}.wav', 'w', 22050, 2) as f:
        for _ in range(seconds): f.write(rng.uniform(-.1, .1, (22050, 2)))
found = scan_track(find_tracks(root)[0], load_recipe('drums'))
assert found['targets']['drums']['seconds'] == seconds
print(peak())
'''

def test_memory_of_checking_does_not_know_how_long_a_song_is(tmp_path):
    def peak(seconds): return int(subprocess.run([sys.executable, '-c', MEMORY, tmp_path, str(seconds)], capture_output=True, text=True, check=True).stdout)
    short, long = peak(5), peak(300)
    print(f'peak memory: {short//1024} MB for 5 s, {long//1024} MB for 300 s')
    assert long < short + 20_000 # kB; one stem of it alone would be 53 MB

# Recipes that do not fit

def named_songs(root, *names, n=2):
    for i in range(n):
        for k in names: write_audio(root/f'song{i}'/f'{k}.wav', np.random.default_rng(i).normal(size=(1, 8000)).astype('float32')*.1, 8000)
    return root

def test_a_recipe_that_matches_nothing_says_what_to_write(tmp_path):
    tracks = [replace(t, stems=[replace(s, name=k) for s,k in zip(t.stems, ('Basss', 'Drumms'))]) for t in find_tracks(named_songs(tmp_path, 'bass', 'drums', n=1))]
    with pytest.raises(SongsepError, match=r'Stems here are: Basss, Drumms\. Say in musdb\.yaml .*`Names: {drums: \[Drumms\], bass: \[Basss\]}`'): check_recipe(load_recipe('musdb'), tracks)

def test_names_of_files_are_compared_without_regard_to_case(tmp_path):
    recipe = recipe_from({'Mixing key': 'inst_class', 'Recipes': {'voice': ['Vocals']}, 'Names': {'voice': ['Lead Vox']}}, 'mine')
    assert {target_of(recipe, Stem(o, tmp_path/'a.wav')) for o in ('lead vox', 'LEAD VOX', 'Lead Vox')} == {'voice'}

def test_a_target_that_stays_silent_is_refused(tmp_path):
    tracks = find_tracks(named_songs(tmp_path/'songs', 'drums', 'bass'))
    with pytest.raises(SongsepError, match='vocals, other would stay silent'): refuse_empty(load_recipe('musdb'), tracks)

def test_preparing_goes_on_after_a_bad_song(tmp_path):
    root = named_songs(tmp_path/'songs', 'drums', 'vocals', n=3)
    for i in (0, 2): (root/f'song{i}'/'drums.wav').write_bytes(b'RIFF no sound')
    with SpectrogramStore.create(tmp_path/'a.h5', Config(sr=8000, segment=1., n_fft=512, hop_length=128), load_recipe('vocals')) as store:
        with pytest.raises(SongsepError, match='2 of 3 tracks.*song0.*song2'): prepare(store, find_tracks(root))
        assert list(store) == ['song1']
    with pytest.raises(SongsepError, match='made with another recipe: targets vocals, accompaniment there and drums, accompaniments here'):
        SpectrogramStore.create(tmp_path/'a.h5', Config(sr=8000, segment=1., n_fft=512, hop_length=128), load_recipe('drums'))
