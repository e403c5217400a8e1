"Rendering MIDI: what a player must honour, and what a corpus must keep."
import ctypes, os, random, shutil, subprocess, sys
from pathlib import Path
import numpy as np, pytest, soundfile as sf, yaml
from songsep.core import SongsepError
from songsep.synth.amps import EFFECTS, GAINS, add_effects, add_effects_to_pieces, bus_gain, draw_amp, draw_desk
from songsep.synth.corpus import ALONE, Variety, draw_sounds, find_midi, synth_dataset, synth_track
from songsep.synth.midi import DRUM_PIECES, PERCUSSION, Part, read_midi, split_drums, toy_midi, write_midi
from songsep.synth.render import render_midi, render_parts
from songsep.synth.samplers import DrumKit, SoundFont, find_soundfonts, open_sampler
from songsep.synth.slakh import loudness, tracks_made
from songsep.synth.toy import toy_song
from songsep.stems import slakh_track

SR, DRUMS = 16000, Part(128, ())
FONT = next(o for o in find_soundfonts() if o.name=='TimGM6mb.sf2')

def play(notes=((0., 1., 69, 100),), program=48, **kwargs): return render_parts([Part(program, notes, **kwargs)], [[FONT]], SR)[0]
def rms(y, a, b): return float(np.sqrt(np.mean(y[int(a*SR):int(b*SR)]**2)))
def hz(y, a, b):
    y = y[int(a*SR):int(b*SR)]
    S = np.abs(np.fft.rfft(y*np.hanning(len(y)), 8*SR))
    return S[3000:6000].argmax()/8 + 375
def write(path, rows, division=480): # one track: (delta, bytes)
    body = b''.join(bytes([d >> 7 | 128, d & 127]) + bytes(o) for d,o in rows) + bytes([0, 255, 47, 0])
    path.write_bytes(b'MThd' + bytes([0,0,0,6, 0,0, 0,1, division >> 8, division & 255]) + b'MTrk' + len(body).to_bytes(4, 'big') + body)
    return path

# What a player honours

def test_velocity(): # amplitude goes with its square, and steps of 16 leave no steps
    peaks = [np.abs(play(((0., .5, 60, v),), program=0)).max() for v in (40, 43, 44, 47, 80)]
    assert peaks == sorted(peaks) and 3 < peaks[-1]/peaks[0] < 5.5

def test_volume_expression_and_pan(tmp_path):
    rows = [(0, (0xC0, 16)), (0, (0xB0, 7, 127)), (0, (0x90, 69, 100))]
    for number,value in ((7, 64), (7, 127), (11, 64), (11, 127), (10, 1)): rows.append((480, (0xB0, number, value)))
    y = render_midi(write(tmp_path/'a.mid', rows + [(480, (0x80, 69, 0))]), FONT, SR)[0][1]
    full, soft, back, faint, again, aside = (rms(y, .5*i+.2, .5*i+.45) for i in range(6))
    assert soft/full == pytest.approx((64/127)**2, rel=.1) and faint/back == pytest.approx((64/127)**2, rel=.1)
    assert aside/again == pytest.approx(.5**.5, rel=.1)

def test_bend_with_its_range(tmp_path):
    rows = [(0, (0xC0, 80)), (0, (0xB0, 101, 0)), (0, (0xB0, 100, 0)), (0, (0xB0, 6, 12)), (0, (0x90, 69, 100)), (960, (0xE0, 0, 96))] # a range of an octave, and half of it
    y = render_midi(write(tmp_path/'a.mid', rows + [(960, (0x80, 69, 0))]), FONT, SR)[0][1]
    assert 12*np.log2(hz(y, 1.3, 1.9)/hz(y, .3, .9)) == pytest.approx(6, abs=.1)
    plain, bent = play(program=80), play(program=80, moves=((0., 'bend', 300),))
    assert 12*np.log2(hz(bent, .2, .9)/hz(plain, .2, .9)) == pytest.approx(3, abs=.1)

def test_modulation_is_heard(): assert np.abs(play(moves=((0., 'wheel', 127),)) - play()).max() > .1*np.abs(play()).max()

