"The mixing console in Chromium: what is heard is measured, not what is lit."
import io, re, subprocess, sys, time
from base64 import b64decode
from pathlib import Path
import av, numpy as np, pytest, soundfile as sf
from songsep.audio import write_audio
from songsep.console import console_page, framed
from songsep.core import SongsepError
from songsep.synth.toy import toy_song

SR, SECONDS = 16000, 4
TONES = {'drums': 500, 'bass': 1000, 'piano': 2000} # Hz

def until(page, js, seconds=10):
    "Wait until something is true; the page's policy forbids the programs of strings by which Playwright itself would look"
    end = time.monotonic() + seconds
    while not page.evaluate(js):
        assert time.monotonic() < end, js
        time.sleep(.02)

def tone(hz): return .2*np.sin(2*np.pi*hz*np.arange(SECONDS*SR)/SR)

@pytest.fixture(scope='module')
def files(tmp_path_factory):
    "Three stems, each a tone, that sound in the second half only; the song has a tone of its own besides"
    folder = tmp_path_factory.mktemp('console')
    gate = np.arange(SECONDS*SR) >= SECONDS*SR//2
    for k,hz in TONES.items(): write_audio(folder/f'{k}.wav', np.stack([tone(hz)*gate]*2), SR)
    write_audio(folder/'song.wav', np.stack([tone(3000)*gate]*2), SR)
    return {k: folder/f'{k}.wav' for k in TONES}, folder/'song.wav'

@pytest.fixture
def console(page, files, tmp_path):
    (tmp_path/'console.html').write_text(console_page(*files, title='A song'), encoding='utf-8')
    page.goto((tmp_path/'console.html').as_uri())
    until(page, '!document.querySelector(".play").disabled')
    return page

def heard(page, start=2.5, seconds=1):
    "Amplitude of each tone in what the loudspeaker would get"
    y = np.array(page.evaluate('async ([a, b]) => Array.from((await songsep.console.render(a, b))[0])', [start, seconds]))
    spectrum = np.abs(np.fft.rfft(y*np.hanning(len(y))))*4/len(y)
    return {hz: float(spectrum[round(hz*len(y)/SR)]) for hz in (*TONES.values(), 3000)}

def sounding(page, **kw): return {hz for hz,v in heard(page, **kw).items() if v > .01}

def test_all_stems_are_heard_at_their_own_level(console):
    assert all(abs(heard(console)[hz] - .2) < .02 for hz in TONES.values())
    assert console.locator('.state').inner_text() == 'You hear the sum of all stems.'

def test_stems_start_together(console):
    "Every stem begins to sound at two seconds, within a millisecond of the others"
    starts = console.evaluate('''() => songsep.console.tracks.map(({ sound: o }) => o.channels[0].findIndex(v => Math.abs(v)*o.top > .05*32767)/o.sr)''')
    assert np.ptp(starts) < 2e-3 and abs(starts[0] - 2) < .06
    assert len(set(console.evaluate('songsep.console.tracks.map(o => o.sound.length)'))) == 1

def test_reading_the_sound_keeps_the_page_alive(console):
    "Base64 is read in a loop: by `Uint8Array.from` the page of a long song stood still for seconds"
    ratio = console.evaluate("""() => {
        const text = btoa('x'.repeat(3e6)), start = performance.now(), sizes = [bytes(text).byteLength], loop = performance.now() - start
        sizes.push(Uint8Array.from(atob(text), c => c.charCodeAt(0)).length)
        return sizes.every(o => o === 3e6) && (performance.now() - start - loop)/loop }""")
    assert ratio > 3

PLAYED = """async ([from, loop]) => {
    const sr = 8000, seconds = 13, whole = new AudioBuffer({ length: 11*sr, numberOfChannels: 2, sampleRate: sr })
    for (const c of [0, 1]) whole.getChannelData(c).forEach((v, i, y) => { y[i] = 1.5*Math.sin(i*i/(3e4*(1 + c))) }) // beyond full scale
    const play = async make => {
        const context = new OfflineAudioContext(2, seconds*sr, sr), source = make(context)
        source.connect(context.destination)
        source.start(.25, from)
        const out = await context.startRendering()
        return [out.getChannelData(0), out.getChannelData(1)] }
    const kept = new Sound(whole), got = await play(context => new Player(context, kept, loop))
    const want = await play(context => new AudioBufferSourceNode(context, { buffer: whole, ...loop && { loop: true, loopStart: loop[0], loopEnd: loop[1] } }))
    const error = Math.max(...got.map((y, c) => y.reduce((m, v, i) => Math.max(m, Math.abs(v - want[c][i])), 0)))
    return [error, kept.channels.reduce((n, y) => n + y.byteLength, 0)/(2*4*whole.length)] }"""

