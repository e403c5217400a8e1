"A share of the benches in `tests/torture`, which run long by one command each: strange and damaged files, and fuzzed ones."
import subprocess, zipfile
import numpy as np, pytest
from songsep.audio import probe, read_blocks
from songsep.core import SongsepError
from torture import crashes, files, fuzz
from warm import songsep

SHARE = list(files.cases(20, 30, seed=7))

@pytest.mark.parametrize('case', SHARE, ids=lambda c: f"{c.name} {c.form}{' damaged' if c.damage else ''}")
def test_a_file_is_separated_rightly_or_refused_clearly(monkeypatch, tmp_path, case):
    from songsep import songs
    monkeypatch.setattr(songs, 'separate_blocks', songs.separate_blocks) # put back what the bench replaces
    monkeypatch.setattr(songs, 'resume_at', songs.resume_at)
    files.halver.cache_clear()
    r = files.one(case)
    assert not r['wrong'], r

@pytest.mark.parametrize('case', list(files.cases(0, 3, seed=11)), ids=lambda c: c.form)
def test_so_does_the_command(tmp_path, case):
    path = files.make(case, tmp_path)
    if not path: pytest.skip('no encoder')
    done = songsep('separate', path, '-o', 'out', '-q', cwd=tmp_path)
    assert done.returncode in (0, 2) and 'Traceback' not in done.stderr, done.stderr
    assert (done.returncode == 0) == (tmp_path/'out').exists() and (done.returncode == 0 or len(done.stderr.splitlines()) == 1)

def test_killed_and_started_again():
    counts, faults = crashes.run(['pull'], 3, seed=9, say=lambda *a, **k: None, ends=crashes.SIGNALS)
    assert not faults and len(counts) == 3, faults

# What the benches found

def written(path, form, sr=44100, channels=2, samples=4095, writer='sndfile'):
    made = files.make(files.Case('0000', writer, form, 'noise', sr, channels, samples), path)
    return made, np.concatenate(list(read_blocks(made)), 1), files.SOUNDS['noise'](np.random.default_rng(0), np.zeros((channels, samples)))

@pytest.mark.parametrize('form', ['CAF ALAC_16', 'CAF ALAC_24', 'PAF PCM_24', 'MAT5 FLOAT', 'MAT4 PCM_16', 'IRCAM PCM_16', 'SD2 PCM_24', 'HTK PCM_16', 'AIFF DWVW_16', 'PVF PCM_16'])
@pytest.mark.parametrize('samples', [4095, 130095])
def test_healthy_files_that_were_called_damaged(tmp_path, form, samples):
    channels = 1 if form[:3] in ('HTK', 'AIF') else 2
    _, y, want = written(tmp_path, form, channels=channels, samples=samples)
    assert 0 <= y.shape[1] - samples < 16 and np.abs(y[:, :samples] - want).max() < 2**-10

def test_alac_in_caf_keeps_its_end(tmp_path):
    path, y, want = written(tmp_path, 'caf alac', writer='ffmpeg')
    assert y.shape == want.shape and np.abs(y - want).max() < 2**-14

def test_surround_in_ogg_keeps_its_loudspeakers(tmp_path):
    import shutil
    if not shutil.which('ffmpeg'): pytest.skip('needs ffmpeg')
    t = np.arange(44100)/44100
    y = np.stack([.2*np.sin(2*np.pi*hz*t) for hz in (300, 500, 700, 50, 1100, 1300)]).astype('float32') # left, right, centre, bass, two behind
    files.encode(tmp_path/'x.wav', y, 44100, 'pcm_f32le')
    done = subprocess.run(['ffmpeg', '-v', 'error', '-i', tmp_path/'x.wav', '-c:a', 'libvorbis', tmp_path/'x.ogg'])
    if done.returncode: pytest.skip('this ffmpeg has no encoder of Vorbis')
    got = np.concatenate(list(read_blocks(tmp_path/'x.ogg')), 1)
    assert [int(np.abs(np.fft.rfft(o[8000:16000])).argmax()*44100/8000/10 + .5)*10 for o in got] == [300, 500, 700, 50, 1100, 1300]

