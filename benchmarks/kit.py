"""How well a model takes drum kits apart: `python benchmarks/kit.py MODEL --unheard FOLDERS... --learned FOLDER --songs FOLDER`

    MODEL       a model with the stems of the recipe `kit`, a name or a folder
    --unheard   folders of tracks from `songsep synth --drum-pieces`, by kits and performances that it never heard
    --learned   a folder of such tracks that it learned from: NMF takes its templates from them
    --songs     real songs with a stem of drums, which the model takes apart
    --onsets    a folder with `<song>.txt`, a line `seconds class` for each stroke (KD SD TT HH CY, as MDB Drums has them)

For each piece it says by how much SI-SDR rises above that of the untouched mixture, and museval's SDR: of the model, of the
mixture, of the ideal ratio mask, and of NMF with fixed templates (Smaragdis 2004; scikit-learn), whose activations alone are
fitted. For real drums, of which no pieces are known, it says whether they sum to the stem to the last bit, how loud each piece
is, and in how many of the strokes that people heard of a piece it has at least a hundredth of the drums' power there (of what
lies above 5 kHz for the hi-hat and the cymbals: below, a kick at the same moment is a thousand times as strong). museval takes
ten seconds a track and method: `--quick` leaves it out. `-o` keeps all of it.
"""
import argparse, functools, tempfile, warnings
from pathlib import Path
import numpy as np, soundfile as sf
from scipy.signal import butter, sosfiltfilt
from sklearn.decomposition import non_negative_factorization
from songsep.core import write_json
from songsep.evaluation import medians, mixture_baseline, ratio_oracle, score_stems, si_sdr
from songsep.kinds import ratio_masks
from songsep.models import open_model
from songsep.recipes import load_recipe, load_targets
from songsep.separation import separate_blocks
from songsep.songs import Output, separate_song
from songsep.spectrogram import istft, stft
from songsep.stems import find_tracks

KIT = load_recipe('kit')
PARTS, TRACKS, FRAMES = 6, 40, 400 # templates a piece; tracks that they are learned from; loud frames of each
CLASSES = {'KD': 'kick', 'SD': 'snare', 'TT': 'toms', 'HH': 'hihat', 'CY': 'cymbals'}
STROKE, HEARD_DB = .08, -20 # seconds of a stroke that are looked at; power that a piece must have there, of the drums'
BRIGHT = ('hihat', 'cymbals') # heard above 5 kHz

