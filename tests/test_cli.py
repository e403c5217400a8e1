"The command line as people and scripts meet it: real processes, on a terminal and in a pipe."
import json, os, re, shlex, shutil, signal, subprocess, sys, time
from base64 import b64decode
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
import numpy as np, pytest, soundfile as sf, typer, warm
from songsep.cli import ARCHITECTURES, RECIPES, _kept_interrupt, app
from songsep.evaluation import METHODS, write_report
from songsep.synth.toy import toy_dataset

ROOT = Path(__file__).resolve().parent.parent
EXE = Path(sys.executable).with_name('songsep')

def songsep(*args, cwd, code=0, **env):
    "The command as a process of its own; its exit code must be this one"
    done = warm.songsep(*args, cwd=cwd, **env)
    assert done.returncode == code, done.stderr
    return done

def write_song(path, seconds=1.):
    sf.write(path, np.random.default_rng(0).normal(size=(int(44100*seconds), 2))*.1, 44100)
    return path

@pytest.fixture
def song(tmp_path): return write_song(tmp_path/'song.wav')

@pytest.fixture(scope='module')
def toy(tmp_path_factory):
    root = toy_dataset(tmp_path_factory.mktemp('toy')/'songs', n_tracks=2, seconds=2)
    next(iter(root.iterdir())).rename(root/'<i>loud & $x$')
    return root

def commands(command=typer.main.get_command(app), path=()):
    "All verbs with their paths, and those of groups"
    for name,sub in command.commands.items():
        yield (*path, name), sub
        if hasattr(sub, 'commands'): yield from commands(sub, (*path, name))

# Help

def test_help_is_grouped_and_has_examples(tmp_path):
    said = songsep('--help', cwd=tmp_path).stdout
    panels = ['From a song to its stems', ' separate ', 'From stems to a model', ' train ', ' evaluate ', 'What there is', ' doctor ', ' models ', 'Examples:', 'songsep separate song.mp3']
    places = [said.find(o, said.find('From a song')) for o in panels]
    assert -1 not in places and places == sorted(places)

def test_examples_can_be_run_as_they_stand():
    examples = [o.strip() for _,c in commands() for o in (c.epilog or '').splitlines() if o.strip().startswith('songsep ')]
    assert len(examples) > 12 and {o.split()[1] for o in examples} >= {'separate', 'train', 'evaluate', 'prepare', 'synth'}
    for o in examples:
        verb, *args = shlex.split(o)[1:]
        typer.main.get_command(app).commands[verb].make_context(verb, args) # raises where the line is not understood

def on_terminal(*args, cwd, **env):
    "What is drawn where both streams are a terminal"
    import fcntl, pty, struct, termios
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('4H', 40, 100, 0, 0))
    clean = {k: v for k,v in os.environ.items() if k not in ('NO_COLOR', 'FORCE_COLOR')} | {'TERM': 'xterm-256color'} | env
    p = subprocess.Popen([EXE, *map(str, args)], stdout=theirs, stderr=theirs, cwd=cwd, env=clean)
    os.close(theirs)
    out = b''
    try:
        while got := os.read(ours, 1 << 16): out += got
    except OSError: pass # how Linux says that the other side is closed
    os.close(ours)
    assert p.wait() == 0, out
    return out.decode()

@pytest.mark.skipif(os.name == 'nt', reason='needs a pseudo-terminal')
def test_colour_on_a_terminal_only(tmp_path):
    assert '\x1b[' in on_terminal('separate', '--help', cwd=tmp_path)
    assert '\x1b' not in on_terminal('separate', '--help', cwd=tmp_path, NO_COLOR='1')
    for env in ({}, {'FORCE_COLOR': '1'}, {'GITHUB_ACTIONS': 'true'}): assert '\x1b' not in songsep('separate', '--help', cwd=tmp_path, **env).stdout

