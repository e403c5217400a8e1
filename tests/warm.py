"""The command `songsep` as a process of its own, without the second that Python takes to import it.

A server imports the command once and forks for every call: each has its own folder, environment, streams and exit code.
What a test says about starting Python (its options, its encodings, signals) wants the command itself.
"""
import atexit, json, os, subprocess, sys, tempfile
from functools import cache
from pathlib import Path

@cache
def _server():
    p = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(p.stdin.close)
    return p

def songsep(*args, cwd, **env):
    "What the command says and how it ends, as `subprocess.run` would give it"
    with tempfile.TemporaryDirectory() as d:
        out, err = (Path(d)/o for o in ('out', 'err'))
        job = dict(args=list(map(str, args)), cwd=str(cwd), env=dict(os.environ | env), out=str(out), err=str(err))
        p = _server()
        print(json.dumps(job), file=p.stdin, flush=True)
        code = int(p.stdout.readline())
        return subprocess.CompletedProcess(args, code, out.read_text(encoding='utf-8'), err.read_text(encoding='utf-8'))

def serve():
    "Fork for each line of the input; returns in the child, as the command to be run"
    answer = os.fdopen(os.dup(1), 'w')
    for line in sys.stdin:
        job, child = json.loads(line), os.fork()
        if not child:
            answer.close()
            return job
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=answer, flush=True)

def become(job):
    "Take over folder, environment and streams of a call"
    os.chdir(job['cwd'])
    os.environ.clear()
    os.environ.update(job['env'])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for fd,path in ((1, job['out']), (2, job['err'])): os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), fd)
    sys.argv = ['songsep', *job['args']]

if __name__ == '__main__':
    import av, mutagen, onnxruntime, scipy.signal, soundfile, soxr, songsep.check, songsep.models, songsep.songs # noqa: F401
    from songsep.cli import main
    if job := serve():
        become(job)
        try: main()
        except SystemExit as e: code = e.code or 0
        atexit._run_exitfuncs()
        os._exit(code) # libraries would wait for threads that stayed with the server