def templates(folder):
    "Spectra of each piece (PARTS, bins), by NMF of the loudest frames of each track"
    tracks = find_tracks(folder)
    tracks, out = tracks[::max(1, len(tracks)//TRACKS)][:TRACKS], {}
    loaded = [load_targets(t, KIT)[0] for t in tracks]
    for piece in KIT.targets:
        frames = []
        for S in (np.abs(stft(ys[piece])) for ys in loaded if np.square(ys[piece]).mean() > 1e-8):
            frames.append(S[:, np.argsort(S.sum(0))[-FRAMES//4:]])
        X = np.concatenate(frames, 1).T
        how = dict(n_components=PARTS, init='nndsvda', max_iter=100, random_state=0)
        out[piece] = non_negative_factorization(X[::2], **how)[1]
    return out

def nmf(ys, targets, spectra):
    "The mixture as a sum of fixed spectra, whose shares become masks"
    D, H = stft(ys['mix']), np.concatenate([spectra[k] for k in KIT.targets])
    X = np.abs(D).mean(0).T.astype(H.dtype)
    how = dict(n_components=len(H), init='custom', solver='mu', beta_loss='kullback-leibler', max_iter=80)
    W = non_negative_factorization(X, H=H, update_H=False, **how)[0]
    parts = [W[:, i*PARTS:(i+1)*PARTS]@spectra[k] for i,k in enumerate(KIT.targets)]
    masks = dict(zip(KIT.targets, ratio_masks(np.stack(parts).swapaxes(1, 2).astype('float32'))))
    return {k: istft(masks[k]*D, ys['mix'].shape[-1]) for k in targets}

def by_model(ys, targets, model, sr=44100):
    stems = np.concatenate([*separate_blocks([ys['mix']], sr, model)], -1)
    return {k: v for k,v in zip(model.stems, stems) if k in targets}

def quick_scores(ys, estimates, sr):
    return {k: dict(sdr=float('nan'), si_sdr=si_sdr(ys[k], v)) for k,v in estimates.items()}

def score(model, folders, spectra, scores_of=score_stems):
    "{method: {track: {piece: scores}}}"
    methods = {'mixture': lambda ys, targets: mixture_baseline(ys['mix'], targets),
               model.spec.name: functools.partial(by_model, model=model), 'ideal mask': ratio_oracle}
    if spectra: methods['NMF'] = functools.partial(nmf, spectra=spectra)
    out = {k: {} for k in methods}
    for track in (t for f in folders for t in find_tracks(f)):
        ys, sr, _ = load_targets(track, KIT, mono=False)
        targets = [k for k in KIT.targets if np.square(ys[k]).mean() > 1e-9]
        name = f'{track.path.parent.name}/{track.name}'
        for k,fn in methods.items(): out[k][name] = scores_of(ys, fn(ys, targets), sr)
    return out

def improvements(scores):
    "{method: {piece: medians of the rise of SI-SDR, and of SDR; and how many tracks}}"
    out = {}
    for method,by in scores.items():
        rise = {k: [] for k in KIT.targets}
        for t,mixture in scores['mixture'].items():
            for k in mixture: rise[k].append(by[t][k]['si_sdr'] - mixture[k]['si_sdr'])
        sdrs, heard = medians(by), {k: v for k,v in rise.items() if v}
        out[method] = {k: dict(si_sdr=float(np.median(v)), worst=float(np.min(v)), sdr=sdrs[k]['sdr'], tracks=len(v))
                       for k,v in heard.items()}
    return out

def real(model, song, onsets):
    "What a model makes of a real song's drums"
    with tempfile.TemporaryDirectory() as d:
        drums = next(p for p in sorted(Path(song).iterdir()) if p.stem == 'drums')
        receipt = separate_song(drums, d, model, Output(fmt='flac'))
        read = lambda p: sf.read(p, dtype='int32', always_2d=True)[0]
        whole, parts = read(drums), {k: read(Path(d)/'drums'/f) for k,f in receipt['files'].items()}
    power = lambda y: float(np.square(y/2**31).mean()) + 1e-12
    levels = {k: round(10*np.log10(power(v)/power(whole)), 1) for k,v in parts.items()}
    out = dict(exact=bool((sum(parts.values()) == whole).all()), level_db=levels)
    if not (onsets and (path := Path(onsets)/f'{Path(song).name}.txt').exists()): return out
    strokes = {k: [] for k in KIT.targets}
    for t,c in (o.split()[:2] for o in path.read_text().splitlines() if o.strip()):
        if c in CLASSES: strokes[CLASSES[c]].append(float(t))
    high = butter(6, 5000, 'highpass', fs=receipt['sr'], output='sos')
    def heard(piece, t):
        at = slice(int(t*receipt['sr']), int((t + STROKE)*receipt['sr']))
        of = lambda y: power(sosfiltfilt(high, y[at], axis=0) if piece in BRIGHT else y[at])
        return bool(10*np.log10(of(parts[piece])/of(whole)) > HEARD_DB)
    return out | {'strokes': {k: [sum(heard(k, t) for t in ts), len(ts)] for k,ts in strokes.items() if ts}}

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model')
    for o in ('--unheard', '--songs'): parser.add_argument(o, nargs='*', default=[])
    for o in ('--learned', '--onsets', '-o'): parser.add_argument(o)
    parser.add_argument('--quick', action='store_true')
    args = parser.parse_args()
    warnings.filterwarnings('ignore')
    model, found = open_model(args.model), {}
    if args.unheard:
        spectra = args.learned and templates(args.learned)
        found['scores'] = score(model, args.unheard, spectra, quick_scores if args.quick else score_stems)
        found['unheard'] = improvements(found['scores'])
        for method,by in found['unheard'].items():
            say = lambda v: f"{v['si_sdr']:+.1f} (worst {v['worst']:+.1f}), SDR {v['sdr']:.1f}, {v['tracks']} tracks"
            print(f'{method}:', '; '.join(f'{k} {say(v)}' for k,v in by.items()))
    songs = [p for folder in args.songs for p in sorted(Path(folder).iterdir()) if [*p.glob('drums.*')]]
    found['real'] = {p.name: real(model, p, args.onsets) for p in songs}
    for name,v in found['real'].items():
        strokes = ', '.join(f'{k} {a} of {n}' for k,(a,n) in v.get('strokes', {}).items())
        levels = ', '.join(f'{k} {db} dB' for k,db in v['level_db'].items())
        print(f"{name}: {'exact' if v['exact'] else 'NOT EXACT'}; {levels}", f'; strokes heard: {strokes}' if strokes else '')
    if args.o: write_json(args.o, found)

if __name__ == '__main__': main()
