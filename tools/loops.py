"""Make drum tracks of recorded loops: `python tools/loops.py OUT LOOP...`

A loop is played over and over for 24 seconds, as recorded, a sixth slower and a sixth faster, tones and all.
"""
import sys
from pathlib import Path
import numpy as np, soundfile as sf, soxr

out = Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
for path in map(Path, sys.argv[2:]):
    y, sr = sf.read(path, dtype='float32', always_2d=True)
    for speed in (.84, 1, 1.16):
        z = soxr.resample(y.mean(1), sr*speed, 44100)
        sf.write(out/f'{path.stem}_{round(100*speed)}.flac', .5*np.resize(z, 24*44100)/np.abs(z).max(), 44100)
