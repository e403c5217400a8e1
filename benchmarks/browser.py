"""What the page that separates in the browser takes, in headless Chromium: `python benchmarks/browser.py`

    python benchmarks/browser.py                    the demo song by every model, three rounds; and what a visitor loads
    python benchmarks/browser.py --minutes 5        the memory of the page, for a song of five minutes

Time runs from the moment the song is dropped on a page that was just opened: loading the model and ONNX Runtime, decoding,
separating, the pictures. The first sound is what the loudspeaker would get once Play is pressed, which happens as soon as it can be.
"""
import argparse, functools, gzip, shutil, statistics, tempfile, threading, time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
import numpy as np, psutil, soundfile as sf
from playwright.sync_api import sync_playwright
from songsep.browser import write_page
from songsep.songs import DEMO

DROP = '''async () => {
    const answer = await fetch('demo/%s'), data = new DataTransfer()
    data.items.add(new File([await answer.blob()], 'song'))
    document.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }))
    window.dropped = performance.now()
    const watch = setInterval(() => {
        const play = document.querySelector('.play')
        if (play && !play.disabled && !songsep.console.playing) play.click()
        if (songsep.console?.playing && Math.max(...songsep.console.peaks()) > .001) { window.sounded = performance.now(); clearInterval(watch) }
    }, 5)
}'''

class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args): pass

def serve(folder):
    server = ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f'http://127.0.0.1:{server.server_port}/'

def renderers(browser_pid):
    "Memory of the page's processes, bytes: their own and their share of what is common"
    total = 0
    for p in psutil.Process(browser_pid).children(recursive=True):
        try:
            if '--type=renderer' in p.cmdline(): total += p.memory_full_info().pss
        except psutil.Error: pass
    return total

def measure(chromium, address, model, song, memory):
    "Seconds to the first sound and to the last stem; the most memory of the page, MB"
    with tempfile.TemporaryDirectory() as d, sync_playwright() as p:
        before = {o.pid for o in psutil.Process().children(recursive=True)}
        context = p.chromium.launch_persistent_context(d, executable_path=chromium, args=['--autoplay-policy=no-user-gesture-required'])
        pid = next(o.pid for o in psutil.Process().children(recursive=True) if o.pid not in before and '--type=' not in ' '.join(o.cmdline()) and 'chrom' in o.name())
        page = context.new_page()
        page.goto(address)
        while page.evaluate('document.querySelector("#demo").disabled'): time.sleep(.05)
        page.locator('#model').select_option(model)
        page.evaluate(DROP % song)
        peak = 0
        while not page.evaluate('!!(songsep.page.job && songsep.page.job.finished)'):
            if fault := page.locator('#fault').inner_text(): raise SystemExit(fault)
            if memory: peak = max(peak, renderers(pid)) # to ask takes the page's time
            time.sleep(.2)
        ms = page.evaluate('[window.sounded - window.dropped, songsep.page.job.finished - window.dropped]')
        context.close()
    return ms[0]/1000, ms[1]/1000, peak/1e6

def loaded(folder, model, runtime):
    "Bytes that a first visitor of this model loads, compressed"
    def counts(o):
        name = o.relative_to(folder).as_posix()
        if name.startswith('models/'): return name.startswith(f'models/{model}/')
        return not name.startswith(('demo/', 'vendor/ort.')) or name.startswith(f'vendor/ort.{runtime}.')
    return sum(len(gzip.compress(o.read_bytes())) for o in folder.rglob('*') if o.is_file() and counts(o))

if __name__ == '__main__':
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument('--minutes', type=float, help='of a song, made of the demo song, for the memory')
    args.add_argument('--models', nargs='+', default=['drums', 'band'])
    args.add_argument('--rounds', type=int, default=3)
    args = args.parse_args()
    chromium = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')
    with tempfile.TemporaryDirectory() as d:
        folder, name = write_page(Path(d)/'page', args.models).parent, next(DEMO.glob('*.flac')).name
        y, sr = sf.read(next(DEMO.glob('*.flac')), dtype='int16')
        seconds = len(y)/sr
        if args.minutes:
            seconds, name = 60*args.minutes, 'long.flac'
            sf.write(folder/'demo'/name, np.tile(y, (int(seconds*sr//len(y)) + 1, 1))[:int(seconds*sr)], sr)
        address = serve(folder)
        for model in args.models:
            rounds = [measure(chromium, address, model, name, bool(args.minutes)) for _ in range(1 if args.minutes else args.rounds)]
            first, last, peak = (statistics.median(o) for o in zip(*rounds))
            print(f'{model}: {seconds:g} s of song; first sound {first:.2f} s, last stem {last:.2f} s ({last/seconds:.2f} of real time), '
                  f'{f"page {peak:.0f} MB; " if peak else ""}loads {loaded(folder, model, "wasm")/1e6:.1f} MB, '
                  f'with a graphics card {loaded(folder, model, "webgpu")/1e6:.1f} MB', flush=True)
