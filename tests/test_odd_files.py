"Sound files as they are: cut, joined, piped, tagged, in films. Each is read as it sounds, or refused with the place where it is damaged."
import warnings, zlib
import numpy as np, pytest, soundfile as sf
from songsep.audio import SoundError, probe, read_blocks, read_tags
from songsep.core import SongsepError
from test_formats import encode, sound

def read(path):
    "The sound of a file, and what was said about it"
    said = []
    return np.concatenate(list(read_blocks(path, remark=said.append)), 1), said

def refused(path, *words):
    with pytest.raises(SoundError) as e: read(path)
    text = str(e.value)
    assert '\n' not in text and path.name in text and all(o in text for o in words), text

# Files that people have, with the number of samples that ffmpeg decodes; a decoder that knows of the encoder's delay gives up to a frame less

CASES = {'cut_by_copy.flac': (209952, 0), 'rate_changes.mp3': (355360, 1152), 'stereo_then_mono.mp3': (356015, 1152), 'chained_stereo_mono.ogg': (352928, 960),
    'sound_shorter_than_picture.mkv': (354304, 1024), 'sound_begins_late.mkv': (354304, 1024), 'vbr_no_xing_quiet_start.mp3': (618624, 1152), 'big_ape_tag.mp3': (353711, 1152),
    'zeros_between_frames.mp3': (351648, 1152), 'piped_unknown_length.flac': (352800, 0), 'mp3_inside.wav': (354816, 1152), 'layer2.mp2': (353664, 1152),
    'both_sizes_zero.wav': (176400, 0), 'empty_title.m4a': (133120, 1024)}
WORDS = {'rate_changes.mp3': '48000 Hz', 'stereo_then_mono.mp3': '1 channel', 'chained_stereo_mono.ogg': '1 channel', 'zeros_between_frames.mp3': 'was skipped'}

@pytest.mark.parametrize('name', CASES)
def test_cases(shared, name):
    path, (samples, frame) = shared/'data'/'cases'/name, CASES[name]
    if not path.exists(): pytest.skip('needs the cases')
    y, said = read(path)
    assert len(y) == 2 and samples - frame <= y.shape[1] <= samples and np.abs(y).max() > .05
    if name in WORDS: assert any(WORDS[name] in o for o in said), said
    else: assert not said

# Cut and joined

SR = 44100

def noise(seconds=2, channels=2, sr=SR, seed=0): return (np.random.default_rng(seed).normal(size=(channels, int(sr*seconds)))*.1).astype('float32')

def crc16(b):
    crc = 0
    for o in b:
        crc ^= o << 8
        for _ in range(8): crc = (crc << 1 ^ 0x8005 if crc & 0x8000 else crc << 1) & 0xffff
    return crc

def test_flac_without_its_beginning_has_no_sample_twice(tmp_path):
    import av
    y = noise(4)
    sf.write(tmp_path/'whole.flac', y.T, SR)
    with av.open(str(tmp_path/'whole.flac')) as f: starts = [p.pos for p in f.demux(f.streams.audio[0]) if p.size]
    b = (tmp_path/'whole.flac').read_bytes()
    (tmp_path/'cut.flac').write_bytes(b[:starts[0]] + b[starts[10]:])
    got, said = read(tmp_path/'cut.flac')
    whole, _ = read(tmp_path/'whole.flac')
    assert got.shape[1] % 4096 == y.shape[1] % 4096 and np.array_equal(got, whole[:, -got.shape[1]:]) and not said

