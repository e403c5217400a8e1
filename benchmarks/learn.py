"""Which network, and which idea, at equal cost: every row learns for the same processor time, and is judged on the same songs.

    python benchmarks/learn.py --rendered SONGS --recorded STEMS... --judge SONGS --work FOLDER [--seconds 240] [-o FIGURES.json]

SONGS are folders of songs with stems: `--rendered` from `songsep synth`, `--recorded` real ones, `--judge` real ones that
no row learns from. Stores are made in WORK. Each row starts from the same seed with a learning rate that rises, and falls
to nothing when the time is up, so none has an advantage of schedule. Rows that are there already are not done again. A few minutes
a row rank what learns quickly; they do not say what a week would.
"""
import argparse, json, math, os, time
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
from pathlib import Path
import keras, numpy as np
from keras import ops
from songsep.core import Config, safe_name, write_json
from songsep.dataset import Batches, remix
from songsep.doctor import separation_rate
from songsep.evaluation import song_judge
from songsep.losses import LOSSES, BalancedL1, balance_alphas, mean_norms
from songsep.export import export_model
from songsep.prepare import prepare
from songsep.store import SpectrogramStore
from songsep.stems import find_tracks
from songsep.recipes import load_recipe
from songsep.training import make_optimizer
from songsep.folder import ModelSpec, build_model, save_model

DATA = {'both': dict(max_hz=11025.), 'to 22 kHz': dict(), '1.5 s': dict(max_hz=11025., segment=1.47), 'rendered': dict(max_hz=11025.), 'recorded': dict(max_hz=11025.)}
SMALL_SPLEETER = dict(filters=[16, 32, 64, 128, 256], channels=1, shared=True, dropout=0.)
ROWS = { # what differs from the first
    'TFC-TDF U-Net': {},
    'strided U-Net': dict(architecture='strided_unet'),
    "Spleeter's U-Net, 5 levels, shared": dict(architecture='spleeter_unet', arguments=SMALL_SPLEETER),
    "the paper's U-Net": dict(architecture='unet'),
    'spectrogram instead of mask': dict(arguments=dict(output='spectrogram')),
    'linear input scale': dict(arguments=dict(scale='linear')),
    'log input scale': dict(arguments=dict(scale='log')),
    'up to 22 kHz instead of 11': dict(data='to 22 kHz'),
    '1.5 s of context instead of 3': dict(data='1.5 s'),
    'loss on the roots of magnitudes': dict(loss='compressed'),
    'squared loss relative to the energy': dict(loss='relative'),
    'loss on the complex spectrogram': dict(loss='complex'),
    'loss on the waveform': dict(loss='waveform'),
    'no remixing': dict(remixed=False),
    'rendered songs alone': dict(data='rendered'),
    'recorded songs alone': dict(data='recorded')}

class WithPhase(Batches):
    "Batches whose mixture has its phase too, and whose targets are real and imaginary parts"
    def _read(self, store, epoch, i):
        rows = list(self._rows(epoch, i))
        Y = np.zeros((len(rows), *self.shape, len(self.targets)), 'complex64')
        for r,(picks,studios) in enumerate(rows):
            for k,(target,p) in enumerate(zip(self.targets, picks)):
                track, segment = self.index[p]
                D = store.fetch_complex(track, target, [segment])[0]
                Y[r, ..., k] = remix(D, *studios[k]) if studios else D
        X = Y.sum(-1, keepdims=True)
        S = np.abs(X)
        return {'mix': S, 'phase': parts(X/np.maximum(S, 1e-8))}, parts(Y)

def parts(Z): return np.concatenate([Z.real, Z.imag], -1)

def with_phase(net):
    "The network's magnitudes with the mixture's phase, as real and imaginary parts"
    phase = keras.Input((*net.input_shape[1:3], 2), name='phase')
    E = net.output
    return keras.Model({'mix': net.input, 'phase': phase}, ops.concatenate([E*phase[..., :1], E*phase[..., 1:]], -1))

