"""The original project's way from sound to batches, written anew from its description, as what songsep is raced against.

librosa loads each file whole; segments are joined one by one by `np.concatenate`; a dictionary of them goes through
`np.save` with pickle; each segment is transformed by `librosa.stft(center=False)` and `amplitude_to_db`; HDF5 takes a
group a song and a segment, with a float32 dataset a track. What it dropped (the first segment) is not dropped here.
"""
from pathlib import Path
import h5py, librosa, numpy as np

TRACKS = ('mix', 'drums', 'accompaniments')

def load_songs(root, sr, segment):
    "Dictionary: song to track to segments (segments, samples)"
    songs, n = {}, int(sr*segment)
    for folder in sorted(o for o in Path(root).iterdir() if o.is_dir()):
        songs[folder.name] = {}
        for k in TRACKS:
            y, _ = librosa.load(folder/f'{k}.wav', sr=sr)
            segments = np.empty((0, n), 'float32')
            for i in range(0, len(y), n):
                piece = y[i:i+n]
                segments = np.concatenate([segments, np.pad(piece, (0, n - len(piece)))[None]])
            songs[folder.name][k] = segments
    return songs

def prepare(root, out, sr=16000, segment=2., n_fft=2048, hop_length=512):
    "Songs below `root` to `out/audioData.npy` and `out/spectrogramData.h5`"
    out = Path(out)
    np.save(out/'audioData.npy', load_songs(root, sr, segment), allow_pickle=True)
    songs = np.load(out/'audioData.npy', allow_pickle=True).item() # our own file, made a moment ago
    with h5py.File(out/'spectrogramData.h5', 'w') as h:
        for song,tracks in songs.items():
            for i in range(len(tracks['mix'])):
                g = h.create_group(f'{song}/{i}')
                for k in TRACKS:
                    D = librosa.stft(tracks[k][i], n_fft=n_fft, hop_length=hop_length, center=False)
                    g.create_dataset(k, data=librosa.amplitude_to_db(np.abs(D)).astype('float32'))

def batches(path, rows, batch_size=8):
    "Batches of [mix, drums, accompaniments], each (batch, bins, frames), for rows (song, segment)"
    with h5py.File(path) as h:
        for b in range(0, len(rows), batch_size):
            examples = [[h[song][str(i)][k][:] for k in TRACKS] for song,i in rows[b:b+batch_size]]
            yield [np.stack(o) for o in zip(*examples)]
