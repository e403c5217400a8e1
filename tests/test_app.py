"The app as `songsep app` serves it: a song goes in by the browser, stems come out by the browser, and nobody sees another's."
import http.client, io, json, os, shutil, signal, socket, subprocess, sys, time, zipfile
from pathlib import Path
import numpy as np, pytest, soundfile as sf
from conftest import watched
from songsep.models import SHIPPED
from songsep.server import Site
from songsep.songs import DEMO
from songsep.synth.toy import toy_dataset

for o in ('starlette', 'uvicorn'): pytest.importorskip(o, reason=f'needs {o}: pip install "songsep[app]"')
SECONDS, MB = 6, 2

def command(*args): return [Path(sys.executable).with_name('songsep'), 'app', '--no-browser', *map(str, args)]

def write_history(folder, losses):
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder/'part.npz', about=json.dumps(dict(history=dict(loss=losses, val_loss=losses, sdr_drums=[1.5]*len(losses)), settings={})))
    (folder/'part.npz').replace(folder/'training.npz')

@pytest.fixture(scope='module')
def served(tmp_path_factory):
    "Address, the folder of what visitors bring, and the project"
    folder, project = tmp_path_factory.mktemp('visitors'), tmp_path_factory.mktemp('project')
    shutil.copytree(SHIPPED/'drums', project/'saved_models'/'toy')
    write_history(project/'saved_models'/'toy', [.9, .5])
    toys = toy_dataset(tmp_path_factory.mktemp('data')/'toys', 2, 2.)
    (folder/'songsep-app-killed').mkdir() # as a server leaves it that was killed
    os.utime(folder/'songsep-app-killed', (0, 0))
    with open(folder/'stderr', 'w+') as said:
        p = subprocess.Popen(command('--port', 0, '--root', project, '--data', toys, '--upload-mb', MB), stdout=subprocess.PIPE, stderr=said, text=True, env={**os.environ, 'TMPDIR': str(folder)})
        yield p.stdout.readline().split()[0], folder, project
        p.send_signal(signal.SIGTERM)
        p.wait(20)
        said.seek(0)
        assert not list(folder.glob('songsep-app-*')) and not said.read() and not p.stdout.read() # nothing stays, nothing is chattered

def desks(folder): return sorted(folder.glob('songsep-app-*/songsep-*/'))

def come(page, served):
    page.goto(served[0])
    page.locator('#start:enabled').wait_for(timeout=30_000)
    return page

@pytest.fixture(scope='module')
def visitor(browser, served):
    "A page with the app in it"
    with watched(browser) as page: yield come(page, served)

@pytest.fixture(scope='module')
def excerpt():
    "A few seconds of a real recording, as a wav file's bytes"
    y, sr = sf.read(next(DEMO.glob('*.flac')), dtype='int16')
    sf.write(out := io.BytesIO(), y[:SECONDS*sr], sr, format='WAV')
    return out.getvalue()

def upload(page, name, content): page.locator('#file').set_input_files(dict(name=name, mimeType='audio/wav', buffer=content))

def tab(page, name): page.get_by_role('tab', name=name).click()

def axe_faults(page):
    axe = pytest.importorskip('axe_playwright_python.sync_playwright', reason='needs axe-playwright-python').Axe()
    return [(o['id'], [n['target'] for n in o['nodes']]) for o in axe.run(page).response['violations'] if o['impact'] in ('serious', 'critical')]

def looked_at(page, screenshots, name, *looks):
    "Nothing is too wide, nothing in the way of those who can't see it; pictures to look at"
    for scheme,width in looks:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size(dict(width=width, height=900))
        page.wait_for_timeout(300)
        page.screenshot(path=screenshots/f'app-{name}-{scheme}-{width}.png', full_page=True)
        assert page.evaluate('document.documentElement.scrollWidth') <= width and not axe_faults(page)
    page.set_viewport_size(dict(width=1280, height=800))

def loaded(page, link): return page.request.get(link.evaluate('a => a.href')).body()

def read(content): return sf.read(io.BytesIO(content), dtype='int16')[0].astype(int)

