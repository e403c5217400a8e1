"""HTDemucs by songsep and by the package `demucs`: the same stems from the same weights, time, and memory.

    pip install demucs onnx                               # PyTorch comes with it
    python benchmarks/htdemucs.py agree                     # stems of both commands, 4 and 6 sources: some minutes
    python benchmarks/htdemucs.py race --seconds 60 240     # a minute of song takes a minute or two of a core, twice
    python benchmarks/htdemucs.py chain                     # and `drums` behind it, killed and continued
    python benchmarks/htdemucs.py memory --minutes 2 10     # songsep alone; a quarter of an hour of one core
    python benchmarks/htdemucs.py memory --empty            # the same with a graph that computes nothing: a minute

Where other programs want the machine, give all of it one core (`taskset -c 0`) and look at processor time.

Both are whole processes, the commands that users type, on the processor. The weights are random, each scale and shift
too, in a network of htdemucs' own size: what a network computes takes as long whatever its weights are.
"""
import argparse, hashlib, shutil, subprocess, sys, tempfile, time
from fractions import Fraction
from pathlib import Path
import numpy as np, soundfile as sf
from separate import measured, song_of
from songsep.graphs import DEMUCS_SHARES

SOURCES = ['drums', 'bass', 'other', 'vocals', 'guitar', 'piano']

def random_checkpoint(folder, n):
    "A checkpoint as Demucs names and reads it, with random weights"
    import torch
    from demucs.htdemucs import HTDemucs
    torch.manual_seed(0)
    net = HTDemucs(SOURCES[:n], depth=4, channels=48, bottom_channels=512, dconv_mode=3, t_layers=5, segment=Fraction(39, 5))
    with torch.no_grad():
        for p in net.parameters():
            if p.ndim == 1: p += .2*torch.randn(p.shape)
    args, kwargs = net._init_args_kwargs
    part = folder/'part.th'
    torch.save(dict(klass=HTDemucs, args=args, kwargs=kwargs, state=net.state_dict(), training_args={}), part)
    return part.rename(folder/f'random{n}-{hashlib.sha256(part.read_bytes()).hexdigest()[:8]}.th')

def contenders(checkpoint, folder):
    "Two functions that separate a song into a folder: Demucs, and songsep with the model that it makes of the checkpoint"
    songsep = Path(sys.executable).with_name('songsep')
    subprocess.run([songsep, 'models', 'import', checkpoint, '--out', folder, '--name', checkpoint.stem], check=True, stdout=subprocess.DEVNULL)
    def by_demucs(song, out):
        command = [sys.executable, '-m', 'demucs', '--repo', checkpoint.parent, '-n', checkpoint.stem.split('-')[0]]
        return measured(*command, '-d', 'cpu', '--shifts', 0, '--float32', '--clip-mode', 'none', '-o', out, song)
    def by_songsep(song, out):
        made = folder/checkpoint.stem
        shutil.rmtree(out, ignore_errors=True) # what is there already would not be computed again
        return measured(songsep, 'separate', song, '-o', out, '--model', made, '--bit-depth', 'float32', '--overwrite', '--quiet')
    return by_demucs, by_songsep

def stems(folder, names): return {k: sf.read(next(folder.rglob(f'{k}.wav')), dtype='float32', always_2d=True)[0] for k in names}

def agree(args, tmp):
    "Largest difference of the stems, as a share of the largest sample"
    song = song_of(args.agree_seconds, tmp)
    mix = sf.read(song, dtype='float32', always_2d=True)[0]
    for n in (4, 6):
        ways = contenders(random_checkpoint(tmp, n), tmp/'models')
        for way,k in zip(ways, 'ab'): way(song, tmp/f'{k}{n}')
        theirs, ours = (stems(tmp/f'{k}{n}', SOURCES[:n]) for k in 'ab')
        missed, shares = mix - sum(theirs.values()), DEMUCS_SHARES if n == 4 else dict.fromkeys(theirs, 1/n)
        for k in theirs: theirs[k] = theirs[k] + shares[k]*missed # as songsep shares it out
        full = max(1, max(np.abs(o).max() for o in theirs.values()))
        errors = {k: float(np.abs(theirs[k] - ours[k]).max()/full) for k in theirs}
        print(f'{n} sources, {args.agree_seconds} s:', ', '.join(f'{k} {v:.1e}' for k,v in errors.items()), flush=True)

