"""What a graph of HTDemucs takes for one segment, step by step as songsep rewrites it, and in 8 bits.

    pip install demucs onnx sympy                       # only where no graph is given: one with random weights is made
    python benchmarks/graphs.py                         # some minutes; or with a graph of your own:
    python benchmarks/graphs.py htdemucs.onnx --song song.wav
    python benchmarks/graphs.py --shipped ../shared/data/validation   # `drums` in 8 bits: speed and what it costs, in dB

Each row is a process of its own with one thread. Processor time is the least of the rounds, memory the most that the
process held, loading included. Distance is how far the outputs lie from the first row's, in dB below them.
"""
import argparse, json, logging, os, shutil, subprocess, sys, tempfile, time
from pathlib import Path
import numpy as np

SEGMENT, BINS, FRAMES = 343980, 2048, 336

def example(song):
    "Inputs of the network: the first segment of a song, or noise"
    from songsep.core import Config
    from songsep.kinds import Inner
    if song:
        import soundfile as sf
        y = sf.read(song, frames=SEGMENT, dtype='float32', always_2d=True)[0].T
        y = np.pad(np.broadcast_to(y, (2, y.shape[1])), ((0, 0), (0, SEGMENT - y.shape[1])))
    else: y = np.random.default_rng(0).normal(size=(2, SEGMENT)).astype('float32')*np.float32(.1)
    return y[None], Inner(Config(44100, 7.8)).see(y)[None]

# One row, in a process of its own

def plain_session(path):
    "As ONNX Runtime is by itself"
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = ort.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
    return lambda X: session.run(None, dict(zip((o.name for o in session.get_inputs()), X)))

def one(path, session, out, rounds, song):
    "Run a graph, and keep what it gives"
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}) # songsep takes as many threads as it has processors
    from songsep.engines import onnx_engine
    X, times = example(song), []
    run = (plain_session if session == 'plain' else onnx_engine)(path)
    for _ in range(rounds):
        start = time.process_time()
        y = run(X)
        times.append(time.process_time() - start)
    np.savez(out, *y)
    peak = next(int(o.split()[1]) for o in open('/proc/self/status') if o.startswith('VmHWM'))
    print(json.dumps([min(times[1:] or times), peak/1024])) # the first run finds its memory

# The graphs

def random_graph(folder):
    "HTDemucs at its full size, with random weights"
    from htdemucs import random_checkpoint
    from songsep.demucs import export_demucs
    export_demucs(random_checkpoint(folder, 4), folder/'plain.onnx')
    return folder/'plain.onnx'

def attention_only(path, out):
    from songsep.fusion import Graph, fuse_attention
    from songsep.graphs import _by_runtime
    _by_runtime(path, folded := out.with_suffix('.folded'), 'BASIC')
    g = Graph(folded)
    fuse_attention(g)
    g.onnx.save(g.model, str(out))

def in_bits(path, out, kinds, example=None):
    """Weights and what meets them in 8 bits: scales of an `example`, else of each input as it comes.
    Processors without AVX-512 VNNI add pairs of products in 16 bits, so weights take 7 of their 8."""
    from onnxruntime import quantization as q
    how = dict(op_types_to_quantize=kinds, weight_type=q.QuantType.QInt8, per_channel=True, reduce_range=True)
    logging.disable(logging.WARNING)
    if example is None: return q.quantize_dynamic(path, out, **how)
    class Reader(q.CalibrationDataReader):
        left = [example]
        def get_next(self): return self.left.pop() if self.left else None
    q.quantize_static(path, out, Reader(), **how)

PRODUCTS = ['MatMul', 'Gemm']

def steps(path, folder, song):
    "Name of a row, graph, and session"
    from songsep.graphs import optimise_graph
    yield 'as ONNX Runtime runs it', path, 'plain'
    yield "as it is, in songsep's session", path, 'songsep'
    attention_only(path, folder/'attention.onnx')
    yield 'with attention fused', folder/'attention.onnx', 'songsep'
    optimise_graph(path, best := folder/'best.onnx')
    yield 'with norms and gates, too: what songsep ships', best, 'songsep'
    in_bits(best, folder/'products.onnx', PRODUCTS)
    yield 'the same with matrix products in 8 bits', folder/'products.onnx', 'songsep'
    import onnx
    names = [o.name for o in onnx.load(best, load_external_data=False).graph.input]
    in_bits(best, folder/'all.onnx', [*PRODUCTS, 'Conv'], dict(zip(names, example(song))))
    yield 'and convolutions, too', folder/'all.onnx', 'songsep'

def distance(first, then):
    "Energy of what differs, in dB below the outputs; that of the worst one"
    return max(10*np.log10(np.square(a - b).sum()/np.square(a).sum() + 1e-15) for a,b in zip(first, then)) # -150: the same

# The floor

def operations(path):
    "Multiplications and additions of a graph's products and convolutions, all of whose shapes are fixed"
    import onnx
    graph = onnx.shape_inference.infer_shapes(onnx.load(path)).graph
    shapes = {o.name: o.dims for o in graph.initializer}
    for o in [*graph.value_info, *graph.input, *graph.output]: shapes[o.name] = [d.dim_value for d in o.type.tensor_type.shape.dim]
    def of(node):
        x, w, y = (shapes.get(o) for o in (node.input[0], node.input[1], node.output[0]))
        if node.op_type in ('MatMul', 'Gemm'): return np.prod(y, dtype=float)*x[-1]
        return np.prod(x if node.op_type == 'ConvTranspose' else y, dtype=float)*np.prod(w[1:])
    return 2*sum(of(o) for o in graph.node if o.op_type in ('MatMul', 'Gemm', 'Conv', 'ConvTranspose'))

