"Whatever comes in comes back: length, rate, channels, and a sum that is the song."
import itertools, time
import numpy as np, pytest, soundfile as sf
from songsep.audio import AudioWriter, probe, read_blocks, read_tags, write_audio, write_tags
from songsep.core import SongsepError, read_json, write_json
from songsep.models import open_model
from songsep.songs import Output, find_songs, separate_song, separate_songs

@pytest.fixture(scope='module')
def model(): return open_model('drums')

def sound(channels, sr, seconds=.7):
    "Clicks and a chord, a little different in each channel"
    t = np.arange(int(sr*seconds))/sr
    y = .2*np.sin(2*np.pi*220*t) + .1*np.sin(2*np.pi*331*t) + .3*np.random.default_rng(0).normal(size=len(t))*(t%.25 < .02)
    return np.stack([.6*y*(1 - .1*c) for c in range(channels)]).clip(-.9, .9).astype('float32')

def encode(path, y, sr, codec):
    "Write what libsndfile can't, by PyAV"
    import av
    layout = {1: 'mono', 2: 'stereo', 6: '5.1'}[len(y)]
    with av.open(str(path), 'w') as out:
        stream = out.add_stream(codec, rate=sr, layout=layout)
        to = av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=sr, frame_size=stream.codec_context.frame_size or 1024)
        frame = av.AudioFrame.from_ndarray(y, format='fltp', layout=layout)
        frame.rate, frame.pts = sr, 0
        for f in [*to.resample(frame), *to.resample(None)]: out.mux(stream.encode(f))
        out.mux(stream.encode(None))

def whole(path): return np.concatenate(list(read_blocks(path)), 1)

def comes_back(song, out, model, output=Output()):
    "Separate; check what every result must fulfil; the receipt"
    want, info = whole(song), probe(song)
    r = separate_song(song, out, model, output)
    stems = [whole(out/song.stem/f) for f in r['files'].values()]
    for f,y in zip(r['files'].values(), stems):
        i = probe(out/song.stem/f)
        assert y.shape == want.shape and (i.sr, i.channels) == (info.sr, info.channels)
    assert r['gain'] == 1 and r['sum_error_db'] < -100
    bits = {'PCM_16': 16, 'PCM_24': 24, 'FLOAT': 24}[r['subtype']]
    assert np.abs(sum(stems) - want).max() <= 1.01*2.**-bits*(1 if r['subtype'] != 'FLOAT' else 4)
    return r

RATES = (8000, 11025, 16000, 22050, 32000, 44100, 48000, 88200, 96000, 192000)
PCM = [('wav', o) for o in ('PCM_U8', 'PCM_16', 'PCM_24', 'PCM_32', 'FLOAT', 'DOUBLE')] + [('flac', 'PCM_16'), ('flac', 'PCM_24'), ('aiff', 'PCM_16'), ('caf', 'PCM_24'), ('w64', 'PCM_16')]

@pytest.mark.parametrize('channels,sr', itertools.product((1, 2, 6), RATES))
def test_rates_and_channels(tmp_path, model, channels, sr):
    sf.write(tmp_path/'song.wav', sound(channels, sr).T, sr)
    comes_back(tmp_path/'song.wav', tmp_path/'out', model)

@pytest.mark.parametrize('fmt,subtype', PCM)
def test_lossless_formats(tmp_path, model, fmt, subtype):
    sf.write(tmp_path/f'song.{fmt}', sound(2, 44100).T, 44100, subtype=subtype)
    r = comes_back(tmp_path/f'song.{fmt}', tmp_path/'out', model)
    assert r['subtype'] == {'PCM_U8': 'PCM_16', 'PCM_32': 'PCM_24', 'DOUBLE': 'FLOAT'}.get(subtype, subtype)

@pytest.mark.parametrize('name,codec,sr,channels', [('song.mp3', 'libmp3lame', 44100, 2), ('song.mp3', 'libmp3lame', 16000, 1), ('song.m4a', 'aac', 44100, 2), ('song.m4a', 'aac', 48000, 6),
    ('song.m4a', 'alac', 44100, 2), ('song.aac', 'aac', 44100, 2), ('song.mp4', 'aac', 48000, 2), ('song.opus', 'libopus', 48000, 2), ('song.mkv', 'libopus', 48000, 6), ('song.ogg', 'libvorbis', 44100, 2),
    ('song.wma', 'wmav2', 44100, 2), ('song.webm', 'libopus', 48000, 1), ('song.ac3', 'ac3', 48000, 6), ('song.wv', 'wavpack', 44100, 2)])
def test_compressed_formats_and_films(tmp_path, model, name, codec, sr, channels):
    import av
    try: encode(tmp_path/name, sound(channels, sr), sr, codec)
    except (av.FFmpegError, ValueError) as e: pytest.skip(f'this PyAV has no encoder {codec}: {e}')
    comes_back(tmp_path/name, tmp_path/'out', model)
    assert abs(whole(tmp_path/name).shape[1] - .7*sr) < 3000

