"Separation in the browser: the page's modules in Node beside Python's, and the whole page in Chromium."
import functools, io, json, re, shutil, subprocess, sys, threading, time, zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
import numpy as np, pytest, soundfile as sf
from base64 import b64decode
from conftest import watched
from songsep.audio import write_audio
from songsep.browser import POLICY, npm_packages, write_page
from songsep.console import COLUMNS, ROWS, _Looks
from songsep.core import Config, SongsepError
from songsep.folder import spec_from
from songsep.models import Model, find_model, open_model
from songsep.kinds import Frames, frame_sizes, ratio_masks
from songsep.separation import separate_blocks
from songsep.songs import DEMO

SR = 16000

def level(a, b): return 10*np.log10(np.mean((np.asarray(a, 'float64') - b)**2)/np.mean(np.asarray(b, 'float64')**2) + 1e-30)

@pytest.fixture(scope='session')
def built(tmp_path_factory):
    "The page, once for all tests; skipped where npm can't fetch what it needs"
    if not shutil.which('npm'): pytest.skip('needs npm, which comes with Node.js')
    try: npm_packages()
    except SongsepError as e: pytest.skip(str(e))
    return write_page(tmp_path_factory.mktemp('page')).parent

# Node

def song(n=40_000):
    t, rng = np.arange(n)/SR, np.random.default_rng(0)
    tones = [.2*np.sin(2*np.pi*f*t)*(t%.5 < .3) for f in (220, 1500, 5000)]
    return np.stack([sum(tones), tones[0] - tones[2]]).astype('float32') + rng.normal(size=(2, n)).astype('float32')*.01

def spec_of(targets=2, residual=False, channels=1, masking=None, **config):
    c = Config(**{'sr': SR, 'segment': .5, 'n_fft': 512, 'hop_length': 128, **config})
    return dict(format=1, name='toy', targets=[f't{i}' for i in range(targets)], residual=residual, config=c.to_dict(),
                **({'channels': channels} if channels > 1 else {}), **({'masking': masking} if masking else {}))

SONGS = { # what differs from a mono model of two targets and a song in stereo
    'plain': ({}, SR, 2), 'mono song': ({}, SR, 1), 'one target and the rest': (dict(targets=1, residual=True), SR, 2),
    'five targets up to 3 kHz': (dict(targets=5, max_hz=3000.), SR, 2), 'nothing above': (dict(max_hz=3000., masking=dict(above='zero', exponent=2)), SR, 2),
    'stereo model': (dict(channels=2), SR, 2), 'stereo model, mono song': (dict(channels=2), SR, 1), 'stereo model, three channels': (dict(channels=2), SR, 3),
    'no fade': (dict(masking=dict(fade=0)), SR, 2), 'another frame and hop': (dict(n_fft=480, hop_length=160, max_hz=6000.), SR, 2), 'another rate': (dict(max_hz=3000.), 2*SR, 2)}

def toy(spec):
    "The network that `browser.mjs` has: magnitudes by gains that move over bins and frames"
    c, k, S = Config(**spec['config']), spec.get('channels', 1), len(spec['targets'])
    b, t, s, ch = np.ogrid[:c.n_bins, :c.n_frames, :S, :k]
    gains = np.sin(s + 1 + .01*b + .1*t + ch)
    def forward(X): return (X[:, :, :, None]*gains).astype('float32').reshape(*X.shape[:3], -1)
    return Model(Path('.'), spec_from(spec), 'toy', forward)

