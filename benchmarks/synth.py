"""How many times real time `songsep synth` renders, for one core, with its files written, and where the time goes.

    python benchmarks/synth.py [--varied] [--flac] [--seconds 150] [--songs 20] [--soundfont FONT] MIDI_OR_FOLDER...

Each song is played twice in one process: the second time the soundfonts are loaded and remember their notes.
Processor time counts, not the clock, so that a busy machine shows the same.
"""
import argparse, random, shutil, tempfile, time
from collections import Counter
from pathlib import Path
import soundfile as sf, yaml
from songsep.synth import corpus, slakh
from songsep.synth.corpus import Variety, find_midi, synth_track
from songsep.synth.samplers import find_soundfonts

SHARES = {'parse': (corpus, 'read_midi'), 'play': (corpus, 'render_parts'), 'effects': (corpus, 'add_effects'),
          'loudness': (slakh, 'level_stems'), 'encode': (slakh, '_write'), 'midi': (corpus, 'write_midi')}
spent = Counter()

def timed(share, f):
    def g(*args, **kwargs):
        start = time.process_time()
        try: return f(*args, **kwargs)
        finally: spent[share] += time.process_time() - start
    return g

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('midi', nargs='+')
    p.add_argument('--varied', action='store_true')
    p.add_argument('--flac', action='store_true')
    p.add_argument('--seconds', type=float, default=150)
    p.add_argument('--songs', type=int, default=20)
    p.add_argument('--soundfont', action='append')
    a = p.parse_args()
    files = find_midi(a.midi)
    files = random.Random(0).sample(files, min(a.songs, len(files)))
    fonts = a.soundfont or [str(o) for o in find_soundfonts()]
    for share,(module,name) in SHARES.items(): setattr(module, name, timed(share, getattr(module, name)))
    work = Path(tempfile.mkdtemp())
    for again in (False, True):
        spent.clear()
        total = clock = seconds = sounded = 0
        for i,o in enumerate(files):
            start, wall = time.process_time(), time.perf_counter()
            synth_track(o, work/'song', fonts, max_seconds=a.seconds, variety=Variety() if a.varied else None, fmt='flac' if a.flac else 'wav')
            took = time.process_time() - start
            info = sf.info(next((work/'song').glob('mix.*')))
            n = len(yaml.safe_load((work/'song'/'metadata.yaml').read_text())['stems'])
            if again: print(f'{o.name[:40]:40} {info.duration:5.0f} s {n:3} stems {info.duration/took:6.0f}x')
            total, clock, seconds, sounded = total+took, clock+time.perf_counter()-wall, seconds+info.duration, sounded+n*info.duration
            shutil.rmtree(work/'song')
        spent['rest'] = total - sum(spent.values())
        print(f"{'warm' if again else 'cold'}: {len(files)} songs, {seconds:.0f} s, {sounded/seconds:.1f} stems, {'flac' if a.flac else 'wav'}: "
              f"{seconds/total:.0f} times real time a core, {seconds/clock:.0f} by the clock; " + ', '.join(f'{k} {v/total:.0%}' for k,v in spent.items()))
    work.rmdir()

if __name__=='__main__': main()
