"""Sound files of every kind, and damaged ones: each ends as a right separation or as one clear sentence.

    python tests/torture/files.py                     # all forms once, and 2,000 damaged files
    python tests/torture/files.py --clean 50 --damaged 200 --seed 3 --keep failed

What is right is what the program ffmpeg decodes, sample by sample, where both read the file. The model is a stand-in that halves the song,
so that a file takes milliseconds; everything else is what `songsep separate` does. Files that fail are kept, with what was wrong.
"""
import argparse, json, os, shutil, signal, subprocess, sys, tempfile, warnings
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
import numpy as np, soundfile as sf

RATES = (4000, 8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000, 176400, 192000, 384000)
LENGTHS = (1, 2, 31, 575, 576, 1023, 1024, 1025, 1151, 1153, 2047, 4095, 4096, 4097, 8191, 8193, 44100, 65535, 65537, 130095, 2**18-1, 2**18+1)
FFMPEG = ('mp3 libmp3lame', 'mp2 mp2', 'm4a aac', 'm4a alac', 'mp4 aac', 'mov pcm_s24le', 'mov pcm_s16be', 'mka aac', 'mka flac', 'mka pcm_f32le', 'mka libopus',
    'mka ac3', 'mkv libmp3lame', 'webm libopus', 'ogg libopus', 'oga flac', 'opus libopus', 'flac flac', 'wma wmav2', 'wma wmav1', 'ac3 ac3',
    'eac3 eac3', 'wv wavpack', 'tta tta', 'avi pcm_s16le', 'avi libmp3lame', 'aac aac', 'flv aac', 'ts aac', 'ts mp2', 'mpg mp2', '3gp aac', 'wav adpcm_ms',
    'wav adpcm_ima_wav', 'wav pcm_mulaw', 'wav libmp3lame', 'wav pcm_f64le', 'w64 pcm_s16le', 'aiff pcm_s24be', 'aifc pcm_alaw', 'caf alac', 'caf aac', 'au pcm_f32be', 'voc pcm_u8')

@dataclass(frozen=True)
class Case:
    "One file to be made"
    name:str # Its name
    writer:str # `sndfile` or `ffmpeg`
    form:str # Format and subtype, or ending and codec
    sound:str # A key of `SOUNDS`
    sr:int # Hz
    channels:int # 1 to 8
    samples:int # Samples per channel
    damage:int|None=None # Seed of what happens to its bytes; `None` leaves them