@pytest.fixture(scope='module')
def node(built, tmp_path_factory):
    "The folder with Python's arrays and Node's answers"
    folder, page = tmp_path_factory.mktemp('node'), tmp_path_factory.mktemp('modules')/'page'
    shutil.copytree(built, page, ignore=shutil.ignore_patterns('*.gz', 'models'))
    (page/'package.json').write_text('{"type": "module"}')
    song().tofile(folder/'y.f32')
    np.random.default_rng(1).rayleigh(size=(3, 1000)).astype('float32').tofile(folder/'E.f32')
    configs = [Config(), Config(max_hz=11025.), Config(SR, .5, 512, 128, 3000.), Config(sr=48000, segment=6.0, n_fft=6144, hop_length=1536)]
    tasks = dict(configs=[c.to_dict() for c in configs], frame_sizes=[[c.to_dict(), sr] for c in configs for sr in (22050, 44100, 48000)],
                 fft_sizes=[32, 480, 512, 4096, 6144, 7, 48, 4*49*32], songs=[dict(spec=spec_of(**kw), sr=sr, n_channels=n) for kw,sr,n in SONGS.values()])
    (folder/'tasks.json').write_text(json.dumps(tasks))
    done = subprocess.run(['node', Path(__file__).with_name('browser.mjs'), page, folder], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return folder

def floats(path, *shape): return np.fromfile(path, 'float32').reshape(*shape)

def test_sizes_are_pythons(node):
    said, tasks = (json.loads((node/f'{o}.json').read_text()) for o in ('said', 'tasks'))
    assert [(o['n_bins'], o['n_frames']) for o in said['sizes']] == [(c.n_bins, c.n_frames) for c in (Config(**o) for o in tasks['configs'])]
    assert said['frame_sizes'] == [list(frame_sizes(Config(**c), sr)) for c,sr in tasks['frame_sizes']]
    assert said['fft_sizes'] == [True]*5 + [False]*3

def test_a_graphics_card_is_taken_if_it_is_right_and_faster(node):
    said = json.loads((node/'said.json').read_text())
    assert said['chosen'] == ['card', 'processor', 'processor', 'processor', 'processor'] # slower, wrong, not a number, failing

def test_spectra_and_their_way_back_are_pythons(node):
    stream, y = Frames(512, 128), song()[:1]
    D = stream.transform(y)[0]
    packed = floats(node/'transform.f32', -1, 512)
    assert level(packed[:, 2:].reshape(-1, 255, 2)[..., 0].T, D[1:-1].real) < -110
    assert level(packed[:, 3::2].T, D[1:-1].imag) < -110 and level(packed[:, 0], D[0].real) < -110 and level(packed[:, 1], D[-1].real) < -90
    assert level(floats(node/'overlap_add.f32', -1), stream.overlap_add(D)) < -110

def test_masks_are_pythons(node):
    E = floats(node/'E.f32', 3, 1000)
    assert np.allclose(floats(node/'masks.f32', 2, 3, 1000), [ratio_masks(E.copy()), ratio_masks(E.copy(), 2)], atol=1e-6)

@pytest.mark.parametrize('i, name', enumerate(SONGS))
def test_stems_are_pythons(node, i, name):
    kw, sr, n = SONGS[name]
    y = song()
    y = np.stack([y[c%2]*(1 if c < 2 else .5) for c in range(n)]).astype('float32')
    want = np.concatenate([*separate_blocks(iter([y]), sr, toy(spec_of(**kw)))], -1)
    got = floats(node/f'song{i}.f32', *want.shape)
    assert [level(a, b) < -90 for a,b in zip(got, want)] == [True]*len(want)
    assert np.abs(got.sum(0) - y).max() < 2e-7

@pytest.mark.parametrize('subtype', ['PCM_16', 'PCM_24', 'FLOAT'])
def test_files_sum_to_the_song(node, subtype):
    y, files = song(), [node/f'{s}-{subtype}.wav' for s in (0, 1)]
    assert [(i.samplerate, i.channels, i.frames, i.subtype) for i in map(sf.info, files)] == [(SR, 2, y.shape[1], subtype)]*2
    whole = sf.read(files[0], dtype='float64')[0] + sf.read(files[1], dtype='float64')[0]
    if subtype == 'FLOAT': assert np.abs(whole.T - y).max() < 1e-7
    else:
        write_audio(node/'whole.wav', y, SR, subtype)
        assert (whole == sf.read(node/'whole.wav', dtype='float64')[0]).all()

def test_the_zip_holds_the_files(node):
    with zipfile.ZipFile(node/'all.zip') as z:
        assert z.testzip() is None
        assert {o: z.read(o) for o in z.namelist()} == {f'a b/{s}.wav': (node/f'{s}-PCM_16.wav').read_bytes() for s in (0, 1)}

def test_pictures_are_the_consoles(node):
    y = song()
    high, low = floats(node/'outline.f32', 2, COLUMNS)
    edges = np.arange(y.shape[1])*COLUMNS//y.shape[1]
    assert np.allclose(high, [max(0, y.mean(0)[edges == c].max()) for c in range(COLUMNS)], atol=1e-6)
    looks = _Looks(SR, y.shape[1])
    looks.see(y)
    S, want = floats(node/'picture.f32', COLUMNS, ROWS).T, looks.magnitudes()
    at = np.arange(want.shape[1])*COLUMNS//want.shape[1]
    loud = np.abs(20*np.log10((S[:, at] + 1e-3)/(want + 1e-3)))
    assert np.median(loud) < 1 # a frame stands in the next column at times
    assert json.loads((node/'said.json').read_text())['outline'] > .5*len(looks.wave(1))

# Chromium

class Strict(SimpleHTTPRequestHandler):
    "Sends the policy with every file, so that it binds workers too"
    def end_headers(self):
        self.send_header('Content-Security-Policy', POLICY)
        super().end_headers()
    def log_message(self, *args): pass

@pytest.fixture(scope='module')
def site(built):
    server = ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Strict, directory=built))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}/'
    server.shutdown()

