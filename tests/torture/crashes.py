"""Runs that are killed at random moments, and started again: nothing damaged, nothing twice, and the same in the end.

    python tests/torture/crashes.py                     # 200 moments over all works and all ends
    python tests/torture/crashes.py separate train --moments 50 --seed 3

An end is SIGKILL, SIGTERM, Ctrl-C, a disk that is too small, or a worker of a Dask cluster that is lost. A run that
was ended is started again until one is through; what is there then must be what an undisturbed run leaves, to the
byte where the work promises it, and no other file. After every end, what has its final name must be whole. The app is
ended while a visitor uploads a song and waits for its stems, and visitors cancel, or lose the connection while they
upload. The works are the commands that users type, on toy data, in processes forked from one that has imported
everything, so that the moments fall into the work. A full disk needs the right to mount one.
"""
import argparse, hashlib, http.client, json, os, re, shutil, signal, subprocess, sys, tempfile, threading, time
from collections import Counter
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
import numpy as np

SMALL = '--sr 8000 --segment 1 --n-fft 512 --hop-length 128 --no-phase'.split()
SIGNALS = dict(kill=signal.SIGKILL, term=signal.SIGTERM, stop=signal.SIGINT)
PATIENCE = 300 # seconds after which a process that should end hangs; on a busy machine TensorFlow alone takes a minute to import
ENDS = (*SIGNALS, 'disk', 'worker', 'cancel', 'cut')

# Processes

def forked(work, folder):
    "Start work in a process of its own, the head of a group, whose words go to files beside the folder"
    pid = os.fork()
    if pid: return pid
    code = 3
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.SIG_IGN) # until the command begins
        for fd,name in ((1, 'out'), (2, 'err')): os.dup2(os.open(folder.with_suffix(f'.{name}'), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), fd)
        sys.stdout, sys.stderr = (open(fd, 'w', closefd=False) for fd in (1, 2))
        work(folder)
        code = 0
    except SystemExit as e: code = e.code or 0
    except BaseException:
        import traceback
        traceback.print_exc()
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)

def command(*args):
    "What `songsep args` does"
    from songsep.cli import main
    sys.argv = ['songsep', *map(str, args)]
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        main()
    finally: signal.signal(signal.SIGINT, signal.SIG_IGN)

def ended(pid, seconds, sign=None):
    "Wait for a process; after so many seconds it gets a signal, and its group if that is SIGKILL. Its exit code, negative for a signal"
    until, last = time.monotonic() + seconds, time.monotonic() + seconds + PATIENCE
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done: break
        if sign and time.monotonic() > until:
            with suppress(ProcessLookupError): (os.killpg if sign == signal.SIGKILL else os.kill)(pid, sign)
            sign = None
        if time.monotonic() > last:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return 'hangs'
        time.sleep(.003)
    with suppress(ProcessLookupError, PermissionError): os.killpg(pid, signal.SIGKILL) # workers of one that was killed alone
    return os.waitstatus_to_exitcode(status)

# Works: what is needed once, what is done, what came of it, and whether all that has its name is whole

def listed(folder): return sorted(str(o.relative_to(folder)) for o in folder.rglob('*') if o.is_file())

def plain(receipt): return {k: v for k,v in json.loads(receipt.read_text()).items() if k not in ('seconds', 'times_real_time', 'versions', 'remarks')}

class Work:
    turn, ends = 0, (*SIGNALS, 'disk')
    def __init__(self, things): self.things, self.whole = things, None
    def start(self, folder, **kw):
        "The process that is at work in a folder"
        self.turn += 1
        return forked(partial(self.do, **kw), folder)
    def look(self, folder): return {o: hashlib.sha256((folder/o).read_bytes()).hexdigest() for o in listed(folder)}
    def damaged(self, folder): "After an end: what is wrong, in words"

class Prepare(Work):
    "Songs to a store, in one process or two"
    name, ends = 'prepare', (*SIGNALS, 'disk', 'worker')
    def do(self, folder, dask=None):
        cluster = ['--dask', dask] if dask else ['--jobs', 2 if self.turn%8 == 7 else 1]
        command('prepare', self.things/'toys', '-o', folder/'a.h5', *cluster, *SMALL)
    def look(self, folder):
        import h5py
        with h5py.File(folder/'a.h5') as h: arrays = {f'{t}/{k}': hashlib.sha256(h[t][k][:].tobytes()).hexdigest() for t in h for k in h[t]}
        return arrays | {'files': listed(folder)}
    def damaged(self, folder):
        from songsep.store import SpectrogramStore, verify
        if not (folder/'a.h5').exists(): return
        try:
            if faults := verify(folder/'a.h5'): return f'damaged segments {faults}'
            with SpectrogramStore(folder/'a.h5') as s: return self._fewer(len(s))
        except Exception as e: return f'{type(e).__name__}: {e}'
    had = 0
    def _fewer(self, n):
        if n < self.had: return f'{n} songs are there after {self.had}'
        self.had = n
    def begin(self): self.had = 0