@pytest.mark.parametrize('fmt', ['mp3', 'ogg'])
def test_lossy_results_keep_length_and_level(tmp_path, model, fmt):
    sf.write(tmp_path/'song.wav', sound(2, 44100).T, 44100)
    r = separate_song(tmp_path/'song.wav', tmp_path/'out', model, Output(fmt=fmt))
    stems = [whole(tmp_path/'out'/'song'/f) for f in r['files'].values()]
    want = sound(2, 44100)
    assert all(y.shape == want.shape for y in stems) and r['sum_error_db'] is None
    assert 10*np.log10(np.mean((sum(stems) - want)**2)/np.mean(want**2)) < -12

@pytest.mark.parametrize('depth,subtype', [('16', 'PCM_16'), ('24', 'PCM_24'), ('float32', 'FLOAT')])
def test_bit_depths(tmp_path, model, depth, subtype):
    sf.write(tmp_path/'song.wav', sound(1, 22050).T, 22050)
    assert comes_back(tmp_path/'song.wav', tmp_path/'out', model, Output(bit_depth=depth))['subtype'] == subtype

def test_a_stem_that_would_clip_turns_all_down_alike(tmp_path, model):
    y = sound(2, 44100, 2)
    sf.write(tmp_path/'song.wav', np.sign(y.T)*.999, 44100)
    r = separate_song(tmp_path/'song.wav', tmp_path/'out', model)
    stems = [whole(tmp_path/'out'/'song'/f) for f in r['files'].values()]
    assert r['gain'] < 1 and max(np.abs(s).max() for s in stems) <= 1
    assert np.abs(sum(stems) - r['gain']*whole(tmp_path/'song.wav')).max() < 2**-14

# What comes out

def test_combinations_are_sums_of_stems(tmp_path, model):
    sf.write(tmp_path/'song.wav', sound(2, 44100).T, 44100, subtype='FLOAT')
    separate_song(tmp_path/'song.wav', tmp_path/'all', model)
    r = separate_song(tmp_path/'song.wav', tmp_path/'out', model, Output(two_stems='drums', mixes=('quiet=mix-drums-drums',)))
    drums, rest, quiet = (whole(tmp_path/'out'/'song'/f'{k}.wav') for k in ('drums', 'no_drums', 'quiet'))
    assert list(r['files']) == ['drums', 'no_drums', 'quiet']
    assert np.array_equal(drums, whole(tmp_path/'all'/'song'/'drums.wav'))
    assert np.abs(rest - whole(tmp_path/'all'/'song'/'accompaniments.wav')).max() < 1e-6
    assert np.abs(quiet - (rest - drums)).max() < 1e-6

@pytest.mark.parametrize('fmt', ['wav', 'flac', 'mp3', 'ogg'])
def test_tags_and_cover_travel(tmp_path, model, fmt):
    write_audio(tmp_path/'song.flac', sound(2, 44100), 44100)
    write_tags(tmp_path/'song.flac', {'title': ['Choose'], 'artist': ['Somebody']}, [('image/png', b'a picture')])
    separate_song(tmp_path/'song.flac', tmp_path/'out', model, Output(stems=('drums',), fmt=fmt))
    tags, pictures = read_tags(tmp_path/'out'/'song'/f'drums.{fmt}')
    assert tags == {'title': ['Choose (drums)'], 'artist': ['Somebody']} and pictures == [('image/png', b'a picture')]

def test_names_by_template(tmp_path, model):
    sf.write(tmp_path/'a song.wav', sound(1, 22050).T, 22050)
    separate_songs([tmp_path/'a song.wav'], tmp_path/'out', model, Output(filename='{stem}/{song} ({stem}).{ext}', fmt='flac'), say=lambda s: None)
    assert sorted(str(o.relative_to(tmp_path/'out')) for o in (tmp_path/'out').rglob('*') if o.is_file()) == [
        'accompaniments/a song (accompaniments).flac', 'drums/a song (drums).flac', 'separation/a song (separation).json']

def test_folders_are_searched_and_results_are_not(tmp_path, model):
    for o in ('a.wav', 'deep/er/b.wav', '.hidden/c.wav', 'notes.txt'):
        (tmp_path/o).parent.mkdir(parents=True, exist_ok=True)
        if o.endswith('wav'): sf.write(tmp_path/o, sound(1, 8000).T, 8000)
        else: (tmp_path/o).touch()
    assert list(find_songs([tmp_path])) == ['a', 'deep/er/b']
    said = []
    for _ in range(2): separate_songs([tmp_path], tmp_path/'results', model, say=said.append)
    assert sorted(str(o.relative_to(tmp_path/'results')) for o in (tmp_path/'results').rglob('*.wav')) == [
        'a/accompaniments.wav', 'a/drums.wav', 'deep/er/b/accompaniments.wav', 'deep/er/b/drums.wav']
    assert sum('left aside' in s for s in said) == 2 and '.txt' in said[0]
    said = [s for s in said if 'left aside' not in s]
    assert len(said) == 4 and all('were there already' in s for s in said[2:])