def until(page, js, seconds=240): # where two cores have much else to do
    "The page's policy forbids the programs of strings by which Playwright itself would wait"
    end = time.monotonic() + seconds
    while not page.evaluate(js):
        assert not (fault := page.locator('#fault').inner_text()), fault
        assert time.monotonic() < end, js
        time.sleep(.02)

def come(page, site):
    page.goto(site)
    until(page, '!document.querySelector("#demo").disabled')
    return page

READ = '''([name, c]) => new Promise(done => {
    const reader = new FileReader(), { buffer } = songsep.console.tracks.find(o => o.name === name)
    reader.onload = () => done(reader.result.split(',')[1])
    reader.readAsDataURL(new Blob([buffer.getChannelData(c)])) })'''

def heard(page, name):
    "What the console plays (2, samples)"
    return np.stack([np.frombuffer(b64decode(page.evaluate(READ, [name, c])), 'float32') for c in (0, 1)])

@pytest.fixture(scope='module', params=['drums', 'band'])
def done(browser, site, request):
    "A page with the demo song taken apart, and the model's name"
    with watched(browser) as page:
        logged = []
        page.on('console', lambda o: logged.append(o.text) if o.type in ('error', 'warning') else None)
        come(page, site).locator('#model').select_option(request.param)
        page.locator('#demo').click()
        until(page, 'songsep.page.job && songsep.page.job.finished')
        yield page, request.param
        assert not [o for o in logged if 'Content Security Policy' in o or 'violates' in o]

def test_the_demo_song_comes_apart_as_in_python(done):
    page, name = done
    (recorded, sr), y = sf.read(next(DEMO.glob('*.flac')), dtype='float32'), heard(page, 'Original')
    assert np.abs(y - recorded.T).max() < 4e-5 # Chromium divides what is above zero by 32767
    model = open_model(name)
    want = np.concatenate([*separate_blocks(iter([y]), sr, model)], -1) # both see the same samples
    got = np.stack([heard(page, o) for o in model.stems])
    levels = [round(level(a, b), 1) for a,b in zip(got, want)]
    print(name, levels)
    assert max(levels) < -60 and np.abs(got.sum(0) - y).max() < 5e-7

def test_stems_are_heard_while_the_rest_is_made(browser, site, tmp_path):
    "Half a minute in pieces of about three seconds: play goes on from one piece to the next, and no stem has a gap"
    with watched(browser) as page:
        y, sr = sf.read(next(DEMO.glob('*.flac')))
        sf.write(tmp_path/'long.wav', np.concatenate([y, y]), sr)
        come(page, site).locator('#file').set_input_files(tmp_path/'long.wav')
        until(page, 'songsep.console && !document.querySelector(".play").disabled')
        assert page.evaluate('songsep.console.available < 10 && !songsep.page.job.finished')
        page.get_by_label('Play', exact=True).click()
        until(page, 'Math.max(...songsep.console.peaks()) > .01')
        assert page.evaluate('!songsep.page.job.finished')
        page.evaluate('songsep.console.pause(); songsep.console.seek(songsep.console.available - .6); songsep.console.play()')
        before = page.evaluate('songsep.console.available')
        until(page, f'songsep.console.now() > {before} + .5')
        assert page.evaluate('Math.max(...songsep.console.peaks())') > .01
        until(page, 'songsep.page.job.finished')

def test_every_lane_shows_its_own_sound(done):
    page, name = done
    until(page, '!songsep.page.job.drawing && !songsep.page.job.again')
    shown = page.evaluate('songsep.console.tracks.map(o => [o.name, o.lane.querySelector("path").getAttribute("d").length, songsep.page.job.columns[o.name].top])')
    assert [o for o,*_ in shown] == ['Original', *open_model(name).stems] and all(length > 2000 for _,length,_ in shown)
    assert all(abs(top - np.abs(heard(page, o).mean(0)).max()) < 1e-5 for o,_,top in shown)
    assert page.evaluate('[...document.querySelectorAll(".spectrogram")].every(o => o.style.getPropertyValue("--png").length > 1000)')