def test_a_song_goes_in_and_stems_come_out(visitor, screenshots, excerpt):
    page = visitor
    upload(page, 'my <song>.wav', excerpt)
    page.get_by_role('radio', name='my _song_.wav').wait_for()
    ends = 'o => o.map(e => Math.round(e.getBoundingClientRect().%s))'
    assert len(set(page.locator('#list .length').evaluate_all(ends % 'right'))) == 1 # below one another, with and without a button behind
    below = page.locator('#cards .card').evaluate_all("o => o.map(c => c.getBoundingClientRect().bottom - c.querySelector('.facts').getBoundingClientRect().bottom)")
    assert max(below) < 24 and page.locator('#cards .facts').first.inner_text().startswith('4-minute song in ')
    assert page.locator('.item', has_text='my _song_').get_by_text(f'0:0{SECONDS}').is_visible()
    page.locator('#start').click()
    page.get_by_role('radio', name='band', exact=True).check(force=True) # its label lies over the whole card. While the other works: the result is what was asked for
    page.locator('.result').wait_for(timeout=60_000)
    page.frame_locator('.result iframe').locator('.play:enabled').wait_for()
    console = page.frames[-1]
    assert console.locator('h2').all_inner_texts() == ['Original', 'drums', 'accompaniments']
    y = np.array(console.evaluate('async () => Array.from((await songsep.console.render(1, 1))[0])'))
    assert np.sqrt(np.mean(y**2)) > .01

    result, song = page.locator('.result'), read(excerpt)
    stems = [read(loaded(page, o)) for o in result.locator('.stems a').all()]
    assert len(stems) == 2 and (sum(stems) == song).all()
    with zipfile.ZipFile(io.BytesIO(loaded(page, result.locator('.zip')))) as z:
        assert z.namelist() == ['my _song_/drums.wav', 'my _song_/accompaniments.wav'] and (read(z.read(z.namelist()[0])) == stems[0]).all()
    with page.expect_download() as got: result.locator('.without a').first.click()
    assert got.value.suggested_filename == 'my _song_ (without drums).wav' and (read(Path(got.value.path()).read_bytes()) == stems[1]).all()
    console.get_by_label('Solo drums').click()
    with page.expect_download() as got: result.get_by_role('button', name='Save the mix you hear').click()
    assert (read(Path(got.value.path()).read_bytes()) == stems[0]).all()
    looked_at(page, screenshots, 'songs', ('light', 1280), ('dark', 390))

def test_what_is_no_song_or_too_large_is_refused_in_a_sentence(served, visitor):
    page, alert = visitor, visitor.get_by_role('alert')
    upload(page, '<img src=x onerror=window.bad=1>.exe', b'no song')
    alert.get_by_text('is no sound file by its name').wait_for()
    upload(page, 'long.wav', bytes(int(MB*1e6) + 1))
    alert.get_by_text(f'{MB} MB are the most').wait_for()
    upload(page, 'noise.wav', b'RIFF and nothing more')
    alert.get_by_text('noise.wav is damaged').wait_for()
    assert '/' not in alert.inner_text() and page.evaluate('window.bad') is None
    assert alert.inner_text().startswith('noise.wav is') # the name as it is, not as a sentence begins
    page.get_by_role('button', name='Close').click()
    assert alert.is_hidden()
    upload(page, 'notes.txt', b'no song')
    alert.get_by_text('notes.txt is no sound').wait_for()
    assert len(alert.inner_text()) < 150 # it lies over a telephone's page
    assert not [o for d in desks(served[1]) for o in d.rglob('*') if o.suffix == '.exe' or o.name in ('long.wav', 'noise.wav')]

def request(served, method, path, **headers):
    "Status and text of an answer, to a request without a body whatever it announces"
    c = http.client.HTTPConnection(served[0].removeprefix('http://'), timeout=10)
    c.putrequest(method, path, skip_host='Host' in headers)
    for k,v in headers.items(): c.putheader(k.replace('_', '-'), v)
    c.endheaders()
    answer = c.getresponse()
    return answer.status, answer.read().decode(), answer.headers

def cookie_of(page): return '; '.join(f"{o['name']}={o['value']}" for o in page.context.cookies())

