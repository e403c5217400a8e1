"""Make more songs of a few: `python tools/speeds.py OUT SONG...`

Each folder of stems is written a ninth slower and an eighth faster, tones and all, as a tape machine would play it.
"""
import sys
from pathlib import Path
import soundfile as sf, soxr

out = Path(sys.argv[1])
for song in map(Path, sys.argv[2:]):
    for speed in (.89, 1.125):
        folder = out/f'{song.name}_{round(100*speed)}'
        folder.mkdir(parents=True, exist_ok=True)
        for stem in sorted(song.glob('*.ogg')):
            y, sr = sf.read(stem, dtype='float32')
            sf.write(folder/f'{stem.stem}.flac', soxr.resample(y, sr*speed, sr), sr)