@pytest.mark.skipif(os.name == 'nt', reason='needs a pseudo-terminal')
def test_a_terminal_sees_how_much_time_is_left(tmp_path, song):
    assert re.search(r'song: +\d+%\|.*gone, .* left', said := on_terminal('separate', song, cwd=tmp_path))
    assert 'sum to the song exactly' in said
    assert re.search(r'\r *\r[^\r]*song: drums.wav', said) # the bar's line is cleared before the result is told

def test_the_names_that_are_offered_exist():
    from songsep.folder import ARCHITECTURES as known
    assert set(ARCHITECTURES) == set(known)
    assert set(RECIPES) == {o.stem for o in (ROOT/'songsep'/'recipes').glob('*.yaml')}

# Completion

@pytest.mark.skipif(not shutil.which('bash'), reason='needs bash')
def test_bash_completes_verbs_and_models(tmp_path):
    def bash(line): return subprocess.run(['bash', '-c', line + '; true'], capture_output=True, text=True, cwd=tmp_path, env=os.environ | {'PATH': f"{EXE.parent}:{os.environ['PATH']}"}).stdout
    script = bash('songsep --show-completion')
    assert '_SONGSEP_COMPLETE' in script and 'complete ' in script
    name = re.search(r'(\w+)\(\)', script)[1]
    def completed(*words): return bash(f'{script}\nCOMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words)-1}; {name} songsep; echo "${{COMPREPLY[@]}}"').split()
    assert completed('songsep', 'sep') == ['separate']
    assert completed('songsep', 'separate', 'song.wav', '-n', 'dr') == ['drums']
    assert completed('songsep', 'models', 'pull', 'spleeter-5') == ['spleeter-5stems']
    assert completed('songsep', 'train', 'a.h5', '--architecture', 'tfc') == ['tfc_tdf_unet']

# Scripts

def only_json(done):
    "One object, and nothing else"
    assert '\x1b' not in done.stdout
    def no_number(o): raise AssertionError(f'{o} is no JSON')
    return json.loads(done.stdout, parse_constant=no_number)

def test_json_of_a_separation(tmp_path, song):
    (tmp_path/'bad.wav').write_text('this is no sound')
    found = only_json(songsep('separate', song, '--json', cwd=tmp_path))
    assert list(found['songs']) == ['song'] and not found['failed'] and found['songs']['song']['sum_error_db'] <= -90
    for o in found['songs']['song']['files'].values(): assert sf.info(tmp_path/o).frames == 44100
    done = songsep('separate', song, 'bad.wav', '--json', '-q', cwd=tmp_path, code=2)
    found = only_json(done)
    assert found['songs']['song']['skipped'] and 'no sound file' in found['failed']['bad']
    assert len(done.stderr.splitlines()) == 1 and '1 of 2 songs failed' in done.stderr

def test_models_alone_lists_them(tmp_path):
    alone, listed = (songsep('models', *o, cwd=tmp_path).stdout for o in ((), ('list',)))
    assert alone == listed and alone.startswith('stem ') and 'htdemucs' in alone

def test_json_of_what_there_is(tmp_path, toy):
    found = only_json(songsep('models', 'list', '--json', cwd=tmp_path))
    assert found['drums']['stems'] == ['drums', 'accompaniments'] and found['drums']['megabytes'] > 1 and found['spleeter-2stems']['pull'] == 'songsep models pull spleeter-2stems'
    doctor = only_json(songsep('doctor', '--json', cwd=tmp_path))
    assert {'models', 'memory', 'speed'} <= doctor.keys()
    assert re.fullmatch(r'separates on (cpu|cuda|coreml|directml), trains on .+', doctor['device'])
    found = only_json(songsep('recipe', 'show', 'drums', toy, '--jobs', 1, '--json', cwd=tmp_path))
    assert found['targets']['drums']['tracks'] == 2 and found['remarks'] == []