class Waveform(keras.losses.Loss):
    "Mean absolute error of the targets' waveforms, by the inverse transform of what differs"
    def __init__(self, alphas, config):
        super().__init__()
        self.alphas, self.c = alphas, config
    def call(self, y_true, y_pred):
        c, D = self.c, ops.transpose(y_true - y_pred, (0, 3, 2, 1))
        D = ops.pad(D, ((0, 0), (0, 0), (0, 0), (0, 1 + c.n_fft//2 - c.n_bins)))
        y = ops.istft(ops.split(D, 2, 1), c.n_fft, c.hop_length, c.n_fft)
        return ops.sum(ops.mean(ops.abs(y), -1)*ops.convert_to_tensor(self.alphas, y.dtype), -1)

def stores(args):
    "Name of the data to its store"
    sources, paths = {'rendered': [args.rendered], 'recorded': args.recorded}, {name: args.work/f'{safe_name(name)}.h5' for name in DATA}
    for name,settings in DATA.items():
        with SpectrogramStore.create(paths[name], Config(**settings), load_recipe('drums'), keep_phase=True) as s:
            for kind in sources if name not in sources else [name]:
                songs = [t for o in sources[kind] for t in find_tracks(o)]
                prepare(s, songs[::3] if kind == 'rendered' else songs, most=8 if kind == 'rendered' else 24, say=lambda line: None)
    return paths

def learn(name, store, args, architecture='tfc_tdf_unet', arguments=None, data=None, loss='l1', remixed=True):
    "One row"
    keras.utils.set_random_seed(0)
    with SpectrogramStore(store) as s:
        tracks = list(s)
        alphas = balance_alphas(mean_norms(s, tracks))
        spec, config = ModelSpec(name, s.targets, s.config, architecture, arguments, s.recipe.to_dict()), s.config
    net = build_model(spec)
    model = net if loss in LOSSES else with_phase(net)
    objective = LOSSES[loss](alphas) if loss in LOSSES else BalancedL1([*alphas, *alphas]) if loss == 'complex' else Waveform(alphas, config)
    model.compile(make_optimizer('adam', 1e-3, clipnorm=1.), objective, jit_compile=False)
    batches = (Batches if loss in LOSSES else WithPhase)(store, tracks, 8, remixed=remixed, seed=0, n_batches=10**6)
    model.train_on_batch(*batches.read(1, 0)) # tracing is no learning
    start, steps = time.process_time(), 0
    for X,Y in batches:
        done = (time.process_time() - start)/args.seconds
        if done >= 1: break
        model.optimizer.learning_rate = 1e-3*min(done/.05, .5 + .5*math.cos(math.pi*done)) + 1e-9
        model.train_on_batch(X, Y)
        steps += 1
    found = song_judge(store, [args.judge], say=lambda line: None)(net)
    folder = args.work/'models'/safe_name(name)
    save_model(folder, net, spec)
    export_model(folder)
    return {'steps': steps, 'parameters': net.count_params(), 'times_real_time': separation_rate(folder)[1], **found}

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--rendered', type=Path, required=True)
    p.add_argument('--recorded', type=Path, nargs='+', required=True)
    p.add_argument('--judge', type=Path, required=True)
    p.add_argument('--work', type=Path, required=True)
    p.add_argument('--seconds', type=float, default=240, help='Of processor time for each row')
    p.add_argument('-o', '--out', type=Path, default=Path('learn.json'))
    args = p.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    have = stores(args)
    figures = json.loads(args.out.read_text()) if args.out.exists() else {'seconds': args.seconds, 'rows': {}}
    for name,what in ROWS.items():
        if name in figures['rows']: continue
        figures['rows'][name] = learn(name, have[what.get('data', 'both')], args, **what)
        print(f"{name}: {figures['rows'][name]}", flush=True)
        write_json(args.out, figures)
