"""Train the models that ship on a machine that is lent for minutes, with a GPU and without a network.

    python tools/gpu.py pack DATA FOLDER      # here: everything that is needed, in one folder below 60 MiB
    python FOLDER/gpu.py run MINUTES OUT      # there: installs, plays MIDI files, trains; OUT has the weights, anew every minute
    python tools/gpu.py bring OUT MODELS      # here again: a model folder for each, to be judged, tuned and shrunk

DATA holds midi, drum_midi, kits, instruments, irs and cc0_stems. There, Python 3.12 has PyTorch and what stands in THERE.
"""
import argparse, json, os, re, shutil, subprocess, sys, tarfile, time, zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
MIB = 1<<20

# What to install there. Nothing else is imported on this road: neither Keras, librosa nor ffmpeg
WHEELS = ('soundfile', 'cffi', 'pycparser', 'soxr', 'mido', 'fastcore<2', 'pedalboard', 'pyloudnorm')
THERE = ('torch', 'numpy', 'scipy', 'PyYAML', 'packaging', 'typing-extensions')
PLATFORMS = ('manylinux_2_28_x86_64', 'manylinux_2_27_x86_64', 'manylinux_2_24_x86_64', 'manylinux_2_17_x86_64', 'manylinux2014_x86_64')
FLUID = re.compile(r'pygame_ce\.libs/lib(fluidsynth|sndfile|ogg|vorbis|vorbisenc|FLAC|opus)-') # of pygame-ce's wheel, which is 12 MB
FONTS = ('sounds/sf2/sf_GMbank.sf2', 'fluidr3mono-gm-soundfont/FluidR3Mono_GM.sf3')
PLAYED = ('easyrpg_rtp', 'freedoom', 'mma_generated') # the other MIDI songs test
KEPT_OUT = ('gogodze_retro', 'gogodze_dry') # they test; the second is the first by other microphones
SONGS = ('hydrogen', 'potassium', 'rubidium', 'sodium')
RATE, SONG_SECONDS = 24000, 150 # the networks hear up to 11 kHz

# Packing

def pip(*args): subprocess.run([sys.executable, '-m', 'pip', '-q', '--disable-pip-version-check', *map(str, args)], check=True)

def pack_wheels(folder, python='3.12'):
    "What the machine lacks, and FluidSynth's library without the rest of pygame"
    spare, version = folder/'spare', python.replace('.', '')
    fetch = ['download', '--no-deps', '--only-binary=:all:', '--python-version', python, '--implementation', 'cp', '--abi', f'cp{version}',
             '--abi', 'abi3', '--abi', 'none', *(f'--platform={o}' for o in (*PLATFORMS, 'any'))]
    pip(*fetch, '-d', folder/'wheels', *WHEELS)
    pip(*fetch, '-d', spare, 'pygame-ce')
    with zipfile.ZipFile(next(spare.glob('*.whl'))) as a, zipfile.ZipFile(folder/'fluidsynth.zip', 'w', zipfile.ZIP_DEFLATED) as b:
        b.writestr('pygame/__init__.py', '') # where songsep looks for it
        for name in filter(FLUID.match, a.namelist()): b.writestr(name, a.read(name))
    shutil.rmtree(spare)

def pack_code(folder):
    "The package without weights and demo, and the scripts that run there"
    package = HERE.parent/'songsep'
    for o in (*package.rglob('*.py'), *package.rglob('recipes/*.yaml')):
        to = folder/o.relative_to(package.parent)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(o, to)
    for o in ('gpu.py', 'device.py', 'networks.py', 'machines.py'): shutil.copyfile(HERE/o, folder/o)

