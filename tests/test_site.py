"""The documentation as its readers meet it: built once by `python tools/docs.py`, served on this machine, driven in Chromium."""
import functools, re, subprocess, sys, threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
import pytest
from nbdev.config import get_config

ROOT = Path(__file__).resolve().parent.parent

class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args): pass

@pytest.fixture(scope='module')
def folder():
    "Where the site is, once its links are whole"
    pytest.importorskip('smalldocs', reason='smalldocs, which builds the site without Quarto, needs Python 3.11')
    done = subprocess.run([sys.executable, 'tools/docs.py'], cwd=ROOT, capture_output=True, text=True)
    assert not done.returncode, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.endswith(' 0 faults\n')
    return get_config(path=ROOT).doc_path

@pytest.fixture(scope='module')
def site(folder):
    "Its address"
    server = ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()

def test_faults_are_seen(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT/'tools')
    import docs
    (tmp_path/'a.html').write_text('<link rel="stylesheet" href="https://x.org/a.css"><script src="//x.org/a.js"></script><h2 id="here">'
        '<img src="https://x.org/a.png" alt="badge"><a href="b.html">gone</a><a href="#there">no anchor</a><a href="a.html#here">whole</a>')
    assert len(list(docs.broken(tmp_path))) == 4 and 'a.html fetches https://x.org/a.png' in docs.broken(tmp_path)
    docs.finish(tmp_path)
    assert list(docs.broken(tmp_path)) == ['a.html -> b.html', 'a.html -> #there']
    assert 'x.org' not in (tmp_path/'a.html').read_text() and '>badge</span>' in (tmp_path/'a.html').read_text()

def test_words_of_the_glossary_are_linked_once(monkeypatch):
    monkeypatch.syspath_prepend(ROOT/'tools')
    import docs
    words = dict(docs.terms('<h3 id="stft">STFT</h3><h3 data-anchor-id="mix-mixture" class="x">mix, <em>mixture</em></h3><h3 id="window">window</h3>'))
    assert words == {'stft': 'stft', 'mix': 'mix-mixture', 'mixture': 'mix-mixture'}
    page = '<p>stft</p><main><h2>STFT</h2><p>See <code>stft</code>, <a href="x">STFT</a>, mixtures, remix and STFT</p><li>a mix, stft</li></main>'
    link = lambda word, anchor: f'<a class="term" href="g.html#{anchor}">{word}</a>'
    linked = page.replace('mixtures', link('mixture', 'mix-mixture') + 's').replace('and STFT', 'and ' + link('STFT', 'stft'))
    assert docs.link_terms(page, words, 'g.html') == linked

def wait_for(page, dark):
    "Until the page's background is dark, or bright"
    page.wait_for_function('dark => dark === getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).slice(0, 3).reduce((a, b) => a + +b, 0) < 3*128', arg=dark)

def toggle(page): page.locator('.quarto-color-scheme-toggle:visible').first.click()

def in_sight(page, anchor):
    page.wait_for_function('''id => { const r = document.getElementById(id).getBoundingClientRect(); return r.top >= 0 && r.top < innerHeight/2 }''', arg=anchor)
    return True

def test_every_page_is_in_the_sidebar(folder):
    home = (folder/'index.html').read_text(encoding='utf-8')
    pages = [o for o in folder.rglob('*.html') if o.parent.name != 'separate'] # which is shown in frames
    missing = [o.name for o in pages if f'href="{o.relative_to(folder).as_posix()}"' not in home.replace('href="./', 'href="')]
    assert not missing
    order = [home.index(f'href="{o}.html"') for o in ('guide/how_it_works', 'tutorials/colab', 'core', 'spectrogram', 'training', 'separation', 'cli')]
    assert order == sorted(order)

@pytest.mark.parametrize('name, small, models', [('try', '', 'visible'), ('index', '?small', 'hidden')])
def test_the_page_that_separates_stands_in_a_frame(site, folder, page, name, small, models):
    if not (folder/'separate'/'page.json').exists(): pytest.skip('the site was built without npm')
    page.emulate_media(color_scheme='dark')
    page.goto(f'{site}/{name}.html')
    page.locator('.songsep-page').scroll_into_view_if_needed()
    frame = page.frame(url=f'{site}/separate/index.html{small}')
    frame.locator('#demo:enabled').wait_for()
    frame.locator('#model').wait_for(state=models)
    assert frame.evaluate('document.documentElement.dataset.theme') == 'dark'
    assert frame.evaluate('document.documentElement.scrollHeight <= innerHeight + 1')

def test_search_finds_stft(site, page, screenshots):
    page.goto(site + '/index.html')
    page.keyboard.press('/')
    page.keyboard.type('stft')
    hit = page.locator('.search-result[href*="spectrogram.html#stft"]')
    hit.wait_for()
    page.screenshot(path=screenshots/'docs-search.png')
    hit.click()
    page.wait_for_url('**/spectrogram.html#stft')
    assert in_sight(page, 'stft')
    assert page.locator('main td', has_text='Step between frames, samples').count() # the table of its parameters