class Separate(Work):
    "A song and a short one to stems and receipts"
    name, ends = 'separate', (*SIGNALS, 'disk', 'worker')
    def do(self, folder, dask=None): command('separate', self.things/'song.wav', self.things/'short.flac', '-o', folder, *(['--dask', dask] if dask else []))
    def look(self, folder): return super().look(folder) | {str(o.relative_to(folder)): plain(o) for o in folder.rglob('separation.json')}
    def damaged(self, folder):
        if not self.whole: return
        for o in listed(folder):
            if o.startswith('.') or '/.' in o: continue
            if o not in self.whole: return f'{o} is a file that an undisturbed run does not leave'
            now = plain(folder/o) if o.endswith('.json') else hashlib.sha256((folder/o).read_bytes()).hexdigest()
            if now != self.whole[o]: return f'{o} is not what an undisturbed run writes'

class Train(Work):
    "A store to a model"
    name = 'train'
    def do(self, folder):
        command('train', self.things/'a.h5', '-o', folder, '--name', 'm', '--epochs', 3, '--drop-epoch', 2, '--steps', 1, '--batch-size', 2, '--seed', 1, '--architecture', 'strided_unet', '--quiet')
    def look(self, folder):
        with np.load(folder/'m'/'training.npz') as f: about = json.loads(str(f['about']))['history']
        return {'loss': np.round(about['loss'], 3).tolist(), 'files': listed(folder)}
    def damaged(self, folder):
        from songsep.app import read_history
        try:
            if (folder/'m'/'training.npz').exists(): read_history(folder/'m')
            if (folder/'m'/'model.json').exists(): json.loads((folder/'m'/'model.json').read_text())
        except Exception as e: return f'{type(e).__name__}: {e}'

class Pull(Work):
    "A model from a slow server on this machine"
    name = 'pull'
    def do(self, folder):
        from songsep import graphs, pull
        known = graphs.mdx_fingerprint(self.things/'toy.onnx')
        graphs.MDX_PUBLISHED[known] = 'toy', 'vocals', 'instrumental', 6144, 1.
        archive = self.things/'toy.tar.gz'
        graph = hashlib.sha256((self.things/'toy.onnx').read_bytes()).hexdigest()
        pull.PUBLISHED['toy'] = [(f'http://127.0.0.1:{self.port}/toy.tar.gz', hashlib.sha256(archive.read_bytes()).hexdigest())]
        pull.GRAPHS['toy'] = 'toy.onnx', graph, 'for all'
        os.chdir(folder)
        command('models', 'pull', 'toy')
    def damaged(self, folder):
        from songsep.models import open_model
        if not (model := folder/'saved_models'/'toy').exists(): return
        if self.whole and {f'saved_models/toy/{o}' for o in listed(model)} != {o for o in self.whole if o.startswith('saved_models/toy/')}: return f'half a model: {listed(model)}'