@pytest.mark.parametrize('start, loop', [(0, None), (3.5, None), (1, [.5, 10]), (.6, [.5, .75])])
def test_sound_in_16_bits_plays_without_a_seam(console, start, loop):
    "Half the memory of an AudioBuffer, and piece after piece the same sound, beyond full scale and in loops too"
    error, share = console.evaluate(PLAYED, [start, loop])
    assert error < 1.5/32767 and share == .5

def test_groups_fold_and_are_heard_as_a_whole(page, files, tmp_path):
    sounds = dict(zip(('kick', 'snare', 'bass'), files[0].values()))
    html = console_page(sounds, files[1], groups={'drums': ['kick', 'snare']})
    (tmp_path/'console.html').write_text(html, encoding='utf-8')
    page.goto((tmp_path/'console.html').as_uri())
    until(page, '!document.querySelector(".play").disabled')
    assert page.locator('.group .lane').count() == 2 and page.locator('.lane').count() == 4
    page.get_by_label('Mute all of drums').click()
    assert sounding(page) == {2000} and page.get_by_label('Mute kick').get_attribute('aria-pressed') == 'true'
    page.get_by_label('Mute kick').click()
    assert sounding(page) == {500, 2000} and page.get_by_label('Mute all of drums').get_attribute('aria-pressed') == 'false'
    page.get_by_label('Solo all of drums').click()
    assert sounding(page) == {500, 1000}
    fold = page.get_by_label('Show the parts of drums')
    fold.click()
    assert not page.get_by_label('Solo kick').is_visible() and page.get_by_label('Solo bass').is_visible()
    assert fold.get_attribute('aria-expanded') == 'false' and sounding(page) == {500, 1000} # what is folded sounds on
    fold.press('Enter')
    assert page.get_by_label('Solo kick').is_visible()

def test_a_result_of_models_in_a_row_has_groups(files, tmp_path):
    from songsep.console import result_page
    from songsep.core import write_json
    then = {'drums': {'stems': ['kick', 'snare']}, 'kick': {'stems': ['beater', 'shell']}}
    names = dict(zip(('beater', 'shell', 'snare'), files[0].values()))
    write_json(tmp_path/'separation.json', dict(files={k: str(v) for k,v in names.items()}, song='a.wav', gain=1., then=then))
    html = result_page(tmp_path)
    at = [html.index(f'class="{kind}" data-name="{k}"') for kind,k in (('group', 'drums'), ('group', 'kick'), ('lane', 'beater'), ('lane', 'shell'), ('lane', 'snare'))]
    assert at == sorted(at) and html.count('class="group"') == 2

def test_a_part_of_a_song_is_compared_with_that_part(files, tmp_path):
    "The song sounds in its second half: of the stems of that half, and of the song beside them, all is heard"
    from songsep.console import result_page
    from songsep.core import write_json
    sounds, song = files
    for k,path in sounds.items(): write_audio(tmp_path/f'{k}.wav', sf.read(path)[0].T[:, 2*SR:3*SR], SR)
    names = {k: f'{k}.wav' for k in sounds}
    write_json(tmp_path/'separation.json', dict(files=names, song='song.wav', gain=1., part=[2, 3]))
    html = result_page(tmp_path, song)
    assert '0:00 / 0:01' in html
    found = re.findall(r'class="sound">([^<]+)', html)
    for sound in map(b64decode, found):
        with av.open(io.BytesIO(sound)) as f: y = np.concatenate([o.to_ndarray() for o in f.decode(audio=0)], 1)
        assert abs(y.shape[1]/48000 - 1) < .1 and np.abs(y[:, :9600]).max() > .1
    assert len(found) == 4

def test_solo_and_mute(console):
    console.get_by_label('Solo bass').click()
    assert sounding(console) == {1000}
    assert console.locator('.state').inner_text() == 'You hear bass.'
    console.get_by_label('Solo drums').click()
    assert sounding(console) == {500, 1000}
    for o in ('Solo drums', 'Solo bass', 'Mute piano'): console.get_by_label(o).click()
    assert sounding(console) == {500, 1000}
    console.get_by_label('Mute piano').click()
    assert sounding(console) == {500, 1000, 2000}