def test_other_files_are_not_overwritten_unless_told(tmp_path, model):
    sf.write(tmp_path/'a.wav', sound(1, 8000).T, 8000)
    separate_song(tmp_path/'a.wav', tmp_path/'out', model)
    with pytest.raises(SongsepError, match='overwrite'): separate_song(tmp_path/'a.wav', tmp_path/'out', model, Output(bit_depth='24'))
    assert separate_song(tmp_path/'a.wav', tmp_path/'out', model, Output(bit_depth='24'), overwrite=True)['subtype'] == 'PCM_24'

@pytest.mark.parametrize('name,codec', [('a.wav', None), ('a.mp3', 'mp3'), ('a.mp4', 'aac')])
def test_a_part_of_a_song_is_what_the_song_holds_there(tmp_path, model, name, codec):
    path, y = tmp_path/name, sound(2, 44100, 3)
    encode(path, y, 44100, codec) if codec else write_audio(path, y, 44100)
    want = whole(path)[:, 22050:88200]
    r = separate_song(path, tmp_path/'out', model, Output(bit_depth='float32', start=.5, end=2))
    stems = [whole(tmp_path/'out'/'a'/f) for f in r['files'].values()]
    assert r['samples'] == 66150 and all(o.shape == want.shape for o in stems) and np.abs(sum(stems) - want).max() < 1e-6

def test_a_song_and_its_parts_are_different_results(tmp_path, model):
    sf.write(tmp_path/'a.wav', sound(1, 8000).T, 8000)
    run = lambda **part: separate_song(tmp_path/'a.wav', tmp_path/'out', model, Output(**part))
    receipt = run(start=.1, end=.5)
    assert receipt['part'] == [.1, .5] and run(start=.1, end=.5)['skipped']
    for other in ({}, dict(start=.2, end=.5), dict(end=.5)):
        with pytest.raises(SongsepError, match='with other settings'): run(**other)

def test_a_receipt_from_before_there_were_parts_is_that_of_the_song(tmp_path, model):
    sf.write(tmp_path/'a.wav', sound(1, 8000).T, 8000)
    separate_song(tmp_path/'a.wav', tmp_path/'out', model)
    path = tmp_path/'out'/'a'/'separation.json'
    write_json(path, {k: v for k,v in read_json(path).items() if k != 'part'})
    assert separate_song(tmp_path/'a.wav', tmp_path/'out', model)['skipped']

@pytest.mark.parametrize('name', ['a.wav', 'a.aac'])
def test_a_part_behind_the_end_is_refused(tmp_path, model, name): # the length of an AAC stream is an estimate
    path, y = tmp_path/name, sound(1, 44100)
    encode(path, y, 44100, 'aac') if name == 'a.aac' else write_audio(path, y, 44100)
    with pytest.raises(SongsepError, match='its part is to begin'): separate_song(path, tmp_path/'out', model, Output(start=60))
    assert not (tmp_path/'out').exists()

def test_two_songs_of_one_name_are_refused(tmp_path):
    (tmp_path/'x').mkdir()
    for o in ('a.wav', 'x/a.wav'): sf.write(tmp_path/o, sound(1, 8000).T, 8000)
    with pytest.raises(SongsepError, match='two songs are called a'): find_songs([tmp_path/'a.wav', tmp_path/'x'/'a.wav'])

def test_two_runs_write_the_same_bytes(tmp_path, monkeypatch):
    y = np.random.default_rng(0).normal(size=(2, 4000)).astype('float32')
    for suffix,subtype in (('wav', 'FLOAT'), ('wav', 'PCM_24'), ('flac', 'PCM_16'), ('mp3', 'PCM_16')):
        for o in 'ab':
            write_audio(tmp_path/f'{o}.{suffix}', .1*y, 44100, *([subtype] if suffix != 'mp3' else []))
            if o == 'a' and subtype == 'FLOAT': time.sleep(1.1) # a time in the file would now be another
        assert (tmp_path/f'a.{suffix}').read_bytes() == (tmp_path/f'b.{suffix}').read_bytes()
    for o in 'ab': # of unknown length, which may grow beyond 4 GB
        with AudioWriter(tmp_path/f'{o}.wav', 44100, 2, 'FLOAT') as w: w.write(.1*y)
        if o == 'a': time.sleep(1.1)
    assert (tmp_path/'a.wav').read_bytes() == (tmp_path/'b.wav').read_bytes()
