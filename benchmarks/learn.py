"""Which network learns most in a given time, and which sounds are worth their place. Every row is judged on the same real songs.

    python benchmarks/learn.py networks SONGS... --judge SONGS --work FOLDER [--seconds 240] [-o FIGURES.json]
    python benchmarks/learn.py sounds SONGS... --judge SONGS --work FOLDER --start drums [--steps 150] [--instead NAME FOLDER FOLDER]...

SONGS are folders of songs with stems, each one ingredient; at most `--most` songs are taken of each, at even distances. Of
the networks each learns for the same processor time, of the sounds each mixture for the same number of batches of eight: all
of them, all but one folder, or one folder in the place of another (`--instead "no amplifiers" rendered plain`), each from the
weights of `--start`: from nothing, 450 batches with two seeds came out 1.3 dB apart. Each row has the same seed and a rate
that rises and falls to nothing at its end, so none has an advantage of schedule. Rows that are there already are not done
again. Minutes rank what learns quickly; they do not say what a week would.
"""
import argparse, json, math, os, time
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
from dataclasses import replace
from pathlib import Path
import keras, numpy as np
from keras import ops
from songsep.core import Config, safe_name, write_json
from songsep.dataset import Batches, remix
from songsep.doctor import separation_rate
from songsep.evaluation import evaluate_tracks, means
from songsep.export import export_model
from songsep.folder import ModelSpec, build_model, load_model, save_model
from songsep.losses import LOSSES, BalancedL1, balance_alphas, mean_norms
from songsep.models import find_model, open_model
from songsep.prepare import prepare
from songsep.recipes import load_recipe
from songsep.separation import separate_blocks
from songsep.stems import find_tracks
from songsep.store import SpectrogramStore
from songsep.training import make_optimizer

DATA = { # stores: their settings and recipe
    'drums': (dict(max_hz=11025.), 'drums'),
    'five stems': (dict(max_hz=11025.), 'band'),
    'wide': (dict(max_hz=16537.5), 'drums'), # 1536 bins
    'full': (dict(), 'drums'), # to 22 kHz
    'long': (dict(max_hz=11025., segment=5.92), 'drums'), # 256 frames
    'short': (dict(max_hz=11025., segment=1.47), 'drums')}
SMALL_SPLEETER = dict(filters=[16, 32, 64, 128, 256], channels=1, shared=True, dropout=0.)
FIRST = 'width 16, depth 1, 4 levels, masks, 3 s, up to 11 kHz, l1'
NETWORKS = { # what differs from the first
    FIRST: {},
    'the same, another seed': dict(seed=1),
    'width 24': dict(arguments=dict(filters=24)),
    'width 32': dict(arguments=dict(filters=32)),
    'width 20, 5 levels (ships)': dict(arguments=dict(filters=20, levels=5)),
    'depth 2': dict(arguments=dict(depth=2)),
    'depth 3': dict(arguments=dict(depth=3)),
    '6 s of context': dict(data='long', batch=4),
    'up to 16 kHz': dict(data='wide'),
    'shares instead of masks': dict(arguments=dict(output='shares')),
    'five stems by one network': dict(data='five stems', arguments=dict(output='shares')),
    'targets in phase': dict(phase_sensitive=True),
    'targets in phase, loss in decibels': dict(phase_sensitive=True, loss='snr'),
    'loss on magnitudes and waveforms': dict(loss='waveform'),
    'loss on the roots of magnitudes': dict(loss='compressed'),
    'squared loss relative to the energy': dict(loss='relative'),
    '1.5 s of context': dict(data='short', batch=16),
    'up to 22 kHz': dict(data='full'),
    'spectrogram instead of masks': dict(arguments=dict(output='spectrogram')),
    'linear input scale': dict(arguments=dict(scale='linear')),
    'log input scale': dict(arguments=dict(scale='log')),
    'strided U-Net': dict(architecture='strided_unet'),
    "Spleeter's U-Net, 5 levels, shared": dict(architecture='spleeter_unet', arguments=SMALL_SPLEETER),
    "the paper's U-Net": dict(architecture='unet')}

# Learning by waveforms too

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

