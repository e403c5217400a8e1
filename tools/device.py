"""Songs played by the processor, and networks that learn from them on a device. `tools/gpu.py run` starts both:

    python device.py play WORK END CORES
    python device.py train WORK OUT END OPTIONS

Sounds lie in the device's memory as rows of one length, a row for each role. An example is drawn, resampled, sent through
effects, mixed and transformed there, so the processor plays on meanwhile. END is in seconds since 1970.
"""
import json, os, random, shutil, sys, threading, time
from pathlib import Path
import numpy as np
from networks import BINS, FRAMES, torch_net, torch_weights

HERE = Path(__file__).resolve().parent
SR, N_FFT, HOP = 44100, 4096, 1024
LENGTH = (FRAMES - 1)*HOP + N_FFT # samples of an example
PIECES = ('kick', 'snare', 'toms', 'hihat', 'cymbals')
ROLES = (*PIECES, 'drums', 'bass', 'guitar', 'piano', 'other', 'vocals') # `drums` is the sum of the pieces, or recorded whole

NETWORKS = { # what learns, and its share of the steps
    'drums': dict(filters=20, levels=5, n_targets=2, output='mask', learning_rate=1e-3, share=1),
    'band': dict(filters=16, levels=4, n_targets=5, output='shares', learning_rate=1e-3, share=1),
    'kit': dict(filters=16, levels=4, n_targets=5, output='shares', learning_rate=6e-4, share=.3)}

BEGUN = time.time()
def say(*words): print(f'{time.time() - BEGUN:6.1f} s ', *words, flush=True)

# Playing, in processes

SECONDS = dict(song=75, drummer=30, machine=20) # of one rendering
SHARES = dict(song=6, drummer=3, machine=2) # of eleven renderings

def role_of(meta):
    "Where a stem of Slakh's layout belongs"
    if (piece := meta.get('drum_piece')): return piece if piece in PIECES else 'drums'
    p = meta['program_num']
    if p == 128 or 112 <= p < 119: return 'drums'
    return 'bass' if 32 <= p < 40 else 'guitar' if 24 <= p < 32 else 'piano' if p < 8 else 'other'

def hand_over(rows, kind, name, ready):
    "A file that is there whole or not at all"
    part = ready/f'.{name}.npy'
    np.save(part, rows)
    os.replace(part, ready/f'{kind}-{name}.npy')

def players(*folders):
    plays = lambda o: (o/'drumkit.xml').exists() or o.suffix == '.sf3'
    return [str(o) for folder in folders for o in sorted(Path(folder).glob('*')) if plays(o)]

def play_song(i, kind, path, work, seed):
    "One MIDI file by sounds of chance, the drums piece by piece"
    import soundfile as sf, yaml
    from songsep.synth.corpus import Variety, synth_track
    machines = players(HERE/'kits/electronic', work/'machines') + [o for o in players(HERE/'fonts') if 'GM' in Path(o).name]
    recorded = players(HERE/'kits/recorded')
    kits = dict(song=recorded*2 + machines, drummer=recorded, machine=machines)[kind]
    folder = work/'played'/f'{kind}{i:05}'
    synth_track(path, folder, players(HERE/'fonts'), seed=seed, drum_soundfonts=kits, fmt='wav', drum_pieces=True,
                max_seconds=SECONDS[kind], variety=Variety(), plates=sorted((HERE/'plates').glob('*.flac')))
    stems = yaml.safe_load((folder/'metadata.yaml').read_text())['stems']
    read = {s: sf.read(folder/'stems'/f'{s}.wav', dtype='int16')[0] for s in stems}
    rows = np.zeros((len(ROLES), max(map(len, read.values()))), 'int32')
    for s,meta in stems.items():
        role = role_of(meta)
        for o in {role, 'drums'} if role in PIECES else {role}: rows[ROLES.index(o), :len(read[s])] += read[s]
    shutil.rmtree(folder)
    hand_over(np.clip(rows, -32767, 32767).astype('int16'), kind, f'{i:05}', work/'ready')

def take_recorded(song, work):
    "A song of which the stems were recorded"
    import soundfile as sf, soxr
    ys = {o.stem: soxr.resample(*sf.read(o, dtype='float32'), SR) for o in song.glob('*.ogg')}
    rows = np.zeros((len(ROLES), max(map(len, ys.values()))), 'float32')
    for k,y in ys.items(): rows[ROLES.index(k if k in ('drums', 'vocals') else 'other'), :len(y)] += y
    rows *= .5*32767/np.abs(rows).max()
    hand_over(rows.astype('int16'), 'recorded', song.name, work/'ready')