def test_size_is_looked_at_before_the_body(served, visitor):
    "The body never comes, and the answer does"
    status, text, _ = request(served, 'PUT', '/songs?name=long.wav', Cookie=cookie_of(visitor), Content_Length=str(10**9))
    assert status == 400 and f'{MB} MB are the most' in text

def test_other_pages_and_names_are_refused(served, visitor):
    own = dict(Cookie=cookie_of(visitor), Content_Length='2')
    assert request(served, 'GET', '/', Host='evil.example')[0] == 403 # a name that was bent to this address
    assert request(served, 'POST', '/cancel', Origin='http://evil.example', **own)[0] == 403
    assert request(served, 'POST', '/cancel', Sec_Fetch_Site='cross-site', **own)[0] == 403
    assert request(served, 'GET', '/news')[0] == 401
    status, _, headers = request(served, 'GET', '/')
    assert status == 200 and 'HttpOnly' in headers['Set-Cookie'] and "script-src 'self'" in headers['Content-Security-Policy']
    for o in ('/assets/../app.py', '/assets/app/index.html', '/results/1/stem?stem=../../x', '/results/99/zip', f"/results/{'9'*5000}/zip"):
        assert request(served, 'GET', o, Cookie=own['Cookie'])[0] in (400, 404)

def test_a_body_that_is_longer_or_shorter_than_it_says(served, visitor):
    "What breaks off or never ends is no fault of the server, which says nothing of it in its window"
    own = dict(Cookie=cookie_of(visitor), Origin=served[0])
    name, port = served[0].removeprefix('http://').split(':')
    head = ''.join(f'{k}: {v}\r\n' for k,v in own.items())
    with socket.create_connection((name, int(port)), 10) as s: # a visitor who closes the page
        s.sendall(f'PUT /songs?name=cut.wav HTTP/1.1\r\nHost: {name}:{port}\r\n{head}Content-Length: 1000\r\n\r\nRIFF'.encode())
    c = http.client.HTTPConnection(name, int(port), timeout=10)
    c.request('POST', '/cancel', iter([b'x'*10**5]*11), own, encode_chunked=True)
    answer = c.getresponse()
    assert answer.status == 400 and 'too long' in answer.read().decode()
    assert request(served, 'POST', '/cancel', Content_Length=str(10**12), **own)[0] == 400
    assert not [o for d in desks(served[1]) for o in d.rglob('*cut.wav*')]

def test_training_is_watched_and_a_recipe_made(served, visitor, screenshots):
    page = visitor
    tab(page, 'Training')
    page.get_by_text('toy: epoch 2, loss 0.5').wait_for()
    write_history(served[2]/'saved_models'/'toy', [.9, .5, .25])
    page.get_by_text('toy: epoch 3, loss 0.25, sdr_drums 1.5 dB').wait_for()
    page.set_viewport_size(dict(width=390, height=900)) # the whole plot, legend and all
    end = time.monotonic() + 30 # the page's policy forbids `wait_for_function`
    while page.evaluate("document.querySelector('#picture svg').viewBox.baseVal.width") > 400:
        assert time.monotonic() < end
        time.sleep(.1)
    outside = '''() => { const r = document.querySelector('#picture svg').getBoundingClientRect()
        return [...document.querySelectorAll('#picture g[id^=text], #picture g[id^=legend]')].some(g => { const b = g.getBoundingClientRect(); return b.left < r.left - 1 || b.right > r.right + 1 }) }'''
    assert not page.evaluate(outside)
    looked_at(page, screenshots, 'training', ('dark', 390), ('light', 1280))
    assert page.get_by_label('Track').locator('option').all_inner_texts() == ['Track00001', 'Track00002']
    page.get_by_role('button', name='Listen').click()
    page.locator('#training .result').wait_for(timeout=60_000)
    page.frame_locator('#training .result iframe').locator('.play:enabled').wait_for()
    assert page.locator('#training .result h2').inner_text() == 'track00001'

    tab(page, 'Recipes')
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
    assert page.locator('pre').inner_text().split() == 'Mixing key: inst_class Recipes: drums: - Drums strings: - Bass - Guitar'.split()
    page.set_viewport_size(dict(width=390, height=900))
    assert len(set(page.locator('#measured tbody tr').evaluate_all('o => o.map(e => Math.round(e.getBoundingClientRect().height))'))) == 1 # no name is broken in two
    assert page.evaluate("(o => o.scrollWidth <= o.clientWidth)(document.querySelector('#measured'))") # no column is cut off
    looked_at(page, screenshots, 'recipes', ('light', 390), ('dark', 1280))
    tab(page, 'Songs')

