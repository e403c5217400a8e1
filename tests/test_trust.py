"Nothing is lost and nothing is wrong in silence: no song replaced, none left out without a word, no run thrown away."
import errno, json, os, subprocess, sys, threading, time
from pathlib import Path
import numpy as np, pytest, soundfile as sf
from songsep import songs as module
from songsep.audio import WRITTEN, AudioWriter, check_format, probe, read_blocks, write_audio, write_tags
from songsep.core import Config, SongsepError, write_json
from songsep.folder import ModelSpec
from songsep.models import Model, open_model
from songsep.songs import Output, find_songs, separate_song, separate_songs

@pytest.fixture(scope='module')
def model(): return open_model('drums')

def song(path, seconds=.5, seed=0, channels=2, sr=44100, **kw):
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, np.random.default_rng(seed).normal(size=(int(sr*seconds), channels))*.1, sr, **kw)
    return path

def files(folder): return sorted(str(o.relative_to(folder)) for o in folder.rglob('*') if o.is_file())

def separate(*args, **kw):
    said = []
    return separate_songs(*args, say=said.append, quiet=True, **kw), said

# No song is lost

def test_songs_of_one_name_are_told_apart_by_their_endings(tmp_path, model):
    for o in ('x.wav', 'x.flac', 'y.wav'): song(tmp_path/'album'/o, seed=len(o))
    found = find_songs([tmp_path/'album'])
    assert {k: p.name for k,p in found.items()} == {'x.wav': 'x.wav', 'x.flac': 'x.flac', 'y': 'y.wav'}
    done, _ = separate([tmp_path/'album'], tmp_path/'out', model)
    assert all(isinstance(r, dict) for r in done.values()) and len(list((tmp_path/'out').rglob('drums.wav'))) == 3

def test_names_that_can_not_be_told_apart_are_refused(tmp_path):
    for o in ('x.wav', 'x.flac', 'x.wav.mp3'): song(tmp_path/o, sr=44100)
    with pytest.raises(SongsepError, match='two songs are called x.wav'): find_songs([tmp_path])

def test_one_file_given_twice_is_one_song(tmp_path):
    song(tmp_path/'x.wav')
    assert list(find_songs([tmp_path/'x.wav', tmp_path/'x.wav', tmp_path])) == ['x']

@pytest.mark.parametrize('ending', '.aifc .oga .mp2 .ts .wave .3gp .flv .AIF .m2ts .spx .eac3 .wmv .mpg'.split())
def test_endings_that_can_be_read_are_found(tmp_path, ending):
    (tmp_path/f'x{ending}').touch()
    assert list(find_songs([tmp_path])) == ['x']

def test_what_is_left_aside_is_said_in_one_line(tmp_path):
    song(tmp_path/'x.wav')
    for o in ('cover.jpg', 'back.jpg', 'list.m3u', 'README'): (tmp_path/o).touch()
    said = []
    assert list(find_songs([tmp_path], say=said.append)) == ['x']
    assert len(said) == 1 and 'no ending): 4' in said[0] and '.jpg, .m3u' in said[0]

# No input is replaced, and nothing is written outside

@pytest.mark.parametrize('overwrite', [False, True])
def test_the_song_itself_is_never_replaced(tmp_path, model, overwrite):
    path = song(tmp_path/'drums.wav')
    before = path.read_bytes()
    with pytest.raises(SongsepError, match='never replaced') as e: separate_song(path, tmp_path, model, Output(filename='{stem}.{ext}'), overwrite=overwrite)
    assert '--overwrite' not in str(e.value) and path.read_bytes() == before and files(tmp_path) == ['drums.wav']

def test_no_other_song_of_the_batch_is_replaced(tmp_path, model):
    song(tmp_path/'a.wav')
    other = song(tmp_path/'a'/'drums.wav', seed=1)
    before = other.read_bytes()
    done, said = separate([tmp_path/'a.wav', other], tmp_path, model, overwrite=True)
    assert isinstance(done['a'], SongsepError) and 'never replaced' in str(done['a']) and isinstance(done['drums'], dict) and other.read_bytes() == before

def test_a_link_to_the_song_is_the_song(tmp_path, model):
    path = song(tmp_path/'songs'/'x.wav')
    (tmp_path/'out'/'x').mkdir(parents=True)
    os.link(path, tmp_path/'out'/'x'/'drums.wav')
    with pytest.raises(SongsepError, match='never replaced'): separate_song(path, tmp_path/'out', model, overwrite=True)

@pytest.mark.parametrize('name', ['...wav', '..wav', '. .wav', '....flac'])
def test_names_of_dots_stay_in_the_output_folder(tmp_path, model, name):
    song(tmp_path/'in'/'deep'/name, format=name[-4:].strip('.').upper())
    done, _ = separate([tmp_path/'in'/'deep'/name], tmp_path/'in'/'deep'/'out', model)
    assert all(isinstance(r, dict) for r in done.values())
    assert all(o.startswith('deep/out/') for o in files(tmp_path/'in') if o != f'deep/{name}') and len(files(tmp_path/'in')) == 4

