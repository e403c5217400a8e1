"TensorFlow speaks up only when something is wrong, and no test opens a window: both must be said before an import."
import os
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('MPLBACKEND', 'Agg')

import shutil
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
import pytest

ROOT = Path(__file__).resolve().parent.parent

@pytest.fixture
def shared():
    "The folder of real recordings beside the repository; tests that need it are skipped where it is missing"
    path = ROOT.parent/'shared'
    if not path.is_dir(): pytest.skip(f'needs the recordings in ../{path.name}')
    return path

PEAK = '''
def peak(): # kB; what `resource` says begins with the peak of the process that started this one
    return int(next(o for o in open('/proc/self/status') if o.startswith('VmHWM')).split()[1])
'''

@pytest.fixture(scope='module')
def browser():
    "Chromium, driven by Playwright; skipped where either is missing. A module long: Playwright's event loop is in the way of other tests' own"
    playwright = pytest.importorskip('playwright.sync_api', reason='needs playwright: pip install playwright')
    chromium = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')
    if not chromium: pytest.skip('needs Chromium: apt-get install chromium')
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=['--autoplay-policy=no-user-gesture-required'])
        yield browser
        browser.close()

@contextmanager
def watched(browser):
    "A page in the browser; it must neither throw an error nor ask another host for anything"
    page, asked, errors = browser.new_page(viewport=dict(width=1280, height=800)), [], []
    page.on('request', lambda o: asked.append(o.url))
    page.on('pageerror', lambda o: errors.append(str(o)))
    yield page
    page.close()
    assert not errors
    assert not [o for o in asked if urlsplit(o).hostname not in (None, '127.0.0.1', 'localhost')]

@pytest.fixture
def page(browser):
    "A page that is watched for one test"
    with watched(browser) as page: yield page

@pytest.fixture(scope='session')
def screenshots(tmp_path_factory):
    "The folder that keeps the pictures of pages: SONGSEP_SCREENSHOTS, or pytest's own"
    folder = Path(os.environ.get('SONGSEP_SCREENSHOTS') or tmp_path_factory.mktemp('screenshots'))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
