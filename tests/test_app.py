"The app as `songsep app` serves it: a song goes in by the browser, stems come out by the browser, and nobody sees another's."
import io, json, os, re, shutil, signal, socket, subprocess, sys, time
from pathlib import Path
import numpy as np, pytest, soundfile as sf
from conftest import watched
from songsep.models import SHIPPED
from songsep.songs import DEMO
from songsep.synth.toy import toy_dataset

pytest.importorskip('voila', reason='needs voila: pip install "songsep[app]"')
SECONDS, MB = 6, 2

def command(*args): return [Path(sys.executable).with_name('songsep'), 'app', '--no-browser', *map(str, args)]

def write_history(folder, losses):
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder/'part.npz', about=json.dumps(dict(history=dict(loss=losses, val_loss=losses, sdr_drums=[1.5]*len(losses)), settings={})))
    (folder/'part.npz').replace(folder/'training.npz')

@pytest.fixture(scope='module')
def served(browser, tmp_path_factory):
    "Address, the folder of what visitors bring, and the project"
    folder, project = tmp_path_factory.mktemp('visitors'), tmp_path_factory.mktemp('project')
    shutil.copytree(SHIPPED/'drums', project/'saved_models'/'toy')
    write_history(project/'saved_models'/'toy', [.9, .5])
    toys = toy_dataset(tmp_path_factory.mktemp('data')/'toys', 2, 2.)
    p = subprocess.Popen(command('--port', 0, '--root', project, '--data', toys, '--upload-mb', MB), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, 'TMPDIR': str(folder)})
    address, end = p.stdout.readline().split()[0], time.monotonic() + 30
    port = int(address.split(':')[-1])
    while True:
        try: socket.create_connection(('127.0.0.1', port), 1).close(); break
        except OSError: assert time.monotonic() < end and p.poll() is None; time.sleep(.1)
    yield address, folder, project
    p.send_signal(signal.SIGTERM)
    p.wait(20)
    assert not list(folder.glob('songsep-app-*')) # nothing stays

def desks(folder): return sorted(folder.glob('songsep-app-*/songsep-*/'))

def come(page, served):
    page.goto(served[0])
    page.get_by_role('button', name='Take it apart').first.wait_for(timeout=40_000)
    return page

@pytest.fixture(scope='module')
def visitor(browser, served):
    "A page with the app in it; to open one takes seconds, for each gets a Python"
    with watched(browser) as page: yield come(page, served)

@pytest.fixture(scope='module')
def excerpt():
    "A few seconds of a real recording, as a wav file's bytes"
    y, sr = sf.read(next(DEMO.glob('*.flac')), dtype='int16')
    sf.write(out := io.BytesIO(), y[:SECONDS*sr], sr, format='WAV')
    return out.getvalue()

def upload(page, name, content):
    with page.expect_file_chooser() as chooser: page.get_by_role('button', name='Upload a song').click()
    chooser.value.set_files(dict(name=name, mimeType='audio/wav', buffer=content))

def axe_faults(page):
    axe = pytest.importorskip('axe_playwright_python.sync_playwright', reason='needs axe-playwright-python').Axe()
    return [(o['id'], [n['target'] for n in o['nodes']]) for o in axe.run(page).response['violations'] if o['impact'] in ('serious', 'critical')]

def test_a_song_goes_in_and_stems_come_out(visitor, screenshots, excerpt):
    page = visitor
    page.get_by_role('tab', name='Songs').click()
    page.screenshot(path=screenshots/'app-songs.png', full_page=True)
    upload(page, 'my <song>.wav', excerpt)
    page.get_by_text('is here. Press').wait_for()
    page.get_by_role('button', name='Take it apart').first.click()
    page.locator('iframe').wait_for(timeout=40_000)
    console = page.frames[-1]
    console.locator('.play:enabled').wait_for()
    assert console.locator('h2').all_inner_texts() == ['Original', 'drums', 'accompaniments']
    y = np.array(console.evaluate('async () => Array.from((await songsep.console.render(1, 1))[0])'))
    assert np.sqrt(np.mean(y**2)) > .01
    page.wait_for_timeout(300)
    page.screenshot(path=screenshots/'app-console.png', full_page=True)
    assert not axe_faults(page)

    song, sr = sf.read(io.BytesIO(excerpt), dtype='int16')
    links = page.locator('a[download]').evaluate_all('links => links.map(o => o.href)')
    stems = [sf.read(io.BytesIO(page.request.get(o).body()), dtype='int16') for o in links]
    assert len(stems) == 2 and all(o.shape == song.shape and rate == sr for o,rate in stems)
    assert (sum(o.astype(int) for o,_ in stems) == song).all()

