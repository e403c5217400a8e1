"""Train on a machine that is lent for minutes, with a GPU and without a network.

    python tools/gpu.py pack DATA FOLDER       # here: everything that is needed, in one folder below 60 MiB
    python FOLDER/gpu.py run MINUTES OUT       # there: installs, renders, trains; weights lie in OUT/model after every epoch

DATA holds midi, drum_midi, kits, instruments, irs and cc0_stems. There, Python has PyTorch or JAX and what stands in THERE.
"""
import argparse, json, os, re, shutil, subprocess, sys, tarfile, tempfile, threading, time, zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
MIB = 1<<20

# What to install there. Nothing else is imported on this road: neither librosa nor ffmpeg
WHEELS = ('keras', 'absl-py', 'rich', 'namex', 'h5py', 'optree', 'ml-dtypes', 'packaging', 'numpy', 'scipy', 'soundfile', 'cffi', 'pycparser',
          'soxr', 'mido', 'fastcore<2', 'pedalboard', 'pyloudnorm', 'joblib', 'cloudpickle', 'tqdm', 'PyYAML', 'typing-extensions')
THERE = ('absl-py', 'rich', 'h5py', 'ml-dtypes', 'packaging', 'numpy', 'scipy', 'joblib', 'cloudpickle', 'tqdm', 'PyYAML', 'typing-extensions')
PLATFORMS = ('manylinux_2_28_x86_64', 'manylinux_2_27_x86_64', 'manylinux_2_24_x86_64', 'manylinux_2_17_x86_64', 'manylinux2014_x86_64')
FLUID = re.compile(r'pygame_ce\.libs/lib(fluidsynth|sndfile|ogg|vorbis|vorbisenc|FLAC|opus)-') # of pygame-ce's wheel, which is 12 MB
RECORDED = ('BJA_Pacific', 'ColomboAcousticDrumkit', 'ForzeeStereo', 'Millo-Drums_v.1', 'Millo_MultiLayered2', 'The Black Pearl 1.0', 'rumpf_kit_z01_h2')
ELECTRONIC = ('Audiophob', 'ElectricEmpireKit', 'HardElectro1', 'VariBreaks')
KEPT_OUT = ('gogodze_retro',) # it tests
SONGS = ('hydrogen', 'potassium', 'rubidium', 'sodium')

# Packing

def pip(*args): subprocess.run([sys.executable, '-m', 'pip', '-q', '--disable-pip-version-check', *map(str, args)], check=True)

def pack_wheels(folder, python='3.12', there=THERE):
    "The package, what it needs and the machine lacks, and FluidSynth's library without the rest of pygame"
    wheels, spare = folder/'wheels', folder/'spare'
    version = python.replace('.', '')
    fetch = ['download', '--no-deps', '--only-binary=:all:', '--python-version', python, '--implementation', 'cp', '--abi', f'cp{version}',
             '--abi', 'abi3', '--abi', 'none', *(f'--platform={o}' for o in (*PLATFORMS, 'any'))]
    pip(*fetch, '-d', wheels, *(o for o in WHEELS if o not in there))
    pip('wheel', '--no-deps', '-w', wheels, HERE.parent)
    pip(*fetch, '-d', spare, 'pygame-ce')
    with zipfile.ZipFile(next(spare.glob('*.whl'))) as a, zipfile.ZipFile(folder/'fluidsynth.zip', 'w', zipfile.ZIP_DEFLATED) as b:
        b.writestr('pygame/__init__.py', '') # where songsep looks for it
        for name in filter(FLUID.match, a.namelist()): b.writestr(name, a.read(name))
    shutil.rmtree(spare)