@pytest.mark.parametrize('a,b', [((44100, 2), (48000, 2)), ((44100, 2), (44100, 1)), ((44100, 1), (44100, 2)), ((22050, 1), (44100, 2)), ((44100, 2), (32000, 1))])
@pytest.mark.parametrize('suffix', ['mp3', 'ogg', 'opus'])
def test_what_changes_in_a_file_is_followed(tmp_path, suffix, a, b):
    if suffix == 'opus': a, b = ((48000, o[1]) for o in (a, b))
    tones = [np.tile(.3*np.sin(2*np.pi*hz*np.arange(2*sr)/sr), (n, 1)).astype('float32') for hz,(sr,n) in ((440, a), (1000, b))]
    for i,(y,(sr,_)) in enumerate(zip(tones, (a, b))):
        with sf.SoundFile(tmp_path/f'{i}.{suffix}', 'w', sr, len(y), format='OGG' if suffix == 'opus' else None, subtype='OPUS' if suffix == 'opus' else None) as f: f.write(y.T)
    (tmp_path/f'both.{suffix}').write_bytes(b''.join((tmp_path/f'{i}.{suffix}').read_bytes() for i in (0, 1)))
    info = probe(tmp_path/f'both.{suffix}')
    got, said = read(tmp_path/f'both.{suffix}')
    assert (info.sr, info.channels) == a and len(got) == a[1] and abs(got.shape[1] - 4*a[0]) < 4000
    for hz,at in ((440, 1), (1000, 3)): # the pitch of each half, and its level in each channel
        part = got[:, int((at-.2)*a[0]):int((at+.2)*a[0])]
        spectrum = np.abs(np.fft.rfft(part*np.hanning(part.shape[1])))
        assert (abs(spectrum.argmax(1)*a[0]/part.shape[1] - hz) < 5).all() and (abs(part.std(1) - .3/2**.5) < .02).all()
    assert bool(said) == (a != b) and all('2.0' in o for o in said if 'Hz' in o)

@pytest.mark.parametrize('suffix', ['wav', 'aiff', 'w64', 'rf64', 'caf', 'au', 'flac', 'ogg', 'opus', 'mp3', 'm4a', 'mka', 'avi', 'wv', 'tta', 'flv'])
def test_files_that_end_too_early_are_refused(tmp_path, suffix):
    whole, cut, y = tmp_path/f'whole.{suffix}', tmp_path/f'cut.{suffix}', noise()
    codec = {'m4a': 'aac', 'mka': 'aac', 'avi': 'mp3', 'wv': 'wavpack', 'tta': 'tta', 'flv': 'aac', 'opus': 'libopus'}.get(suffix)
    if codec: encode(whole, y if suffix != 'opus' else noise(sr=48000), 48000 if suffix == 'opus' else SR, codec)
    else: sf.write(whole, y.T, SR)
    assert abs(read(whole)[0].shape[1] - y.shape[1]) < 20_000
    cut.write_bytes(whole.read_bytes()[:int(whole.stat().st_size*.6)])
    refused(cut, 'damaged')