def test_what_is_no_song_or_too_large_is_refused_in_a_sentence(served, visitor):
    page = visitor
    page.get_by_role('tab', name='Songs').click()
    upload(page, '<img src=x onerror=window.bad=1>.exe', b'no song')
    page.get_by_role('alert').get_by_text('is not kept').wait_for()
    upload(page, 'long.wav', bytes(int(MB*1e6) + 1))
    page.get_by_role('alert').get_by_text(f'{MB} MB are the most').wait_for()
    upload(page, 'noise.wav', b'RIFF and nothing more')
    page.get_by_text('is here. Press').wait_for()
    page.get_by_role('button', name='Take it apart').first.click()
    page.get_by_role('alert').get_by_text('noise.wav is damaged').wait_for()
    assert page.evaluate('window.bad') is None
    assert not [o for d in desks(served[1]) for o in d.rglob('*') if o.suffix == '.exe' or o.name == 'long.wav']

def test_training_is_watched_and_a_recipe_made(served, visitor, screenshots):
    page = visitor
    page.get_by_role('tab', name='Training').click()
    page.get_by_text('toy: epoch 2, loss 0.5').wait_for()
    page.get_by_role('button', name='Keep watching').click()
    write_history(served[2]/'saved_models'/'toy', [.9, .5, .25])
    page.get_by_text('toy: epoch 3, loss 0.25, sdr_drums 1.5 dB').wait_for()
    page.wait_for_timeout(200)
    page.screenshot(path=screenshots/'app-training.png', full_page=True)
    assert not axe_faults(page)
    assert page.get_by_label('Song').last.locator('option').all_inner_texts() == ['Track00001', 'Track00002']
    page.get_by_role('button', name='Take it apart').last.click()
    page.locator('iframe:visible').wait_for(timeout=40_000)
    page.frames[-1].locator('.play:enabled').wait_for()
    assert page.frames[-1].locator('h1').inner_text() == 'track00001' and page.frames[-1].locator('.lane').count() == 3

    page.get_by_role('tab', name='Recipes').click()
    for name,ticks in dict(drums=['Drums (2)'], strings=['Bass (2)', 'Guitar (2)']).items():
        for o in ticks: page.get_by_label(o).check()
        page.get_by_label('Target').fill(name)
        page.get_by_role('button', name='Add target').click()
        page.get_by_role('button', name=f'Remove {name}').wait_for()
    page.get_by_role('button', name='Measure').click()
    page.locator('table').wait_for(timeout=30_000)
    rows = {o.locator('th').inner_text(): o.locator('td').all_inner_texts() for o in page.locator('tbody tr').all()}
    assert list(rows) == ['drums', 'strings', 'residuals'] and [o[0] for o in rows.values()] == ['2']*3 and rows['strings'][1] == '4'
    assert abs(sum(float(o[3].rstrip('%')) for o in rows.values()) - 100) < .2
    page.screenshot(path=screenshots/'app-recipes.png', full_page=True)
    assert not axe_faults(page)
    recipe = page.request.get(page.locator('a[download$=".yaml"]').evaluate('a => a.href')).text()
    assert 'Mixing key: inst_class' in recipe and re.search(r'strings:\n *- Bass\n *- Guitar', recipe)

def test_two_at_once_are_apart_and_whoever_leaves_takes_everything_along(served, visitor, browser, excerpt):
    visitor.get_by_role('tab', name='Songs').click()
    upload(visitor, 'my <song>.wav', excerpt)
    visitor.get_by_text('my _song_.wav is here').wait_for()
    with watched(browser) as other:
        come(other, served)
        assert not [o for o in other.get_by_label('Song').first.locator('option').all_inner_texts() if 'my' in o]
        mine, theirs = (next(o for o in desks(served[1]) if has == (o/'uploads').exists()) for has in (True, False))
        assert (mine/'uploads'/'my _song_.wav').read_bytes() == excerpt
        for o in (f'{mine.name}/uploads/my _song_.wav', f'{mine.name}/results/../uploads/my _song_.wav', f'{mine.name}/', 'songsep.ipynb', ''):
            assert visitor.request.get(f'{served[0]}/voila/files/{o}').status >= 400
        (theirs/'results').mkdir()
        (theirs/'results'/'stem.wav').write_bytes(excerpt)
        assert visitor.request.get(f'{served[0]}/voila/files/{theirs.name}/results/stem.wav').ok # to whom knows the name, which nobody can guess
        for o in (other, visitor): o.goto('about:blank')
        end = time.monotonic() + 20
        while desks(served[1]):
            assert time.monotonic() < end
            time.sleep(.1)

def test_it_listens_on_this_machine_alone(served):
    port = int(served[0].split(':')[-1])
    assert served[0].startswith('http://127.0.0.1:')
    with pytest.raises(OSError): socket.create_connection(('127.0.0.2', port), 2) # answers where a server listens everywhere

def test_a_port_that_is_taken_is_one_sentence(served):
    done = subprocess.run(command('--port', served[0].split(':')[-1]), capture_output=True, text=True)
    assert done.returncode == 2 and not done.stdout and done.stderr.count('\n') == 1 and '--port' in done.stderr

def test_without_voila_is_one_sentence():
    code = "import sys; sys.modules['voila'] = sys.modules['voila.app'] = None; sys.argv = ['songsep', 'app', '--port', '0']; from songsep.cli import main; main()"
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.strip() == 'songsep: the app needs voila: pip install "songsep[app]".'