class Both(keras.losses.Loss):
    "Mean absolute errors of the targets' magnitudes and waveforms; 1 in a waveform counts as 30 in a magnitude"
    def __init__(self, alphas, config):
        super().__init__()
        self.alphas, self.c, self.l1 = alphas, config, BalancedL1(alphas)
    def call(self, y_true, y_pred):
        c, D = self.c, ops.transpose(y_true - y_pred, (0, 3, 2, 1))
        D = ops.pad(D, ((0, 0), (0, 0), (0, 0), (0, 1 + c.n_fft//2 - c.n_bins)))
        y = ops.istft(ops.split(D, 2, 1), c.n_fft, c.hop_length, c.n_fft)
        magnitude = lambda o: ops.sqrt(ops.sum(ops.square(ops.stack(ops.split(o, 2, -1))), 0) + 1e-9)
        waves = ops.sum(ops.mean(ops.abs(y), -1)*ops.convert_to_tensor(self.alphas, y.dtype), -1)
        return self.l1.call(magnitude(y_true), magnitude(y_pred)) + 30*waves

# Rows

def take(folder, most):
    "Songs of a folder at even distances, named after it"
    songs = find_tracks(folder)
    return [replace(t, name=f'{folder.name} {t.name}') for t in songs[::-(-len(songs)//most)]]

def store_of(name, args):
    "The path of a store, which is made where it is missing"
    settings, recipe = DATA[name]
    path = args.work/f'{safe_name(name)}.h5'
    others = [Path(new) for _,_,new in args.instead] if name == 'drums' else []
    with SpectrogramStore.create(path, Config(**settings), load_recipe(recipe), keep_phase=True) as s:
        prepare(s, [t for folder in [*args.songs, *others] for t in take(folder, args.most)], most=8, say=lambda line: None)
    return path

def judge(folder, songs):
    "Mean over songs of the median SDR of drums and of all else, decibels"
    model = open_model(folder.resolve(), 'keras')
    def separate(y, sr):
        drums = dict(zip(model.stems, np.concatenate(list(separate_blocks([y], sr, model)), -1)))['drums']
        return dict(drums=drums, accompaniments=y - drums) # whatever else the model tells apart
    found = means(evaluate_tracks(separate, songs, load_recipe('drums'), say=lambda line: None, quick=True))
    scores = {k: v['sdr'] for k,v in found.items()}
    return scores | dict(mean=float(np.mean(list(scores.values()))))

def learn(name, args, songs, tracks=None, steps=None, data='drums', architecture='tfc_tdf_unet', arguments=None, loss='l1', remixed=.9,
          phase_sensitive=False, batch=8, seed=0, start=None, rate=1e-3):
    "One row, of so many steps, or of `args.seconds`"
    keras.utils.set_random_seed(seed)
    store = store_of(data, args)
    with SpectrogramStore(store) as s:
        heard = tracks or [o.name for o in args.songs]
        tracks = [t for t in s if t.split(' ')[0] in heard]
        alphas = balance_alphas(mean_norms(s, tracks))
        spec, config = ModelSpec(safe_name(name), s.targets, s.config, architecture, arguments or {}, s.recipe.to_dict()), s.config
    net = build_model(spec)
    if start: net.set_weights(start)
    waves = loss == 'waveform'
    model = with_phase(net) if waves else net
    model.compile(make_optimizer('adam', rate, clipnorm=1.), Both(alphas, config) if waves else LOSSES[loss](alphas), jit_compile=False)
    batches = (WithPhase if waves else Batches)(store, tracks, batch, remixed=remixed, seed=seed, n_batches=10**6,
                                                phase_sensitive=phase_sensitive)
    model.train_on_batch(*batches.read(1, 0)) # tracing is no learning
    began, n = time.process_time(), 0
    for X,Y in batches:
        done = n/steps if steps else (time.process_time() - began)/args.seconds
        if done >= 1: break
        model.optimizer.learning_rate = rate*min(done/.05 + .01, .5 + .5*math.cos(math.pi*done)) + 1e-9
        model.train_on_batch(X, Y)
        n += 1
    folder = args.work/'models'/safe_name(name)
    save_model(folder, net, spec)
    res = dict(steps=n, seconds=time.process_time() - began, songs=len(tracks), parameters=net.count_params())
    if not steps:
        export_model(folder)
        res['times_real_time'] = separation_rate(folder)[1]
    return res | judge(folder, songs)

def sounds(args):
    "What is heard in each row of the table of sounds"
    names = [o.name for o in args.songs]
    clash = {Path(o).name for *_,o in args.instead}.intersection(names)
    if clash: raise SystemExit(f"give {', '.join(clash)}, which stands in the place of another, a name of its own")
    yield 'all', dict(tracks=names)
    yield 'all, another seed', dict(tracks=names, seed=1)
    for name in names: yield f'without {name}', dict(tracks=[o for o in names if o != name])
    for name,old,other in args.instead:
        yield name, dict(tracks=[Path(other).name if o == Path(old).name else o for o in names])
    yield 'stems never remixed', dict(tracks=names, remixed=0)

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('table', choices=['networks', 'sounds'])
    p.add_argument('songs', type=Path, nargs='+')
    p.add_argument('--judge', type=Path, required=True)
    p.add_argument('--work', type=Path, required=True)
    p.add_argument('--seconds', type=float, default=240, help='of processor time for each network')
    p.add_argument('--start', default='drums', help='model that each mixture of sounds goes on from')
    p.add_argument('--steps', type=int, default=150, help='for each mixture of sounds')
    p.add_argument('--most', type=int, default=60, help='songs of a folder')
    p.add_argument('--instead', nargs=3, action='append', default=[], metavar=('NAME', 'FOLDER', 'OTHER'))
    p.add_argument('-o', '--out', type=Path, default=Path('learn.json'))
    args = p.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    judged = find_tracks(args.judge)
    figures = json.loads(args.out.read_text()) if args.out.exists() else {}
    rows, more = NETWORKS.items(), {}
    if args.table == 'sounds':
        net, spec = load_model(find_model(args.start))
        rows, more = sounds(args), dict(steps=args.steps, arguments=spec.arguments, start=net.get_weights(), rate=6e-4, phase_sensitive=True)
    for name,what in rows:
        if name in figures: continue
        figures[name] = learn(name, args, judged, **more, **what)
        print(f"{name}: {({k: round(v, 2) for k,v in figures[name].items()})}", flush=True)
        write_json(args.out, figures)

if __name__ == '__main__': main()
