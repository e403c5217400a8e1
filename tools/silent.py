"""Make songs without drums that can be scored: `python tools/silent.py OUT RECORDING...`

Each becomes a folder with its first 40 seconds as `other` and silence as `drums`.
"""
import sys
from pathlib import Path
import numpy as np, soundfile as sf

out = Path(sys.argv[1])
for path in map(Path, sys.argv[2:]):
    y, sr = sf.read(path, dtype='float32', always_2d=True, stop=40*48000)
    (out/path.stem).mkdir(parents=True, exist_ok=True)
    for name,z in (('other', y), ('drums', np.zeros_like(y))): sf.write(out/path.stem/f'{name}.flac', z, sr)
