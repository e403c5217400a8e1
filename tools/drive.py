"""A folder that stands in for Google Drive, where a page takes its songs from there and from nowhere else.

    python tools/drive.py FOLDER    fill it: three short songs of a toy band, and a song to separate
"""
import os, shutil, sys
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

PAGES = {'00_original'} # their songs lie on Drive before they begin

def fill(root):
    "Songs to learn from, and a song to separate, where the original project has them"
    from songsep.synth.toy import toy_dataset
    song = Path(root)/'data'/'song_to_seperate'/'seperateMyTracks.wav'
    if song.exists(): return
    toy_dataset(Path(root)/'data'/'training_data', n_tracks=3, seconds=2, sr=16000)
    song.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as aside:
        shutil.copy2(toy_dataset(aside, n_tracks=1, seconds=2, sr=8000, seed=9, fmt='wav')/'Track00001'/'mix.wav', song)

@contextmanager
def drive(name):
    "Inside, `SONGSEP_ROOT` names a filled folder, if the page called `name` asks for one"
    if name not in PAGES or 'SONGSEP_ROOT' in os.environ: yield; return
    with TemporaryDirectory() as root:
        fill(root)
        os.environ['SONGSEP_ROOT'] = root
        try: yield
        finally: del os.environ['SONGSEP_ROOT']

if __name__ == '__main__': fill(sys.argv[1])