def to_ogg(source, path, sr=None, seconds=None, worse=.6):
    "A recording in one channel, as Ogg Vorbis"
    import numpy as np, soundfile as sf, soxr
    y, rate = sf.read(source, dtype='float32', always_2d=True)
    y = soxr.resample(y.mean(1), rate, sr or rate)[:seconds and int(seconds*(sr or rate))]
    path.parent.mkdir(parents=True, exist_ok=True)
    with sf.SoundFile(path, 'w', sr or rate, 1, format='OGG', subtype='VORBIS', compression_level=worse) as f:
        for block in np.array_split(np.clip(y, -1, 1), len(y)//65536 + 1): f.write(block) # a long one in one go crashes libsndfile

def pack_kit(kit, folder):
    "A kit of Hydrogen whose recordings are Ogg"
    from songsep.synth.samplers import DrumKit
    files = {layer[1] for layers in DrumKit(kit).keys.values() for layer in layers}
    for file in files: to_ogg(file, folder/file.relative_to(kit.resolve()).with_suffix('.ogg'), seconds=6, worse=.8)
    ogg = lambda m: m[1] + str(Path(m[2].strip()).with_suffix('.ogg')) + m[3]
    text = (kit/'drumkit.xml').read_text(encoding='utf-8', errors='replace')
    (folder/'drumkit.xml').write_text(re.sub(r'(<filename>)([^<]+)(</filename>)', ogg, text), encoding='utf-8')

def pack_tar(path, files, root):
    "Many small files in one"
    with tarfile.open(path, 'w:xz') as tar:
        for o in sorted(files): tar.add(o, o.relative_to(root))

def performances(folder):
    "What people played, of the training split"
    return [folder/o['file'] for o in json.loads((folder/'index.json').read_text()) if o['split'] == 'train' and o['kind'] == 'beat' and o['seconds'] >= 8]

def jobs_of(data, usr):
    "What to pack, most important first: (name, what makes it), and what there is not is left out"
    def copied(source): return lambda to: (to.parent.mkdir(parents=True, exist_ok=True), shutil.copyfile(source, to))
    midi, drums, hydrogen = data/'midi', data/'drum_midi', usr/'hydrogen/data/drumkits'
    yield 'midi.tar.xz', lambda to: pack_tar(to, [o for k in ('easyrpg_rtp', 'freedoom', 'mma_generated') for o in (midi/k).rglob('*.mid')], midi)
    yield 'drummers.tar.xz', lambda to: pack_tar(to, performances(drums), drums)
    yield 'fonts/sf_GMbank.sf2', copied(usr/'sounds/sf2/sf_GMbank.sf2')
    kits = [*(('electronic', hydrogen/o) for o in ELECTRONIC), *(('recorded', o) for o in sorted((data/'kits').glob('*/'))),
            *(('recorded', hydrogen/o) for o in RECORDED)]
    for kind,kit in kits:
        if kit.name not in KEPT_OUT and (kit/'drumkit.xml').exists(): yield f'kits/{kind}/{kit.name}', lambda to, kit=kit: pack_kit(kit, to)
    for song in SONGS:
        for stem in sorted((data/'cc0_stems'/song).glob('*.ogg')):
            yield f'songs/{song}/{stem.name}', lambda to, stem=stem: to_ogg(stem, to, 24000, worse=.8)
    for o in sorted((data/'irs').glob('*.flac')): yield f'plates/{o.name}', copied(o)
    yield 'fonts/FluidR3Mono_GM.sf3', copied(usr/'sounds/sf3/FluidR3Mono_GM.sf3')
    for o in sorted((data/'instruments').glob('*.sf3'), key=lambda o: o.stat().st_size): yield f'fonts/{o.name}', copied(o)

def size(path): return sum(o.stat().st_size for o in path.rglob('*') if o.is_file()) if path.is_dir() else path.stat().st_size

def pack_sounds(data, folder, most, usr=Path('/usr/share')):
    "Fill the folder up to `most` bytes; what was taken with its size, and what there was no room for"
    taken, left_out, used = {}, [], size(folder)
    for name,make in jobs_of(data, usr):
        path = folder/name
        try: make(path)
        except FileNotFoundError as e: left_out.append(f'{name}: {e.filename or e} is missing'); continue
        if used + (n := size(path)) > most:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            left_out.append(f'{name}: {n/MIB:.1f} MiB more than there is room for')
        else: taken[name], used = n, used + n
    return taken, left_out

def pack(data, folder, most=60, python='3.12'):
    "Make the folder that goes to the machine"
    folder.mkdir(parents=True)
    for o in ('gpu.py', 'machines.py'): shutil.copyfile(HERE/o, folder/o)
    pack_wheels(folder, python)
    wheels = {str(o.relative_to(folder)): size(o) for o in sorted(folder.rglob('*')) if o.is_file()}
    taken, left_out = pack_sounds(data, folder, most*MIB - 20_000) # room for the manifest
    (folder/'manifest.json').write_text(json.dumps(dict(sizes=wheels | taken, left_out=left_out), indent=1))
    groups = {}
    for name,n in (wheels | taken).items(): groups[name.split('/')[0]] = groups.get(name.split('/')[0], 0) + n
    for name,n in groups.items(): print(f'{n/MIB:7.2f} MiB  {name}')
    for o in left_out: print('left out:', o)
    print(f'{size(folder)/MIB:7.2f} MiB  {folder}')

# On the machine

START = float(os.environ.setdefault('SONGSEP_START', str(time.time()))) # of the first process
def say(*words): print(f'{time.time() - START:6.1f} s ', *words, flush=True)

def child(site, *args, **env):
    "This script once more, by the Python that sees what was installed"
    paths = os.pathsep.join(filter(None, [str(site), os.environ.get('PYTHONPATH')]))
    env = os.environ | dict(PYTHONPATH=paths, PYTHONUNBUFFERED='1') | {k: str(v) for k,v in env.items()}
    return subprocess.Popen([sys.executable, str(HERE/'gpu.py'), *map(str, args)], env=env)

def install(work):
    "Wheels, FluidSynth and the packed files, in folders of their own"
    site = work/'site'
    pip('install', '--no-index', '--no-deps', '--no-compile', '--target', site, *(HERE/'wheels').glob('*.whl'))
    zipfile.ZipFile(HERE/'fluidsynth.zip').extractall(site)
    for name in ('midi', 'drummers'):
        with tarfile.open(HERE/f'{name}.tar.xz') as tar: tar.extractall(work/name, filter='data')
    return site

def make_ready(item, work):
    "A computed drum machine; or a recorded stem at some speed, as WAV, which songsep reads without ffmpeg"
    import soundfile as sf, soxr
    if isinstance(item, int):
        from machines import machine
        return machine(work/'machines'/f'machine_{item:02}', item)
    stem, speed = item
    to = work/'songs'/f'{stem.parent.name}_{round(100*speed)}'/f'{stem.stem}.wav'
    to.parent.mkdir(parents=True, exist_ok=True)
    y, sr = sf.read(stem, dtype='float32')
    sf.write(to, soxr.resample(y, sr*speed, sr), sr, 'PCM_16')

def renderings(work, seed):
    "What may be played, in an order of chance: (kind, MIDI file)"
    import random
    songs, played = (sorted((work/o).rglob('*.mid')) for o in ('midi', 'drummers'))
    rng = random.Random(seed)
    lists = [[(kind, o) for o in rng.sample(files, len(files))] for kind,files in (('song', songs), ('drummer', played), ('machine', played))]
    shares = {'song': 5, 'drummer': 3, 'machine': 2} # of ten
    order = [kind for kind,n in shares.items() for _ in range(n)]*(len(songs) + len(played))
    queues = {o[0][0]: iter(o) for o in lists if o}
    return [got for kind in rng.sample(order, len(order)) if kind in queues and (got := next(queues[kind], None))]

def play(item, until, work, out, seed):
    "One rendering, if there is still time: the seconds of sound, or 0"
    import soundfile as sf
    from songsep.core import SongsepError
    from songsep.synth.corpus import Variety, synth_track
    i, kind, path = item
    if time.time() > until: return 0
    every = lambda *folders: [str(o) for folder in folders for o in sorted(Path(folder).glob('*')) if (o/'drumkit.xml').exists() or o.suffix in ('.sf2', '.sf3')]
    machines = every(HERE/'kits/electronic', work/'machines') + [o for o in every(HERE/'fonts') if 'GM' in Path(o).name]
    kits = dict(song=every(HERE/'kits/recorded')*2 + machines, drummer=every(HERE/'kits/recorded'), machine=machines)[kind]
    folder = out/f'{kind}{i:05}'
    try: synth_track(path, folder, every(HERE/'fonts'), seed=seed, drum_soundfonts=kits, fmt='wav',
                     max_seconds=dict(song=50, drummer=30, machine=15)[kind], variety=Variety(), plates=sorted((HERE/'plates').glob('*.flac')))
    except SongsepError as e: print(f'left out: {e}', flush=True); return 0
    return sf.info(folder/'mix.wav').duration

def render(work, part, until, cores, speeds, most):
    "Play until it is time, and prepare what was played"
    from functools import partial
    from songsep.core import Config
    from songsep.jobs import run_jobs
    from songsep.prepare import prepare
    from songsep.recipes import load_recipe
    from songsep.stems import find_tracks
    from songsep.store import SpectrogramStore
    begun = time.time()
    if not part:
        ready = [*range(32), *((o, speed) for o in sorted((HERE/'songs').glob('*/*.ogg')) for speed in speeds)]
        for _ in run_jobs(partial(make_ready, work=work), ready, cores): pass
        say(f'computed machines, and songs at other speeds, in {time.time() - begun:.0f} s')
    out, seed, begun = work/f'played{part}', part + 1, time.time()
    items = [(i, *o) for i,o in enumerate(renderings(work, seed))]
    job = partial(play, until=max(until, begun + 8), work=work, out=out, seed=seed)
    done = [n for _,n in run_jobs(job, items, cores) if not isinstance(n, Exception) and n]
    took = time.time() - begun
    say(f'round {part}: {len(done)} renderings, {sum(done)/60:.0f} minutes of sound, {sum(done)/took/cores:.1f} times real time a core')
    store, begun = work/f'songs{part}.h5', time.time()
    if part: shutil.copyfile(work/f'songs{part-1}.h5', store)
    config = Config(sr=44100, segment=2.95, n_fft=4096, hop_length=1024, max_hz=11025)
    folders = [out] if part else [out, work/'songs']
    with (SpectrogramStore(store, 'r+') if part else SpectrogramStore.create(store, config, load_recipe('drums'), keep_phase=True)) as s:
        for folder in folders:
            if folder.exists(): prepare(s, find_tracks(folder), most=most, say=lambda _: None, n_jobs=cores)
        n = sum(len(s[t]['mix']) for t in s)
    say(f'round {part}: prepared in {time.time() - begun:.0f} s, {n} segments in all')

def fit(store, folder, minutes, settings, start=None):
    "One stretch of training; how fast it is, epoch by epoch"
    import keras
    from songsep.models import find_model
    from songsep.training import list_gpus, train
    say(f'training by {keras.backend.backend()} on {", ".join(list_gpus()) or "the processor"}, {minutes:.1f} minutes')
    begun = [time.time()]
    def speed(model):
        now, n = time.time(), settings['n_batches']*settings['batch_size']
        rate, begun[0] = n/(now - begun[0]), now
        say(f'{rate:.0f} examples a second, validation included; {model.count_params():,} weights')
        return dict(examples_a_second=rate)
    if start == 'drums': start = find_model('drums')
    history = train(store, folder, start=start, epochs=10**6, keep='last', patience=10**6, resident=True, remixed=.9, clipnorm=1., ema=.997,
                    validation=.02, minutes=minutes, judge=speed, verbose=0, **settings)
    say(f"{len(history['loss'])} epochs, loss {history['loss'][-1]:.4f}, validation {history['val_loss'][-1]:.4f}")

def whole(folder):
    "Do weights and description belong together? They are written one after the other"
    import hashlib
    try: spec, weights = json.loads((folder/'model.json').read_text()), (folder/'model.weights.h5').read_bytes()
    except (OSError, ValueError): return False
    return spec['weights_sha256'] == hashlib.sha256(weights).hexdigest()

def keep_copying(folder, out, stop):
    "Bring the weights of every epoch to where they survive"
    seen = None
    while True:
        last = stop.wait(2)
        now = (folder/'model.json').stat().st_mtime if (folder/'model.json').exists() else None
        if now != seen and whole(folder):
            out.mkdir(parents=True, exist_ok=True)
            for o in ('model.weights.h5', 'model.json'):
                shutil.copyfile(folder/o, out/f'{o}.part')
                os.replace(out/f'{o}.part', out/o)
            seen = now
        if last: return

def stretch(site, work, out, store, name, seconds, settings, start, backends):
    "Train by the first backend that works, and say which; a process that hangs is ended"
    until = time.time() + seconds
    for backend in backends:
        if (left := until - time.time()) < 5: break
        stop = threading.Event()
        copier = threading.Thread(target=keep_copying, args=(work/name, out/'model', stop))
        copier.start()
        p = child(site, 'fit', store, work/name, left/60, json.dumps(settings), start or '', KERAS_BACKEND=backend)
        try: code = p.wait(left + 20)
        except subprocess.TimeoutExpired: p.kill(); code = 'none in time'
        stop.set()
        copier.join()
        if code == 0 or whole(work/name): return backend
        say(f'{backend} ended with {code}')
        shutil.rmtree(work/name, ignore_errors=True)

def run(minutes, out, network, settings, backends, cores, work, speeds, most):
    "All of it, within so many minutes"
    end = START + 60*minutes
    site = install(work)
    say('installed')
    # A sixth of the time goes to rendering alone. The network learns from that while as much again is rendered, and then from all
    if child(site, 'render', work, 0, START + 60*minutes/6, cores, json.dumps(speeds), most).wait(): raise SystemExit('rendering failed; see above')
    left = end - time.time()
    second = child(site, 'render', work, 1, time.time() + .2*left, max(1, cores - 2), '[]', most)
    start = None if network is not None else 'drums'
    settings = dict(settings, arguments=network)
    stretch(site, work, out, work/'songs0.h5', 'first', .3*left, settings | dict(learning_rate=settings['learning_rate']/2), start, backends)
    whole_store = work/'songs1.h5' if second.wait() == 0 else work/'songs0.h5'
    if whole(work/'first'): start = work/'first'
    stretch(site, work, out, whole_store, 'second', end - time.time() - 12, settings | dict(schedule='clock'), start, backends)
    if not whole(out/'model'): raise SystemExit(f'no backend trained: {", ".join(backends)}')
    say(f"{size(out/'model'/'model.weights.h5')/MIB:.1f} MiB of weights in {out/'model'}")

def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest='verb', required=True)
    p = verbs.add_parser('pack')
    p.add_argument('data', type=Path); p.add_argument('folder', type=Path)
    p.add_argument('--most', type=float, default=60, help='MiB'); p.add_argument('--python', default='3.12', help='version there')
    r = verbs.add_parser('run')
    r.add_argument('minutes', type=float); r.add_argument('out', type=Path)
    r.add_argument('--network', type=json.loads, default=dict(filters=32, depth=2), help='arguments of tfc_tdf_unet; null goes on from `drums`')
    r.add_argument('--batch', type=int, default=64); r.add_argument('--batches', type=int, default=128, help='steps an epoch')
    r.add_argument('--rate', type=float, default=2e-3); r.add_argument('--precision', default='mixed_bfloat16')
    r.add_argument('--backends', default='torch,jax'); r.add_argument('--cores', type=int, default=len(os.sched_getaffinity(0)))
    r.add_argument('--speeds', type=json.loads, default=[.89, 1, 1.125], help='of recorded songs')
    r.add_argument('--most', type=int, default=200, help='segments of a song')
    r.add_argument('--work', type=Path, help='a folder that is not there yet, 40 GB on a quick disk or in memory')
    for verb,names in dict(render=('work', 'part', 'until', 'cores', 'speeds', 'most'), fit=('store', 'folder', 'minutes', 'settings', 'start')).items():
        inner = verbs.add_parser(verb)
        for o in names: inner.add_argument(o)
    a = parser.parse_args()
    if a.verb == 'pack': pack(a.data, a.folder, a.most, a.python)
    elif a.verb == 'render': render(Path(a.work), int(a.part), float(a.until), int(a.cores), json.loads(a.speeds), int(a.most))
    elif a.verb == 'fit': fit(a.store, a.folder, float(a.minutes), json.loads(a.settings), a.start or None)
    else:
        settings = dict(batch_size=a.batch, n_batches=a.batches, learning_rate=a.rate, precision=a.precision)
        run(a.minutes, a.out, a.network, settings, a.backends.split(','), a.cores, a.work or Path(tempfile.mkdtemp()), a.speeds, a.most)

if __name__ == '__main__': main()