def test_waiting_for_what_comes_next(done):
    page, _ = done
    page.evaluate('songsep.console.available = 5; songsep.console.seek(6)')
    page.get_by_label('Play', exact=True).click()
    assert page.locator('.state').inner_text() == 'Waiting for what comes next.'
    page.evaluate('songsep.console.arrive(15)')
    until(page, 'songsep.console.now() > 6.1')
    page.evaluate('songsep.console.pause(); songsep.console.seek(0)')

@pytest.mark.parametrize('subtype, bits', [('PCM_16', '16 bit'), ('FLOAT', '32 bit')])
def test_stems_are_saved(done, subtype, bits):
    page, name = done
    page.locator('#format').select_option(subtype)
    stems, y = open_model(name).stems, heard(page, 'Original')
    with page.expect_download(timeout=120_000) as download: page.get_by_role('button', name='Save all (zip)').click()
    assert download.value.suggested_filename == 'the_band.zip'
    with zipfile.ZipFile(download.value.path()) as z:
        assert z.namelist() == [f'the_band/{o}.wav' for o in stems] and z.testzip() is None
        files = [sf.read(io.BytesIO(z.read(o)), dtype='float64')[0].T for o in z.namelist()]
    step = 2**-15 if subtype == 'PCM_16' else 1e-6
    assert np.abs(sum(files) - y).max() <= step/2 + 1e-9
    with page.expect_download(timeout=120_000) as download: page.get_by_role('button', name=f'Save {stems[0]}').click()
    assert np.array_equal(sf.read(download.value.path(), dtype='float64')[0].T, files[0])

def faults_of(page):
    axe = pytest.importorskip('axe_playwright_python.sync_playwright', reason='needs axe-playwright-python').Axe()
    return [(o['id'], [n['target'] for n in o['nodes']]) for o in axe.run(page).response['violations'] if o['impact'] in ('serious', 'critical')]

@pytest.mark.parametrize('scheme, width', [('light', 1280), ('dark', 1280), ('light', 390)])
def test_no_serious_fault_of_access(done, screenshots, scheme, width):
    page, name = done
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size(dict(width=width, height=800))
    page.wait_for_timeout(200)
    page.screenshot(path=screenshots/f'browser-{name}-{scheme}-{width}.png', full_page=True)
    assert page.evaluate('document.documentElement.scrollWidth') <= width
    assert not faults_of(page) and page.locator('main').count() == 1

@pytest.fixture
def visit(page, site): return come(page, site)

@pytest.mark.parametrize('scheme, width', [('light', 1280), ('dark', 390)])
def test_the_form_is_accessible(visit, screenshots, scheme, width):
    visit.emulate_media(color_scheme=scheme)
    visit.set_viewport_size(dict(width=width, height=600))
    visit.screenshot(path=screenshots/f'browser-form-{scheme}-{width}.png')
    assert not faults_of(visit) and visit.locator('main').count() == 1 and visit.evaluate('document.documentElement.scrollWidth') <= width
    assert re.search(r'up to \d+ minutes long.*loads [\d.]+ MB', visit.locator('#limit').inner_text())

def fault(page):
    "The sentence that says what is wrong"
    end = time.monotonic() + 60
    while not (said := page.locator('#fault').inner_text()):
        assert time.monotonic() < end
        time.sleep(.05)
    assert page.locator('#cancel').is_hidden() and page.locator('#demo').is_enabled()
    return said

def test_what_is_no_sound_is_refused(visit):
    visit.locator('#file').set_input_files(dict(name='my <b>diary</b>.mp3', mimeType='audio/mpeg', buffer=b'Dear diary, ' * 1000))
    assert fault(visit) == "my <b>diary</b>.mp3 can't be decoded by this browser. Is it a sound file? Convert it to mp3, flac or wav."

def test_a_song_that_is_too_long_is_refused_before_it_is_decoded(browser, site, tmp_path):
    write_audio(tmp_path/'long.wav', np.zeros((1, 8000*2400)), 8000)
    with watched(browser) as page:
        page.add_init_script('Object.defineProperty(Navigator.prototype, "deviceMemory", { get: () => 4 }); window.decoded = 0;'
                             'OfflineAudioContext.prototype.decodeAudioData = () => { window.decoded = 1; return new Promise(() => {}) }')
        come(page, site).locator('#file').set_input_files(tmp_path/'long.wav')
        assert fault(page).startswith('long.wav is 40 minutes long, which is too long for the memory here. A song may be up to 11 minutes long')
        assert page.evaluate('window.decoded') == 0