def test_volume(console):
    slider = console.get_by_label('Volume of bass')
    for _ in range(6): slider.press('ArrowLeft')
    assert abs(heard(console)[1000]/.2 - 10**(-6/20)) < .05 and abs(heard(console)[500] - .2) < .02
    slider.press('Home')
    assert sounding(console) == {500, 2000} and slider.get_attribute('aria-valuetext') == 'off'
    slider.dblclick()
    assert console.evaluate('songsep.console.stems[1].db') == 0

def test_original_against_sum(console):
    console.get_by_role('button', name='Original').click()
    assert sounding(console) == {3000}
    console.keyboard.press('o')
    assert sounding(console) == set(TONES.values())

def test_seek_changes_what_is_heard(console):
    assert not sounding(console, start=.5)
    box = console.locator('.picture').first.bounding_box()
    console.mouse.click(box['x'] + .75*box['width'], box['y'] + 10)
    assert abs(console.evaluate('songsep.console.position') - 3) < .05
    assert np.max(console.evaluate('async () => Array.from((await songsep.console.render(undefined, .2))[0])')) > .2
    console.get_by_label('Position').press('Home')
    assert console.evaluate('songsep.console.position') == 0

def test_it_plays_and_the_meter_moves(console):
    console.evaluate('songsep.console.setLoop(2.2, 3.9)') # so that a slow machine does not come to the end
    console.keyboard.press(' ')
    until(console, 'songsep.console.now() > 2.5')
    assert max(console.evaluate('songsep.console.peaks()')) > .2
    level = console.get_by_role('meter')
    assert -12 < float(level.get_attribute('aria-valuenow')) < 0
    console.get_by_label('Mute drums').click()
    console.get_by_label('Mute bass').click()
    console.get_by_label('Mute piano').click()
    until(console, 'Math.max(...songsep.console.peaks()) < .001')
    console.keyboard.press('Tab') # a button that has the focus would take the space for itself
    console.get_by_label('Position').focus()
    console.keyboard.press(' ')
    assert console.evaluate('songsep.console.playing === null')
    assert console.evaluate('songsep.console.now()') == console.evaluate('songsep.console.now()') > 2.15

def test_loop(console):
    box = console.locator('.picture').first.bounding_box()
    x = lambda t: box['x'] + t/SECONDS*box['width']
    console.mouse.move(x(1.5), box['y'] + 20)
    console.mouse.down()
    console.mouse.move(x(2), box['y'] + 20, steps=4)
    console.mouse.move(x(1.9), box['y'] + 20)
    console.mouse.up()
    assert np.allclose(console.evaluate('songsep.console.loop'), (1.5, 1.9), atol=.03)
    assert not sounding(console, start=1.5, seconds=1) # never arrives at the second half
    console.evaluate('songsep.console.play()')
    console.wait_for_timeout(900)
    assert 1.45 < console.evaluate('songsep.console.now()') < 1.95
    console.keyboard.press('l')
    until(console, 'songsep.console.now() > 2.2')

def test_the_end_is_an_end(console):
    console.evaluate('songsep.console.seek(3.8)')
    console.evaluate('songsep.console.play()')
    until(console, 'songsep.console.playing === null && songsep.console.position === 0')

HOSTILE = '"><img src=x onerror=window.bad=1></script><script>window.bad=1</script>'

def test_a_hostile_name_is_harmless(page, files, tmp_path):
    stems, song = files
    html = console_page({HOSTILE: stems['drums'], "' onclick=bad=1 '": stems['bass']}, song, HOSTILE)
    (tmp_path/'a.html').write_text(html, encoding='utf-8')
    (tmp_path/'b.html').write_text(f'<!doctype html><title>frame</title>{framed(html, HOSTILE)}', encoding='utf-8')
    for o in 'ab':
        page.goto((tmp_path/f'{o}.html').as_uri())
        inside = page.frames[-1]
        until(inside, '!document.querySelector(".play").disabled')
        assert [f.evaluate('window.bad') for f in page.frames] == [None]*len(page.frames)
        assert inside.locator('img').count() == 0 and inside.locator('h1').inner_text() == HOSTILE
        assert inside.evaluate('songsep.console.stems[0].name') == HOSTILE
    inside.evaluate('void document.body.append(Object.assign(document.createElement("script"), {textContent: "window.bad = 1"}))') # the second lock
    assert inside.evaluate('window.bad') is None