class Slow(BaseHTTPRequestHandler):
    "Hands out a file in small pieces"
    folder = None
    def do_GET(self):
        body = (self.folder/Path(self.path).name).read_bytes()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        with suppress(OSError):
            for i in range(0, len(body), len(body)//20 + 1):
                self.wfile.write(body[i:i + len(body)//20 + 1])
                time.sleep(.01)
    def log_message(self, *args): pass

class Visitor:
    "What the app sees of a browser"
    def __init__(self, address):
        self.host, self.cookie = address.removeprefix('http://'), ''
        self.cookie = self.ask('GET', '/')[2]['Set-Cookie'].split(';')[0]
    def ask(self, method, path, body=None):
        "Status, bytes and headers of an answer"
        c = http.client.HTTPConnection(self.host, timeout=60)
        try:
            c.request(method, path, body, {'Cookie': self.cookie} if self.cookie else {})
            answer = c.getresponse()
            return answer.status, answer.read(), answer.headers
        finally: c.close()
    def told(self, method, path, said=None):
        "What an answer says; an error of the server's own is a fault"
        body = said if said is None or isinstance(said, bytes) else json.dumps(said)
        status, text, _ = self.ask(method, path, body)
        if status not in (200, 400): raise RuntimeError(f'{method} {path} gives {status}: {text[:200]}')
        return json.loads(text)
    def half(self, song, share):
        "An upload whose connection is lost"
        c = http.client.HTTPConnection(self.host, timeout=60)
        c.putrequest('PUT', '/songs?name=half.wav')
        for k,v in {'Cookie': self.cookie, 'Content-Length': len(song)}.items(): c.putheader(k, v)
        c.endheaders()
        c.send(song[:int(share*len(song))])
        c.close()
    def visit(self, song):
        "Bring a song, have it separated and take the stems: sum of their bytes by name, or what was said instead"
        if error := self.told('PUT', '/songs?name=song.wav', song).get('error'): return error
        asked = dict(song='song.wav', model='drums', format='wav')
        if error := self.told('POST', '/separate', asked).get('error'): return error
        while (news := self.told('GET', '/news'))['state'] in ('waiting', 'working'): time.sleep(.02)
        if news['state'] != 'done': return news['error'] or news['state']
        result = self.told('GET', '/page')['results'][0]
        stems = {k: self.ask('GET', f"/results/{result['number']}/stem?stem={k}")[1] for k in result['stems']}
        return {k: hashlib.sha256(o).hexdigest() for k,o in stems.items()}

class App(Work):
    "The app, and a visitor who wants the stems of a song"
    name, ends = 'app', (*SIGNALS, 'disk', 'cancel', 'cut')
    def do(self, folder):
        os.environ['TMPDIR'], tempfile.tempdir = str(folder), None
        command('app', '--no-browser', '--port', 0, '--root', self.things/'project')
    def serve(self, folder):
        "The process, and the address that it prints"
        (said := folder.with_suffix('.out')).unlink(missing_ok=True) # of the server before
        pid = self.start(folder)
        while not (said.exists() and said.read_text().startswith('http')):
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                raise RuntimeError(folder.with_suffix('.err').read_text())
            time.sleep(.01)
        return pid, said.read_text().split()[0]

WORKS = {o.name: o for o in (Prepare, Separate, Train, Pull, App)}

# What they need

def things(folder, works):
    "Songs, a store, a model behind a server"
    import soundfile as sf
    toy_graph(folder)
    (folder/'project').mkdir()
    if {*works} == {'pull'}: return
    from songsep.core import Config
    from songsep.prepare import prepare
    from songsep.recipes import load_recipe
    from songsep.stems import find_tracks
    from songsep.store import SpectrogramStore
    from songsep.synth.toy import toy_dataset
    toys, rng = toy_dataset(folder/'toys', n_tracks=8, seconds=4, sr=8000), np.random.default_rng(0)
    sf.write(folder/'song.wav', rng.normal(size=(44100*12, 2))*.1, 44100)
    sf.write(folder/'short.flac', rng.normal(size=(44100, 2))*.1, 44100)
    config = Config(sr=8000, segment=1., n_fft=512, hop_length=128)
    with SpectrogramStore.create(folder/'a.h5', config, load_recipe('drums'), keep_phase=False) as s: prepare(s, find_tracks(toys), n_jobs=1, say=lambda s: None)

def toy_graph(folder):
    "A graph of the shape of MDX-Net's, that halves, with megabytes that it does not need, packed as a release"
    import onnx, tarfile
    from onnx import helper, numpy_helper
    info = lambda name: helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, (1, 4, 512, 8))
    ballast = np.random.default_rng(0).normal(size=(1, 4, 512, 512)).astype('float32')*1e-9
    constants = [numpy_helper.from_array(o, k) for o,k in ((np.float32([.5]), 'half'), (ballast, 'ballast'), (np.int64([2, 3]), 'axes'))]
    nodes = [helper.make_node('Mul', ['x', 'half'], ['a']), helper.make_node('ReduceSum', ['ballast', 'axes'], ['b'], keepdims=1), helper.make_node('Add', ['a', 'b'], ['y'])]
    onnx.save(helper.make_model(helper.make_graph(nodes, 'toy', [info('x')], [info('y')], constants), opset_imports=[helper.make_opsetid('', 18)], ir_version=9), folder/'toy.onnx')
    with tarfile.open(folder/'toy.tar.gz', 'w:gz') as t: t.add(folder/'toy.onnx', 'toy/toy.onnx')

@contextmanager
def server(folder):
    "The port at which the archive can be fetched"
    Slow.folder = folder
    s = ThreadingHTTPServer(('127.0.0.1', 0), Slow)
    threading.Thread(target=s.serve_forever, daemon=True).start()
    try: yield s.server_port
    finally: s.shutdown()

# A disk, and a cluster

@contextmanager
def disk(folder, size):
    "A file system of so many bytes at a folder; `None` where it may not be mounted"
    folder.mkdir()
    size = int(max(size, 1 << 16))
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={size}', 'tmpfs', folder], capture_output=True).returncode: yield None; return
    try: yield folder
    finally: subprocess.run(['umount', '-l', folder], check=True)

def larger(folder): subprocess.run(['mount', '-o', 'remount,size=300m', folder], check=True)

class Cluster:
    "A scheduler and two workers; one that is lost is replaced"
    def __init__(self, folder):
        self.folder, self.file, self.workers = folder, folder/'scheduler.json', []
        self.file.unlink(missing_ok=True) # of the cluster before
        self.scheduler = self._start('scheduler', '--host', '127.0.0.1', '--port', 0, '--no-dashboard', '--scheduler-file', self.file)
        while not self.file.exists(): time.sleep(.05)
        self.address = json.loads(self.file.read_text())['address']
        for _ in range(2): self.join()
        wait = "import sys; from distributed import Client; Client(sys.argv[1], timeout=100).wait_for_workers(2, timeout=100)"
        subprocess.run([sys.executable, '-c', wait, self.address], check=True)
    def _start(self, *args):
        return subprocess.Popen([sys.executable, '-m', f'distributed.cli.dask_{args[0]}', *map(str, args[1:])], cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    def join(self): self.workers.append(self._start('worker', '--scheduler-file', self.file, '--no-nanny', '--nthreads', 1, '--no-dashboard', '--host', '127.0.0.1'))
    def lose(self, i):
        p = self.workers.pop(i)
        p.kill(), p.wait()
        self.join()
    def close(self):
        for o in (*self.workers, self.scheduler): o.kill(), o.wait()

# Moments

def said_wrongly(folder, code, end):
    "Is what the run said, and its exit code, not what it should be?"
    err, out = (folder.with_suffix(o).read_text(errors='replace').strip() for o in ('.err', '.out'))
    if code == 'hangs': return 'it does not end'
    if code and 'Traceback' in err: return f'a traceback: {err[-600:]}'
    if end == 'stop' and (code, err.splitlines()[-1:]) != (130, ['songsep: stopped']): return f'Ctrl-C gives {code}: {err[-300:]}'
    if end == 'disk' and code and not (code == 2 and re.search('is full: |MB left', out + err)): return f'a full disk gives {code}: {out[-300:]} {err[-300:]}'

class Bench:
    "One work, its undisturbed run, and moments at which it ends"
    def __init__(self, work, place, rng, cluster=None):
        self.work, self.place, self.rng, self.cluster, self.n, self.faults = work, place, rng, cluster, 0, []
        folder, start = self.new(), time.monotonic()
        with disk(folder.with_name('undisturbed'), 300 << 20) as mounted:
            folder, self.most = mounted or folder, 0
            pid = work.start(folder)
            while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                self.most = max(self.most, shutil.disk_usage(folder).used if mounted else 0)
                time.sleep(.01)
            if ended(pid, 0): raise RuntimeError(f'{work.name} fails undisturbed: {folder.with_suffix(".err").read_text()[-2000:]}')
            self.seconds, self.can_mount, self.work.whole = time.monotonic() - start, bool(mounted), work.look(folder)
    def new(self):
        self.n += 1
        folder = self.place/f'{self.work.name}{self.n}'
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        getattr(self.work, 'begin', lambda: None)()
        return folder
    def fault(self, what, folder): self.faults.append(f'{self.work.name}: {what}') if what else None
    def through(self, folder):
        "Run to the end: is it what an undisturbed run leaves?"
        code = ended(self.work.start(folder), 0)
        if code: return self.fault(f'ends with {code}: {folder.with_suffix(".err").read_text()[-600:]}', folder)
        self.compare(folder)
    def compare(self, folder):
        got = self.work.look(folder)
        if got != self.work.whole: self.fault(f'not the same in the end: {differs(self.work.whole, got)}', folder)
    def chain(self, ends):
        "End it by each signal in turn, started again each time; yields how each moment ended"
        folder = self.new()
        for end in ends:
            while True:
                code = ended(self.work.start(folder), self.rng.uniform(0, self.seconds), SIGNALS[end])
                if code: break
                self.compare(folder) # it was through before
                folder = self.new()
            self.fault(said_wrongly(folder, code, end), folder)
            self.fault(self.work.damaged(folder), folder)
            yield end
        self.through(folder)
    def full(self):
        self.n += 1
        with disk(self.place/f'{self.work.name}{self.n}', self.rng.uniform(.05, 1.1)*self.most) as folder:
            getattr(self.work, 'begin', lambda: None)()
            code = ended(self.work.start(folder), 0)
            self.fault(said_wrongly(folder, code, 'disk'), folder)
            self.fault(self.work.damaged(folder), folder)
            larger(folder)
            self.through(folder)
    def lose(self):
        folder = self.new()
        pid = self.work.start(folder, dask=self.cluster.address)
        time.sleep(self.rng.uniform(.3, 1.5*self.seconds))
        self.cluster.lose(int(self.rng.integers(2)))
        code = ended(pid, 0)
        self.fault(code and f'a lost worker ends it with {code}: {folder.with_suffix(".err").read_text()[-600:]}', folder)
        self.fault(self.work.damaged(folder), folder)
        if not code: self.compare(folder)

class AppBench(Bench):
    "The app, and moments at which it ends or a visitor goes"
    def __init__(self, work, place, rng, cluster=None):
        self.work, self.place, self.rng, self.n, self.faults = work, place, rng, 0, []
        self.song, self.project = (work.things/'song.wav').read_bytes(), listed(work.things)
        with disk(self.new().with_name('undisturbed'), 300 << 20) as mounted:
            self.can_mount, folder, start = bool(mounted), mounted or self.new(), time.monotonic()
            pid, address = work.serve(folder)
            work.whole, self.seconds = Visitor(address).visit(self.song), time.monotonic() - start
            self.most = shutil.disk_usage(folder).used
            self.over(pid, folder)
            if self.faults or not isinstance(work.whole, dict):
                raise RuntimeError(f'the app fails undisturbed: {work.whole} {self.faults}')
    def over(self, pid, folder, end='term'):
        "End a server that can say goodbye; nothing of it may stay"
        code = ended(pid, 0, SIGNALS[end])
        said, left = folder.with_suffix('.err').read_text().strip(), listed(folder) + listed(self.work.things)
        left = [o for o in left if o not in self.project]
        if said or left or code != dict(term=-15, stop=0)[end]:
            self.fault(f'{end} gives {code}, and leaves {left[:5]}: {said[-600:]}', folder)
    def through(self, address, folder):
        "A visitor gets what visitors get"
        got = Visitor(address).visit(self.song)
        if got != self.work.whole: self.fault(f'another visitor gets {got}', folder)
    def chain(self, ends):
        for end in ends:
            folder = self.new()
            pid, address = self.work.serve(folder)
            def visit():
                with suppress(OSError, http.client.HTTPException): Visitor(address).visit(self.song)
            visiting = threading.Thread(target=visit)
            visiting.start()
            time.sleep(self.rng.uniform(0, self.seconds))
            self.over(pid, folder, end) if end != 'kill' else ended(pid, 0, SIGNALS[end])
            visiting.join()
            for o in folder.iterdir(): os.utime(o, (0, 0)) # a minute later
            pid, address = self.work.serve(folder)
            if len(found := list(folder.iterdir())) != 1: self.fault(f'the next server leaves {found}', folder)
            self.through(address, folder)
            self.over(pid, folder)
            yield end
    def full(self):
        self.n += 1
        with disk(self.place/f'{self.work.name}{self.n}', self.rng.uniform(.05, 1.1)*self.most) as folder:
            pid, address = self.work.serve(folder)
            said = Visitor(address).visit(self.song)
            if said != self.work.whole and not re.search('is full: |MB left', str(said)):
                self.fault(f'a full disk gives {said}', folder)
            larger(folder)
            self.through(address, folder)
            self.over(pid, folder)
    def leave(self, end):
        "A visitor cancels, or is lost while the song comes"
        folder = self.new()
        pid, address = self.work.serve(folder)
        visitor = Visitor(address)
        if end == 'cut': visitor.half(self.song, self.rng.uniform(0, 1))
        else:
            said, moment = [], self.rng.uniform(0, self.seconds)
            visiting = threading.Thread(target=lambda: said.append(visitor.visit(self.song)))
            visiting.start()
            time.sleep(moment)
            if visitor.told('POST', '/cancel', {}): self.fault('the app does not cancel', folder)
            visiting.join()
            if said not in ([self.work.whole], ['cancelled']):
                self.fault(f'cancelled after {moment:.2f} s: {said}', folder)
            left = [o for o in listed(folder) if '/results/' in o] if said == ['cancelled'] else []
            if left: self.fault(f'cancelled, and {left} are there', folder)
        if (got := visitor.visit(self.song)) != self.work.whole: self.fault(f'after {end}: {got}', folder)
        left = [o for o in listed(folder) if '.part' in o or 'half' in o]
        if left: self.fault(f'after {end} {left} are there', folder)
        self.through(address, folder)
        self.over(pid, folder)

def differs(want, got):
    keys = [k for k in want.keys() | got.keys() if want.get(k) != got.get(k)]
    return '; '.join(f'{k}: {str(want.get(k))[:200]} became {str(got.get(k))[:200]}' for k in keys[:3])

def run(works, moments, seed=0, say=print, ends=ENDS):
    "So many moments, in turn over works and ends: counts by work and end, and what went wrong"
    rng, counts, faults = np.random.default_rng(seed), Counter(), []
    with tempfile.TemporaryDirectory(prefix='crashes-') as d, server(Path(d)/'things') as port:
        (made := Path(d)/'things').mkdir()
        things(made, works)
        for o in imports(works): __import__(o)
        for name in works:
            work, share = WORKS[name](made), moments//len(works) + (moments%len(works) > [*works].index(name))
            work.port = port
            bench = (AppBench if name == 'app' else Bench)(work, Path(d)/name, rng)
            ways = [o for o in work.ends if o in ends and (o != 'disk' or bench.can_mount)]
            todo = Counter(ways[i%len(ways)] for i in range(share))
            signals = [o for o in SIGNALS for _ in range(todo[o])]
            rng.shuffle(signals)
            for end in bench.chain(signals): counts[name, str(end)] += 1
            for _ in range(todo['disk']): bench.full(); counts[name, 'disk'] += 1
            for end in ('cancel', 'cut'):
                for _ in range(todo[end]): bench.leave(end); counts[name, end] += 1
            if todo['worker']:
                bench.cluster = Cluster(Path(d))
                try:
                    for _ in range(todo['worker']): bench.lose(); counts[name, 'worker'] += 1
                finally: bench.cluster.close()
            faults += bench.faults
            say(f'{name}: an undisturbed run takes {bench.seconds:.1f} s;', ', '.join(f'{counts[name, o]} {o}' for o in ways), f'; {len(bench.faults)} failed', *[f'\n  {o}' for o in bench.faults], flush=True)
    return counts, faults

def imports(works):
    "What is loaded before processes are forked"
    yield from ('onnxruntime', 'requests', 'pooch', 'psutil', 'songsep.cli', 'songsep.pull')
    if {*works} & {'separate', 'prepare', 'app'}:
        yield from ('av', 'mutagen', 'scipy.signal', 'soundfile', 'soxr', 'h5py', 'songsep.prepare', 'songsep.songs')
    if 'app' in works: yield from ('starlette.applications', 'starlette.responses', 'uvicorn', 'songsep.server')
    if 'train' in works: yield from ('keras', 'songsep.training', 'songsep.export', 'matplotlib.figure')

def add_figures(path, counts, failed, seed):
    "Add the moments of a run to those that a file counts, for the page of the documentation"
    said = json.loads(path.read_text()) if path.exists() else {}
    sums = said.setdefault('crashes', {})
    for (work, end), n in counts.items(): sums.setdefault(work, {})[end] = sums.get(work, {}).get(end, 0) + n
    sums['failed'], sums['seeds'] = sums.get('failed', 0) + failed, [*sums.get('seeds', ()), seed]
    path.write_text(json.dumps(said) + '\n')

def main():
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument('works', nargs='*', choices=[*WORKS, []], default=[])
    args.add_argument('--moments', type=int, default=200)
    args.add_argument('--seed', type=int, default=0)
    args.add_argument('--json', help='Add the figures to those in this file, such as tests/torture/figures.json')
    a = args.parse_args()
    counts, faults = run(a.works or [*WORKS], a.moments, a.seed)
    figures = {w: {e: counts[w, e] for e in ENDS if counts[w, e]} for w in WORKS} | {'failed': len(faults)}
    print(json.dumps(figures))
    if a.json: add_figures(Path(a.json), counts, len(faults), a.seed)
    sys.exit(bool(faults))

if __name__ == '__main__': main()