@pytest.mark.parametrize('suffix,codec', [('flac', 'flac'), ('ogg', 'libvorbis'), ('opus', 'libopus'), ('m4a', 'alac'), ('wv', 'wavpack')])
def test_bits_that_flipped_are_found(tmp_path, suffix, codec):
    path = tmp_path/f'song.{suffix}'
    if suffix in ('ogg', 'flac'): sf.write(path, noise().T, SR)
    else: encode(path, noise(sr=48000), 48000, codec)
    b = bytearray(path.read_bytes())
    for at in np.random.default_rng(0).integers(len(b)//3, len(b)//2, 30): b[at] ^= 255
    path.write_bytes(b)
    refused(path, 'damaged')

# Lengths that are unknown, or estimates

def patched(path, *changes, tail=b''):
    b = bytearray(path.read_bytes())
    for at,new in changes: b[at:at+len(new)] = new
    path.write_bytes(b + tail)

UNKNOWN = [(0, 0), (0xffffffff, 0xffffffff), (0xffffffff, 0xffffffff-36), (0x7fffffff, 0x7fffffff-36), (0x7ffff024, 0x7ffff000), (0, 352800), (352836, 0)]

@pytest.mark.parametrize('riff,data', UNKNOWN)
def test_wav_whose_length_is_unknown(tmp_path, riff, data):
    path = tmp_path/'a.wav'
    sf.write(path, noise().T, SR)
    want = read(path)[0]
    patched(path, (4, riff.to_bytes(4, 'little')), (40, data.to_bytes(4, 'little')))
    assert np.array_equal(read(path)[0], want)

@pytest.mark.parametrize('fill', [b'\0'*24, b'\xff'*24])
def test_rf64_whose_length_is_unknown(tmp_path, fill):
    path = tmp_path/'a.wav'
    sf.write(path, noise().T, SR, format='RF64')
    want = read(path)[0]
    patched(path, (20, fill))
    assert np.array_equal(read(path)[0], want)

@pytest.mark.parametrize('suffix,at,n', [('aiff', b'SSND', 4), ('caf', b'data', 4), ('w64', b'data', 16)])
@pytest.mark.parametrize('byte', [b'\0', b'\xff'])
def test_others_whose_length_is_unknown(tmp_path, suffix, at, n, byte):
    path = tmp_path/f'a.{suffix}'
    sf.write(path, noise().T, SR)
    want = read(path)[0]
    patched(path, (path.read_bytes().index(at) + n, byte*(8 if suffix != 'aiff' else 4)))
    assert np.array_equal(read(path)[0], want)

def test_flac_whose_length_is_unknown(tmp_path):
    path = tmp_path/'a.flac'
    sf.write(path, noise().T, SR)
    want, b = read(path)[0], path.read_bytes()
    patched(path, (21, bytes([b[21] & 0xf0])), (22, b'\0'*4))
    assert np.array_equal(read(path)[0], want)

PLACES = {'wav': (b'data', 4, 4, 'little'), 'rf64': (b'ds64', 16, 8, 'little'), 'aiff': (b'SSND', 4, 4, 'big'), 'caf': (b'data', 4, 8, 'big'),
    'au': (b'.snd', 8, 4, 'big'), 'w64': (b'data', 16, 8, 'little')} # where the length of the sound stands

@pytest.mark.parametrize('suffix', PLACES)
def test_a_header_that_counts_a_part_of_the_sound(tmp_path, suffix):
    path, (word, after, n, order) = tmp_path/f'a.{suffix}', PLACES[suffix]
    sf.write(path, noise().T, SR, format=suffix.upper(), subtype='PCM_16')
    at = path.read_bytes().index(word) + after
    patched(path, (at, (100_000).to_bytes(n, order)))
    refused(path, 'goes on after it')

@pytest.mark.parametrize('suffix', PLACES)
def test_what_follows_the_sound_may_be_long(tmp_path, suffix):
    path, riff, picture = tmp_path/f'a.{suffix}', suffix in ('wav', 'rf64'), bytes(range(256))*400
    samples = 10001 if riff else 10000 # some writers fill up an odd chunk, some don't
    sf.write(path, noise(channels=1).T[:samples], SR, format=suffix.upper(), subtype='PCM_U8' if riff or suffix == 'w64' else 'PCM_S8')
    sound = path.read_bytes()[:-1] if riff else path.read_bytes()
    size = len(picture).to_bytes(8 if suffix == 'caf' else 4, PLACES[suffix][3])
    if suffix == 'w64': size = bytes.fromhex('f3acd3118cd100c04f8edb8a') + (len(picture) + 24).to_bytes(8, 'little')
    chunk = b'LIST' + size + picture
    for tail in (APE + picture, bytes(100_000), *([] if suffix == 'au' else [chunk]), *([b'\0' + chunk] if riff else [])):
        path.write_bytes(sound + tail)
        assert read(path)[0].shape == (1, samples)

APE = b'APETAGEX\xd0\x07\0\0\x40\x1f\0\0\1\0\0\0\0\0\0\xa0' + b'\0'*8
TAILS = {'ID3v1': b'TAG' + b'\0'*125, 'APE': APE + b'\x41'*8000, 'Lyrics3': b'LYRICSBEGIN' + b'la '*3000 + b'009011LYRICS200'}

@pytest.mark.parametrize('tail', TAILS)
@pytest.mark.parametrize('suffix', ['mp3', 'flac', 'ogg', 'wav', 'm4a', 'aac', 'wv'])
def test_tags_at_the_end_change_nothing(tmp_path, suffix, tail):
    path = tmp_path/f'a.{suffix}'
    codec = {'m4a': 'aac', 'aac': 'aac', 'wv': 'wavpack'}.get(suffix)
    if codec: encode(path, noise(), SR, codec)
    else: sf.write(path, noise().T, SR)
    want = read(path)[0]
    patched(path, tail=TAILS[tail])
    got, said = read(path)
    n = want.shape[1] - 1000*(suffix == 'mp3') # after a long tag ffmpeg keeps what the encoder added at the end
    assert np.array_equal(got[:, :n], want[:, :n]) and 0 <= got.shape[1] - want.shape[1] <= 1152*(suffix == 'mp3') and not said

@pytest.mark.parametrize('suffix,codec', [('mp3', 'mp3'), ('mp2', 'mp2'), ('aac', 'aac'), ('ac3', 'ac3')])
def test_what_stands_between_frames_is_skipped_with_a_word(tmp_path, suffix, codec):
    path = tmp_path/f'a.{suffix}'
    encode(path, noise(4), SR, codec)
    want, b = read(path)[0], path.read_bytes()
    path.write_bytes(b[:len(b)//2] + bytes(4000) + b[len(b)//2:])
    got, said = read(path)
    assert abs(got.shape[1] - want.shape[1]) < 10_000
    assert len(said) == 1 and 'was skipped' in said[0] or got.shape == want.shape

@pytest.mark.parametrize('suffix', ['mkv', 'mp4', 'mov', 'avi', 'ts'])
@pytest.mark.parametrize('sound_seconds,picture_seconds,begins', [(2, 6, 0), (2, 3, 2)])
def test_films_whose_sound_is_shorter_than_the_picture(tmp_path, suffix, sound_seconds, picture_seconds, begins):
    import av
    path, y = tmp_path/f'film.{suffix}', noise(sound_seconds)
    with av.open(str(path), 'w') as out:
        picture, stream = out.add_stream('mpeg4', rate=5, width=32, height=32, pix_fmt='yuv420p'), out.add_stream('aac', rate=SR, layout='stereo')
        for _ in range(5*picture_seconds): out.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), 'uint8'), format='rgb24')))
        frame = av.AudioFrame.from_ndarray(y, format='fltp', layout='stereo')
        frame.rate, frame.pts = SR, begins*SR
        for o in (*stream.encode(frame), *stream.encode(None)): out.mux(o)
        out.mux(picture.encode(None))
    assert 0 <= read(path)[0].shape[1] - y.shape[1] < 2100