def test_a_frame_takes_height_and_brightness_from_its_page(page, files, tmp_path):
    (tmp_path/'dark.html').write_text(f'<!doctype html><title>dark</title><body style="background:#111">{framed(console_page(*files))}', encoding='utf-8')
    page.emulate_media(color_scheme='light')
    page.goto((tmp_path/'dark.html').as_uri())
    until(page, 'document.querySelector("iframe").contentDocument.documentElement.dataset.theme === "dark"')
    until(page, 'document.querySelector("iframe").contentDocument.documentElement.scrollHeight <= document.querySelector("iframe").clientHeight + 1')
    page.evaluate('document.body.style.background = "#fff"')
    until(page, 'document.querySelector("iframe").contentDocument.documentElement.dataset.theme === "light"')

def test_a_long_song_is_cut_and_says_so(page, files, tmp_path):
    html = console_page(*files, megabytes=.11)
    (tmp_path/'a.html').write_text(html, encoding='utf-8')
    page.goto((tmp_path/'a.html').as_uri())
    until(page, '!document.querySelector(".play").disabled')
    assert page.locator('.cut').inner_text().startswith('The first 0:02 of 0:04')
    assert page.evaluate('songsep.console.duration') < 2.6

def test_rates_and_channels_that_a_page_lacks(page, tmp_path):
    rng = np.random.default_rng(0)
    for k in 'ab': write_audio(tmp_path/f'{k}.wav', rng.normal(size=(6, 96000))*.1, 96000)
    (tmp_path/'a.html').write_text(console_page({k: tmp_path/f'{k}.wav' for k in 'ab'}), encoding='utf-8')
    page.goto((tmp_path/'a.html').as_uri())
    until(page, '!document.querySelector(".play").disabled')
    assert abs(page.evaluate('songsep.console.duration') - 1) < .1 and page.get_by_role('button', name='Original').count() == 0

def test_sounds_of_two_rates_are_refused(tmp_path):
    for k,sr in (('a', 16000), ('b', 22050)): write_audio(tmp_path/f'{k}.wav', np.zeros((1, sr)), sr)
    with pytest.raises(SongsepError, match='several sample rates'): console_page({k: tmp_path/f'{k}.wav' for k in 'ab'})

def test_labels_of_the_ruler_stay_apart(console):
    for width,seconds in ((390, 15), (390, 300), (390, 3000), (1280, 300)):
        console.set_viewport_size(dict(width=width, height=800))
        console.evaluate(f'songsep.console.duration = {seconds}; songsep.console.ruler()')
        spans = console.evaluate("""[...document.querySelectorAll('.ruler span')].map(o => o.getBoundingClientRect())
            .map(o => [o.left, o.right])""")
        assert len(spans) > 1 and all(a[1] <= b[0] for a,b in zip(spans, spans[1:])) and spans[-1][1] <= width, (width, seconds)

def test_a_stem_is_downloaded_as_it_sounds(console, tmp_path):
    with console.expect_download() as done: console.get_by_label('Download bass').click()
    done.value.save_as(tmp_path/'bass.wav')
    assert done.value.suggested_filename == 'A song - bass.wav'
    y, sr = sf.read(tmp_path/'bass.wav')
    spectrum = np.abs(np.fft.rfft(y[-SR:, 0]*np.hanning(SR)))*4/SR
    assert sr == SR and y.shape[1] == 2 and abs(len(y)/SR - SECONDS) < .05
    assert spectrum.argmax() == TONES['bass'] and abs(spectrum.max() - .2) < .02

def test_files_of_half_a_minute_meet_unheard(page, tmp_path):
    "A browser decodes each alone: what is decoded of a whole song at a time takes a gigabyte"
    sr, seconds = 16000, 32
    t = np.arange(seconds*sr)/sr
    y = (.3*np.sin(2*np.pi*440*t) + .2*np.sin(2*np.pi*(300*t + 20*t**2))*(t%.5 < .25))[None].astype('float32')
    write_audio(tmp_path/'a.wav', y, sr)
    html = console_page({'a': tmp_path/'a.wav'})
    assert len(re.search(r'class="sound">([^<]+)', html)[1].split(' ')) == 2
    (tmp_path/'console.html').write_text(html, encoding='utf-8')
    page.goto((tmp_path/'console.html').as_uri())
    until(page, '!document.querySelector(".play").disabled', 30)
    assert page.locator('.time').inner_text() == '0:00 / 0:32'
    def error(start): # in tenths of a second, relative to the sound
        got = np.array(page.evaluate('async a => Array.from((await songsep.console.render(a, 1))[0])', start))
        want = y[0, int(start*sr):][:len(got)]
        return np.sqrt(((got - want)**2).reshape(10, -1).mean(1)).max()/want.std()
    assert error(29.5) < 2*error(14.5) < .4

