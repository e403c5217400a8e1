"""How fast are batches read, and does the network ever wait for them? `python benchmarks/read.py`

Noise stands for music: 16 songs of 20 segments, 1025 bins and 63 frames (2 s at 16 kHz), read in random order by 8. Beside songsep stand
the generator of the project that it grew from (one float32 dataset a segment and target, batched by TensorFlow), and a bare `np.memmap` of
the bytes that songsep's store holds. Then one training step of `strided_unet` at 1024 x 128 is timed against one remixed batch for it.
All files are warm; each figure is the best of three.
"""
import os, tempfile, time
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
from pathlib import Path
import h5py, keras, numpy as np, tensorflow as tf
from songsep.core import Config
from songsep.dataset import Batches, make_dataset
from songsep.losses import BalancedL1
from songsep.store import SpectrogramStore, add_track
from songsep.recipes import load_recipe
from songsep.training import make_optimizer
from songsep.unet import strided_unet

KEYS = ('mix', 'drums', 'accompaniments')

def best(f, n=3):
    "Seconds of the quickest of n runs, after one to warm up"
    times = []
    for _ in range(n+1):
        start = time.perf_counter()
        f()
        times.append(time.perf_counter() - start)
    return min(times[1:])

def noise_store(path, config, n_tracks, n_segments, keep_phase=False):
    rng = np.random.default_rng(0)
    with SpectrogramStore.create(path, config, load_recipe('drums'), keep_phase) as store:
        for t in range(n_tracks):
            parts = {k: .1*rng.normal(size=(n_segments, config.segment_samples)).astype('float32') for k in KEYS[1:]}
            add_track(store, f'Track{t:05}', parts | {'mix': parts['drums'] + parts['accompaniments']})
        return list(store)

def original(path, order):
    "One segment at a time, as 32-bit floats, batched by TensorFlow"
    def segments():
        with h5py.File(path) as h:
            for t,i in order:
                mix, *stems = (h[f'{t}/{k}/{i}'][()] for k in KEYS)
                yield mix[..., None], np.stack(stems, -1)
    spec = lambda n: tf.TensorSpec((1025, 63, n), tf.float32)
    return tf.data.Dataset.from_generator(segments, output_signature=(spec(1), spec(2))).batch(8).prefetch(2)

def memmap(path, order):
    "The store's 16-bit floats from a flat file, to float32 batches"
    a = np.memmap(path, '<f2', 'r').reshape(len(order), 3, 1025, 63)
    for i in range(0, len(order), 8):
        S = a[order[i:i+8]].astype('float32')
        yield S[:, 0, ..., None], np.moveaxis(S[:, 1:], 1, -1).copy()

def exhaust(batches):
    for _ in batches: pass

def main(folder):
    tracks = noise_store(folder/'a.h5', Config(sr=16000, segment=2., n_fft=2048, hop_length=512), 16, 20)
    ours = Batches(folder/'a.h5', tracks, 8)
    with SpectrogramStore(folder/'a.h5') as store, h5py.File(folder/'original.h5', 'w') as h, open(folder/'flat.f2', 'wb') as f:
        for t,i in ours.index:
            for k in KEYS:
                S = store.fetch(t, k, [i])[0]
                h[f'{t}/{k}/{i}'] = S
                S.astype('<f2').tofile(f)
    order = np.random.default_rng(0).permutation(len(ours.index))
    runs = {'original: HDF5, float32, a segment at a time': lambda: exhaust(original(folder/'original.h5', [ours.index[i] for i in order])),
            'songsep: Batches': lambda: exhaust(ours),
            'songsep: make_dataset': lambda: exhaust(make_dataset(ours)),
            'np.memmap of the same bytes': lambda: exhaust(memmap(folder/'flat.f2', order))}
    rate = {k: len(order)/best(f) for k,f in runs.items()}
    base = next(iter(rate.values()))
    for k,v in rate.items(): print(f'{k:46} {v:7.0f} examples/s {v/base:6.1f} x')

    config = Config(sr=44100, segment=2.95, n_fft=4096, hop_length=1024, max_hz=1024*44100/4096)
    remixed = Batches(folder/'b.h5', noise_store(folder/'b.h5', config, 4, 8, keep_phase=True), 8, remixed=True, n_batches=4)
    model = strided_unet(1024, 128, 2)
    model.compile(make_optimizer(), BalancedL1([.5, .5]), jit_compile=False)
    X, Y = remixed[0]
    step = best(lambda: model.train_on_batch(X, Y))
    read = best(lambda: exhaust(remixed))/len(remixed)
    print(f'a step of strided_unet, 8 x 1024 x 128: {step:.3f} s; a remixed batch for it: {read:.3f} s, {read/step:.2f} of a step')

if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as folder: main(Path(folder))