def test_adpcm_of_nms_is_not_taken_for_amr(tmp_path):
    t = np.arange(8000)/8000
    import soundfile as sf
    sf.write(tmp_path/'x.wav', .5*np.sin(2*np.pi*200*t), 8000, 'NMS_ADPCM_32')
    y = np.concatenate(list(read_blocks(tmp_path/'x.wav')), 1)[0, :8000]
    assert np.corrcoef(y, np.sin(2*np.pi*200*t))[0, 1] > .9

@pytest.mark.parametrize('size', [2**63, 2**64-1])
def test_a_chunk_larger_than_any_disk(tmp_path, size):
    path, *_ = written(tmp_path, 'CAF FLOAT')
    b = path.read_bytes()
    at = b.index(b'data')
    for o,n in ((at, size), (b.index(b'desc'), size)):
        path.write_bytes(b[:o+4] + n.to_bytes(8, 'big') + b[o+12:])
        try: probe(path)
        except SongsepError: pass

def test_tags_that_can_not_be_read_cost_nothing(tmp_path):
    from songsep.audio import read_tags
    path, *_ = written(tmp_path, 'wv wavpack', sr=176400, writer='ffmpeg') # a rate that the reader of tags does not know
    assert read_tags(path) == ({}, [])

@pytest.mark.parametrize('reader', [o for o in fuzz.READERS if o not in ('original', 'spleeter', 'weights')]) # which take seconds to begin
def test_a_strangers_file_is_read_or_refused(reader):
    if library := fuzz.NEEDS.get(reader): pytest.importorskip(library)
    counts, failed = fuzz.fuzz(reader, seconds=1.5, seed=5, most=60)
    assert not failed and counts['refused'] + counts['read'] > 0, failed

def test_a_receipt_and_a_history_that_are_none(tmp_path):
    from songsep.app import read_history
    from songsep.console import result_page
    for o in ('{}', '[]', '{"files": {}, "song": "a", "gain": 1}', '{"files": {"a": 1}, "song": "a", "gain": 1}'):
        (tmp_path/'separation.json').write_text(o)
        with pytest.raises(SongsepError, match='no receipt'): result_page(tmp_path)
    for o in (b'', b'PK', b'PK\3\4' + bytes(60)):
        (tmp_path/'training.npz').write_bytes(o)
        with pytest.raises(SongsepError, match='no history'): read_history(tmp_path)