def test_check_ends_with_1_where_there_are_errors(tmp_path, toy):
    assert only_json(songsep('data', 'check', toy, '--jobs', 1, '--json', cwd=tmp_path))['problems'] == []
    (tmp_path/'songs'/'one').mkdir(parents=True)
    for o in ('drums', 'bass'): sf.write(tmp_path/'songs'/'one'/f'{o}.wav', np.zeros(44100), 44100)
    done = songsep('data', 'check', 'songs', '--jobs', 1, '--json', cwd=tmp_path, code=1)
    assert [o['what'] for o in only_json(done)['problems'] if o['level'] == 'error'] == ['no sound'] and not done.stderr
    assert 'error: no sound' in songsep('data', 'check', 'songs', '--jobs', 1, cwd=tmp_path, code=1).stdout

def test_quiet_says_nothing(tmp_path, song):
    done = songsep('separate', song, '-q', cwd=tmp_path)
    assert not done.stdout and not done.stderr and (tmp_path/'results'/'song'/'drums.wav').exists()

# Errors

def sentence(done, *words):
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith('songsep: '), done.stderr
    for o in words: assert o in done.stderr

@pytest.mark.parametrize('args,words', [
    (['separate'], ['Missing argument']),
    (['separate', 'a.wav', '--modle', 'drums'], ['--modle', 'Possible options', '--model', 'songsep separate --help']),
    (['seperate', 'a.wav'], ['seperate', 'songsep --help']),
    (['train', 'a.h5', '--epochs', 'many'], ['--epochs', 'songsep train --help']),
    (['separate', 'a.wav', '--mp3', '--flac'], ['--mp3 and --flac']),
    (['separate', 'a.wav', '--mp3', '-c', 'wav'], ['--codec and --mp3']),
    (['separate', 'a.wav', '-m', 'drums', '-p', 'spleeter:2stems'], ['--model and --params_filename']),
    (['separate', 'a.wav', '--int24', '--float32'], ['--int24 and --float32']),
    (['separate', 'a.wav', '--start', '1:x'], ['1:x', 'such as 1:30']),
    (['separate', 'a.wav', '--start', '0', '-s', '2'], ['--start and --offset']),
    (['separate', 'a.wav', '-d', '0'], ['ends after it begins']),
    (['separate', 'a.wav', '--filename', '{stem}.wav', '-f', '{instrument}/{filename}.wav'], ['--filename and --filename_format']),
    (['separate', 'a.wav', '--flac', '--float32'], ['FLAC']),
    (['separate', 'a.wav', '--mp3', '--int24'], ['mp3 has no bit depth']),
    (['separate', 'a.wav', '-f', '{foldername}/{instrument}.wav'], ['file name'])])
def test_a_line_that_cannot_be_meant(tmp_path, args, words): sentence(songsep(*args, cwd=tmp_path, code=2), *words)

def test_a_model_of_spleeter_is_known_by_its_name_there(tmp_path, song):
    sentence(songsep('separate', '-p', 'spleeter:2stems', song, '-q', cwd=tmp_path, code=2), 'songsep models pull spleeter-2stems')

def test_debug_shows_the_code(tmp_path):
    plain = songsep('separate', 'missing.wav', cwd=tmp_path, code=2)
    sentence(plain, 'missing.wav does not exist')
    for done in (songsep('separate', 'missing.wav', '--debug', cwd=tmp_path, code=2), songsep('--debug', 'separate', 'missing.wav', cwd=tmp_path, code=2),
                 songsep('separate', 'missing.wav', cwd=tmp_path, code=2, SONGSEP_DEBUG='1')):
        assert done.stderr.startswith('Traceback') and 'in probe' in done.stderr and done.stderr.endswith(plain.stderr)

def test_a_fault_of_ours_is_a_sentence_and_a_file(tmp_path):
    code = "from songsep import doctor; doctor.diagnose = lambda: 1/0; from songsep.cli import main; main()"
    def run(**env): return subprocess.run([sys.executable, '-c', code, 'doctor'], capture_output=True, text=True, env=os.environ | {'TMPDIR': str(tmp_path)} | env)
    done = run()
    sentence(done, 'ZeroDivisionError: division by zero', 'fault of songsep')
    assert done.returncode == 3 and (report := next(tmp_path.glob('songsep-*.txt'))).name in done.stderr and 'Traceback' in report.read_text()
    assert run(SONGSEP_DEBUG='1').stderr.startswith('Traceback')