def test_doclink_lands_on_its_anchor(site, page):
    page.goto(site + '/index.html')
    link = page.locator('main a[href$="#pipelinehandler"]').first
    assert link.inner_text() == 'PipelineHandler'
    link.click()
    page.wait_for_url('**/pipeline.html#pipelinehandler')
    assert in_sight(page, 'pipelinehandler')

@pytest.mark.parametrize('name', ['index', 'guide/how_it_works'])
def test_players_play(site, page, name):
    page.goto(f'{site}/{name}.html')
    players = page.locator('main audio')
    assert players.count() >= 2
    for i in range(players.count()):
        player = players.nth(i)
        loudness = player.evaluate('''async a => {
            const bytes = await (await fetch(a.currentSrc || a.querySelector('source').src)).arrayBuffer()
            const y = (await new OfflineAudioContext(1, 1, 44100).decodeAudioData(bytes)).getChannelData(0)
            return Math.sqrt(y.reduce((s, v) => s + v*v, 0)/y.length) }''')
        assert loudness > .003
        player.evaluate('a => a.play()')
        page.wait_for_function('a => a.currentTime > .2', arg=player.element_handle())
        player.evaluate('a => a.pause()')

def test_one_stem_takes_over_from_another(site, page):
    page.goto(site + '/index.html')
    first, second = (page.locator('.listen audio').nth(i) for i in (0, 1))
    first.evaluate('a => { a.currentTime = 3; return a.play() }')
    page.wait_for_function('a => a.currentTime > 3.1', arg=first.element_handle())
    second.evaluate('a => a.play()')
    assert first.evaluate('a => a.paused') and second.evaluate('a => a.currentTime') > 3

def test_dark_mode_is_chosen_and_remembered(site, page, screenshots):
    page.emulate_media(color_scheme='light')
    page.goto(site + '/index.html')
    wait_for(page, dark=False)
    toggle(page)
    wait_for(page, dark=True)
    page.goto(site + '/guide/how_it_works.html')
    wait_for(page, dark=True)
    page.screenshot(path=screenshots/'docs-dark.png')
    toggle(page)
    wait_for(page, dark=False)

def test_dark_mode_follows_the_system(site, page):
    page.emulate_media(color_scheme='dark')
    page.goto(site + '/index.html')
    wait_for(page, dark=True)

CUT_OFF = """[...document.querySelectorAll('main table')].filter(o => Math.max(o.scrollWidth, o.offsetWidth) > o.parentElement.clientWidth + 1 || o.scrollWidth > o.clientWidth + 1)
    .map(o => o.innerText.slice(0, 80))"""

def test_every_page_fits_a_telephone(site, folder, page, screenshots):
    page.set_viewport_size(dict(width=390, height=844))
    wide = []
    for o in sorted(folder.rglob('*.html')):
        name = o.relative_to(folder).with_suffix('').as_posix()
        page.goto(f'{site}/{name}.html')
        if (width := page.evaluate('document.documentElement.scrollWidth')) > 390: wide.append((name, width))
        if name in ('index', 'cli', 'unet'): assert not page.evaluate(CUT_OFF), name
        assert not re.search('–[a-z]', page.inner_text('body')), name # two hyphens became a dash
        if name in ('index', 'guide/how_it_works', 'separation'): page.screenshot(path=screenshots/f'docs-390-{o.stem}.png')
    assert not wide

def test_menu_and_search_on_a_telephone(site, page, screenshots):
    page.set_viewport_size(dict(width=390, height=844))
    page.goto(site + '/index.html')
    page.locator('.quarto-btn-toggle:visible').first.click()
    page.wait_for_timeout(300)
    page.screenshot(path=screenshots/'docs-390-menu.png')
    for o in ('cli.html', 'guide/how_it_works.html'): page.locator(f'#quarto-sidebar a[href$="{o}"]').click(trial=True)
    page.locator('#quarto-sidebar a[href$="guide/how_it_works.html"]').click()
    page.wait_for_url('**/guide/how_it_works.html')
    page.locator('.navbar-toggler').click()
    page.locator('.sd-search-toggle:visible').click()
    page.keyboard.type('residual')
    page.locator('.search-result[href*="glossary"]').first.wait_for()

@pytest.mark.parametrize('name, scheme', [('index', 'light'), ('index', 'dark'), ('losses', 'light')])
def test_no_serious_fault_of_access(site, page, screenshots, name, scheme):
    axe = pytest.importorskip('axe_playwright_python.sync_playwright', reason='needs axe-playwright-python').Axe()
    page.emulate_media(color_scheme=scheme)
    page.goto(f'{site}/{name}.html')
    page.wait_for_timeout(200)
    page.screenshot(path=screenshots/f"docs-{scheme}-{name.split('/')[-1]}.png", full_page=True)
    found = axe.run(page).response['violations']
    assert not [(o['id'], [n['target'] for n in o['nodes']]) for o in found if o['impact'] in ('serious', 'critical')]