def what_to_play(work, n=6000, seed=1):
    "Computed machines, recorded songs, then renderings in an order of chance; every MIDI file once before the first comes again"
    rng = random.Random(seed)
    midi, drummers = (sorted((work/o).rglob('*.mid')) for o in ('midi', 'drummers'))
    files, decks = dict(song=midi, drummer=drummers, machine=drummers), {}
    yield from (('computed', i) for i in range(32))
    yield from (('recorded', o) for o in sorted((HERE/'songs').glob('*/')))
    for i in range(n):
        kind, = rng.choices(list(SHARES), SHARES.values())
        if not decks.get(kind): decks[kind] = rng.sample(files[kind], len(files[kind]))
        yield i, kind, decks[kind].pop()

def play_some(items, work, until, seed):
    from machines import machine
    os.nice(5)
    for item in items:
        if time.time() > until: return
        try:
            if item[0] == 'computed': machine(work/'machines'/f'machine_{item[1]:02}', item[1])
            elif item[0] == 'recorded': take_recorded(item[1], work)
            else: play_song(*item, work, seed)
        except Exception as e: print(f'left out: {item}: {e!r}', flush=True)

def play(work, until, cores):
    "Songs into WORK/ready, until it is time"
    from multiprocessing import get_context
    for o in ('ready', 'machines', 'played'): (work/o).mkdir(exist_ok=True)
    items = list(what_to_play(work))
    some = [get_context('fork').Process(target=play_some, args=(items[i::cores], work, until, i + 1)) for i in range(cores)]
    for p in some: p.start()
    for p in some: p.join()

# Songs in the memory of the device