def test_an_error_is_told_once(tmp_path, song):
    for args in (['missing.wav'], ['song.wav', '--stems', 'vocals'], ['song.wav', '--model', 'vocals']):
        done = songsep('separate', *args, cwd=tmp_path, code=2)
        sentence(done)
        assert not done.stdout

@pytest.mark.skipif(os.name == 'nt', reason='signals of another kind')
def test_stopped_by_hand(tmp_path):
    p = subprocess.Popen([EXE, 'separate', write_song(tmp_path/'long.wav', 400)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
                         preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) # what runs in a shell's background is deaf to it
    while not list(tmp_path.glob('results/.*.part/outputs.f32')) and p.poll() is None: time.sleep(.01)
    p.send_signal(signal.SIGINT)
    out, err = p.communicate()
    assert (p.returncode, out, err) == (130, '', 'songsep: stopped\n')

# The words of Spleeter and Demucs

def sounds(folder): return {str(o.relative_to(folder)): (sf.info(o).subtype, sf.read(o)[0].tobytes()) for o in folder.rglob('*') if o.suffix in ('.flac', '.wav', '.mp3')}

@pytest.mark.parametrize('plain,theirs', [
    (['--model', 'drums', '--format', 'flac', '--bit-depth', '24', '--filename', '{song}/{stem}.{ext}'], ['-n', 'drums', '--flac', '--int24', '--filename', '{track}/{stem}.{ext}']),
    (['--start', '0:00.25', '--end', '0.75'], ['-s', '.25', '-d', '.5']),
    (['--format', 'mp3', '--two-stems', 'drums'], ['--mp3', '--two-stems', 'drums']),
    (['--filename', '{stem}/{song}.{ext}', '--bit-depth', 'float32'], ['-f', '{instrument}/{filename}.{codec}', '-p', 'drums', '-c', 'wav', '--float32'])])
def test_other_names_do_the_same(tmp_path, song, plain, theirs):
    songsep('separate', song, '-o', 'plain', *plain, cwd=tmp_path)
    songsep('separate', song, '--output_path', 'theirs', *theirs, cwd=tmp_path)
    assert len(want := sounds(tmp_path/'plain')) == 2 and want == sounds(tmp_path/'theirs')

# Scores

class Reader(HTMLParser):
    "Tags, texts and pictures of a page"
    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.pictures = [], [], []
        self.feed(text)
    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == 'img': self.pictures.append(dict(attrs))
    def handle_data(self, data): self.texts.append(data)

def test_evaluate_reports(tmp_path, toy):
    if not find_spec('museval'): pytest.skip('needs museval: pip install "songsep[eval]"')
    done = songsep('evaluate', toy/'<i>loud & $x$', '--report', 'scores.html', '-o', 'scores.json', '--json', '--jobs', 1, cwd=tmp_path)
    found = only_json(done)
    assert found['model'] == 'drums' and found['scores'] == json.loads((tmp_path/'scores.json').read_text())
    assert set(found['scores']) == {*METHODS, 'drums'} and set(found['way_to_ideal']['sdr']) == {'drums', 'accompaniments'}
    page = Reader((tmp_path/'scores.html').read_text(encoding='utf-8'))
    assert '<i>loud & $x$' in page.texts and 'i' not in page.tags and 'script' not in page.tags
    assert page.tags.count('tr') == 1 + 2 + 2 + 2 and len(page.pictures) == 2 # a head, a song, medians, means; a picture for each target
    for o in page.pictures: assert o['alt'] and b64decode(o['src'].removeprefix('data:image/png;base64,')).startswith(b'\x89PNG')
    cell = found['medians']['drums']['drums']
    assert f"{cell['sdr']:.1f} / {cell['si_sdr']:.1f}" in page.texts and any('of the way for drums' in o for o in page.texts)

def test_a_quick_evaluation_needs_no_museval_and_says_what_comes_next(tmp_path, toy):
    code = "import sys; sys.modules['museval'] = None; from songsep.cli import main; main()"
    def evaluate(*args):
        done = subprocess.run([sys.executable, '-c', code, 'evaluate', str(toy), '--quick', '--jobs', '1', *args], capture_output=True, text=True, cwd=tmp_path)
        assert not done.returncode, done.stderr
        return done
    said = evaluate('--report', 'scores.html').stdout
    assert 'plain, without' in said and 'museval' not in said and said.splitlines()[-1] == 'Next: songsep separate SONG --model drums --report'
    assert 'plain, without' in (tmp_path/'scores.html').read_text(encoding='utf-8')
    found = only_json(evaluate('--json', '-q'))
    assert list(found['scores']) == ['mixture', 'drums', 'ideal mask'] and found['way_to_ideal']['sdr'].keys() == {'drums', 'accompaniments'}

@pytest.fixture
def report(tmp_path):
    "Scores of many songs, one of them without drums"
    rng, names = np.random.default_rng(0), [f'An artist & others - song ${i}$ <live>' for i in range(70)]
    scores = {k: {s: {t: {m: float(at + rng.normal()) for m in ('sdr', 'si_sdr')} for t in ('drums', 'rest')} for s in names} for at,k in enumerate(('mixture', 'my_model', 'ideal mask'))}
    for o in scores.values(): o[names[3]]['drums'] = dict.fromkeys(('sdr', 'si_sdr'), float('nan'))
    write_report(scores, tmp_path/'report.html')
    return tmp_path/'report.html'

@pytest.mark.parametrize('width,scheme', [(1280, 'light'), (390, 'dark')])
def test_the_report_is_read_in_a_browser(report, page, screenshots, width, scheme):
    page.set_viewport_size(dict(width=width, height=800))
    page.emulate_media(color_scheme=scheme)
    page.goto(report.as_uri())
    page.screenshot(path=screenshots/f'scores-{width}-{scheme}.png', full_page=True)
    assert page.evaluate('[...document.images].every(o => o.complete && o.naturalWidth > 500)')
    assert page.evaluate('document.documentElement.scrollWidth') <= width
    assert page.locator('tbody tr').count() == 2*70 + 2*2 and page.locator('td', has_text='silent').count() == 3
    axe = pytest.importorskip('axe_playwright_python.sync_playwright', reason='needs axe-playwright-python').Axe()
    found = axe.run(page).response['violations']
    assert not [(o['id'], [n['target'] for n in o['nodes']]) for o in found if o['impact'] in ('serious', 'critical')]


@pytest.mark.parametrize('verb, says', [('train', 'is no store'), ('separate', 'no sound file that can be read')])
def test_a_file_of_another_sort_is_named_and_stays(tmp_path, verb, says):
    "No advice to delete what may be somebody's film, no name that nobody gave"
    (tmp_path/'film.aac').write_text('hello')
    res = songsep(verb, 'film.aac', cwd=tmp_path, code=2)
    said = res.stdout + res.stderr
    assert 'film.aac is' in said and says in said and not re.search('delete|remove|unknown format|Traceback', said)
    assert (tmp_path/'film.aac').read_text() == 'hello'

def test_a_stop_by_hand_that_python_drops_comes_again(monkeypatch):
    class Dropped:
        def __del__(self): raise KeyboardInterrupt # as in the callbacks of imports
    monkeypatch.setattr(sys, 'unraisablehook', _kept_interrupt)
    with pytest.raises(KeyboardInterrupt):
        Dropped()
        time.sleep(10)

@pytest.mark.skipif(os.name != 'posix', reason='a folder in use stays')
def test_a_current_folder_that_is_gone_is_a_sentence(tmp_path, monkeypatch, capsys):
    from songsep import cli
    (tmp_path/'gone').mkdir()
    monkeypatch.chdir(tmp_path/'gone')
    (tmp_path/'gone').rmdir()
    with pytest.raises(SystemExit) as e: cli._run(lambda args: os.getcwd())
    assert e.value.code == 2 and 'is gone' in capsys.readouterr().err