@pytest.mark.parametrize('header', [b"{'descr': [('mix', '<f4'\n", b"{'descr': (((", b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }\n", b'\n'*20])
def test_a_dictionary_with_a_damaged_header(tmp_path, header):
    from songsep.preprocessing import load_audio_dict
    (tmp_path/'x.npy').write_bytes(b'\x93NUMPY\1\0' + len(header).to_bytes(2, 'little') + header)
    with pytest.raises(SongsepError, match="can't be opened|no dictionary|not a dictionary") as e: load_audio_dict(tmp_path/'x.npy')
    assert '\n' not in str(e.value)

def test_a_w64_ends_where_its_header_says(tmp_path):
    path, y, want = written(tmp_path, 'W64 PCM_16')
    chunk = b'levl' + bytes.fromhex('f3acd3118cd100c04f8edb8a') + (24 + 9000).to_bytes(8, 'little') + bytes(range(225))*40
    path.write_bytes(path.read_bytes() + chunk) # which libsndfile takes for sound
    assert np.array_equal(np.concatenate(list(read_blocks(path)), 1), y) and y.shape == want.shape

@pytest.mark.parametrize('said', ['<max>loud</max>', '<gain>-1</gain>', '<gain>nan</gain>', '<max>1e999</max>'])
def test_a_drum_kit_with_impossible_numbers(tmp_path, said):
    from songsep.synth.samplers import DrumKit
    (tmp_path/'a.wav').touch()
    drums = ''.join(f'<instrument><name>{o}</name><filename>a.wav</filename>{said}</instrument>' for o in ('Kick', 'Snare'))
    (tmp_path/'drumkit.xml').write_text(f'<drumkit_info>{drums}</drumkit_info>')
    with pytest.raises(SongsepError, match='no such number'): DrumKit(tmp_path)

def test_what_is_no_archive_is_one_sentence(tmp_path):
    from songsep.pull import unpack_checkpoint
    (tmp_path/'x.tar.gz').write_bytes(bytes(500))
    with pytest.raises(SongsepError, match='is no archive') as e: unpack_checkpoint(tmp_path/'x.tar.gz', tmp_path)
    assert '\n' not in str(e.value)

@pytest.mark.parametrize('e', [MemoryError(), RuntimeError('[ONNXRuntimeError] : 6 : Failed to allocate memory for requested buffer of size 9')])
def test_a_graph_for_which_memory_is_short_is_not_to_be_fetched_again(e):
    from songsep.engines import _no_graph
    said = str(_no_graph('x.onnx', e))
    assert 'too little memory' in said and 'etch' not in said

def test_an_address_that_is_no_utf8_is_refused(tmp_path):
    "Guided fuzzing found a traceback, in Starlette's search for an address with a slash"
    pytest.importorskip('starlette')
    (tmp_path/'x.http').write_bytes(b'GET ?a=\xa1\n')
    with pytest.raises(SongsepError, match='404'): fuzz.READERS['request'](tmp_path/'x.http')

def test_a_zip_with_a_nameless_file_is_one_sentence(tmp_path):
    "Guided fuzzing found a traceback"
    import zipfile
    from songsep.pull import unpack_checkpoint
    with zipfile.ZipFile(tmp_path/'x.zip', 'w') as z: z.writestr('a', b'')
    b = bytearray((tmp_path/'x.zip').read_bytes())
    at = b.index(b'PK\1\2') # in the list of files the name becomes something else
    b[at+28], b[at+30] = 0, 1
    (tmp_path/'x.zip').write_bytes(b)
    with pytest.raises(SongsepError, match='0 files called checkpoint'): unpack_checkpoint(tmp_path/'x.zip', tmp_path)

@pytest.mark.parametrize('said', ['[]', '5', '{"config": 1}', '{"targets": ["a", "b"]}', '{"config": {}, "targets": 5}', '['*2000])
def test_an_original_checkpoint_that_says_something_odd(tmp_path, said):
    h5py = pytest.importorskip('h5py')
    from songsep.checkpoints import original_facts
    with h5py.File(tmp_path/'x.h5', 'w') as f: f.attrs['songsep'] = said
    with pytest.raises(SongsepError, match='`songsep` can.t be read'): original_facts(tmp_path/'x.h5')

@pytest.mark.parametrize('settings', [None, [], 5, dict(sr='loud'), dict(segment=[1]), dict(sr=1e400), dict(max_hz={})])
def test_settings_that_are_none(settings):
    from songsep.core import config_from
    with pytest.raises(SongsepError, match='x.h5 (does not say|has a setting)'): config_from(settings, 'x.h5')

@pytest.mark.parametrize('content', [b'no graph', b'', None])
def test_a_graph_that_can_not_run_is_one_sentence(tmp_path, content):
    "Also where the description knows its checksum, or where it asks for another shape"
    from songsep.engines import onnx_engine
    from songsep.models import find_model
    path = find_model('drums')/'model.onnx' if content is None else tmp_path/'x.onnx'
    if content is not None: path.write_bytes(content)
    with pytest.raises(SongsepError, match="can't be run by ONNX Runtime") as e: onnx_engine(path)(np.zeros((1, 3), 'float32'))
    assert '\n' not in str(e.value)

def test_what_coverage_led_to(tmp_path):
    "Files that a fuzzer made: a box of a stem.mp4 whose size leads before its beginning, a header of NumPy that is no Python"
    inside = (0).to_bytes(3, 'big') + b'\x01\\stem{"stems": [1]}' # the size is said in the next eight bytes
    (tmp_path/'x.mp4').write_bytes(b'\0\0\0\x0cftypisom\0\0\0lmoov\0\0\0dudta' + inside + b' '*60)
    fuzz.names(tmp_path/'x.mp4')
    with zipfile.ZipFile(tmp_path/'x.npz', 'w') as z:
        header = b"{'descr': '<f4', (\n"
        z.writestr('about.npy', b'\x93NUMPY\x01\x00' + len(header).to_bytes(2, 'little') + header)
    with pytest.raises(SongsepError, match='no history of a training'): fuzz.history(tmp_path/'x.npz')