def test_work_is_cancelled_and_others_see_nothing(served, visitor, browser, excerpt):
    with watched(browser) as other:
        come(other, served)
        assert 'my' not in other.locator('#list').inner_text() and other.locator('.result').count() == 0
        assert other.request.get(f'{served[0]}/results/1/zip').status == 400 and visitor.request.get(f'{served[0]}/results/1/zip').ok
        upload(other, 'other.wav', excerpt)
        other.get_by_role('radio', name='other.wav').wait_for()
        other.get_by_role('radio', name='band', exact=True).check(force=True)
        other.locator('#start').click()
        other.get_by_role('button', name='Cancel').click()
        other.locator('#start:enabled').wait_for(timeout=30_000)
        assert other.request.get(f'{served[0]}/news').json()['state'] == 'cancelled' and other.locator('.result').count() == 0
        theirs = next(o for o in desks(served[1]) if (o/'uploads'/'other.wav').exists())
        assert not [o for o in (theirs/'results').glob('*/*')]
        assert 'other.wav' not in visitor.request.get(f'{served[0]}/page').text()

def test_who_waits_for_their_turn_may_cancel_at_once(tmp_path, monkeypatch):
    import threading
    from songsep import server
    site, go = Site(tmp_path/'root', within=tmp_path), threading.Event()
    first, second = (site.visitors[site.welcome()] for _ in 'ab')
    monkeypatch.setattr(server, 'take_apart', lambda *args: go.wait(20) and (_ for _ in ()).throw(server.Cancelled('Cancelled.')))
    asked = dict(song=next(iter(first.desk.songs())), model='drums', format='wav')
    for o in (first, second): site.separate(o, asked)
    site.cancel(second, {})
    assert site.news(second, {})['state'] == 'cancelled' and first.job.goes_on
    site.separate(second, asked) # another try needs no waiting either
    site.cancel(first, {})
    assert site.news(first, {})['stage'] == 'cancelling'
    go.set()
    site.computing.submit(lambda: None).result()
    assert {first.job.state, second.job.state} == {'cancelled'}
    site.close()

def test_whoever_leaves_takes_everything_along(tmp_path):
    site = Site(within=tmp_path)
    mine, theirs = (site.visitors[site.welcome()] for _ in 'ab')
    mine.seen -= 3600
    site.sweep()
    assert list(site.visitors.values()) == [theirs] and not mine.desk.folder.exists() and theirs.desk.folder.exists()
    site.close()
    assert not tmp_path.exists()

def test_it_listens_on_this_machine_alone(served):
    port = int(served[0].split(':')[-1])
    assert served[0].startswith('http://127.0.0.1:')
    with pytest.raises(OSError): socket.create_connection(('127.0.0.2', port), 2) # answers where a server listens everywhere

def test_a_port_that_is_taken_is_one_sentence(served):
    done = subprocess.run(command('--port', served[0].split(':')[-1]), capture_output=True, text=True)
    assert done.returncode == 2 and not done.stdout and done.stderr.count('\n') == 1 and '--port' in done.stderr

def test_without_its_extra_is_one_sentence():
    code = "import sys; sys.modules['starlette'] = None; sys.argv = ['songsep', 'app', '--port', '0']; from songsep.cli import main; main()"
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.strip() == 'songsep: the app needs starlette and uvicorn: pip install "songsep[app]".'

def test_widgets_refuse_a_damaged_file_and_stay_as_they_are_while_they_work(tmp_path, excerpt):
    from songsep.app import Desk, SongPanel
    panel, seen = SongPanel(Desk(tmp_path)), []
    panel._uploaded(dict(new=[dict(name='noise.wav', content=b'RIFF and nothing more')]))
    assert 'noise.wav is damaged' in panel.says.value and not (panel.desk.uploads/'noise.wav').exists()
    panel._uploaded(dict(new=[dict(name='song.wav', content=excerpt)]))
    panel.bar.observe(lambda o: seen.append((o['new'], panel.model.disabled, bool(panel.console.value))), 'value')
    panel.separate()
    assert all(busy for _,busy,_ in seen) and max(seen)[0] == 1 and not panel.model.disabled
    assert not any(share > .96 for share,_,_ in seen[:-1]) # full when the console is there, not before