def test_pedal_holds(tmp_path):
    def song(name, *pedal): return read_midi(write(tmp_path/name, [(0, (0x90, 60, 100)), *pedal, (240, (0x80, 60, 0)), (960, (0xB0, 64, 0)), (0, (0x90, 64, 9)), (96, (0x80, 64, 0))]))
    short, long = song('a.mid')[0].notes[0], song('b.mid', (0, (0xB0, 64, 127)))[0].notes[0]
    assert short[1] == pytest.approx(.25) and long[1] == pytest.approx(1.25)

def test_a_hat_ends_the_one_before():
    hats = ((0., .1, 46, 100), (.2, .3, 42, 100))
    both, closed = play(hats, program=128), play(hats[1:], program=128)
    n = int(.23*SR)
    assert np.abs(both[n:n+SR//2] - closed[n:n+SR//2]).max() < 1e-6 < rms(play(hats[:1], program=128), .25, .3)

@pytest.mark.parametrize('program', [0, 24, 33, 56, 73])
def test_a_note_is_what_fluidsynth_plays(program):
    ours, font = play(((0., .5, 60, 100),), program), SoundFont(FONT, SR)
    lib, s, c = font._lib, font._synth, font._channel(0, program)
    n, held = len(ours)//64*64, 8000//64*64
    sides = np.zeros((2, n), 'float32')
    a, b = (o.ctypes.data for o in sides)
    lib.fluid_synth_noteon(s, c, 60, 100)
    lib.fluid_synth_write_float(s, held, a, 0, 1, b, 0, 1)
    lib.fluid_synth_noteoff(s, c, 60)
    lib.fluid_synth_write_float(s, n-held, a, held, 1, b, held, 1)
    want = sides.mean(0)
    assert rms(ours[:n]-want, 0, .5) < .03*rms(want, 0, .5) and rms(ours[:n]-want, .5, 9) < .15*rms(want, .5, 9)

def test_what_was_played_before_changes_nothing():
    one, parts = [Part(0, ((0., .3, 60, 90), (.5, 3., 64, 70)))], [Part(48, ((0., 5., 60, 90),)), Part(0, ((0., 6., 60, 90), (0., 6., 64, 70)))]
    open_sampler.cache_clear()
    first = render_parts(one, [[FONT]], SR)[0]
    open_sampler.cache_clear()
    render_parts(parts, [[FONT]]*2, SR)
    assert (render_parts(one, [[FONT]], SR)[0] == first).all()

def test_loudness_is_that_of_pyloudnorm():
    import pyloudnorm
    ys = list(toy_song(1, 6, 44100)[0].values())
    for y in (*ys, sum(ys), np.pad(ys[0], (400_000, 300_000))): assert loudness(y, 44100) == pytest.approx(pyloudnorm.Meter(44100).integrated_loudness(y), abs=.15)
    assert loudness(np.zeros(100), 44100) == -np.inf

# MIDI files

def test_midi_goes_there_and_back(tmp_path):
    toy_midi(tmp_path/'a.mid', 5, 8)
    parts = read_midi(tmp_path/'a.mid')
    write_midi(tmp_path/'b.mid', parts, 97)
    for a,b in zip(parts, read_midi(tmp_path/'b.mid')):
        assert a.program==b.program and len(a.notes)==len(b.notes)
        assert np.abs(np.array(a.notes)-np.array(b.notes)).max() < .01

def test_damaged_midi_is_refused_or_read(tmp_path):
    rng, whole = random.Random(0), toy_midi(tmp_path/'a.mid', 1, 4).read_bytes()
    for _ in range(300):
        data = bytearray(whole[:rng.randrange(len(whole))] if rng.random() < .3 else whole)
        for _ in range(rng.randrange(1, 20)):
            if data: data[rng.randrange(len(data))] = rng.randrange(256)
        (tmp_path/'b.mid').write_bytes(data)
        try: assert read_midi(tmp_path/'b.mid', 60)
        except SongsepError as e: assert 'b.mid' in str(e)

def test_nonsense_key_signature_is_ignored(tmp_path):
    rows = [(0, (255, 0x59, 2, 255, 255)), (0, (0x90, 60, 100)), (96, (0x80, 60, 0))]
    assert len(read_midi(write(tmp_path/'a.mid', rows))[0].notes)==1

# A corpus

@pytest.fixture
def songs(tmp_path):
    for i in (1, 2): toy_midi(tmp_path/f'{i}.mid', i, 3)
    (tmp_path/'3.mid').write_bytes((tmp_path/'1.mid').read_bytes()[:200])
    return find_midi([tmp_path])

def contents(root): return {str(o.relative_to(root)): o.read_bytes() for o in sorted(root.rglob('*')) if o.is_file()}

def check(track):
    stems = [sf.read(o, dtype='int16')[0] for o in sorted((track/'stems').iterdir())]
    mix = sf.read(next(track.glob('mix.*')), dtype='int16')[0]
    assert {len(o) for o in stems}=={len(mix)} and (sum(o.astype('int32') for o in stems)==mix).all()
    assert max(np.abs(o.astype('int32')).max() for o in (mix, *stems)) <= 2**15*10**(-1/20)+len(stems)

@pytest.mark.parametrize('fmt', ['flac', 'wav'])
def test_varied_corpus(songs, tmp_path, fmt):
    said, variety = [], Variety(effects=1. if fmt=='flac' else 0)
    make = lambda out, **kwargs: synth_dataset(songs, tmp_path/out, [FONT], SR, variety=variety, versions=2, fmt=fmt, warn=said.append, **kwargs)
    out = make('one', n_jobs=1)
    assert len(said)==2 and all('3.mid' in o for o in said)
    made = tracks_made(out)
    assert sorted(v for _,v in made)==[0, 0, 1, 1] and len({uuid for uuid,_ in made})==2 # twins share their UUID
    for folder,meta in made.values():
        check(folder)
        assert meta['variety']['tempo']==.1 and .9 <= meta['tempo'] <= 1.1 and {'level_db', 'effects', 'midi_program_num'} <= meta['stems']['S00'].keys()
        for m in meta['stems'].values(): assert m['program_num']//8==m['midi_program_num']//8
    a, b = (made[meta['UUID'], v][0] for v in (0, 1))
    assert contents(a) != contents(b)
    assert contents(make('two', n_jobs=2))==contents(out) # bit for bit, on one core or two
    before = {o: o.stat().st_mtime_ns for o in out.rglob('*') if o.is_file()}
    shutil.rmtree(a)
    make('one', n_jobs=1)
    assert contents(out)==contents(tmp_path/'two') and sum(o.stat().st_mtime_ns != t for o,t in before.items() if a not in o.parents)==0

def test_other_variety_is_refused(songs, tmp_path):
    synth_dataset(songs[:1], tmp_path/'out', [FONT], SR, n_jobs=1)
    with pytest.raises(SongsepError, match='variety'): synth_dataset(songs[:1], tmp_path/'out', [FONT], SR, n_jobs=1, variety=Variety(effects=0))

def test_no_font_no_preset(tmp_path, songs):
    (tmp_path/'bad.sf2').write_bytes(b'RIFF no soundfont')
    with pytest.raises(SongsepError, match='bad.sf2'): synth_dataset(songs, tmp_path/'out', [tmp_path/'bad.sf2'], SR)

def test_without_the_extra(tmp_path, songs):
    code = f'''from songsep.synth import midi, samplers
midi.find_spec = samplers.find_spec = samplers.find_library = lambda name: None
try: samplers.SoundFont({str(FONT)!r})
except samplers.SongsepError as e: print(e)
try: midi.read_midi({str(songs[0])!r})
except midi.SongsepError as e: print(e)'''
    out = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout
    assert out.count('songsep[synth]')==2

def test_avl_kit_plays_what_it_has():
    kits = find_soundfonts(kits=True)
    if not kits: pytest.skip('needs the AVL drum kits')
    part = Part(128, ((0., .1, 38, 100), (.5, .6, 62, 100))) # a snare, and a conga that the kit lacks
    kit, plain = (render_parts([part], [o], SR)[0] for o in ([kits[0], FONT], [FONT]))
    assert np.abs(kit[:4000]-plain[:4000]).max() > .01 and rms(kit, .5, .6)==pytest.approx(rms(plain, .5, .6), rel=.2)

KIT = """<drumkit_info xmlns="http://www.hydrogen-music.org/drumkit"><instrumentList>
<instrument><name>Big Kick</name><layer><filename>kick.wav</filename><min>0</min><max>1</max><gain>1</gain></layer></instrument>
<instrument><name>Snare roll</name><layer><filename>roll.wav</filename></layer></instrument>
<instrument><name>Snare 1</name><layer><filename>hard.wav</filename><min>0.5</min><max>1</max><gain>2</gain></layer><layer><filename>soft.wav</filename><min>0</min><max>0.5</max></layer></instrument>
<instrument><name>Closed HH</name><filename>hat.wav</filename></instrument>
<instrument><name>Ride</name><filename>%s</filename></instrument>
</instrumentList></drumkit_info>"""

def write_kit(folder, stranger='../../outside.wav'):
    folder.mkdir(parents=True)
    for i,k in enumerate(('kick', 'roll', 'hard', 'soft', 'hat')): sf.write(folder/f'{k}.wav', np.full(2000, .05*(i+1)), 2*SR)
    (folder/'soft.wav').rename(folder/'soft.flac') # as Debian ships them
    sf.write(folder.parent.parent/'outside.wav', np.ones(100), SR)
    (folder/'drumkit.xml').write_text(KIT % stranger)
    return folder

def test_a_damaged_stroke_is_named(tmp_path):
    kit = write_kit(tmp_path/'kits/one')
    (kit/'kick.wav').write_bytes(b'no sound')
    with pytest.raises(SongsepError, match=r'kick\.wav can\'t be read'): DrumKit(kit).tone(Part(128, ()), 36, 100, 1)

def test_a_recorded_kit_has_a_sound_for_every_force(tmp_path):
    kit = DrumKit(write_kit(tmp_path/'kits'/'one'), SR)
    assert sorted(kit.keys) == [22, 35, 36, 38, 40, 42] # and no ride from outside its folder
    level = lambda key, velocity: float(np.median(kit.tone(DRUMS, key, velocity, 1)[0]))/velocity*127
    assert level(38, 120) == pytest.approx(.3, rel=.01) and level(38, 40) == pytest.approx(.2, rel=.01) and level(35, 90) == pytest.approx(.05, rel=.01)
    assert len(kit.tone(DRUMS, 36, 100, 9)[0]) == 1000 and kit.tone(DRUMS, 42, 100, 1)[2] == 1
    y = render_parts([Part(128, ((0., .1, 36, 127), (.5, .6, 60, 127)))], [[kit.path, FONT]], SR)[0] # the soundfont plays the bongo
    assert rms(y, 0, .03) == pytest.approx(.05, rel=.1) and rms(y, .5, .6) > 1e-4

def test_what_is_no_kit(tmp_path):
    with pytest.raises(SongsepError, match="can't be read as a drum kit"): DrumKit(tmp_path)
    write_kit(tmp_path/'a'/'b')
    (tmp_path/'a'/'b'/'kick.wav').unlink()
    with pytest.raises(SongsepError, match='no bass drum or no snare'): DrumKit(tmp_path/'a'/'b')

# The pieces of a kit

BEAT = ((36, 0.), (42, .25), (38, .5), (46, .75), (45, 1.), (49, 1.25), (51, 1.5), (37, 1.75), (39, 1.9))

def write_beat(path):
    write_midi(path, [Part(128, tuple((t, t+.1, key, 100) for key,t in BEAT)), Part(33, ((0., 2., 40, 90),))])
    return path

def stems_of(track):
    meta = yaml.safe_load((track/'metadata.yaml').read_text())
    return {k: (m, sf.read(track/'stems'/f'{k}.flac')[0]) for k,m in meta['stems'].items()}

def test_every_note_of_a_kit_is_in_one_piece():
    part = Part(128, tuple((.1*k, .1*k+.05, k, 90) for k in range(22, 82)), kit=8, levels=((0., .5),))
    pieces = split_drums(part)
    assert list(pieces) == [*DRUM_PIECES, PERCUSSION] and {(o.kit, o.levels) for o in pieces.values()} == {(8, ((0., .5),))}
    assert sorted(n for o in pieces.values() for n in o.notes) == sorted(part.notes)

def test_pieces_sum_to_the_drums_that_are_rendered_whole(tmp_path):
    midi = write_beat(tmp_path/'a.mid')
    for name,on in (('whole', False), ('pieces', True)): synth_track(midi, tmp_path/name, [FONT], SR, drum_pieces=on)
    whole, pieces = stems_of(tmp_path/'whole'), stems_of(tmp_path/'pieces')
    assert [m.get('drum_piece') for m,_ in pieces.values()] == [*DRUM_PIECES, PERCUSSION, None]
    drums, parts = whole['S00'][1], [y for m,y in pieces.values() if m['is_drum']]
    assert np.abs(sum(parts) - drums).max() < 8/2**15 < .01 < min(np.abs(y).max() for y in parts)
    check(tmp_path/'pieces')
    assert sorted(o.name for o in (tmp_path/'pieces'/'MIDI').iterdir()) == [f'{k}.mid' for k in pieces]

@pytest.mark.parametrize('seed', range(4))
def test_a_studio_hears_the_pieces_together(tmp_path, seed):
    synth_track(write_beat(tmp_path/'a.mid'), tmp_path/'t', [FONT], SR, seed, variety=Variety(effects=1., bus=1.), drum_pieces=True)
    metas = [m for m,_ in stems_of(tmp_path/'t').values() if m['is_drum']]
    assert len(metas) == 6 and all(m['effects'] == metas[0]['effects'] and m['kit'] == metas[0]['kit'] for m in metas)
    assert len({m['piece_db'] for m in metas}) > 1 and len({m['level_db'] for m in metas}) == 1
    check(tmp_path/'t')
    assert len(slakh_track(tmp_path/'t').stems) == 7 # by the reader that refuses what plain files don't hold

def test_effects_on_pieces_are_those_on_the_sum():
    rng = np.random.default_rng(0)
    hits = [(rng.normal(0, .3, SR)*np.exp(-np.arange(SR)/800)*(np.arange(SR) > 0)).astype('float32') for _ in range(2)]
    ys = [np.roll(o, n)*(np.arange(SR) >= n) for o,n in zip(hits, (1000, 6000))]
    for name,value in (draw_desk(128, rng) | dict(drive=20., parallel=[-30., .4], compressor=[-20., 3.])).items():
        if not isinstance(value, list): value = [value]
        done, whole = add_effects_to_pieces(ys, SR, {name: value}), add_effects(sum(ys), SR, {name: value})
        assert np.abs(sum(done) - whole).max() < 2e-4*np.abs(whole).max(), name
        if name in GAINS: assert not done[1][:5000].any(), name # what is silent stays silent
    assert not any(o.any() for o in add_effects_to_pieces([0*ys[0]]*2, SR, dict(compressor=[-20., 3.])))

def test_whole_and_divided_kits_stay_apart(tmp_path):
    make = lambda **kwargs: synth_dataset([write_beat(tmp_path/'a.mid')], tmp_path/'out', [FONT], SR, n_jobs=1, **kwargs)
    make()
    with pytest.raises(SongsepError, match='drum_pieces None there and True here'): make(drum_pieces=True)

def test_the_recipe_for_kits_takes_what_is_rendered_and_what_has_usual_names(tmp_path):
    from songsep.recipes import RESIDUALS, load_recipe, target_of
    from songsep.stems import Stem, find_tracks
    synth_dataset([write_beat(tmp_path/'a.mid')], tmp_path/'out', [FONT], SR, n_jobs=1, drum_pieces=True)
    recipe, (track,) = load_recipe('kit'), find_tracks(tmp_path/'out')
    assert [target_of(recipe, s) for s in track.stems] == [*DRUM_PIECES, RESIDUALS, RESIDUALS]
    named = {'Kick in': 'kick', 'SNARE_TOP': 'snare', 'Tom 1': 'toms', 'hi-hat': 'hihat', 'Ride': 'cymbals', 'Overheads': RESIDUALS}
    assert {k: target_of(recipe, Stem(k, tmp_path/f'{k}.wav')) for k in named} == named

# What a studio does

def test_an_edge_of_an_electronic_hat_is_a_hat():
    "Keys 22 and 26, which electronic kits send and General MIDI lacks, sound like 42 and 46"
    for edge,key in ((22, 42), (26, 46)):
        ours, hat = (play(((0., .2, k, 100),), program=128) for k in (edge, key))
        assert np.abs(hat).max() > .01 and (ours == hat).all()

def test_a_soundfont_of_few_instruments_stands_first_and_the_other_behind():
    class Bass: # what `draw_sounds` asks a soundfont of basses
        general = False
        def plays(self, part, key): return part.program in range(32, 40)
    parts, rng = [Part(33, ((0., 1., 40, 90),)), Part(0, ((0., 1., 60, 90),))], np.random.default_rng(0)
    fonts = {'bass.sf2': Bass(), str(FONT): open_sampler(str(FONT), SR)}
    with pytest.MonkeyPatch.context() as m:
        m.setattr('songsep.synth.corpus.open_sampler', lambda path, sr: fonts[path])
        drawn = [draw_sounds(parts, list(fonts), [], rng, sr=SR) for _ in range(200)]
        with pytest.raises(SongsepError, match='General MIDI'): draw_sounds(parts, ['bass.sf2'], [], rng, sr=SR)
    assert all(piano == [FONT] and bass[-1] == FONT for bass,piano in drawn)
    assert np.mean([len(bass) == 2 for bass,_ in drawn]) == pytest.approx(ALONE, abs=.1)

def test_a_key_that_nobody_has_is_said():
    class Nothing(SoundFont):
        def plays(self, part, key): return False
    with pytest.MonkeyPatch.context() as m:
        m.setattr('songsep.synth.render.open_sampler', lambda *args: Nothing(FONT, SR))
        with pytest.raises(SongsepError, match=r"can't play program 48 \(String Ensemble 1\)"): play()

def test_every_effect_keeps_length_and_time():
    rng, y = np.random.default_rng(0), np.zeros(SR, 'float32')
    y[4000] = 1 # a click stays where it was
    numbers = draw_desk(128, rng) | dict(wah=[1., .5], chorus=[1., .3], drive=20., cabinet=[100, 4000, 2000, 3], double=.015,
                                         delay=[.2, .2, .2], parallel=[-30., .4], compressor=[-20., 3.], reverb=[.3, .1])
    for name,value in numbers.items():
        z = add_effects(y, SR, {name: value})
        assert len(z) == len(y) and z.dtype == 'float32' and np.isfinite(z).all(), name
        assert abs(int(np.abs(z).argmax()) - 4000) < SR//100 and np.abs(z[:3900]).max() < 1e-3, name
    assert set(numbers) >= set(EFFECTS) - {'plate'}

def test_who_has_an_amplifier():
    draw = lambda program: [bool(draw_amp(program, np.random.default_rng(i))) for i in range(300)]
    assert all(draw(30)) and not any(draw(48)) and not any(draw(128))
    assert np.mean(draw(27)) == pytest.approx(.75, abs=.08) and np.mean(draw(25)) == pytest.approx(.2, abs=.08)

def test_a_bus_is_a_gain_below_one_and_a_limiter_holds_the_level():
    rng = np.random.default_rng(0)
    mix = (rng.normal(0, .1, 2*SR)*np.where(np.arange(2*SR) < SR, 1, 4)).astype('float32')
    soft, limited = bus_gain(mix, SR, -12, 1), bus_gain(mix, SR, -12, 20)
    assert (soft == 1).all() and 0 < limited.min() and limited.max() <= 1
    level = lambda y, a: rms(y, a, a+.5)
    assert level(mix, 1.4)/level(mix, .4) == pytest.approx(4, rel=.1) and level(mix*limited, 1.4)/level(mix*limited, .4) < 1.3