def _with(y, value): y[..., y.shape[1]//2] = value; return y
SOUNDS = dict(noise=lambda r, y: r.normal(size=y.shape)*.1, tone=lambda r, y: y + .5*np.sin(np.arange(y.shape[1])*.05), silence=lambda r, y: y,
    dc=lambda r, y: y + .7, square=lambda r, y: y + np.sign(np.sin(np.arange(y.shape[1])*.03)+1e-9), denormal=lambda r, y: r.normal(size=y.shape)*1e-40,
    nan=lambda r, y: _with(y, np.nan), infinite=lambda r, y: _with(y, -np.inf), loud=lambda r, y: r.normal(size=y.shape)*1e4)
RARE = tuple('.mpc2k .sd2 .sds .wve .xi .htk .svx .avr .mat4 .mat5 .paf .pvf .ircam .nist'.split()) # ffmpeg takes some of them for something else
ENDINGS = {'WAVEX': 'wav', 'RF64': 'wav', 'AIFF': 'aiff', 'OGG': 'ogg', 'MP3': 'mp3'}

def forms():
    "All that can be written here: (writer, form)"
    mine = [('sndfile', f'{f} {s}') for f in sorted(sf.available_formats()) if f != 'RAW' for s in sorted(sf.available_subtypes(f)) if s != 'ALAC_20'] # which it does not read back itself
    return mine + [('ffmpeg', o) for o in FFMPEG]

def cases(clean, damaged, seed=0):
    "Seeded cases: forms in random order, each once before any comes twice, then damaged ones"
    rng = np.random.default_rng(seed)
    all_forms = forms()
    order = [i for _ in range(1 + (clean + damaged)//len(all_forms)) for i in rng.permutation(len(all_forms))]
    for i in range(clean + damaged):
        writer, form = all_forms[order[i]]
        kind = rng.choice([*SOUNDS]) if i < clean else rng.choice(['noise', 'tone'])
        sr, channels = int(rng.choice(RATES)), int(rng.choice([1, 2, 2, 2, 3, 4, 6, 8]))
        yield Case(f'{i:04}', writer, form, str(kind), sr, channels, int(rng.choice(LENGTHS if i < clean else LENGTHS[10:])), int(rng.integers(2**31)) if i >= clean else None)

def make(case, folder):
    "Write a case's file: its path, or `None` where no encoder takes it, in easier forms neither"
    first, second = case.form.split()
    path = folder/f"{case.name}.{(ENDINGS.get(first, first) if case.writer == 'sndfile' else first).lower()}"
    for sr,channels in ((case.sr, case.channels), (44100, case.channels), (case.sr, 2), (44100, 2), (8000, 1)):
        if first == 'OGG' and sr > 200_000 or second == 'alac' and channels > 2: continue # the encoder ends the process
        y = SOUNDS[case.sound](np.random.default_rng(int(case.name)), np.zeros((channels, case.samples))).astype('float32')
        if not ({'FLOAT', 'DOUBLE'} & {second} or second.startswith('pcm_f')): y = np.nan_to_num(y).clip(-.999, .999) # its encoders of a-law crash
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                if case.writer == 'sndfile': sf.write(path, y.T, sr, second, format=first)
                else: encode(path, y, sr, second)
            if path.stat().st_size: break
        except Exception: path.unlink(missing_ok=True)
    else: return None
    if case.damage is not None: damage(path, np.random.default_rng(case.damage))
    return path

def encode(path, y, sr, codec):
    "Write by PyAV"
    import av
    layout = {1: 'mono', 2: 'stereo', 3: '2.1', 4: 'quad', 6: '5.1', 8: '7.1'}[len(y)]
    with av.open(str(path), 'w') as out:
        stream = out.add_stream(codec, rate=sr, layout=layout)
        if codec in ('vorbis',): stream.codec_context.options = {'strict': '-2'}
        to = av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=sr, frame_size=stream.codec_context.frame_size or 1024)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(y), format='fltp', layout=layout)
        frame.rate, frame.pts = sr, 0
        for f in [*to.resample(frame), *to.resample(None)]: out.mux(stream.encode(f))
        out.mux(stream.encode(None))

def damage(path, rng):
    "Cut a file, flip bytes of its header or anywhere, insert or take out some"
    b = bytearray(path.read_bytes())
    kind, n = rng.choice(['cut', 'head', 'bytes', 'run', 'insert', 'remove']), len(b)
    at = int(rng.integers(n))
    if kind == 'cut': del b[max(1, at):]
    if kind == 'head': b[(i := int(rng.integers(min(n, 200))))] = int(rng.integers(256))
    if kind == 'bytes':
        for i in rng.integers(n, size=int(rng.integers(1, 20))): b[i] = int(rng.integers(256))
    if kind == 'run': b[at:at+64] = rng.bytes(len(b[at:at+64]))
    if kind == 'insert': b[at:at] = rng.bytes(int(rng.integers(1, 300)))
    if kind == 'remove': del b[at:at+int(rng.integers(1, 300))]
    path.write_bytes(b)

# What is right

def reference(path):
    "What ffmpeg decodes without a complaint: waveform (channels, samples), rate; `None` where it can't"
    command = ['ffmpeg', '-v', 'error', '-nostdin', '-i', str(path), '-map', '0:a:0', '-c:a', 'pcm_f32le', '-f', 'wav', '-bitexact', '-']
    try: done = subprocess.run(command, capture_output=True, timeout=60)
    except subprocess.TimeoutExpired: return None
    if done.stderr: return None # it found something wrong, and went on somehow
    out = done.stdout
    at, start = out.find(b'fmt '), out.find(b'data')
    if at < 0 or start < 0: return None
    channels, sr = int.from_bytes(out[at+10:at+12], 'little'), int.from_bytes(out[at+12:at+16], 'little')
    y = np.frombuffer(out[start+8:start+8+(len(out)-start-8)//(4*channels)*4*channels], '<f4').reshape(-1, channels).T
    if path.suffix == '.au': y = y[:, :_au_samples(path.read_bytes()[:24], channels)]
    return (y, sr) if y.shape[1] else None

def _au_samples(head, channels):
    "How many samples the header of an AU counts, `None` where that is not plain; ffmpeg reads beyond"
    size, kind = (int.from_bytes(head[i:i+4], 'big') for i in (8, 12))
    width = {1: 1, 2: 1, 27: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8}.get(kind) # bytes; ADPCM has none
    return width and size//channels//width

def difference(got, want, lossy):
    "How what we read differs from what ffmpeg read; empty where it does not"
    (y, sr), (r, rate) = got, want
    if lossy: y, r = y.clip(-1, 1), r.clip(-1, 1) # some of its decoders give whole numbers
    if abs(sr - rate) > 1 or len(y) != len(r): # a rate may be a fraction
        return f'{len(y)} channels at {sr} Hz, by ffmpeg {len(r)} at {rate}'
    n, spare = min(y.shape[1], r.shape[1]), 4608 if lossy else 0
    if lossy and n < r.shape[1]: # ours skips what the encoder had to put before the sound
        part, at = y[:, n//2:n//2+256], n//2
        i = min(range(r.shape[1]-n+1), key=lambda i: np.square(part - r[:, at+i:at+i+part.shape[1]]).sum())
        return '' if _off(y[:, :n], r[:, i:i+n], 2e-2) < .05 else 'the samples are not those of ffmpeg at any shift'
    if abs(y.shape[1] - r.shape[1]) > spare: return f'{y.shape[1]} samples, by ffmpeg {r.shape[1]}'
    return f'{off:.1%} of the samples are not those of ffmpeg' if (off := _off(y[:, :n], r[:, :n], 2e-2 if lossy else 1e-4)) > (.05 if lossy else 0) else ''

def _off(y, r, most):
    "Share of the samples that differ by more"
    with np.errstate(all='ignore'): return float((~(np.abs(y - r) <= most*max(1, np.abs(r[np.isfinite(r)]).max(initial=0)))).mean())

# One file

class Slow(Exception): pass

@contextmanager
def within(seconds):
    "Raise `Slow` where it takes longer"
    def stop(*_): raise Slow(f'not done after {seconds} s')
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try: yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)

@cache
def halver():
    "The model `drums`, with a stand-in for its network"
    from songsep import songs
    from songsep.models import open_model
    songs.separate_blocks = lambda blocks, sr, model, first=0, *a, **k: (np.stack([.5*y, .5*y]) for y in blocks)
    songs.resume_at = lambda *a, **k: (0, 0)
    return open_model('drums')

def judge(path, clean=False):
    "`separated` or `refused`, and what is wrong; empty where nothing is"
    from songsep.audio import probe, read_blocks
    from songsep.core import SongsepError
    from songsep.songs import separate_song
    out = path.with_name(path.name + '.out')
    try:
        with within(60), warnings.catch_warnings():
            warnings.simplefilter('error', RuntimeWarning)
            receipt = separate_song(path, out, halver())
            info, y = probe(path), np.concatenate(list(read_blocks(path, remark=lambda s: None)), 1)
            stems = [np.concatenate(list(read_blocks(out/path.stem/f)), 1) for f in receipt['files'].values()]
    except SongsepError as e:
        said = str(e)
        clear = '\n' not in said and len(said) < 400 and path.name in said and said.rstrip().endswith(('.', ')'))
        if clear and clean and path.suffix not in RARE and (want := reference(path)) and np.isfinite(want[0]).all(): return 'failed', said, 'whole, and refused'
        return 'refused', said, '' if clear else f'not one clear sentence: {said!r}'
    except BaseException as e:
        if isinstance(e, KeyboardInterrupt): raise
        return 'failed', '', f'{type(e).__name__}: {e}'
    finally: shutil.rmtree(out, ignore_errors=True)
    step = {'PCM_16': 2.**-15, 'PCM_24': 2.**-23}.get(receipt['subtype'], 2.**-22*max(1., np.abs(y).max()))
    if any(o.shape != y.shape for o in stems): return 'failed', '', f'stems of {stems[0].shape} for a song of {y.shape}'
    if np.abs(sum(o.astype('f8') for o in stems) - receipt['gain']*y).max() > 1.1*step: return 'failed', '', 'the stems do not sum to the song'
    comparable = path.suffix not in RARE and not info.subtype.startswith('NMS_') and not (path.suffix == '.caf' and len(y) > 2) # other orders of channels
    want = reference(path) if comparable and shutil.which('ffmpeg') else None
    wrong = difference((y, info.sr), want, info.subtype == 'LOSSY') if want else ''
    return 'separated', '; '.join(receipt['remarks']), wrong

def one(case, keep=None):
    "Make a case's file and judge it: plain values"
    with tempfile.TemporaryDirectory() as d:
        path = make(case, Path(d))
        if not path: return dict(case=case, end='not made', wrong='', said='')
        end, said, wrong = judge(path, case.damage is None)
        if wrong and keep:
            Path(keep).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, Path(keep)/path.name)
    return dict(case=case, end=end, said=said.replace(d, ''), wrong=wrong.replace(d, ''), ending=path.suffix)

def run(clean, damaged, seed=0, keep=None, jobs=None):
    "Judge seeded cases, each process of its own kind of death survived"
    from songsep.jobs import run_jobs
    every = list(cases(clean, damaged, seed))
    for i,r in run_jobs(partial(one, keep=keep), every, jobs):
        yield r if isinstance(r, dict) else dict(case=every[i], end='failed', said='', wrong=str(r))

def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument('--clean', type=int, default=3*len(forms()))
    args.add_argument('--damaged', type=int, default=2000)
    args.add_argument('--seed', type=int, default=0)
    args.add_argument('--keep', default='torture-failed')
    args.add_argument('--jobs', type=int)
    args.add_argument('--json', help='Write the figures here')
    o, counts, faults = (a := args.parse_args()), Counter(), []
    for r in run(a.clean, a.damaged, a.seed, a.keep, a.jobs):
        kind = 'damaged' if r['case'].damage is not None else 'whole'
        counts[kind, 'failed' if r['wrong'] else r['end']] += 1
        if r['wrong']:
            faults.append(r)
            print(r['case'], r['end'], r['wrong'], r['said'][:200], flush=True)
        elif '-v' in os.environ.get('TORTURE', ''): print(r['case'], r['end'], r['said'])
    figures = {k: {e: counts[k, e] for e in ('separated', 'refused', 'failed', 'not made')} for k in ('whole', 'damaged')}
    print(json.dumps(figures))
    if a.json: Path(a.json).write_text(json.dumps(figures | dict(seed=a.seed)) + '\n')
    sys.exit(bool(faults))

if __name__ == '__main__': main()