def test_a_browser_that_lacks_the_codec_is_told_so(page, files, tmp_path):
    html = console_page(*files)
    (tmp_path/'console.html').write_text(re.sub(r'(class="sound">).{40}', r'\1' + 'A'*40, html), encoding='utf-8')
    page.goto((tmp_path/'console.html').as_uri())
    until(page, 'document.querySelector(".state").innerText.includes("Update it")')
    assert page.locator('.play').is_disabled() and page.get_by_label('Download bass').is_disabled()

def test_progress_is_told_and_the_sound_is_opus(files):
    told = []
    html = console_page(*files, progress=told.append)
    sound = b64decode(re.search(r'class="sound">([^<]+)', html)[1])
    with av.open(io.BytesIO(sound)) as f: assert (f.format.name, f.streams.audio[0].codec_context.name) == ('matroska,webm', 'opus')
    assert told == [.25, .5, .75, 1]

@pytest.mark.parametrize('scheme, width', [('light', 1280), ('dark', 1280), ('light', 390)])
def test_no_serious_fault_of_access(console, screenshots, scheme, width):
    axe = pytest.importorskip('axe_playwright_python.sync_playwright', reason='needs axe-playwright-python').Axe()
    console.emulate_media(color_scheme=scheme)
    console.set_viewport_size(dict(width=width, height=800))
    console.evaluate('songsep.console.setLoop(1, 3); songsep.console.set("bass", {mute: true}); songsep.console.set("drums", {solo: true})')
    console.wait_for_timeout(100)
    console.screenshot(path=screenshots/f'console-{scheme}-{width}.png', full_page=True)
    found = axe.run(console).response['violations']
    assert not [(o['id'], [n['target'] for n in o['nodes']]) for o in found if o['impact'] in ('serious', 'critical')]
    assert console.evaluate('document.documentElement.scrollWidth') <= width

def test_keys_are_told_where_there_is_a_keyboard(console, browser, tmp_path):
    assert console.locator('.keys').is_visible()
    phone = browser.new_page(viewport=dict(width=390, height=800), has_touch=True, is_mobile=True)
    phone.goto((tmp_path/'console.html').as_uri())
    assert phone.locator('footer').is_visible() and not phone.locator('.keys').is_visible()
    phone.close()

def test_everything_is_reached_by_the_keyboard(console):
    seen = []
    for _ in range(16):
        console.keyboard.press('Tab')
        seen.append(console.evaluate('document.activeElement.getAttribute("aria-label") || document.activeElement.innerText'))
    assert seen[:7] == ['Play', 'Position', 'Loop from here', 'Loop', 'Loop to here', 'Stems', 'Original']
    assert seen[7:15] == [f'{what} {stem}' for stem in ('drums', 'bass')
                          for what in ('Solo', 'Mute', 'Download', 'Volume of')]

def test_the_command_writes_the_page_beside_the_stems(page, tmp_path):
    sr = 22050
    for name,seed in (('first', 0), ('second', 1)): write_audio(tmp_path/f'{name}.wav', sum(toy_song(seed, 2., sr)[0].values()), sr)
    run = lambda *args: subprocess.run([Path(sys.executable).with_name('songsep'), 'separate', *map(str, args), '-o', tmp_path/'out', '--report'], capture_output=True, text=True)
    done = run(tmp_path/'first.wav', tmp_path/'second.wav')
    assert not done.returncode and f"{tmp_path/'out'/'second'/'console.html'}: open it in a browser" in done.stdout
    assert sorted(o.name for o in (tmp_path/'out'/'first').iterdir()) == ['accompaniments.wav', 'console.html', 'drums.wav', 'separation.json']
    page.goto((tmp_path/'out'/'first'/'console.html').as_uri())
    until(page, '!document.querySelector(".play").disabled')
    assert page.locator('h1').inner_text() == 'first' and page.locator('h2').all_inner_texts() == ['Original', 'drums', 'accompaniments']
    y, whole = (np.array(page.evaluate(f'async () => {{ songsep.console.hearOriginal({o}); return Array.from((await songsep.console.render(.2, 1))[0]) }}')) for o in ('false', 'true'))
    assert 10*np.log10(np.mean((y - whole)**2)/np.mean(whole**2)) < -10 # as far as mp3 lets them agree
    (tmp_path/'out'/'first'/'console.html').write_text('my diary')
    assert run(tmp_path/'first.wav').returncode == 2 and (tmp_path/'out'/'first'/'console.html').read_text() == 'my diary'
