"""Write the card of a model that ships: python tools/card.py MODEL_FOLDER SCORES.json...

`cards/<name>.md` is its text. Each of its lines `TABLE` becomes the table of the next scores, of medians and means
alone where songs are many; a line `SILENT` says what the model leaves of the first stem in songs without it.
"""
import sys
from pathlib import Path
from songsep.core import read_json
from songsep.evaluation import METHODS, scores_table
from songsep.folder import write_card

folder, *scores = map(Path, sys.argv[1:])
text = (Path(__file__).parent/'cards'/f'{folder.name}.md').read_text(encoding='utf-8')

def silent(scores):
    "What is left of the first stem, song by song"
    model, = (v for k,v in scores.items() if k not in METHODS)
    levels = {song: next(iter(by.values()))['leak'] for song,by in model.items()}
    return ', '.join(f'{song} {db:.0f} dB' for song,db in levels.items())

def kit_table(unheard):
    "What `benchmarks/kit.py` found, by piece"
    methods = ['mixture', 'NMF', folder.name, 'ideal mask']
    cell = lambda o: f"{o['si_sdr']:.1f} / {o['sdr']:.1f}"
    rows = [f"| **median** | {k} | {' | '.join(cell(unheard[m][k]) for m in methods)} |" for k in unheard['mixture']]
    head = f"| song | target | {' | '.join(methods)} |\n|---|---|{'---|'*len(methods)}"
    said = 'How much SI-SDR rises / SDR (BSSEval v4 by museval: frames of 1 s, median over frames, then over takes), dB'
    return '\n'.join([said, '', head, *rows])

def way(unheard):
    "Per cent of the way to the ideal mask"
    share = lambda k: unheard[folder.name][k]['si_sdr']/unheard['ideal mask'][k]['si_sdr']
    return ', '.join(f'{share(k):.0%} of the way for {k}' for k in unheard['mixture'])

for o in map(read_json, scores):
    if unheard := o.get('unheard'):
        text = text.replace('\nTABLE\n', f'\n{kit_table(unheard)}\n').replace('WAY', way(unheard))
        continue
    table, line = text.find('\nTABLE\n'), text.find('\nSILENT\n')
    if line < 0 or 0 <= table < line: text = text.replace('\nTABLE\n', f"\n{scores_table(o, songs=len(o['mixture']) < 12)}\n", 1)
    else: text = text.replace('\nSILENT\n', f'\n{silent(o)}.\n', 1)
write_card(folder, text)