def test_a_file_that_is_missing_is_named(page, built, tmp_path):
    shutil.copytree(built, tmp_path/'page')
    (tmp_path/'page'/'models'/'drums'/'model.onnx').unlink()
    server = ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Strict, directory=tmp_path/'page'))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    come(page, f'http://127.0.0.1:{server.server_port}/').locator('#demo').click()
    assert fault(page) == "models/drums/model.onnx can't be fetched (404 File not found)."
    server.shutdown()

def test_cancelled_and_begun_again(visit):
    visit.locator('#demo').click()
    until(visit, '!document.querySelector("#cancel").hidden')
    visit.locator('#cancel').click()
    assert visit.locator('#state').inner_text() == 'Cancelled.' and visit.locator('.console').count() == 0
    visit.evaluate("""async () => { const file = new File([await (await fetch('demo/the_band.flac')).blob()], 'dropped.flac'), data = new DataTransfer()
        data.items.add(file); document.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true })) }""")
    until(visit, 'songsep.page.job && songsep.page.job.finished')
    assert visit.locator('.console h1').inner_text() == 'dropped'
    visit.evaluate("document.querySelector('#demo').click()") # a second song, by the same worker
    until(visit, 'songsep.page.job && songsep.page.job.finished && songsep.page.job.name === "the_band"')
    assert visit.locator('.console').count() == 1

# The command

def test_the_command_writes_the_page(built, tmp_path):
    run = lambda *args: subprocess.run([Path(sys.executable).with_name('songsep'), 'app', *map(str, args)], capture_output=True, text=True)
    shutil.copytree(find_model('drums'), tmp_path/'saved_models'/'mine')
    done = run('--static', tmp_path/'page', '--model', 'mine', '--root', tmp_path)
    assert not done.returncode and 'http.server' in done.stdout
    assert [o['name'] for o in json.loads((tmp_path/'page'/'page.json').read_text())['models']] == ['mine']
    assert (tmp_path/'page'/'models'/'mine'/'model.onnx').read_bytes() == (find_model('drums')/'model.onnx').read_bytes()
    (tmp_path/'other').mkdir()
    (tmp_path/'other'/'index.html').write_text('my diary')
    done = run('--static', tmp_path/'other')
    assert done.returncode == 2 and 'holds something else' in done.stderr and (tmp_path/'other'/'index.html').read_text() == 'my diary'
    assert run('--model', 'mine').returncode == 2

@pytest.mark.parametrize('change, says', [(dict(config=dict(n_fft=4094)), 'frames of 4094 samples'), (dict(kind='waveform'), 'kind waveform'),
                                          (dict(onnx_crc32=1), 'no ONNX graph')])
def test_a_model_that_the_page_cant_run_is_refused(tmp_path, change, says):
    shutil.copytree(find_model('drums'), tmp_path/'odd')
    spec = json.loads((tmp_path/'odd'/'model.json').read_text())
    spec |= change | ({'config': spec['config'] | change['config']} if 'config' in change else {})
    (tmp_path/'odd'/'model.json').write_text(json.dumps(spec))
    with pytest.raises(SongsepError, match=says): write_page(tmp_path/'page', (tmp_path/'odd',))
    assert not (tmp_path/'page').exists()

def test_constants_in_a_file_of_their_own_come_along(tmp_path, built):
    shutil.copytree(find_model('drums'), tmp_path/'large')
    (tmp_path/'large'/'model.onnx.data').write_bytes(b'constants')
    spec, facts = tmp_path/'large'/'model.json', tmp_path/'page'/'page.json'
    from zlib import crc32
    value = crc32(b'constants', crc32((tmp_path/'large'/'model.onnx').read_bytes()))
    spec.write_text(json.dumps(json.loads(spec.read_text()) | {'onnx_crc32': value}))
    write_page(tmp_path/'page', (tmp_path/'large',))
    assert json.loads(facts.read_text())['models'][0]['files'] == ['model.json', 'model.onnx', 'model.onnx.data']
    assert (tmp_path/'page'/'models'/'large'/'model.onnx.data').read_bytes() == b'constants'

def test_what_a_visitor_loads_is_small(built):
    "Compressed, the model included: on the processor, and on a graphics card"
    from gzip import compress
    files = {o.relative_to(built).as_posix(): len(compress(o.read_bytes())) for o in built.rglob('*') if o.is_file() and 'band' not in o.as_posix()}
    common = sum(v for k,v in files.items() if 'vendor/ort.' not in k)
    sizes = {k: common + files[f'vendor/ort.{k}.js'] + files[f'vendor/ort.{k}.gz'] for k in ('wasm', 'webgpu')}
    print(sizes)
    assert max(sizes.values()) < 15e6