@pytest.mark.parametrize('name', ['音'*80, '\U00020000'*60, 'x'*251])
@pytest.mark.parametrize('filename', ['{song}/{stem}.{ext}', '{song} {stem}.{ext}', '{stem}/{song}.{ext}'])
def test_a_name_that_fills_the_room_of_a_file_name(tmp_path, model, name, filename):
    "Separated, or refused before the work with what to do"
    path = song(tmp_path/f'{name}.wav')
    try: receipt = separate_song(path, tmp_path/'out', model, Output(filename=filename))
    except SongsepError as e:
        assert '255 are the most' in str(e) and '--filename' in str(e) and not (tmp_path/'out').exists()
        assert ' ' in filename or len(name.encode()) > 250
    else: assert ' ' not in filename and len(receipt['files']) == 2

@pytest.mark.parametrize('name', ['..', '../x', 'a/../../b', '/x', 'a\0b', '.'])
def test_places_outside_are_refused(tmp_path, model, name):
    song(tmp_path/'x.wav')
    with pytest.raises(SongsepError, match='outside'): separate_song(tmp_path/'x.wav', tmp_path/'out', model, name=name)
    assert files(tmp_path) == ['x.wav']

def test_two_processes_and_two_songs_of_one_name(tmp_path):
    paths = [song(tmp_path/o/'x.wav', 4, seed=i) for i,o in enumerate('ab')]
    exe = Path(sys.executable).with_name('songsep')
    both = [subprocess.Popen([exe, 'separate', p, '-o', tmp_path/'out'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for p in paths]
    said = [p.communicate() for p in both]
    assert sorted(p.returncode for p in both) == [0, 2], said
    first = next(i for i,p in enumerate(both) if p.returncode == 0)
    assert 'was made from another song' in said[1-first][1]
    stems = [sf.read(tmp_path/'out'/'x'/f'{k}.wav', dtype='int16')[0] for k in ('drums', 'accompaniments')]
    assert (sum(stems) == sf.read(paths[first], dtype='int16')[0]).all()
    assert files(tmp_path/'out') == ['x/accompaniments.wav', 'x/drums.wav', 'x/separation.json']

# Several runs at one place

def halves(name, *stems):
    "A model that gives every stem the same share"
    config = Config(sr=16000, segment=.25, n_fft=256, hop_length=64)
    def share(X): return np.full((*X.shape[:-1], X.shape[-1]*len(stems)), 1/len(stems), 'float32')
    return Model(Path(name), ModelSpec(name, list(stems), config, weights_sha256=name), 'toy', share)

DRUMS, VOICE, BAND = halves('drums', 'drums', 'accompaniments'), halves('voice', 'vocals', 'accompaniment'), halves('band', 'drums', 'bass', 'other')

def told(folder):
    "Model and files of each run in a receipt; every file that it names is there and belongs to one run"
    last = json.loads((folder/'separation.json').read_text())
    runs = [last, *last.get('others', [])]
    named = [f for r in runs for f in r['files'].values()]
    assert len(named) == len({*named}) and all((folder/f).exists() for f in named)
    assert all(r['level_db'].keys() == r['files'].keys() for r in runs)
    return [(r['model'], *r['files'].values()) for r in runs]

def test_a_second_model_leaves_the_first_ones_receipt(tmp_path):
    "It was replaced without a word, and the first model's own files then counted as another song's"
    path, out = song(tmp_path/'x.wav', sr=16000), tmp_path/'out'
    first = separate_song(path, out, DRUMS)
    separate_song(path, out, VOICE)
    drums, voice = ('drums', 'drums.wav', 'accompaniments.wav'), ('voice', 'vocals.wav', 'accompaniment.wav')
    assert told(out/'x') == [voice, drums]
    again = separate_song(path, out, DRUMS)
    assert again == first | {'skipped': True} and told(out/'x') == [drums, voice] # the console and the app read the first
    with pytest.raises(SongsepError, match='drums.wav exists'): separate_song(path, out, BAND)
    assert told(out/'x') == [drums, voice]

def test_what_is_replaced_is_no_longer_told_of(tmp_path):
    path, out = song(tmp_path/'x.wav', sr=16000), tmp_path/'out'
    for o in (DRUMS, VOICE): separate_song(path, out, o)
    separate_song(path, out, BAND, overwrite=True)
    band, voice = ('band', 'drums.wav', 'bass.wav', 'other.wav'), ('voice', 'vocals.wav', 'accompaniment.wav')
    assert told(out/'x') == [band, voice, ('drums', 'accompaniments.wav')]
    with pytest.raises(SongsepError, match='drums.wav exists'): separate_song(path, out, DRUMS) # all its names are there, one is the band's
    (out/'x'/'accompaniments.wav').unlink()
    separate_song(path, out, BAND, Output(mixes=('low=bass',)))
    assert told(out/'x') == [('band', 'low.wav'), band, voice]

def test_a_run_that_dies_between_its_files_and_its_receipt_leaves_no_lie(tmp_path, monkeypatch):
    path, out = song(tmp_path/'x.wav', sr=16000), tmp_path/'out'
    for o in (DRUMS, VOICE): separate_song(path, out, o)
    class Died(BaseException): pass
    def die(path, obj):
        if obj['model'] == 'band': raise Died
        write_json(path, obj)
    with monkeypatch.context() as m:
        m.setattr(module, 'write_json', die)
        with pytest.raises(Died): separate_song(path, out, BAND, overwrite=True)
    assert told(out/'x') == [('voice', 'vocals.wav', 'accompaniment.wav'), ('drums', 'accompaniments.wav')]
    assert not separate_song(path, out, BAND).get('skipped') # its own files need no --overwrite
    assert [o[0] for o in told(out/'x')] == ['band', 'voice', 'drums']

def test_another_song_of_that_name_gets_no_place_in_the_folder(tmp_path):
    "Stems of two songs lay in one folder, whose receipt told of one of them"
    a, b = (song(tmp_path/o/'x.wav', seed=i, sr=16000) for i,o in enumerate('ab'))
    separate_song(a, tmp_path/'out', DRUMS)
    with pytest.raises(SongsepError, match='tells of another song'): separate_song(b, tmp_path/'out', VOICE)
    assert files(tmp_path/'out') == ['x/accompaniments.wav', 'x/drums.wav', 'x/separation.json']
    separate_song(b, tmp_path/'out', VOICE, overwrite=True)
    assert told(tmp_path/'out'/'x') == [('voice', 'vocals.wav', 'accompaniment.wav'), ('drums', 'drums.wav', 'accompaniments.wav')]

@pytest.mark.parametrize('text', ['my notes', '[]', '{"files": {}}', '{"files": {"a": 1}, "song": "x", "gain": 1}', '{"files": {"a": "a"}, "song": "x", "gain": 1, "others": [3]}'])
def test_a_file_that_is_no_receipt_is_not_replaced_by_one(tmp_path, text):
    path, notes = song(tmp_path/'x.wav', sr=16000), tmp_path/'out'/'x'/'separation.json'
    notes.parent.mkdir(parents=True)
    notes.write_text(text)
    with pytest.raises(SongsepError, match='is no receipt'): separate_song(path, tmp_path/'out', DRUMS)
    assert notes.read_text() == text and files(tmp_path/'out') == ['x/separation.json']
    separate_song(path, tmp_path/'out', DRUMS, overwrite=True)
    assert told(notes.parent) == [('drums', 'drums.wav', 'accompaniments.wav')]

def test_a_name_that_ends_in_capitals_is_finished_too(tmp_path):
    path, output = song(tmp_path/'x.wav', sr=16000), Output(filename='{song} {stem}.WAV')
    separate_song(path, tmp_path/'out', DRUMS, output)
    assert files(tmp_path/'out') == ['x accompaniments.WAV', 'x drums.WAV', 'x separation.json']
    assert separate_song(path, tmp_path/'out', DRUMS, output)['skipped']

def test_songs_of_a_batch_keep_the_receipts_of_both_models(tmp_path):
    for i in range(2): song(tmp_path/'album'/f'{i}.wav', seed=i, sr=16000)
    for o in (DRUMS, VOICE): assert all(isinstance(r, dict) for r in separate([tmp_path/'album'], tmp_path/'out', o)[0].values())
    assert all([o[0] for o in told(tmp_path/'out'/name)] == ['voice', 'drums'] for name in '01')
    again, said = separate([tmp_path/'album'], tmp_path/'out', DRUMS)
    assert all(r['skipped'] for r in again.values()) and all('were there already' in o for o in said)

# No run is thrown away

def stopped(path, out, model, output=Output()):
    "A run that ends half-way, as with Ctrl-C"
    class Stop(BaseException): pass
    def stop(fraction, stage):
        if fraction > .5: raise Stop
    with pytest.raises(Stop): separate_song(path, out, model, output, progress=stop)
    spool = next(out.glob('.*.part/outputs.f32'))
    assert spool.stat().st_size > 0
    return spool

def test_an_error_leaves_a_run_that_can_go_on(tmp_path, model, monkeypatch):
    path = song(tmp_path/'x.wav', 30)
    spool = stopped(path, tmp_path/'out', model)
    kept = spool.stat().st_size
    with monkeypatch.context() as m:
        m.setattr(module, '_compute', lambda *a: 1/0)
        with pytest.raises(ZeroDivisionError): separate_song(path, tmp_path/'out', model)
    with monkeypatch.context() as m: # what is there already counts as space
        m.setattr(module.shutil, 'disk_usage', lambda p: type('', (), {'free': 10*2**20})())
        with pytest.raises(SongsepError, match='MB left'): separate_song(path, tmp_path/'out', model)
        m.setattr(module.shutil, 'disk_usage', lambda p: type('', (), {'free': 45*2**20 - sum(o.stat().st_size for o in spool.parent.iterdir())})())
        seen = []
        separate_song(path, tmp_path/'out', model, progress=lambda f, s: seen.append(f))
    assert kept > 10**6 and seen[0] > .4 and files(tmp_path/'out') == ['x/accompaniments.wav', 'x/drums.wav', 'x/separation.json']

def test_a_damaged_song_leaves_nothing(tmp_path, model):
    path = song(tmp_path/'x.flac', 20)
    path.write_bytes(path.read_bytes()[:-20000])
    with pytest.raises(SongsepError, match='damaged'): separate_song(path, tmp_path/'out', model)
    assert not (tmp_path/'out').exists()

def test_what_other_settings_left_is_cleared_with_a_word(tmp_path, model):
    path = song(tmp_path/'x.wav', 30)
    spool = stopped(path, tmp_path/'out', model)
    receipt = separate_song(path, tmp_path/'out', model, Output(bit_depth='24'))
    assert not spool.exists() and 'were removed' in receipt['remarks'][0] and files(tmp_path/'out') == ['x/accompaniments.wav', 'x/drums.wav', 'x/separation.json']

def test_what_another_song_left_stays(tmp_path, model):
    spool = stopped(song(tmp_path/'x.wav', 30), tmp_path/'out', model)
    assert not separate_song(song(tmp_path/'y.wav'), tmp_path/'out', model)['remarks'] and spool.exists()

# One fault is one song's

def test_any_fault_is_one_songs_fault(tmp_path, model, monkeypatch):
    for o in 'abc': song(tmp_path/f'{o}.wav', seed=ord(o))
    real = module._separate
    def faulty(song, *args):
        if song.path.stem == 'a': raise MemoryError('no memory')
        if song.path.stem == 'b': raise PermissionError(13, 'Permission denied', str(song.path))
        return real(song, *args)
    monkeypatch.setattr(module, '_separate', faulty)
    done, said = separate([tmp_path/f'{o}.wav' for o in 'abc'], tmp_path/'out', model)
    assert isinstance(done['a'], MemoryError) and isinstance(done['b'], SongsepError) and isinstance(done['c'], dict) and len(said) == 3

# Tried before the work

def before(path, out, model, output, words):
    "Refused before anything is computed"
    def progress(*a): raise AssertionError('the work has begun')
    with pytest.raises(SongsepError, match=words): separate_song(path, out, model, output, progress=progress)
    assert not out.exists()

@pytest.mark.parametrize('fmt,sr,channels,words', [('ogg', 384000, 2, "can't hold 384000 Hz"), ('ogg', 220000, 1, "can't hold 220000 Hz"), ('mp3', 88200, 2, "can't hold 88200 Hz"),
    ('mp3', 44100, 6, "can't hold 6 channels"), ('mp3', 4000, 1, "can't hold 4000 Hz"), ('flac', 44100, 9, "can't hold 9 channels"), ('flac', 700000, 1, "can't hold 700000 Hz")])
def test_what_a_format_can_not_hold_is_said_before_the_work(tmp_path, model, fmt, sr, channels, words):
    before(song(tmp_path/'x.wav', .2, sr=sr, channels=channels), tmp_path/'out', model, Output(fmt=fmt), words)

@pytest.mark.parametrize('fmt', ['raw', 'htk', 'sds', 'svx', 'wve', 'xi', 'sd2', 'mpc2k', 'mat5', 'm4a', 'x/y', ''])
def test_formats_that_keep_no_rate_or_no_length_are_refused_before_the_work(fmt):
    "WVE and XI gave another rate without a word, others ended in a traceback after the work"
    with pytest.raises(SongsepError, match="can't be written. Use wav"): Output(fmt=fmt)

@pytest.mark.parametrize('fmt', WRITTEN)
@pytest.mark.parametrize('channels,sr,subtype', [(2, 44100, 'PCM_16'), (1, 8000, 'PCM_U8'), (6, 12345, 'PCM_24'), (2, 384000, 'FLOAT')])
def test_every_format_keeps_rate_and_length_or_says_that_it_can_not(tmp_path, model, fmt, channels, sr, subtype):
    sf.write(tmp_path/'a.wav', np.random.default_rng(0).normal(size=(9001, channels))*.05, sr, subtype)
    try: r = separate_song(tmp_path/'a.wav', tmp_path/'out', model, Output(fmt=fmt))
    except SongsepError as e:
        assert fmt in ('mp3', 'ogg') and "can't hold" in str(e)
        return
    for o in r['files'].values():
        i = probe(tmp_path/'out'/'a'/o)
        assert (i.sr, i.channels) == (sr, channels) and abs(sum(y.shape[1] for y in read_blocks(i.path)) - 9001) == 0

def test_aiff_above_4_gb_is_refused(): # in a few bytes
    with pytest.raises(SongsepError, match='4 GB'): check_format('aiff', 44100, 2, 2**30 + 1)
    for o in ('wav', 'flac', 'w64', 'caf'): check_format(o, 44100, 2, 2**33)

@pytest.mark.parametrize('fmt', ['wav', 'flac', 'mp3', 'ogg'])
@pytest.mark.parametrize('tags,cover', [({'title': ['A']}, 17<<20), ({'title': []}, 0), ({'title': [''], 'artist': ['B']}, 0), ({'title': ['x'*100_000]}, 10)])
def test_tags_never_cost_the_stems(tmp_path, model, monkeypatch, fmt, tags, cover):
    monkeypatch.setattr(module, 'read_tags', lambda p: (tags, [('image/png', b'x'*cover)] if cover else []))
    receipt = separate_song(song(tmp_path/'x.wav'), tmp_path/'out', model, Output(fmt=fmt))
    for f in receipt['files'].values(): assert sum(y.shape[1] for y in read_blocks(tmp_path/'out'/'x'/f)) == 22050

@pytest.mark.parametrize('template,fmt,words', [('{stem}.{foo}', 'wav', 'must hold'), ('{stem', 'wav', 'not understood'), ('{stem}}', 'wav', 'not understood'), ('{}/{stem}.{ext}', 'wav', 'must hold'),
    ('{stem!r}.{ext}', 'wav', 'must hold'), ('{stem:>20}.{ext}', 'wav', 'must hold'), ('{stem.x}.{ext}', 'wav', 'must hold'), ('{song}/{stem}.wav', 'flac', 'must end in'), ('{song}/{stem}', 'wav', 'must end in'),
    ('/x/{stem}.{ext}', 'wav', 'below the output folder'), ('../{stem}.{ext}', 'wav', 'below the output folder'), ('C:\\x\\{stem}.{ext}', 'wav', 'below the output folder'), ('{song}.{ext}', 'wav', 'must hold')])
def test_templates_are_refused_in_one_sentence(template, fmt, words):
    with pytest.raises(SongsepError, match=words) as e: Output(filename=template, fmt=fmt)
    assert '\n' not in str(e.value)

@pytest.mark.parametrize('fmt', ['.mp3', 'MP3', '.Mp3'])
def test_a_format_may_have_a_dot(fmt): assert Output(fmt=fmt).fmt == 'mp3' and Output(fmt=fmt).path('x', 'drums') == 'x/drums.mp3'

@pytest.mark.parametrize('template', ['{song}/{stem}.{ext}', '{song}/{stem}.wav', '{stem}.wav', '{song} {stem}.{ext}'])
def test_the_receipt_is_json(template):
    o = Output(filename=template)
    assert o.path('x', 'separation', 'json').endswith('separation.json') and o.path('x', 'console', 'html').endswith('console.html') and o.path('x', 'drums').endswith('drums.wav')

def test_blanks_after_a_comma(): assert Output(stems=('drums', ' accompaniments', '')).stems == ('drums', 'accompaniments')

# Files are what they should be

@pytest.mark.parametrize('subtype', ['PCM_16', 'PCM_24', 'FLOAT'])
def test_a_wav_that_may_grow_is_plain_if_it_does_not(tmp_path, subtype):
    with AudioWriter(tmp_path/'x.wav', 8000, 1, subtype) as w: w.write(np.zeros((1, 8000), 'float32'))
    assert (tmp_path/'x.wav').read_bytes()[:4] == b'RIFF' and probe(tmp_path/'x.wav').samples == 8000

def test_a_wav_above_4_gb_is_rf64(tmp_path, monkeypatch):
    "Its samples are written in the test of long files; here the header alone"
    from songsep import audio
    part = tmp_path/'x.wav'
    with audio._open_for_writing(part, 44100, 2, 'PCM_16', 5*10**9) as f: assert f.format == 'RF64'
    with audio._open_for_writing(part, 44100, 2, 'PCM_16', 10**9) as f: assert f.format == 'WAV'

@pytest.mark.skipif(os.environ.get('SONGSEP_LONG') != '1', reason='writes 5 GB: SONGSEP_LONG=1')
@pytest.mark.parametrize('suffix', ['wav', 'w64', 'caf'])
def test_5_gb_come_back(tmp_path, suffix):
    path, block, n = tmp_path/f'long.{suffix}', np.random.default_rng(0).normal(size=(2, 1<<20)).astype('float32')*.1, 0
    with AudioWriter(path, 44100, 2, 'FLOAT', 600<<20) as w:
        for _ in range(600): w.write(block)
    assert path.stat().st_size > 5*10**9 and probe(path).samples == 600<<20
    for y in read_blocks(path, 1<<20):
        n += y.shape[1]
        assert np.array_equal(y, block)
    assert n == 600<<20

def test_a_file_that_kept_less_than_it_was_given_gets_no_name(tmp_path):
    with pytest.raises(SongsepError, match='1000 samples were written, and 500'):
        with AudioWriter(tmp_path/'x.wav', 8000, 1, 'PCM_16', 1000) as w:
            w.write(np.zeros((1, 500), 'float32'))
            w.n = 1000
    assert files(tmp_path) == []

# The command

def command(*args, cwd, **kw):
    return subprocess.run([Path(sys.executable).with_name('songsep'), *map(str, args)], cwd=cwd, capture_output=True, text=True, **kw)

def test_a_name_that_is_no_utf8_on_a_terminal_that_knows_ascii_alone(tmp_path):
    path = tmp_path/os.fsdecode(b'caf\xe9 \xc3\xbc.wav')
    song(tmp_path/'x.wav').rename(path)
    done = command('separate', path, '-o', 'out', '--json', cwd=tmp_path, env=os.environ | {'PYTHONIOENCODING': 'ascii', 'LC_ALL': 'C'})
    assert done.returncode == 0 and not done.stderr, done.stderr
    found = json.loads(done.stdout)['songs']
    assert len(found) == 1 and all(os.path.exists(tmp_path/f) for r in found.values() for f in r['files'].values())
    assert json.loads(next((tmp_path/'out').rglob('separation.json')).read_text(encoding='utf-8'))['song'] == path.name

@pytest.mark.parametrize('ending', ['| head -c 5', '>&-', '>&- 2>&-', '| true'])
def test_a_reader_that_goes_away_stops_nothing(tmp_path, ending):
    for o in 'ab': song(tmp_path/f'{o}.wav')
    exe = Path(sys.executable).with_name('songsep')
    done = subprocess.run(['bash', '-c', f'set -o pipefail; {exe} separate a.wav b.wav -o out {ending}'], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert len(list((tmp_path/'out').rglob('separation.json'))) == 2

def test_a_fault_of_ours_in_one_song_ends_with_3(tmp_path):
    for o in 'ab': song(tmp_path/f'{o}.wav')
    code = '''from songsep import songs
real = songs._separate
songs._separate = lambda song, *a: 1/0 if song.path.stem == 'a' else real(song, *a)
from songsep.cli import main
main()'''
    done = subprocess.run([sys.executable, '-c', code, 'separate', 'a.wav', 'b.wav', '-o', 'out'], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 3 and 'ZeroDivisionError' in done.stderr and (tmp_path/'out'/'b'/'drums.wav').exists()

# No stem is cut short by a length that was only estimated

def joined(path, seconds=(4, 4), rates=(64000, 320000), **kw):
    "An mp3 or aac that begins at a low bit rate and goes on at a high one, as VBR may: its length can't be told from its beginning"
    import av
    y, parts = np.random.default_rng(0).normal(size=(1, 44100*10)).astype('float32')*.1, []
    for i,(s,rate) in enumerate(zip(seconds, rates)):
        part = path.with_name(f'{i}{path.suffix}')
        with av.open(str(part), 'w', options=kw) as out:
            stream = out.add_stream('libmp3lame' if path.suffix == '.mp3' else 'aac', rate=44100, layout='mono')
            stream.bit_rate = rate
            to = av.AudioResampler(format=stream.codec_context.format, layout='mono', rate=44100, frame_size=stream.codec_context.frame_size)
            frame = av.AudioFrame.from_ndarray(y[:, :44100*s], format='fltp', layout='mono')
            frame.rate, frame.pts = 44100, 0
            for f in [*to.resample(frame), *to.resample(None)]: out.mux(stream.encode(f))
            out.mux(stream.encode(None))
        parts.append(part.read_bytes())
        part.unlink()
    path.write_bytes(b''.join(parts))
    return path

@pytest.mark.parametrize('suffix', ['.mp3', '.aac'])
@pytest.mark.parametrize('rates', [(32000, 160000), (160000, 32000)]) # the estimate is too long, and too short
def test_the_length_of_a_stem_is_counted_where_it_is_an_estimate(tmp_path, suffix, rates):
    from songsep.core import Config
    from songsep.preprocessing import Segments, load_audio_dict, save_audio_dict
    from songsep.recipes import load_recipe
    from songsep.stems import find_tracks
    import warnings
    for stem in ('drums', 'bass'):
        (tmp_path/'songs'/'a').mkdir(parents=True, exist_ok=True)
        joined(tmp_path/'songs'/'a'/f'{stem}{suffix}', rates=rates, **({'write_xing': '0', 'id3v2_version': '0'} if suffix == '.mp3' else {}))
    path = tmp_path/'songs'/'a'/f'drums{suffix}'
    want = sum(y.shape[1] for y in read_blocks(path, remark=lambda s: None))
    info = probe(path)
    assert abs(want - 8*44100) < 6000 and not info.exact and abs(info.samples - want) > 44100
    track, = find_tracks(tmp_path/'songs')
    recipe, config = load_recipe('drums'), Config(segment=1., n_fft=1024, hop_length=256)
    segs = Segments(track, recipe, config)
    assert segs.samples == want and len(list(segs)) == -(-want//44100)
    d = save_audio_dict(tmp_path/'d.npy', [track], recipe, config)
    assert len(d) == len(segs) and np.abs(d['drums'][7]).max() > .05

def test_sound_after_the_length_that_a_header_states_is_no_loss_in_silence(tmp_path):
    from songsep.core import Config
    from songsep.preprocessing import Segments
    from songsep.recipes import load_recipe
    from songsep.stems import find_tracks
    (tmp_path/'songs'/'a').mkdir(parents=True)
    for stem in ('drums', 'bass'): joined(tmp_path/'songs'/'a'/f'{stem}.mp3') # the header of the first part counts that part alone
    track, = find_tracks(tmp_path/'songs')
    segs = Segments(track, load_recipe('drums'), Config(segment=1., n_fft=1024, hop_length=256))
    if segs.samples > 7*44100: return # counted
    with pytest.raises(SongsepError, match=r'lasts 8.\d+ s, but its header states 4.\d+ s'): list(segs)

def test_the_console_holds_all_of_a_song_whose_length_is_an_estimate(tmp_path):
    from songsep.console import _clock, console_page
    path = joined(tmp_path/'x.mp3', rates=(320000, 32000), write_xing='0', id3v2_version='0') # it seems to last 4 s
    assert _clock(probe(path).seconds) != _clock(8)
    page = console_page({'x': path})
    assert f'0:00 / {_clock(8)}<' in page and 'The first' not in page

# Workers, extreme numbers, no network

def test_workers_take_no_module_from_the_current_folder(tmp_path, model):
    for o in ('random', 'json', 'numpy', 'soundfile'): (tmp_path/f'{o}.py').write_text('raise SystemError("not this one")')
    for o in ('drums', 'bass'): song(tmp_path/'songs'/'a'/f'{o}.wav'), song(tmp_path/'songs'/'b'/f'{o}.wav', seed=1)
    done = command('prepare', 'songs', '--recipe', 'drums', '-o', 'x.h5', '--jobs', 2, '--segment', .4, cwd=tmp_path)
    assert done.returncode == 0 and 'not this one' not in done.stderr, done.stderr

def killed(signal): os.kill(os.getpid(), signal)

@pytest.mark.parametrize('signal,words', [(9, 'memory'), (11, 'SIGSEGV')])
def test_memory_is_blamed_only_where_it_may_be(signal, words):
    from songsep.jobs import run_jobs
    (_, e), = run_jobs(killed, [signal], 2)
    assert isinstance(e, SongsepError) and words in str(e) and ('memory' in str(e)) == (words == 'memory')

def test_python_310_is_told_which_file_is_in_its_way(tmp_path):
    from songsep.jobs import _shadow
    (tmp_path/'random.py').touch(), (tmp_path/'songs.py').touch()
    assert _shadow(tmp_path, (3, 10)) == 'random.py' and _shadow(tmp_path, (3, 11)) is None

@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('loud', [1e-44, 1e-38, 1e-20, 1e5, 1e11])
@pytest.mark.parametrize('output', [Output(), Output(bit_depth='16'), Output(fmt='flac')])
def test_numbers_near_the_ends_of_float32(tmp_path, model, loud, output):
    y = (np.random.default_rng(0).uniform(-1, 1, (4410, 2))*loud).astype('float32')
    sf.write(tmp_path/'x.wav', y, 44100, subtype='FLOAT')
    r = separate_song(tmp_path/'x.wav', tmp_path/'out', model, output)
    total = sum(np.concatenate(list(read_blocks(tmp_path/'out'/'x'/f)), 1) for f in r['files'].values()).astype('f8')
    step = {'FLOAT': loud*2**-21, 'PCM_16': 2**-15, 'PCM_24': 2**-23}[r['subtype']]
    assert np.abs(total - r['gain']*y.T).max() <= 1.01*step + 1e-44 # the song itself is louder than its stems, and above full scale
    assert (r['gain'] < 1) == (loud > 1 and r['subtype'] != 'FLOAT')

@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('value,words', [(2e12, "2e.12 times full scale"), (3e38, '3e.38 times'), (-3e38, '3e.38 times'), (np.nan, 'not a number'), (-np.inf, 'infinite')])
@pytest.mark.parametrize('subtype', ['FLOAT', 'DOUBLE'])
def test_samples_that_no_sound_has_are_refused(tmp_path, model, value, words, subtype):
    y = np.zeros((44100, 1))
    y[22050] = value
    sf.write(tmp_path/'x.wav', y, 44100, subtype=subtype)
    with pytest.raises(SongsepError, match=f'near 0.*{words}'): separate_song(tmp_path/'x.wav', tmp_path/'out', model)

def test_pulling_without_a_network_says_so_at_once(tmp_path):
    closed = dict.fromkeys(('http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'npm_config_registry'), 'http://127.0.0.1:9')
    for name in ('spleeter-2stems', 'htdemucs'): # 4 and 3 s where nothing else runs
        start = time.time()
        done = command('models', 'pull', name, cwd=tmp_path, env=os.environ | closed | {'no_proxy': '', 'NO_PROXY': ''})
        last = done.stderr.strip().splitlines()[-1]
        assert done.returncode == 2 and time.time() - start < 25 and 'could not be fetched' in last and 'online?' in last, done.stderr
        assert not any(o in done.stderr for o in ('urllib3', 'HTTPS', 'retries', 'Traceback', 'errno')), done.stderr

# What killed processes leave

@pytest.mark.parametrize('name,left', [('a.npz', '.a.{}.part.npz'), ('a.weights.h5', '.a.weights.{}.part.weights.h5'), ('model', '.model.{}.part')])
def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path, name, left):
    from songsep.core import _machine, aside
    dead, alive, elsewhere = (tmp_path/left.format(o) for o in (f'{_machine()}-999999999', f'{_machine()}-{os.getppid()}', f'another{_machine()}-999999999'))
    for o in (dead, alive, elsewhere): o.mkdir() if '.' not in name else o.touch()
    (tmp_path/'.b.part').touch()
    assert not aside(tmp_path/name).exists()
    assert sorted(tmp_path.iterdir()) == sorted([alive, elsewhere, tmp_path/'.b.part'])

def test_a_console_makes_no_files_that_a_kill_would_leave(tmp_path, monkeypatch):
    import tempfile
    from songsep.console import console_page
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path/'nowhere'))
    assert '<h2' in console_page({'x': song(tmp_path/'x.wav')})

# More of the same kinds

def test_links_hidden_songs_and_linked_folders_are_said(tmp_path):
    song(tmp_path/'songs'/'x.wav')
    song(tmp_path/'songs'/'.y.wav')
    song(tmp_path/'other'/'z.wav')
    (tmp_path/'songs'/'album').symlink_to(tmp_path/'other')
    (tmp_path/'songs'/'gone.wav').symlink_to(tmp_path/'nowhere.wav')
    (tmp_path/'songs'/'round.wav').symlink_to(tmp_path/'songs'/'round.wav')
    said = []
    assert list(find_songs([tmp_path/'songs'], say=said.append)) == ['x']
    assert len(said) == 1 and all(o in said[0] for o in ('hidden sound files: 1', 'linked folders: 1', 'links to nothing, or pipes: 2')), said

def test_the_output_folder_may_lie_above_the_songs_but_is_not_their_folder(tmp_path):
    song(tmp_path/'album'/'x.wav')
    assert list(find_songs([tmp_path/'album'], out=tmp_path)) == ['x']
    with pytest.raises(SongsepError, match='is the output folder too'): find_songs([tmp_path/'album'], out=tmp_path/'album')

def test_one_file_under_two_ways_of_writing_its_path_is_one_song(tmp_path, monkeypatch):
    song(tmp_path/'x.wav')
    monkeypatch.chdir(tmp_path)
    assert list(find_songs(['x.wav', tmp_path/'x.wav', tmp_path/'..'/tmp_path.name/'x.wav'])) == ['x']

def test_a_song_without_a_name_is_not_the_current_folder(tmp_path, monkeypatch):
    song(tmp_path/'x.wav')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SongsepError, match='name is empty'): find_songs([''])

def test_what_one_song_of_a_run_gave_is_replaced_by_no_other(tmp_path, model):
    "Their names met by the template, and with --overwrite one was lost"
    paths = [song(tmp_path/'x.wav', seed=1), song(tmp_path/'x_no.wav', seed=2)]
    done, _ = separate(paths, tmp_path/'out', model, output=Output(two_stems='drums', filename='{song}_{stem}.{ext}'), overwrite=True)
    assert isinstance(done['x'], dict) and 'never replaced' in str(done['x_no'])
    assert sorted(files(tmp_path/'out')) == ['x_drums.wav', 'x_no_drums.wav', 'x_separation.json']

@pytest.mark.parametrize('tells', [True, False])
def test_names_that_differ_in_case_meet_where_the_disk_takes_them_for_one(tmp_path, model, monkeypatch, tells):
    paths = [song(tmp_path/f'{i}'/name, seed=i) for i,name in enumerate(('x.wav', 'X.wav'))]
    assert module._tells_case(tmp_path/'out') # of this disk
    monkeypatch.setattr(module, '_tells_case', lambda folder: tells)
    done, _ = separate(paths, tmp_path/'out', model, overwrite=True)
    assert [isinstance(done[o], dict) for o in ('x', 'X')] == [True, tells]

@pytest.mark.parametrize('error,words', [(errno.EFBIG, 'may be so large'), (errno.ENOSPC, 'is full'), (errno.EDQUOT, 'your quota')])
def test_a_disk_that_takes_no_more_is_named(tmp_path, model, monkeypatch, error, words):
    path = song(tmp_path/'x.wav')
    def full(self, *a, **k): raise OSError(error, 'no', str(self))
    monkeypatch.setattr(module._Spool, '__init__', full)
    done, _ = separate([path], tmp_path/'out', model)
    said = str(done['x'])
    assert isinstance(done['x'], SongsepError) and words in said and '.part' not in said