def write_ogg(file, y, sr, worse):
    "Mono sound (samples,), float32, as Ogg Vorbis; `worse` is 0 to 1"
    import numpy as np, soundfile as sf
    with sf.SoundFile(file, 'w', sr, 1, format='OGG', subtype='VORBIS', compression_level=worse) as f:
        for block in np.array_split(np.clip(y, -1, 1), len(y)//65536 + 1): f.write(block) # a long one in one go crashes libsndfile

def to_ogg(source, path, seconds=None, worse=.9):
    "A recording, mono, no longer than that"
    import soundfile as sf, soxr
    y, sr = sf.read(source, dtype='float32', always_2d=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_ogg(path, soxr.resample(y.mean(1), sr, RATE)[:seconds and int(seconds*RATE)], RATE, worse)

def pack_kit(kit, folder):
    "A kit of Hydrogen whose recordings are Ogg"
    from songsep.synth.samplers import DrumKit
    files = {layer[1] for layers in DrumKit(kit).keys.values() for layer in layers}
    for file in files: to_ogg(file, folder/file.relative_to(kit.resolve()).with_suffix('.ogg'), seconds=6)
    ogg = lambda m: m[1] + str(Path(m[2].strip()).with_suffix('.ogg')) + m[3]
    text = (kit/'drumkit.xml').read_text(encoding='utf-8', errors='replace')
    (folder/'drumkit.xml').write_text(re.sub(r'(<filename>)([^<]+)(</filename>)', ogg, text), encoding='utf-8')

def pack_tar(path, files, root):
    "Many small files in one"
    with tarfile.open(path, 'w:xz') as tar:
        for o in sorted(files): tar.add(o, o.relative_to(root))

def performances(folder):
    "What people played, of the training split"
    right = lambda o: (o['split'], o['kind']) == ('train', 'beat') and o['seconds'] >= 8
    return [folder/o['file'] for o in filter(right, json.loads((folder/'index.json').read_text()))]

def jobs_of(data, usr):
    "What to pack, most important first: (name, what makes it)"
    from fonts import pack_font
    from kits import ELECTRONIC, RECORDED
    def copied(source): return lambda to: (to.parent.mkdir(parents=True, exist_ok=True), shutil.copyfile(source, to))
    midi, drums, hydrogen = data/'midi', data/'drum_midi', usr/'hydrogen/data/drumkits'
    yield 'midi.tar.xz', lambda to: pack_tar(to, [o for k in PLAYED for o in (midi/k).rglob('*.mid')], midi)
    yield 'drummers.tar.xz', lambda to: pack_tar(to, performances(drums), drums)
    kits = [*(('electronic', hydrogen/o) for o in ELECTRONIC), *(('recorded', o) for o in sorted((data/'kits').glob('*/'))),
            *(('recorded', hydrogen/o) for o in RECORDED)]
    for kind,kit in kits:
        if kit.name not in KEPT_OUT and (kit/'drumkit.xml').exists(): yield f'kits/{kind}/{kit.name}', lambda to, kit=kit: pack_kit(kit, to)
    for song in SONGS:
        for stem in sorted((data/'cc0_stems'/song).glob('*.ogg')):
            yield f'songs/{song}/{stem.name}', lambda to, o=stem: to_ogg(o, to, SONG_SECONDS)
    for o in sorted((data/'irs').glob('*.flac'), key=lambda o: o.stat().st_size)[:4]: yield f'plates/{o.name}', copied(o)
    pianos_last = lambda o: (o.name.startswith('piano'), o.stat().st_size)
    fonts = [*(usr/o for o in FONTS), *sorted((data/'instruments').glob('*.sf3'), key=pianos_last)]
    for font in fonts: yield f'fonts/{font.stem}.sf3', lambda to, font=font: pack_font(font, to)

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

def pack_start(model, folder):
    "Weights that a network goes on from; its name is the folder's"
    import numpy as np
    from networks import keras_numbers
    from songsep.folder import load_model
    net, spec = load_model(model)
    halves = lambda o: h if np.array_equal(h := o.astype('float16'), o) else o # as most numbers of a shrunk model are
    np.savez(folder/f'{model.name}.npz', *map(halves, keras_numbers(net, spec.arguments.get('levels', 4))))

def pack(data, folder, most=60, python='3.12', start=()):
    "Make the folder that goes to the machine"
    folder.mkdir(parents=True)
    pack_code(folder)
    for o in start: pack_start(o, folder)
    pack_wheels(folder, python)
    tools = {str(o.relative_to(folder)): size(o) for o in sorted(folder.rglob('*')) if o.is_file()}
    taken, left_out = pack_sounds(data, folder, most*MIB - 20_000) # room for the manifest
    (folder/'manifest.json').write_text(json.dumps(dict(sizes=tools | taken, left_out=left_out), indent=1))
    groups = {}
    for name,n in (tools | taken).items(): groups[name.split('/')[0]] = groups.get(name.split('/')[0], 0) + n
    for name,n in groups.items(): print(f'{n/MIB:7.2f} MiB  {name}')
    for o in left_out: print('left out:', o)
    print(f'{size(folder)/MIB:7.2f} MiB  {folder}')

# There

def install(work):
    "Wheels, FluidSynth and the packed files, in folders of their own"
    pip('install', '--no-index', '--no-deps', '--no-compile', '--target', work/'site', *(HERE/'wheels').glob('*.whl'))
    zipfile.ZipFile(HERE/'fluidsynth.zip').extractall(work/'site')
    for name in ('midi', 'drummers'):
        with tarfile.open(HERE/f'{name}.tar.xz') as tar: tar.extractall(work/name, filter='data')

def run(minutes, out, work, cores, options):
    "Play songs on the processor and train on the device, within so many minutes"
    end = time.time() + 60*minutes
    work.mkdir(parents=True)
    install(work)
    paths = os.pathsep.join(filter(None, [str(HERE), str(work/'site'), os.environ.get('PYTHONPATH')]))
    env = os.environ | dict(PYTHONPATH=paths, PYTHONUNBUFFERED='1')
    script = lambda *args, **more: subprocess.Popen([sys.executable, str(HERE/'device.py'), *map(str, args)], env=env | more)
    player = script('play', work, end - 40, cores, OMP_NUM_THREADS='1')
    try: return script('train', work, out, end, json.dumps(options)).wait()
    finally: player.terminate()

# Here again

def bring(out, models):
    "Weights of PyTorch as model folders"
    from device import NETWORKS
    from networks import keras_model
    import numpy as np
    for path in sorted(out.glob('*.npz')):
        with np.load(path) as f: numbers = dict(f)
        steps, batch = int(numbers.pop('steps')), int(numbers.pop('batch'))
        keras_model(models/path.stem, path.stem, [numbers[f'arr_{i}'] for i in range(len(numbers))], NETWORKS[path.stem], steps, batch)
        print(f"{models/path.stem}: {steps} steps of {batch}")

def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest='verb', required=True)
    p = verbs.add_parser('pack')
    p.add_argument('data', type=Path); p.add_argument('folder', type=Path)
    p.add_argument('--most', type=float, default=60, help='MiB'); p.add_argument('--python', default='3.12', help='version there')
    p.add_argument('--start', type=Path, action='append', default=[], help='a folder `drums`, `band` or `kit` to go on from')
    r = verbs.add_parser('run')
    r.add_argument('minutes', type=float); r.add_argument('out', type=Path)
    r.add_argument('--work', type=Path, default=Path('/dev/shm/songsep'), help='a folder that is not there yet, best in memory')
    r.add_argument('--cores', type=int, default=max(1, len(os.sched_getaffinity(0)) - 1), help='that play')
    r.add_argument('--options', type=json.loads, default={}, help='of `device.train`: {"stages": [[["drums", "kit"], 0.8], [["band"], 1]]}')
    b = verbs.add_parser('bring')
    b.add_argument('out', type=Path); b.add_argument('models', type=Path)
    a = parser.parse_args()
    if a.verb == 'pack': pack(a.data, a.folder, a.most, a.python, a.start)
    elif a.verb == 'run': sys.exit(run(a.minutes, a.out, a.work, a.cores, a.options))
    else: bring(a.out, a.models)

if __name__ == '__main__': main()
