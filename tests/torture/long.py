"""Long runs: memory, open files and threads stay as they are.

    python tests/torture/long.py hours --hours 10       # one file of ten hours
    python tests/torture/long.py songs --songs 500      # that many songs in one process
    python tests/torture/long.py visitors --hours 1     # the app, with ten visitors at a time

For files and songs the network is a graph that halves, so that hours take minutes; everything else is what `songsep separate` does. What counts
is the growth from the second tenth of a stage to its last; memory is that of one process alone, in MB: this one, or the app's.
Visitors bring a song, wait, listen, load the stems and remove all; some cancel, some are cut off, and after ten minutes
each leaves without a word and another comes.
"""
import argparse, json, signal, subprocess, sys, tempfile, threading, time
from collections import Counter
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
    def __init__(self, pid=None): self.process, self.seen, self.last = psutil.Process(pid), [], -1
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

STAYS, PAUSE = 600, 30 # seconds that a visitor stays, and between two songs of theirs

class Seat:
    "One visitor after another, and what became of their songs"
    def __init__(self, address, song, until, seed):
        self.address, self.song, self.until, self.counts, self.faults = address, song, until, Counter(), []
        self.rng = np.random.default_rng(seed)
    def stay(self, stays=STAYS, pause=PAUSE):
        from crashes import Visitor
        time.sleep(self.rng.uniform(0, 1)*pause)
        while time.monotonic() < self.until:
            visitor, leaves = Visitor(self.address), time.monotonic() + self.rng.uniform(.7, 1.3)*stays
            self.counts['visitors'] += 1
            while time.monotonic() < min(leaves, self.until):
                try: self.visit(visitor)
                except Exception as e: self.faults.append(f'{type(e).__name__}: {e}')
                time.sleep(self.rng.uniform(.5, 1.5)*pause)
    def visit(self, visitor):
        "One in eight is cut off while the song comes, one in eight cancels"
        way = int(self.rng.integers(8))
        if way == 0:
            self.counts['cut off'] += 1
            return visitor.half(self.song, self.rng.uniform(0, 1))
        if way == 1: threading.Timer(self.rng.uniform(0, 3), visitor.told, ('POST', '/cancel', {})).start()
        got = visitor.visit(self.song)
        if got == 'cancelled' and way == 1: self.counts['cancelled'] += 1
        elif isinstance(got, dict) and len(got) == 2:
            self.counts['separated'] += 1
            number = visitor.told('GET', '/page')['results'][0]['number']
            for what in ('console', 'zip', 'mix?drums=0'): assert visitor.ask('GET', f'/results/{number}/{what}')[0] == 200
            visitor.told('POST', '/remove', dict(number=number))
        elif 'Try again in a minute' in str(got): self.counts['asked to wait'] += 1 # several uploads at once
        else: self.faults.append(str(got))
        visitor.told('POST', '/remove', dict(song='song.wav'))

def visitors(hours, folder, say=print, n=10, stays=STAYS, pause=PAUSE):
    "The app in a process of its own, and visitors in threads of this one"
    sys.path.insert(0, str(Path(__file__).parent)) # where `crashes` lies
    rng, seconds = np.random.default_rng(0), 3600*hours
    sf.write(folder/'song.wav', rng.normal(size=(44100*4, 2))*.1, 44100)
    song, start = (folder/'song.wav').read_bytes(), time.monotonic()
    run = 'import sys; from songsep.cli import main; sys.argv[0] = "songsep"; main()'
    options = ['app', '--no-browser', '--port', '0', '--root', folder]
    p = subprocess.Popen([sys.executable, '-c', run, *map(str, options)], stdout=subprocess.PIPE, text=True)
    try:
        address, watch = p.stdout.readline().split()[0], Watch(p.pid)
        seats = [Seat(address, song, start + seconds, i) for i in range(n)]
        threads = [threading.Thread(target=o.stay, args=(stays, pause)) for o in seats]
        for o in threads: o.start()
        while any(o.is_alive() for o in threads):
            time.sleep(min(5, seconds/200))
            before = watch.last
            watch.look(min(1, (time.monotonic() - start)/seconds))
            if watch.last > before and watch.last%4 == 0: say(json.dumps(visited(seats, watch, start)), flush=True)
        return visited(seats, watch, start)
    finally:
        p.send_signal(signal.SIGTERM)
        p.wait(30)

def visited(seats, watch, start):
    "What visitors did so far, and what the app holds"
    counts, faults = sum((o.counts for o in seats), Counter()), [f for o in seats for f in o.faults]
    flat = watch.growth() if len(watch.seen) > 20 else dict(last=watch.seen[-1:])
    hours = round((time.monotonic() - start)/3600, 2)
    return dict(hours=hours, **counts, failed=len(faults), faults=faults[:5]) | flat

def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument('what', choices=['hours', 'songs', 'visitors'])
    args.add_argument('--hours', type=float, help='10 of a file, 1 of the app')
    args.add_argument('--songs', type=int, default=500)
    args.add_argument('--json', help='Put the figures beside those in this file, such as tests/torture/figures.json')
    a, watch, start = args.parse_args(), Watch(), time.time()
    with tempfile.TemporaryDirectory(prefix='long-') as d:
        if a.what == 'visitors': found = visitors(a.hours or 1, Path(d))
        elif a.what == 'hours': found = hours(a.hours or 10, Path(d), watch) | watch.growth(2)
        else: found = songs(a.songs, Path(d), watch) | watch.growth()
    figures = found | dict(seconds=round(time.time() - start))
    print(json.dumps(figures))
    if a.json:
        said = json.loads(Path(a.json).read_text()) if Path(a.json).exists() else {}
        Path(a.json).write_text(json.dumps(said | {a.what: figures}) + '\n')
    flat = figures['mb'] < 30 and figures['files'] <= 0 and figures['threads'] <= 0
    sys.exit(not flat or bool(figures.get('failed') or figures.get('blocks_that_do_not_sum')))

if __name__ == '__main__': main()
