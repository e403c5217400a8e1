"The page that explains messages lists all there are, and each names something to do."
import json
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent/'nbs'/'guide'/'08_messages.ipynb'

def cells(): return json.loads(PAGE.read_text(encoding='utf-8'))['cells']

def found():
    "What the page's own code finds"
    space = {}
    for c in cells()[1:]:
        if c['cell_type'] == 'code' and 'causes([' not in ''.join(c['source']) and 'figures' not in ''.join(c['source']): exec(''.join(c['source']), space)
    return space

def test_the_page_lists_every_message():
    space, stored = found(), ''.join(''.join(o['data']['text/markdown']) for o in cells()[-1]['outputs'])
    missing = [t for texts in space['listed'].values() for t in texts if f'- {t}' not in stored.splitlines()]
    assert len(missing) < 8, f'run `python tools/run_notebooks.py 08_messages`; the page lacks {missing}' # a few may have come since it was run
    assert len(stored.splitlines()) > 200

def test_messages_are_plain():
    texts = [t for _,t in found()['every']]
    assert not [t for t in texts if any(o in t for o in ('Errno', 'NoneType', 'dtype', 'ndarray', 'kwarg', 'mend', 'Delete it'))]
    assert not [t for t in texts if len(t) > 330]