class Pool:
    "All songs one after the other (roles, samples), int16, and where in it each role sounds"
    STEP = 8192
    def __init__(self, torch, device, hours):
        self.torch, self.device, self.n = torch, device, int(hours*3600*SR)
        self.flat = torch.zeros(len(ROLES)*self.n, dtype=torch.int16, device=device)
        self.used, self.starts, self.seconds, self.tables, self.shares = self.STEP, {}, {}, {}, {}
    def add(self, rows, kind):
        "Rows (roles, samples); whether there was room"
        n = rows.shape[1]
        if self.used + n + 2*LENGTH > self.n: return False
        if n > 1.1*LENGTH:
            self.flat.view(len(ROLES), -1)[:, self.used:self.used+n] = self.torch.from_numpy(rows).to(self.device)
            for role,at in self._loud(rows).items(): self.starts.setdefault((role, kind), []).append(at + self.used)
            self.used, self.seconds[kind] = self.used + n, self.seconds.get(kind, 0) + n/SR
        return True
    def _loud(self, rows):
        "For each role, where a segment begins that is not 20 dB below its loudest"
        steps = rows[:, :rows.shape[1]//self.STEP*self.STEP].reshape(len(rows), -1, self.STEP)
        total = np.cumsum(np.pad(np.square(steps.astype('float32')).mean(2), ((0, 0), (1, 0))), 1)
        w = -(-LENGTH//self.STEP)
        energy = dict(zip(ROLES, total[:, w:] - total[:, :-w]))
        return {k: np.flatnonzero(e > 1e-2*np.quantile(e[e > 0], .9))*self.STEP for k,e in energy.items() if e.max(initial=0) > 100}
    def refresh(self):
        "Let what came since then be drawn too"
        self.tables = {k: self.torch.from_numpy(np.concatenate(v)).to(self.device) for k,v in list(self.starts.items())}
        self.shares = {}
    def draw(self, role, kinds, n):
        "Beginnings (n,) of segments where a role sounds; `kinds` are shares. Nothing is copied to the device: that would wait for it"
        t, kinds = self.torch, {k: v for k,v in kinds.items() if (role, k) in self.tables}
        key = tuple(kinds.items())
        if key not in self.shares: self.shares[key] = t.tensor(list(kinds.values()), device=self.device)
        which, out = t.multinomial(self.shares[key], n, replacement=True), 0
        for i,kind in enumerate(kinds):
            table = self.tables[role, kind]
            out = out + t.where(which == i, table[t.randint(len(table), (n,), device=self.device)], 0)
        return out + t.randint(-self.STEP//2, self.STEP//2, (n,), device=self.device)
    def read(self, role, start, speed):
        "Sound (n, LENGTH), float32, at some speed, between the samples by cubic polynomials (Catmull and Rom 1974)"
        t = self.torch
        at = speed[:, None]*t.arange(LENGTH, device=self.device, dtype=t.float32)
        f = at - at.floor()
        i = (start + ROLES.index(role)*self.n)[:, None] + at.long()
        a, b, c, d = (self.flat[(i + k).clamp(0, len(self.flat) - 1)].float() for k in (-1, 0, 1, 2))
        return (b + .5*f*(c - a + f*(2*a - 5*b + 4*c - d + f*(3*(b - c) + d - a))))/32768

# Effects for many sounds (n, LENGTH) at once

DRIVE = dict(guitar=(.3, 8, 40), bass=(.2, 4, 26), other=(.12, 4, 30), drums=(.15, 2, 16), piano=(.05, 4, 20),
             vocals=(.05, 4, 16)) # share, least and greatest dB
SILENT = dict(drums=.12, bass=.15, guitar=.2, piano=.45, other=.3, vocals=.65)

class Studio:
    N = 135168 # samples of a Fourier transform: LENGTH and a little, 2**12*33
    BLOCK = 512 # samples of which a compressor knows the level
    def __init__(self, torch, device):
        self.t, self.device, self.fft = torch, device, torch.fft
        self.hz = torch.fft.rfftfreq(self.N, 1/SR, device=device)
        octave = torch.log2(self.hz.clamp(min=20)/20)*7/np.log2(22050/20) # where each bin lies among eight points
        self.low = octave.floor().clamp(0, 6).long()
        self.part, self.window = octave - self.low, torch.hann_window(N_FFT, device=device)
    def rand(self, *shape, low=0., high=1.): return low + (high - low)*self.t.rand(*shape, device=self.device)
    def chance(self, share, *shape): return self.t.rand(*shape, device=self.device) < share
    def gain(self, db): return 10**(db/20)

    def equalizer(self, n, db):
        points = self.rand(n, 8, low=-db, high=db)
        return points[:, self.low]*(1 - self.part) + points[:, self.low+1]*self.part
    def shelves(self, n, low, high):
        below, above = 2**self.rand(n, 1, low=5.9, high=7.4), 2**self.rand(n, 1, low=11.3, high=13)
        return self.rand(n, 1, low=low[0], high=low[1])/(1 + (self.hz/below)**3) + \
            self.rand(n, 1, low=high[0], high=high[1])/(1 + (above/(self.hz + 1))**3)
    def bell(self, hz, octaves): return self.t.exp(-(self.t.log2((self.hz + 1)/hz)/octaves)**2)
    def snare_body(self, n): return self.rand(n, 1, high=9)*self.chance(.4, n, 1)*self.bell(2**self.rand(n, 1, low=7, high=8.1), .35)
    def cabinet(self, n):
        low, peak = self.rand(n, 1, low=3500, high=6500), self.rand(n, 1, low=1500, high=4000)
        edges = ((1 + (100/(self.hz + 1))**4)*(1 + (self.hz/low)**8))**-.5
        return edges*self.gain(self.rand(n, 1, high=8)*self.bell(peak, .5))
    def drive(self, y, share, low, high):
        "Clipped softly, as loud as before; and which of them"
        on, top = self.chance(share, len(y), 1), y.abs().amax(1, keepdim=True).clamp(min=1e-6)
        z = self.t.tanh(y/top*self.gain(self.rand(len(y), 1, low=low, high=high)))
        z = z*(y.square().mean(1, keepdim=True)/z.square().mean(1, keepdim=True).clamp(min=1e-12)).sqrt()
        return self.t.where(on, z, y), on
    def room(self, n, shortest, longest, share=.4):
        "What a room adds: noise that falls by 60 dB within so many seconds"
        s = self.t.arange(SR, device=self.device)/SR
        h = self.t.randn(n, SR, device=self.device)*(-6.9*s/self.rand(n, 1, low=shortest, high=longest)).exp()*(200*s).clamp(max=1)
        H = self.fft.rfft(h/h.square().sum(1, keepdim=True).sqrt(), self.N)
        return H*self.rand(n, 1, low=.08, high=.5)*self.chance(share, n, 1)
    def filtered(self, y, H): return self.fft.irfft(self.fft.rfft(y, self.N)*H, self.N)[:, :LENGTH]

    def stem(self, y, role):
        "A stem as another studio might have recorded it"
        n, drums = len(y), role == 'drums'
        y, driven = self.drive(y, *DRIVE.get(role, (.1, 2, 14)))
        shelves = self.shelves(n, *((0, 15), (-9, 6)) if drums else ((-3, 8), (-5, 5)))
        gain = self.gain(self.equalizer(n, 8)*self.chance(.8, n, 1) + shelves*self.chance(.8, n, 1) + (self.snare_body(n) if drums else 0))
        if role in ('guitar', 'bass', 'other'): gain = self.t.where(driven, gain*self.cabinet(n), gain)
        return self.filtered(y, gain*(1 + self.room(n, *(.1, .7) if drums else (.15, 2))))
    def level(self, y, low, high, silent):
        "Louder or softer, of either polarity, sometimes silent"
        sign = 1 - 2.*self.chance(.5, len(y), 1)
        return y*sign*self.gain(self.rand(len(y), 1, low=low, high=high))*~self.chance(silent, len(y), 1)

    def follow(self, y, low, high):
        "Level of each block and how far it is below the loudest, falling slowly: by a factor between `low` and `high` a block"
        e, m = y.reshape(len(y), -1, self.BLOCK).square().mean(2).sqrt(), 48
        fade = self.rand(len(y), 1, 1, low=low, high=high)**self.t.arange(m - 1, -1, -1, device=self.device)
        held = (self.t.nn.functional.pad(e, (m - 1, 0)).unfold(1, m, 1)*fade).amax(2)
        return e, held/e.amax(1, keepdim=True).clamp(min=1e-6)
    def curve(self, g): return self.t.nn.functional.interpolate(g[:, None], size=LENGTH, mode='linear')[:, 0] # from blocks to samples
    def squeezed(self, d):
        "Drums through a compressor, as loud as before"
        n = len(d)
        e, f = self.follow(d, .75, .97)
        g = (f + .02)**(-self.rand(n, 1, low=.1, high=.7)*self.chance(.35, n, 1))
        return d*self.curve(g*(e.square().sum(1, keepdim=True)/(e*g).square().sum(1, keepdim=True).clamp(min=1e-12)).sqrt())
    def ducked(self, d):
        "A gain for the others, which make way for the bass drum now and then"
        n = len(d)
        _, f = self.follow(self.filtered(d, self.hz < 130), .8, .97)
        return self.curve(1 - self.rand(n, 1, low=.3, high=.95)*self.chance(.12, n, 1)*f)
    def balanced(self, d, others):
        "Drums at some level against the others, in a third of the songs"
        a, b = (y.square().mean(1, keepdim=True) for y in (d, others))
        wanted = (b/a.clamp(min=1e-12)).sqrt()*self.gain(self.rand(len(d), 1, low=-14, high=6))
        return d*self.t.where(self.chance(.35, len(d), 1) & (a > 1e-9) & (b > 1e-9), wanted, 1.)
    def bus(self, stems):
        "The same compressor for all, and the song's level"
        mix, n = sum(stems), len(stems[0])
        _, f = self.follow(mix, .8, .97)
        g = self.curve((f + .05)**(-self.rand(n, 1, high=.6)*self.chance(.5, n, 1)))
        g = g*self.gain(self.rand(n, 1, low=-12, high=0))/(mix*g).abs().amax(1, keepdim=True).clamp(min=1e-3)
        return [y*g for y in stems]
    def spectra(self, stems):
        "(n, stems, BINS, FRAMES), complex"
        y = self.t.stack(stems, 1)
        D = self.t.stft(y.flatten(0, 1), N_FFT, HOP, window=self.window, center=False, return_complex=True)
        return D[:, :BINS].reshape(*y.shape[:2], BINS, FRAMES)

# Examples

DRUMS = dict(song=.42, drummer=.22, machine=.24, recorded=.12)
SOURCES = dict(drums=DRUMS, bass=dict(song=1.), guitar=dict(song=1.), piano=dict(song=1.), other=dict(song=.75, recorded=.25),
               vocals=dict(recorded=1.))

def speeds(studio, n, octaves, share=.6):
    return studio.t.where(studio.chance(share, n), 2**studio.rand(n, low=-octaves, high=octaves), 1.)

def draw_songs(pool, studio, n, together=.1):
    "Spectra (n, 5, BINS, FRAMES): drums, bass, guitar, piano, other. Stems of different songs, but for a share"
    same, first, stems = studio.chance(together, n), pool.draw('other', SOURCES['other'], n), {}
    for role,kinds in SOURCES.items():
        start, speed = pool.draw(role, kinds, n), speeds(studio, n, .3)
        y = pool.read(role, pool.torch.where(same, first, start), pool.torch.where(same, 1., speed))
        stems[role] = pool.torch.where(same[:, None], y, studio.level(studio.stem(y, role), -12, 6, SILENT[role]))
    drums = studio.squeezed(stems.pop('drums'))
    gain = studio.ducked(drums)
    others = [y*gain for y in stems.values()]
    D = studio.spectra(studio.bus([studio.balanced(drums, sum(others)), *others]))
    return pool.torch.cat([D[:, :4], D[:, 4:].sum(1, keepdim=True)], 1) # voices belong to the others

def draw_kits(pool, studio, n, together=.3):
    "Spectra (n, 5, BINS, FRAMES) of the pieces of kits, all through one desk and one room"
    kinds, same, stems = dict(drummer=.55, machine=.25, song=.2), studio.chance(together, n), []
    first, common = pool.draw('drums', kinds, n), speeds(studio, n, .3, 1)
    for piece in PIECES:
        start, speed = pool.draw(piece, kinds, n), speeds(studio, n, .45)
        y = pool.read(piece, pool.torch.where(same, first, start), pool.torch.where(same, common, speed))
        stems.append(pool.torch.where(same[:, None], y, studio.level(studio.stem(y, piece), -10, 6, .15)))
    db = studio.equalizer(n, 10)*studio.chance(.6, n, 1) + studio.shelves(n, (0, 15), (-9, 4))*studio.chance(.7, n, 1)
    H = studio.gain(db)*(1 + studio.room(n, .1, .8))
    return studio.spectra(studio.bus([studio.filtered(y, H) for y in stems]))

# Learning

def snr_loss(masks, X, D, floor=1e-2):
    """How far the error of each stem is below the stem, in powers of ten: what SDR measures, alike for soft and loud stems

    Masks (n, stems, BINS, FRAMES), spectra of the mixtures (n, BINS, FRAMES) and stems (n, stems, BINS, FRAMES), complex.
    What lies -10 log10 `floor` dB below the mixture counts little, so a stem may be silent.
    """
    energy = lambda o: o.abs().square().sum((-2, -1))
    least = floor*energy(X)[:, None] + 1e-3
    return ((energy(masks*X[:, None] - D) + least)/(energy(D) + least)).log10().mean()

class Learner:
    "A network, its optimizer and the mean of its weights over the last thousand steps"
    def __init__(self, torch, device, name, start=None):
        about = NETWORKS[name]
        self.t, self.device, self.name, self.rate = torch, device, name, about['learning_rate']
        self.net = torch_net(*(about[k] for k in ('filters', 'levels', 'n_targets', 'output'))).to(device)
        if start and start.exists():
            with np.load(start) as f, torch.no_grad():
                for i,w in enumerate(torch_weights(self.net)): w.copy_(torch.from_numpy(f[f'arr_{i}']))
        self.net = self.net.to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(self.net.parameters(), self.rate, weight_decay=1e-6, fused=device != 'cpu')
        self.mean, self.steps, self.owed, self.shown = [w.detach().clone() for w in torch_weights(self.net)], 0, 0., []
    def step(self, D, rate):
        "Spectra of stems (n, stems, BINS, FRAMES), which sum to the mixture; `rate` is a share of the greatest"
        X = D.sum(1)
        for o in self.optimizer.param_groups: o['lr'] = self.rate*rate
        with self.t.autocast(self.device, dtype=self.t.bfloat16): masks = self.net(X.abs())
        loss = snr_loss(masks, X, D)
        self.optimizer.zero_grad()
        loss.backward()
        self.t.nn.utils.clip_grad_norm_(self.net.parameters(), 1.)
        self.optimizer.step()
        self.steps += 1
        with self.t.no_grad(): self.t._foreach_lerp_(self.mean, list(torch_weights(self.net)), 1 - min(.999, self.steps/(self.steps + 20)))
        if self.steps%20 == 0: self.shown.append(loss.detach())
    def said(self):
        some, self.shown = [float(o) for o in self.shown], []
        return f'{self.name}: {self.steps} steps' + (f', loss {np.mean(some):.4f}' if some else '')
    def save(self, out, batch):
        part = out/f'.{self.name}.npz'
        np.savez(part, *(w.cpu().numpy() for w in self.mean), steps=self.steps, batch=batch)
        os.replace(part, out/f'{self.name}.npz')

def bring_in(pool, ready, stop):
    "Songs to the device, as they come"
    while not stop.wait(.5):
        for o in sorted(ready.glob('[a-z]*.npy')):
            if not pool.add(np.load(o), o.name.split('-')[0]): return say('the memory for songs is full')
            o.unlink()

def wait_for_songs(pool, seconds, end):
    while any(pool.seconds.get(k, 0) < seconds/n for k,n in dict(song=1, drummer=10, machine=20, recorded=20).items()):
        if time.time() > end: raise SystemExit(f'too little was played: {pool.seconds}')
        time.sleep(.5)
    pool.refresh()

def learn(learners, pool, studio, batch, rate):
    "One round: each network takes a step when its share has come to one"
    for o in learners.values(): o.owed += NETWORKS[o.name]['share']
    due = {k: o for k,o in learners.items() if o.owed >= 1}
    for o in due.values(): o.owed -= 1
    with pool.torch.no_grad(): D = draw_songs(pool, studio, batch) if due.keys() & {'drums', 'band'} else None
    if 'drums' in due: due['drums'].step(pool.torch.stack([D[:, 0], D[:, 1:].sum(1)], 1), rate)
    if 'band' in due: due['band'].step(D, rate)
    if 'kit' in due:
        with pool.torch.no_grad(): D = draw_kits(pool, studio, batch)
        due['kit'].step(D, rate)

def stage(learners, pool, studio, out, batch, end):
    "Learn until `end`, with a rate that rises for 15 s and falls to a hundredth"
    begun = shown = fresh = time.time()
    while (now := time.time()) < end:
        done = (now - begun)/(end - begun)
        learn(learners, pool, studio, batch, min(1, (now - begun)/15 + .05)*max(.01, .5 + .5*np.cos(np.pi*done)))
        if now - fresh > 8: pool.refresh(); fresh = now
        if now - shown > 15:
            say(f'{done:.0%}', '; '.join(o.said() for o in learners.values()), {k: f'{v/60:.0f} min' for k,v in pool.seconds.items()})
            for o in learners.values(): o.save(out, batch)
            shown = now
    for o in learners.values(): o.save(out, batch); say('learned', o.said())

def room_for(torch, device, spare=20):
    "Hours of songs that fit into the device's memory beside `spare` GiB for learning"
    return (torch.cuda.mem_get_info()[0] - spare*2**30)/(2*len(ROLES)*SR*3600) if device == 'cuda' else .7

def train(work, out, end, stages=((tuple(NETWORKS), 1),), batch=96, least=1200):
    """Networks learn together in a stage, and stages follow each other: of each the names, and when it ends as a share of the time

    The first begins when `least` seconds of songs were played.
    """
    import torch
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    hours = room_for(torch, device)
    pool, studio, stop = Pool(torch, device, hours), Studio(torch, device), threading.Event()
    out.mkdir(parents=True, exist_ok=True)
    bringer = threading.Thread(target=bring_in, args=(pool, work/'ready', stop), daemon=True)
    bringer.start()
    about = torch.cuda.get_device_name() if device == 'cuda' else 'the processor'
    say(f'PyTorch {torch.__version__}, {about}, room for {hours:.1f} hours of songs')
    wait_for_songs(pool, least, end)
    for names,share in stages:
        learners = {k: Learner(torch, device, k, HERE/f'{k}.npz') for k in names}
        stage(learners, pool, studio, out, batch, BEGUN + share*(end - BEGUN))
    stop.set()
    bringer.join()

if __name__ == '__main__':
    verb, work, *rest = sys.argv[1:]
    if verb == 'play': play(Path(work), float(rest[0]), int(rest[1]))
    else: train(Path(work), Path(rest[0]), float(rest[1]), **json.loads(rest[2]))