def test_of_several_streams_one_is_taken(tmp_path):
    import av
    with av.open(str(tmp_path/'two.mka'), 'w') as out:
        streams = [out.add_stream('flac', rate=SR, layout='mono') for _ in range(2)]
        for i,s in enumerate(streams):
            frame = av.AudioFrame.from_ndarray(np.full((1, SR), 8000*(i+1), 'int16'), format='s16', layout='mono')
            frame.rate, frame.pts = SR, 0
            to = av.AudioResampler(format=s.codec_context.format, layout='mono', rate=SR, frame_size=4096)
            for f in [*to.resample(frame), *to.resample(None)]: out.mux(s.encode(f))
            out.mux(s.encode(None))
    assert [round(float(next(read_blocks(tmp_path/'two.mka', stream=i)).mean())*2**15) for i in (0, 1)] == [8000, 16000]
    assert probe(tmp_path/'two.mka').streams == 2
    with pytest.raises(SoundError, match='2 audio streams'): probe(tmp_path/'two.mka', 2)

def test_what_is_odd_is_a_warning_where_no_one_asks(tmp_path):
    encode(tmp_path/'a.mp3', noise(4), SR, 'mp3')
    b = (tmp_path/'a.mp3').read_bytes()
    (tmp_path/'a.mp3').write_bytes(b[:len(b)//2] + bytes(4000) + b[len(b)//2:])
    with pytest.warns(UserWarning, match='was skipped'): list(read_blocks(tmp_path/'a.mp3'))

def test_a_bad_name_is_a_name(tmp_path):
    "Names on a disk are bytes; these are no UTF-8"
    import os
    for suffix in ('wav', 'flac', 'mp3', 'ogg'):
        path = tmp_path/os.fsdecode(b'caf\xe9.' + suffix.encode())
        sf.write(tmp_path/f'a.{suffix}', noise(.5).T, SR)
        (tmp_path/f'a.{suffix}').rename(path)
        assert read(path)[0].shape == (2, SR//2)

@pytest.mark.parametrize('subtype,at', [('PCM_16', 27), ('ULAW', 27), ('PCM_U8', 35)])
def test_blocks_of_a_voc_that_count_wrongly(tmp_path, subtype, at):
    "One that counts too few, and one that is cut off, lost sound without a word"
    whole, path = tmp_path/'whole.voc', tmp_path/'a.voc'
    sf.write(whole, noise().T, SR, subtype=subtype)
    b, samples = whole.read_bytes(), 2*SR
    assert read(whole)[0].shape[1] == samples
    for n in (1000, 50_000):
        path.write_bytes(b[:at] + n.to_bytes(3, 'little') + b[at+3:])
        try: assert read(path)[0].shape[1] == samples # libsndfile's 8 bits are read whatever the block says
        except SoundError as e: assert 'damaged' in str(e)
    path.write_bytes(b[:len(b)*6//10])
    refused(path, 'damaged')
    for n in (0, 0xffffff): # unknown, as a recorder leaves them
        path.write_bytes(b[:at] + n.to_bytes(3, 'little') + b[at+3:])
        assert read(path)[0].shape[1] == samples

def test_a_voc_longer_than_its_blocks_can_count(tmp_path):
    sf.write(tmp_path/'a.voc', np.zeros((2, 5_000_000), 'float32').T, SR, subtype='PCM_16')
    refused(tmp_path/'a.voc', 'counts a part of its sound') # of which ffmpeg reads a sixth

@pytest.mark.parametrize('codec,sr,channels', [('pcm_u8', 22050, 1), ('pcm_s16le', 44100, 2)])
def test_a_voc_of_ffmpeg(tmp_path, codec, sr, channels):
    encode(tmp_path/'a.voc', noise(channels=channels, sr=sr), sr, codec)
    assert abs(read(tmp_path/'a.voc')[0].shape[1] - 2*sr) < 2

# More sound than a header counts

JOINED = {'wav': 'pcm_s16le', 'w64': 'pcm_s16le', 'aiff': 'pcm_s16be', 'caf': 'pcm_s16be', 'au': 'pcm_s16be', 'mov': 'pcm_s16le', 'm4a': 'aac', 'mp4': 'alac',
    'wv': 'wavpack', 'tta': 'tta', 'flv': 'aac', 'asf': 'mp3', 'flac': 'flac', 'ogg': 'flac', 'mp2': 'mp2', 'aac': 'aac', 'mka': 'aac', 'ts': 'aac', 'avi': 'pcm_s16le'}

@pytest.mark.parametrize('suffix', JOINED)
def test_a_file_that_was_joined_to_another_is_read_or_refused(tmp_path, suffix):
    "Joined by `cat`; most were half lost without a word"
    for name,seconds in (('a', 1), ('b', 2)): encode(tmp_path/f'{name}.{suffix}', noise(seconds), SR, JOINED[suffix])
    apart = [read(tmp_path/f'{name}.{suffix}')[0].shape[1] for name in 'ab']
    path = tmp_path/f'joined.{suffix}'
    path.write_bytes(b''.join((tmp_path/f'{name}.{suffix}').read_bytes() for name in 'ab'))
    try: assert abs(read(path)[0].shape[1] - sum(apart)) < 2400
    except SoundError as e: assert suffix not in ('flac', 'ogg', 'mp2', 'aac', 'mka', 'ts', 'avi') and ('more sound' in str(e) or 'goes on after it' in str(e)), e

@pytest.mark.parametrize('between', [b'', b'LIST\x04\0\0\0INFO'])
def test_a_wav_with_two_pieces_of_sound(tmp_path, between):
    path = tmp_path/'a.wav'
    sf.write(path, noise(.2).T, SR)
    b = path.read_bytes()
    path.write_bytes(b + between + b[36:])
    refused(path, 'more sound than its header counts', f'byte {len(b + between)}')

@pytest.mark.parametrize('codec', ['adpcm_ms', 'adpcm_ima_wav', 'mp3', 'ac3', 'flac'])
def test_a_wav_of_any_codec_that_counts_a_part_of_its_sound(tmp_path, codec):
    path = tmp_path/'a.wav'
    encode(path, noise(), SR, codec)
    b = path.read_bytes()
    patched(path, (b.index(b'data') + 4, (len(b)//2).to_bytes(4, 'little')))
    refused(path, 'goes on after it')

def test_a_little_that_a_header_does_not_count_is_said(tmp_path):
    path = tmp_path/'a.wav'
    sf.write(path, noise().T, SR)
    patched(path, (40, (2*4*SR - 8000).to_bytes(4, 'little')))
    y, said = read(path)
    assert y.shape == (2, 2*SR - 2000) and len(said) == 1 and '8000 bytes' in said[0]

def test_a_length_that_is_a_little_too_short_cuts_nothing_off(tmp_path):
    path = tmp_path/'a.flac'
    sf.write(path, noise().T, SR)
    want, b = read(path)[0], path.read_bytes()
    patched(path, (21, bytes([b[21] & 0xf0])), (22, (2*SR - 5000).to_bytes(4, 'big')))
    assert np.array_equal(read(path)[0], want)
    encode(path := tmp_path/'a.mp3', noise(), SR, 'mp3')
    want, b = read(path)[0], path.read_bytes()
    at = max(b.find(b'Xing'), b.find(b'Info')) + 8
    patched(path, (at, (int.from_bytes(b[at:at+4], 'big') - 3).to_bytes(4, 'big')))
    y = read(path)[0] # ffmpeg takes for padding what stands where the header ends, and goes on
    assert y.shape[1] >= want.shape[1] - 1152 and np.array_equal(y[:, :SR], want[:, :SR])

def test_an_mp3_whose_encoder_added_much_is_whole(tmp_path):
    encode(path := tmp_path/'a.mp3', noise(), SR, 'mp3')
    b = path.read_bytes()
    patched(path, (b.index(b'Lav', max(b.find(b'Xing'), b.find(b'Info'))) + 21, b'\xff'*3)) # 4095 samples at the beginning, and as many at the end
    assert 2*SR - 9000 < read(path)[0].shape[1] < 2*SR

def test_a_name_that_ends_in_raw(tmp_path):
    "libsndfile asks for a rate, which was a traceback"
    sf.write(tmp_path/'a.wav', noise().T, SR)
    sound = (tmp_path/'a.wav').read_bytes()
    (tmp_path/'a.raw').write_bytes(sound)
    assert read(tmp_path/'a.raw')[0].shape == (2, 2*SR)
    (tmp_path/'b.raw').write_bytes(sound[44:])
    refused(tmp_path/'b.raw', 'no sound file')

def test_a_pipe_is_no_empty_file(tmp_path):
    import os
    if not hasattr(os, 'mkfifo'): pytest.skip('needs pipes')
    os.mkfifo(tmp_path/'a.wav')
    refused(tmp_path/'a.wav', 'a pipe or a device')

# Tags before a header that should have none

def id3(title, padding=0, footer=False):
    "An ID3 tag with a title"
    frame = b'TIT2' + (len(title) + 1).to_bytes(4, 'big') + b'\0\0\x03' + title + bytes(padding)
    size = bytes(len(frame) >> 7*i & 127 for i in (3, 2, 1, 0))
    head = b'\x04\0' + (b'\x10' if footer else b'\0') + size
    return b'ID3' + head + frame + (b'3DI' + head if footer else b'')

AHEAD = {'short': id3(b'Hello'), 'long': id3(b'Hello', 100_000), 'with a footer': id3(b'Hello', footer=True), 'two': id3(b'Hello') + id3(b'Hello', 300)}
HEADED = {'wav': None, 'aiff': None, 'flac': None, 'ogg': None, 'rf64': None, 'w64': None, 'caf': None, 'au': None, 'wv': 'wavpack', 'tta': 'tta', 'mp3.wav': 'mp3'}

def headed(path, seconds=1):
    codec = HEADED[path.name.split('.', 1)[1]]
    if codec: encode(path, noise(seconds), SR, codec)
    else: sf.write(path, noise(seconds).T, SR, format='RF64' if path.suffix == '.rf64' else None)
    return path.read_bytes()

@pytest.mark.parametrize('tag', AHEAD)
@pytest.mark.parametrize('suffix', HEADED)
def test_a_tag_before_a_header_is_skipped(tmp_path, suffix, tag):
    "Most were refused, and a cut-off Ogg passed as whole"
    path = tmp_path/f'a.{suffix}'
    b = headed(path)
    want, info = read(path)[0], probe(path)
    path.write_bytes(AHEAD[tag] + b)
    got, said = read(path)
    assert np.array_equal(got, want) and not said and probe(path).samples == info.samples and probe(path).subtype == info.subtype
    assert read_tags(path)[0] == {'title': ['Hello']}

@pytest.mark.parametrize('suffix', [o for o in HEADED if o != 'mp3.wav'])
def test_a_file_behind_a_tag_is_looked_at_like_any_other(tmp_path, suffix):
    path = tmp_path/f'a.{suffix}'
    b = headed(path, 2)
    path.write_bytes(AHEAD['long'] + b[:len(b)*6//10])
    refused(path, 'damaged')
    if suffix in ('flac', 'ogg'): return # which may hold two songs
    path.write_bytes(AHEAD['short'] + b + b)
    try: assert read(path)[0].shape[1] == 4*SR
    except SoundError as e: assert suffix == 'rf64' or f"byte {len(AHEAD['short'] + b)}" in str(e) or 'goes on after it' in str(e)

def test_tags_without_end_are_no_sound(tmp_path):
    (tmp_path/'a.wav').write_bytes(b'ID3\x04\0\0\x7f\x7f\x7f\x7f' + bytes(1000))
    refused(tmp_path/'a.wav', 'no sound file')
    (tmp_path/'b.wav').write_bytes(b'ID3\x04\0\0\0\0\0\0'*1000)
    refused(tmp_path/'b.wav', 'no sound file')

# AAC as broadcasters send it

def test_latm(tmp_path):
    "Which was refused"
    import av
    path, tone = tmp_path/'a.latm', np.tile(.3*np.sin(np.arange(2*SR)/20), (2, 1)).astype('float32')
    encode(path, tone, SR, 'aac') # of noise a decoder invents some
    with av.open(str(path)) as f:
        frames = [o.to_ndarray() for o in f.decode(f.streams.audio[0])]
        assert f.format.name == 'loas'
    want, b = np.concatenate(frames, 1), path.read_bytes()
    got, said = read(path)
    assert np.array_equal(got, want) and not said and probe(path).samples == got.shape[1]
    path.write_bytes(b[100:]) # as where a recording begins
    late, said = read(path)
    assert 0 < got.shape[1] - late.shape[1] <= 2048 and np.abs(late[:, 1024:] - got[:, 1024-late.shape[1]:]).max() < 1e-4 and not said
    path.write_bytes(b[:len(b)//2] + bytes(4000) + b[len(b)//2:])
    y, said = read(path)
    assert 0 <= got.shape[1] - y.shape[1] <= 2048 and 'was skipped' in said[0]

def test_latm_in_a_transport_stream(tmp_path):
    import av
    with av.open(str(tmp_path/'a.ts'), 'w', options={'mpegts_flags': 'latm'}) as out:
        stream, frame = out.add_stream('aac', rate=SR, layout='stereo'), av.AudioFrame.from_ndarray(noise(), format='fltp', layout='stereo')
        frame.rate, frame.pts = SR, 0
        for o in (*stream.encode(frame), *stream.encode(None)): out.mux(o)
    encode(tmp_path/'a.latm', noise(), SR, 'aac')
    assert np.array_equal(read(tmp_path/'a.ts')[0], read(tmp_path/'a.latm')[0])
