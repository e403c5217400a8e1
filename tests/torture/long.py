"""Long runs: memory, open files and threads stay as they are.

    python tests/torture/long.py hours --hours 10       # one file of ten hours
    python tests/torture/long.py songs --songs 500      # that many songs in one process

The network is a graph that halves, so that hours take minutes; everything else is what `songsep separate` does. What counts
is the growth from the second tenth of a stage to its last; memory is that of this process alone, in MB.
"""
import argparse, json, sys, tempfile, time
from pathlib import Path
import numpy as np, psutil, soundfile as sf

def halver(folder):
    "A model whose network gives each of two stems a half"
    import onnx
    from onnx import helper, numpy_helper
    from songsep.core import Config
    from songsep.engines import checksum
    from songsep.folder import ModelSpec, write_spec
    from songsep.models import open_model
    info = lambda name, shape: helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
    halves, folder = numpy_helper.from_array(np.float32([.5, .5]), 'halves'), folder/'halver'
    folder.mkdir()
    song, stems = info('x', ('n', 513, 63, 1)), info('y', ('n', 513, 63, 2))
    graph = helper.make_graph([helper.make_node('Mul', ['x', 'halves'], ['y'])], 'halver', [song], [stems], [halves])
    opset = [helper.make_opsetid('', 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), folder/'model.onnx')
    config, sums = Config(16000, 1., 1024, 256), dict(weights_sha256='0'*64, onnx_crc32=checksum(folder/'model.onnx'))
    write_spec(folder, ModelSpec('halver', ['drums', 'rest'], config, 'graph', **sums))
    return open_model(folder)

class Watch:
    "What the process holds, looked at a hundred times in a run"
    def __init__(self): self.process, self.seen, self.last = psutil.Process(), [], -1
    def look(self, share):
        if int(share*100) <= self.last: return
        self.last = int(share*100)
        p = self.process
        files = p.num_fds() if hasattr(p, 'num_fds') else len(p.open_files())
        self.seen.append((p.memory_info().rss/1e6, files, p.num_threads()))
    def growth(self, stages=1):
        "Memory at its highest, and by how much the end of a stage has more than its beginning, in the worst stage"
        more = []
        for a in np.array_split(np.array(self.seen), stages):
            tenth = max(1, len(a)//10)
            more.append(np.median(a[-tenth:], 0) - np.median(a[tenth:2*tenth], 0))
        mb, files, threads = np.max(more, 0)
        peak = max(o[0] for o in self.seen)
        return dict(peak_mb=round(peak), mb=round(float(mb), 1), files=int(files), threads=int(threads))

def hours(n, folder, watch):
    "One file of so many hours, 8 kHz and mono"
    from songsep.audio import read_blocks
    from songsep.songs import separate_song
    block = (np.random.default_rng(0).normal(size=8000*60)*.1).astype('float32')
    with sf.SoundFile(folder/'long.wav', 'w', 8000, 1, 'PCM_16') as f:
        for _ in range(round(60*n)): f.write(block)
    progress = lambda share, stage: watch.look(share/2 + .5*(stage == 'writing'))
    receipt = separate_song(folder/'long.wav', folder/'out', halver(folder), progress=progress)
    lost, step = 0, 2.**-15
    stems = [read_blocks(folder/'out'/'long'/o, 1 << 18) for o in receipt['files'].values()]
    for y,*parts in zip(read_blocks(folder/'long.wav', 1 << 18), *stems, strict=True):
        lost += not np.abs(sum(parts) - y).max() < step/2
    return dict(hours=receipt['samples']/receipt['sr']/3600, blocks_that_do_not_sum=int(lost))

def songs(n, folder, watch):
    "So many songs of a second or two, at four rates, mono and stereo, in four formats, one after another"
    from songsep.songs import separate_songs
    rng, place = np.random.default_rng(0), folder/'songs'
    place.mkdir()
    for i in range(n):
        sr, fmt = (16000, 22050, 44100, 48000)[i%4], ('wav', 'flac', 'ogg', 'mp3')[i//4%4]
        sf.write(place/f'{i:04}.{fmt}', rng.normal(size=(int(sr*rng.uniform(.5, 2)), 1 + i%2))*.1, sr)
    done = []
    def say(_): done.append(1), watch.look(len(done)/n)
    results = separate_songs([place], folder/'out', halver(folder), say=say, quiet=True)
    fine = sum(isinstance(o, dict) for o in results.values())
    return dict(songs=fine, failed=len(results) - fine)

def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument('what', choices=['hours', 'songs'])
    args.add_argument('--hours', type=float, default=10)
    args.add_argument('--songs', type=int, default=500)
    args.add_argument('--json', help='Write the figures here')
    a, watch, start = args.parse_args(), Watch(), time.time()
    with tempfile.TemporaryDirectory(prefix='long-') as d:
        found = hours(a.hours, Path(d), watch) if a.what == 'hours' else songs(a.songs, Path(d), watch)
    figures = found | watch.growth(1 + (a.what == 'hours')) | dict(seconds=round(time.time() - start))
    print(json.dumps(figures))
    if a.json: Path(a.json).write_text(json.dumps(figures) + '\n')
    flat = figures['mb'] < 30 and figures['files'] <= 0 and figures['threads'] <= 0
    sys.exit(not flat or bool(figures.get('failed') or figures.get('blocks_that_do_not_sum')))

if __name__ == '__main__': main()