def race(args, tmp):
    "Seconds of the clock and of a processor, and peak memory, in turns; medians"
    ways = contenders(random_checkpoint(tmp, 4), tmp/'models')
    print('| song | Demucs: clock, processor | songsep: clock, processor | faster by clock, by processor | memory |\n|---|---|---|---|---|')
    for s in args.seconds:
        song = song_of(s, tmp)
        rounds = np.array([[way(song, tmp/'out') for way in ways] for _ in range(args.rounds)])
        (a, b, x), (c, d, y) = np.median(rounds, 0)
        faster = np.median(rounds[:, 0]/rounds[:, 1], 0)
        print(f'| {s} s | {a:.1f} s, {b:.1f} s | {c:.1f} s, {d:.1f} s | {faster[0]:.2f} x, {faster[1]:.2f} x | {x:.0f} MB, {y:.0f} MB |', flush=True)

def empty_graph(path, n=4, samples=343980, bins=2048):
    "Inputs and outputs of HTDemucs, and nothing between that takes time or memory: each stem is a tenth of the song"
    import onnx
    from onnx import helper, numpy_helper
    info = lambda name, *shape: helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
    frames, make, nodes = -(-samples//(bins//2)), helper.make_node, []
    for k in ('sound', 'picture'):
        nodes += [make('Mul', [k, 'part'], [f'{k}_part']), make('Unsqueeze', [f'{k}_part', 'axis'], [f'{k}_one']), make('Concat', [f'{k}_one']*n, [f'{k}s'], axis=1)]
    constants = [numpy_helper.from_array(np.float32([.05]), 'part'), numpy_helper.from_array(np.int64([1]), 'axis')]
    graph = helper.make_graph(nodes, 'empty', [info('sound', 1, 2, samples), info('picture', 1, 4, bins, frames)],
                              [info('pictures', 1, n, 4, bins, frames), info('sounds', 1, n, 2, samples)], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8), path)
    return path

def memory(args, tmp):
    "Peak memory for songs of several lengths; with --empty, of all that is not the network"
    source = empty_graph(tmp/'empty.onnx') if args.empty else random_checkpoint(tmp, 4)
    by_songsep = contenders(source, tmp/'models')[1]
    for minutes in args.minutes:
        seconds, busy, mb = by_songsep(song_of(60*minutes, tmp), tmp/'out')
        print(f'{minutes} minutes: {mb:.0f} MB, {seconds:.0f} s of the clock, {busy:.0f} s of a processor', flush=True)

def chain(args, tmp):
    "HTDemucs and a model that takes its drums apart: killed in the middle, continued, the same bytes, and a sum that is the song"
    source, song = random_checkpoint(tmp, 4), song_of(args.chain_seconds, tmp)
    contenders(source, tmp/'models')
    line = [Path(sys.executable).with_name('songsep'), 'separate', song, '--model', tmp/'models'/source.stem, '--then', 'drums=drums', '--quiet', '-o']
    seconds, busy, mb = measured(*line, tmp/'whole')
    print(f'{args.chain_seconds} s whole: {seconds:.0f} s of the clock, {busy:.0f} s of a processor, {mb:.0f} MB', flush=True)
    spooled = lambda: sum(o.stat().st_size for o in tmp.glob('cut/.*.part/outputs.f32'))
    p = subprocess.Popen([str(o) for o in (*line, tmp/'cut')])
    while not spooled() and p.poll() is None: time.sleep(.01)
    p.kill()
    p.wait()
    print(f'killed by SIGKILL with {spooled()/1e6:.1f} MB of stems kept; continuing', flush=True)
    again = measured(*line, tmp/'cut')[1]
    whole, cut = ({o.name: o.read_bytes() for o in (tmp/k).rglob('*.wav')} for k in ('whole', 'cut'))
    parts = [sf.read(o, dtype='int32')[0].astype('int64') for o in (tmp/'whole').rglob('*.wav')]
    missed = np.abs(sum(parts) - sf.read(song, dtype='int32')[0]).max()
    print(f"{again:.0f} s of a processor; {'the same bytes' if whole == cut else 'OTHER BYTES'} in {', '.join(sorted(whole))}; the sum misses the song by {missed}")

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('what', nargs='*', choices=['agree', 'race', 'memory', 'chain', []], default=['agree', 'race'])
    p.add_argument('--seconds', type=int, nargs='+', default=[60, 240], help='lengths of the songs of the race')
    p.add_argument('--minutes', type=int, nargs='+', default=[2, 10], help='lengths of the songs whose memory is measured')
    p.add_argument('--empty', action='store_true', help='measure memory with a graph that computes nothing')
    p.add_argument('--agree-seconds', type=int, default=12, help='length of the song whose stems are compared')
    p.add_argument('--chain-seconds', type=int, default=24, help='length of the song of the chain')
    p.add_argument('--rounds', type=int, default=1)
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as d:
        for name in args.what: globals()[name](args, Path(d))

if __name__ == '__main__': main()