def matrix_rate(n=2048, rounds=8):
    "Operations a second of one core that multiplies matrices"
    x = np.random.default_rng(0).normal(size=(n, n)).astype('float32')
    times = []
    for _ in range(rounds):
        start = time.process_time()
        x@x
        times.append(time.process_time() - start)
    return 2*n**3/min(times)

def floor(path):
    "What a segment would take if the network were one product of matrices"
    done = subprocess.run([sys.executable, '-c', 'from graphs import matrix_rate; print(matrix_rate())'], check=True, text=True,
                          capture_output=True, cwd=Path(__file__).parent, env=os.environ | dict(OPENBLAS_NUM_THREADS='1', OMP_NUM_THREADS='1'))
    n, rate = operations(path), float(done.stdout)
    return f'{n/1e9:.0f} GFLOP; one core multiplies matrices at {rate/1e9:.0f} GFLOP/s, which would take {n/rate:.1f} s'

def table(args, tmp):
    path, first = args.graph or random_graph(tmp), None
    print('| graph | processor time | peak memory | distance |\n|---|---|---|---|')
    for i,(name, graph, session) in enumerate(steps(path, tmp, args.song)):
        out = tmp/f'{i}.npz'
        command = [sys.executable, __file__, 'one', graph, session, out, args.rounds, *([args.song] if args.song else [])]
        done = subprocess.run([str(o) for o in command], capture_output=True, text=True)
        if done.returncode: sys.exit(f'{name}: {done.stderr[-2000:]}')
        seconds, mb = json.loads(done.stdout.splitlines()[-1])
        y = [v for _,v in sorted(np.load(out).items())]
        first = first or y
        print(f'| {name} | {seconds:.1f} s | {mb:.0f} MB | {distance(first, y):.0f} dB |', flush=True)
        out.unlink()
    print(f'\nThe floor: {floor(path)}.')

# The shipped model in 8 bits

def tiles_of(song):
    "What the shipped model sees of a song"
    import soundfile as sf
    from songsep.models import open_model
    from songsep.separation import separate_blocks
    model, seen = open_model('drums'), []
    forward = model.forward
    def watched(X):
        seen.append(X)
        return forward(X)
    object.__setattr__(model, 'forward', watched)
    y, sr = sf.read(song, frames=20*44100, dtype='float32', always_2d=True)
    for _ in separate_blocks([y.T], sr, model): pass
    return np.concatenate(seen)[:4]

def shipped(args, tmp):
    "Speed of `drums` and its scores, as it is and in 8 bits"
    from dataclasses import replace
    from songsep.engines import checksum, onnx_engine
    from songsep.folder import read_spec, write_spec
    from songsep.graphs import _by_runtime
    from songsep.models import find_model
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    source, X = find_model('drums'), tiles_of(sorted(args.shipped.glob('*/mix.*'))[0])
    _by_runtime(source/'model.onnx', base := tmp/'base.onnx', 'BASIC') # weights in half precision unfold
    import onnx
    seen = {onnx.load(base).graph.input[0].name: X}
    makes = {'as it is': lambda out: shutil.copy(source/'model.onnx', out), 'matrix products in 8 bits': lambda out: in_bits(base, out, PRODUCTS),
             'convolutions in 8 bits': lambda out: in_bits(base, out, ['Conv'], seen), 'both': lambda out: in_bits(base, out, [*PRODUCTS, 'Conv'], seen)}
    first = None
    print('| `drums` | processor time of 4 tiles | distance | size | SDR (plain) of drums, accompaniments |\n|---|---|---|---|---|')
    for name,make in makes.items():
        folder = tmp/name.replace(' ', '_')
        shutil.copytree(source, folder)
        make(graph := folder/'model.onnx')
        write_spec(folder, replace(read_spec(folder), onnx_crc32=checksum(graph)))
        run, times = onnx_engine(graph), []
        for _ in range(1 + args.rounds):
            start = time.process_time()
            y = run(X)
            times.append(time.process_time() - start)
        first = [y] if first is None else first
        print(f'| {name} | {1000*min(times[1:]):.0f} ms | {distance(first, [y]):.0f} dB | {graph.stat().st_size/1e6:.1f} MB | {scores(folder, args.shipped)} |', flush=True)

def scores(folder, songs):
    "Medians over songs"
    command = [Path(sys.executable).with_name('songsep'), 'evaluate', songs, '--model', folder, '--quick', '--json', '-q']
    said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return ', '.join(f"{o['sdr']:.2f} dB" for o in said['medians'][said['model']].values())

def main():
    if sys.argv[1:2] == ['one']:
        graph, session, out, rounds, *song = sys.argv[2:]
        return one(graph, session, out, int(rounds), *song or [None])
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('graph', type=Path, nargs='?', help='a graph of HTDemucs; without one, random weights')
    p.add_argument('--song', type=Path, help='44.1 kHz; its first segment is heard instead of noise')
    p.add_argument('--rounds', type=int, default=2, help='runs of each; the least time is shown')
    p.add_argument('--shipped', type=Path, metavar='SONGS', help='a folder of songs whose stems are known: the shipped model instead')
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as d: (shipped if args.shipped else table)(args, Path(d))

if __name__ == '__main__': main()