def test_who_leaves_in_the_middle_keeps_the_folder_until_the_work_has_stopped(tmp_path, monkeypatch):
    "What reads and writes there would call it a fault of songsep"
    import threading
    from songsep import server
    site, inside, go = Site(tmp_path/'root', within=tmp_path), threading.Event(), threading.Event()
    visitor = site.visitors[site.welcome()]
    def slow(song, out, model, output, tell):
        out.mkdir(parents=True)
        inside.set(), go.wait(20)
        (out/'drums.wav').touch() # fails where the folder is gone
        tell(.5, 'separating')
    monkeypatch.setattr(server, 'take_apart', slow)
    song = next(iter(visitor.desk.songs()))
    site.separate(visitor, dict(song=song, model='drums', format='wav'))
    assert inside.wait(20)
    visitor.seen -= 3600
    site.sweep()
    assert visitor.desk.folder.exists() and site.visitors
    go.set()
    site.computing.submit(lambda: None).result()
    assert visitor.job.state == 'cancelled' and not visitor.job.error
    site.sweep()
    assert not visitor.desk.folder.exists() and not site.visitors
    site.close()

def test_a_song_that_is_being_read_is_neither_replaced_nor_removed(tmp_path):
    from songsep.core import SongsepError
    from songsep.server import Job
    site = Site(tmp_path/'root', within=tmp_path)
    visitor = site.visitors[site.welcome()]
    visitor.desk.uploads.mkdir()
    (visitor.desk.uploads/'a.wav').touch()
    visitor.job = Job('separate', 'a.wav')
    with pytest.raises(SongsepError, match='being taken apart'): site.remove(visitor, dict(song='a.wav'))
    visitor.job.state = 'done'
    site.remove(visitor, dict(song='a.wav'))
    assert not (visitor.desk.uploads/'a.wav').exists()
    site.close()

@pytest.mark.parametrize('letter', ['音', '\U00020000', 'x'])
def test_names_that_fill_all_the_room_that_there_is(tmp_path, letter):
    "Uploads, the zip and the mix of a song whose name has as many letters as browsers send"
    from songsep.desk import zip_stems
    site = Site(tmp_path/'root', within=tmp_path)
    visitor = site.visitors[site.welcome()]
    sf.write(out := io.BytesIO(), np.random.default_rng(0).normal(size=8000)*.1, 8000, format='WAV')
    first, second = (visitor.desk.keep(letter*120 + o + '.wav', out.getvalue()) for o in 'ab')
    assert first != second and first.exists() and second.exists()
    site.separate(visitor, dict(song=first.name, model='drums', format='wav'))
    site.computing.submit(lambda: None).result()
    assert visitor.job.state == 'done', visitor.job.error
    number = str(visitor.job.result)
    for o in (dict(what='zip'), dict(what='mix', drums='0'), dict(what='mix', drums='0', accompaniments='0'), dict(what='console')):
        assert site.file_for(visitor, dict(number=number, **o)).exists()
    (whole := tmp_path/(letter*(250//len(letter.encode())))).mkdir()
    (whole/'separation.json').write_text('{"files": {}}')
    assert zip_stems(whole).exists()
    site.close()

def test_two_at_the_same_zip_both_get_a_whole_one(tmp_path, monkeypatch):
    from concurrent.futures import ThreadPoolExecutor
    from songsep import desk
    (folder := tmp_path/'song').mkdir()
    for o in 'ab': (folder/f'{o}.wav').write_bytes(os.urandom(3_000_000))
    (folder/'separation.json').write_text(json.dumps(dict(files={o: f'{o}.wav' for o in 'ab'})))
    with ThreadPoolExecutor(4) as pool: paths = list(pool.map(desk.zip_stems, [folder]*4))
    with zipfile.ZipFile(paths[0]) as z: assert z.testzip() is None
    assert not [o for o in folder.iterdir() if '.part' in o.name]
